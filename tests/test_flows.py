"""Flows: called in every mix, nested, retried, timed, hooked, named; what their return values mean; how they end."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import State, flow, tags, task
from surefoot.context import FlowRunContext, TaskRunContext, get_run_context
from surefoot.core.clock import SystemClock, set_clock
from surefoot.exceptions import (
    BadInput,
    FlowRunTimeoutError,
    MissingContextError,
    ReservedArgumentError,
    TemplateError,
)
from surefoot.states import Completed, Failed
from surefoot.task_runners import ThreadPoolTaskRunner
from tests.recorded import record

never = threading.Event()


class Jumping(SystemClock):
    """A clock on which pauses take no time, and are remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def wait_s(self, seconds: float) -> float:
        self.pauses.append(seconds)
        return 0.0


@pytest.fixture
def clock() -> Iterator[Jumping]:
    clock = Jumping()
    before = set_clock(clock)
    yield clock
    set_clock(before)


@task
def add(a: int, b: int = 1) -> int:
    return a + b


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_flow_gives_its_value_and_is_recorded(home: Path) -> None:
    @flow
    def nightly_load(day: str, keep: int = 7) -> str:
        """Load a day.

        And more.
        """
        return day

    assert nightly_load("mon") == "mon"
    run = record(home).flow_run()
    assert run.of == nightly_load.name == "nightly-load"
    assert run.names == ["Pending", "Running", "Completed"]
    assert run.parameters == {"day": "mon", "keep": 7}
    assert len(run.name.split("-")) == 2
    created = run.created
    assert created.description == "Load a day.\n\nAnd more."  # type: ignore[union-attr]
    assert len(created.flow_version) == 32, "a hash of the file"  # type: ignore[union-attr, arg-type]
    start = created.start  # type: ignore[union-attr]
    assert start is not None
    assert (start.file, start.qualname.rpartition(".")[2]) == (__file__, "nightly_load")


@pytest.mark.parametrize(
    "error", [ValueError("no disk"), KeyError(), AssertionError("x\ny"), ExceptionGroup("g", [OSError()])]
)
def test_a_flow_raises_the_very_exception_that_its_function_raised(error: Exception, home: Path) -> None:
    @flow
    def broken() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        broken()
    assert caught.value is error
    assert broken(return_state=True).result(raise_on_failure=False) is error
    first, second = record(home).flow_runs
    assert first.end == second.end == (first.last.state_type, "Failed")
    assert "in broken" in (first.last.traceback or "")


@pytest.mark.parametrize("kind", [SystemExit(3), KeyboardInterrupt()])
def test_an_exit_goes_through_and_the_run_is_crashed(kind: BaseException, home: Path) -> None:
    seen: list[str] = []

    @flow(on_crashed=[lambda flow, run, state: seen.append(state.name)])
    def leaves() -> None:
        raise kind

    for options in ({}, {"return_state": True}):
        with pytest.raises(type(kind)) as caught:
            leaves(**options)
        assert caught.value is kind
    assert {run.end[1] for run in record(home).flow_runs} == {"Crashed"}
    assert seen == ["Crashed"] * 2


def test_sync_and_async_in_every_mix(home: Path) -> None:
    @flow
    async def inner_async(n: int) -> int:
        await asyncio.sleep(0)
        return int(await add_later(n))

    @task
    async def add_later(n: int) -> int:
        return n + 1

    @flow
    def inner_sync(n: int) -> int:
        return int(add(n))

    @flow
    async def outer_async() -> Any:
        return await inner_async(1), inner_sync(2), *await asyncio.gather(inner_async(3), inner_async(4))

    @flow
    def outer_sync() -> Any:
        return inner_sync(1), asyncio.run(inner_async(2))

    @flow
    def hands_back_a_coroutine() -> Any:
        return inner_async(5)

    assert asyncio.run(outer_async()) == (2, 3, 4, 5)
    assert outer_sync() == (2, 3)
    assert hands_back_a_coroutine() == 6
    found = record(home)
    outer = {run.of: run.created.run_id for run in found.flow_runs}
    parents: list[Any] = [run.created.parent_flow_run_id for run in found.flow_runs if run.of.startswith("inner")]  # type: ignore[union-attr]
    assert sorted(parents) == sorted(
        [outer["outer-async"]] * 4 + [outer["outer-sync"]] * 2 + [outer["hands-back-a-coroutine"]]
    )
    assert {run.end[1] for run in found.flow_runs} == {"Completed"}


