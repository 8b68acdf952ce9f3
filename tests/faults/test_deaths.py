"""Deaths: a process that ends without a word leaves runs that the next reader shows as Crashed; a fork has its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.facts import LogWritten, SegmentOpened
from surefoot.core.states import FINAL, StateType
from surefoot.journal.home import Home
from surefoot.journal.reading import writers
from surefoot.results.loading import Loader
from tests.faults.program import assert_all_ended, has_closed, program, runs_in
from tests.recorded import facts

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED

DIES = """
are_both_submitted = threading.Event()
@task
def first(): return 1
@task
def dies():
    are_both_submitted.wait()
    if sys.argv[1] == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "exit": os._exit(0)
    import ctypes
    ctypes.string_at(0)
@task
def waits(value): pass
@flow
def inner():
    last = waits.submit(dies.submit())
    are_both_submitted.set()
    last.result()
@flow
def outer():
    first()
    inner()
outer()
"""


@pytest.mark.parametrize(("death", "status"), [("kill", -signal.SIGKILL), ("exit", 0), ("segfault", -signal.SIGSEGV)])
def test_all_that_was_appended_is_there_and_the_next_reader_ends_the_runs(death: str, status: int, home: Path) -> None:
    with program(DIES, home, death) as running:
        end = running.end()
    assert end.status == status, end.stderr
    assert {run.of: run.names for run in runs_in(home)} == {
        "outer": ["Pending", "Running"],
        "first": ["Pending", "Running", "Completed"],
        "inner": ["Pending", "Running"],
        "dies": ["Pending", "Running"],
        "waits": ["Pending"],
    }
    (writer,) = writers(Home(str(home)))
    assert not writer.is_alive()
    assert not has_closed(home)
    with closing(get_client()) as client:
        ends = {run.flow_name: (run.state_type, run.state_name) for run in client.flow_runs().results}
        tasks = {run.task_name: run.state_type for run in client.task_runs().results}
        assert ends == {"outer": (CRASHED, "Crashed"), "inner": (CRASHED, "Crashed")}
        assert tasks == {"first": COMPLETED, "dies": CRASHED, "waits": CRASHED}
        names = {run.flow_name: run.name for run in client.flow_runs().results}
        assert "its process" in client.why(names["outer"]).summary


FORKS = """
@task
def in_parent(): return "parent"
@task
def in_child(): return "child"
@flow
def f():
    in_parent()
    child = os.fork()
    if not child:
        in_child()
        if sys.argv[1] == "_exit": os._exit(7)
        if sys.argv[1] == "exit": sys.exit(7)
        if sys.argv[1] == "raise": raise ValueError("in the child")
        return 7
    _, status = os.waitpid(child, 0)
    in_parent()
    return os.waitstatus_to_exitcode(status)
say(f"gave {f()}")
"""


@pytest.mark.parametrize(("way", "status"), [("_exit", 7), ("exit", 7), ("raise", 1), ("return", 1)])
def test_a_child_that_was_forked_in_a_flow_records_its_tasks_and_leaves_the_flow_to_its_parent(
    way: str, status: int, home: Path
) -> None:
    with program(FORKS, home, way) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    assert end.stdout == f"gave {status}\n"
    assert_all_ended(home)
    assert [run.names for run in runs_in(home) if run.of == "f"] == [["Pending", "Running", "Completed"]]
    assert [run.of for run in runs_in(home)].count("in_parent") == 2
    (made_in_child,) = [run for run in runs_in(home) if run.of == "in_child"]
    assert made_in_child.created.flow_run_id == runs_in(home)[0].created.run_id  # type: ignore[union-attr]
    opened = {(fact.writer_id, fact.pid) for fact in facts(home) if isinstance(fact, SegmentOpened)}
    assert len({pid for _, pid in opened}) == 2
    assert len({writer_id for writer_id, _ in opened}) == 2


def test_a_child_of_multiprocessing_records_its_tasks(home: Path) -> None:
    text = """
    import multiprocessing
    @task
    def in_child(number): return number
    def work(number):
        in_child(number)
    @flow
    def f():
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(number,)) for number in range(3)]
        for process in processes: process.start()
        for process in processes: process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
    f()
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    assert_all_ended(home)
    assert sorted(run.of for run in runs_in(home)) == ["f", "in_child", "in_child", "in_child"]
    assert len({fact.pid for fact in facts(home) if isinstance(fact, SegmentOpened)}) == 4


