"""The commands on a ledger that is a database: only a URL changes, and what is secret in it is shown nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.errors import Refused
from surefoot.core.os.host import host_name
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


HALF = """
import os
from surefoot import flow, task

@task(OPTIONS)
def load(x):
    with open(os.environ["CALLED"], "a") as file:
        file.write(f"load {x}\\n")
    return 2 * x

@flow
def nightly(rows=None):
    loaded = [load(x) for x in range(3)]
    if os.path.exists(os.environ["BROKEN"]):
        raise ValueError("no such table")
    return sum(loaded)

if __name__ == "__main__":
    nightly(PASSED)
"""
Home = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def of_two_homes(process: Process, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Home]:
    """A run that failed half way in home `one`; what comes back types commands in a home that shares the ledger."""
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", url)
    monkeypatch.setenv("CALLED", str(tmp_path / "called"))
    monkeypatch.setenv("BROKEN", str(tmp_path / "broken"))

    def failed(options: str = "", passed: str = "") -> Home:
        file = tmp_path / "flows.py"
        file.write_text(HALF.replace("(OPTIONS)", f"({options})").replace("PASSED", passed))
        (tmp_path / "broken").touch()
        env = os.environ | {"SUREFOOT_HOME": str(tmp_path / "one")}
        subprocess.run([sys.executable, str(file)], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        (tmp_path / "broken").unlink()
        return lambda home, *words: process(*words, SUREFOOT_HOME=str(tmp_path / home))

    return failed


def _runs(surefoot: Home) -> list[tuple[str, int]]:
    listed = json.loads(surefoot("two", "flow-run", "ls", "-o", "json").stdout)
    return [(run["state_name"], run["epoch"]) for run in listed]


def test_a_run_whose_results_lie_in_another_home_is_refused_there_and_goes_on_where_they_lie(
    of_two_homes: Callable[..., Home], tmp_path: Path
) -> None:
    surefoot = of_two_homes()
    called = (tmp_path / "called").read_text()
    assert surefoot("one", "flow-run", "ls").returncode == 0  # takes in what was recorded there
    refused = surefoot("two", "flow-run", "retry", "--last")
    assert refused.returncode == 3, refused.stderr
    for words in (f"this machine ({host_name()})", f"started in {tmp_path}", "3 results kept for resuming", "--anew"):
        assert words in refused.stderr
    assert (tmp_path / "called").read_text() == called
    assert _runs(surefoot) == [("Failed", 0)]
    done = surefoot("one", "flow-run", "retry", "--last")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text() == called
    assert _runs(surefoot) == [("Completed", 1)]


def test_what_is_kept_in_another_home_is_called_again_where_that_is_asked_for(
    of_two_homes: Callable[..., Home], tmp_path: Path
) -> None:
    surefoot = of_two_homes()
    called = (tmp_path / "called").read_text()
    surefoot("one", "flow-run", "ls")
    done = surefoot("two", "flow-run", "retry", "--last", "--anew")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text() == 2 * called
    (first, *_) = json.loads(surefoot("two", "task-run", "ls", "-o", "json").stdout)
    assert "lies in another home" in surefoot("two", "why", first["name"]).stdout


def test_a_run_goes_on_from_any_home_where_all_it_needs_lies_in_storage_that_both_reach(
    of_two_homes: Callable[..., Home], tmp_path: Path
) -> None:
    surefoot = of_two_homes(f"persist_result=True, result_storage={str(tmp_path / 'shared')!r}")
    called = (tmp_path / "called").read_text()
    surefoot("one", "flow-run", "ls")
    done = surefoot("two", "flow-run", "retry", "--last")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text() == called


def test_parameters_that_lie_in_another_home_can_be_passed(of_two_homes: Callable[..., Home], tmp_path: Path) -> None:
    surefoot = of_two_homes("persist_result=True, result_storage=" + repr(str(tmp_path / "shared")), "{1: b'x'}")
    surefoot("one", "flow-run", "ls")
    refused = surefoot("two", "flow-run", "retry", "--last")
    assert "1 result kept for resuming lies there" in refused.stderr
    done = surefoot("two", "flow-run", "retry", "--last", "--anew", "-p", "rows=1")
    assert done.returncode == 0, done.stderr


def test_in_python_too_what_lies_in_another_home_is_not_called_again_unasked(
    home: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", url)
    calls: list[int] = []
    broken = [True]

    @task
    def load(x: int) -> int:
        calls.append(x)
        return x

    @flow
    def inner() -> int:
        return load(2)

    @flow
    def nightly() -> int:
        found = load(1) + inner()
        if broken:
            raise ValueError("no such table")
        return found

    run_id = nightly(return_state=True).state_details.flow_run_id
    with closing(get_client()) as client:
        client.flow_runs()
    broken.clear()
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "two"))
    with pytest.raises(Refused, match="made in another home of this ledger"):
        nightly.retry(str(run_id))
    assert calls == [1, 2]
    assert nightly.retry(str(run_id), anew=True) == 3
    assert calls == [1, 2, 1, 2]


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
