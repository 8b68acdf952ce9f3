"""Parameters of flows: bound, checked and coerced before anything runs; and all the kinds of callables there are."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Optional, Union

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import Flow, flow, task
from surefoot.exceptions import BadInput, ParameterBindError, ParameterTypeError
from surefoot.parameters import validator_of
from surefoot.states import State
from tests.recorded import record
from tests.reference.rows import row

if TYPE_CHECKING:
    from somewhere_else import NotThere  # type: ignore[import-not-found]


class Colour(Enum):
    RED = "red"


class Config(pydantic.BaseModel):
    name: str
    size: int = 1


class Account(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Login:
    user: str
    password: pydantic.SecretStr


class Row(NamedTuple):
    a: int


class Opaque:
    """A class that pydantic knows nothing of."""


def loose(decorated: Any) -> Any:
    """The same, of which a type checker knows nothing: for calls that are wrong on purpose."""
    return decorated


def flow_of(annotation: Any, **options: Any) -> Flow[Any, Any]:
    def give(x):  # type: ignore[no-untyped-def]
        return x

    give.__annotations__ = {"x": annotation}
    return flow(**options)(give)


# -- coercion ----------------------------------------------------------------------------------------------------------

COERCED: list[tuple[Any, Any, Any]] = [
    (int, "5", 5),
    (int, 5.0, 5),
    (float, 5, 5.0),
    (bool, "yes", True),
    (str, "x", "x"),
    (Optional[int], "5", 5),  # noqa: UP045
    (int | None, None, None),
    (Union[int, str], "5", "5"),  # noqa: UP007
    (Literal["a", "b"], "a", "a"),
    (datetime, "2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    (date, "2024-02-29", date(2024, 2, 29)),
    (timedelta, 90, timedelta(seconds=90)),
    (Path, "/data", Path("/data")),
    (list[int], ("1", 2), [1, 2]),
    (dict[str, int], {"a": "1"}, {"a": 1}),
    (tuple[int, str], ["1", "b"], (1, "b")),
    (set[int], [1, 1], {1}),
    (Colour, "red", Colour.RED),
    (Config, {"name": "n", "size": "3"}, Config(name="n", size=3)),
    (Point, {"x": "1"}, Point(1)),
    (Row, ["4"], Row(4)),
    (Annotated[int, pydantic.Field(gt=3)], "4", 4),
    (Any, Opaque, Opaque),
    (None, None, None),
]


@pytest.mark.parametrize(("annotation", "value", "wanted"), COERCED)
def test_a_value_is_coerced_by_its_annotation(annotation: Any, value: Any, wanted: Any) -> None:
    got = flow_of(annotation)(value)
    assert (type(got), got) == (type(wanted), wanted)


REFUSED: list[tuple[Any, Any, str]] = [
    (int, "five", r"x='five': input should be a valid integer"),
    (int, None, r"x=None: input should be a valid integer"),
    (int, 5.5, r"x=5\.5: "),
    (str, 5, r"x=5: input should be a valid string"),
    (bool, 2, r"x=2: "),
    (Literal["a", "b"], "c", r"x='c': input should be 'a' or 'b'"),
    (Config, {"size": 3}, r"x\.name=.*field required"),
    (Annotated[int, pydantic.Field(gt=3)], 3, r"x=3: input should be greater than 3"),
    (Opaque, 3, r"x=3: input should be an instance of Opaque"),
    (list[int], ["a", 1, "b"], r"x\.0='a': .*; x\.2='b': "),
]


@pytest.mark.parametrize(("annotation", "value", "told"), REFUSED)
def test_a_value_that_does_not_fit_is_told_by_name_and_value(
    annotation: Any, value: Any, told: str, home: Path
) -> None:
    nightly = flow_of(annotation, name="nightly")
    with pytest.raises(ParameterTypeError, match=rf"Flow 'nightly' got {told}") as caught:
        nightly(value)
    assert caught.value.do
    run = record(home).flow_run("nightly")
    assert run.names == ["Pending", "NotReady"], "the run is recorded, its function was not called"
    assert (run.last.state_type.value, run.last.message) == ("FAILED", caught.value.what)


def test_every_value_that_does_not_fit_is_told() -> None:
    @flow
    def load(a: int, b: datetime, c: int = 3) -> None: ...

    with pytest.raises(ParameterTypeError, match=r"a='x': .*; b='soon': "):
        loose(load)("x", "soon")


def test_a_long_value_is_told_in_short_and_a_broken_one_by_its_class() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ParameterTypeError, match=r"x='y{76}\.\.\.: "):
        flow_of(int)("y" * 1000)
    with pytest.raises(ParameterTypeError, match="x=<Broken>: "):
        flow_of(int)(Broken())


def test_an_error_does_not_raise_where_the_state_is_asked_for() -> None:
    state = flow_of(int)("five", return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "NotReady")
    with pytest.raises(ParameterTypeError):
        state.result()


def test_without_validation_values_are_passed_as_they_are() -> None:
    assert flow_of(int, validate_parameters=False)("five") == "five"


def test_an_annotation_that_cannot_be_checked_is_refused_with_a_way_out() -> None:
    with pytest.raises(BadInput, match="The parameters of flow 'give' cannot be checked") as caught:
        flow_of(3)("five")
    assert isinstance(caught.value, ValueError)
    assert "validate_parameters=False" in caught.value.do
    assert flow_of(3, validate_parameters=False)("five") == "five"


def test_a_model_or_object_of_the_right_kind_is_passed_as_the_same_object() -> None:
    for annotation, value in ((Config, Config(name="n")), (Point, Point(1)), (Opaque, Opaque()), (Any, [1])):
        assert flow_of(annotation)(value) is value


# -- the fast way and the thorough one ---------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


some_annotations: st.SearchStrategy[Any] = st.sampled_from(
    [
        int, float, str, bool, None, Any, object, "int", "float", "str", "bool", "None", "Any", "object", "str | None",
        int | None, Optional[str], int | str, float | int, "int|float|None", bool | int,  # noqa: UP045
        Union[str, None, float],  # noqa: UP007
        list[int], "list[int]", dict[str, int],
    ]
)  # fmt: skip
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3).map(str),
    st.floats(),
    st.text(alphabet=st.characters(), max_size=3),  # with halves of surrogate pairs
    st.just(Text("5")),
    st.just(Colour.RED),
    st.lists(st.integers() | st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.just(b"5"),
)


@given(some_annotations, values)
def test_the_fast_way_never_differs_from_pydantic(annotation: Any, value: Any) -> None:
    def give(x):  # type: ignore[no-untyped-def]
        return x

    give.__annotations__ = {"x": annotation}
    give.__globals__.setdefault("NoneType", type(None))
    try:
        wanted: Any = loose(pydantic.validate_call(give))(value)
    except pydantic.ValidationError:
        wanted = ParameterTypeError
    try:
        got = validator_of(give, "give", Flow.signature_of(give))({"x": value})["x"]
    except ParameterTypeError as error:
        got = type(error)
    assert repr(got) == repr(wanted)
    assert type(got) is type(wanted)


def test_plain_values_of_plain_types_need_no_pydantic(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "from __future__ import annotations\n"
        "import sys\n"
        "from typing import Any\n"
        "from surefoot import flow\n"
        "@flow\n"
        "def main(a: int, b: str = 'x', c: float | None = None, d=object, *, e: bool = True, f: Any = 3) -> None: ...\n"
        "main(1); main(1, 'y', 2.5, [], e=False, f={})\n"
        "assert 'pydantic' not in sys.modules\n"
        "main('1')\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True)


# -- signatures --------------------------------------------------------------------------------------------------------


def test_every_kind_of_parameter_is_bound_and_coerced() -> None:
    @flow
    def load(a: int, /, b: int, c: int = 3, *rest: int, d: int, e: int = 5, **more: int) -> Any:
        return a, b, c, rest, d, e, more

    assert loose(load)("1", "2", d="4") == (1, 2, 3, (), 4, 5, {})
    assert loose(load)("1", b="2", d=4) == (1, 2, 3, (), 4, 5, {})
    everything = loose(load)("1", "2", "0", "6", "7", d="4", e="9", x="8")
    assert everything == (1, 2, 0, (6, 7), 4, 9, {"x": 8})
    with pytest.raises(ParameterTypeError, match=r"rest\.1='x': .*; more\.y='z'"):
        loose(load)(1, 2, 3, 4, "x", d=1, y="z")


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"x": 2}, "got an unexpected keyword argument 'x'"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_before_a_run_exists(
    args: tuple[Any, ...], kwargs: dict[str, Any], told: str, home: Path
) -> None:
    def add(a: int, b: int = 2) -> int:
        return a + b

    async def add_later(a: int, b: int = 2) -> int:
        return a + b

    for function in (flow(add), task(add), flow(add_later)):
        with pytest.raises(ParameterBindError, match=told) as caught:
            function(*args, **kwargs)
        assert isinstance(caught.value, TypeError)
        assert "(a: " in caught.value.do, "the signature is shown"
    assert not record(home).flow_runs
    assert not record(home).task_runs


def test_parameters_may_have_any_names() -> None:
    @flow
    def load(schema: int, _private: int, model_config: int, copy: int, self: int = 0, p0: int = 9) -> Any:
        return schema, _private, model_config, copy, self, p0

    assert loose(load)("1", "2", "3", "4", p0="5") == (1, 2, 3, 4, 0, 5)


def test_a_default_that_does_not_fit_is_the_authors_word() -> None:
    missing = object()

    @flow
    def load(x: int = None, y: int = missing, when: date = "2024-01-02", n: int = 1) -> Any:  # type: ignore[assignment]  # noqa: RUF013
        return x, y, when, n

    assert load() == (None, missing, date(2024, 1, 2), 1)
    assert loose(load)(n="3") == (None, missing, date(2024, 1, 2), 3)
    with pytest.raises(ParameterTypeError, match="y='no'"):
        loose(load)(y="no")


def test_a_default_that_can_be_changed_is_not_shared_between_runs() -> None:
    @flow
    def load(rows: list[int] = []) -> list[int]:  # noqa: B006
        rows.append(1)
        return rows

    assert load() == [1]
    assert load() == [1]


def test_postponed_annotations_are_resolved_where_the_function_stands() -> None:
    class Local(pydantic.BaseModel):
        n: int

    @flow
    def load(x: Local, y: list[Config], z: Point | None = None) -> Any:
        return x, y, z, Local

    x, y, z, _ = loose(load)({"n": "3"}, [{"name": "n"}], {"x": 1})
    assert (x.n, y[0].name, z) == (3, "n", Point(1))


def test_an_annotation_for_the_type_checker_alone_accepts_anything_and_spares_its_neighbours() -> None:
    @flow
    def load(x: NotThere, n: int) -> Any:
        return x, n

    assert load("anything", "3") == ("anything", 3)  # type: ignore[call-overload]
    with pytest.raises(ParameterTypeError, match="n='x'"):
        load("anything", "x")  # type: ignore[call-overload]


def test_parameters_without_annotations_accept_anything() -> None:
    @flow
    def load(x, n: int, *rest, **more):  # type: ignore[no-untyped-def]
        return x, n, rest, more

    value = object()
    assert load(value, "3", value, y=value) == (value, 3, (value,), {"y": value})  # type: ignore[call-overload]


# -- secrets -----------------------------------------------------------------------------------------------------------

SECRET = "hunter2"


def all_bytes(home: Path) -> bytes:
    record(home)
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_secret_is_neither_recorded_nor_told(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @flow(flow_run_name="by-{user}-{password}")
    def log_in(user: str, password: pydantic.SecretStr) -> str:
        return password.get_secret_value()

    assert loose(log_in)("ann", SECRET) == SECRET
    assert log_in("ann", pydantic.SecretStr(SECRET)) == SECRET
    for run in record(home).flow_runs:
        assert run.parameters == {"user": "ann", "password": "**********"}
        assert run.name == "by-ann-**********"
    assert SECRET.encode() not in all_bytes(home)
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (pydantic.SecretStr, [SECRET]),
        (pydantic.SecretBytes, {"a": SECRET}),
        (Optional[pydantic.SecretStr], [SECRET]),  # noqa: UP045
        (list[pydantic.SecretStr], [[SECRET]]),
        (pydantic.Secret[date], SECRET),
        (Account, {"password": SECRET}),
        (Account | None, {"user": 3, "password": SECRET}),
        (dict[str, Account], {"a": {"password": SECRET}}),
        (Login, {"password": SECRET}),
        ("pydantic.SecretStr", [SECRET]),
        (Annotated[pydantic.SecretStr, pydantic.Field(max_length=3)], SECRET),
        (Annotated[pydantic.SecretStr, pydantic.AfterValidator(lambda v: 1 / 0 if not v else _refuse(v))], SECRET),
    ],
)
def test_a_secret_that_does_not_fit_is_not_told_either(
    annotation: Any, value: Any, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ParameterTypeError) as caught:
        flow_of(annotation)(value)
    assert SECRET not in str(caught.value)
    assert "**********" in str(caught.value)
    assert record(home).flow_run().parameters == {"x": "**********"}
    assert SECRET.encode() not in all_bytes(home)
    assert SECRET not in "".join(capfd.readouterr())


def _refuse(value: pydantic.SecretStr) -> None:
    raise ValueError(f"{value.get_secret_value()} is too short")


def test_nor_does_a_secret_of_the_command_line_come_in_with_the_programs_arguments(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["job.py", "-p", f"x={SECRET}"])
    flow_of(pydantic.SecretStr)(SECRET)
    assert SECRET.encode() not in all_bytes(home)
    flow_of(int)(1)
    assert SECRET.encode() in all_bytes(home), "where nothing is secret, they are kept to start the run again"


def test_what_holds_secrets_shows_the_rest(home: Path) -> None:
    flow_of(Account)(Account(user="ann", password=pydantic.SecretStr(SECRET)))
    assert record(home).flow_run().parameters == {"x": {"user": "ann", "password": "**********"}}


def test_a_secret_is_not_recorded_without_validation_either(home: Path) -> None:
    flow_of(pydantic.SecretStr, validate_parameters=False)(SECRET)
    assert record(home).flow_run().parameters == {"x": "**********"}


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_parameters_are_recorded_as_they_were_passed_and_what_is_no_json_by_its_class(home: Path) -> None:
    knot: list[Any] = []
    knot.append(knot)

    @flow
    def load(x: Any, thing: Any, knot: Any, path: Path, big: Any, **more: Any) -> None: ...

    load(
        {"a": [1, Colour.RED]},
        thing=Opaque(),
        knot=knot,
        path=Path("/data"),
        big="x" * 2_000_000,
        model=Config(name="n"),
    )
    parameters = record(home).flow_run().parameters
    assert parameters["x"] == {"a": [1, "red"]}
    assert (parameters["thing"], parameters["knot"], parameters["path"]) == ("<Opaque>", "<list>", "/data")
    assert parameters["big"] == "<str of 2000000>"
    assert parameters["more"] == {"model": {"name": "n", "size": 1}}


def test_futures_as_parameters_of_a_subflow_arrive_as_values(home: Path) -> None:
    @task
    def one() -> str:
        return "1"

    @flow
    def inner(x: int, rows: list[int]) -> Any:
        return x, rows

    @flow
    def main() -> Any:
        future = one.submit()
        return loose(inner)(future, rows=[future, "2"])

    assert main() == (1, [1, 2])
    run = record(home).flow_run("inner")
    assert run.parameters["x"] == "<Future>"
    assert [name for name, _ in run.created.inputs] == ["x", "rows"]


# -- callables ---------------------------------------------------------------------------------------------------------


class Adder:
    """Adds."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return self.n + x


