"""Inputs: what is found in arguments, what is put in its place, and what keeps its identity."""

from __future__ import annotations

from collections import Counter, OrderedDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import Future, State, allow_failure, flow, quote, task, unmapped
from surefoot.engine.inputs import Reference, find_references, replace_references
from surefoot.exceptions import NotReadyRun
from surefoot.futures import FutureList
from surefoot.states import Cancelled, Completed, Crashed, Failed, Paused, Running


def found_in(value: Any) -> list[Reference]:
    found: list[Reference] = []
    find_references(value, found)
    return found


def replaced(value: Any, by: str = "value") -> Any:
    return replace_references(value, lambda target, allows_failure: by)


Point = namedtuple("Point", "x y")


class Rows(list[Any]):
    def __init__(self, rows: list[Any], source: str) -> None:
        super().__init__(rows)
        self.source = source


class Model(pydantic.BaseModel):
    model_config = {"arbitrary_types_allowed": True, "frozen": True}
    inner: Any
    n: int = 1


@dataclass
class Plain:
    inner: Any
    made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.made += 1


@dataclass(frozen=True, slots=True)
class Frozen:
    inner: Any


CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda x: [1, x],
    "tuple": lambda x: (x, 2),
    "dict value": lambda x: {"a": x},
    "named tuple": lambda x: Point(1, x),
    "dataclass": Plain,
    "frozen dataclass with slots": Frozen,
    "pydantic model": lambda x: Model(inner=x),
    "ordered dict": lambda x: OrderedDict(b=1, a=x),
    "list of lists of dicts": lambda x: [[{"deep": (1, [x])}]],
    "list subclass": lambda x: Rows([x], "s3"),
    "map": lambda x: FutureList([x]),
}
BEYOND: dict[str, Callable[[Any], Any]] = {
    "plain object": lambda x: SimpleNamespace(inner=x),
    "deque": lambda x: deque([x]),
    "user list": lambda x: UserList([x]),
    "closure": lambda x: lambda: x,
    "a class": lambda x: type("Kind", (), {"inner": x}),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_states_are_found_and_replaced_in(kind: str) -> None:
    make, state = CONTAINERS[kind], Completed(data="value")
    value = make(state)
    assert [reference.target for reference in found_in(value)] == [state]
    new = replaced(value)
    if kind == "map":
        assert new == ["value"]
        assert type(new) is list  # of values, not of futures
    else:
        assert new == make("value")
        assert type(new) is type(value)
    assert found_in(value), "the value that was passed is not changed"


@pytest.mark.parametrize("kind", BEYOND)
def test_other_objects_are_passed_as_they_are(kind: str) -> None:
    value = BEYOND[kind](Completed())
    assert not found_in(value)
    assert replaced(value) is value


@pytest.mark.parametrize("kind", [*CONTAINERS, *BEYOND])
def test_what_contains_no_future_keeps_its_identity(kind: str) -> None:
    value = {**CONTAINERS, **BEYOND}[kind](object())
    assert not found_in(value)
    assert replaced(value) is value


def test_states_in_sets_and_as_keys_of_dicts() -> None:
    @task
    def one() -> int:
        return 1

    @flow
    def main() -> tuple[Any, Any]:
        future = one.submit()
        return give({future}), give({future: "x", "y": [future]})

    @task
    def give(value: Any) -> Any:
        return value

    assert main() == ({1}, {1: "x", "y": [1]})


def test_a_default_dict_keeps_its_factory_and_a_counter_counts() -> None:
    value: dict[str, Any] = defaultdict(list, a=Completed())
    assert replaced(value) == {"a": "value"}
    assert replaced(value)["missing"] == []
    counted: Counter[str] = Counter(a=2)
    counted["b"] = Completed()  # type: ignore[assignment]
    assert replaced(counted, 5) == Counter(a=2, b=5)  # type: ignore[arg-type]


def test_a_list_of_the_users_own_keeps_its_attributes() -> None:
    new = replaced(Rows([Completed()], "s3"))
    assert (new, new.source) == (["value"], "s3")


def test_a_dataclass_is_not_made_a_second_time() -> None:
    assert replaced(Plain(Completed())).made == 1


def test_a_model_is_copied_without_its_validators() -> None:
    class Strict(pydantic.BaseModel):
        model_config = {"arbitrary_types_allowed": True, "extra": "allow"}
        inner: State

    assert replaced(Strict(inner=Completed(), other=3)).inner == "value"  # type: ignore[call-arg]


def test_a_container_that_holds_itself_does_no_harm() -> None:
    value: list[Any] = [1, Completed()]
    value.append(value)
    assert len(found_in(value)) == 1
    assert replaced(value)[1] == "value"
    knot: dict[str, Any] = {"a": object()}
    knot["knot"] = knot
    assert replaced(knot) is knot


def test_one_object_in_two_places_stays_one_object() -> None:
    shared = [Completed()]
    new = replaced({"a": shared, "b": shared})
    assert new["a"] is new["b"]


def test_quote_is_not_looked_into_and_the_marks_come_off() -> None:
    state = Completed()
    assert not found_in(quote([state]))
    assert replaced(quote([state])) == [state]
    assert replaced(unmapped([state])) == ["value"]
    assert replaced([allow_failure(state)]) == ["value"]
    assert replaced({"a": unmapped(allow_failure(3))}) == {"a": 3}


def test_allow_failure_reaches_everything_inside_it() -> None:
    found = found_in([Completed(), allow_failure([Completed(), {"a": Completed()}])])
    assert [reference.allows_failure for reference in found] == [False, True, True]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.builds(Plain, inner)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_values_of_any_shape_are_passed_as_the_same_object(value: Any) -> None:
    assert not found_in(value)
    assert replaced(value) is value


@given(
    st.recursive(st.just("HERE") | st.integers(), lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner))
)
def test_every_state_is_found_wherever_it_stands(shape: Any) -> None:
    def filled(part: Any, by: Any) -> Any:
        if part == "HERE":
            return by
        return type(part)(filled(item, by) for item in part) if isinstance(part, (list, tuple)) else part

    value = filled(shape, Completed())
    assert len(found_in(value)) == str(shape).count("HERE")
    assert replaced(value) == filled(shape, "value")


