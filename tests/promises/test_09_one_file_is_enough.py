"""Promise 9: one file is enough. No lock error while its holders run; one that is stopped is waited for, then named."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from surefoot import flow
from surefoot.cli.app import app
from surefoot.client import get_client
from surefoot.client.embedded import EmbeddedClient
from surefoot.client.resuming import EmbeddedEarlierRuns
from surefoot.core.errors import LedgerBusy, Refused
from surefoot.core.wire import FlowRun
from surefoot.journal.recorder import get_recorder
from surefoot.ledger import Ledger
from tests.faults.kept import every_run
from tests.faults.program import Program, program

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


# Processes at once, each with a flow of its own.
MANY = """
@task
def step(number): return number
@flow
def work(process, count): step.map(range(count)).wait()
processes, count = map(int, sys.argv[1:])
children = []
for process in range(processes):
    child = os.fork()
    if not child:
        work(process, count)
        sys.exit(0)
    children.append(child)
say(sorted({os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}))
"""


def runs_of(home: Path, processes: int, count: int) -> None:
    """Run them, and poll meanwhile; all is recorded, and nobody met a lock."""
    with program(MANY, home, str(processes), str(count), hangs_s=1000) as running, ThreadPoolExecutor(3) as readers:
        polls = [readers.submit(poll, running) for _ in range(2)]
        end = running.end()
        assert [done.result() for done in polls] == [[], []]
    assert end.stdout == "[0]\n", end.stderr
    assert "surefoot:" not in end.stderr
    with closing(EmbeddedClient(home, wait_s=100)) as client:
        runs = list(every_run(client))
        assert list(client.troubles) == []
    flows = [run for run in runs if isinstance(run, FlowRun)]
    assert sorted(run.parameters["process"] for run in flows) == list(range(processes))
    assert len(runs) == processes * (count + 1)
    assert {run.state_name for run in runs} == {"Completed"}


def poll(running: Program) -> list[str]:
    """Ask again and again, as a page that is open would. Answers what readers were told of trouble."""
    with closing(get_client()) as client:
        while running.is_on():
            client.flow_runs(limit=20)
            client.task_runs(limit=20)
            assert len({run.id for run in client.flow_runs(limit=200).results}) <= 200
        return [trouble for trouble in client.troubles if "is just taken in by" not in trouble]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
@pytest.mark.parametrize(
    ("processes", "count"),
    [(8, 50), (24, 1), pytest.param(64, 500, marks=pytest.mark.long), pytest.param(200, 5, marks=pytest.mark.long)],
)
def test_many_processes_write_at_once_while_others_read_and_nobody_meets_a_lock(
    processes: int, count: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_WAIT_SECONDS", "60")  # however slow the machine is: nobody is to be late
    runs_of(home, processes, count)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_WAIT_SECONDS", "0.2")
    monkeypatch.setenv("SUREFOOT_LEDGER_BUSY_TIMEOUT_SECONDS", "0.2")


@pytest.mark.usefixtures("impatient")
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


def a_failed_run() -> FlowRun:
    @flow
    def fails() -> None:
        raise ValueError

    fails(return_state=True)
    get_recorder().close()
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
    return run


def delete(home: Path, run_id: str) -> Any:
    with closing(EmbeddedClient(home, wait_s=0.1)) as client:
        return client.delete_flow_runs([run_id]).flow_runs


def cancel(home: Path, run_id: str) -> Any:
    with closing(EmbeddedClient(home, wait_s=0.1)) as client, pytest.raises(Refused, match="has ended"):
        client.cancel_flow_run(run_id)


def retry(home: Path, run_id: str) -> Any:
    with closing(EmbeddedEarlierRuns(str(home))) as earlier:
        return earlier.retryable(run_id).epoch


@pytest.mark.parametrize(("change", "answer"), [(delete, 1), (cancel, None), (retry, 1)])
def test_what_changes_a_run_waits_for_a_stopped_process_longer_than_what_reads(
    change: Callable[[Path, str], Any], answer: Any, home: Path
) -> None:
    run = a_failed_run()
    with program(HOLDS["the ledger"], home) as holder, ThreadPoolExecutor(1) as thread:
        holder.wait_until_stopped()
        changing = thread.submit(change, home, run.id)
        with pytest.raises(TimeoutError):
            changing.result(timeout=3)  # a read would have answered by now, without what is not taken in
        holder.send(signal.SIGCONT)
        assert holder.end().status == 0
        assert changing.result() == answer


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["delete", "cancel", "retry"])
def test_a_command_that_changes_a_run_names_a_stopped_process_that_does_not_let_it(command: str, home: Path) -> None:
    run = a_failed_run()
    with program(HOLDS["the ledger"], home) as holder:
        holder.wait_until_stopped()
        told = CliRunner().invoke(app, ["flow-run", command, run.name, *([] if command == "retry" else ["--yes"])])
        assert told.exit_code == 5, told.stderr
        assert "[ledger-busy]" in told.stderr
        assert f"process {holder.pid} on " in told.stderr
