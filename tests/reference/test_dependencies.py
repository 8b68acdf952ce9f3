"""Chapter 2.2 of the reference: what a task waits for, marks on arguments, containers, and links of plain values."""

from __future__ import annotations

import re
import threading
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest

from surefoot import allow_failure, flatten, flow, quote, tags, task, unmapped
from surefoot.annotations import Annotation, freeze, opaque
from surefoot.core.errors import MappingLengthMismatch, MappingMissingIterable, MissingContextError, NotReadyRun
from surefoot.states import Completed, State
from tests.recorded import record
from tests.reference.rows import row


@task
def give(value: Any) -> Any:
    return value


@task
def fail(text: str = "broken") -> Any:
    raise ValueError(text)


def in_a_flow(body: Callable[[], Any]) -> Any:
    """Run it as the body of a flow; whatever it finds is told, and is not the flow's value."""
    found: list[Any] = []

    @flow
    def main() -> None:
        found.append(body())

    main()
    return found[0]


# -- upstreams


@row("1.42", "2.41", "2.57")
def test_what_hangs_on_a_failure_ends_not_ready_and_says_on_which(row: str, home: Path) -> None:
    def body() -> list[State]:
        failed = fail.submit()
        second = give.submit(failed)
        third = give.submit(1, wait_for=[{"deep": (second,)}])
        with pytest.raises(NotReadyRun, match="`give` did not run"):
            third.result()
        return [future.state for future in (second, third)]

    second, third = in_a_flow(body)
    assert (second.type.value, second.name, second.message) == (
        "FAILED",
        "NotReady",
        "`fail` failed: ValueError: broken",
    )
    assert third.message == "`give` did not run: `fail` failed: ValueError: broken"
    assert [run.names for run in record(home).task_runs[1:]] == [["Pending", "NotReady"]] * 2


@row("2.41")
def test_wait_for_takes_futures_states_and_values_in_any_nesting(row: str, home: Path) -> None:
    def body() -> Any:
        one, two = give.submit(1), give.submit(2)
        waits = [one, {"a": {two}}, Completed(data=3), 4, None]
        return (
            give.submit("x", wait_for=waits).result(),
            give("y", wait_for=one),
            give.map([1], wait_for=[one]).result(),
        )

    assert in_a_flow(body) == ("x", "y", [1])
    inputs = dict(record(home).task_runs[2].created.inputs)
    assert len(inputs["wait_for"]) == 2


@row("2.42", "2.60")
def test_a_task_outside_of_a_flow_runs_when_called_and_is_not_submitted(row: str, home: Path) -> None:
    assert give(1) == 1
    assert record(home).task_run("give").created.flow_run_id is None  # type: ignore[union-attr]
    with pytest.raises(MissingContextError, match=r"Task 'give' was given to \.submit\(\) outside of a flow") as caught:
        give.submit(1)
    assert isinstance(caught.value, RuntimeError)


# -- map


@row("2.43")
def test_map_takes_iterables_of_every_kind(row: str) -> None:
    @task
    def pair(left: Any, right: Any = "default") -> Any:
        return left, right

    def body() -> None:
        assert pair.map([1, 2]).result() == [(1, "default"), (2, "default")]
        assert pair.map((1, 2), right="xy").result() == [(1, "xy"), (2, "xy")]
        assert pair.map({"a": 1}, b"zz").result() == [("a", b"zz")]
        assert pair.map(range(2), (n for n in "ab")).result() == [(0, "a"), (1, "b")]
        assert sorted(pair.map({5}).result()) == [(5, "default")]
        assert pair.map(give.submit([7, 8])).result() == [(7, "default"), (8, "default")]
        assert pair.map([]) == []
        with pytest.raises(MappingMissingIterable):
            pair.map("text")
        with pytest.raises(MappingLengthMismatch, match="'left' has 2, 'right' has 3"):
            pair.map([1, 2], [1, 2, 3])

    in_a_flow(body)


@row("2.44")
def test_unmapped_is_one_object_for_all(row: str) -> None:
    shared = [1, 2]

    def body() -> list[bool]:
        @task
        def same(_: int, whole: list[int]) -> bool:
            return whole is shared

        return same.map([1, 2], unmapped(shared)).result()

    assert in_a_flow(body) == [True, True]


