"""Going on with runs that were called within tasks of a process pool: each is found by its key, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from surefoot import flow
from surefoot.client import get_client
from surefoot.core.os.children import METHODS
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, TaskRun, TaskRunFilter
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.engine import within_processes as tasks
from tests.engine.within_processes import called

ALL = sorted(
    [
        *(f"inner {number}" for number in [*range(8), 20]),
        *(f"twice {number}" for number in [5, 6, 7, 20]),
        "part 20",
    ]
)
needs_sigkill = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def on_processes(f: Callable[..., Any], workers: int = 1, **options: Any) -> Any:
    return flow(task_runner=ProcessPoolTaskRunner(max_workers=workers, **options))(f)


def mend(folder: Path) -> None:
    (folder / "mended").touch()


def the_run(name: str = "") -> FlowRun:
    with closing(get_client()) as client:
        (run,) = (
            run
            for run in client.flow_runs().results
            if run.flow_name == name or (not name and not run.parent_flow_run_id)
        )
        return run


def task_runs(name: str) -> list[TaskRun]:
    with closing(get_client()) as client:
        return [run for run in client.task_runs(TaskRunFilter(), limit=200).results if run.task_name == name]


def why(reference: str) -> str:
    with closing(get_client()) as client:
        told = client.why(reference)
        return " ".join([told.summary, *told.causes])


@pytest.mark.parametrize("method", METHODS)
def test_what_completed_within_a_task_that_failed_is_not_called_again(method: str, home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.outer.submit(str(tmp_path))

    program = on_processes(body, start_method=method)
    with pytest.raises(ValueError, match="broken at the end"):
        program()
    assert sorted(called(tmp_path)) == ALL
    ids = {run.id for run in task_runs("inner")}

    mend(tmp_path)
    assert program.retry(the_run().id) == tasks.TOTAL
    assert called(tmp_path) == []
    again = task_runs("inner")
    assert {run.id for run in again} == ids
    # What was called within a run that is taken over is not even asked for.
    assert sorted(run.state_name for run in again) == ["Cached"] * 5 + ["Completed"] * 4
    assert all("had completed in epoch 0" in why(run.id) for run in again if run.state_name == "Cached")


@needs_sigkill
def test_what_completed_within_a_task_whose_process_died_is_not_called_again(home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.outer.submit(str(tmp_path), dies=True)

    program = on_processes(body)
    with pytest.raises(Exception, match="SIGKILL"):
        program()
    assert sorted(called(tmp_path)) == ALL
    mend(tmp_path)
    assert program.retry(the_run().id) == tasks.TOTAL
    assert called(tmp_path) == []


def test_what_is_kept_there_is_read_here(home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.outer.submit(str(tmp_path))

    with pytest.raises(ValueError, match="broken at the end"):
        on_processes(body)()
    run = next(run for run in task_runs("twice") if "-" in run.name)
    shown = subprocess.run(
        [sys.executable, "-m", "surefoot", "results", "show", run.id], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert int(shown.stdout.split()[-1]) in {20 * number for number in [5, 6, 7, 20]}


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_attempts_count_within_a_process_as_they_do_within_a_thread(retries: int, home: Path, tmp_path: Path) -> None:
    """A second attempt calls everything anew; what is gone on with takes over what any attempt completed."""
    found = []
    for runner in (ThreadPoolTaskRunner(1), ProcessPoolTaskRunner(1)):
        folder = tmp_path / type(runner).__name__
        folder.mkdir()

        @flow(name=folder.name, task_runner=runner)
        def program(folder: str, retries: int) -> Any:
            return tasks.GOES_ON[retries].submit(folder)

        state = program(str(folder), retries, return_state=True)
        calls = [called(folder)]
        mend(folder)
        while not state.is_completed():
            state = program.retry(the_run(folder.name).id, return_state=True)
            calls.append(called(folder))
        found.append(calls)
    assert found[0] == found[1]
    assert len(found[0]) > 1


@needs_sigkill
def test_nothing_is_taken_over_twice_when_a_process_dies(home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.dies_once.submit(str(tmp_path))

    program = on_processes(body)
    with pytest.raises(ValueError, match="broken at the end"):
        program()
    first = called(tmp_path)
    mend(tmp_path)
    assert program.retry(the_run().id) == 30
    assert called(tmp_path) == ["inner 0", "inner 1", "inner 2"]
    assert len(first) == 6  # two attempts
    names = sorted(run.state_name for run in task_runs("inner"))
    assert names == ["Cached"] * 3 + ["Completed"] * 6
    with closing(get_client()) as client:
        states = [state for run in task_runs("inner") for state in client.states(run.id)]
    assert not any("illegal" in state.state_details for state in states)


def test_a_large_argument_counts_as_the_run_that_it_came_from(home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.takes.submit(str(tmp_path), tasks.made(str(tmp_path)))

    program = on_processes(body)
    with pytest.raises(ValueError, match="broken at the end"):
        program()
    assert called(tmp_path) == ["made", "counted"]
    mend(tmp_path)
    assert program.retry(the_run().id) == 2 << 20
    assert called(tmp_path) == []


def test_processes_within_processes_know_too(home: Path, tmp_path: Path) -> None:
    def body() -> Any:
        return tasks.deeper.submit(str(tmp_path))

    program = on_processes(body)
    with pytest.raises(ValueError, match="broken at the end"):
        program()
    assert sorted(called(tmp_path)) == sorted([*ALL, "in_processes_again"])
    mend(tmp_path)
    assert program.retry(the_run().id) == tasks.TOTAL
    assert called(tmp_path) == ["in_processes_again"]


def test_where_nothing_is_kept_everything_is_called_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_RESULTS_KEEP_FOR_RESUMING", "false")

    def body() -> Any:
        return tasks.outer.submit(str(tmp_path))

    program = on_processes(body)
    with pytest.raises(ValueError, match="broken at the end"):
        program()
    called(tmp_path)
    mend(tmp_path)
    assert program.retry(the_run().id) == tasks.TOTAL
    assert sorted(called(tmp_path)) == ALL


SCRIPT = """
import os, pathlib
from dataclasses import dataclass
from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner

