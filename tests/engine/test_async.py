"""Asynchronous tasks and flows: in every mix with blocking ones, cancelled, timed, in their own contexts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED
from surefoot.exceptions import CrashedRun, TaskRunTimeoutError
from tests.engine.concurrency import SOON, Meter, add, no_thread_is_left, on, until  # noqa: F401  # one is a fixture
from tests.recorded import record


@task
async def async_add(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


# --- every mix --------------------------------------------------------------------------------------------------------


def test_direct_calls_of_asynchronous_tasks_can_be_gathered() -> None:
    @flow
    async def program() -> Any:
        return await asyncio.gather(*[async_add(n) for n in range(50)])

    assert asyncio.run(program()) == list(range(1, 51))


@pytest.mark.parametrize("workers", [1, 2, None])
def test_asynchronous_tasks_can_be_submitted_from_blocking_and_from_asynchronous_flows(workers: int | None) -> None:
    @on(workers)
    def blocking() -> list[int]:
        return async_add.map(range(5)).result()

    @on(workers)
    async def asynchronous() -> list[int]:
        futures = async_add.map(range(5))
        return [await future for future in futures] + [await add.submit(futures[0])]

    assert blocking() == [1, 2, 3, 4, 5]
    assert asyncio.run(asynchronous()) == [1, 2, 3, 4, 5, 2]


def test_a_coroutine_that_a_blocking_flow_or_task_returns_is_run(home: Path) -> None:
    @task
    def gives_coroutine() -> Any:
        return async_add(1)

    @flow
    def program() -> Any:
        return gives_coroutine()

    @flow
    def submits() -> Any:
        return gives_coroutine.submit().result()

    async def in_a_loop() -> list[Any]:
        return [program(), submits()]

    assert [program(), submits(), *asyncio.run(in_a_loop())] == [2, 2, 2, 2]
    assert {run.end for run in record(home).task_runs} == {(COMPLETED, "Completed")}


def test_a_blocking_task_that_returns_a_coroutine_lends_its_slot_while_that_awaits_a_task() -> None:
    async def awaits() -> int:
        return await add.submit(1)

    @task
    def gives_coroutine() -> Any:
        return awaits()

    @task
    def runs_a_loop() -> int:
        return asyncio.run(awaits())

    @task
    async def calls() -> int:
        return int(gives_coroutine()) + runs_in_a_thread()

    def runs_in_a_thread() -> int:
        return 0

    @on(1)
    def program() -> list[Any]:
        return [gives_coroutine.submit().result(), runs_a_loop.submit().result(), calls.submit().result()]

    assert program() == [2, 2, 2]


def test_blocking_tasks_and_flows_may_be_called_in_asynchronous_ones() -> None:
    @flow
    def inner(n: int) -> Any:
        return add(n) + add.submit(n).result() + async_add.submit(n).result()

    @task
    async def middle(n: int) -> Any:
        return inner(n) + await async_add(n)

    @flow
    async def program() -> Any:
        return await middle(1) + await middle.submit(1) + inner(1)

    assert asyncio.run(program()) == 8 + 8 + 6


def test_asynchronous_subflows_run_side_by_side() -> None:
    together = Meter()
    both = 0

    @flow
    async def inner(n: int) -> int:
        nonlocal both
        with together:
            both += 1
            while both < 2:
                await asyncio.sleep(0.001)  # house: skip sleep: it lets the other run
            return await async_add.submit(n)

    @flow
    async def program() -> Any:
        return await asyncio.gather(inner(1), inner(2))

    assert asyncio.run(program()) == [2, 3]
    assert together.most == 2


def test_a_thousand_asynchronous_tasks_wait_at_once_on_one_thread() -> None:
    meter = Meter()
    threads: set[int] = set()

    @task
    async def waits(gate: list[int]) -> None:
        threads.add(threading.get_ident())
        with meter:
            gate[0] += 1
            while gate[0] < 1_000:
                await asyncio.sleep(0.01)  # house: skip sleep: it lets the others run

    @on(None)
    def program() -> None:
        gate = [0]
        for _ in range(1_000):
            waits.submit(gate)

    program()
    assert meter.most == 1_000
    assert len(threads) == 1


def test_no_more_asynchronous_tasks_run_at_once_than_workers() -> None:
    meter = Meter()

    @task
    async def waits() -> None:
        with meter:
            await asyncio.sleep(0.001)  # house: skip sleep: it lets the others run

    @on(3)
    async def program() -> None:
        for future in [waits.submit() for _ in range(30)]:
            await future

    asyncio.run(program())
    assert meter.most == 3


# --- cancelled --------------------------------------------------------------------------------------------------------


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("kind", [flow, task], ids=["flow", "task"])
@pytest.mark.parametrize("way", ["timeout", "cancel", "task group"])
def test_a_run_that_its_event_loop_cancels_is_crashed_and_the_same_error_leaves_it(
    kind: Callable[..., Callable[..., Any]], way: str, home: Path
) -> None:
    left: list[BaseException] = []

    @kind
    async def waits() -> None:
        try:
            await forever()
        except asyncio.CancelledError as error:
            left.append(error)
            raise

    async def watched() -> None:
        try:
            await waits()
        except asyncio.CancelledError as error:
            left.append(error)
            raise

    async def main() -> None:
        if way == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await watched()
        elif way == "cancel":
            running = asyncio.create_task(watched())
            while not record_running():
                await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            with pytest.raises(BaseExceptionGroup) as caught:
                await grouped()
            assert [str(error) for error in caught.value.exceptions] == ["the neighbour"]

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watched())
            group.create_task(fails_soon())

    async def fails_soon() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        raise ValueError("the neighbour")

    ticks = iter(range(5))

    def record_running() -> bool:
        return next(ticks, None) is None

    asyncio.run(main())
    assert len(left) == 2
    assert left[0] is left[1]
    found = record(home)
    (run,) = [*found.flow_runs, *found.task_runs]
    assert run.end == (CRASHED, "Crashed")
    assert run.last.message == "cancelled by the event loop"


def test_a_flow_that_is_cancelled_ends_its_submitted_tasks_first(home: Path) -> None:
    begun = threading.Event()

    @task
    async def on_loop() -> None:
        begun.set()
        await forever()

    @task
    def on_thread() -> None:
        begun.set()
        until(lambda: False)

    @on(2)
    async def program() -> None:
        on_loop.submit()
        on_thread.submit()
        add.submit(1)
        while not begun.is_set():
            await asyncio.sleep(0)
        await forever()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await program()

    asyncio.run(main())
    found = record(home)
    assert found.flow_run().end == (CRASHED, "Crashed")
    ends = {run.of: run.end[0] for run in found.task_runs}
    assert ends == {"on_loop": CRASHED, "on_thread": CRASHED, "add": CANCELLED}


def test_a_task_that_cancels_everything_on_its_loop_hits_its_neighbours_and_hangs_nobody(home: Path) -> None:
    ends: set[str] = set()

    @task
    async def waits() -> None:
        await forever()

    @task
    async def vandal() -> None:
        await asyncio.sleep(0)
        for running in asyncio.all_tasks():
            running.cancel()

    @on(None)
    def program() -> None:
        futures = [waits.submit() for _ in range(5)]
        until(lambda: all(future.state.is_running() for future in futures))
        futures.append(vandal.submit())
        for future in futures:
            future.wait()
            ends.add(future.state.name)
        with pytest.raises(CrashedRun, match="cancelled by the event loop"):
            futures[0].result()
        assert async_add.submit(1).result() == 2  # the loop goes on

    program()
    assert ends == {"Crashed"} or ends == {"Crashed", "Completed"}


def test_what_a_submitted_task_leaves_behind_on_its_loop_is_cancelled_at_the_end() -> None:
    cancelled = threading.Event()

    async def lives_on() -> None:
        try:
            await forever()
        finally:
            cancelled.set()

    @task
    async def leaves() -> Any:
        left = asyncio.get_running_loop().create_task(lives_on())
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)  # a thread of the loop's own, which ends too
        return None if left.done() else "left"

    @on(None)
    def program() -> Any:
        return leaves.submit().result()

    assert program() == "left"
    assert cancelled.is_set()


# --- timed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["called", "submitted"])
def test_the_innermost_time_limit_that_is_up_ends_its_own_call_alone(way: str, home: Path) -> None:
    @task(timeout_seconds=0.05)
    async def inner() -> None:
        await forever()

    @task(timeout_seconds=SOON)
    async def outer() -> str:
        with pytest.raises(TaskRunTimeoutError, match="50 ms"):
            await (inner() if way == "called" else inner.submit())
        async with asyncio.timeout(SOON):
            await asyncio.sleep(0)
        return "went on"

    @flow(timeout_seconds=SOON)
    async def program() -> Any:
        return await outer()

    assert asyncio.run(program()) == "went on"
    ends = {run.of: run.end for run in record(home).task_runs}
    assert ends == {"inner": (FAILED, "TimedOut"), "outer": (COMPLETED, "Completed")}


def test_an_outer_time_limit_ends_what_it_called(home: Path) -> None:
    @task(timeout_seconds=SOON)
    async def inner() -> None:
        await forever()

    @task(timeout_seconds=0.05)
    async def outer() -> None:
        await inner()

    @flow
    async def program() -> str:
        with pytest.raises(TaskRunTimeoutError, match="outer"):
            await outer()
        return "went on"

    assert asyncio.run(program()) == "went on"
    ends = {run.of: run.end[1] for run in record(home).task_runs}
    assert ends["outer"] == "TimedOut"
    assert ends["inner"] in ("Cancelled", "Crashed")


def test_a_time_limit_ends_the_wait_for_a_future_and_the_slot_comes_back(home: Path) -> None:
    gate = threading.Event()

    @task
    def slow() -> bool:
        return gate.wait(SOON)

    @task(timeout_seconds=0.05)
    async def impatient() -> None:
        await slow.submit()

    @on(1)
    def program() -> list[Any]:
        late = impatient.submit()
        late.wait()
        gate.set()
        return [late.state.name, add.submit(1).result(timeout=SOON)]

    assert program() == ["TimedOut", 2]


# --- contexts, hooks --------------------------------------------------------------------------------------------------

variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.mark.parametrize("way", ["called", "submitted"])
def test_a_task_sees_the_context_of_its_caller_and_changes_but_its_own(way: str) -> None:
    @task
    async def changes(n: int) -> list[str]:
        found = [variable.get()]
        variable.set(f"of task {n}")
        await asyncio.sleep(0)
        return [*found, variable.get()]

    @flow
    async def program() -> list[Any]:
        variable.set("of the flow")
        runs = [changes(n) if way == "called" else changes.submit(n) for n in range(3)]
        return [*await asyncio.gather(*runs), variable.get()]

    wanted = [["of the flow", f"of task {n}"] for n in range(3)]
    assert asyncio.run(program()) == [*wanted, "of the flow"]
    assert variable.get() == "unset"


def test_asynchronous_hooks_and_conditions_are_awaited_in_every_driver() -> None:
    called: list[str] = []

    async def hook(_definition: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        called.append(f"{run.name} {state.name}")

    async def condition(_task: Any, _run: Any, _state: Any) -> bool:
        await asyncio.sleep(0)
        called.append("asked")
        return True

    options: dict[str, Any] = {
        "retries": 1,
        "retry_condition_fn": condition,
        "on_running": [hook],
        "on_failure": [hook],
        "task_run_name": "run",
    }

    @task(**options)
    async def on_loop() -> None:
        raise OSError

    @task(**options)
    def on_thread() -> None:
        raise OSError

    wanted = ["run Running", "asked", "run Retrying", "run Failed"]

    @flow
    def blocking() -> None:
        for one in (on_thread, on_loop):
            one.submit().wait()
            assert called == wanted
            called.clear()
        on_thread(return_state=True)

    @flow
    async def asynchronous() -> None:
        await on_loop(return_state=True)

    blocking()
    assert called == wanted
    called.clear()
    asyncio.run(asynchronous())
    assert called == wanted


def test_an_exit_in_an_asynchronous_submitted_task_is_told_to_who_asks(home: Path) -> None:
    @task
    async def exits() -> None:
        await asyncio.sleep(0)
        raise SystemExit("enough")

    @on(1)
    def program() -> int:
        with pytest.raises(CrashedRun, match="enough"):
            exits.submit().result()
        return async_add.submit(1).result()

    assert program() == 2
    assert record(home).task_run("exits").end == (CRASHED, "Crashed")