@row("2.49")
def test_flatten_maps_over_the_elements_of_the_elements(row: str, home: Path) -> None:
    @task
    def split(text: str) -> list[str]:
        return text.split()

    def body() -> None:
        assert give.map(flatten([[1, 2], (3,), range(4, 6), 6])).result() == [1, 2, 3, 4, 5, 6]
        parts = split.map(["a b", "c"])
        assert give.map(flatten(parts)).result() == ["a", "b", "c"]
        assert give.map(flatten(give.submit([[1], [2]]))).result() == [1, 2]
        assert give.map(allow_failure(flatten([[1], [fail.submit()]])), return_state=True)[1].is_completed()
        assert give.map(flatten([])) == []
        with pytest.raises(MappingMissingIterable):
            give.map(flatten(3))
        assert give(flatten([[1]])) == [[1]]  # elsewhere it comes off

    in_a_flow(body)


@row("2.51")
def test_a_map_gives_its_results_in_order(row: str) -> None:
    def body() -> None:
        futures = give.map([3, 1, 3])
        futures.wait()
        assert futures.result() == [3, 1, 3]
        assert [*futures, futures[0]] == [*futures, futures[0]]
        with pytest.raises(ValueError, match="timeout is -1"):
            futures.result(timeout=-1)
        mixed = fail.map(["first"])
        with pytest.raises(ValueError, match="first"):
            mixed.result()
        assert [str(error) for error in mixed.result(raise_on_failure=False)] == ["first"]

    in_a_flow(body)


# -- marks


@row("2.45")
def test_allow_failure_gives_the_exception_wherever_it_stands(row: str) -> None:
    def body() -> None:
        broken, not_run = fail.submit(), give.submit(fail.submit("other"))
        for value in (allow_failure(broken), allow_failure(allow_failure(broken)), opaque(allow_failure(broken))):
            assert str(give.submit(value).result()) == "broken"
        deep = give.submit(allow_failure([{"a": broken}, opaque(not_run)])).result()
        assert isinstance(deep[0]["a"], ValueError)
        assert isinstance(deep[1], NotReadyRun)
        assert give.submit([allow_failure(broken), broken], return_state=True).name == "NotReady"
        assert [str(one) for one in give.map(allow_failure([broken, broken])).result()] == ["broken"] * 2

    in_a_flow(body)


@row("2.46")
def test_quote_passes_what_it_holds_as_it_is(row: str, home: Path) -> None:
    seen: list[Any] = []

    @task
    def see(value: Any) -> None:
        seen.append(value)

    def body() -> Any:
        future = give.submit(1)
        rows = [future]
        see.map([quote(rows), quote(future)]).result()
        assert seen[0] is rows
        assert seen[0][0] is seen[1] is future

    in_a_flow(body)
    assert all(not run.created.inputs for run in record(home).task_runs)


@row("2.47")
def test_opaque_resolves_a_future_and_looks_no_further(row: str) -> None:
    seen: list[Any] = []

    @task
    def see(value: Any) -> None:
        seen.append(value)

    def body() -> None:
        future = give.submit([1])
        inside = [future]
        see.submit(opaque(future)).result()
        see.submit(opaque(inside)).result()
        assert seen[0] == [1]
        assert seen[1] is inside
        assert seen[1][0] is future
        assert give(opaque(5)) == 5

    in_a_flow(body)


@row("2.48")
def test_freeze_takes_what_json_can_hold(row: str) -> None:
    assert freeze({"a": [1, None, "x"]}).unfreeze() == {"a": [1, None, "x"]}
    assert give(freeze([1])) == [1]
    circle: list[Any] = []
    circle.append(circle)
    for wrong in (object(), {1, 2}, circle):
        with pytest.raises(ValueError, match="which JSON cannot hold"):
            freeze(wrong)


@row("2.44", "2.45", "2.46", "2.47", "2.48", "2.49")
def test_marks_unwrap_rewrap_compare_and_show(row: str) -> None:
    for mark in (unmapped, allow_failure, quote, opaque, freeze, flatten):
        one: Annotation[Any] = mark([1])
        assert one.unwrap() == [1]
        assert one.rewrap([2]) == mark([2]) != one
        assert repr(one) == f"{mark.__name__}([1])"
        assert one != quote([1]) or mark is quote


