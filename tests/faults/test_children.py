"""Child processes that die, hang or are left alone: what is told of it, who goes on, and that nobody is left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.core.states import StateType
from surefoot.exceptions import ChildDied, CrashedRun, FlowRunTimeoutError, TaskRunTimeoutError
from surefoot.task_runners import ProcessPoolTaskRunner
from tests.engine import in_processes as tasks
from tests.engine.concurrency import until
from tests.faults.program import assert_all_ended, program, runs_in
from tests.recorded import record

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def on_processes(workers: int, **options: Any) -> Callable[..., Any]:
    return flow(task_runner=ProcessPoolTaskRunner(max_workers=workers, **options))


def are_gone(pids: Iterable[int]) -> None:
    """Wait until none of these processes lives."""
    until(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes between opening and reading
        if sys.platform == "linux":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- deaths


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (
            "kill",
            r"was killed \(SIGKILL\) in the midst of the call, by somebody else or .* it had taken up to \d+ MB",
        ),
        ("exit", "ended with exit code 7"),
        ("segfault", r"was ended by SIGSEGV \(Segmentation fault\)"),
    ],
)
def test_a_child_that_dies_is_explained_and_the_others_go_on(how: str, says: str, home: Path) -> None:
    @on_processes(2)
    def f() -> list[Any]:
        dead = tasks.ends_by.submit(how)
        alive = tasks.same.map(range(10)).result()
        with pytest.raises(ChildDied, match=says) as caught:
            dead.result()
        assert isinstance(caught.value, CrashedRun)
        return [*alive, tasks.same.submit(10).result()]

    assert f() == list(range(11))
    run = record(home).task_run("ends_by")
    assert run.names == ["Pending", "Running", "Crashed"]
    assert run.last.message is not None
    assert run.last.message.startswith("Its process (pid ")


@pytest.mark.parametrize("how", ["memory", "sys.exit"])
def test_an_end_that_python_tells_of_keeps_the_child(how: str, home: Path) -> None:
    @on_processes(1)
    def f() -> None:
        before = tasks.pid.submit().result()
        tasks.ends_by.submit(how).wait()
        if how == "memory":
            assert tasks.pid.submit().result() == before

    f()
    ends = {"memory": (FAILED, "MemoryError"), "sys.exit": (CRASHED, "sys.exit(3) was called")}
    last = record(home).task_run("ends_by").last
    assert (last.state_type, last.message) == ends[how]


def test_a_task_whose_child_died_is_retried_in_another(tmp_path: Path, home: Path) -> None:
    @on_processes(1)
    def f() -> Any:
        return tasks.dies_once.submit(str(tmp_path / "was here"))

    assert f() == "alive"
    run = record(home).task_run()
    assert run.names == ["Pending", "Running", "Retrying", "Completed"]
    assert "was killed (SIGKILL)" in str(run.entered[1].message)


def test_an_idle_child_that_died_is_replaced() -> None:
    @on_processes(1)
    def f() -> Any:
        first = tasks.pid.submit().result()
        os.kill(first, signal.SIGKILL)
        are_gone([first])
        until(lambda: tasks.same.submit(1, return_state=True).is_completed())
        return first, tasks.pid.submit().result()

    first, second = f()
    assert first != second


def test_what_a_dead_child_had_begun_ends_as_crashed_when_it_is_read(home: Path) -> None:
    from contextlib import closing

    from surefoot.client import get_client

    @task
    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def around() -> None:
        print("the last line")  # noqa: T201
        dies()

    @flow(task_runner=ProcessPoolTaskRunner(1), log_prints=True)
    def f() -> Any:
        around.submit().wait()

    f()
    kept = record(home)
    assert "the last line" in kept.messages()
    with closing(get_client()) as client:
        ends = {run.task_name: run.state_type for run in client.task_runs().results}
    assert ends == {"around": CRASHED, "dies": CRASHED}


# -- time limits


HANGS = {
    "sleep": "time.sleep(1000)",
    "spin": "spin()",
    "system call": "os.read(os.pipe()[0], 1)",
    "C code": "import itertools; sum(itertools.repeat(0))",  # no signal is looked at, and no other thread gets in
    "stubborn": "while True:\n        try: time.sleep(1000)\n        except BaseException: pass",
}

MORE = ("spin", "system call", "stubborn")

HANGING = """
from surefoot.task_runners import ProcessPoolTaskRunner
@task(timeout_seconds=%s)
def hangs():
    child = subprocess.Popen(["sleep", "1000"])
    say(f"hangs {os.getpid()}")
    say(f"started {child.pid}")
    %s
@task
def waits(value): pass
@flow(task_runner=ProcessPoolTaskRunner(1))
def f():
    found = hangs.submit()
    waits.submit(found)
    found.result()