class LateAdder(Adder):
    async def __call__(self, x: int) -> int:  # type: ignore[override]
        return self.n + x


def add(n: int, x: int) -> int:
    """Add two numbers."""
    return n + x


async def add_late(n: int, x: int) -> int:
    return n + x


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def with_one(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(x: int) -> Any:
        return fn(1, x)

    return wrapper


CALLABLES: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: lambda x: 1 + x, "unknown-lambda"),
    "partial": (lambda: functools.partial(add, 1), "add"),
    "partial of a partial": (lambda: functools.partial(functools.partial(add), 1), "add"),
    "instance": (lambda: Adder(1), "Adder"),
    "bound method": (lambda: Adder(1).__call__, "__call__"),
    "wrapped": (lambda: logged(Adder(1).__call__), "__call__"),
    "wrapped with fewer parameters": (lambda: with_one(add), "add"),
    "builtin": (lambda: (1).__add__, "__add__"),
    "async partial": (lambda: functools.partial(add_late, 1), "add_late"),
    "async instance": (lambda: LateAdder(1), "LateAdder"),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_whatever_can_be_called_can_be_a_flow_and_a_task(kind: str) -> None:
    make, name = CALLABLES[kind]
    as_task, as_flow = task(make()), flow(make())
    assert as_task.name == name
    assert as_flow.name == name.replace("_", "-")
    assert as_task.isasync is as_flow.isasync is kind.startswith("async")

    @flow
    def main() -> Any:
        return as_task.submit(2), as_task.submit(x=2) if kind != "builtin" else as_task.submit(2)  # it has no names

    assert main() == (3, 3)
    if not as_flow.isasync:
        assert (as_flow(2), as_task(2)) == (3, 3)
    if kind != "builtin":
        with pytest.raises(ParameterBindError):
            as_task(2, 3, 4)


