"""The commands on a ledger that is a database: only a URL changes, and what is secret in it is shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Process, Surefoot
from tests.client.builders import a_flow_run, recorded
from tests.places import Databases

FLOWS = """
from surefoot import flow, task

@task
def double(x):
    print("doubling")
    return 2 * x

@flow(log_prints=True)
def good(x: int = 1):
    double(x)

@flow
def bad():
    raise ValueError("no such table")
"""
SECRET = "hush-hush"


@pytest.fixture
def url(server: Databases) -> str:
    return server.taken().replace("surefoot@", f"surefoot:{SECRET}@")


def test_every_reading_command_answers_from_the_database(
    process: Process, surefoot: Surefoot, tmp_path: Path, home: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", url)
    assert process("run", "flows.py:good").returncode == 0
    assert process("run", "flows.py:bad").returncode == 1
    listed = surefoot("flow-run", "ls", "-o", "json")
    runs = {run["flow_name"]: run for run in json.loads(listed.stdout)}
    assert {name: run["state_name"] for name, run in runs.items()} == {"good": "Completed", "bad": "Failed"}
    good, bad = runs["good"]["name"], runs["bad"]["name"]
    told = ""
    for words, expected in (
        (("flow", "ls"), "good"),
        (("task-run", "ls"), "double"),
        (("why", bad), "no such table"),
        (("flow-run", "logs", good), "doubling"),
        (("flow-run", "inspect", good), "double"),
        (("config", "view", "--show-sources"), "SUREFOOT_LEDGER_URL"),
    ):
        done = surefoot(*words)
        assert done.exit_code == 0, done.output
        assert expected in done.output
        told += done.output
    assert SECRET not in told
    assert not (home / "ledger.db").exists()
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "another"))
    assert len(json.loads(surefoot("flow-run", "ls", "-o", "json").stdout)) == 2


def test_a_database_is_looked_after_by_the_same_commands(
    surefoot: Surefoot, home: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", url)
    recorded(home, a_flow_run("brave-otter"), a_flow_run("calm-heron"))
    told = ""
    for words, expected in (
        (("db", "stats"), "flow_runs"),
        (("db", "upgrade", "--dry-run"), "nothing to upgrade"),
        (("db", "fold"), "Took in"),
        (("flow-run", "delete", "brave-otter", "--yes"), ""),
        (("db", "vacuum"), "now."),
        (("flow-run", "ls"), "calm-heron"),
        (("db", "reset", "--yes"), "is empty"),
    ):
        done = surefoot(*words)
        assert done.exit_code == 0, done.output
        assert expected in done.output
        told += done.output
    assert "brave-otter" not in surefoot("flow-run", "ls").output
    assert json.loads(surefoot("flow-run", "ls", "-o", "json").stdout) == []
    assert SECRET not in told
    assert "postgresql://surefoot@127.0.0.1:" in told
    assert not (home / "ledger.db").exists()


def test_a_failed_run_goes_on_from_a_ledger_that_is_a_database(process: Process, tmp_path: Path, url: str) -> None:
    (tmp_path / "flows.py").write_text(FLOWS.replace("raise ValueError", "double(3); raise ValueError"))
    env = {"SUREFOOT_LEDGER_URL": url}
    assert process("run", "flows.py:bad", **env).returncode == 1
    (tmp_path / "flows.py").write_text(FLOWS.replace("raise ValueError", "double(3); print"))
    done = process("flow-run", "retry", "--last", **env)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(process("flow-run", "ls", "-o", "json", **env).stdout)
    assert (run["state_name"], run["epoch"]) == ("Completed", 1)


def test_an_empty_list_names_the_ledger_that_was_asked(
    surefoot: Surefoot, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"recorded in {home} yet" in surefoot("flow-run", "ls").output
    path = tmp_path / "x.db"
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", f"sqlite:///{path}")
    assert f"recorded in {path} yet" in surefoot("flow-run", "ls").output


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db", "cannot be reached"),
        (f"mysql://me:{SECRET}@127.0.0.1/db", "Expected postgresql://"),
        (f"postgresql://me:{SECRET}@127.0.0.1:one/db", "A ledger cannot be kept in"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(process: Process, wrong: str, told: str) -> None:
    done = process("--debug", "flow-run", "ls", SUREFOOT_LEDGER_URL=wrong, SUREFOOT_STRICT="1")
    assert done.returncode != 0
    assert told in done.stderr
    assert SECRET not in done.stdout + done.stderr