f()
"""


@pytest.mark.parametrize("how", ["sleep", "C code", *[pytest.param(how, marks=pytest.mark.long) for how in MORE]])
def test_a_call_whose_time_is_up_is_killed_with_all_that_it_started(how: str, home: Path) -> None:
    with program(HANGING % (0.2, HANGS[how]), home) as running:
        pids = [running.wait_for_number("hangs"), running.wait_for_number("started")]
        end = running.end()
    assert "took longer than its 200 ms" in end.stderr
    are_gone(pids)
    ends = {run.of: run.end for run in runs_in(home) if run.entered}
    assert ends["hangs"] == (FAILED, "TimedOut")


def test_a_time_limit_counts_from_the_call_and_each_attempt_has_its_own(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "was here"

    @task(timeout_seconds=0.5, retries=1)
    def late_once() -> str:
        if place.exists():
            return "in time"
        place.mkdir()
        while True:
            pass

    @on_processes(1, start_method="spawn", initializer=tasks.start)
    def f() -> Any:
        return late_once.submit()

    assert f() == "in time"
    assert record(home).task_run().names == ["Pending", "Running", "Retrying", "Completed"]


def test_an_asynchronous_task_is_cancelled_there_when_its_time_is_up(home: Path) -> None:
    @task(timeout_seconds=0.1)
    async def hangs() -> None:
        import asyncio

        try:
            await asyncio.Event().wait()
        finally:
            print("tidied up")  # noqa: T201

    @flow(task_runner=ProcessPoolTaskRunner(1), log_prints=True)
    def f() -> Any:
        return hangs.submit()

    with pytest.raises(TaskRunTimeoutError):
        f()
    assert "tidied up" in record(home).messages()


# -- stops


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("sleep", signal.SIGINT),
        ("C code", signal.SIGTERM),
        pytest.param("sleep", signal.SIGTERM, marks=pytest.mark.long),
        pytest.param("C code", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("stubborn", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("stubborn", signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_a_stop_of_the_owner_ends_its_children(how: str, number: signal.Signals, home: Path) -> None:
    with program(HANGING % (None, HANGS[how]), home) as running:
        pids = [running.wait_for_number("hangs"), running.wait_for_number("started")]
        running.send(number)
        end = running.end()
    assert end.status == -number or end.status in (1, 130), end.stderr
    are_gone(pids)
    assert_all_ended(home)
    ends = {run.of: run.end[0] for run in runs_in(home)}
    assert ends == {"f": CRASHED, "hangs": CRASHED, "waits": CANCELLED}


TIDIES = """
from surefoot.task_runners import ProcessPoolTaskRunner
@task
def inner():
    try:
        say(f"inner {os.getpid()}")
        time.sleep(1000)
    finally: say("tidied up")
@task
def outer(): inner()
@flow(task_runner=ProcessPoolTaskRunner(1))
def f(): outer.submit().result()
f()
"""


def test_what_is_stopped_may_tidy_up_and_records_its_end(home: Path) -> None:
    with program(TIDIES, home) as running:
        pid = running.wait_for_number("inner")
        running.send(signal.SIGTERM)
        running.wait_for("tidied up")
        running.end()
    are_gone([pid])
    ends = {run.of: (run.end[0], run.last.message) for run in runs_in(home)}
    assert ends["inner"] == ends["outer"] == (CRASHED, "terminated (signal 15)")


def test_what_a_flow_that_is_out_of_time_had_called_there_is_cancelled(home: Path) -> None:
    @task
    def hangs() -> None:
        while True:
            pass

    @task
    def around() -> None:
        hangs()

    @flow(task_runner=ProcessPoolTaskRunner(1), timeout_seconds=1)
    def f() -> None:
        around.submit().wait()

    with pytest.raises(FlowRunTimeoutError):
        f()
    kept = record(home)
    assert kept.task_run("around").end == kept.task_run("hangs").end == (CANCELLED, "Cancelled")
    assert kept.task_run("hangs").last.message == kept.task_run("around").last.message


def test_a_flow_that_fails_cancels_what_has_not_begun(home: Path) -> None:
    @on_processes(1)
    def f() -> None:
        tasks.same.map(range(50))
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        f()
    assert {run.end[0] for run in record(home).task_runs} <= {COMPLETED, CANCELLED}


# -- owners


LEAVES = """
from surefoot.task_runners import ProcessPoolTaskRunner
@task
def hangs(how):
    say(f"hangs {os.getpid()}")
    say(f"nursery {os.getppid()}")
    if how == "C code":
        import ctypes
        ctypes.PyDLL(None).sleep(1000)
    time.sleep(1000)
@flow(task_runner=ProcessPoolTaskRunner(1, start_method=sys.argv[1]))
def f():
    hangs.submit(sys.argv[2]).result()
f()
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("how", ["sleep", "C code"])
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere C code that keeps the interpreter goes on to its end")
def test_no_child_outlives_an_owner_that_is_killed(how: str, method: str, home: Path) -> None:
    with program(LEAVES, home, method, how) as running:
        pids = [running.wait_for_number("hangs"), running.wait_for_number("nursery")]
        running.send(signal.SIGKILL)
        running.end()
        are_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere C code that keeps the interpreter goes on to its end")
def test_children_die_with_their_nursery_and_their_owner_goes_on(home: Path) -> None:
    @task
    def kills_nursery() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        while True:
            pass

    @on_processes(1)
    def f() -> Any:
        with pytest.raises(ChildDied, match="nobody saw how"):
            kills_nursery.submit().result()
        return tasks.same.submit(3)

    assert f() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_forked_from_the_owner_has_nothing_of_its_children(home: Path) -> None:
    @on_processes(1)
    def f() -> Any:
        tasks.same.submit(1).result()
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        return tasks.same.submit(2)

    assert f() == 2


@pytest.mark.long
def test_tasks_that_kill_their_process_at_random_all_end(home: Path) -> None:
    import random

    @task(retries=3)
    def may_die(number: int) -> int:
        if random.random() < 0.2:
            os.kill(os.getpid(), random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
        return number

    @on_processes(3)
    def f() -> None:
        may_die.map(range(300)).wait()

    f()
    kept = record(home)
    assert len(kept.task_runs) == 300
    assert {run.end[0] for run in kept.task_runs} <= {COMPLETED, CRASHED}
    assert sum(run.end[0] is COMPLETED for run in kept.task_runs) > 250
