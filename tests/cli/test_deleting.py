"""Deleting runs by name and by filter: what is shown before, who is asked, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from surefoot.cli.app import app
from surefoot.cli.mistakes import Exit
from surefoot.core.clock import get_clock
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from surefoot.results.packs import run_folder
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_line, a_task_run, id_of, recorded

DAY_US = 86_400_000_000


@pytest.fixture(autouse=True)
def seeded(home: Path) -> Iterator[Path]:
    """Runs of two flows, of different ages and states; one goes on."""
    now_us = get_clock().now_us()
    runs: list[Any] = []
    for name, flow, days, state in (
        ("brave-otter", "backup", 40, "Failed"),
        ("calm-heron", "backup", 40, "Completed"),
        ("dull-mole", "backup", 1, "Failed"),
        ("eager-newt", "report", 40, "Failed"),
    ):
        run = a_flow_run(name, flow, began_us=now_us - days * DAY_US, state=state)
        task = a_task_run(run, f"{name}-task", began_us=now_us - days * DAY_US, state=state)
        runs += [run, task, a_line(run, "a line"), a_line(task, "another")]
        if name == "brave-otter":
            pack = home / run_folder(id_of(run))
            pack.mkdir(parents=True)
            (pack / f"{'0' * 32}.pack").write_bytes(b"results")
    recorded(home, *runs)
    recorder = Recorder(Home(str(home)))
    going_on = a_flow_run("fast-hare", "report", state="Running")
    for fact in (*going_on, *a_task_run(going_on, "fast-hare-task", state="Running")):
        recorder.run(fact)
    yield home
    recorder.close()


def names(surefoot: Surefoot, noun: str = "flow-run") -> list[str]:
    found = json.loads(surefoot(noun, "ls", "--limit", "0", "-o", "json").stdout)
    return sorted(run["name"].partition("-")[0] for run in found)


def test_runs_are_deleted_by_name_with_all_that_is_theirs(surefoot: Surefoot, seeded: Path) -> None:
    done = surefoot("flow-run", "delete", "brave-otter", "calm-heron", "brave-otter", "--yes")
    assert done.exit_code == Exit.DONE, done.stderr
    assert done.stdout == "Deleted 2 flow runs, 2 task runs, 4 log lines.\n"
    assert "2 flow runs: 1 Failed, 1 Completed" in done.stderr
    assert names(surefoot) == names(surefoot, "task-run") == ["dull", "eager", "fast"]
    assert list((seeded / "results").iterdir()) == []


def test_runs_are_deleted_by_filter_and_those_that_have_not_ended_stay(surefoot: Surefoot) -> None:
    words = ["flow-run", "delete", "--state", "Failed", "--before", "30d", "--flow", "backup", "--yes", "-o", "json"]
    done = surefoot(*words)
    assert json.loads(done.stdout) == {"flow_runs": 1, "task_runs": 1, "logs": 2, "artifacts": 0}
    assert names(surefoot) == ["calm", "dull", "eager", "fast"]
    done = surefoot("flow-run", "delete", "--flow", "report", "--yes")
    assert "1 have not ended, and stay." in done.stderr
    assert names(surefoot) == ["calm", "dull", "fast"]


def test_a_filter_that_fits_nothing_deletes_nothing(surefoot: Surefoot) -> None:
    done = surefoot("flow-run", "delete", "--flow", "nothing", "--yes")
    assert (done.exit_code, done.stdout) == (Exit.DONE, "No flow run fits that has ended: nothing was deleted.\n")
    assert json.loads(surefoot("task-run", "delete", "--task", "nothing", "-o", "json").stdout)["task_runs"] == 0


def test_task_runs_are_deleted_alone(surefoot: Surefoot) -> None:
    done = surefoot("task-run", "delete", "brave-otter-task", "--yes")
    assert done.stdout == "Deleted 0 flow runs, 1 task run, 1 log line.\n"
    assert "brave" in names(surefoot)
    done = surefoot("task-run", "delete", "--flow-run", "dull-mole", "--yes")
    assert done.stdout.startswith("Deleted 0 flow runs, 1 task run")


def test_nobody_is_asked_where_nobody_can_answer(surefoot: Surefoot) -> None:
    done = surefoot("flow-run", "delete", "brave-otter")
    assert done.exit_code == Exit.BAD_INPUT
    assert "With all that is theirs: 1 flow run, 1 task run, 2 log lines." in done.stderr
    assert "Add --yes. [bad-input]" in done.stderr
    assert "brave" in names(surefoot)


@pytest.mark.parametrize(("answer", "code"), [("n\n", Exit.INTERRUPTED), ("y\n", Exit.DONE), ("", Exit.INTERRUPTED)])
def test_who_answers_decides(answer: str, code: Exit, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("SUREFOOT_CLI_PROMPT", "true")
    done = CliRunner().invoke(app, ["flow-run", "delete", "brave-otter"], input=answer)
    assert done.exit_code == code
    assert ("Deleted" in done.stdout) == (code is Exit.DONE)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["flow-run", "delete", "fast-hare"], Exit.REFUSED, "Cancel it first: surefoot flow-run cancel fast-hare"),
        (["task-run", "delete", "fast-hare-task"], Exit.REFUSED, "has not ended: it is Running"),
        (["flow-run", "delete", "no-such"], Exit.NOT_FOUND, "No flow run goes by 'no-such'"),
        (["flow-run", "delete"], Exit.BAD_INPUT, "neither the name of a flow run nor a filter"),
        (["task-run", "delete"], Exit.BAD_INPUT, "surefoot task-run delete NAME, or surefoot task-run delete --state"),
        (["flow-run", "delete", "a", "--flow", "b"], Exit.BAD_INPUT, "both names and a filter"),
        (["flow-run", "delete", "--before", "soon"], Exit.BAD_INPUT, "'soon' is neither an age (30d, 12h)"),
    ],
)
def test_what_cannot_be_deleted_is_told_with_the_way_out(
    surefoot: Surefoot, words: list[str], code: Exit, text: str
) -> None:
    before = names(surefoot)
    done = surefoot(*words, "--yes")
    assert (done.exit_code, text in done.stderr) == (code, True), done.stderr
    assert names(surefoot) == before


def test_a_preview_of_many_shows_the_first_of_them(surefoot: Surefoot, home: Path) -> None:
    recorded(home, *[a_flow_run(f"run-{number}", "many") for number in range(8)])
    done = surefoot("flow-run", "delete", "--flow", "many", "--yes")
    assert "8 flow runs: 8 Completed" in done.stderr
    assert "and 3 more" in done.stderr
