"""Locks in the ledger, in a file and on PostgreSQL: several processes and homes, and what is left when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.client.locks import EmbeddedLines
from surefoot.core import settings
from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.lines import Line, Place
from surefoot.locking import LedgerLockManager
from tests.locking.test_files import ended, said
from tests.locking.watching import until
from tests.places import Ledgers


@pytest.fixture(autouse=True)
def each_ledger(home: Path, ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test once with the home's own ledger, and once with one on PostgreSQL."""
    if ledgers.on_a_server:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", ledgers.new())


@pytest.fixture
def locks() -> LedgerLockManager:
    settings.refresh()
    return LedgerLockManager()


def child(*words: object) -> subprocess.Popen[str]:
    code = Path(__file__).with_name("children.py")
    return subprocess.Popen(
        [sys.executable, str(code), "ledger", "-", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(code.parent.parent.parent)},
    )


def in_line(locks: LedgerLockManager, key: str) -> int:
    return locks._change(key, lambda line, _: len(line.places))


def test_a_lock_is_had_by_one_holder_at_a_time(locks: LedgerLockManager) -> None:
    assert locks.acquire_lock("k", "ann", hold_timeout=600)
    assert not locks.acquire_lock("k", "ben", acquire_timeout=0)
    assert in_line(locks, "k") == 1
    locks.release_lock("k", "ann")
    assert locks.acquire_lock("k" * 2000, "ben", acquire_timeout=0)
    assert not locks.is_locked("k" * 1999)
    locks.release_lock("k" * 2000, "ben")


def test_processes_take_turns(locks: LedgerLockManager, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [child("count", "k", number, 10) for _ in range(2)]
    assert [ended(process) for process in processes] == [0, 0]
    assert number.read_text() == "20"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_dead_are_passed_over_at_once(locks: LedgerLockManager, tmp_path: Path) -> None:
    holder = child("hold", "k")
    assert said(holder) == "held"
    waiter = child("wait", "k", "killed", tmp_path / "served")
    assert said(waiter) == "waiting"
    until(lambda: in_line(locks, "k") == 2)
    waiter.send_signal(signal.SIGKILL)
    holder.send_signal(signal.SIGKILL)
    ended(waiter)
    ended(holder)
    assert locks.acquire_lock("k", "me", acquire_timeout=60)
    locks.release_lock("k", "me")
    assert in_line(locks, "k") == 0


class Clock(SystemClock):
    """A clock that can be set ahead."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    before = set_clock(clock)
    yield clock
    set_clock(before)


def test_where_no_proof_is_to_be_had_the_lease_decides(home: Path, clock: Clock, ledgers: Ledgers) -> None:
    if ledgers.on_a_server:
        pytest.skip("the server has a clock of its own")
    lines = EmbeddedLines.open()

    def ask(ticket: str, now_us: int | None = None) -> bool:
        place = Place(ticket, ticket, owner=ticket, origin="another home")
        return lines.change("k", lambda line, now: line.ask(place, now).is_done, lambda place: None)[0]

    assert ask("a")
    assert not ask("b")
    clock.ahead_us = 20_000_000
    assert lines.renew("nobody") is False
    assert not ask("b")
    clock.ahead_us = 31_000_000
    assert ask("b"), "the lease of a has run out"
    lines.close()


def test_a_lease_that_is_renewed_lasts(home: Path, clock: Clock, ledgers: Ledgers) -> None:
    if ledgers.on_a_server:
        pytest.skip("the server has a clock of its own")
    lines = EmbeddedLines.open()

    def holder(line: Line, now_us: int) -> str | None:
        return line.holder

    def ask(line: Line, now_us: int) -> bool:
        return line.ask(Place("a", "ann", owner="a", origin=lines.origin), now_us).is_done

    assert lines.change("k", ask, lambda place: None)[0]
    clock.ahead_us = 20_000_000
    assert lines.renew("a")
    clock.ahead_us = 40_000_000
    assert lines.change("k", holder, lambda place: None)[0] == "ann"
    assert lines.change("k", holder, lambda place: False)[0] is None
    lines.close()
