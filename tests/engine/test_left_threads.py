"""Calls that nothing here can interrupt, whose time is up: who goes on without them, and what is told of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, get_run_logger, task
from surefoot.core.states import StateType
from surefoot.engine import awaiting, calling
from surefoot.exceptions import TaskRunTimeoutError
from surefoot.states import State
from surefoot.task_runners import ThreadPoolTaskRunner
from tests.engine.concurrency import until
from tests.faults.program import program
from tests.recorded import record

CANCELLED, COMPLETED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.FAILED
SOON = 0.05
WHILE = 0.5  # long enough for what ends by itself, on a machine that is busy with other things
NEVER = 1000.0
CANNOT = "the call that it is in goes on, and nothing here can stop it"


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calling, awaiting):
        monkeypatch.setattr(module, "LATE_GRACE_S", SOON)


class Held:
    """A system call on a thread, which returns when it is let go."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        self.entered = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    def enter(self) -> None:
        self.entered.release()
        try:
            os.read(self._reads, 1)
        finally:
            self.left.release()

    def let_go(self) -> None:
        os.write(self._writes, b"x" * 10)

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)


@pytest.fixture
def held() -> Iterator[Held]:
    it = Held()
    yield it
    it.let_go()
    it.close()


def warnings(home: Path) -> list[str]:
    return [line for line in record(home).messages() if CANNOT in line]


def test_a_submitted_task_in_a_system_call_times_out_and_the_flow_goes_on_without_its_thread(
    held: Held, home: Path
) -> None:
    @task(timeout_seconds=SOON)
    def blocked() -> None:
        held.enter()

    @task
    def other() -> int:
        return 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def f() -> int:
        late = blocked.submit()
        assert other.submit().result() == 1  # the one slot is free again
        with pytest.raises(TaskRunTimeoutError, match="goes on, since nothing can interrupt it"):
            late.result()
        return other.submit().result()

    assert f() == 1
    assert record(home).task_run("blocked").end == (FAILED, "TimedOut")
    (line,) = warnings(home)
    assert 'the run goes on without its thread, which works on; isolation="process" would have stopped it' in line


def test_it_is_retried_on_another_thread_and_what_the_first_still_does_counts_for_nothing(
    held: Held, home: Path
) -> None:
    threads: list[int] = []
    told: list[BaseException] = []

    @task
    def inner() -> int:
        return 1

    @task(timeout_seconds=WHILE, retries=1)
    def blocked() -> str:
        threads.append(threading.get_ident())
        if len(threads) == 2:
            return "second"
        try:
            held.enter()
        finally:
            for late in (lambda: get_run_logger().warning("too late"), inner, inner.submit):
                try:
                    late()
                except BaseException as error:
                    told.append(error)
            held.left.release()
        return "first"

    @flow
    def f() -> str:
        value = blocked.submit().result()
        held.let_go()
        for _ in range(2):
            held.left.acquire()
        return value

    assert f() == "second"
    assert len(set(threads)) == 2
    assert [type(error).__name__ for error in told] == ["OutOfTime"] * 3
    kept = record(home)
    assert [run.of for run in kept.task_runs] == ["blocked"]
    assert kept.task_runs[0].names == ["Pending", "Running", "Retrying", "Completed"]
    assert "too late" not in kept.messages()


def test_the_thread_that_comes_back_too_late_takes_no_more_tasks(held: Held) -> None:
    names: set[str] = set()

    @task(timeout_seconds=SOON)
    def blocked() -> None:
        names.add(threading.current_thread().name)
        held.enter()

    @task
    def other(number: int) -> str:
        return threading.current_thread().name

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def f() -> set[str]:
        blocked.submit().wait()
        held.let_go()
        until(lambda: not any(thread.name in names for thread in threading.enumerate()))
        return set(other.map(range(50)).result())

    assert not f() & names


