"""A URL of the ledger that cannot be used: who needs the ledger is refused before anything goes into another one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from surefoot import flow, task
from surefoot.concurrency.sync import concurrency
from surefoot.core.errors import SettingsError
from surefoot.core.settings import temporary_settings
from surefoot.locking import LedgerLockManager
from tests.cli.conftest import Process, Surefoot
from tests.client.builders import a_flow_run, recorded

FLOWS = """
from surefoot import flow, task

@task(tags=["gpu"])
def double(x):
    return 2 * x

@flow
def good(x: int = 1):
    return double(x)
"""
SECRET = "hush-hush"
WRONG = f"postgresql+asyncpg://me:{SECRET}@127.0.0.1/db"


def files(home: Path) -> list[tuple[str, int]]:
    """All that lies in a home, each with when it was changed."""
    return sorted((str(path.relative_to(home)), path.stat().st_mtime_ns) for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        (WRONG, "names the driver asyncpg, which is not used here. Leave it out: write postgresql://"),
        (f"postgresql+psycopg2://me:{SECRET}@db/x", "driver psycopg2"),
        ("sqlite+aiosqlite:///x.db", "write sqlite:///PATH."),
        (f"mysql://me:{SECRET}@db/x", "Expected postgresql://USER:PASSWORD@SERVER/DATABASE or sqlite:///PATH"),
        ("postgresql://", "Expected postgresql://"),
        ("/tmp/x.db", "Write sqlite:///PATH"),
    ],
)
def test_a_wrong_url_is_refused_with_the_way_out_and_nothing_is_folded(
    surefoot: Surefoot, home: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, way_out: str
) -> None:
    recorded(home, a_flow_run("brave-otter"))
    before = files(home)
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", wrong)
    done = surefoot("flow-run", "ls")
    assert done.exit_code == 2, done.output
    assert "the environment: SUREFOOT_LEDGER_URL " in done.stderr
    assert way_out in done.stderr
    assert "[settings]" in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.output
    assert files(home) == before


@pytest.mark.parametrize(
    "words",
    [
        ("why", "brave-otter"),
        ("flow-run", "cancel", "brave-otter"),
        ("flow-run", "retry", "--last"),
        ("db", "fold"),
        ("db", "fold", "--quietly"),
        ("db", "stats"),
        ("db", "upgrade", "--yes"),
        ("db", "vacuum"),
        ("db", "reset", "--yes"),
        ("limit", "set", "api", "1"),
        ("variable", "set", "x", "1"),
        ("artifact", "ls"),
        ("asset", "ls"),
        ("watch",),
        ("results", "gc", "--yes"),
    ],
)
def test_every_command_that_opens_the_ledger_is_refused(
    surefoot: Surefoot, home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    recorded(home, a_flow_run("brave-otter"))
    assert "brave-otter" in surefoot("flow-run", "ls").output  # so there is a ledger in the home, to be left alone
    recorded(home, a_flow_run("calm-heron"))
    before = files(home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", WRONG)
    done = surefoot(*words)
    assert done.exit_code == 2, done.output
    assert "SUREFOOT_LEDGER_URL names the driver asyncpg" in done.stderr
    assert files(home) == before


def test_a_run_goes_on_says_so_and_is_folded_once_the_url_is_right(
    process: Process, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    at_once = {"SUREFOOT_LEDGER_FOLD_AT_EXIT": "1", "SUREFOOT_LEDGER_FOLD_AT_EXIT_BYTES": "0"}
    done = process("run", "flows.py:good", SUREFOOT_LEDGER_URL=WRONG, **at_once)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("SUREFOOT_LEDGER_URL") == 1
    assert f"Runs go on; what they record stays in the journal of {home}" in " ".join(done.stderr.split())
    assert SECRET not in done.stderr
    assert not (home / "ledger.db").exists()
    assert not (home / "upkeep.lock").exists()  # nor was an upkeep started, which would be refused
    (run,) = json.loads(process("flow-run", "ls", "-o", "json").stdout)
    assert run["state_name"] == "Completed"


def test_the_environment_is_told_where_settings_are_shown_and_its_other_mistakes_are_still_ignored(
    surefoot: Surefoot, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process("flow-run", "ls", SUREFOOT_CLI_COLORS="maybe").returncode == 0
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", WRONG)
    assert "names the driver asyncpg" in surefoot("config", "view").stderr
    assert surefoot("config", "validate").exit_code == 2
    assert surefoot("version").exit_code == 0


def test_code_that_needs_the_ledger_is_refused_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", WRONG)
    with pytest.raises(SettingsError, match="asyncpg"), concurrency("api"):
        pass
    with pytest.raises(SettingsError, match="asyncpg"):
        LedgerLockManager().acquire_lock("a", "me")
    assert not (home / "ledger.db").exists()


def test_a_url_that_is_laid_over_the_wrong_one_counts(
    surefoot: Surefoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", WRONG)
    with temporary_settings({"ledger.url": f"sqlite:///{tmp_path / 'other.db'}"}):
        assert surefoot("flow-run", "ls").exit_code == 0
    assert os.path.exists(tmp_path / "other.db")


def test_a_task_with_a_tag_that_has_a_limit_in_the_home_is_not_run_past_it(
    surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert surefoot("limit", "set", "tag:gpu", "1").exit_code == 0

    @task(tags=["gpu"])
    def work() -> None: ...

    @flow
    def program() -> None:
        work()

    monkeypatch.setenv("SUREFOOT_LEDGER_URL", WRONG)
    with pytest.raises(SettingsError, match="asyncpg"):
        program()
