"""Chapter 2.3 of the reference: futures."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from surefoot import Future, flow, task
from surefoot.core.errors import CrashedRun
from surefoot.futures import (
    FlowRunFuture,
    as_completed,
    resolve_futures_to_results,
    resolve_futures_to_states,
    wait,
)
from surefoot.states import Completed, State
from tests.reference.rows import row

Held = Callable[[Callable[[Any, threading.Event], None]], None]


@task
def half(number: int) -> float:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


@task
def wait_until(go: threading.Event, value: int = 1) -> int:
    assert go.wait(60)
    return value


def with_a_held_one(body: Callable[[Future[int], threading.Event], None]) -> None:
    """Run a body with the future of a task that ends when the event is set."""
    go = threading.Event()

    @flow
    def main() -> None:
        future = wait_until.submit(go)
        try:
            body(future, go)
        finally:
            go.set()

    main()


@row("2.70")
def test_a_future_has_an_id_and_a_state(row: str) -> None:
    def body(future: Future[int], go: threading.Event) -> None:
        assert isinstance(future.task_run_id, UUID)
        assert not future.state.is_final()
        assert not future.done()
        go.set()
        future.wait()
        assert future.state.is_completed()
        assert future.state.state_details["task_run_id"] == future.task_run_id

    with_a_held_one(body)


@row("2.71")
def test_wait_returns_at_its_timeout_and_raises_nothing(row: str) -> None:
    @task
    def leaves() -> None:
        sys.exit(3)

    def body(future: Future[int], go: threading.Event) -> None:
        future.wait(timeout=0.01)
        assert not future.done()
        left = leaves.submit()
        left.wait()
        assert left.state.is_crashed()
        with pytest.raises(CrashedRun):
            left.result()

    with_a_held_one(body)


@row("2.72")
def test_result_gives_the_value_or_the_exception(row: str) -> None:
    @flow
    def halves() -> None:
        assert half.submit(4).result() == 2
        assert isinstance(half.submit(3).result(raise_on_failure=False), ValueError)
        with pytest.raises(ValueError, match="odd"):
            half.submit(3).result()

    halves()

    def body(future: Future[int], go: threading.Event) -> None:
        with pytest.raises(TimeoutError, match=r"was not done after 0\.01 s"):
            future.result(timeout=0.01)
        with pytest.raises(ValueError, match="timeout is -1"):
            future.result(timeout=-1)

    with_a_held_one(body)


@row("2.73")
def test_callbacks_are_called_with_the_future_at_its_end_or_at_once(row: str) -> None:
    heard: list[Any] = []

    def body(future: Future[int], go: threading.Event) -> None:
        future.add_done_callback(heard.append)
        assert heard == []
        go.set()
        future.wait()
        future.add_done_callback(heard.append)
        assert heard == [future, future]

    with_a_held_one(body)


@row("2.74")
def test_wait_divides_futures(row: str) -> None:
    def body(future: Future[int], go: threading.Event) -> None:
        quick = half.submit(2)
        quick.wait()
        done, not_done = wait([quick, future, quick], timeout=0.01)
        assert (done, not_done) == ({quick}, {future})
        assert wait([]).done == set()
        with pytest.raises(ValueError, match="timeout is -1"):
            wait([future], timeout=-1)

    with_a_held_one(body)


@row("2.75")
def test_as_completed_gives_each_once_as_they_end(row: str) -> None:
    def body(future: Future[int], go: threading.Event) -> None:
        quick: Any = half.submit(2)
        order: list[Any] = []
        for ended in as_completed([future, quick, quick]):
            order.append(ended)
            go.set()
        assert order == [quick, future]

    with_a_held_one(body)

    def late(future: Future[int], go: threading.Event) -> None:
        with pytest.raises(TimeoutError, match="1 of 1 runs were not done"):
            list(as_completed([future], timeout=0.01))

    with_a_held_one(late)


@row("2.76")
def test_futures_in_an_expression_become_results_or_states(row: str) -> None:
    @flow
    def main() -> None:
        expression = {"a": [half.submit(4), {"deep": (half.submit(8), 5)}], "state": Completed(data="x")}
        assert resolve_futures_to_results(expression) == {"a": [2.0, {"deep": (4.0, 5)}], "state": "x"}
        assert resolve_futures_to_results(7) == 7
        assert resolve_futures_to_results(half.map([2, 4])) == [1.0, 2.0]
        with pytest.raises(ValueError, match="3 is odd"):
            resolve_futures_to_results([half.submit(2), half.submit(3)])
        states = resolve_futures_to_states([half.submit(2), {"b": half.submit(3)}])
        assert [type(states[0]), states[0].name, states[1]["b"].name] == [State, "Completed", "Failed"]

    main()


@row("2.77")
def test_futures_of_tasks_and_flows_can_be_awaited(row: str) -> None:
    @flow
    def inner(number: int) -> float:
        found: float = half(number)
        return found

    @flow
    async def main() -> list[float]:
        with pytest.raises(ValueError, match="odd"):
            await half.submit(1)
        futures = [half.submit(2), inner.submit(4)]
        assert isinstance(futures[1], FlowRunFuture)
        assert isinstance(futures[1].flow_run_id, UUID)
        return await asyncio.gather(*[one(future) for future in futures])

    async def one(future: Future[float]) -> float:
        return await future

    assert asyncio.run(main()) == [1.0, 2.0]
