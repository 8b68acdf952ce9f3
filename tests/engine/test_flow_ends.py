"""What becomes of submitted tasks when their flow ends, and what is kept of them."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from surefoot import Future, flow, quote, task
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED
from surefoot.engine import pool as pool_module
from surefoot.exceptions import CancelledRun, FlowRunTimeoutError, MissingContextError
from surefoot.futures import wait
from surefoot.states import State
from tests.engine.concurrency import (  # noqa: F401  # one is a fixture
    SOON,
    add,
    no_thread_is_left,
    on,
    task_threads,
    until,
)
from tests.recorded import record

# --- the end of a flow ------------------------------------------------------------------------------------------------


def test_a_flow_that_completed_waits_for_what_it_submitted_and_so_do_tasks_submitted_meanwhile(home: Path) -> None:
    ended: list[int] = []

    @task
    def further(n: int) -> None:
        if n:
            further.submit(n - 1)
        ended.append(n)

    @on(2)
    def program() -> None:
        further.submit(20)

    program()
    assert sorted(ended) == list(range(21))
    assert {run.end for run in record(home).task_runs} == {(COMPLETED, "Completed")}


def test_a_flow_that_failed_cancels_what_had_not_started_and_waits_for_the_rest(home: Path) -> None:
    gate, begun = threading.Event(), threading.Event()
    told: list[int | Exception] = []

    @task
    def runs() -> int:
        begun.set()
        assert gate.wait(SOON)
        return 1

    @on(1)
    def program() -> None:
        first = runs.submit()
        queued, waiting = runs.submit(), add.submit(first)
        waiting.add_done_callback(lambda _: gate.set())  # it is cancelled while the first still runs
        assert begun.wait(SOON)
        for future in (queued, waiting):
            future.add_done_callback(lambda done: told.append(done.state.result(raise_on_failure=False)))
        raise ValueError("the flow's own failure")

    with pytest.raises(ValueError, match="own failure"):
        program()
    first, queued, waiting = record(home).task_runs
    assert first.end == (COMPLETED, "Completed")
    assert queued.end == waiting.end == (CANCELLED, "Cancelled")
    assert queued.names == ["Pending", "Cancelled"]
    assert "its flow run ended first" in (queued.last.message or "")
    assert [type(error) for error in told] == [CancelledRun, CancelledRun]


def test_an_exit_in_the_flow_interrupts_running_tasks_and_cancels_the_others(home: Path) -> None:
    begun, never, ended = threading.Event(), threading.Event(), threading.Event()

    @task
    def runs() -> None:
        begun.set()
        try:
            while True:
                never.wait(0.001)
        finally:
            ended.set()

    @task
    async def runs_on_a_loop() -> None:
        import asyncio

        await asyncio.Event().wait()

    @task(retries=1, retry_delay_seconds=SOON)
    def sleeps() -> None:
        raise OSError

    @on(3)
    def program() -> None:
        running = runs.submit()
        runs_on_a_loop.submit()
        asleep = sleeps.submit()
        add.submit(running)
        assert begun.wait(SOON)
        until(lambda: asleep.state.name == "AwaitingRetry")
        sys.exit("enough")

    with pytest.raises(SystemExit, match="enough"):
        program()
    assert ended.is_set()
    found = record(home)
    assert found.flow_run().end == (CRASHED, "Crashed")
    ends = {run.of: run.end for run in found.task_runs}
    crashed, cancelled = (CRASHED, "Crashed"), (CANCELLED, "Cancelled")
    assert ends == {"runs": crashed, "runs_on_a_loop": crashed, "sleeps": crashed, "add": cancelled}
    assert all("sys.exit" in (run.last.message or "") for run in found.task_runs)


def test_an_interrupted_task_may_clean_up_with_other_tasks_and_what_it_calls_says_why(home: Path) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    @task
    def inner() -> None:
        begun.set()
        until(lambda: False)

    @task
    def cleans() -> int:
        cleaned.set()
        return 1

    @task
    def outer() -> None:
        try:
            inner()
        finally:
            cleans()

    @on(1)
    def program() -> None:
        outer.submit()
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    assert cleaned.is_set()
    ends = {run.of: (run.end[0], run.last.message) for run in record(home).task_runs}
    assert ends["outer"] == (CRASHED, "sys.exit('enough') was called")
    assert ends["inner"] == (CRASHED, "sys.exit('enough') was called")
    assert ends["cleans"][0] == COMPLETED


def test_a_task_that_waits_is_woken_to_be_interrupted(home: Path) -> None:
    begun = threading.Event()
    caught: list[str] = []

    @task
    def never_ends() -> None:
        begun.set()
        until(lambda: False)

    @task
    def waits(future: Future[None]) -> None:
        try:
            future.result()
        except BaseException as error:
            caught.append(type(error).__name__)
            raise

    @on(2)
    def program() -> None:
        waits.submit(quote(never_ends.submit()))
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    assert len(caught) == 1
    assert {run.end for run in record(home).task_runs} == {(CRASHED, "Crashed")}


@pytest.mark.parametrize("is_async", [False, True], ids=["task", "asynchronous task"])
@pytest.mark.parametrize("where", ["its own", "a flow that it called", "a flow that it submitted"])
def test_a_flow_out_of_time_does_not_wait_long_for_a_call_that_cannot_be_interrupted(
    where: str, is_async: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STOP_GRACE_S", SOON)
    monkeypatch.setattr(pool_module, "LATE_GRACE_S", 0.05)
    gate = threading.Event()

    @task
    def stuck() -> None:
        gate.wait(SOON)  # one call into C: no exception comes through

    @task
    async def stuck_in_its_loop() -> None:
        gate.wait(SOON)

    @flow
    def inner() -> None:
        (stuck_in_its_loop if is_async else stuck).submit().wait()

    @flow(timeout_seconds=0.3)
    def program() -> None:
        if where == "a flow that it called":
            inner()
        elif where == "a flow that it submitted":
            inner.submit().wait()
        else:
            inner.fn()

    before, begun_s = task_threads(), time.monotonic()
    with pytest.raises(FlowRunTimeoutError):
        program()
    assert time.monotonic() - begun_s < SOON / 2
    gate.set()
    until(lambda: task_threads() <= before)
    (run,) = record(home).task_runs
    assert run.end == (CANCELLED, "Cancelled")
    assert "nothing can interrupt it" in (run.last.message or "")


def test_a_task_in_a_call_that_does_not_come_back_is_ended_without_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STOP_GRACE_S", 0.05)
    begun, gate, out = threading.Event(), threading.Event(), threading.Event()
    thread: list[threading.Thread] = []

    @task
    def stuck() -> None:
        thread.append(threading.current_thread())
        begun.set()
        try:
            gate.wait(SOON)  # one call into C: no exception comes through
        finally:
            out.set()

    @on(1)
    def program() -> None:
        stuck.submit()
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    run = record(home).task_run("stuck")
    assert run.end == (CRASHED, "Crashed")
    assert "while it was running" in (run.last.message or "")
    gate.set()  # it comes back after all, and changes nothing
    assert out.wait(SOON)
    thread[0].join(SOON)
    assert record(home).task_run("stuck").names == run.names


def test_a_task_submitted_after_its_flow_ended_is_refused() -> None:
    kept: list[Any] = []

    @on(1)
    def program() -> None:
        add.submit(1).wait()
        kept.append(copy_context())

    program()
    with pytest.raises(MissingContextError, match="had ended"):
        kept[0].run(add.submit, 1)


def test_when_no_state_can_be_recorded_the_future_says_so_and_nothing_hangs() -> None:
    class Odd(list[Any]):
        def __init__(self) -> None:
            super().__init__()

        def __copy__(self) -> Any:
            raise TypeError("it cannot be copied")

    ends: list[State] = []

    @on(1)
    def program() -> None:
        odd = Odd()
        odd.append(add.submit(1))
        future = add.submit(odd)
        future.wait()
        ends.append(future.state)

    program()
    assert ends[0].is_final()
    assert ends[0].type in (FAILED, CRASHED)


# --- memory -----------------------------------------------------------------------------------------------------------


class Thing:
    """Something large."""


def test_futures_keep_neither_inputs_nor_runs_alive() -> None:
    inputs: list[weakref.ref[Thing]] = []
    runs: list[weakref.ref[Any]] = []

    @task
    def takes(thing: Thing) -> int:
        return 1

    @on(2)
    def program() -> None:
        futures = []
        for _ in range(100):
            thing = Thing()
            inputs.append(weakref.ref(thing))
            future = takes.submit(thing)
            if future.execution is not None:
                runs.append(weakref.ref(future.execution))
            futures.append(future)
            del thing
        wait(futures)
        until(lambda: not any(ref() for ref in (*inputs, *runs)))

    program()
    assert runs


def test_a_result_lives_as_long_as_its_future() -> None:
    @task
    def gives() -> Thing:
        return Thing()

    @on(1)
    def program() -> None:
        future = gives.submit()
        thing = weakref.ref(future.result())
        assert thing() is not None
        del future
        until(lambda: thing() is None)

    program()


def test_what_was_cancelled_while_it_slept_is_let_go_of_at_once() -> None:
    things: list[weakref.ref[Thing]] = []

    @task(retries=1, retry_delay_seconds=3600)
    def sleeps(thing: Thing) -> None:
        raise OSError

    @on(1)
    def program() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        future = sleeps.submit(thing)
        del thing
        until(lambda: future.state.name == "AwaitingRetry")
        sys.exit()

    with pytest.raises(SystemExit) as caught:
        program()
    del caught
    gc.collect()
    assert things[0]() is None
