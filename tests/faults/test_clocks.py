"""A clock that somebody sets: back or forward by a day, in the middle of runs, for every process of the machine.

Durations are right, lines stand in the order in which they were written, nobody alive is taken for dead, ids stay
unique, lists can be paged through, and nothing is deleted that is not old.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.ids import to_text
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, LogFilter, TaskRun, TaskRunFilter
from surefoot.engine.scope import current
from surefoot.logging import get_run_logger
from tests.faults.places import jumping_clock

DAY = 86_400

# A flow of three tasks that overlap with jumps; it says when it is on, and ends when it is told to.
JUMPS = """
import os, struct, sys, threading, time
from surefoot import flow, task
from surefoot.logging import get_run_logger
def jump(seconds):
    with open(os.environ["AHEAD"], "r+b") as file: file.write(struct.pack("<q", int(seconds)))
@task
def before(): get_run_logger().info("line 0")
@task
def across(seconds):
    get_run_logger().info("line 1")
    jump(seconds)
    get_run_logger().info("line 2")
    return time.time()
@task(retries=1, retry_delay_seconds=0.05)
def flaky(seconds, tries=[]):
    tries.append(1)
    if len(tries) == 1:
        jump(seconds)
        raise ValueError("once")
@task
def after(): get_run_logger().info("line 3")
@flow
def jumps(*, first, then):
    before()
    across(first)
    flaky.submit(then).result(timeout=30)
    after.submit().result(timeout=30)
    os.write(1, b"on\\n")
    sys.stdin.readline()
    get_run_logger().info("line 4")
@flow
def later(): pass
jumps(first=int(sys.argv[1]), then=int(sys.argv[2]))
later()
"""
CASES = [(DAY, DAY), (-DAY, -DAY), (DAY, 0), (-DAY, 0), (DAY, -DAY), (-DAY, DAY)]


class Set(SystemClock):
    """The machine's clock, set to another time."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


class Machine:
    """Where all processes have the clock that is set."""

    def __init__(self, folder: Path) -> None:
        self.env = {**os.environ, **jumping_clock(folder), "SUREFOOT_LOGGING_LEVEL": "INFO", "NO_COLOR": "1"}

    def start(self, code: str, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", dedent(code), *args],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *words: str, **env: str) -> str:
        command = [sys.executable, "-m", "surefoot", *words]
        env = {**self.env, **env}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def flow_runs(self) -> dict[str, str]:
        listed = json.loads(self.command("flow-run", "ls", "-o", "json"))
        return {run["flow_name"]: run["state_name"] for run in listed}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def each_run() -> list[FlowRun | TaskRun]:
    """All runs, by pages of one."""
    found: list[FlowRun | TaskRun] = []
    with closing(get_client()) as client:
        for ask in (client.flow_runs, client.task_runs):
            after = None
            while True:
                page = ask(limit=1, after=after)
                found += page.results
                if (after := page.after) is None:
                    break
    return found


@pytest.mark.parametrize(("first", "then"), CASES)
def test_a_clock_that_is_set_in_the_middle_of_a_run_changes_nothing_of_it(
    machine: Machine, first: int, then: int
) -> None:
    process = machine.start(JUMPS, str(first), str(then))
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "on\n", process.communicate()
        assert machine.flow_runs() == {"jumps": "Running"}  # alive, whatever the clock says
        machine.command("db", "fold", SUREFOOT_RETENTION_RUNS_DAYS="2", SUREFOOT_RETENTION_LOGS_DAYS="2")
        _, err = process.communicate("go on\n")
    assert process.returncode == 0, err
    machine.command("db", "fold", SUREFOOT_RETENTION_RUNS_DAYS="2", SUREFOOT_RETENTION_LOGS_DAYS="2")
    assert machine.flow_runs() == {"jumps": "Completed", "later": "Completed"}
    runs = each_run()
    assert len({run.id for run in runs}) == len(runs) == 6
    assert {run.state_type for run in runs} == {StateType.COMPLETED}
    assert all(0 <= run.total_run_time < 100 for run in runs), [run.total_run_time for run in runs]
    name = next(run.name for run in runs if isinstance(run, FlowRun) and run.flow_name == "jumps")
    with closing(get_client()) as client:
        lines = [line for line in client.logs().results if line.message.startswith("line ")]
    assert [line.message for line in lines] == [f"line {number}" for number in range(5)]
    jumped_s = (lines[2].timestamp - lines[1].timestamp).total_seconds()
    assert first <= jumped_s < first + 100  # it did jump, and is told as it was
    (tried_again,) = [line for line in machine.command("task-run", "ls").splitlines() if line.startswith("flaky")]
    assert tried_again.split()[-1] != "0ms"  # it ran, and the clock was set back between its attempts
    logged = machine.command("flow-run", "logs", name)
    assert [line[-6:] for line in logged.splitlines() if line[-6:-1] == "line "] == [line.message for line in lines]


@task
def sets(clock: Set, seconds: int, text: str) -> None:
    get_run_logger().info("%s before", text)
    clock.ahead_us += seconds * 1_000_000
    get_run_logger().info("%s after", text)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jumps=st.lists(st.sampled_from([-400 * DAY, -DAY, -3600, 3600, DAY, 400 * DAY]), max_size=6), data=st.data())