def test_an_asynchronous_flow_is_made_when_it_is_awaited(home: Path) -> None:
    @flow
    async def main() -> int:
        return 1

    coroutine: Coroutine[Any, Any, int] = main()
    assert not record(home).flow_runs
    assert asyncio.run(coroutine) == 1
    assert len(record(home).flow_runs) == 1


def test_flows_run_in_threads_and_in_tasks(home: Path) -> None:
    @flow
    def inner(n: int) -> int:
        return n + 1

    @task
    def step(n: int) -> int:
        return int(inner(n))

    @flow
    def main() -> Any:
        return step(1), step.submit(2).result(), step.map([3]).result()

    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(main()))
    thread.start()
    thread.join()
    assert got == [(2, 3, [4])]
    found = record(home)
    steps = {run.created.run_id for run in found.task_runs}
    assert {run.created.parent_task_run_id for run in found.flow_runs if run.of == "inner"} == steps


def test_a_failing_task_that_is_ignored_does_not_fail_the_flow(home: Path) -> None:
    @task
    def broken() -> None:
        raise ValueError

    @flow
    def main() -> str:
        broken.submit()
        broken(return_state=True)
        return "done"

    assert main() == "done"
    assert record(home).flow_run().end[1] == "Completed"


def test_tasks_that_nobody_waited_for_end_before_their_flow_does(home: Path) -> None:
    @task
    def slow(n: int) -> int:
        never.wait(0.01)
        return n

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main() -> str:
        slow.map(range(6))
        return "done"

    assert main() == "done"
    found = record(home)
    assert [run.end[1] for run in found.task_runs] == ["Completed"] * 6
    assert max(run.last.at_us for run in found.task_runs) <= found.flow_run().last.at_us


def test_a_flow_that_fails_cancels_what_has_not_begun(home: Path) -> None:
    gate = threading.Event()

    @task
    def first() -> None:
        gate.wait(30)

    @task
    def second(_: Any) -> None: ...

    @flow
    def main() -> None:
        second.submit(first.submit())
        gate.set()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        main()
    ends = {run.of: run.end[1] for run in record(home).task_runs}
    assert ends["first"] in ("Completed", "Cancelled")
    assert ends["second"] in ("Cancelled", "Completed")
    assert all(run.last.state_type.value in ("COMPLETED", "CANCELLED") for run in record(home).task_runs)


# -- what a return value means -----------------------------------------------------------------------------------------


def test_futures_anywhere_in_a_return_value_come_back_as_values(home: Path) -> None:
    @flow
    def main() -> Any:
        one, two = add.submit(0), add.submit(1)
        return {"one": one, "list": [one, (two, 5)], "plain": 3}

    assert main() == {"one": 1, "list": [1, (2, 5)], "plain": 3}


def test_a_state_of_a_run_decides_with_its_name() -> None:
    @task
    def renamed() -> State:
        return Completed(name="Enough", data=5)

    @flow
    def main() -> Any:
        return renamed(return_state=True)

    state = main(return_state=True)
    assert (state.name, state.result()) == ("Enough", 5)
    assert main() == 5


def test_a_returned_generator_is_taken_to_its_end() -> None:
    @flow
    def main() -> Any:
        return (n for n in range(3))

    assert main() == [0, 1, 2]