# -- containers

Point = namedtuple("Point", "x y")


@dataclass
class Row:
    value: Any
    made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.made += 1


class Model(pydantic.BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    value: Annotated[Any, "text"] = None


class Own:
    def __init__(self, value: Any) -> None:
        self.value = value


@row("2.54")
def test_futures_in_containers_are_resolved(row: str) -> None:
    def body() -> None:
        future = give.submit(1)
        for container, wanted in [
            ([future, [future]], [1, [1]]),
            ((future,), (1,)),
            ({future}, {1}),
            ({"a": future, future: 2}, {"a": 1, 1: 2}),
            (Point(future, 2), Point(1, 2)),
        ]:
            assert give.submit(container).result() == wanted
        row = give.submit(Row(future)).result()
        assert (row.value, row.made) == (1, 1)  # it is copied, not made a second time
        assert give.submit(Model(value=future)).result().value == 1
        own = give.submit(Own(future)).result()
        assert own.value is future

    in_a_flow(body)


class Unwilling(dict[str, Any]):
    def clear(self) -> None:
        raise RuntimeError("read only")


@row("2.54")
@pytest.mark.parametrize("how", ["called", "submitted"])
def test_a_container_that_takes_no_values_is_told_with_a_way_out(row: str, how: str) -> None:
    def body() -> State:
        container = Unwilling(a=give.submit(1))
        if how == "called":
            called: State = give(container, return_state=True)
            return called
        return give.submit(container, return_state=True)

    state = in_a_flow(body)
    assert (state.type.value, state.name) == ("FAILED", "NotReady")
    assert re.match(r"Argument 1 of Task 'give-\w+' cannot be made anew .*: RuntimeError: read only", state.message)
    error = state.result(raise_on_failure=False)
    assert "quote(...)" in error.do


@row("2.55")
def test_a_plain_value_links_to_the_run_that_gave_it(row: str, home: Path) -> None:
    def body() -> None:
        rows = give([1, 2])
        give(rows)
        for shared in (give(None), give(True), give(7)):
            give(shared)

    in_a_flow(body)
    first, second, *others = record(home).task_runs
    assert second.created.inputs == (("value", (first.created.run_id,)),)
    assert all(not run.created.inputs for run in others)


@row("2.56")
def test_a_run_that_waits_for_itself_is_refused(row: str) -> None:
    futures: list[Any] = []
    made = threading.Event()

    @task
    def takes(number: int) -> Any:
        assert made.wait(30)
        return futures[number].result()

    @task
    def returns(number: int) -> Any:
        assert made.wait(30)
        return [futures[number]]

    def ends_of(*submitted: Any) -> list[str]:
        futures[:] = submitted
        made.set()
        states = [future.state for future in submitted if future.wait() is None]
        made.clear()
        return [state.message or "" for state in states if state.is_failed()]

    def body() -> None:
        (told,) = ends_of(takes.submit(0))
        assert "for the task that this wait would hold" in told
        (told,) = ends_of(returns.submit(0))
        assert told.endswith("returned a future that waits for the run itself.")
        for pair in ([takes, takes], [returns, takes], [returns, returns]):
            assert ends_of(pair[0].submit(1), pair[1].submit(0))

    in_a_flow(body)


@row("2.58")
def test_a_task_called_by_a_task_has_it_as_its_parent(row: str, home: Path) -> None:
    @task
    def outer() -> Any:
        return give(1) + give.submit(2).result()

    assert in_a_flow(lambda: outer()) == 3
    top, *inner = record(home).task_runs
    assert [run.created.parent_task_run_id for run in inner] == [top.created.run_id] * 2


@row("2.59")
def test_tags_around_a_call_go_to_all_that_is_made_inside(row: str, home: Path) -> None:
    @task(tags=["own"])
    def outer() -> Any:
        return give(1)

    def body() -> None:
        with tags("a"), tags("b", "a"):
            outer.submit().wait()
        give(2)

    in_a_flow(body)
    assert [set(run.created.tags) for run in record(home).task_runs] == [{"own", "a", "b"}, {"a", "b"}, set()]
