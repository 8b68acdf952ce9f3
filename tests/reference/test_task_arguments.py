"""Chapter 2.1 of the reference, and direct calls of 2.2: the arguments of `@task`."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from surefoot import Flow, Task, exponential_backoff, flow, tags, task
from surefoot.cache_policies import INPUTS
from surefoot.core.facts import TaskRunCreated
from surefoot.exceptions import BadInput, InvalidNameError, ParameterBindError, TaskRunTimeoutError, TemplateError
from surefoot.states import Completed, Failed, State
from tests.recorded import RecordedRun, record
from tests.reference.rows import at, row

a_task: Any = task  # for what a type checker refuses


def load_all(day: str = "monday", pages: int = 1) -> str:
    """Load what is new."""
    return f"{day} {pages}"


def fails() -> None:
    raise ValueError("no disk")


def _spin() -> None:
    while True:
        pass


def nothing(*_: Any) -> None:
    pass


class Callee:
    """Called as a function."""

    def __call__(self, day: str = "monday") -> str:
        return day


def created(run: RecordedRun) -> TaskRunCreated:
    assert isinstance(run.created, TaskRunCreated)
    return run.created


# --- names and texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        at("2.01", load_all, "load_all"),
        at("2.01", Callee(), "Callee"),
        at("2.01", functools.partial(load_all, "friday"), "load_all"),
        at("2.01", lambda: 1, "unknown-lambda"),
    ],
)
def test_the_name(fn: Any, name: str, home: Path) -> None:
    one = a_task(fn)
    assert one.name == name
    one()
    assert record(home).task_run().of == name
    assert a_task(name="mine")(fn).name == "mine"
    with pytest.raises(InvalidNameError):
        a_task(name="a/b")(fn)
    with pytest.raises(TypeError, match="Task name is 3"):
        a_task(name=3)(fn)


@row("2.02")
def test_the_description(row: str) -> None:
    assert a_task(load_all).description == "Load what is new."
    assert a_task(description="mine")(load_all).description == "mine"
    with pytest.raises(TypeError, match="description of a task is 3"):
        a_task(description=3)(load_all)


@row("2.03")
def test_tags_are_those_of_the_task_and_those_around_the_call(row: str, home: Path) -> None:
    one = a_task(tags=["a", "b", "a"])(load_all)
    assert one.tags == {"a", "b"}
    with tags("c"):
        one()
    assert created(record(home).task_run()).tags == ("a", "b", "c")
    assert one.with_options(tags=[]).tags == frozenset()  # mended
    with pytest.raises(TypeError, match="tags of a task is 'a'"):
        a_task(tags="a")(load_all)
    with pytest.raises(TypeError, match="contains 3"):
        a_task(tags=[3])(load_all)


@row("2.04")
def test_the_version(row: str) -> None:
    assert a_task(load_all).version is None
    assert a_task(version="2")(load_all).version == "2"
    with pytest.raises(TypeError, match="version of a task is 2"):
        a_task(version=2)(load_all)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        at("2.09", "load-{day}-{pages}", "load-friday-2"),
        at("2.09", "of {day[0]}", "of f"),
        at("2.09", lambda: "made", "made"),
        at("2.09", lambda parameters: f"of {parameters['pages']}", "of 2"),
    ],
)
def test_the_name_of_a_run(template: Any, name: str, home: Path) -> None:
    a_task(task_run_name=template)(load_all)("friday", 2)
    assert record(home).task_run().name == name


@row("2.09")
def test_the_name_of_a_run_that_is_refused(row: str) -> None:
    with pytest.raises(TemplateError, match=r"names \{dya\}, no parameter"):  # mended: at decoration
        a_task(task_run_name="{dya}")(load_all)
    with pytest.raises(TypeError, match="task_run_name of task 'load_all' is 3"):
        a_task(task_run_name=3)(load_all)
    with pytest.raises(TypeError, match="returned 3"):
        a_task(task_run_name=lambda: 3)(load_all)()


# --- retries and time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("retries", "calls"), [at("2.10", 2, 3), at("2.10", 0, 1), at("2.10", -1, 1)])
def test_retries(retries: int, calls: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_TASKS_DEFAULT_RETRIES", "1")
    a_task(name="by setting")(fails)(return_state=True)
    a_task(retries=retries)(fails)(return_state=True)
    found = record(home)
    assert found.task_run("by setting").last.run_count == 2
    assert found.task_run("fails").last.run_count == calls


@pytest.mark.parametrize(
    ("delay", "waits"),
    [
        at("2.11", 0, 0),
        at("2.11", None, 0),
        at("2.11", 0.01, 3),
        at("2.11", [0.01], 3),
        at("2.11", [0, 0.01], 2),
        at("2.11", lambda retries: [0.01] * retries, 3),
        at("2.12", exponential_backoff(0.002), 3),
    ],
)
def test_delays_between_retries(delay: Any, waits: int, home: Path) -> None:
    a_task(retries=3, retry_delay_seconds=delay)(fails)(return_state=True)
    names = record(home).task_run().names
    assert names.count("AwaitingRetry") == waits
    assert names.count("Retrying") == 3


@row("2.11")
def test_delays_by_setting(row: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_TASKS_DEFAULT_RETRY_DELAY_SECONDS", "0,0.01")
    a_task(retries=2)(fails)(return_state=True)
    assert record(home).task_run().names.count("AwaitingRetry") == 1


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        at("2.11", {"retry_delay_seconds": "x"}, TypeError, "retry_delay_seconds is 'x'"),
        at("2.11", {"retry_delay_seconds": [1] * 51}, ValueError, "51 delays; 50 are"),
        at("2.11", {"retry_delay_seconds": -1}, ValueError, "-1"),
        at("2.13", {"retry_jitter_factor": -1}, ValueError, "retry_jitter_factor is -1"),
        at("2.14", {"retry_condition_fn": 3}, TypeError, "retry_condition_fn of task 'fails' is 3"),
        at("2.16", {"timeout_seconds": -1}, ValueError, "timeout_seconds of a task is -1"),
        at("2.16", {"timeout_seconds": "5"}, TypeError, "timeout_seconds of a task is '5'"),
        at("2.10", {"retries": "3"}, TypeError, "retries of a task is '3'"),
        at("2.21", {"log_prins": True}, TypeError, "has no option 'log_prins'.*log_prints"),
    ],
)
def test_what_is_refused_where_the_decorator_stands(options: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        a_task(**options)(fails)
    assert isinstance(caught.value, BadInput)
    assert caught.value.do


@pytest.mark.parametrize(
    ("factor", "delays"), [at("2.12", 10, [10, 20, 40, 80]), at("2.12", 0.5, [0.5, 1, 2, 4]), at("2.12", 0, [0] * 4)]
)
def test_exponential_backoff(factor: float, delays: list[float]) -> None:
    assert exponential_backoff(factor)(4) == delays
    assert len(exponential_backoff(factor)(90)) == 50
    with pytest.raises(ValueError, match="exponential_backoff got -1"):
        exponential_backoff(-1)


@row("2.13")
def test_jitter_only_adds(row: str, home: Path) -> None:
    a_task(retries=4, retry_delay_seconds=0.01, retry_jitter_factor=1)(fails)(return_state=True)
    waits = [
        (state.until_us - state.at_us) / 1e6
        for state in record(home).task_run().entered
        if state.state_name == "AwaitingRetry" and state.until_us is not None
    ]
    assert len(waits) == 4
    assert all(0.0099 <= wait <= 0.0201 for wait in waits), waits


class Once:
    """A condition that is an object."""

    def __call__(self, task: Any, run: Any, state: State) -> bool:
        return bool(run.run_count < 2)


async def once_later(task: Any, run: Any, state: State) -> bool:
    return bool(run.run_count < 2)


def once(limit: int, task: Any, run: Any, state: State) -> bool:
    assert (task.name, state.type) == ("fails", "FAILED")
    assert isinstance(state.data, ValueError)
    return bool(run.run_count < limit)


@pytest.mark.parametrize(
    ("condition", "calls"),
    [
        at("2.14", Once(), 2),  # mended: an object counts
        at("2.14", functools.partial(once, 3), 3),  # mended: so does a partial
        at("2.14", once_later, 2),
        at("2.14", lambda *_: False, 1),
        at("2.14", lambda *_: 1 / 0, 1),
        at("2.14", None, 5),
    ],
)
def test_a_condition_of_retries(condition: Any, calls: int, home: Path) -> None:
    a_task(retries=4, retry_condition_fn=condition)(fails)(return_state=True)
    assert record(home).task_run().last.run_count == calls


@row("2.15")
def test_a_failed_state_that_is_returned_is_retried(row: str, home: Path) -> None:
    states = [Failed(message="not yet"), Completed(data=3)]
    assert a_task(name="one", retries=1)(lambda: states.pop(0))() == 3
    assert record(home).task_run().names == ["Pending", "Running", "Retrying", "Completed"]


@row("2.16")
def test_a_time_limit(row: str, home: Path) -> None:
    assert a_task(timeout_seconds=0)(load_all)() == "monday 1"
    with pytest.raises(TaskRunTimeoutError, match="longer than its 20 ms"):
        a_task(name="slow", timeout_seconds=0.02, retries=1)(_spin)()
    assert record(home).task_run("slow").names == ["Pending", "Running", "Retrying", "TimedOut"]


@row("2.21")
def test_prints_as_log_lines(row: str, home: Path) -> None:
    def says() -> None:
        print("hello")  # noqa: T201  # that it is told is what is tested

    says_it = a_task(says)
    flow(name="main", log_prints=True)(lambda: says_it())()
    a_task(log_prints=True)(says)()
    a_task(says)()
    assert record(home).messages().count("hello") == 2


# --- hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "retries", "called"),
    [
        at("2.22", load_all, 0, ["running", "completion"]),
        at("2.22", fails, 2, ["running", "running", "running", "failure"]),
    ],
)
def test_hooks(body: Callable[..., Any], retries: int, called: list[str]) -> None:
    seen: list[str] = []

    def hook(kind: str) -> Callable[..., None]:
        def call(of: Any, run: Any, state: Any) -> None:
            assert of.name == "one"
            assert run.task_name == "one"
            seen.append(kind)

        return call

    kinds = ("completion", "failure", "running")
    one = a_task(name="one", retries=retries, **{f"on_{kind}": [hook(kind)] for kind in kinds})(body)
    one(return_state=True)
    assert seen == called
    for kind in kinds:
        assert getattr(one, f"on_{kind}")(nothing) is nothing
        for wrong in (3, "x", ["x"], nothing):
            with pytest.raises(TypeError, match=f"on_{kind} of task 'fails'"):
                a_task(**{f"on_{kind}": wrong})(fails)


@row("2.22")
def test_a_task_has_no_hooks_for_crashes_and_cancellations(row: str) -> None:
    for kind in ("on_crashed", "on_cancellation"):
        with pytest.raises(TypeError, match=f"@task has no option '{kind}'"):
            a_task(**{kind: [nothing]})(fails)


# --- the task as an object --------------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "name": ("other", lambda it: it.name, "other"),
    "description": ("said", lambda it: it.description, "said"),
    "tags": (["b"], lambda it: it.tags, {"b"}),
    "version": ("2", lambda it: it.version, "2"),
    "task_run_name": ("of {day}", lambda it: it.task_run_name, "of {day}"),
    "retries": (5, lambda it: it.retries, 5),
    "retry_delay_seconds": ([1, 2], lambda it: it.retry_delay_seconds, [1, 2]),
    "retry_jitter_factor": (0.5, lambda it: it.retry_jitter_factor, 0.5),
    "retry_condition_fn": (nothing, lambda it: it.retry_condition_fn, nothing),
    "timeout_seconds": (7, lambda it: it.timeout_seconds, 7.0),
    "log_prints": (True, lambda it: it.log_prints, True),
    "persist_result": (True, lambda it: it.asks.persist, True),
    "result_serializer": ("json", lambda it: type(it.asks.serializer).__name__, "JSONSerializer"),
    "result_storage_key": ("of-{parameters[day]}", lambda it: it.asks.key, "of-{parameters[day]}"),
    "cache_policy": (INPUTS, lambda it: it.caching is not None, True),
    "cache_key_fn": (nothing, lambda it: it.caching is not None, True),
    "cache_result_in_memory": (False, lambda it: it.cache_result_in_memory, False),
    "viz_return_value": (3, lambda it: it.viz_return_value, 3),
    **{
        f"on_{kind}": ([nothing], lambda it, kind=kind: it.hooks[kind], [nothing])  # type: ignore[misc]
        for kind in ("completion", "failure", "running")
    },
}


@pytest.mark.parametrize("option", [at("2.26", option) for option in OPTIONS])
def test_with_options_takes_every_option_and_leaves_the_task_as_it_is(option: str) -> None:
    given, look, expected = OPTIONS[option]
    one = a_task(load_all)
    before = look(one)
    other = one.with_options(**{option: given})
    assert look(other) == expected
    assert look(one) == before != expected
    assert option == "description" or look(other.with_options(description="third")) == expected
    assert (
        look(other.with_options(**{option: look(one) if option in ("name", "description") else _default(option)}))
        == before
    )


def _default(option: str) -> Any:
    return inspect.signature(Task).parameters[option].default


@pytest.mark.parametrize("option", [at("2.26", name) for name in Task.__init__.__kwdefaults__ or {}])
def test_with_options_knows_each_option_of_the_decorator(option: str) -> None:
    one = a_task(load_all).with_options(**{option: _default(option)})
    assert one() == "monday 1"


@pytest.mark.parametrize("option", [at("1.24", name) for name in Flow.__init__.__kwdefaults__ or {}])
def test_with_options_of_a_flow_knows_each_option_of_the_decorator(option: str) -> None:
    default = inspect.signature(Flow).parameters[option].default
    one: Any = flow(load_all).with_options(**{option: default})
    assert one() == "monday 1"


@row("2.26")
def test_with_options_refuses_what_the_decorator_refuses_and_keeps_added_hooks(row: str, home: Path) -> None:
    one = a_task(load_all)
    seen: list[str] = []
    one.on_completion(lambda *_: seen.append("added"))
    one.with_options(name="other")()
    assert seen == ["added"]
    assert record(home).task_run().of == "other"
    one.with_options(on_completion=[])()
    assert seen == ["added"], "what is passed counts, also if it is empty"
    with pytest.raises(TypeError, match=r"task 'load_all' has no option 'cache_polcy'.*cache_policy"):
        one.with_options(cache_polcy=None)
    with pytest.raises(TypeError, match="retries of a task is '3'"):
        one.with_options(retries="3")


@row("2.26")
def test_with_options_of_a_cached_task_keeps_what_it_asks_of_the_cache(row: str, home: Path) -> None:
    calls: list[str] = []

    @task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    def slow(day: str) -> str:
        calls.append(day)
        return day

    again = slow.with_options(retries=2)
    assert slow("monday") == again("monday") == "monday"
    assert calls == ["monday"]


@row("2.27")
def test_the_function_itself(row: str, home: Path) -> None:
    assert a_task(load_all).fn is load_all
    assert a_task(load_all).fn("friday") == "friday 1"
    assert not home.exists()


@row("2.28")
def test_the_key_of_a_task_is_where_it_stands(row: str) -> None:
    assert a_task(load_all).task_key == f"{__name__}:load_all"  # mended: the same in processes with another body of it
    assert a_task(load_all).with_options(name="other").task_key == a_task(load_all).task_key
    assert a_task(Callee()).task_key.startswith(f"{__name__}:")
    assert a_task(functools.partial(load_all, "friday")).task_key


# --- kinds of functions, and direct calls -----------------------------------------------------------------------------


@task
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number


@task
def numbers(count: int) -> Iterator[int]:
    yield from range(count)


@task
async def later_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Job:
    day = "sunday"

    @task
    def of_instance(self, more: str) -> str:
        return self.day + more

    @task
    @classmethod
    def of_class(cls, more: str) -> str:
        return cls.day + more

    @task
    @staticmethod
    def of_none(more: str) -> str:
        return more


async def _all(values: Any) -> list[int]:
    return [value async for value in values]


@pytest.mark.parametrize(
    ("call", "gives"),
    [
        at("2.30", lambda: task(load_all)("friday"), "friday 1"),
        at("2.30", lambda: asyncio.run(later(3)), 3),
        at("2.30", lambda: list(numbers(3)), [0, 1, 2]),
        at("2.30", lambda: asyncio.run(_all(later_numbers(3))), [0, 1, 2]),
        at("2.30", lambda: Job().of_instance("!"), "sunday!"),
        at("2.30", lambda: Job.of_class("!"), "sunday!"),  # type: ignore[call-overload]
        at("2.30", lambda: Job.of_none("!"), "!"),
        at("2.30", lambda: a_task(Callee())("friday"), "friday"),
    ],
)
@pytest.mark.parametrize("around", ["nothing", "a flow", "a task"])
def test_kinds_of_functions(call: Callable[[], Any], gives: Any, around: str, home: Path) -> None:
    def body() -> Any:
        return call()

    outer: dict[str, Callable[[], Any]] = {"nothing": body, "a flow": flow(body), "a task": task(name="outer")(body)}
    assert outer[around]() == gives
    found = record(home)
    assert {run.end[1] for run in [*found.task_runs, *found.flow_runs]} == {"Completed"}
    inner = [run for run in found.task_runs if run.of != "outer"]
    assert len(inner) == 1
    assert (created(inner[0]).flow_run_id is not None) is (around == "a flow")


@row("2.40")
def test_a_direct_call(row: str, home: Path) -> None:
    one = a_task(load_all)
    assert one("friday", pages=2) == "friday 2"
    state = one(return_state=True)
    assert isinstance(state, State)
    assert state.result() == "monday 1"
    failed = a_task(fails)(return_state=True)
    assert failed.is_failed()
    assert isinstance(failed.result(raise_on_failure=False), ValueError)
    with pytest.raises(ValueError, match="no disk"):
        a_task(fails)()
    with pytest.raises(ParameterBindError, match=r"Task 'load_all' .* unexpected keyword argument 'dya'"):
        one(dya="friday")
    with pytest.raises(SystemExit):
        a_task(name="leaves")(lambda: exit(3))(return_state=True)
    assert record(home).task_run("leaves").end == ("CRASHED", "Crashed")
