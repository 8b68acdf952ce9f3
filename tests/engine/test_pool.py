"""The pool: nested waits on few threads, tasks that wait and hold none, and what is left when a flow ends."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from surefoot import Future, quote, task
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED
from surefoot.engine import pool as pool_module
from surefoot.exceptions import CancelledRun, MissingContextError
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
        before = threading.active_count()
        waiting = [add.submit(first, n) for n in range(300)]
        chained: Any = first
        for _ in range(300):
            chained = add.submit(chained)
        assert threading.active_count() == before
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


# --- the end of a flow ------------------------------------------------------------------------------------------------


def test_a_flow_that_completed_waits_for_what_it_submitted_and_so_do_tasks_submitted_meanwhile(home: Path) -> None:
    ended: list[int] = []

    @task
    def further(n: int) -> None:
        if n:
            further.submit(n - 1)
        ended.append(n)

    @on(2)
    def program() -> None:
        further.submit(20)

    program()
    assert sorted(ended) == list(range(21))
    assert {run.end for run in record(home).task_runs} == {(COMPLETED, "Completed")}


def test_a_flow_that_failed_cancels_what_had_not_started_and_waits_for_the_rest(home: Path) -> None:
    gate, begun = threading.Event(), threading.Event()
    told: list[Exception] = []

    @task
    def runs() -> int:
        begun.set()
        assert gate.wait(SOON)
        return 1

    @on(1)
    def program() -> None:
        first = runs.submit()
        queued, waiting = runs.submit(), add.submit(first)
        waiting.add_done_callback(lambda _: gate.set())  # it is cancelled while the first still runs
        assert begun.wait(SOON)
        for future in (queued, waiting):
            future.add_done_callback(lambda done: told.append(done.state.result(raise_on_failure=False)))
        raise ValueError("the flow's own failure")

    with pytest.raises(ValueError, match="own failure"):
        program()
    first, queued, waiting = record(home).task_runs
    assert first.end == (COMPLETED, "Completed")
    assert queued.end == waiting.end == (CANCELLED, "Cancelled")
    assert queued.names == ["Pending", "Cancelled"]
    assert "its flow run ended first" in (queued.last.message or "")
    assert [type(error) for error in told] == [CancelledRun, CancelledRun]


def test_an_exit_in_the_flow_interrupts_running_tasks_and_cancels_the_others(home: Path) -> None:
    begun, never, ended = threading.Event(), threading.Event(), threading.Event()

    @task
    def runs() -> None:
        begun.set()
        try:
            while True:
                never.wait(0.001)
        finally:
            ended.set()

    @task
    async def runs_on_a_loop() -> None:
        import asyncio

        await asyncio.Event().wait()

    @task(retries=1, retry_delay_seconds=SOON)
    def sleeps() -> None:
        raise OSError

    @on(3)
    def program() -> None:
        running = runs.submit()
        runs_on_a_loop.submit()
        asleep = sleeps.submit()
        add.submit(running)
        assert begun.wait(SOON)
        until(lambda: asleep.state.name == "AwaitingRetry")
        sys.exit("enough")

    with pytest.raises(SystemExit, match="enough"):
        program()
    assert ended.is_set()
    found = record(home)
    assert found.flow_run().end == (CRASHED, "Crashed")
    ends = {run.of: run.end for run in found.task_runs}
    crashed, cancelled = (CRASHED, "Crashed"), (CANCELLED, "Cancelled")
    assert ends == {"runs": crashed, "runs_on_a_loop": crashed, "sleeps": crashed, "add": cancelled}
    assert all("sys.exit" in (run.last.message or "") for run in found.task_runs)


def test_an_interrupted_task_may_clean_up_with_other_tasks_and_what_it_calls_says_why(home: Path) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    @task
    def inner() -> None:
        begun.set()
        until(lambda: False)

    @task
    def cleans() -> int:
        cleaned.set()
        return 1

    @task
    def outer() -> None:
        try:
            inner()
        finally:
            cleans()

    @on(1)
    def program() -> None:
        outer.submit()
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    assert cleaned.is_set()
    ends = {run.of: (run.end[0], run.last.message) for run in record(home).task_runs}
    assert ends["outer"] == (CRASHED, "sys.exit('enough') was called")
    assert ends["inner"] == (CRASHED, "sys.exit('enough') was called")
    assert ends["cleans"][0] == COMPLETED


def test_a_task_that_waits_is_woken_to_be_interrupted(home: Path) -> None:
    begun = threading.Event()
    caught: list[str] = []

    @task
    def never_ends() -> None:
        begun.set()
        until(lambda: False)

    @task
    def waits(future: Future[None]) -> None:
        try:
            future.result()
        except BaseException as error:
            caught.append(type(error).__name__)
            raise

    @on(2)
    def program() -> None:
        waits.submit(quote(never_ends.submit()))
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    assert len(caught) == 1
    assert {run.end for run in record(home).task_runs} == {(CRASHED, "Crashed")}


def test_a_task_in_a_call_that_does_not_come_back_is_ended_without_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "STOP_GRACE_S", 0.05)
    begun, gate, out = threading.Event(), threading.Event(), threading.Event()
    thread: list[threading.Thread] = []

    @task
    def stuck() -> None:
        thread.append(threading.current_thread())
        begun.set()
        try:
            gate.wait(SOON)  # one call into C: no exception comes through
        finally:
            out.set()

    @on(1)
    def program() -> None:
        stuck.submit()
        assert begun.wait(SOON)
        sys.exit("enough")

    with pytest.raises(SystemExit):
        program()
    run = record(home).task_run("stuck")
    assert run.end == (CRASHED, "Crashed")
    assert "while it was running" in (run.last.message or "")
    gate.set()  # it comes back after all, and changes nothing
    assert out.wait(SOON)
    thread[0].join(SOON)
    assert record(home).task_run("stuck").names == run.names


def test_a_task_submitted_after_its_flow_ended_is_refused() -> None:
    kept: list[Any] = []

    @on(1)
    def program() -> None:
        add.submit(1).wait()
        kept.append(copy_context())

    program()
    with pytest.raises(MissingContextError, match="had ended"):
        kept[0].run(add.submit, 1)


def test_when_no_state_can_be_recorded_the_future_says_so_and_nothing_hangs() -> None:
    class Odd(list[Any]):
        def __init__(self) -> None:
            super().__init__()

        def __copy__(self) -> Any:
            raise TypeError("it cannot be copied")

    ends: list[State] = []

    @on(1)
    def program() -> None:
        odd = Odd()
        odd.append(add.submit(1))
        future = add.submit(odd)
        future.wait()
        ends.append(future.state)

    program()
    assert ends[0].is_final()
    assert ends[0].type in (FAILED, CRASHED)


# --- memory -----------------------------------------------------------------------------------------------------------


class Thing:
    """Something large."""


def test_futures_keep_neither_inputs_nor_runs_alive() -> None:
    inputs: list[weakref.ref[Thing]] = []
    runs: list[weakref.ref[Any]] = []

    @task
    def takes(thing: Thing) -> int:
        return 1

    @on(2)
    def program() -> None:
        futures = []
        for _ in range(100):
            thing = Thing()
            inputs.append(weakref.ref(thing))
            future = takes.submit(thing)
            if future.execution is not None:
                runs.append(weakref.ref(future.execution))
            futures.append(future)
            del thing
        wait(futures)
        until(lambda: not any(ref() for ref in (*inputs, *runs)))

    program()
    assert runs


def test_a_result_lives_as_long_as_its_future() -> None:
    @task
    def gives() -> Thing:
        return Thing()

    @on(1)
    def program() -> None:
        future = gives.submit()
        thing = weakref.ref(future.result())
        assert thing() is not None
        del future
        until(lambda: thing() is None)

    program()


def test_what_was_cancelled_while_it_slept_is_let_go_of_at_once() -> None:
    things: list[weakref.ref[Thing]] = []

    @task(retries=1, retry_delay_seconds=3600)
    def sleeps(thing: Thing) -> None:
        raise OSError

    @on(1)
    def program() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        future = sleeps.submit(thing)
        del thing
        until(lambda: future.state.name == "AwaitingRetry")
        sys.exit()

    with pytest.raises(SystemExit) as caught:
        program()
    del caught
    gc.collect()
    assert things[0]() is None