# -- generators --------------------------------------------------------------------------------------------------------


def test_a_generator_flow_hands_out_values_as_they_come(home: Path) -> None:
    @flow
    def numbers(n: int) -> Iterator[int]:
        for i in range(n):
            yield add(i)

    stream = numbers(3)
    assert next(stream) == 1
    assert record(home).flow_run().names == ["Pending", "Running"]
    assert list(stream) == [2, 3]
    assert record(home).flow_run().end[1] == "Completed"


@pytest.mark.parametrize(("how", "end"), [("close", "Completed"), ("drop", "Abandoned"), ("throw", "Failed")])
def test_a_generator_flow_that_is_not_exhausted(how: str, end: str, home: Path) -> None:
    cleaned: list[str] = []

    @flow
    def numbers() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append("yes")

    stream = numbers()
    next(stream)
    if how == "close":
        stream.close()
    elif how == "throw":
        with pytest.raises(ValueError, match="thrown"):
            stream.throw(ValueError("thrown"))
    del stream
    gc.collect()
    assert cleaned == ["yes"]
    assert record(home).flow_run().end[1] == end


def test_asynchronous_generator_flows_stream_too(home: Path) -> None:
    @flow
    async def numbers(n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield add(i)

    async def take() -> list[int]:
        return [i async for i in numbers(3)]

    assert asyncio.run(take()) == [1, 2, 3]
    assert record(home).flow_run().end[1] == "Completed"


# -- retries and timeouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [5, [5, 5], lambda retries: [5] * retries])
def test_a_flow_is_repeated_as_a_whole_with_its_delays(delay: Any, clock: Jumping, home: Path) -> None:
    attempts: list[int] = []

    @flow(retries=2, retry_delay_seconds=delay)
    def flaky() -> int:
        attempts.append(add(0))
        if len(attempts) < 3:
            raise ValueError("not yet")
        return len(attempts)

    assert flaky() == 3
    assert clock.pauses == [5, 5]
    found = record(home)
    assert found.flow_run().names == ["Pending", "Running", *["AwaitingRetry", "Retrying"] * 2, "Completed"]
    assert len(found.task_runs) == 3


def test_an_asynchronous_flow_is_repeated_too(clock: Jumping) -> None:
    attempts: list[int] = []

    @flow(retries=1, retry_delay_seconds=5)
    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError
        return 2

    assert asyncio.run(flaky()) == 2
    assert clock.pauses == [5]


def test_the_settings_say_how_often_a_flow_is_repeated_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_FLOWS_DEFAULT_RETRIES", "1")
    attempts: list[int] = []

    @flow
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError
        return 2

    assert flaky() == 2


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_on_main_thread", [True, False])
def test_a_flow_that_takes_too_long_fails_as_timed_out(is_async: bool, is_on_main_thread: bool, home: Path) -> None:
    @flow(timeout_seconds=0.03, name="slow")
    def slow() -> None:
        for _ in range(3000):
            never.wait(0.01)

    @flow(timeout_seconds=0.03, name="slow")
    async def slow_async() -> None:
        await asyncio.Event().wait()

    got: list[State] = []

    def work() -> None:
        state: Any = slow_async(return_state=True) if is_async else slow(return_state=True)
        got.append(asyncio.run(state) if is_async else state)

    if is_on_main_thread:
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert got[0].name == "TimedOut"
    with pytest.raises(FlowRunTimeoutError, match="took longer than its 30 ms"):
        got[0].result()
    assert record(home).flow_run("slow").end[1] == "TimedOut"


def test_a_timeout_ends_the_tasks_and_flows_inside_too(home: Path) -> None:
    @task
    def step() -> None:
        for _ in range(3000):
            never.wait(0.01)

    @flow
    def inner() -> None:
        step()

    @flow(timeout_seconds=0.05)
    def outer() -> None:
        inner()

    with pytest.raises(FlowRunTimeoutError):
        outer()
    found = record(home)
    assert found.flow_run("outer").end[1] == "TimedOut"
    assert found.flow_run("inner").last.state_type.value in ("CANCELLED", "CRASHED")
    assert found.task_run("step").last.state_type.value in ("CANCELLED", "CRASHED")


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_hooks_are_called_with_flow_run_and_state() -> None:
    seen: list[Any] = []

    def hook(kind: str) -> Callable[[Any, Any, State], None]:
        return lambda flow, run, state: seen.append((kind, flow.name, run.name == name(), state.name))

    def name() -> Any:
        return names[-1]

    names: list[str] = []

    @flow(on_running=[hook("running")], on_failure=[hook("failure")], retries=1, flow_run_name="a-run")
    def broken() -> None:
        raise ValueError

    @broken.on_failure
    async def later(flow: Any, run: Any, state: State) -> None:
        await asyncio.sleep(0)
        seen.append(("later", str(state.message)))

    names.append("a-run")
    assert broken(return_state=True).is_failed()
    assert seen == [
        ("running", "broken", True, "Running"),
        ("running", "broken", True, "Retrying"),
        ("failure", "broken", True, "Failed"),
        ("later", "ValueError"),
    ]


@pytest.mark.parametrize(
    ("returned", "kind"),
    [("Completed", "completion"), ("Failed", "failure"), ("Cancelled", "cancellation"), ("Crashed", "crashed")],
)
def test_each_end_has_its_hook(returned: str, kind: str) -> None:
    from surefoot import states

    seen: list[str] = []

    @flow
    def main() -> State:
        state: State = getattr(states, returned)()
        return state

    for hook in ("completion", "failure", "cancellation", "crashed"):
        getattr(main, f"on_{hook}")(lambda flow, run, state, hook=hook: seen.append(hook))
    main(return_state=True)
    assert seen == [kind]


def test_a_hook_that_raises_is_told_and_changes_nothing(home: Path) -> None:
    seen: list[str] = []

    def broken(flow: Any, run: Any, state: State) -> None:
        raise RuntimeError("in the hook")

    @flow(on_completion=[broken, lambda flow, run, state: seen.append("next")], on_running=[broken])
    def main() -> int:
        return 3

    assert main() == 3
    assert seen == ["next"]
    told = record(home).messages(40)
    assert [line.split(":")[0].split(" raised")[0] for line in told] == [
        "its on_running hook 'broken'",
        "its on_completion hook 'broken'",
    ]


# -- names, tags, context ----------------------------------------------------------------------------------------------


def test_run_names_come_from_templates_over_checked_parameters(home: Path) -> None:
    def by_parameters(parameters: dict[str, Any]) -> str:
        return f"{parameters['n'] + 1}"

    for template in ("load-{n:03d}", lambda: "now", by_parameters):
        flow(flow_run_name=template)(load)("7")  # type: ignore[call-overload]
    assert [run.name for run in record(home).flow_runs] == ["load-007", "now", "8"]


def load(n: int) -> int:
    return n


def test_a_template_that_names_no_parameter_is_refused_at_the_decorator() -> None:
    with pytest.raises(TemplateError, match=r"flow_run_name 'x-\{day\}' of flow 'load' names \{day\}") as caught:
        flow(flow_run_name="x-{day}")(load)
    assert "{n}" in caught.value.do


def test_a_name_that_cannot_be_made_fails_the_run_and_is_told(home: Path) -> None:
    def broken() -> str:
        raise RuntimeError("no name today")

    with pytest.raises(RuntimeError, match="no name today"):
        flow(flow_run_name=broken)(load)(1)
    with pytest.raises(TemplateError, match="cannot be filled in"):
        flow(flow_run_name="{n.absent}")(load)(1)
    with pytest.raises(BadInput, match="flow_run_name of 'load' returned 3"):
        flow(flow_run_name=lambda: 3)(load)(1)  # type: ignore[arg-type, return-value]
    assert [run.names for run in record(home).flow_runs] == [["Pending", "NotReady"]] * 3


def test_tags_go_down_to_all_that_is_called_inside(home: Path) -> None:
    @flow
    def inner() -> None:
        add(1)

    @flow
    def main() -> None:
        with tags("a", "b"):
            inner()
        add(2)

    main()
    found = record(home)
    assert found.flow_run("inner").created.tags == ("a", "b")
    assert [run.created.tags for run in found.task_runs] == [("a", "b"), ()]


@pytest.mark.parametrize("wrong", ["nightly", 3, [3]])
def test_tags_are_lists_of_texts(wrong: Any) -> None:
    for decorate in (flow, task):
        with pytest.raises(BadInput, match=r"tags of a (flow|task)") as caught:
            decorate(tags=wrong)(load)
        assert isinstance(caught.value, TypeError)
    with pytest.raises(BadInput, match=r"tags\(\) contains 3"), tags("x", 3):  # type: ignore[arg-type]
        pass


def test_code_can_ask_which_run_it_is_in() -> None:
    seen: list[Any] = []

    @task
    def step(x: int) -> None:
        inner, outer = get_run_context(), FlowRunContext.get()
        assert isinstance(inner, TaskRunContext)
        assert outer is not None
        seen.append((inner.task.name, inner.parameters, outer.flow.name, outer.parameters, outer.flow_run.name))

    @flow(flow_run_name="this-one")
    def main(y: int) -> None:
        here = get_run_context()
        assert isinstance(here, FlowRunContext)
        assert TaskRunContext.get() is None
        step(3)

    main(4)
    assert seen == [("step", {"x": 3}, "main", {"y": 4}, "this-one")]
    assert FlowRunContext.get() is None
    assert TaskRunContext.get() is None
    with pytest.raises(MissingContextError, match="get_run_context"):
        get_run_context()


# -- definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["return_state", "wait_for"])
def test_parameters_that_calls_need_themselves_are_refused(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def positional({name}): ...\ndef keyword(*, {name}=1): ...", namespace)
    for decorate in (flow, task):
        for function in ("positional", "keyword"):
            with pytest.raises(ReservedArgumentError, match=f"'{function}' has a parameter '{name}'") as caught:
                decorate(namespace[function])
            assert caught.value.do == "Rename the parameter."


def test_what_is_decorated_already_is_not_decorated_again() -> None:
    for outer in (flow, task):
        for inner in (flow, task):
            with pytest.raises(BadInput, match="is decorated already") as caught:
                outer(inner(load))
            assert "load.fn" in caught.value.do


def test_a_task_runner_is_given_as_a_class_or_an_instance() -> None:
    for runner in (ThreadPoolTaskRunner, ThreadPoolTaskRunner(max_workers=2), None):

        @flow(task_runner=runner)
        def main() -> Any:
            return add.submit(1)

        assert main() == 2
    with pytest.raises(BadInput, match="task_runner of flow 'load' is 3") as caught:
        flow(task_runner=3)(load)  # type: ignore[call-overload]
    assert "ThreadPoolTaskRunner" in caught.value.do


def test_a_flow_can_be_copied_and_shown() -> None:
    decorated = flow(load)
    assert repr(decorated) == "<Flow 'load'>"
    assert copy.copy(decorated)(3) == 3


def test_a_state_made_by_hand_is_a_value_where_it_is_quoted() -> None:
    from surefoot import quote

    @flow
    def main() -> Any:
        return quote(Failed())

    assert main().unwrap().is_failed()


def test_tags_that_are_none_are_refused_with_what_to_pass() -> None:
    with pytest.raises(TypeError, match="one by one: 'a', 'b'"), tags(["a", "b"]):  # type: ignore[arg-type]
        pass
    with pytest.raises(ValueError, match="an empty text"), tags("a", ""):
        pass
