"""Waits that could never end are refused, those that nest too deeply too; all others end."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surefoot import Future, quote, task
from surefoot.core.states import COMPLETED, CRASHED
from surefoot.engine import slots
from surefoot.exceptions import MissingContextError, TooDeep, WouldDeadlock
from surefoot.futures import as_completed, wait
from tests.engine.concurrency import SOON, add, no_thread_is_left, on, until  # noqa: F401  # one is a fixture
from tests.recorded import record

# --- on an event loop -------------------------------------------------------------------------------------------------


def test_code_that_holds_its_event_loop_may_wait_for_what_its_task_submitted() -> None:
    @task
    async def child(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @task
    async def parent() -> int:
        return child.submit(1).result() + add.submit(1).result() + sum(child.map([3, 4]).result())

    @on(1)
    def program() -> Any:
        return parent.submit().result()

    assert program() == 10


def test_code_that_holds_its_event_loop_may_wait_for_a_sibling_that_has_not_begun() -> None:
    @task
    async def sibling() -> int:
        return 7

    @task
    async def waits(future: Future[int]) -> int:
        return future.result()

    @on(1)
    def program() -> Any:
        gate = threading.Event()

        @task
        def last() -> bool:
            return gate.wait(SOON)

        opened = last.submit()
        future = sibling.submit(wait_for=[opened])
        waiting = waits.submit(quote(future))
        gate.set()
        return waiting.result()

    assert program() == 7


def told_to_the_holder(the_wait: Callable[[Future[int]], Any], home: Path) -> str:
    """Two asynchronous tasks on one loop, the second of which holds it to wait for the first, which has begun."""
    begun = threading.Event()
    told: list[str] = []

    @task
    async def first() -> int:
        begun.set()
        while not told:
            await asyncio.sleep(0.001)  # house: skip sleep: it looks for the condition, on a loop that is held up
        return 1

    @task
    async def second(future: Future[int]) -> None:
        try:
            the_wait(future)
        except WouldDeadlock as error:
            told.append(str(error))
        else:
            told.append("no error")

    @on(None)
    def program() -> None:
        future = first.submit()
        assert begun.wait(SOON)
        second.submit(quote(future))

    program()
    assert {run.end[0] for run in record(home).task_runs} == {COMPLETED}
    return told[0]


@pytest.mark.parametrize(
    "the_wait",
    [
        lambda future: future.result(),
        lambda future: future.wait(),
        lambda future: wait([future]),
        lambda future: next(iter(as_completed([future]))),
        lambda future: add.submit(future).result(),
        lambda future: add.submit(1, wait_for=[add.submit(future)]).result(),
    ],
    ids=["result", "wait", "wait of several", "as_completed", "through an input", "through two inputs"],
)
def test_a_wait_that_holds_the_event_loop_of_what_it_waits_for_is_refused(the_wait: Any, home: Path) -> None:
    told = told_to_the_holder(the_wait, home)
    assert "runs on the event loop that this wait would hold" in told
    assert "await future" in told


def test_a_wait_with_a_timeout_is_not_refused_since_it_ends(home: Path) -> None:
    told = told_to_the_holder(lambda future: future.wait(0.01), home)
    assert told == "no error"


def test_a_wait_for_any_of_several_is_not_refused_if_one_of_them_can_end(home: Path) -> None:
    told = told_to_the_holder(lambda future: next(iter(as_completed([future, add.submit(1)]))), home)
    assert told == "no error"


def test_a_circle_through_a_held_loop_is_refused_to_whoever_closes_it() -> None:
    """One holds its loop to wait for a task on a thread, which waits for a task that has begun on that loop."""
    told: list[str] = []
    begun = threading.Event()

    def get(future: Future[Any]) -> None:
        try:
            future.result()
        except WouldDeadlock as error:
            told.append(str(error))

    @task
    async def sibling() -> None:
        begun.set()
        while not told:
            await asyncio.sleep(0.001)  # house: skip sleep: it looks for the condition, on a loop that is held up

    @task
    def waits_too(future: Future[None]) -> None:
        get(future)

    @task
    async def holds(future: Future[None]) -> None:
        get(future)

    @on(None)
    def program() -> None:
        future = sibling.submit()
        assert begun.wait(SOON)
        holds.submit(quote(waits_too.submit(quote(future))))

    program()
    assert len(told) == 1
    assert "this wait would hold" in told[0]


# --- on threads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, None])
def test_tasks_that_wait_for_each_other_are_told_instead_of_hanging(workers: int | None) -> None:
    box: dict[str, Future[Any]] = {}
    ready = threading.Event()
    told: list[str] = []

    @task
    def waits_for(other: str) -> None:
        assert ready.wait(SOON)
        try:
            box[other].result()
        except WouldDeadlock as error:
            told.append(str(error))

    @on(workers)
    def program() -> None:
        box["a"], box["b"], box["c"] = waits_for.submit("b"), waits_for.submit("c"), waits_for.submit("a")
        ready.set()

    program()
    assert len(told) == 1
    assert "waits, itself or through others" in told[0]


def test_a_task_that_waits_for_itself_is_told() -> None:
    box: list[Future[Any]] = []
    ready = threading.Event()

    @task
    def waits() -> str:
        assert ready.wait(SOON)
        with pytest.raises(WouldDeadlock):
            box[0].wait()
        return "told"

    @on(1)
    def program() -> Any:
        box.append(waits.submit())
        ready.set()
        return box[0].result()

    assert program() == "told"


def test_more_waiting_threads_than_the_limit_are_refused_with_their_number(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(slots, "BLOCKED_MAX", 5)

    @task
    def chain(n: int) -> int:
        return chain.submit(n - 1).result(timeout=SOON) + 1 if n else 0  # with a timeout: each on a thread of its own

    @on(1)
    def program(n: int) -> Any:
        return chain.submit(n).result()

    assert program(5) == 5
    with pytest.raises(TooDeep, match=r"5 tasks of .* wait for other tasks") as caught:
        program(6)
    assert "Return futures" in str(caught.value)
    # The innermost may not have begun when the flow fails: then it is cancelled.
    assert {run.last.state_type for run in record(home).task_runs} <= {COMPLETED, "FAILED", "CANCELLED"}


def test_waits_for_any_of_several_may_nest_deeply() -> None:
    @task
    def chain(n: int) -> int:
        if not n:
            return 0
        return next(as_completed([chain.submit(n - 1), add.submit(n, 10_000)])).result() % 10_000 and 1

    @task
    def deep(n: int) -> int:
        futures = [deep.submit(n - 1)] if n else []
        return 1 + sum(future.result() for future in as_completed(futures))

    @on(1)
    def program() -> list[int]:
        return [deep.submit(400).result(), chain.submit(20).result()]

    assert program() == [401, 1]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_that_its_parents_tasks_are_not_at_work_in_it() -> None:
    gate = threading.Event()

    @task
    def waits() -> bool:
        return gate.wait(SOON)

    def child(future: Future[bool], answers: Any) -> None:
        for ask in (add.submit, lambda _: future.result(), lambda _: asyncio.run(future.ended())):
            try:
                ask(1)
            except MissingContextError as error:
                answers.put(str(error))

    @on(1)
    def program() -> list[str]:
        future = waits.submit()
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        process = context.Process(target=child, args=(future, answers))
        process.start()
        told = [answers.get(timeout=SOON) for _ in range(3)]
        process.join(SOON)
        answers.close()
        gate.set()
        return told

    told = program()
    assert all("the process that this one was forked from" in text for text in told)


# --- in time ----------------------------------------------------------------------------------------------------------


def test_a_wait_with_a_timeout_leaves_nothing_behind_on_the_future() -> None:
    gate = threading.Event()

    @task
    def slow() -> bool:
        return gate.wait(SOON)

    @on(1)
    def program() -> int:
        future = slow.submit()
        for _ in range(50):
            future.wait(0)
            wait([future], timeout=0)
            with pytest.raises(TimeoutError):
                next(iter(as_completed([future], timeout=0)))
        left = len(future._callbacks or ())
        gate.set()
        return left

    assert program() == 0


def test_an_interrupted_wait_gives_the_slot_back_first(home: Path) -> None:
    """With one slot: the waiter can only be interrupted when it has its slot again,
    and its cleaning up takes turns as usual.
    """
    begun = threading.Event()

    @task
    def holds() -> None:
        begun.set()
        until(lambda: False)

    @task
    def waits(future: Future[None]) -> None:
        future.result()

    @on(1)
    def program() -> None:
        future = holds.submit()
        waits.submit(quote(future))
        assert begun.wait(SOON)
        sys.exit()

    with pytest.raises(SystemExit):
        program()
    ends = {run.of: run.last.state_type for run in record(home).task_runs}
    assert ends["holds"] == CRASHED


def test_a_time_limit_ends_a_wait_and_not_what_is_waited_for() -> None:
    begun = threading.Event()

    @task
    def never_ends() -> None:
        begun.set()
        until(lambda: False)

    @task(timeout_seconds=0.1)
    def impatient(future: Future[None]) -> None:
        future.result()

    @on(2)
    def program() -> str:
        future = never_ends.submit()
        end = impatient.submit(quote(future), return_state=True)
        assert end.name == "TimedOut"
        assert not future.done()  # nobody asked it to end
        sys.exit()

    with pytest.raises(SystemExit):
        program()