FORKS_IN_POOL = """
from surefoot.logging import get_run_logger
@task
def steady(number):
    get_run_logger().info("parent %s", number)
    return number
@task
def in_child(number):
    get_run_logger().info("child %s", number)
    return [number]
@task
def forks():
    child = os.fork()
    if not child:
        assert [in_child(number) for number in range(20)] == [[number] for number in range(20)]
        os._exit(7)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
@flow
def f():
    others = steady.map(list(range(100)))
    forking = [forks.submit() for _ in range(3)]
    others += steady.map(list(range(100, 200)))
    assert others.result() == list(range(200))
    say(f"gave {[future.result() for future in forking]}")
    raise ValueError("so that it is gone on with")
try: f()
except ValueError: pass
"""


def test_a_fork_in_a_thread_of_the_pool_while_tasks_run_leaves_each_process_its_own(home: Path) -> None:
    """Journal and packs: what parent and children record and keep is whole, and all of it can be read."""
    with program(FORKS_IN_POOL, home) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    assert end.stdout == "gave [7, 7, 7]\n"
    assert_all_ended(home)
    runs = runs_in(home)
    counts = {of: [run.of for run in runs].count(of) for of in ("f", "forks", "steady", "in_child")}
    assert counts == {"f": 1, "forks": 3, "steady": 200, "in_child": 60}
    assert all(len([state for state in run.entered if state.state_type in FINAL]) == 1 for run in runs)
    lines = [fact.message for fact in facts(home) if isinstance(fact, LogWritten)]
    for number in range(200):
        assert lines.count(f"parent {number}") == 1
    for number in range(20):
        assert lines.count(f"child {number}") == 3
    opened = {fact.writer_id: fact.pid for fact in facts(home) if isinstance(fact, SegmentOpened)}
    assert len(opened) == len(set(opened.values())) == 4
    kept = [(run, run.last.result) for run in runs if run.last.result is not None]
    assert {run.of for run, _ in kept} >= {"steady", "in_child"}
    packs = {of: {at.place for run, at in kept if run.of == of} for of in ("steady", "in_child")}
    assert packs["steady"].isdisjoint(packs["in_child"]), "a child opens packs of its own"
    assert len(packs["in_child"]) >= 3
    with Loader(str(home)) as loader:
        values = sorted(str(loader.load(at)) for run, at in kept if run.of in ("steady", "in_child"))
    assert values == sorted([*map(str, range(200)), *[f"[{number}]" for number in range(20)] * 3])


@pytest.mark.parametrize("end", ["return", "raise SystemExit(7)"])
def test_a_child_forked_in_the_pool_that_returns_from_its_task_ends_and_runs_no_task_of_its_parent(
    end: str, home: Path
) -> None:
    text = f"""
    @task
    def step(number): say(f"step {{number}}")
    @task
    def forks():
        child = os.fork()
        if not child: {end}
        os.waitpid(child, 0)
    @flow
    def f():
        futures = [forks.submit(), *step.map(list(range(50)))]
        for future in futures: future.result()
    f()
    """
    with program(text, home, hangs_s=20) as running:
        told = running.end()
    assert told.status == 0, told.stderr
    assert sorted(told.stdout.split()[1::2], key=int) == [str(number) for number in range(50)]
    assert_all_ended(home)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_forked_child_ends_the_child_and_its_task(number: signal.Signals, home: Path) -> None:
    text = """
    @task
    def in_child():
        say(f"on {os.getpid()}")
        time.sleep(1000)
    @flow
    def f():
        child = os.fork()
        if not child:
            in_child()
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    say(f"gave {f()}")
    """
    with program(text, home) as running:
        os.kill(running.wait_for_number("on"), number)
        end = running.end()
    assert end.status == 0, end.stderr
    assert end.stdout == f"gave {-number}\n"
    assert_all_ended(home)
    ends = {run.of: run.last.state_type for run in runs_in(home)}
    assert ends == {"f": COMPLETED, "in_child": CRASHED}


def test_how_long_a_killed_run_took_is_told_as_a_least(home: Path) -> None:
    """When exactly it died nobody knows: what is known is the last instant that was heard of it."""
    text = """
    @flow
    def f():
        say("on"); doze()
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(signal.SIGKILL)
        running.end()
    shown = subprocess.run(
        [sys.executable, "-m", "surefoot", "flow-run", "ls"], capture_output=True, text=True, check=True
    ).stdout
    head, line = shown.splitlines()
    assert line[head.index("TOOK") :].startswith(">"), shown
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
    page = subprocess.run(
        [sys.executable, "-m", "surefoot", "flow-run", "inspect", run.name], capture_output=True, text=True, check=True
    ).stdout
    assert run.end_time is not None
    assert f"Ended        after {run.end_time.astimezone():%Y-%m-%d}" in page
    assert "Took         >" in page
