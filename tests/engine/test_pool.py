"""The pool: nested waits on few threads, and tasks that wait and hold none."""

from __future__ import annotations

import sys
import threading
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from surefoot import Future, quote, task
from surefoot.core.states import COMPLETED, FAILED
from surefoot.futures import as_completed, wait
from surefoot.states import State
from tests.engine.concurrency import (  # noqa: F401  # two are fixtures
    SOON,
    ManualClock,
    add,
    fails,
    manual_clock,
    no_thread_is_left,
    on,
    task_threads,
    until,
)
from tests.recorded import record

# --- nested waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, None])
def test_tasks_that_wait_for_tasks_that_they_submitted_finish_on_few_threads(workers: int | None) -> None:
    @task
    def fib(n: int) -> int:
        if n < 2:
            return n
        one, two = fib.submit(n - 1), fib.submit(n - 2)
        return one.result() + two.result()

    @on(workers)
    def program() -> int:
        return fib.submit(9).result()

    assert program() == 34


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chain_of_200_nested_waits_finishes(workers: int) -> None:
    @task
    def chain(n: int) -> int:
        return chain.submit(n - 1).result() + 1 if n else 0

    @on(workers)
    def program() -> int:
        return chain.submit(200).result()

    assert program() == 200


def test_tasks_that_wait_for_the_same_third_all_get_it() -> None:
    @on(1)
    def program() -> list[int]:
        third = add.submit(1)

        @task
        def wants(n: int) -> int:
            return third.result() + n

        return wants.map(range(5)).result()

    assert program() == [2, 3, 4, 5, 6]


def test_a_diamond_of_inputs_and_waits_finishes() -> None:
    @task
    def join(left: Future[int], right: int) -> int:
        return left.result() + right

    @on(1)
    def program() -> int:
        top = add.submit(0)
        left, right = add.submit(top, 10), add.submit(top, 20)
        return join.submit(quote(left), right).result()

    assert program() == 32


def test_as_completed_lists_of_results_and_wait_lend_the_slot_of_the_worker_that_they_are_called_on() -> None:
    @task
    def gather() -> int:
        found = [future.result() for future in as_completed([add.submit(n) for n in range(4)])]
        mapped = add.map(range(4)).result()
        done, not_done = wait([add.submit(9)])
        assert not not_done
        last: int = done.pop().result()
        return sum(found) + sum(mapped) + last

    @on(1)
    def program() -> int:
        return gather.submit().result()

    assert program() == 30


def test_a_wait_with_a_timeout_on_the_only_worker_gets_its_value() -> None:
    @task
    def waits() -> int:
        return add.submit(1).result(timeout=SOON)

    @on(1)
    def program() -> int:
        return waits.submit().result()

    assert program() == 2


def test_a_subflow_on_the_only_worker_lends_its_slot_while_its_own_tasks_end() -> None:
    @on(1)
    def inner(upstream: Any) -> int:
        @task
        def wants() -> int:
            return int(upstream.result())

        wants.submit()  # nobody waits for it but the end of this flow
        return 1

    @on(1)
    def program() -> int:
        @task
        def calls() -> int:
            found: int = inner(quote([add.submit(1)][0]))
            return found

        return calls.submit().result()

    assert program() == 1


def test_a_thread_of_the_users_own_that_waits_in_a_tasks_context_lends_the_tasks_slot() -> None:
    @task
    def waits() -> int:
        context, box, child = copy_context(), [], add.submit(1)
        thread = threading.Thread(target=lambda: box.append(context.run(child.result)))
        thread.start()
        thread.join()
        return int(box[0])

    @on(1)
    def program() -> int:
        return waits.submit().result()

    assert program() == 2


def test_a_done_callback_may_wait_for_another_task_even_on_the_only_worker() -> None:
    found: list[int] = []

    @on(1)
    def program() -> None:
        gate = threading.Event()

        @task
        def first() -> bool:
            return gate.wait(SOON)

        one, two = first.submit(), add.submit(5)
        one.add_done_callback(lambda _: found.append(two.result()))
        gate.set()

    program()
    assert found == [6]


# --- run by whoever waits ---------------------------------------------------------------------------------------------


@task
def where() -> int:
    return threading.get_ident()


def test_a_task_that_nobody_has_begun_is_run_by_the_thread_that_waits_for_it() -> None:
    @task
    def waits() -> bool:
        return where.submit().result() == threading.get_ident()

    @on(1)
    def program() -> bool:
        return waits.submit().result()

    assert program()


def test_a_task_is_not_run_on_a_deep_stack_nor_under_the_time_limit_of_another() -> None:
    def deep(n: int) -> int:
        return deep(n - 1) if n else where.submit().result()

    @task
    def waits_deep_down() -> bool:
        return deep(200) == threading.get_ident()

    @task(timeout_seconds=SOON)
    def waits_timed() -> bool:
        return where.submit().result() == threading.get_ident()

    @on(1)
    def program() -> list[bool]:
        return [waits_deep_down.submit().result(), waits_timed.submit().result()]

    assert program() == [False, False]


