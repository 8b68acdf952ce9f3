"""Tasks in processes of their own: how they are called, what they know, what is recorded, and what is refused."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, get_run_logger, task
from surefoot.cache_policies import INPUTS
from surefoot.context import FlowRunContext, TaskRunContext
from surefoot.core.states import StateType
from surefoot.engine import isolation
from surefoot.exceptions import ChildDied, MemoryLimitExceeded, MissingContextError, UnpicklableArgument
from surefoot.states import State
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from surefoot.transactions import transaction
from tests.recorded import record

COMPLETED, CRASHED, FAILED = StateType.COMPLETED, StateType.CRASHED, StateType.FAILED
HERE = os.getpid()


@task(isolation="process")
def pid(*_: Any) -> int:
    return os.getpid()


@task(isolation="process")
async def pid_async() -> int:
    await asyncio.sleep(0)
    return os.getpid()


@flow
def calls() -> list[int]:
    return [pid(), pid.submit().result(), *pid.map(range(3)).result(), pid_async.submit().result()]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def calls_on_processes() -> list[int]:
    return [pid(), pid.submit().result(), *pid.map(range(3)).result(), pid_async.submit().result()]


@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
def calls_on_one_thread() -> list[int]:
    return [pid(), pid.submit().result(), *pid.map(range(3)).result(), pid_async.submit().result()]


@flow
async def calls_async() -> list[int]:
    return [await pid_async(), pid(), await pid_async.submit(), *await asyncio.gather(pid_async(), pid_async())]


def outside() -> list[int]:
    return [pid(), asyncio.run(pid_async())]


def of_a_method() -> list[int]:
    class Loader:
        @task(isolation="process")
        def load(self) -> int:
            return os.getpid()

    @flow
    def f() -> list[int]:
        return [Loader().load(), Loader().load.submit().result()]

    return f()


def of_a_copy() -> list[int]:
    @task
    def here() -> int:
        return os.getpid()

    return [here.with_options(isolation="process")() for _ in range(2)]


WAYS: dict[str, Callable[[], list[int]]] = {
    "from a flow": calls,
    "from a flow on processes": calls_on_processes,
    "from a flow on one thread": calls_on_one_thread,
    "from an asynchronous flow": lambda: asyncio.run(calls_async()),
    "outside of flows": outside,
    "of a method": of_a_method,
    "of a copy with options": of_a_copy,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_call_has_a_process_of_its_own(way: str, home: Path) -> None:
    pids = WAYS[way]()
    assert len({HERE, *pids}) == 1 + len(pids)
    runs = record(home).task_runs
    assert [run.names for run in runs] == [["Pending", "Running", "Completed"]] * len(pids)


def test_without_isolation_a_task_is_called_here() -> None:
    assert task(isolation=None)(os.getpid)() == HERE


def test_each_attempt_has_a_process_of_its_own_and_hooks_are_called_here(home: Path) -> None:
    seen: list[tuple[str, int]] = []

    def hook(_task: Any, _run: Any, state: State) -> None:
        seen.append((state.name, os.getpid()))

    @task(isolation="process", retries=1, on_running=[hook], on_completion=[hook], on_failure=[hook])
    def tries() -> int:
        context = TaskRunContext.get()
        assert context is not None
        print(f"in {os.getpid()}")  # noqa: T201
        if context.task_run.run_count == 1:
            raise OSError("not yet")
        return os.getpid()

    @flow(log_prints=True)
    def f() -> int:
        return tries()

    last = f()
    assert seen == [("Running", HERE), ("Retrying", HERE), ("Completed", HERE)]
    printed = [line for line in record(home).messages() if line.startswith("in ")]
    assert len({HERE, *(int(line[3:]) for line in printed)}) == 3
    assert printed[1] == f"in {last}"


def test_it_knows_its_run_and_that_of_its_flow_and_its_lines_are_kept_in_order(home: Path) -> None:
    @task
    def inner(number: int) -> int:
        return number

    @task(isolation="process", name="outer")
    def outer(value: str) -> tuple[Any, ...]:
        flow_run, task_run = FlowRunContext.get(), TaskRunContext.get()
        assert flow_run is not None
        assert task_run is not None
        for number in range(50):
            get_run_logger().info(f"line {number}")
        return flow_run.flow_run.name, task_run.parameters, inner.map(range(3)).result()

    @flow(flow_run_name="mine")
    def f() -> tuple[Any, ...]:
        return outer("x")

    assert f() == ("mine", {"value": "x"}, [0, 1, 2])
    kept = record(home)
    lines = [line for line in kept.messages() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(50)]
    parent = kept.task_run("outer").created.run_id
    assert {run.created.parent_task_run_id for run in kept.task_runs if run.of == "inner"} == {parent}


def test_outside_of_flows_nothing_can_be_submitted_from_it_either() -> None:
    @task(isolation="process")
    def submits() -> Any:
        return pid.submit()

    with pytest.raises(MissingContextError, match="outside of a flow"):
        submits()


def test_one_within_another_has_a_process_of_its_own_too() -> None:
    @task(isolation="process")
    def outer() -> tuple[int, int]:
        return os.getpid(), pid()

    assert len({HERE, *outer()}) == 3


def test_it_is_cached_and_takes_part_in_transactions_as_any_other(home: Path) -> None:
    rolled_back: list[int] = []

    @task(isolation="process", cache_policy=INPUTS)
    def once(value: int) -> int:
        return os.getpid()

    @task(isolation="process", on_rollback=[lambda _: rolled_back.append(os.getpid())])
    def staged() -> None: ...

    def breaks() -> None:
        with transaction():
            staged()
            raise OSError("no")

    @flow
    def f() -> list[int]:
        with pytest.raises(OSError, match="no"):
            breaks()
        return [once(1), once(1)]

    first, second = f()
    assert first == second != HERE
    assert rolled_back == [HERE]
    assert [run.last.state_name for run in record(home).task_runs] == ["RolledBack", "Completed", "Cached"]


# -- what is refused before anything runs


@pytest.mark.parametrize("verb", ["call", "submit", "map", "await"])
def test_what_cannot_be_sent_is_named_before_anything_runs(verb: str, home: Path) -> None:
    @task(isolation="process")
    def takes(value: Any) -> None: ...

    @task(isolation="process")
    async def takes_async(value: Any) -> None: ...

    bad = threading.Lock()
    ways: dict[str, Callable[[], Any]] = {
        "call": lambda: takes(bad),
        "submit": lambda: takes.submit(bad),
        "map": lambda: takes.map([1, 2, bad]),
        "await": lambda: asyncio.run(takes_async(bad)),
    }

    @flow
    def f() -> None:
        with pytest.raises(UnpicklableArgument, match=r"its argument 'value' [^$]* leave out isolation"):
            ways[verb]()

    f()
    assert record(home).task_runs == []


def test_what_an_upstream_gives_and_cannot_be_sent_fails_the_run_that_takes_it(home: Path) -> None:
    @task
    def gives() -> Any:
        return threading.Lock()

    @flow
    def f() -> Any:
        return pid.submit(gives.submit())

    with pytest.raises(UnpicklableArgument):
        f()
    assert record(home).task_run("pid").end == (FAILED, "Failed")


def yields() -> Iterator[int]:
    yield 1


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown isolation": ({"isolation": "thread"}, ValueError, "isolation of task 'f' is 'thread'"),
    "an isolation of another type": ({"isolation": True}, TypeError, 'Pass "process", or None'),
    "a memory limit alone": ({"memory_limit": "1GiB"}, ValueError, "the task has no process of its own"),
    "no size": ({"memory_limit": "much", "isolation": "process"}, ValueError, "'much', which is no size"),
    "an unknown unit": ({"memory_limit": "2 Gigs", "isolation": "process"}, ValueError, "'2 Gigs', which is no size"),
    "a size of 0": ({"memory_limit": 0, "isolation": "process"}, ValueError, "0, which is not above 0"),
    "a size below 0": ({"memory_limit": "-1GiB", "isolation": "process"}, ValueError, "not above 0"),
    "a size that is no number": ({"memory_limit": 1.5, "isolation": "process"}, TypeError, "memory_limit of task 'f'"),
    "infinitely much": ({"memory_limit": "infGiB", "isolation": "process"}, ValueError, "no size"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_refused_by_the_decorator(what: str) -> None:
    options, kind, says = REFUSED[what]

    def f() -> None: ...

    with pytest.raises(kind) as caught:
        task(**options)(f)
    assert says in str(caught.value)
    with pytest.raises(kind):
        task(f).with_options(**options)


def test_a_generator_task_is_refused() -> None:
    with pytest.raises(TypeError, match="yields its values one by one"):
        task(isolation="process")(yields)


def test_a_memory_limit_is_refused_where_it_cannot_be_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "MEASURES", False)
    with pytest.raises(ValueError, match="cannot be held to on this system"):
        task(isolation="process", memory_limit="1GiB")(os.getpid)


# -- memory


@pytest.mark.skipif(sys.platform == "win32", reason="no memory limits there")
def test_a_limit_below_what_an_interpreter_holds_fails_every_call() -> None:
    with pytest.raises(MemoryLimitExceeded, match="memory limit of 1 MiB exceeded"):
        task(isolation="process", memory_limit="1MiB")(lambda: threading.Event().wait())()
    with pytest.raises(MemoryLimitExceeded, match=r"memory limit of 1MB \(977 KiB\) exceeded \(it used"):
        task(isolation="process", memory_limit="1MB")(lambda: threading.Event().wait())()


@pytest.mark.skipif(sys.platform == "win32", reason="no memory limits there")
@pytest.mark.parametrize("way", ["call", "submit", "async"])
def test_who_takes_more_memory_than_its_limit_fails_and_is_told_how_much_it_was(way: str, home: Path) -> None:
    @task(isolation="process", memory_limit="100MiB")
    def eats() -> None:
        taken = []
        while True:
            taken.append(bytearray(b"x" * 1_000_000))

    @task(isolation="process", memory_limit="100MiB")
    async def eats_async() -> None:
        eats.fn()

    @flow
    def f() -> None:
        if way == "call":
            eats()
        elif way == "submit":
            eats.submit().result()
        else:
            asyncio.run(eats_async())

    with pytest.raises(MemoryLimitExceeded, match=r"memory limit of 100 MiB exceeded \(it used \d+ MiB\)") as caught:
        f()
    assert isinstance(caught.value, MemoryError)
    assert record(home).task_runs[-1].end == (FAILED, "Failed")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone refuses what is not used yet")
def test_who_asks_for_far_more_than_its_limit_is_refused_it_at_once(home: Path) -> None:
    @task(isolation="process", memory_limit="100MiB")
    def asks() -> int:
        return len(bytearray(10**12))

    with pytest.raises(
        MemoryLimitExceeded, match=r"memory limit of 100 MiB exceeded \(it had used up to .*, and was refused more\)"
    ) as caught:
        asks()
    assert isinstance(caught.value.__cause__, MemoryError)


@pytest.mark.skipif(sys.platform == "win32", reason="no memory limits there")
def test_what_it_starts_counts_too(tmp_path: Path) -> None:
    @task(isolation="process", memory_limit="150MiB")
    def starts() -> None:
        import subprocess

        code = "import time; taken = bytearray(b'x' * 100_000_000); time.sleep(1000)"
        for child in [subprocess.Popen([sys.executable, "-c", code], start_new_session=True) for _ in range(2)]:
            child.wait()

    with pytest.raises(MemoryLimitExceeded):
        starts()


def test_stacks_of_threads_and_pools_of_its_own_have_room() -> None:
    @task(isolation="process", memory_limit="500MiB")
    def starts() -> list[int]:
        import multiprocessing

        go = threading.Event()
        threads = [threading.Thread(target=go.wait) for _ in range(150)]  # 1.2 GB, of which little is touched
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(abs, [-1, -2])

    assert starts() == [1, 2]


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    assert len(task(isolation="process", memory_limit=10**9)(lambda: bytearray(10**7))()) == 10**7


def test_a_memory_error_without_a_limit_is_the_tasks_own() -> None:
    @task(isolation="process")
    def asks() -> None:
        raise MemoryError("mine")

    with pytest.raises(MemoryError, match="mine") as caught:
        asks()
    assert not isinstance(caught.value, MemoryLimitExceeded)


# -- deaths


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("os._exit(7)", "ended with exit code 7"),
        ("os.kill(os.getpid(), 9)", r"was killed \(SIGKILL\) in the midst of the call"),
        ("os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
    ],
)
def test_a_death_is_told_as_what_it_was_and_a_retry_has_a_new_process(how: str, says: str, home: Path) -> None:
    @task(isolation="process", retries=1)
    def dies(code: str) -> int:
        context = TaskRunContext.get()
        assert context is not None
        if context.task_run.run_count == 1:
            eval(code, {"os": os})
        return 1

    @flow
    def f() -> int:
        with pytest.raises(ChildDied, match=says):
            dies.with_options(retries=0)(how)
        return dies(how)

    assert f() == 1
    first, second = record(home).task_runs
    assert first.end == (CRASHED, "Crashed")
    assert second.names == ["Pending", "Running", "Retrying", "Completed"]
