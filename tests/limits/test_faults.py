"""Limits when things go wrong: the ledger is held by somebody who stands still, a process forks, a child is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from surefoot import flow, task
from surefoot.client.upkeep import upkeep
from surefoot.concurrency import concurrency, limit
from surefoot.core import settings
from surefoot.core.errors import LedgerBusy
from surefoot.ledger import Ledger
from surefoot.ledger.tables import limit_places
from surefoot.task_runners import ProcessPoolTaskRunner
from tests.limits.processes import child, ended, said, set_limit, shown, until_waiting
from tests.locking.watching import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGSTOP nor fork")


@contextmanager
def a_held_ledger() -> Any:
    """The ledger is in the hands of a process that stands still."""
    holder = child("hold_ledger")
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    try:
        yield holder
    finally:
        holder.send_signal(signal.SIGCONT)
        ended(holder)


def test_a_ledger_that_somebody_holds_is_an_error_that_names_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_BUSY_TIMEOUT_SECONDS", "0.1")
    set_limit("db", 1)
    with a_held_ledger() as holder, pytest.raises(LedgerBusy, match=f"is held by process {holder.pid}"):
        concurrency("db").__enter__()
    assert shown("db").active_slots == 0


def test_a_flow_does_not_fail_because_its_slot_cannot_be_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LEDGER_BUSY_TIMEOUT_SECONDS", "0.1")
    set_limit("db", 1)

    @flow
    def main() -> str:
        with concurrency("db"):
            held.append(a_held_ledger())
            held[0].__enter__()
        return "done"

    held: list[Any] = []
    assert main() == "done"
    held[0].__exit__(None, None, None)
    until(lambda: shown("db").active_slots == 0)


def test_what_the_dead_left_behind_goes_with_the_next_upkeep(home: Path) -> None:
    holder = child("hold_key", "db", "of a customer who never comes again")
    assert said(holder) == "held"
    holder.kill()
    ended(holder)
    upkeep(settings.refresh())
    with Ledger.open(home / "ledger.db") as ledger, ledger.read() as tx:
        assert tx.execute(select(limit_places)).all() == []


def test_a_forked_child_does_not_give_back_what_its_parent_holds() -> None:
    code = """
import os
from surefoot.concurrency import concurrency, limit
with limit("db", 2):
    pid = os.fork()
    if pid == 0:
        with concurrency("db", timeout_seconds=60):
            pass
assert pid == 0 or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert shown("db").active_slots == 0


def test_a_killed_process_of_a_pool_frees_what_its_task_held() -> None:
    @task(retries=1)
    def dies_once(mark: str) -> str:
        with limit("db", 1, timeout_seconds=60):
            if not os.path.exists(mark):
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main(mark: str) -> str:
        return dies_once.submit(mark).result()

    assert main(f"{os.environ['SUREFOOT_HOME']}-mark") == "done"
    assert shown("db").active_slots == 0


def test_tagged_tasks_of_a_process_pool_wait_in_their_owner() -> None:
    set_limit("tag:gpu", 1)

    @task(tags={"gpu"})
    def held() -> int:
        return shown("tag:gpu").active_slots

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def main() -> list[int]:
        return [future.result() for future in [held.submit() for _ in range(4)]]

    assert main() == [1, 1, 1, 1]
    assert shown("tag:gpu").active_slots == 0


def test_a_wait_is_interrupted_like_any_other() -> None:
    code = """
import os, signal, threading
from surefoot.client import get_client
from surefoot.concurrency import concurrency, limit
client = get_client()
with limit("db", 1):
    def interrupt():
        while not client.find_limit("db").waiters:
            pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    import contextvars
    try:
        contextvars.Context().run(concurrency("db").__enter__)
    except KeyboardInterrupt:
        print("interrupted", client.find_limit("db").waiters)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "interrupted 0\n"


def test_a_thread_that_waits_is_told_when_its_limit_is_made_smaller_than_it_needs() -> None:
    set_limit("db", 3)
    failed: list[Exception] = []

    def use() -> None:
        try:
            with concurrency("db", 2):
                pass
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=use)
    with concurrency("db", 2):
        thread.start()
        until_waiting("db", 1)
        set_limit("db", 1)
        thread.join(timeout=60)
    assert "2 slots of the limit 'db' are asked for, which has 1" in str(failed[0])
