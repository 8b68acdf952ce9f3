"""Maps: many runs at once, what each of them gets, what it waits for, and what becomes of failures among them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import Future, allow_failure, flow, quote, task, unmapped
from surefoot.core.states import COMPLETED, FAILED
from surefoot.engine.progress import MapProgress
from surefoot.exceptions import MappingLengthMismatch, MappingMissingIterable, NotReadyRun, ParameterBindError
from surefoot.futures import FutureList, as_completed
from tests.engine.concurrency import SOON, add, fails, no_thread_is_left, on  # noqa: F401  # one is a fixture
from tests.recorded import record


@task
def odd_fails(n: int) -> int:
    if n % 2:
        raise ValueError(n)
    return n


@task
def pair(a: Any, b: Any = None) -> tuple[Any, Any]:
    return a, b


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=20), st.sampled_from([1, 3, None]))
def test_values_come_in_the_order_of_the_inputs(values: list[int], workers: int | None) -> None:
    @on(workers)
    def program() -> Any:
        return pair.map(values, [str(value) for value in values]).result()

    assert program() == [(value, str(value)) for value in values]


def test_a_map_over_a_map_starts_each_run_when_its_own_input_is_there() -> None:
    gates = [threading.Event() for _ in range(3)]
    order: list[int] = []

    @task
    def waits(n: int) -> int:
        assert gates[n].wait(SOON)
        return n

    @task
    def notes(n: int) -> None:
        order.append(n)

    @on(None)
    def program() -> None:
        noted = notes.map(waits.map(range(3)))
        for n in (2, 0, 1):
            gates[n].set()
            noted[n].wait()

    program()
    assert order == [2, 0, 1]


def test_all_runs_of_a_map_wait_for_what_they_are_told_to_and_share_what_is_unmapped() -> None:
    gate, shared = threading.Event(), [1, 2]

    @task
    def opens() -> bool:
        return gate.wait(SOON)

    @on(2)
    def program() -> list[Any]:
        first = opens.submit()
        futures = pair.map([1, 2, 3], unmapped(shared), wait_for=[first])
        states = {future.state.name for future in futures}
        gate.set()
        return [states, *futures.result()]

    states, *pairs = program()
    assert states == {"Pending"}
    assert [a for a, _ in pairs] == [1, 2, 3]
    assert all(b is shared for _, b in pairs)


def test_a_future_in_unmapped_is_a_value_to_every_run_and_one_in_quote_stays_a_future() -> None:
    @task
    def kind_of(_: int, value: Any) -> str:
        return type(value).__name__

    @on(1)
    def program() -> list[Any]:
        future = add.submit(1)
        return [kind_of.map([1, 2], unmapped(future)).result(), kind_of.map([1, 2], quote(future)).result()]

    assert program() == [["int", "int"], ["Future", "Future"]]


def test_runs_whose_element_failed_do_not_run_and_the_others_do(home: Path) -> None:
    @on(2)
    def program() -> None:
        FutureList(add.map(odd_fails.map(range(4)))).wait()

    program()
    ends = [run.end for run in record(home).task_runs if run.of == "add"]
    assert ends == [(COMPLETED, "Completed"), (FAILED, "NotReady")] * 2


def test_with_allow_failure_runs_get_the_exceptions_of_elements_that_failed() -> None:
    @on(2)
    def program() -> Any:
        mapped = odd_fails.map(range(4))
        one_by_one = pair.map(allow_failure(mapped), unmapped(allow_failure(fails.submit()))).result()
        together = pair.submit(allow_failure(mapped)).result()
        return [[(str(a), str(b)) for a, b in one_by_one], [str(value) for value in together[0]]]

    one_by_one, together = program()
    assert one_by_one == [("0", "no disk"), ("1", "no disk"), ("2", "no disk"), ("3", "no disk")]
    assert together == ["0", "1", "2", "3"]


def test_a_run_that_takes_a_whole_map_as_its_input_waits_for_all_of_it() -> None:
    @task
    def total(numbers: list[int], labels: dict[str, Any]) -> int:
        more: int = sum(labels["more"])
        return sum(numbers) + more

    @on(1)
    def program() -> int:
        found: int = total.submit(add.map(range(5)), {"more": add.map(range(3))}).result()
        return found

    assert program() == 15 + 6


def test_a_run_whose_map_failed_in_part_says_which_run_it_was(home: Path) -> None:
    @on(1)
    def program() -> None:
        future = pair.submit(odd_fails.map(range(4)))
        with pytest.raises(NotReadyRun, match="odd_fails"):
            future.result()

    program()
    found = record(home)
    failed = next(run for run in found.task_runs if run.of == "odd_fails" and run.end[0] == FAILED)
    assert found.task_run("pair").last.cause_id == failed.created.run_id


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((5,), MappingMissingIterable),
        ((unmapped([1]),), MappingMissingIterable),
        (([1], [1, 2]), MappingLengthMismatch),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_before_anything_runs(
    arguments: tuple[Any, ...], error: type[Exception], home: Path
) -> None:
    @on(1)
    def program() -> None:
        with pytest.raises(error):
            pair.map(*arguments)

    program()
    assert record(home).task_runs == []


def test_the_runs_of_a_map_are_recorded_as_one(home: Path) -> None:
    @on(2)
    def program() -> None:
        add.map(range(3))
        add.map(range(2))

    program()
    ids = [run.created.map_id for run in record(home).task_runs]  # type: ignore[union-attr]
    assert len(set(ids)) == 2
    assert [ids.count(each) for each in dict.fromkeys(ids)] == [3, 2]


def test_a_map_in_an_asynchronous_flow_is_awaited_one_by_one_or_as_it_ends() -> None:
    @task
    async def twice(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    @flow
    async def program() -> list[int]:
        futures = twice.map(range(4))
        gathered = await asyncio.gather(*futures)
        return [*gathered, sum([future.result() for future in as_completed(futures)])]

    assert asyncio.run(program()) == [0, 2, 4, 6, 12]


def test_one_that_waits_for_any_of_a_map_can_stop_when_it_has_enough() -> None:
    gate = threading.Event()

    @task
    def searches(n: int) -> int:
        if n != 3:
            assert gate.wait(SOON)
        return n

    @task
    def first_of_all() -> int:
        futures = searches.map(range(5))
        for future in as_completed(futures):
            found: Future[int] = future
            break
        gate.set()
        return found.result()

    @on(6)
    def program() -> Any:
        return first_of_all.submit().result()

    assert program() == 3


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_large_map_ends(count: int) -> None:
    @on(None)
    def program() -> int:
        return sum(add.map(range(count)).result())

    assert program() == sum(range(count)) + count


def test_a_map_with_a_name_that_the_task_does_not_have_says_that_and_not_the_lengths() -> None:
    @on(1)
    def program() -> None:
        with pytest.raises(ParameterBindError, match="'y'"):
            odd_fails.map([1, 2], y=[1])

    program()


def test_the_cancelled_runs_of_a_map_are_not_told_as_failed() -> None:
    progress = MapProgress("each", 4)
    progress.ended(True)
    progress.ended(False)
    progress.ended(False, cancelled=True)
    assert progress.line().startswith("each: 3/4 done, 1 failed, 1 cancelled, ")
