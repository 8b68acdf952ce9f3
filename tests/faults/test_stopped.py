"""Stopped processes: one that holds what a command needs is waited for, and then named."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot.cli.app import app
from surefoot.core.errors import LedgerBusy
from surefoot.ledger import Ledger
from tests.faults.program import program

HOLDS = {
    "the folding": """
        import surefoot.ledger.ledger
        from surefoot.client import get_client
        @flow
        def f(): pass
        f()
        def stop(*_): os.kill(os.getpid(), signal.SIGSTOP)
        surefoot.ledger.ledger.fold = stop
        get_client().flow_runs()
        """,
    "the ledger": """
        from surefoot.ledger import Ledger
        @flow
        def f(): pass
        f()
        with Ledger.open(os.environ["SUREFOOT_HOME"] + "/ledger.db") as ledger, ledger._write():
            os.kill(os.getpid(), signal.SIGSTOP)
        """,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_WAIT_SECONDS", "0.2")
    monkeypatch.setenv("SUREFOOT_LEDGER_BUSY_TIMEOUT_SECONDS", "0.2")


@pytest.mark.parametrize("what", HOLDS)
def test_a_command_waits_for_a_stopped_process_then_answers_and_names_it(what: str, home: Path) -> None:
    with program(HOLDS[what], home) as holder:
        holder.wait_until_stopped()
        told = CliRunner().invoke(app, ["flow-run", "ls"])
        assert told.exit_code == 0, told.stderr
        assert "facts are not taken in yet" in told.stderr
        assert "[ledger-busy]" in told.stderr
        assert f"process {holder.pid} on " in told.stderr
        holder.send(signal.SIGKILL)
        holder.end()
    told = CliRunner().invoke(app, ["flow-run", "ls"])
    assert told.exit_code == 0
    assert "Completed" in told.stdout
    assert told.stderr == ""


def test_whoever_has_to_write_is_refused_after_the_wait_that_the_setting_says(home: Path) -> None:
    with program(HOLDS["the ledger"], home) as holder:
        holder.wait_until_stopped()
        with Ledger.open(home / "ledger.db", busy_s=0.2) as ledger:
            with pytest.raises(LedgerBusy, match=f"process {holder.pid} on .*waited 0.2 s.*end that process"):
                ledger.make_durable()
            holder.send(signal.SIGCONT)
            assert holder.end().status == 0
            ledger.make_durable()