@pytest.mark.parametrize("kind", ["partial", "instance", "wrapped", "wrapped with fewer parameters", "async instance"])
def test_their_annotations_are_found_although_they_are_postponed(kind: str) -> None:
    built = flow(CALLABLES[kind][0]())

    def run(x: str) -> Any:
        return asyncio.run(built(x)) if built.isasync else built(x)

    assert run("2") == 3
    with pytest.raises(ParameterTypeError, match="x='two'"):
        run("two")


@pytest.mark.parametrize("wrong", [3, "main", None, [add]])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    for decorate, word in ((flow, "@flow"), (task, "@task")):
        if wrong is None:
            continue  # that is how `@flow()` looks
        with pytest.raises(BadInput, match=word) as caught:
            decorate(wrong)
        assert isinstance(caught.value, TypeError)


def test_a_builtin_without_a_signature_says_how_to_use_it() -> None:
    with pytest.raises(TypeError, match="no signature") as caught:
        task(max)
    assert "Wrap it in a function" in str(caught.value)


def test_the_docstring_and_names_of_the_function_stay() -> None:
    decorated = loose(flow(add))
    assert (decorated.__name__, decorated.__doc__, decorated.__module__) == ("add", "Add two numbers.", __name__)
    assert decorated.description == "Add two numbers."
    assert decorated.fn is add
    assert decorated.fn(1, 2) == 3


