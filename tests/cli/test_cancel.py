"""Cancelling from the command line: one run, those that fit, the question, and what is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot.cli.app import app
from surefoot.cli.mistakes import Exit
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, recorded
from tests.faults.program import Program, program

TWO = """
from surefoot import tags
@task
def works(): spin()
@flow
def load():
    works.submit()
    works.submit()
    say("on")
    spin()
def go(tag):
    with tags(tag): load(return_state=True)
threads = [threading.Thread(target=go, args=(tag,)) for tag in ("a", "b")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.fixture
def running(home: Path) -> Iterator[Program]:
    """A process with two runs of one flow."""
    with program(TWO, home) as found:
        found.wait_for("on")
        found.wait_for("on")
        yield found


def names(surefoot: Surefoot, *words: str) -> list[str]:
    return [run["name"] for run in json.loads(surefoot("flow-run", "ls", *words, "-o", "json").stdout)]


def test_a_run_is_cancelled_by_name_and_the_other_goes_on(surefoot: Surefoot, running: Program) -> None:
    first, second = names(surefoot)
    result = surefoot("flow-run", "cancel", first)
    assert result.exit_code == Exit.DONE, result.stderr
    assert result.stdout.startswith(f"{first} was cancelled after ")
    assert names(surefoot, "--state", "Running") == [second]
    why = surefoot("why", first).stdout
    assert "was cancelled: asked by " in why
    assert "(pid " in why
    again = surefoot("flow-run", "cancel", first)
    assert again.exit_code == Exit.REFUSED
    assert "has ended: it is Cancelled" in again.stderr
    assert surefoot("flow-run", "cancel", "--state", "Running", "--yes").exit_code == Exit.DONE
    assert running.end().status == 0


def test_those_that_fit_are_shown_and_asked_about_first(
    surefoot: Surefoot, running: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tagged,) = names(surefoot, "--tag", "a")
    words = ["flow-run", "cancel", "--flow", "load", "--tag", "a"]
    unasked = CliRunner().invoke(app, words)
    assert unasked.exit_code == Exit.BAD_INPUT
    assert "nobody is there to answer" in unasked.stderr
    monkeypatch.setenv("SUREFOOT_CLI_PROMPT", "true")
    refused = CliRunner().invoke(app, words, input="n\n")
    assert refused.exit_code == Exit.INTERRUPTED
    assert tagged in refused.stderr
    assert "Cancel this flow run? [y/N]" in refused.stderr
    assert len(names(surefoot, "--state", "Running")) == 2
    agreed = CliRunner().invoke(app, [*words, "-o", "json"], input="y\n")
    assert agreed.exit_code == Exit.DONE, agreed.stderr
    (run,) = json.loads(agreed.stdout)
    assert (run["name"], run["state_name"], run["request"]) == (tagged, "Cancelled", None)
    assert len(names(surefoot, "--state", "Running")) == 1


def test_a_task_run_is_cancelled_and_the_flow_goes_on(surefoot: Surefoot, running: Program) -> None:
    (flow_run,) = names(surefoot, "--tag", "b")
    tasks = json.loads(surefoot("task-run", "ls", "--flow-run", flow_run, "-o", "json").stdout)
    result = surefoot("task-run", "cancel", tasks[0]["id"])
    assert result.exit_code == Exit.DONE, result.stderr
    result = surefoot("task-run", "cancel", "--flow-run", flow_run, "--yes", "-o", "jsonl")
    assert result.exit_code == Exit.DONE, result.stderr
    (other,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (other["id"], other["state_name"]) == (tasks[1]["id"], "Cancelled")
    assert flow_run in names(surefoot, "--state", "Running")


def test_what_was_asked_stands_beside_the_state_until_it_ends(surefoot: Surefoot, home: Path) -> None:
    text = """
    @flow
    def load():
        try:
            say("on"); spin()
        except BaseException:
            say("told"); spin()
    load(return_state=True)
    """
    with program(text, home) as running:
        running.wait_for("on")
        (name,) = names(surefoot)
        asked = surefoot("flow-run", "cancel", name, "--no-wait")
        assert asked.exit_code == Exit.DONE
        assert asked.stdout.startswith(f"{name} was asked to stop.")
        running.wait_for("told")
        assert "Running (Cancelling)" in surefoot("flow-run", "ls").stdout
        assert names(surefoot, "--state", "Cancelling") == [name]
        assert "Running (Cancelling)" in surefoot("flow-run", "inspect", name).stdout
        assert "was asked to stop by " in surefoot("why", name).stdout
        late = surefoot("flow-run", "cancel", name, "--timeout", "0")
        assert "was cancelled" in late.stdout or late.exit_code == Exit.NOT_COMPLETED
        assert running.end().status == 0
    assert "Cancelled" in surefoot("flow-run", "ls").stdout
    assert "Cancelling" not in surefoot("flow-run", "ls").stdout


def test_nothing_is_cancelled_that_was_not_named(surefoot: Surefoot, home: Path) -> None:
    recorded(home, a_flow_run("brave-otter", state="Completed"))
    neither = surefoot("flow-run", "cancel")
    assert neither.exit_code == Exit.BAD_INPUT
    assert "neither the name of a flow run nor a filter" in neither.stderr
    both = surefoot("task-run", "cancel", "upload-0", "--task", "upload")
    assert both.exit_code == Exit.BAD_INPUT
    assert "both names and a filter" in both.stderr
    nothing = surefoot("flow-run", "cancel", "--flow", "backup", "--yes", "-o", "json")
    assert (nothing.exit_code, json.loads(nothing.stdout)) == (Exit.DONE, [])
    assert "has not ended fits" in nothing.stderr
    assert surefoot("flow-run", "cancel", "nobody").exit_code == Exit.NOT_FOUND
    ended = surefoot("flow-run", "cancel", "brave-otter")
    assert (ended.exit_code, ended.stdout) == (Exit.REFUSED, "")


def test_a_run_whose_process_died_is_not_cancelled_but_ended(surefoot: Surefoot, home: Path) -> None:
    with program('@flow\ndef load(): say("on"); spin()\nload()', home) as running:
        running.wait_for("on")
        running.send(9)
        running.end()
    (name,) = names(surefoot)
    refused = surefoot("flow-run", "cancel", name)
    assert refused.exit_code == Exit.REFUSED
    assert "it is Crashed" in refused.stderr


def test_a_run_of_another_home_on_this_machine_is_reached(
    surefoot: Surefoot, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    with program(TWO, home) as running:
        running.wait_for("on")
        running.wait_for("on")
        first, second = names(surefoot)
        monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "another"))
        result = surefoot("flow-run", "cancel", first)
        assert result.exit_code == Exit.DONE, result.output
        assert result.stdout.startswith(f"{first} was cancelled after ")
        assert surefoot("flow-run", "cancel", second).exit_code == Exit.DONE
        assert running.end().status == 0


def test_a_run_of_another_home_that_is_not_to_be_reached_is_refused_at_once_and_left_as_it_is(
    surefoot: Surefoot, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    monkeypatch.setattr("surefoot.core.os.host._boot_id", "another start of another machine")
    recorder = Recorder(Home(str(home)))
    try:
        for fact in [*a_flow_run("brave-otter", state="Running"), *a_flow_run("calm-heron", state="Running")]:
            recorder.run(fact)
        assert len(names(surefoot)) == 2
        monkeypatch.setattr("surefoot.core.os.host._boot_id", None)
        monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "another"))
        result = surefoot("flow-run", "cancel", "brave-otter")
        assert result.exit_code == Exit.REFUSED, result.output
        assert f"works in process {os.getpid()} on " in result.stderr
        assert "in another home of this ledger" in result.stderr
        both = surefoot("flow-run", "cancel", "--state", "Running", "--yes")
        assert both.exit_code == Exit.NOT_COMPLETED, both.output
        assert both.stdout.count("was not asked to stop. The run works in process") == 2
        runs = json.loads(surefoot("flow-run", "ls", "-o", "json").stdout)
        assert [(run["state_name"], run["request"]) for run in runs] == [("Running", None)] * 2
    finally:
        recorder.close()
