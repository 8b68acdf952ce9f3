"""Going on with a run never takes over a value that is wrong: changed inputs, other closures, other upstreams."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from surefoot import Flow, flow, task
from surefoot.client import get_client
from surefoot.core.wire import FlowRun

called: list[Any] = []
state: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _afresh(home: Path) -> Iterator[None]:
    called.clear()
    state.clear()
    state["broken"] = True
    yield
    state.clear()


@task
def last(value: Any = None) -> Any:
    called.append("last")
    if state["broken"]:
        raise ValueError("broken")
    return value


def gone_on(program: Flow[..., Any], after: Flow[..., Any] | None = None, **changes: Any) -> Any:
    """Call a flow that fails, mend it, and go on with its run, by another version of the flow if one is given."""
    assert program(return_state=True).is_failed()
    state["broken"] = False
    state.update(changes)
    called.clear()
    return (after or program).retry(the_run(program.name).id)


def the_run(name: str) -> FlowRun:
    with closing(get_client()) as client:
        return next(run for run in client.flow_runs().results if run.flow_name == name)


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


@task
def frame(size: int = 3) -> pd.DataFrame:
    called.append("frame")
    return pd.DataFrame({"a": np.arange(size) + state.get("offset", 0)})


@task
def total(box: Any) -> int:
    called.append("total")
    while not isinstance(box, pd.DataFrame):
        box = box.value if isinstance(box, Box) else box["deep"]
    return int(box.sum().sum())


@pytest.mark.parametrize("wrapped", [lambda it: {"deep": {"deep": it}}, Box, lambda it: Box(Box({"deep": it}))])
def test_what_stands_deep_in_an_input_counts_as_the_run_that_made_it(wrapped: Any) -> None:
    @task
    def begin() -> pd.DataFrame:
        called.append("begin")
        if state["broken"]:
            return pd.DataFrame({"a": [object()]}).assign(a=Unkeepable())
        return pd.DataFrame({"a": [5]})

    @task
    def look(box: Any) -> Any:
        called.append("look")
        while not isinstance(box, pd.DataFrame):
            box = box.value if isinstance(box, Box) else box["deep"]
        return str(box["a"][0])

    @flow
    def program() -> Any:
        found = look(wrapped(begin()))
        last()
        return found

    assert gone_on(program) == "5"
    assert called == ["begin", "look", "last"]


class Unkeepable:
    def __reduce__(self) -> Any:
        raise TypeError("it is not to be had")


def test_large_numbers_do_not_hide_that_another_input_differs() -> None:
    def made(middle: int) -> Flow[..., Any]:
        @flow(name="program")
        def program() -> Any:
            values = np.zeros(5000)
            values[2500] = middle
            found = middle_of(2**70, values)
            last()
            return found

        return program

    @task
    def middle_of(number: int, values: Any) -> float:
        return float(values[2500])

    assert gone_on(made(1), made(2)) == 2


def test_tasks_that_differ_by_their_closure_are_told_apart_in_any_order() -> None:
    def times(factor: int) -> Any:
        @task(name="times")
        def multiplied(x: int) -> int:
            called.append(factor)
            return x * factor

        return multiplied

    @flow
    def program() -> list[int]:
        found = [times(factor)(10) for factor in state.get("factors", (1, 2))]
        last()
        return found

    assert gone_on(program, factors=(2, 1, 3)) == [20, 10, 30]
    assert called == [3, "last"]


def test_another_argument_of_a_partial_is_another_input() -> None:
    def power(base: int, exponent: int) -> int:
        return int(base**exponent)

    @flow
    def program() -> int:
        found: int = task(functools.partial(power, exponent=state.get("exponent", 2)))(3)
        last()
        return found

    assert gone_on(program, exponent=3) == 27


def test_a_closure_over_a_place_to_work_on_does_not_make_another_task() -> None:
    seen: list[int] = []
    box = Box(1)

    @task
    def note(x: int) -> int:
        seen.append(x)
        box.value += 1
        return x

    @flow
    def program() -> list[int]:
        found = [note(x) for x in range(3)]
        last()
        return found

    assert gone_on(program) == [0, 1, 2]
    assert seen == [0, 1, 2]


def test_a_default_that_cannot_be_compared_makes_its_task_run_again() -> None:
    def made(size: int) -> Flow[..., Any]:
        @task(name="count")
        def count(values: Any = np.zeros(size)) -> int:  # noqa: B008
            return len(values)

        @flow(name="program")
        def program() -> Any:
            found = count()
            last()
            return found

        return program

    assert gone_on(made(1_000_000), made(2_000_000)) == 2_000_000


def test_what_a_try_covers_is_code() -> None:
    def one(x: int) -> int:
        try:
            called.append(x)
            called.append(1 // x)
        except ZeroDivisionError:
            return -1
        return 1

    def other(x: int) -> int:
        try:
            called.append(x)
        except ZeroDivisionError:
            return -1
        called.append(1 // x)
        return 1

    from surefoot.engine.keys import source_hash

    assert source_hash(one) != source_hash(other)


@pytest.mark.parametrize(
    "make", [lambda: pd.DataFrame({"a": [1.0], "b": [None]}), lambda: [1.0, None], lambda: Box(None)]
)
def test_a_task_that_changes_its_input_in_place_is_called_again_so_that_others_find_it_changed(make: Any) -> None:
    @task
    def begin() -> Any:
        called.append("begin")
        return make()

    @task
    def clean(values: Any) -> None:
        called.append("clean")
        if isinstance(values, pd.DataFrame):
            values.pop("b")
        elif isinstance(values, list):
            values.remove(None)
        else:
            values.value = "clean"

    @task
    def tell(values: Any) -> str:
        called.append("tell")
        if state["broken"]:
            raise ValueError("broken")
        return str(values.value if isinstance(values, Box) else len(list(values)))

    @flow
    def program() -> Any:
        values = begin()
        clean(values)
        return tell(values)

    assert gone_on(program) == ("clean" if isinstance(make(), Box) else "1")
    assert called == ["clean", "tell"]


def test_so_is_one_that_changes_what_a_future_gives() -> None:
    @task
    def begin() -> list[int]:
        return [1]

    @task
    def add(values: list[int]) -> None:
        values.append(2)

    @flow
    def program() -> Any:
        values = begin.submit()
        add.submit(values).result()
        return last.submit(values).result()

    assert gone_on(program) == [1, 2]


def test_a_method_that_changes_its_object_is_called_again() -> None:
    class Load:
        @task
        def begin(self) -> None:
            called.append("begin")
            self.rows = [1, 2]

        @task
        def end(self) -> Any:
            called.append("end")
            if state["broken"]:
                raise ValueError("broken")
            return len(self.rows)

    @flow
    def program() -> Any:
        load = Load()
        load.begin()
        return load.end()

    assert gone_on(program) == 2
    assert called == ["begin", "end"]


def test_a_result_that_the_flow_changes_in_another_way_now_is_another_input() -> None:
    @task
    def begin() -> pd.DataFrame:
        called.append("begin")
        return pd.DataFrame({"a": [1, 2]})

    @flow(name="program")
    def before() -> Any:
        values = begin()
        values["a"] *= 10
        found = total(values)
        last()
        return found

    @flow(name="program")
    def after() -> Any:
        values = begin()
        values["a"] *= 100
        found = total(values)
        last()
        return found

    assert gone_on(before, after) == 300
    assert called == ["total", "last"]


def test_a_result_that_is_only_read_is_the_same_input_however_the_flow_is_changed() -> None:
    @flow(name="program")
    def before() -> Any:
        values = frame()
        found = total(values)
        values.describe()
        last()
        return found + total(values)

    @flow(name="program")
    def after() -> Any:
        values = frame()
        found = total(values)
        last()
        return 1 + found + total(values)

    assert gone_on(before, after) == 7


def test_parameters_of_which_one_cannot_be_kept_come_back_all_the_same() -> None:
    import threading

    @flow
    def program(lock: Any, values: Any = None) -> int:
        assert lock is not None
        last()
        return int(values.sum())

    with pytest.raises(ValueError, match="broken"):
        program(threading.Lock(), np.arange(4))
    state["broken"] = False
    assert program.retry(the_run("program").id, parameters={"lock": threading.Lock()}) == 6


def test_failures_that_the_run_no_longer_came_to_are_not_told_of_it() -> None:
    @task
    def fails() -> None:
        raise KeyError("of old")

    @flow(name="program")
    def before() -> None:
        fails(return_state=True)
        last()

    @flow(name="program")
    def after() -> None:
        last()

    gone_on(before, after)
    run = the_run("program")
    with closing(get_client()) as client:
        assert "of old" not in str(client.why(run.id))
        assert client.failures(run.id).groups == []
        assert len(client.task_runs().results) == 2  # what was done is not forgotten


def test_an_input_with_broken_code_of_its_own_makes_its_task_run_again_and_harms_nothing() -> None:
    @flow
    def program() -> Any:
        found = take(Prickly())
        last()
        return found

    @task
    def take(value: Any) -> int:
        called.append("take")
        return 1

    assert gone_on(program) == 1
    assert called == ["take", "last"]


class Prickly:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)
