"""Chapter 1.3 of the reference: flows within flows, called, submitted and mapped."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import Skip, allow_failure, flow, tags, task, unmapped
from surefoot.client import get_client
from surefoot.core.errors import MappingLengthMismatch, MissingContextError, NotReadyRun, ParameterBindError
from surefoot.core.wire import FlowRunFilter
from surefoot.exceptions import CancelledRun, FlowRunTimeoutError
from surefoot.futures import FlowRunFuture, as_completed, wait
from surefoot.states import State
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.faults.program import assert_all_ended, program, runs_in
from tests.recorded import record
from tests.reference.rows import row


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def fail() -> int:
    raise ValueError("broken")


@flow
def child(number: int, more: int = 1) -> int:
    return add.submit(number, add.submit(more, 0)).result()


@flow
async def async_child(number: int) -> int:
    return await add.submit(number, 1)


# -- upstreams of a flow that is called


@row("1.42")
@pytest.mark.parametrize("is_submitted", [False, True])
def test_a_flow_waits_for_what_it_is_to_wait_for(row: str, is_submitted: bool, home: Path) -> None:
    def end_of(*args: Any, **kwargs: Any) -> State:
        state: State = (child.submit if is_submitted else child)(*args, return_state=True, **kwargs)
        return state

    @flow
    def main() -> list[str | None]:
        good = end_of(1, wait_for=[add.submit(1, 1)])
        bad = end_of(1, wait_for=[fail.submit()])
        allowed = end_of(1, wait_for=allow_failure([fail.submit()]))
        by_data = end_of(fail.submit())
        return [f"{state.type.value}/{state.name}: {state.message}" for state in (good, bad, allowed, by_data)]

    assert main() == [
        "COMPLETED/Completed: None",
        "FAILED/NotReady: `fail` failed: ValueError: broken",
        "COMPLETED/Completed: None",
        "FAILED/NotReady: `fail` failed: ValueError: broken",
    ]
    runs = [run for run in record(home).flow_runs if run.of == "child"]
    assert [run.names for run in runs][1] == ["Pending", "NotReady"]


@row("1.46", "1.47")
def test_sync_and_async_flows_call_each_other(row: str) -> None:
    @flow
    async def outer() -> list[int]:
        return [child(1), await async_child(2), *await asyncio.gather(async_child(3), async_child(4))]

    @flow
    def blocking() -> Any:
        return async_child(5)  # a coroutine that is returned is run, and its value is the flow's

    assert asyncio.run(outer()) == [2, 3, 4, 5]
    assert blocking() == 6


# -- flows that are submitted


RUNNERS = [ThreadPoolTaskRunner(max_workers=1), ThreadPoolTaskRunner(), ProcessPoolTaskRunner(max_workers=1)]


@row("1.48", "1.51")
@pytest.mark.parametrize("runner", RUNNERS, ids=["one thread", "threads", "one process"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_submitted_flows_give_futures_on_every_runner(row: str, runner: Any, is_async: bool, home: Path) -> None:
    kind: Any = async_child if is_async else child

    def body() -> list[int]:
        first = kind.submit(1)
        assert isinstance(first, FlowRunFuture)
        second = kind.submit(first)
        mapped = kind.map([10, second, add.submit(0, 100)])
        found: list[int] = [first.result(), second.result(), *mapped.result()]
        return found

    assert flow(name="outer", task_runner=runner)(body)() == [2, 3, 11, 4, 101]
    outer, *inner = record(home).flow_runs
    assert len(inner) == 5
    assert all(run.created.parent_flow_run_id == outer.created.run_id for run in inner)  # type: ignore[union-attr]
    assert all(run.end[1] == "Completed" for run in inner)


@row("1.48")
def test_a_flow_that_is_async_awaits_those_that_it_submits(row: str) -> None:
    @flow
    async def outer() -> list[int]:
        futures = [*async_child.map([1, 2]), child.submit(3)]
        return [await future for future in futures]

    assert asyncio.run(outer()) == [2, 3, 4]


@row("1.48")
def test_submitted_flows_run_beside_each_other(row: str) -> None:
    meeting = threading.Barrier(3)

    @flow
    def meets() -> int:
        return meeting.wait(timeout=30)

    here: list[int] = []

    @flow
    async def meets_here() -> None:
        here.append(1)
        while len(here) < 3:
            await asyncio.sleep(0)

    @flow
    def outer() -> None:
        assert sorted(future.result() for future in [meets.submit() for _ in range(3)]) == [0, 1, 2]
        wait([meets_here.submit() for _ in range(3)])

    outer()


@row("1.48", "1.53")
def test_nested_waits_end_with_one_worker(row: str) -> None:
    one = ThreadPoolTaskRunner(max_workers=1)

    @flow(task_runner=one)
    def depth(levels: int) -> int:
        if levels == 0:
            return 0
        inner: int = depth.submit(levels - 1).result()
        return 1 + inner

    @task
    def by_task(number: int) -> int:
        both: int = child.submit(number).result() + child(number)
        return both

    @flow(task_runner=one)
    def outer() -> list[int]:
        first = child.submit(by_task.submit(1))
        return [depth.submit(4).result(), first.result(), sum(child.map(range(5)).result())]

    assert outer() == [4, 5, 15]


@row("1.48")
def test_both_kinds_of_futures_are_waited_for_alike(row: str) -> None:
    @flow
    def outer() -> None:
        futures = [child.submit(1), add.submit(5, 5), async_child.submit(3)]
        assert sorted(future.result() for future in as_completed(futures)) == [2, 4, 10]
        assert wait(futures).not_done == set()
        calls: list[Any] = []
        futures[0].add_done_callback(calls.append)
        assert calls == [futures[0]]
        flow_future: Any = futures[0]
        assert flow_future.state.state_details.get("flow_run_id") == flow_future.flow_run_id
        assert not hasattr(flow_future, "task_run_id")
        assert repr(flow_future).startswith("<FlowRunFuture ")

    outer()


@row("1.48")
def test_a_flow_returns_futures_of_flows_and_what_was_not_waited_for_ends_first(row: str, home: Path) -> None:
    @flow
    def outer() -> Any:
        child.submit(7)
        return [child.submit(1), {"two": async_child.submit(2)}]

    assert outer() == [2, {"two": 3}]
    assert {run.end[1] for run in record(home).flow_runs} == {"Completed"}


@row("1.48")
def test_failures_of_submitted_flows_come_with_their_futures(row: str) -> None:
    @flow(retries=1)
    def breaks(path: str) -> None:
        raise OSError(path)

    @flow
    def outer() -> None:
        future = breaks.submit("a")
        with pytest.raises(OSError, match="a"):
            future.result()
        assert future.state.is_failed()
        assert isinstance(future.result(raise_on_failure=False), OSError)
        after = child.submit(future)
        with pytest.raises(NotReadyRun, match="`breaks` failed: OSError: a"):
            after.result()
        refused: Any = child.submit
        with pytest.raises(ParameterBindError):
            refused()
        with pytest.raises(Exception, match="valid integer"):
            refused("x").result()
        states = breaks.map(["b", "c"], return_state=True)
        assert [state.name for state in states] == ["Failed", "Failed"]

    outer()


@row("1.48")
def test_a_failure_that_nobody_asks_for_does_not_fail_the_flow_around_it(row: str, home: Path) -> None:
    @flow
    def breaks() -> None:
        raise OSError("no disk")

    @flow
    def outer() -> None:
        breaks.submit()

    outer()
    ends = {run.of: run.end[1] for run in record(home).flow_runs}
    assert ends == {"outer": "Completed", "breaks": "Failed"}


@row("1.48")
def test_map_takes_arguments_as_that_of_a_task_does(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def total(numbers: list[int], more: int) -> int:
        return sum(numbers) + more

    @flow
    def outer() -> None:
        assert total.map(unmapped([1, 2]), [10, 20]).result() == [13, 23]
        assert total.map([[1], [2]], more=range(2)).result() == [1, 3]
        assert child.map([]) == []
        with pytest.raises(MappingLengthMismatch):
            total.map([[1]], [1, 2])

    outer()
    assert "map total: 2 runs, in" in capsys.readouterr().err


@row("1.48")
def test_a_skip_goes_on_through_flows(row: str) -> None:
    @flow
    def look() -> None:
        raise Skip("nothing new")

    @flow
    def outer() -> list[str | None]:
        looked = look.submit()
        after = child.submit(1, wait_for=[looked])
        after.wait()
        return [looked.state.name, looked.result(), after.state.name, after.state.message]

    assert outer() == ["Skipped", None, "Skipped", "`look` was skipped: nothing new"]


@row("1.48")
def test_outside_of_a_flow_and_for_generators_submit_is_refused(row: str) -> None:
    with pytest.raises(MissingContextError, match=r"Flow 'child' was given to \.submit\(\) outside of a flow"):
        child.submit(1)
    with pytest.raises(MissingContextError, match=r"\.map\(\)"):
        child.map([1])

    @flow
    def numbers() -> Iterator[int]:
        yield 1

    @flow
    def outer() -> None:
        for verb in (numbers.submit, numbers.map):
            with pytest.raises(TypeError, match="yields its values one by one"):
                verb()

    outer()


@row("1.51", "2.59")
def test_tags_names_and_context_are_those_of_the_caller(row: str, home: Path) -> None:
    @flow(flow_run_name="part-{number}", tags=["own"])
    def part(number: int) -> None: ...

    @flow
    def outer() -> None:
        with tags("nightly"):
            part.submit(add.submit(1, 1)).wait()

    outer()
    run = record(home).flow_run("part")
    assert run.name == "part-2"
    assert set(run.created.tags) == {"own", "nightly"}


@row("1.51")
def test_a_time_limit_holds_for_a_submitted_flow_and_ends_what_it_started(row: str, home: Path) -> None:
    stay = threading.Event()

    @task
    def waits() -> None:
        stay.wait(60)

    @flow(timeout_seconds=0.2)
    def slow() -> None:
        waits.submit().result()

    @flow(timeout_seconds=0.2)
    async def slow_async() -> None:
        await asyncio.Event().wait()

    @flow
    def outer() -> None:
        for late in (slow.submit(), slow_async.submit()):
            with pytest.raises(FlowRunTimeoutError, match="took longer than its 200 ms"):
                late.result()

    outer()
    stay.set()
    recorded = record(home)
    assert {run.end[1] for run in recorded.flow_runs if run.of != "outer"} == {"TimedOut"}
    assert recorded.task_run("waits").end[1] == "Cancelled"


@row("1.51")
def test_retries_delays_and_hooks_of_a_submitted_flow(row: str, home: Path) -> None:
    heard: list[str] = []

    @flow(retries=2, retry_delay_seconds=0.01, on_completion=[lambda flow, run, state: heard.append(state.name)])
    def flaky() -> int:
        heard.append("called")
        if len(heard) < 3:
            raise ValueError("not yet")
        return 5

    @flow
    def outer() -> int:
        found: int = flaky.submit().result()
        return found

    assert outer() == 5
    assert heard == ["called", "called", "called", "Completed"]
    names = record(home).flow_run("flaky").names
    assert names == ["Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed"]


# -- stopping


STOPS = """
@task
def waits():
    say("task")
    spin()