HERE = pathlib.Path(__file__).parent

@dataclass
class Row:
    number: int

@task
def load(number):
    print("load", number, flush=True)
    return Row(number)

@task
def save(row):
    assert isinstance(row, Row), type(row)
    print("save", row.number, flush=True)
    return row.number

@flow
def part(number):
    return save(load(number))

@task
def outer():
    rows = [load(number) for number in range(5)]
    assert all(isinstance(row, Row) for row in rows), type(rows[0])
    assert rows[1] == Row(1)
    total = part(10) + save(rows[0])
    if not (HERE / "mended").exists():
        raise ValueError("broken")
    return total + save(rows[1])

@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def program():
    return outer.submit().result()

GUARD
    print("sum", program(), flush=True)
"""


@pytest.mark.parametrize("guard", ['if __name__ == "__main__":', "if True:"])
def test_a_script_whose_tasks_are_its_own_goes_on(guard: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(dedent(SCRIPT).replace("GUARD", guard))

    def lines(*arguments: str) -> list[str]:
        env = {**os.environ, "NO_COLOR": "1"}
        ran = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        found = [line for line in ran.stdout.splitlines() if line.startswith(("load", "save", "sum"))]
        return found or [ran.stderr]

    first = lines("job.py")
    assert first == [*(f"load {number}" for number in range(5)), "load 10", "save 10", "save 0"]
    mend(tmp_path)
    again = lines("-m", "surefoot", "flow-run", "retry", "--last")
    assert again == ["save 1"] if guard != "if True:" else ["save 1", "sum 11"]
    assert the_run().state_type is StateType.COMPLETED