def test_what_it_had_called_there_is_cancelled_and_stays_so(held: Held, home: Path) -> None:
    @task
    def inner() -> None:
        held.enter()

    @flow
    def between() -> None:
        inner()

    @task(timeout_seconds=SOON)
    def outer() -> None:
        between()

    @flow
    def f() -> None:
        outer.submit().wait()
        held.let_go()
        held.left.acquire()

    f()
    kept = record(home)
    assert kept.task_run("outer").end == (FAILED, "TimedOut")
    assert kept.task_run("inner").end == (CANCELLED, "Cancelled")
    assert [run.end[0] for run in kept.flow_runs if run.of == "between"] == [CANCELLED]


def test_many_at_once_are_left_and_all_others_end(held: Held, home: Path) -> None:
    @task(timeout_seconds=WHILE)
    def some_block(number: int) -> int:
        if number % 10 == 0:
            held.enter()
        return number

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def f() -> list[State]:
        return some_block.map(range(50), return_state=True)

    with pytest.raises(TaskRunTimeoutError):
        f()
    ends = [run.end for run in record(home).task_runs]
    assert (ends.count((COMPLETED, "Completed")), ends.count((FAILED, "TimedOut"))) == (45, 5)


def test_a_task_with_a_time_limit_is_not_run_on_the_thread_that_waits_for_it(held: Held) -> None:
    @task(timeout_seconds=SOON)
    def blocked() -> None:
        held.enter()

    @task
    def waits() -> str:
        return blocked.submit(return_state=True).name

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def f() -> str:
        return waits.submit().result()

    assert f() == "TimedOut"


def hash_for_a_while() -> None:
    """C code that lets other threads in, and looks at no signals: a good half second."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)


@pytest.mark.parametrize("where", ["main thread", "called on a pool's thread", "coroutine"])
def test_what_cannot_be_left_is_told_at_its_time_and_ends_when_it_returns(where: str, home: Path) -> None:
    @task(timeout_seconds=SOON)
    def hashes() -> None:
        hash_for_a_while()

    @task(timeout_seconds=SOON)
    async def hashes_async() -> None:
        hash_for_a_while()

    @task
    def calls() -> str:
        return hashes(return_state=True).name

    @flow
    def f() -> str:
        if where == "main thread":
            return hashes(return_state=True).name
        return calls.submit().result() if where.startswith("called") else hashes_async.submit(return_state=True).name

    assert f() == "TimedOut"
    (line,) = warnings(home)
    assert "the run ends when that returns" in line


@pytest.mark.parametrize("call", ["awaited", "submitted"])
def test_a_coroutine_that_goes_on_when_it_is_cancelled_is_closed(call: str, home: Path) -> None:
    tidied: list[str] = []

    @task(timeout_seconds=SOON)
    async def stubborn() -> None:
        try:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue
        finally:
            tidied.append("up")

    @flow
    async def f() -> tuple[str, int]:
        state = await stubborn(return_state=True) if call == "awaited" else stubborn.submit(return_state=True)
        own = asyncio.current_task()
        assert own is not None
        return state.name, own.cancelling()

    assert asyncio.run(f()) == ("TimedOut", 0)
    assert tidied == ["up"]
    message = str(record(home).task_run("stubborn").last.message)
    assert "went on when it was cancelled, so it was closed" in message


def test_a_coroutine_that_cannot_even_be_closed_is_let_go_of(home: Path) -> None:
    @task(timeout_seconds=SOON)
    async def stubborn(keeps: list[Any]) -> None:
        keeps.append(stubborn)
        ends = 0
        while ends < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
            except GeneratorExit:
                ends += 1

    async def program() -> str:
        state: State = await stubborn([], return_state=True)
        return state.name

    assert asyncio.run(program()) == "TimedOut"


def test_a_program_ends_in_order_though_a_thread_of_it_never_does(home: Path) -> None:
    text = """
    @task(timeout_seconds=0.1)
    def stuck(): os.read(os.pipe()[0], 1)
    @flow
    def f(): return stuck.submit(return_state=True).name
    try: f()
    finally: say("flow over")
    """
    with program(text, home) as running:
        running.wait_for("flow over")
        end = running.end()
    assert end.status == 0, end.stderr
    assert CANNOT in end.stderr