# -- methods -----------------------------------------------------------------------------------------------------------


class Job:
    kind = "job"

    def __init__(self, n: int) -> None:
        self.n = n

    @flow
    def run(self, x: int) -> Any:
        return self.n, x, self.step(x), [self.step.submit(x).result()], self.step.map([x, x]).result()

    @task
    def step(self, x: int) -> int:
        return self.n * x

    @flow
    @classmethod
    def of_class(cls, x: int) -> Any:
        return cls.kind, x

    @classmethod
    @task
    def task_of_class(cls, x: int) -> Any:
        return cls.kind, x

    @task
    @staticmethod
    def alone(x: int) -> int:
        return x

    @staticmethod
    @flow
    def flow_alone(x: int) -> int:
        return x


class Special(Job):
    kind = "special"


@row("1.50")
def test_methods_are_flows_and_tasks_of_their_instance(row: str) -> None:
    assert loose(Job(2)).run("3") == (2, 3, 6, [6], [6, 6])
    job = Job(5)
    assert loose(Job).run(job, "3")[:3] == (5, 3, 15)
    assert loose(job).run(3)[:3] == (5, 3, 15), "asking through the class has changed nothing"
    with pytest.raises(ParameterTypeError, match="x='three'"):
        loose(job).run("three")
    with pytest.raises(ParameterBindError, match="missing a required argument: 'x'"):
        loose(job).step()


