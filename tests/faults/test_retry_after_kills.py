"""Faults: a run is killed at any instant, its retries too; what the ledger calls completed is never called again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from surefoot.client import get_client
from surefoot.core.states import StateType

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

PROGRAM = """
import json, sys
from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

@task(task_run_name="load {number}")
def load(number):
    print(f"\\nload {number}", flush=True)
    return {"number": number}

@task(task_run_name="double {row[number]}")
def double(row):
    print(f"\\ndouble {row['number']}", flush=True)
    return row["number"] * 2

@flow
def part(number):
    return double(load(number))

@flow(task_runner=RUNNER)
def program():
    doubled = [double.submit(row) for row in load.map(range(12))]
    rest = [part(number) for number in range(100, 104)]
    return sum(rest) + sum(future.result() for future in doubled)

@program.on_completion
def tell(flow, run, state):
    print(f"\\nsum {state.result()}", flush=True)

if __name__ == "__main__":
    program()
"""
EVERY = {f"{name} {number}" for name in ("load", "double") for number in [*range(12), *range(100, 104)]}
SUM = 2 * (sum(range(12)) + sum(range(100, 104)))


def completed() -> set[str]:
    """The calls that the ledger knows as completed."""
    with closing(get_client()) as client:
        runs = client.task_runs(limit=200).results
    return {run.name for run in runs if run.state_type is StateType.COMPLETED}


def run_and_kill(folder: Path, arguments: list[str], after: int | None) -> list[str]:
    """The calls that a process made before it was killed, after it had told of so many."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = []
        for line in process.stdout:
            if line.startswith(("load", "double", "sum")):
                told.append(line.strip())
            if after is not None and len(told) == after:
                process.send_signal(signal.SIGKILL)
                after = None
        errors = process.stderr.read()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return told


def kill_again_and_again(folder: Path, runner: str, seed: int) -> None:
    draw = random.Random(seed)
    (folder / "program.py").write_text(dedent(PROGRAM).replace("RUNNER", runner))
    told = run_and_kill(folder, ["program.py"], draw.randint(1, 32))
    retry = ["-m", "surefoot", "flow-run", "retry", "--last", "program"]
    for after in [draw.randint(1, 20), draw.randint(1, 10), None]:
        if any(line.startswith("sum") for line in told):
            break
        done = completed()
        told = run_and_kill(folder, retry, after)
        assert not done & set(told), json.dumps(sorted(done & set(told)))
        assert len(told) == len(set(told)), "nothing is called twice in one epoch"
    assert f"sum {SUM}" in told
    assert completed() == EVERY


RUNNERS = ["ThreadPoolTaskRunner(max_workers=4)", "ProcessPoolTaskRunner(max_workers=2)"]


@pytest.mark.parametrize("runner", RUNNERS, ids=["threads", "processes"])
def test_a_run_that_is_killed_again_and_again_does_the_rest_alone(home: Path, tmp_path: Path, runner: str) -> None:
    kill_again_and_again(tmp_path, runner, random.randrange(1 << 32))


@pytest.mark.long
@pytest.mark.parametrize("runner", RUNNERS, ids=["threads", "processes"])
@pytest.mark.parametrize("seed", range(40))
def test_a_run_that_is_killed_at_any_instant_does_the_rest_alone(
    home: Path, tmp_path: Path, runner: str, seed: int
) -> None:
    kill_again_and_again(tmp_path, runner, seed)


def test_a_run_whose_process_is_stopped_is_not_started_again(home: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(dedent(PROGRAM).replace("RUNNER", RUNNERS[0]))
    with subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("load"):
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        try:
            with closing(get_client()) as client:
                (run,) = [run for run in client.flow_runs(limit=200).results if run.flow_name == "program"]
            command = [sys.executable, "-m", "surefoot", "flow-run", "retry", run.id]
            refused = subprocess.run(command, capture_output=True, text=True, check=False)
            assert refused.returncode
            assert "it has not ended" in refused.stderr
        finally:
            process.send_signal(signal.SIGCONT)
        process.communicate()
    assert completed() == EVERY