def test_a_task_that_waits_near_the_end_of_its_stack_gets_a_recursion_error_and_nothing_is_lost(home: Path) -> None:
    @task
    def waits(n: int = 0) -> int:
        try:
            deeper: int = waits.fn(n + 1)
            return deeper
        except RecursionError:
            return add.submit(n).result()

    @on(1)
    def program() -> None:
        waits.submit().wait()

    program()
    assert all(run.last.state_type in (COMPLETED, FAILED) for run in record(home).task_runs)


def test_a_task_run_by_its_waiter_is_retried_when_its_delay_is_over_and_not_before(manual_clock: ManualClock) -> None:  # noqa: F811
    calls: list[float] = []

    @task(retries=1, retry_delay_seconds=60)
    def flaky() -> str:
        calls.append(manual_clock.passed_s)
        if len(calls) == 1:
            raise OSError
        return "done"

    @task
    def waits() -> str:
        return flaky.submit().result()

    @on(1)
    def program() -> str:
        waiting = waits.submit()
        until(lambda: calls)
        add.submit(1).wait()  # the worker has come by the line in which the task still stands
        manual_clock.advance(60)
        return waiting.result()

    assert program() == "done"
    assert calls == [0, 60]


# --- what waits holds no thread ---------------------------------------------------------------------------------------


def test_tasks_whose_inputs_are_not_ready_hold_no_thread() -> None:
    gate, begun = threading.Event(), threading.Event()

    @task
    def opens() -> int:
        begun.set()
        assert gate.wait(SOON)
        return 1

    @on(None)
    def program() -> int:
        first = opens.submit()
        assert begun.wait(SOON)
        before = task_threads()
        waiting = [add.submit(first, n) for n in range(300)]
        chained: Any = first
        for _ in range(300):
            chained = add.submit(chained)
        assert task_threads() == before
        gate.set()
        return sum(future.result() for future in waiting) + int(chained.result())

    assert program() == 300 + sum(range(300)) + 301


def test_tasks_that_wait_for_their_retry_hold_no_thread_and_no_slot(manual_clock: ManualClock) -> None:  # noqa: F811
    failed = threading.Semaphore(0)

    def fail_at_first(n: int) -> int:
        if manual_clock.passed_s < 60:
            failed.release()
            raise OSError
        return n

    @task(retries=1, retry_delay_seconds=60)
    def flaky(n: int) -> int:
        return fail_at_first(n)

    @task(retries=1, retry_delay_seconds=60)
    async def async_flaky(n: int) -> int:
        return fail_at_first(n)

    @on(1)
    def program() -> list[int]:
        waiting = [*flaky.map(range(50)), *async_flaky.map(range(50))]
        for _ in waiting:
            assert failed.acquire(timeout=SOON)
        assert add.submit(1).result(timeout=SOON) == 2
        assert len(task_threads()) < 10
        manual_clock.advance(60)
        return [future.result() for future in waiting]

    assert program() == [*range(50), *range(50)]


def test_a_task_that_returns_futures_holds_no_thread_until_they_have_ended() -> None:
    @task
    def passes_on(n: int) -> Any:
        return passes_on.submit(n - 1) if n else "end"

    @on(1)
    def program() -> Any:
        before = threading.active_count()
        value = passes_on.submit(300).result()
        assert threading.active_count() <= before + 2
        return value

    assert program() == "end"


@pytest.mark.parametrize("workers", [1, None])
def test_a_chain_of_inputs_needs_no_deep_stack_however_long(workers: int | None) -> None:
    length = 3 * sys.getrecursionlimit()

    @on(workers)
    def program() -> int:
        gate = threading.Event()

        @task
        def first() -> int:
            return int(gate.wait(SOON))

        value: Any = first.submit()
        for _ in range(length):
            value = add.submit(value)
        gate.set()
        return int(value.result())

    assert program() == length + 1


def test_a_chain_of_tasks_that_are_not_ready_needs_no_deep_stack_either(home: Path) -> None:
    ends: list[State] = []

    @on(1)
    def program() -> None:
        value: Any = fails.submit()
        for _ in range(2 * sys.getrecursionlimit()):
            value = add.submit(value)
        value.wait()
        ends.append(value.state)

    program()
    assert [(end.type, end.name) for end in ends] == [(FAILED, "NotReady")]
    assert {run.end for run in record(home).task_runs if run.of == "add"} == {(FAILED, "NotReady")}


def test_a_failed_upstream_leaves_its_dependants_not_ready_naming_it_and_so_on_further_down(home: Path) -> None:
    @on(1)
    def program() -> None:
        second = add.submit(fails.submit())
        wait([second, add.submit(1, wait_for=[second])])

    program()
    first, second, third = record(home).task_runs
    assert [run.end for run in (first, second, third)] == [
        (FAILED, "Failed"),
        (FAILED, "NotReady"),
        (FAILED, "NotReady"),
    ]
    assert (second.last.cause_id, third.last.cause_id) == (first.created.run_id, second.created.run_id)
    assert "`fails` failed" in (second.last.message or "")
    assert "no disk" in (second.last.message or "")
    assert "`add`" in (third.last.message or "")
