"""The matrix of errors and edges that users of the field know, one line each: what happens, in which words, and what is
recorded. Where a line does better than they know, its name says `mended`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from surefoot import Flow, State, Task, allow_failure, flow, get_run_logger, task, unmapped
from surefoot.cache_policies import INPUTS
from surefoot.exceptions import (
    BadInput,
    CancelledRun,
    ConfigurationError,
    CrashedRun,
    FailedRun,
    HashError,
    InvalidNameError,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContextError,
    NotReadyRun,
    ParameterBindError,
    ParameterTypeError,
    PausedRun,
    ReservedArgumentError,
    TaskRunTimeoutError,
    TemplateError,
)
from surefoot.futures import as_completed, wait
from surefoot.states import Cancelled, Completed, Crashed, Failed, Paused, Pending, Running, Scheduled
from surefoot.transactions import IsolationLevel
from tests.recorded import record

never = threading.Event()


class Case(NamedTuple):
    """One line of the matrix."""

    act: Callable[[], Any]
    raises: type[BaseException] | None = None
    also: type[BaseException] | None = None  # the usual error that it is a kind of
    says: str | None = None  # in what is told: the thing by its name
    way_out: str = ""  # in what to do
    ends: tuple[str, ...] = ()  # "flow or task: TYPE name", for each run that was recorded
    gives: Any = None


# -- what the lines are about ------------------------------------------------------------------------------------------


def plain(x: int = 1) -> int:
    return x


@task
def fail() -> int:
    raise ValueError("no disk")


@task
def give(x: Any, y: Any = None) -> Any:
    return x


@task(timeout_seconds=30)
def slow() -> None:
    for _ in range(3):
        never.wait(0.05)


def flow_that(body: Callable[..., Any], **options: Any) -> Flow[Any, Any]:
    return flow(name="main", **options)(body)


def returning(*values: Any, **options: Any) -> Flow[Any, Any]:
    """A flow that returns these, one at each attempt."""
    left = list(values)

    def main() -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    return flow_that(main, **options)


def calls(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: make()()


def in_a_flow(body: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: flow_that(body)()


def needs_two(a: int, b: int) -> int:
    return a + b


needs_two_flow: Any = flow(needs_two)


@dataclass
class Box:
    inner: Any


def leave() -> None:
    raise SystemExit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def broken_hook(*_: Any) -> None:
    raise RuntimeError("in the hook")


def exit_in_a_submitted_task() -> str:
    future = task(name="leaves")(leave).submit()
    future.wait()
    assert future.state.is_crashed()
    with pytest.raises(CrashedRun, match=r"sys\.exit\(3\)"):
        future.result()
    return "goes on"


def downstream() -> list[str]:
    first = fail.submit()
    second = give.submit(first)
    third = give.submit(second)
    waited = give.submit(1, wait_for=[first])
    saved = give.submit(allow_failure(first))
    wait([second, third, waited, saved])
    with pytest.raises(NotReadyRun, match="`fail` failed: ValueError: no disk"):
        second.result()
    with pytest.raises(NotReadyRun, match="`give` did not run: `fail` failed"):
        third.result()
    assert isinstance(saved.result(), ValueError)
    return [future.state.name for future in (first, second, third, waited, saved)]


def containers() -> Any:
    one = give.submit(1)
    box = give.submit(Box(one))
    thing = SimpleNamespace(inner=one)
    assert give.submit(thing).result().inner is one, "in an object of one's own it stays, and can be waited for"
    assert thing.inner.result() == 1
    return give.submit([one]).result(), give.submit({"a": one}).result(), box.result().inner


def timeouts() -> str:
    future = slow.submit()
    with pytest.raises(TimeoutError, match=r"was not done after 0\.01 s; it goes on"):
        future.result(timeout=0.01)
    future.wait(timeout=0.01)
    with pytest.raises(TimeoutError, match=r"1 of 1 runs were not done after 0\.01 s"):
        list(as_completed([future], timeout=0.01))
    assert wait([future], timeout=0.01).not_done == {future}
    for ask in (future.result, future.wait, lambda timeout: wait([future], timeout)):
        with pytest.raises(ValueError, match="timeout is -1"):
            ask(timeout=-1)
    return "waited"


def a_lock() -> Any:
    return threading.Lock()


def locked(x: int, lock: Any) -> int:
    return x


def one_key(context: Any, parameters: dict[str, Any]) -> str:
    return "K"


def two_that_share_a_key() -> tuple[int, int]:
    double, square = task(cache_key_fn=one_key)(lambda x: 2 * x), task(cache_key_fn=one_key)(lambda x: x * x)
    return double(3), square(3)


def two_of_the_same_inputs() -> tuple[int, int]:
    def double(x: int) -> int:
        return 2 * x

    def square(x: int) -> int:
        return x * x

    return task(cache_policy=INPUTS)(double)(3), task(cache_policy=INPUTS)(square)(3)


# For what a type checker refuses.
a_flow: Any = flow
a_task: Any = task
ITERABLES: list[Callable[[], Any]] = [
    list,
    lambda: {"a": 1, "b": 2},
    lambda: {1, 2, 3},
    lambda: range(4),
    lambda: iter("abcde"),
]

MATRIX: dict[str, Case] = {
    # decorators
    "a flow's name with a slash": Case(
        lambda: a_flow(name="a/b")(plain), InvalidNameError, ValueError, "Flow name 'a/b' contains /", "without any of"
    ),
    "a task's name with a percent sign": Case(
        lambda: a_task(name="50%")(plain), InvalidNameError, ValueError, "Task name '50%' contains %", "without any of"
    ),
    "a name that is no text": Case(lambda: a_flow(name=3)(plain), BadInput, TypeError, "Flow name is 3", 'name="..."'),
    "a function for a name": Case(
        lambda: a_flow(name=plain)(plain), BadInput, TypeError, "Did you forget the parentheses", "Pass a text"
    ),
    "a lambda": Case(lambda: a_flow(lambda: 3)(), gives=3, ends=("unknown-lambda: COMPLETED Completed",)),
    "hooks that are no list": Case(
        lambda: a_flow(on_failure=3)(plain),
        BadInput,
        TypeError,
        "on_failure of flow 'plain' is 3",
        r"on_failure=\[my_hook\]",
    ),
    "a hook that is no function": Case(
        lambda: a_task(on_running=["x"])(plain),
        BadInput,
        TypeError,
        "on_running of task 'plain' contains 'x'",
        "Pass a list",
    ),
    "mended: delays of a flow as a list": Case(
        calls(lambda: a_flow(retries=1, retry_delay_seconds=[0, 2])(plain)),
        gives=1,
        ends=("plain: COMPLETED Completed",),
    ),
    "a time limit of zero": Case(
        calls(lambda: a_flow(timeout_seconds=0)(plain)), gives=1, ends=("plain: COMPLETED Completed",)
    ),
    "a time limit below zero": Case(
        lambda: a_task(timeout_seconds=-1)(plain),
        BadInput,
        ValueError,
        "timeout_seconds of a task is -1",
        "Pass a number",
    ),
    "a time limit that is no number": Case(
        lambda: a_flow(timeout_seconds="5")(plain), BadInput, TypeError, "timeout_seconds of a flow is '5'", "seconds"
    ),
    "a delay that is no number": Case(
        lambda: a_task(retry_delay_seconds="x")(plain),
        BadInput,
        TypeError,
        "retry_delay_seconds is 'x'",
        "list of them",
    ),
    "51 delays": Case(
        lambda: a_task(retry_delay_seconds=[1] * 51)(plain),
        BadInput,
        ValueError,
        "has 51 delays; 50 are",
        "Shorten the list",
    ),
    "jitter below zero": Case(
        lambda: a_task(retry_jitter_factor=-1)(plain), BadInput, ValueError, "retry_jitter_factor is -1", "at least 0"
    ),
    "retries that are no number": Case(
        lambda: a_task(retries="3")(plain), BadInput, TypeError, "retries of a task is '3'", "retries=3"
    ),
    "retries below zero": Case(
        calls(lambda: a_task(retries=-1)(fail.fn)), ValueError, says="no disk", ends=("fail: FAILED Failed",)
    ),
    "a condition that is no function": Case(
        lambda: a_task(retry_condition_fn=3)(plain),
        BadInput,
        TypeError,
        "retry_condition_fn of task 'plain' is 3",
        "-> bool",
    ),
    "an option that there is not": Case(
        lambda: a_flow(retrys=3)(plain), BadInput, TypeError, "@flow has no option 'retrys'", r"Did you mean retries\?"
    ),
    "a reserved parameter, return_state": Case(
        lambda: a_flow(lambda return_state: 0),
        ReservedArgumentError,
        ValueError,
        "a parameter 'return_state'",
        "Rename",
    ),
    "a reserved parameter, wait_for": Case(
        lambda: a_task(lambda wait_for: 0), ReservedArgumentError, ValueError, "a parameter 'wait_for'", "Rename"
    ),
    "a name without the word name": Case(
        lambda: a_flow("nightly"), BadInput, TypeError, "@flow got 'nightly'", r"@flow\(name='nightly'\)"
    ),
    "mended: a run name over a missing parameter": Case(
        lambda: a_flow(flow_run_name="{day}")(plain),
        TemplateError,
        ValueError,
        r"names \{day\}, no parameter",
        r"\{x\}",
    ),
    "a run name of the wrong type": Case(
        lambda: a_task(task_run_name=3)(plain), BadInput, TypeError, "task_run_name of task 'plain' is 3", "load-{day}"
    ),
    "a run name that is made, and is no text": Case(
        calls(lambda: a_flow(flow_run_name=lambda: 3)(plain)),
        BadInput,
        TypeError,
        "flow_run_name of 'plain' returned 3",
        "Return a text",
        ("plain: FAILED NotReady",),
    ),
    # calls
    "an argument is missing": Case(
        lambda: needs_two_flow(1),
        ParameterBindError,
        TypeError,
        "Flow 'needs-two' .* missing a required argument: 'b'",
        r"needs-two\(a: 'int', b: 'int'\)",
    ),
    "an argument too much": Case(
        lambda: fail(1),  # type: ignore[call-overload]
        ParameterBindError,
        TypeError,
        "Task 'fail' .* too many positional",
        r"fail\(\)",
    ),
    "a value of the wrong type": Case(
        lambda: needs_two_flow(1, "two"),
        ParameterTypeError,
        TypeError,
        "Flow 'needs-two' got b='two': input should be",
        "change the annotation",
        ("needs-two: FAILED NotReady",),
    ),
    "a submit outside of flows": Case(
        lambda: fail.submit(),
        MissingContextError,
        RuntimeError,
        r"Task 'fail' was given to \.submit\(\)",
        r"fail\(\.\.\.\)",
    ),
    "a map outside of flows": Case(
        lambda: give.map([1]),
        MissingContextError,
        RuntimeError,
        r"Task 'give' was given to \.map\(\)",
        "decorated with @flow",
    ),
    "a run logger outside of runs": Case(
        get_run_logger,
        MissingContextError,
        RuntimeError,
        r"get_run_logger\(\) was called outside",
        "disable_run_logger",
    ),
    # maps
    "a map over what is unmapped": Case(
        in_a_flow(lambda: give.map(unmapped([1]))),
        MappingMissingIterable,
        ValueError,
        r"give\.map\(\) got no iterable",
        r"give\.submit\(\)",
        ("main: FAILED Failed",),
    ),
    "a map over a text": Case(
        in_a_flow(lambda: give.map("abc")),
        MappingMissingIterable,
        ValueError,
        r"give\.map\(\) got no iterable",
        "Pass a list",
        ("main: FAILED Failed",),
    ),
    "a map over lengths 2 and 3": Case(
        in_a_flow(lambda: give.map([1, 2], y=[1, 2, 3])),
        MappingLengthMismatch,
        ValueError,
        "'x' has 2, 'y' has 3",
        "unmapped",
        ("main: FAILED Failed",),
    ),
    "maps over nothing, a dict, a set, a range, a generator": Case(
        in_a_flow(lambda: [len(give.map(over())) for over in ITERABLES]),
        gives=[0, 2, 3, 4, 5],
        ends=("main: COMPLETED Completed", *["give: COMPLETED Completed"] * 14),
    ),
    "mended: a map that its task cannot take": Case(
        in_a_flow(lambda: fail.map([1, 2])),
        ParameterBindError,
        TypeError,
        "Task 'fail'",
        r"fail\(\)",
        ("main: FAILED Failed",),
    ),
    # returned states
    "mended: a list of states, one failed": Case(
        returning([Completed(), Failed()]), FailedRun, None, r"The run ended Failed", ends=("main: FAILED Failed",)
    ),
    "mended: a failed state in a dict": Case(
        returning({"a": Failed(message="no disk")}), FailedRun, None, "no disk", ends=("main: FAILED Failed",)
    ),
    "a cancelled state": Case(returning(Cancelled()), CancelledRun, ends=("main: CANCELLED Cancelled",)),
    "a crashed state": Case(
        returning(Crashed(message="too hot")), CrashedRun, None, "too hot", ends=("main: CRASHED Crashed",)
    ),
    "a failed state with a name": Case(
        returning(Failed(name="Rejected", message="3 % null")),
        FailedRun,
        None,
        "3 % null",
        ends=("main: FAILED Rejected",),
    ),
    "a completed state with data": Case(
        returning(Completed(data=3, name="Enough")), gives=3, ends=("main: COMPLETED Enough",)
    ),
    "a paused state": Case(returning(Paused()), PausedRun, None, "The run is Paused", ends=("main: PAUSED Paused",)),
    "mended: a running state": Case(
        returning(Running()),
        FailedRun,
        None,
        "it returned the state Running, which is not an end",
        ends=("main: FAILED Failed",),
    ),
    "mended: a scheduled state": Case(
        returning(Scheduled()),
        FailedRun,
        None,
        "the state Scheduled, which is not an end",
        ends=("main: FAILED Failed",),
    ),
    "mended: a pending state": Case(
        returning(Pending()), FailedRun, None, "the state Pending, which is not an end", ends=("main: FAILED Failed",)
    ),
    "mended: a flow with retries that returns a failed state": Case(
        returning(Failed(), Failed(), 3, retries=2), gives=3, ends=("main: COMPLETED Completed",)
    ),
    "one cancelled, one failed": Case(
        returning([Failed(), Cancelled()]), CancelledRun, ends=("main: CANCELLED Cancelled",)
    ),
    "mended: one future": Case(
        in_a_flow(lambda: give.submit(3)), gives=3, ends=("main: COMPLETED Completed", "give: COMPLETED Completed")
    ),
    "mended: a list of futures": Case(
        in_a_flow(lambda: give.map([1, 2])),
        gives=[1, 2],
        ends=("main: COMPLETED Completed", *["give: COMPLETED Completed"] * 2),
    ),
    "a failed future": Case(
        in_a_flow(lambda: [give.submit(1), fail.submit()]),
        ValueError,
        says="no disk",
        ends=("main: FAILED Failed", "give: COMPLETED Completed", "fail: FAILED Failed"),
    ),
    "a task that returns a cancelled state, and a flow that returns it": Case(
        in_a_flow(lambda: a_task(name="stops")(Cancelled)(return_state=True)),
        CancelledRun,
        ends=("main: CANCELLED Cancelled", "stops: CANCELLED Cancelled"),
    ),
    "a failed task that is ignored": Case(
        in_a_flow(lambda: fail(return_state=True).name),
        gives="Failed",
        ends=("main: COMPLETED Completed", "fail: FAILED Failed"),
    ),
    "mended: futures that nobody waited for": Case(
        in_a_flow(lambda: slow.submit() and "done"),
        gives="done",
        ends=("main: COMPLETED Completed", "slow: COMPLETED Completed"),
    ),
    # stops
    "sys.exit in a flow": Case(calls(lambda: a_flow(leave)), SystemExit, ends=("leave: CRASHED Crashed",)),
    "sys.exit in a flow that was asked for its state": Case(
        lambda: a_flow(leave)(return_state=True), SystemExit, ends=("leave: CRASHED Crashed",)
    ),
    "Ctrl-C in a flow": Case(calls(lambda: a_flow(interrupt)), KeyboardInterrupt, ends=("interrupt: CRASHED Crashed",)),
    "sys.exit in a task that is called": Case(
        in_a_flow(lambda: a_task(leave)()), SystemExit, ends=("main: CRASHED Crashed", "leave: CRASHED Crashed")
    ),
    "mended: sys.exit in a submitted task": Case(
        in_a_flow(exit_in_a_submitted_task),
        gives="goes on",
        ends=("main: COMPLETED Completed", "leaves: CRASHED Crashed"),
    ),
    "a hook that raises": Case(
        calls(lambda: a_flow(on_failure=[broken_hook], name="main")(fail.fn)),
        ValueError,
        says="no disk",
        ends=("main: FAILED Failed",),
    ),
    "a task that takes too long": Case(
        calls(lambda: a_task(timeout_seconds=0.02, name="slow")(slow.fn)),
        TaskRunTimeoutError,
        TimeoutError,
        "took longer than its 20 ms",
        ends=("slow: FAILED TimedOut",),
    ),
    # futures
    "what hangs on a failed future": Case(
        in_a_flow(downstream),
        gives=["Failed", "NotReady", "NotReady", "NotReady", "Completed"],
        ends=(
            "main: COMPLETED Completed",
            "fail: FAILED Failed",
            *["give: FAILED NotReady"] * 3,
            "give: COMPLETED Completed",
        ),
    ),
    "futures in a list, a dict, a dataclass, an object": Case(
        in_a_flow(containers),
        gives=([1], {"a": 1}, 1),
        ends=("main: COMPLETED Completed", *["give: COMPLETED Completed"] * 5),
    ),
    # results and caches
    "A:a stored result that is a lock, mended": Case(
        lambda: a_task(persist_result=True)(a_lock)(),
        FailedRun,
        says="The result of 'a_lock' could not be stored: .*cannot pickle",
        ends=("a_lock: FAILED Failed",),
    ),
    "A:a lock as input with INPUTS, mended": Case(
        lambda: a_task(cache_policy=INPUTS)(locked)(1, threading.Lock()),
        HashError,
        TypeError,
        "Its input 'lock', a lock, cannot be .*, and a cache was asked for",
        "INPUTS - 'lock'",
        ends=("locked: FAILED NotReady",),
    ),
    "A:two tasks with the same constant key": Case(
        two_that_share_a_key,
        gives=(6, 6),
        ends=("unknown-lambda: COMPLETED Completed", "unknown-lambda: COMPLETED Cached"),
    ),
    "A:two tasks with the same inputs, mended": Case(
        two_of_the_same_inputs, gives=(6, 9), ends=("double: COMPLETED Completed", "square: COMPLETED Completed")
    ),
    "A:a SERIALIZABLE cache without lock manager, mended": Case(
        lambda: a_task(cache_policy=INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE))(plain),
        ConfigurationError,
        RuntimeError,
        "isolation level SERIALIZABLE, and no lock manager",
        "lock_manager=",
    ),
    "futures that are not done in time": Case(
        in_a_flow(timeouts), gives="waited", ends=("main: COMPLETED Completed", "slow: COMPLETED Completed")
    ),
}


@pytest.mark.parametrize("line", MATRIX)
def test_line(line: str, home: Path) -> None:
    case = MATRIX[line]
    if case.raises is None:
        assert case.act() == case.gives
    else:
        with pytest.raises(case.raises, match=case.says) as caught:
            case.act()
        assert case.also is None or isinstance(caught.value, case.also)
        if case.way_out:
            assert isinstance(caught.value, BadInput)
            assert caught.value.do
            assert re.search(case.way_out, caught.value.do), caught.value.do
    found = record(home)
    ends = [f"{run.of}: {run.end[0].value} {run.end[1]}" for run in [*found.flow_runs, *found.task_runs]]
    assert sorted(ends) == sorted(case.ends)


def test_a_condition_may_be_any_callable() -> None:
    class Never:
        def __call__(self, task: Any, run: Any, state: State) -> bool:
            return True

    attempts: list[int] = []

    @task(retries=2, retry_condition_fn=Never())
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return len(attempts)

    assert isinstance(flaky, Task)
    assert flaky() == 3
