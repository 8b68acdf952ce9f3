"""Futures: their values, states and callbacks, waiting for several of them, in threads and in event loops."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import copy_context
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import Future, State, flow, task
from surefoot.core.states import COMPLETED, CRASHED, FAILED
from surefoot.exceptions import CrashedRun
from surefoot.futures import as_completed, wait
from tests.engine.concurrency import (  # noqa: F401  # two are fixtures
    SOON,
    ManualClock,
    add,
    fails,
    manual_clock,
    no_thread_is_left,
    on,
    until,
)


class Door:
    """A task that ends when its door is opened, with what is told then."""

    def __init__(self, count: int = 1) -> None:
        self.events = [threading.Event() for _ in range(count)]

        @task
        def waits(n: int = 0) -> int:
            assert self.events[n].wait(SOON)
            return n

        self.waits = waits

    def open(self, n: int = 0) -> None:
        self.events[n].set()


def in_a_flow(program: Callable[[], Any]) -> Any:
    """What a flow of that function gives; states come back as they are."""
    found: list[Any] = []

    @on(None)
    def run() -> None:
        found.append(program())

    run()
    return found[0]


# --- one future -------------------------------------------------------------------------------------------------------


def test_a_future_gives_the_value_as_often_as_it_is_asked() -> None:
    def program() -> list[int]:
        future = add.submit(1)
        return [future.result(), future.result(timeout=0), future.result(raise_on_failure=False)]

    assert in_a_flow(program) == [2, 2, 2]


def test_a_future_raises_the_very_exception_that_its_task_raised() -> None:
    error = OSError("no disk")

    @task
    def breaks() -> None:
        raise error

    def program() -> list[bool]:
        future = breaks.submit()
        with pytest.raises(OSError, match="no disk") as caught:
            future.result()
        return [caught.value is error, future.result(raise_on_failure=False) is error]

    assert in_a_flow(program) == [True, True]


def test_an_exit_in_a_submitted_task_is_told_to_who_asks_and_ends_nobody_else() -> None:
    @task
    def exits() -> None:
        sys.exit("enough")

    def program() -> tuple[State, Any, int]:
        future = exits.submit()
        future.wait()  # raises nothing
        with pytest.raises(CrashedRun, match=r"sys\.exit\('enough'\) was called"):
            future.result()
        return future.state, future.result(raise_on_failure=False), add.submit(1).result()

    state, error, after = in_a_flow(program)
    assert state.type is CRASHED
    assert isinstance(error, CrashedRun)
    assert after == 2


def test_a_timeout_is_raised_by_result_and_not_by_wait_and_ends_nothing() -> None:
    door = Door()

    def program() -> tuple[bool, int]:
        future = door.waits.submit()
        future.wait(timeout=0.01)
        with pytest.raises(TimeoutError, match=r"waits-.* was not done after 0\.01 s; it goes on"):
            future.result(timeout=0.01)
        was_done = future.done()
        door.open()
        return was_done, future.result(timeout=SOON)

    assert in_a_flow(program) == (False, 0)


@pytest.mark.parametrize(
    "ask", [Future.wait, Future.result, lambda f, t: wait([f], t), lambda f, t: as_completed([f], t)]
)
def test_a_negative_timeout_is_a_mistake_told_at_once(ask: Callable[[Future[int], float], Any]) -> None:
    door = Door()

    def program() -> None:
        future = door.waits.submit()
        with pytest.raises(ValueError, match="timeout is -1"):
            ask(future, -1)
        door.open()

    in_a_flow(program)


def test_a_future_tells_the_state_of_its_run_from_the_beginning() -> None:
    door = Door()

    def program() -> list[str]:
        future = door.waits.submit()
        waiting = add.submit(future)
        names = [waiting.state.name]
        assert future.state.name in ("Pending", "Running")
        assert not waiting.done()
        assert future.state.state_details == {"task_run_id": future.task_run_id}
        door.open()
        waiting.wait()
        return [*names, future.state.name, waiting.state.name, str(type(waiting.task_run_id))]

    assert in_a_flow(program) == ["Pending", "Completed", "Completed", str(UUID)]


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_once_with_the_future_when_it_is_done_or_at_once() -> None:
    door = Door()
    called: list[Any] = []

    def program() -> list[bool]:
        future = door.waits.submit()
        future.add_done_callback(called.append)
        before = list(called)
        door.open()
        future.result()
        until(lambda: called)
        future.add_done_callback(called.append)
        return [not before, called == [future, future]]

    assert in_a_flow(program) == [True, True]


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)], ids=repr)
def test_a_callback_that_raises_is_told_and_holds_up_nobody(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    door, called = Door(), threading.Event()

    def raises(_: Any) -> None:
        raise error

    def program() -> int:
        future = door.waits.submit()
        future.add_done_callback(raises)
        future.add_done_callback(lambda _: called.set())
        door.open()
        return add.submit(future, 5).result()

    assert in_a_flow(program) == 5
    assert called.is_set()
    assert "done callback" in caplog.text
    assert repr(error) in caplog.text or type(error).__name__ in caplog.text


def test_a_callback_may_submit_and_what_it_submits_is_waited_for() -> None:
    done = threading.Event()

    @task
    def last() -> None:
        done.set()

    @on(1)
    def program() -> None:
        context = copy_context()
        add.submit(1).add_done_callback(lambda _: context.run(last.submit))

    program()
    assert done.is_set()


# --- several ----------------------------------------------------------------------------------------------------------


def test_as_completed_gives_futures_in_the_order_in_which_they_end_each_once() -> None:
    order = [2, 0, 3, 1]
    door = Door(4)

    def program() -> list[int]:
        futures = [door.waits.submit(n) for n in range(4)]
        found = []
        ends = as_completed([*futures, *futures])
        for n in order:
            door.open(n)
            found.append(next(ends).result())
        assert list(ends) == []
        return found

    assert in_a_flow(program) == order


def test_as_completed_takes_failures_and_ended_futures_and_none_at_all() -> None:
    def program() -> list[Any]:
        ended, failed = add.submit(1), fails.submit()
        wait([ended, failed])
        return [list(as_completed([])), {future.state.type for future in as_completed([ended, failed])}]

    assert in_a_flow(program) == [[], {COMPLETED, FAILED}]


def test_as_completed_raises_when_the_time_is_up_and_says_how_many_are_left() -> None:
    door = Door(2)

    def program() -> int:
        futures = [door.waits.submit(0), door.waits.submit(1)]
        door.open(0)
        ends = as_completed(futures, timeout=0.2)
        first = next(ends).result()
        with pytest.raises(TimeoutError, match=r"1 of 2 runs were not done after 0\.2 s; they go on"):
            next(ends)
        door.open(1)
        return first

    assert in_a_flow(program) == 0


def test_wait_divides_futures_into_done_and_not_done() -> None:
    door = Door(2)

    def program() -> tuple[int, int, int]:
        one, two = door.waits.submit(0), door.waits.submit(1)
        door.open(0)
        one.wait()
        result = wait([one, two, one], timeout=0.01)
        assert result.done == {one}
        assert result.not_done == {two}
        door.open(1)
        done, not_done = wait([one, two])
        return len(result), len(done), len(not_done)

    assert in_a_flow(program) == (2, 2, 0)


def test_a_list_of_futures_gives_values_in_the_order_of_its_inputs_or_the_first_failure_to_happen() -> None:
    door = Door(3)

    @task
    def fails_when_opened(n: int) -> None:
        door.waits.fn(n)
        raise ValueError(f"number {n}")

    def program() -> list[Any]:
        values = door.waits.map([0, 1, 2])
        broken = fails_when_opened.map([0, 1, 2])
        door.open(2)
        with pytest.raises(ValueError, match="number 2"):
            broken.result(timeout=SOON)
        with pytest.raises(TimeoutError):
            values.result(timeout=0.01)
        with pytest.raises(TimeoutError, match="2 of 3"):
            values.result(timeout=0.01, raise_on_failure=False)
        door.open(0)
        door.open(1)
        values.wait()
        errors = broken.result(raise_on_failure=False)
        return [values.result(), [str(error) for error in errors]]

    assert in_a_flow(program) == [[0, 1, 2], ["number 0", "number 1", "number 2"]]


def test_timeouts_of_several_count_together(manual_clock: ManualClock) -> None:  # noqa: F811
    door = Door(3)

    def program() -> float:
        futures = [door.waits.submit(n) for n in range(3)]
        waiting = threading.Thread(target=wait, args=(futures, 10))
        waiting.start()
        manual_clock.advance(5)
        door.open(0)
        futures[0].wait()
        assert waiting.is_alive()
        manual_clock.advance(5)
        waiting.join(SOON)
        assert not waiting.is_alive()
        door.open(1)
        door.open(2)
        return manual_clock.passed_s

    assert in_a_flow(program) == 10


@settings(max_examples=25)
@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_whatever_the_order_in_which_tasks_end_all_is_there_in_the_end(order: list[int], broken: set[int]) -> None:
    doors = [threading.Event() for _ in range(5)]

    @task
    def ends(n: int) -> int:
        doors[n].wait(SOON)
        if n in broken:
            raise ValueError(n)
        return n

    def program() -> None:
        futures = ends.map(range(5))
        seen = []
        completed = as_completed(futures)
        for n in order:
            doors[n].set()
            seen.append(futures.index(next(completed)))
        assert seen == order
        assert {n for n, future in enumerate(futures) if future.state.is_failed()} == broken
        if broken:
            with pytest.raises(ValueError, match=str(min(broken))):  # all had ended: the first in the list counts
                futures.result()
        else:
            assert futures.result() == list(range(5))

    in_a_flow(program)


# --- in an event loop -------------------------------------------------------------------------------------------------


def test_awaiting_a_future_gives_its_value_and_does_not_hold_the_loop() -> None:
    door = Door()

    @flow
    async def program() -> tuple[int, int]:
        future = door.waits.submit()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while not future.done():
                ticks += 1
                await asyncio.sleep(0)
                if ticks == 5:
                    door.open()

        value, _ = await asyncio.gather(future, tick())
        return value, ticks

    value, ticks = asyncio.run(program())
    assert value == 0
    assert ticks >= 5


def test_awaiting_a_failed_future_raises_what_its_task_raised() -> None:
    @flow
    async def program() -> str:
        with pytest.raises(OSError, match="no disk") as caught:
            await fails.submit()
        return str(caught.value)

    assert asyncio.run(program()) == "no disk"


def test_an_await_that_is_cancelled_leaves_the_task_running_and_nothing_behind() -> None:
    door = Door()

    @flow
    async def program() -> tuple[int, int]:
        future = door.waits.submit()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(future.ended(), 0.01)
        left = len(future._callbacks or ())
        door.open()
        return left, await future

    assert asyncio.run(program()) == (0, 0)


def test_a_future_that_ends_when_the_loop_of_its_waiter_is_closed_harms_nobody() -> None:
    door = Door()

    @on(None)
    def program() -> int:
        future = door.waits.submit()
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(future.ended())
        loop.run_until_complete(asyncio.sleep(0))
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it is dropped on purpose
        loop.close()
        door.open()
        return future.result()

    assert program() == 0
    gc.collect()


# --- memory -----------------------------------------------------------------------------------------------------------


class Value:
    """Something large."""


@pytest.mark.parametrize("count", [300, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_list_of_futures_keeps_results_and_nothing_else(count: int) -> None:
    @task
    def changes(value: Value) -> Value:
        return Value()

    inputs: weakref.WeakSet[Value] = weakref.WeakSet()
    results: weakref.WeakSet[Value] = weakref.WeakSet()

    def values() -> list[Value]:
        made = [Value() for _ in range(count)]
        inputs.update(made)
        return made

    def program() -> None:
        futures = changes.map(values())
        futures.wait()
        for future in futures:
            results.add(future.result())
        del future
        assert all(future.execution is None for future in futures)
        until(lambda: gc.collect() is None or not inputs)
        assert len(results) == count
        futures.clear()
        until(lambda: gc.collect() is None or not results)

    in_a_flow(program)
    assert not inputs
    assert not results