def hook(*_): say("hook")
@flow(on_cancellation=[hook], on_crashed=[hook])
def inner():
    waits.submit().wait()
@flow(on_cancellation=[hook], on_crashed=[hook])
def inner_parked():
    return waits.submit()
@flow
def stays():
    while not os.path.exists(sys.argv[1]): time.sleep(0.001)
async def hook_later(*_): say("hook")
@flow(on_cancellation=[hook_later], on_crashed=[hook])
async def inner_async():
    say("task")
    await asyncio.sleep(1000)
@flow
def f():
    other, future = stays.submit(), KIND.submit()
    try: future.result()
    except Exception as error: say(type(error).__name__)
    open(sys.argv[1], "w").close()
    other.result()
try: f()
except BaseException as error: say(type(error).__name__); raise
"""


@row("1.51")
@pytest.mark.parametrize("kind", ["inner", "inner_parked", "inner_async"])
def test_a_submitted_flow_can_be_cancelled_alone(row: str, kind: str, home: Path, tmp_path: Path) -> None:
    with closing(get_client()) as client:
        with program(STOPS.replace("KIND", kind), home, str(tmp_path / "go")) as running:
            running.wait_for("task")
            (run,) = client.flow_runs(FlowRunFilter(flow_name=[kind.replace("_", "-")])).results
            client.cancel_flow_run(run.id)
            running.wait_for("hook")
            running.wait_for("CancelledRun")
            assert running.end().status == 0
        ends = {run.flow_name: run.state_name for run in client.flow_runs().results}
    assert ends == {"f": "Completed", "stays": "Completed", kind.replace("_", "-"): "Cancelled"}
    assert_all_ended(home)


@row("1.51")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["inner", "inner_parked", "inner_async"])
def test_a_signal_ends_submitted_flows_and_their_tasks(
    row: str, number: int, kind: str, home: Path, tmp_path: Path
) -> None:
    with program(STOPS.replace("KIND", kind), home, str(tmp_path / "go")) as running:
        running.wait_for("task")
        running.send(number)
        end = running.end()
    assert (end.status != 0, end.stdout.count("hook")) == (True, 1)
    assert_all_ended(home)
    assert {run.end[1] for run in runs_in(home) if run.of != "waits"} == {"Crashed"}


@row("1.51")
def test_to_cancel_a_flow_cancels_those_that_it_submitted(row: str, home: Path, tmp_path: Path) -> None:
    with closing(get_client()) as client:
        with program(STOPS.replace("KIND", "inner"), home, str(tmp_path / "go")) as running:
            running.wait_for("task")
            (run,) = client.flow_runs(FlowRunFilter(flow_name=["f"])).results
            client.cancel_flow_run(run.id)
            assert running.end().status != 0
        ends = {run.flow_name: run.state_name for run in client.flow_runs().results}
    assert ends == {"f": "Cancelled", "stays": "Cancelled", "inner": "Cancelled"}
    assert_all_ended(home)


@row("1.51")
def test_what_was_cancelled_is_told_to_whoever_asks(row: str) -> None:
    from surefoot.engine.commands import cancel

    begun = threading.Event()

    @flow
    def spins() -> None:
        begun.set()
        while True:
            threading.Event().wait(0.001)

    @flow
    def outer() -> None:
        future = spins.submit()
        assert begun.wait(30)
        assert cancel(future.run_id, "asked by a test")
        with pytest.raises(CancelledRun, match="asked by a test"):
            future.result()
        assert future.state.is_cancelled()

    outer()


@row("1.52")
def test_a_submitted_flow_that_completed_is_not_called_again_when_its_caller_goes_on(row: str, home: Path) -> None:
    calls: list[int] = []
    broken = [True]

    @flow
    def part(number: int) -> int:
        calls.append(number)
        if number == 2 and broken:
            raise ValueError("broken")
        return number * 10

    @flow
    def outer() -> list[int]:
        parts = part.map([1, 2, 3])
        parts.wait()  # else those that have not begun when the first fails are cancelled
        return parts.result()

    state = outer(return_state=True)
    assert state.is_failed()
    broken.clear()
    assert sorted(calls) == [1, 2, 3]
    assert outer.retry(str(state.state_details["flow_run_id"])) == [10, 20, 30]
    assert sorted(calls) == [1, 2, 2, 3]
    with closing(get_client()) as client:
        runs = client.flow_runs(FlowRunFilter(flow_name=["part"])).results
    assert sorted(run.state_name for run in runs) == ["Cached", "Cached", "Completed"]


@row("1.54")
def test_a_flow_called_in_a_thread_is_a_run_of_its_own(row: str, home: Path) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(child(1)))
    thread.start()
    thread.join()
    assert found == [2]
    assert record(home).flow_run("child").created.parent_flow_run_id is None  # type: ignore[union-attr]


@row("1.53")
def test_a_flow_may_be_submitted_by_a_task_and_in_a_process_of_its_own(row: str, home: Path) -> None:
    text = """
    from surefoot.task_runners import ProcessPoolTaskRunner
    @flow
    def inner(number): return number + 1
    @task
    def calls(): return sum(inner.map([1, 2]).result()) + inner.submit(inner.submit(5)).result()
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def f(): return calls.submit().result()
    say(f())
    """
    with program(text, home) as running:
        running.wait_for("12")
        assert running.end().status == 0
    assert_all_ended(home)
    assert [run.of for run in runs_in(home)].count("inner") == 4