def test_whatever_the_clock_does_a_run_is_told_in_its_order_with_its_durations(
    jumps: list[int], data: st.DataObject
) -> None:
    clock = Set()
    submits = [data.draw(st.booleans()) for _ in jumps]

    @flow
    def many() -> bytes:
        for number, (seconds, submit) in enumerate(zip(jumps, submits, strict=True)):
            if submit:
                sets.submit(clock, seconds, str(number)).result()
            else:
                sets(clock, seconds, str(number))
        running = current()
        assert running is not None
        return running.run_id

    before = set_clock(clock)
    try:
        run_id = to_text(many())
        with closing(get_client()) as client:
            run = client.find_flow_run(run_id)
            tasks = client.task_runs(TaskRunFilter(flow_run_id=[run_id])).results
            lines = [line.message for line in client.logs(LogFilter(flow_run_id=[run_id])).results]
    finally:
        set_clock(before)
    assert [run.state_name, *(found.state_name for found in tasks)] == ["Completed"] * (1 + len(jumps))
    durations = [run.total_run_time, *(found.total_run_time for found in tasks)]
    assert all(0 <= seconds < 100 for seconds in durations)
    told = [f"{number} {when}" for number in range(len(jumps)) for when in ("before", "after")]
    assert [line for line in lines if line in told] == told


KILLED = """
import os, signal, struct, sys, time
from surefoot import flow, task
from surefoot.logging import get_run_logger
def jump(seconds):
    with open(os.environ["AHEAD"], "r+b") as file: file.write(struct.pack("<q", int(seconds)))
@task
def long(seconds):
    time.sleep(0.3)  # the kill is to find something to tell
    jump(seconds)
    get_run_logger().info("the last line")
    os.kill(os.getpid(), signal.SIGKILL)
@flow
def night(seconds): long(seconds)
night(int(sys.argv[1]))
"""


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_a_run_that_is_killed_after_the_clock_was_set_ran_as_long_as_it_did(machine: Machine, seconds: int) -> None:
    with machine.start(KILLED, str(seconds)) as process:
        _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    assert machine.flow_runs() == {"night": "Crashed"}
    for run in each_run():
        assert run.state_type is StateType.CRASHED
        assert 0.3 <= run.total_run_time < 60
        assert run.start_time is not None
        assert run.end_time is not None
        assert run.end_time >= run.start_time
    name = next(run.name for run in each_run() if isinstance(run, FlowRun))
    listed, page = machine.command("flow-run", "ls"), machine.command("flow-run", "inspect", name)
    short = r">(\d{3}ms|\d{1,2}s)"
    assert re.search(rf"Crashed   +\w+ \d\d:\d\d +{short} ", listed), listed
    assert re.search(rf"Took +{short}\n", page), page
    assert re.search(rf"long-\w+ +Crashed +{short} ", page), page
