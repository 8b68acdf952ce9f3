"""Promise 3: limits are exact as granted, whoever dies; a slot of whom nothing was heard is granted again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.concurrency import concurrency
from tests.limits.processes import age_leases, child, ended, holders, said, set_limit, shown, until_waiting
from tests.locking.watching import until
from tests.places import Ledgers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor SIGSTOP")

SLOTS = 2
PROCESSES = 4


@pytest.fixture(autouse=True)
def each_ledger(home: Path, ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test once with the home's own ledger, and once with one on PostgreSQL."""
    if ledgers.on_a_server:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", ledgers.new())


def acquire_with_kills(folder: Path, count: int, kills: int) -> None:
    """Processes take slots and give them back, so often all together; some are killed, wherever they are then."""
    held, killed, done = (folder / part for part in ("held", "killed", "done"))
    held.mkdir()
    killed.mkdir()
    done.touch()
    set_limit("db", SLOTS)
    chance = random.Random(count)
    living = [child("hold_many", "db", SLOTS, folder) for _ in range(PROCESSES)]
    dead: list[subprocess.Popen[str]] = []
    for number in range(1, kills + 1):
        until(lambda so_many=number * count // (kills + 1): done.stat().st_size >= so_many, 600)  # type: ignore[misc]
        victim = living.pop(chance.randrange(len(living)))
        (killed / f"{victim.pid}").touch()
        victim.send_signal(signal.SIGKILL)
        dead.append(victim)
        living.append(child("hold_many", "db", SLOTS, folder))
    until(lambda: done.stat().st_size >= count, 600)
    (folder / "stop").touch()
    assert [ended(process) for process in living] == [0] * PROCESSES
    for process in dead:
        ended(process)
    assert [found.read_text() for found in folder.glob("too-many-*")] == []
    assert (shown("db").active_slots, shown("db").waiters, holders("db")) == (0, 0, [])


def test_no_slot_is_lost_or_granted_twice_whoever_is_killed(tmp_path: Path) -> None:
    acquire_with_kills(tmp_path, 300, 5)


@pytest.mark.long
def test_ten_thousand_acquisitions_with_random_kills(tmp_path: Path) -> None:
    acquire_with_kills(tmp_path, 10_000, 150)


def test_a_slot_of_whom_nothing_was_heard_is_granted_again_and_who_comes_back_is_shown_as_over_the_limit() -> None:
    set_limit("db", 1)
    frozen = child("hold", "db")
    assert said(frozen) == "held"
    frozen.send_signal(signal.SIGSTOP)
    age_leases(1)
    with concurrency("db", timeout_seconds=60):
        assert [place.state for place in holders("db")] == ["lost", "held"]
        frozen.send_signal(signal.SIGCONT)
        until(lambda: shown("db").active_slots == 2)
        assert shown("db").over_limit == 1
    assert shown("db").over_limit == 0
    ended(frozen)
    assert shown("db").active_slots == 0


def test_a_strict_holder_that_comes_back_is_stopped() -> None:
    set_limit("db", 1)
    frozen = child("run_strictly", "db")
    assert said(frozen) == "held"
    frozen.send_signal(signal.SIGSTOP)
    age_leases(1)
    with concurrency("db", timeout_seconds=60):
        frozen.send_signal(signal.SIGCONT)
        told = said(frozen)
        while not told.startswith("Crashed"):
            told = said(frozen)
        assert told == "Crashed: its slots of the limit db were lost: nothing was heard of it in time"
        assert shown("db").active_slots == 1
    assert ended(frozen) == 0
    assert shown("db").active_slots == 0


def test_who_stands_still_in_the_line_is_passed_over_and_keeps_its_place(tmp_path: Path) -> None:
    set_limit("db", 1)
    served = tmp_path / "served"
    with concurrency("db"):
        frozen = child("wait", "db", "frozen", served)
        until_waiting("db", 1)
        frozen.send_signal(signal.SIGSTOP)
        age_leases(0)
        second = child("wait", "db", "second", served)
        until_waiting("db", 1)  # the other was struck out
    assert ended(second) == 0
    frozen.send_signal(signal.SIGCONT)
    assert ended(frozen) == 0
    assert served.read_text().split() == ["second", "frozen"]