def test_a_very_deep_container_is_searched_to_its_bottom() -> None:
    value: Any = Completed()
    for _ in range(100):
        value = [value]
    assert len(found_in(value)) == 1


# -- in runs -----------------------------------------------------------------------------------------------------------


@task
def give(value: Any) -> Any:
    return value


@task
def fail() -> None:
    raise ValueError("no disk")


def test_marks_around_plain_values_come_off_in_every_kind_of_call() -> None:
    @flow
    def inner(value: Any) -> Any:
        return value

    @flow
    def main() -> list[Any]:
        marks = [quote([1]), unmapped([1]), allow_failure([1])]
        direct = [give(mark) for mark in marks]
        submitted = [give.submit(mark).result() for mark in marks]
        mapped = give.map([quote([1]), unmapped([1])]).result()
        return [*direct, *submitted, *mapped, *(inner(mark) for mark in marks)]

    assert main() == [[1]] * 11


def test_quote_hands_over_a_future_itself() -> None:
    @task
    def kind_of(value: Any) -> str:
        return type(value).__name__

    @flow
    def main() -> tuple[str, str]:
        future = give.submit(1)
        return kind_of(quote(future)), kind_of(quote([future]))

    assert main() == ("Future", "list")


def test_a_future_in_an_object_of_ones_own_can_be_waited_for_even_with_one_worker() -> None:
    from surefoot.task_runners import ThreadPoolTaskRunner

    @task
    def look(box: SimpleNamespace) -> int:
        return int(box.inner.result()) + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return look.submit(SimpleNamespace(inner=give.submit(1))).result()

    assert main() == 2


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (Failed(message="no disk"), "a state that it was given failed: no disk"),
        (Crashed(message="out of memory"), "a state that it was given crashed: out of memory"),
        (Cancelled(), "a state that it was given was cancelled"),
        (Paused(), "a state that it was given is Paused"),
        (Running(), "a state that it was given is Running"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_state_that_did_not_complete_as_an_input_says_what_it_is(state: State, told: str) -> None:
    end = give(state, return_state=True)
    assert (end.type.value, end.name) == ("FAILED", "NotReady")
    with pytest.raises(NotReadyRun, match=told):
        end.result()


def test_a_failed_upstream_stops_a_subflow_too_unless_its_failure_is_allowed() -> None:
    @flow
    def inner(value: Any) -> str:
        return type(value).__name__

    @flow
    def main() -> quote[Any]:
        future = fail.submit()
        state = inner(future, return_state=True)
        waited = inner(1, wait_for=[future], return_state=True)
        return quote((state, inner(allow_failure(future)), waited))

    (state, name, waited) = main().unwrap()
    assert (state.name, waited.name, name) == ("NotReady", "NotReady", "ValueError")
    assert "`fail` failed: ValueError: no disk" in state.message


def test_allow_failure_lets_no_crash_and_no_cancellation_pass() -> None:
    for state in (Crashed(message="out of memory"), Cancelled()):
        assert give(allow_failure(state), return_state=True).name == "NotReady"
    passed = give(allow_failure(Failed(message="no disk")), return_state=True)
    assert passed.is_completed()
    assert str(passed.result()) == "no disk"


def test_a_not_ready_upstream_passes_where_failure_is_allowed() -> None:
    @flow
    def main() -> Any:
        second = give.submit(fail.submit())
        return give.submit(allow_failure(second))

    error = main()
    assert isinstance(error, NotReadyRun)
    assert isinstance(error.__cause__, ValueError)


def test_wait_for_takes_futures_in_any_nesting_and_other_values_too() -> None:
    @flow
    def main() -> quote[Any]:
        assert give(1, wait_for=[1, "a", None]) == 1
        assert give(1, wait_for=give.submit(2)) == 1
        return quote(give.submit(1, wait_for={"a": [fail.submit()]}, return_state=True))

    assert main().unwrap().name == "NotReady"


def test_the_type_of_a_future_is_known_by_a_mark_not_by_an_import() -> None:
    assert Future._surefoot_future
