"""Links: a value that came out of a task run is known when it goes into another; what is shared is never linked."""

from __future__ import annotations

import enum
import gc
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import flow, tags, task
from surefoot.engine.links import Links
from tests.recorded import record

ONE, TWO = b"1" * 16, b"2" * 16


class Thing:
    """A value of the user's own."""


class Slotted:
    """A value that nobody can watch."""

    __slots__ = ()


class Colour(enum.Enum):
    RED = 1


DAY = ["2024"]


def a_text() -> str:
    return "-".join(("s3://bucket/day", *DAY))  # made anew each time, as texts that come out of functions are


WATCHED: dict[str, Callable[[], Any]] = {
    "object": Thing,
    "text": a_text,
    "bytes": lambda: a_text().encode(),
    "list": lambda: [1, 2],
    "dict": lambda: {"a": 1},
    "set": lambda: {1, 2},
    "tuple of its own": lambda: tuple(DAY),
    "list of objects": lambda: [Thing(), Thing()],
    "path": lambda: Path("/data"),
    "instant": lambda: datetime.now(UTC),
}
SHARED: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "small number": lambda: 7,
    "large number": lambda: 10**30,
    "float": lambda: math.pi,
    "a name": lambda: "ok",
    "empty text": lambda: "",
    "empty tuple": lambda: (),
    "enumeration": lambda: Colour.RED,
    "class": lambda: Thing,
    "class of a metaclass": lambda: Colour,
    "function": lambda: a_text,
    "module": lambda: math,
    "range": lambda: range(3),
    "not to be watched": Slotted,
}


@pytest.mark.parametrize("kind", WATCHED)
def test_a_value_is_found_again(kind: str) -> None:
    links, value = Links(), WATCHED[kind]()
    links.add(value, ONE)
    assert links.find(value) == {ONE}
    assert links.find(WATCHED[kind]()) == set(), "an equal value is another"


@pytest.mark.parametrize("kind", SHARED)
def test_what_programs_share_is_never_linked(kind: str) -> None:
    links, value = Links(), SHARED[kind]()
    links.add(value, ONE)
    links.add([value], TWO)
    assert links.find(value) == set()


def test_parts_are_found_in_a_container_and_the_other_way_round() -> None:
    links, one, two = Links(), Thing(), Thing()
    links.add([one, 5], ONE)
    links.add({"two": two}, TWO)
    assert links.find(one) == {ONE}
    assert links.find((one, two)) == {ONE, TWO}
    assert links.find({"x": [two]}) == set(), "one level deep, not more"


def test_a_constant_that_two_runs_return_links_to_neither() -> None:
    def check() -> Any:
        return "all is well", ("all is well", 200)

    links = Links()
    for run_id in (ONE, TWO):
        for value in check():
            links.add(value, run_id)
    assert [links.find(value) for value in check()] == [set(), set()]


def test_an_object_that_was_passed_through_links_to_whoever_returned_it_last() -> None:
    links, value, rows = Links(), Thing(), [1, 2]
    for run_id in (ONE, TWO):
        links.add(value, run_id)
        links.add(rows, run_id)
    assert links.find(value) == links.find(rows) == {TWO}


def test_links_keep_no_large_value_alive_and_ids_used_again_are_no_links() -> None:
    links = Links()
    for _ in range(200):
        value = Thing()
        links.add(value, ONE)
        del value
        gc.collect(0)
        assert links.find(Thing()) == set()
    assert not links._weak


def test_only_so_many_plain_values_are_kept() -> None:
    links, values = Links(), [[n] for n in range(2000)]
    for value in values:
        links.add(value, ONE)
    assert len(links._kept) <= 512
    assert links.find(values[-1]) == {ONE}
    assert links.find(values[0]) == set()


def test_long_containers_and_texts_are_not_kept() -> None:
    links = Links()
    for value in (list(range(1000)), "x-" * 10_000):
        links.add(value, ONE)
    assert not links._kept


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60))
def test_no_link_is_ever_false(steps: list[tuple[int, bool]]) -> None:
    links, alive = Links(), dict[int, tuple[Any, bytes]]()
    for number, lives in steps:
        if lives:
            value: Any = Thing() if number % 2 else [number]
            alive[number] = value, number.to_bytes(16, "big")
            links.add(value, alive[number][1])
        else:
            alive.pop(number, None)
    for value, run_id in alive.values():
        assert links.find(value) == {run_id}
    assert links.find(Thing()) == links.find([3]) == set()


def test_in_a_flow_a_value_that_is_passed_on_is_an_input(home: Path) -> None:
    @task
    def load() -> dict[str, int]:
        return {"rows": 3}

    @task
    def count(rows: dict[str, int], factor: int) -> int:
        return rows["rows"] * factor

    @flow
    def main() -> Any:
        rows = load()
        return count(rows, factor=2)

    main()
    found = record(home)
    load_id = found.task_run("load").created.run_id
    assert found.task_run("count").created.inputs == (("rows", (load_id,)),)


def test_a_future_is_an_input_by_its_name_and_wait_for_too(home: Path) -> None:
    @task
    def load(n: int) -> int:
        return n

    @task
    def add(*numbers: int, **more: int) -> int:
        return sum(numbers) + sum(more.values())

    @flow
    def main() -> Any:
        one, two, three, four = (load.submit(n) for n in range(4))
        return add(one, two, x=three, wait_for=[four])

    assert main() == 3
    found = record(home)
    ids = [(run.created.run_id,) for run in found.task_runs if run.of == "load"]
    names = [name for name, _ in found.task_run("add").created.inputs]
    assert names == ["numbers", "numbers", "x", "wait_for"]
    assert [runs for _, runs in found.task_run("add").created.inputs] == ids


def test_a_value_given_to_a_subflow_and_used_there_is_an_input_in_both(home: Path) -> None:
    @task
    def load() -> Thing:
        return Thing()

    @task
    def use(thing: Thing) -> None:
        assert thing

    @flow
    def inner(thing: Any) -> None:
        use(thing)

    @flow
    def main() -> None:
        with tags("linked"):
            inner(load())

    main()
    found = record(home)
    wanted = (("thing", (found.task_run("load").created.run_id,)),)
    assert found.flow_run("inner").created.inputs == wanted
    assert found.task_run("use").created.inputs == wanted