@pytest.mark.parametrize("owner", [Job, Special, Job(1), Special(1)])
def test_class_and_static_methods_in_both_orders_where_python_can(owner: Any) -> None:
    assert owner.of_class("3") == (owner.kind, 3)
    assert owner.alone(3) == owner.flow_alone("3") == 3
    if sys.version_info < (3, 13):  # later a class method no longer binds what it wraps
        assert owner.task_of_class(3) == (owner.kind, 3)


def test_the_record_of_a_method_leaves_out_its_instance(home: Path) -> None:
    loose(Job(2)).run(3)
    found = record(home)
    assert found.flow_run("run").parameters == {"x": 3}
    assert {run.of for run in found.task_runs} == {"step"}


@row("1.50")
def test_two_instances_at_once_never_see_each_other(row: str) -> None:
    jobs = [Job(n) for n in range(8)]
    start = threading.Barrier(len(jobs))
    got: dict[int, set[Any]] = {job.n: set() for job in jobs}

    def work(job: Job) -> None:
        start.wait()
        for x in range(20):
            got[job.n].add(loose(job).run(x)[0])

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: {n} for n in range(8)}


def test_a_state_is_no_value_for_a_parameter_but_its_data_is() -> None:
    assert flow_of(int)(State("COMPLETED", data="4")) == 4
