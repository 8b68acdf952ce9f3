"""Chapter 1.1 of the reference: the arguments of `@flow`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pydantic
import pytest

from surefoot import Flow, flow, get_run_logger, task
from surefoot.exceptions import (
    BadInput,
    FlowRunTimeoutError,
    InvalidNameError,
    ParameterBindError,
    ParameterTypeError,
    ReservedArgumentError,
    TemplateError,
)
from surefoot.logging import flow_run_logger
from surefoot.parameters import ParameterSchema
from surefoot.states import Completed, Failed
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.recorded import record
from tests.reference.rows import at, row

a_flow: Any = flow  # for what a type checker refuses


def load_all(day: str = "monday", pages: int = 1) -> str:
    """Load what is new.

    Args:
        day: the day to load
        pages: how many, at most
    """
    return f"{day} {pages}"


def fails() -> None:
    raise ValueError("no disk")


def _spin() -> None:
    while True:
        pass


def nothing(*_: Any) -> None:
    pass


# --- names and texts --------------------------------------------------------------------------------------------------


@row("1.01")
def test_the_name(row: str, home: Path) -> None:
    assert a_flow(load_all).name == "load-all"
    assert a_flow(lambda: 1).name == "unknown-lambda"
    assert a_flow(name="Load it, all!")(load_all).name == "Load it, all!"
    a_flow(name="mine")(load_all)()
    assert record(home).flow_run().of == "mine"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *(at("1.01", f"a{sign}b", InvalidNameError) for sign in "/%&><"),
        at("1.01", 3, TypeError),
        at("1.01", "", BadInput),
    ],
)
def test_a_name_that_is_refused(name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="name"):
        a_flow(name=name)(load_all)


@row("1.02")
def test_the_version(row: str, home: Path) -> None:
    a_flow(load_all)()
    a_flow(name="mine", version="2026.8")(load_all)()
    found = record(home)
    ours = found.flow_run("load-all").created.flow_version  # type: ignore[union-attr]
    assert ours
    assert ours != "2026.8"
    assert found.flow_run("mine").created.flow_version == "2026.8"  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="version of a flow is 3"):
        a_flow(version=3)(load_all)


@row("1.03")
def test_the_description(row: str) -> None:
    assert a_flow(load_all).description.startswith("Load what is new.\n\nArgs:\n    day:")
    assert a_flow(description="mine")(load_all).description == "mine"
    assert a_flow(lambda: 1).description is None


@pytest.mark.parametrize(
    ("template", "name"),
    [
        at("1.04", "load-{day}-{pages}", "load-friday-2"),
        at("1.04", lambda: "made", "made"),
        at("1.04", lambda parameters: f"of {parameters['pages']}", "of 2"),
    ],
)
def test_the_name_of_a_run(template: Any, name: str, home: Path) -> None:
    a_flow(flow_run_name=template)(load_all)("friday", "2")
    run = record(home).flow_run()
    assert run.name == name
    assert run.created.name != name, "two words until its parameters are checked"


@row("1.04")
def test_the_name_of_a_run_that_is_refused(row: str, home: Path) -> None:
    with pytest.raises(TemplateError, match=r"names \{dya\}"):  # mended: at decoration
        a_flow(flow_run_name="{dya}")(load_all)
    with pytest.raises(TypeError, match="flow_run_name of flow 'load-all' is 3"):
        a_flow(flow_run_name=3)(load_all)
    with pytest.raises(TypeError, match="returned 3"):
        a_flow(flow_run_name=lambda: 3)(load_all)()


# --- retries and time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retries", "calls"), [at("1.05", 2, 3), at("1.05", 0, 1), at("1.05", -1, 1), at("1.05", None, 1)]
)
def test_retries(retries: int | None, calls: int, home: Path) -> None:
    done: list[int] = []

    def counts() -> None:
        done.append(1)
        fails()

    a_flow(name="main", retries=retries)(counts)(return_state=True)
    assert len(done) == calls
    assert record(home).flow_run().last.run_count == calls


@row("1.05")
def test_retries_by_setting_and_of_the_wrong_type(row: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("SUREFOOT_FLOWS_DEFAULT_RETRIES", "1")
    a_flow(fails)(return_state=True)
    a_flow(name="none", retries=0)(fails)(return_state=True)
    found = record(home)
    assert found.flow_run("fails").last.run_count == 2
    assert found.flow_run("none").last.run_count == 1
    with pytest.raises(TypeError, match="retries of a flow is '3'"):
        a_flow(retries="3")(fails)


@pytest.mark.parametrize("delay", [at("1.06", 0.01), at("1.06", [0.01, 0.02]), at("1.06", lambda n: [0.01] * n)])
def test_delays_between_retries(delay: Any, home: Path) -> None:
    a_flow(retries=2, retry_delay_seconds=delay)(fails)(return_state=True)
    assert record(home).flow_run().names.count("AwaitingRetry") == 2  # mended: a list too


@row("1.07")
def test_a_retry_calls_the_whole_body_again(row: str, home: Path) -> None:
    @task
    def step() -> None: ...

    @flow
    def part() -> None: ...

    @flow(retries=1)
    def whole() -> None:
        step()
        part()
        fails()

    whole(return_state=True)
    found = record(home)
    assert len([run for run in found.task_runs if run.of == "step"]) == 2
    assert len([run for run in found.flow_runs if run.of == "part"]) == 2


@row("1.08")
def test_a_failed_state_that_is_returned_is_retried(row: str, home: Path) -> None:
    states = [Failed(), Completed(data=3)]
    assert a_flow(retries=1)(lambda: states.pop(0))() == 3  # mended
    assert record(home).flow_run().end == ("COMPLETED", "Completed")


@pytest.mark.parametrize("limit", [at("1.09", 0), at("1.09", None), at("1.09", 30)])
def test_a_time_limit_that_is_kept(limit: float | None) -> None:
    assert a_flow(timeout_seconds=limit)(load_all)() == "monday 1"


@row("1.09")
def test_a_time_limit_that_is_not_kept(row: str, home: Path) -> None:
    with pytest.raises(FlowRunTimeoutError, match="longer than its 20 ms") as caught:
        a_flow(name="main", timeout_seconds=0.02)(_spin)()
    assert isinstance(caught.value, TimeoutError)
    assert record(home).flow_run().end == ("FAILED", "TimedOut")
    with pytest.raises(ValueError, match="timeout_seconds of a flow is -1"):
        a_flow(timeout_seconds=-1)(fails)


# --- where and how ----------------------------------------------------------------------------------------------------


@row("1.10")
def test_the_task_runner(row: str) -> None:
    assert isinstance(a_flow(fails).task_runner, ThreadPoolTaskRunner)
    assert isinstance(a_flow(task_runner=ProcessPoolTaskRunner)(fails).task_runner, ProcessPoolTaskRunner)
    runner = ThreadPoolTaskRunner(max_workers=2)
    assert a_flow(task_runner=runner)(fails).task_runner is runner
    with pytest.raises(TypeError, match="task_runner of flow 'fails' is 'threads'"):
        a_flow(task_runner="threads")(fails)


@row("1.15")
def test_parameters_may_go_unchecked(row: str) -> None:
    def given(pages: int) -> Any:
        return pages

    assert a_flow(given)("5") == 5
    assert a_flow(validate_parameters=False)(given)("five") == "five"
    assert a_flow(validate_parameters=False)(given).should_validate_parameters is False

    def odd(pages: 3) -> Any:  # type: ignore[valid-type]
        return pages

    with pytest.raises(ValueError, match="cannot be checked"):
        a_flow(odd)("five")


@row("1.16")
def test_prints_as_log_lines(row: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says() -> None:
        print("hello")  # noqa: T201  # that it is told is what is tested

    a_flow(name="yes", log_prints=True)(says)()
    a_flow(name="no", log_prints=False)(says)()
    a_flow(name="outer", log_prints=True)(lambda: a_flow(name="inner")(says)())()
    monkeypatch.setenv("SUREFOOT_LOGGING_LOG_PRINTS", "true")
    a_flow(name="by setting")(says)()
    assert record(home).messages().count("hello") == 3


# --- hooks ------------------------------------------------------------------------------------------------------------

HOOKS: list[Any] = [
    at("1.17", "completion", load_all, ["completion"]),
    at("1.18", "failure", fails, ["failure"]),
    at("1.19", "cancellation", lambda: _cancelled(), ["cancellation"]),
    at("1.20", "crashed", lambda: exit(3), ["crashed"]),
    at("1.21", "running", fails, ["running", "running"]),
]


def _cancelled() -> Any:
    from surefoot.states import Cancelled

    return Cancelled()


@pytest.mark.parametrize(("kind", "body", "called"), HOOKS)
def test_a_hook_is_called(kind: str, body: Callable[..., Any], called: list[str]) -> None:
    seen: list[Any] = []

    def hook(of: Any, run: Any, state: Any) -> None:
        seen.append((kind, of.name, run.name, state.type))

    async def later(of: Any, run: Any, state: Any) -> None:
        seen.append(("later",))

    one = a_flow(name="main", retries=1 if body is fails else 0, **{f"on_{kind}": [hook, later]})(body)
    try:
        one(return_state=True)
    except SystemExit:
        assert kind == "crashed"
    assert [it[0] for it in seen] == [word for it in called for word in (it, "later")]
    assert {it[1] for it in seen if len(it) > 1} == {"main"}


@pytest.mark.parametrize(
    "kind",
    [
        at(number, kind)
        for number, kind in zip(
            ("1.17", "1.18", "1.19", "1.20", "1.21"),
            ("completion", "failure", "cancellation", "crashed", "running"),
            strict=True,
        )
    ],
)
def test_hooks_that_are_refused_and_hooks_as_decorators(kind: str) -> None:
    for wrong in (3, "x", ["x"], nothing):
        with pytest.raises(TypeError, match=f"on_{kind} of flow 'fails'"):
            a_flow(**{f"on_{kind}": wrong})(fails)
    one = a_flow(**{f"on_{kind}": [nothing]})(fails)
    with pytest.raises(TypeError, match=f"on_{kind} of flow 'fails' contains 3"):
        getattr(one, f"on_{kind}")(3)


@row("1.22")
def test_a_hook_as_a_decorator_gives_the_function_back(row: str) -> None:
    seen: list[str] = []
    one = a_flow(on_failure=[lambda *_: seen.append("first")])(fails)

    def second(flow: Any, run: Any, state: Any) -> None:
        seen.append("second")

    assert one.on_failure(second) is second
    one(return_state=True)
    assert seen == ["first", "second"]


@row("1.23")
def test_what_a_hook_raises_is_told_and_changes_nothing(row: str, home: Path) -> None:
    seen: list[str] = []

    def broken(*_: Any) -> None:
        raise RuntimeError("in the hook")

    def logs(flow: Any, run: Any, state: Any) -> None:
        get_run_logger().info("from a hook")  # mended
        flow_run_logger(run, flow).info("by hand")
        seen.append(state.name)

    assert a_flow(on_completion=[broken, logs])(load_all)() == "monday 1"
    assert seen == ["Completed"]
    found = record(home)
    assert found.flow_run().end == ("COMPLETED", "Completed")
    assert {"from a hook", "by hand"} <= set(found.messages())
    assert any("in the hook" in line for line in found.messages())


# --- the flow as an object --------------------------------------------------------------------------------------------

EVERY_OPTION: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "name": ("other", lambda it: it.name, "other"),
    "version": ("2", lambda it: it.version, "2"),
    "description": ("said", lambda it: it.description, "said"),
    "tags": (["b"], lambda it: it.tags, {"b"}),
    "flow_run_name": ("of {day}", lambda it: it.flow_run_name, "of {day}"),
    "retries": (5, lambda it: it.retries, 5),
    "retry_delay_seconds": ([1, 2], lambda it: it.retry_delay_seconds, [1, 2]),
    "retry_jitter_factor": (0.5, lambda it: it.retry_jitter_factor, 0.5),
    "retry_condition_fn": (nothing, lambda it: it.retry_condition_fn, nothing),
    "timeout_seconds": (7, lambda it: it.timeout_seconds, 7.0),
    "task_runner": (ProcessPoolTaskRunner, lambda it: type(it.task_runner), ProcessPoolTaskRunner),
    "validate_parameters": (False, lambda it: it.should_validate_parameters, False),
    "log_prints": (True, lambda it: it.log_prints, True),
    "persist_result": (True, lambda it: it.asks.persist, True),
    "result_serializer": ("json", lambda it: type(it.asks.serializer).__name__, "JSONSerializer"),
    **{
        f"on_{kind}": ([nothing], lambda it, kind=kind: it.hooks[kind], [nothing])  # type: ignore[misc]
        for kind in Flow.hook_kinds
    },
}


@pytest.mark.parametrize("option", [at("1.24", option) for option in EVERY_OPTION])
def test_with_options_takes_every_option_and_leaves_the_flow_as_it_is(option: str) -> None:
    given, look, expected = EVERY_OPTION[option]
    one = a_flow(load_all)
    before = look(one)
    other = one.with_options(**{option: given})
    assert look(other) == expected
    assert look(one) == before != expected
    assert other is not one
    assert other() == "monday 1" or option == "flow_run_name"
    again = other.with_options(description="third")
    assert option == "description" or look(again) == expected, "what is not passed is kept"


@pytest.mark.parametrize(
    ("option", "given", "first", "then"),
    [
        at("1.24", "tags", ["a"], {"a"}, frozenset()),
        at("1.24", "on_failure", [nothing], [nothing], []),
        at("1.24", "retries", 3, 3, 0),
        at("1.24", "timeout_seconds", 5, 5.0, None),
        at("1.24", "flow_run_name", "of {day}", "of {day}", None),
        at("1.24", "log_prints", True, True, None),
    ],
)
def test_with_options_what_is_passed_counts_also_if_it_is_empty(option: str, given: Any, first: Any, then: Any) -> None:
    read: dict[str, Callable[[Any], Any]] = {"on_failure": lambda it: it.hooks["failure"]}
    look = read.get(option, lambda it: getattr(it, option))
    one = a_flow(**{option: given})(load_all)
    assert look(one) == first
    assert look(one.with_options(name="other")) == first
    assert look(one.with_options(**{option: then})) == then


@row("1.24")
def test_with_options_keeps_hooks_methods_and_subclasses_and_refuses_what_the_decorator_refuses(row: str) -> None:
    class Mine(Flow[Any, Any]):
        pass

    one = Mine(load_all, tags=iter(["a"]))
    seen: list[str] = []
    one.on_completion(lambda *_: seen.append("added"))
    other = one.with_options(name="other")
    assert type(other) is Mine
    assert other.tags == {"a"}
    other.on_completion(lambda *_: seen.append("later"))
    other()
    assert seen == ["added", "later"]
    assert len(one.hooks["completion"]) == 1

    class Job:
        day = "sunday"

        @flow
        def load(self) -> str:
            return self.day

        @flow
        @classmethod
        def of_class(cls) -> str:
            return cls.day

    assert Job().load.with_options(name="other")() == "sunday"
    assert Job.of_class.with_options(name="other")() == "sunday"  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="flow 'load-all' has no option 'retrys'") as caught:
        one.with_options(retrys=3)
    assert "retries" in str(caught.value)
    with pytest.raises(InvalidNameError):
        one.with_options(name="a/b")
    with pytest.raises(TypeError, match="tags of a flow is 'a'"):
        one.with_options(tags="a")


@pytest.mark.parametrize("name", [at("1.25", "return_state"), at("1.25", "wait_for")])
def test_reserved_parameters(name: str) -> None:
    with pytest.raises(ReservedArgumentError, match=f"a parameter '{name}'"):
        a_flow(eval(f"lambda {name}: 0"))


@row("1.26")
def test_the_function_itself(row: str, home: Path) -> None:
    assert a_flow(load_all).fn is load_all
    assert a_flow(load_all).fn("friday") == "friday 1"
    assert not home.exists()


class Colour(Enum):
    RED = "red"


class Page(pydantic.BaseModel):
    url: str
    depth: int = 1


class Own:
    pass


def many(
    page: Page,
    day: date,
    colour: Colour = Colour.RED,
    schema: str = "public",
    own: Own | None = None,
    password: pydantic.SecretStr = "hunter2",  # type: ignore[assignment]
    *rest: int,
    **more: str,
) -> Any:
    """Do much.

    Parameters
    ----------
    page : Page
        where it
        begins
    rest
        numbers
    """
    return page, day, colour, schema, own, rest, more


@row("1.27")
def test_the_parameters_as_a_schema(row: str) -> None:
    schema = a_flow(load_all).parameters
    assert schema == {
        "title": "Parameters",
        "type": "object",
        "properties": {
            "day": {
                "title": "day",
                "type": "string",
                "default": "monday",
                "position": 0,
                "description": "the day to load",
            },
            "pages": {
                "title": "pages",
                "type": "integer",
                "default": 1,
                "position": 1,
                "description": "how many, at most",
            },
        },
    }
    assert isinstance(schema, ParameterSchema)
    assert (schema.title, schema.type, schema.required, schema.definitions) == ("Parameters", "object", [], {})
    assert schema.model_dump() == schema
    assert a_flow(lambda: 1).parameters.properties == {}


@row("1.27")
def test_the_schema_of_models_secrets_and_what_json_does_not_know(row: str) -> None:
    schema = a_flow(many).parameters
    properties = schema.properties
    assert list(properties) == ["page", "day", "colour", "schema", "own", "password", "rest", "more"]
    assert schema.required == ["page", "day"]
    assert properties["page"]["$ref"] == "#/definitions/Page"
    assert properties["page"]["description"] == "where it begins"
    assert properties["rest"]["description"] == "numbers"
    assert schema.definitions["Page"]["required"] == ["url"]
    assert schema.definitions["Colour"]["enum"] == ["red"]
    assert properties["colour"]["default"] == "red"
    assert properties["day"]["format"] == "date"
    assert properties["rest"]["type"] == "array"
    assert "hunter2" not in str(schema)

    class Job:
        @flow
        def load(self, day: str) -> None: ...

    assert list(Job().load.parameters.properties) == ["day"]


@row("1.27")
def test_what_a_docstring_in_the_style_of_sphinx_says(row: str) -> None:
    def sphinx(day: str, pages: int) -> None:
        """Load.

        :param str day: the day,
            in UTC
        :param pages: how many
        :returns: nothing
        """

    properties = a_flow(sphinx).parameters.properties
    assert [it.get("description") for it in properties.values()] == ["the day, in UTC", "how many"]


@row("1.28")
def test_checking_parameters_without_a_call(row: str, home: Path) -> None:
    one = a_flow(load_all)
    assert one.validate_parameters({"pages": "3"}) == {"pages": 3}
    assert one.validate_parameters({}) == {}
    checked = a_flow(many).validate_parameters({"page": {"url": "x"}, "day": "2026-08-01", "rest": ("1",)})
    assert checked == {"page": Page(url="x"), "day": date(2026, 8, 1), "rest": (1,)}
    with pytest.raises(ParameterTypeError, match=r"pages='many': input should be"):
        one.validate_parameters({"pages": "many"})
    with pytest.raises(ParameterTypeError, match=r"day=3: .*; pages='many'"):
        one.validate_parameters({"day": 3, "pages": "many"})
    with pytest.raises(ParameterBindError, match="'page' is missing, 'day' is missing, 'dya' is unknown"):
        a_flow(many).validate_parameters({"dya": 1})
    assert not home.exists(), "nothing is recorded"


@row("1.28")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic 1 does not work there")
def test_a_model_of_pydantic_1_is_refused_by_name(row: str) -> None:
    from pydantic.v1 import BaseModel

    class Old(BaseModel):
        url: str

    def take(pages: list[Old]) -> Any:
        return pages

    take.__annotations__["pages"] = list[Old]
    with pytest.raises(ValueError, match="'pages' is a model of pydantic 1") as caught:
        a_flow(take).validate_parameters({"pages": []})
    assert "validate_parameters=False" in str(caught.value)
    assert a_flow(validate_parameters=False)(take)([Old(url="x")]) == [Old(url="x")]


@row("1.29")
def test_parameters_as_they_are_recorded(row: str) -> None:
    round_about: list[Any] = []
    round_about.append(round_about)
    one = a_flow(many)
    assert one.serialize_parameters(
        {
            "page": Page(url="x"),
            "day": date(2026, 8, 1),
            "own": Own(),
            "colour": Colour.RED,
            "rest": (1, 2),
            "password": "hunter2",
            "schema": round_about,
            "more": threading.Lock(),
        }
    ) == {
        "page": {"url": "x", "depth": 1},
        "day": "2026-08-01",
        "own": "<Own>",
        "colour": "red",
        "rest": [1, 2],
        "password": "**********",
        "schema": "<list>",
        "more": "<lock>",
    }
    assert one.serialize_parameters({"own": Completed()}) == {"own": "<State>"}

    @task
    def step() -> int:
        return 1

    @flow
    def whole() -> None:
        assert one.serialize_parameters({"own": step.submit()}) == {"own": "<Future>"}

    whole()

    class Job:
        @flow
        def load(self, day: str) -> None: ...

    job = Job()
    assert job.load.serialize_parameters({"self": job, "day": "monday"}) == {"day": "monday"}
