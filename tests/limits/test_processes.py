"""Limits among processes: they take turns in their order, and whoever dies frees its slots. Keeps promise 3."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from surefoot.concurrency import concurrency
from tests.limits.processes import age_leases, child, ended, holders, said, set_limit, shown, until_waiting, waiters
from tests.places import Ledgers

needs_sigkill = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.fixture(autouse=True)
def each_ledger(home: Path, ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test once with the home's own ledger, and once with one on PostgreSQL."""
    if ledgers.on_a_server:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", ledgers.new())


def test_waiting_processes_are_served_in_the_order_of_asking_and_the_urgent_first(tmp_path: Path) -> None:
    set_limit("db", 1)
    served = tmp_path / "served"
    with concurrency("db"):
        waiting = []
        for number, (mark, priority) in enumerate([("a", 0), ("b", 0), ("urgent", 5), ("c", 0)]):
            waiting.append(child("wait", "db", mark, served, priority))
            until_waiting("db", number + 1)
        assert [place.holder for place in waiters("db")] == ["urgent", "a", "b", "c"]
        assert [place.place for place in waiters("db")] == [1, 2, 3, 4]
    assert [ended(process) for process in waiting] == [0] * 4
    assert served.read_text().split() == ["urgent", "a", "b", "c"]
    assert shown("db").active_slots == 0


@needs_sigkill
def test_a_killed_holder_frees_its_slots_at_once(tmp_path: Path) -> None:
    set_limit("db", 2)
    holder = child("hold", "db", 2)
    assert said(holder) == "held"
    assert [(place.holder, place.slots) for place in holders("db")] == [(f"child {holder.pid}", 2)]
    waiter = child("wait", "db", "next", tmp_path / "served")
    until_waiting("db", 1)
    holder.send_signal(signal.SIGKILL)
    assert ended(waiter) == 0
    assert (tmp_path / "served").read_text() == "next\n"
    ended(holder)
    assert shown("db").active_slots == 0


@needs_sigkill
def test_a_killed_waiter_is_passed_over(tmp_path: Path) -> None:
    set_limit("db", 1)
    served = tmp_path / "served"
    with concurrency("db"):
        first = child("wait", "db", "killed", served)
        until_waiting("db", 1)
        second = child("wait", "db", "next", served)
        until_waiting("db", 2)
        first.send_signal(signal.SIGKILL)
        ended(first)
    assert ended(second) == 0
    assert served.read_text() == "next\n"


@needs_sigkill
def test_what_a_killed_process_held_is_not_shown_as_used(tmp_path: Path) -> None:
    set_limit("db", 1)
    holder = child("hold", "db")
    assert said(holder) == "held"
    assert shown("db").active_slots == 1
    holder.kill()
    ended(holder)
    assert shown("db").active_slots == 0
    assert holders("db") == []


def test_a_raised_limit_lets_others_go_on_at_once(tmp_path: Path) -> None:
    set_limit("db", 1)
    with concurrency("db"):
        waiter = child("wait", "db", "next", tmp_path / "served")
        until_waiting("db", 1)
        set_limit("db", 2)
        assert ended(waiter) == 0
    assert (tmp_path / "served").read_text() == "next\n"


@pytest.fixture
def shared(ledgers: Ledgers) -> None:
    if not ledgers.on_a_server:
        pytest.skip("a file is one home's own")


@pytest.mark.usefixtures("shared")
def test_processes_of_several_homes_take_turns(tmp_path: Path) -> None:
    set_limit("db", 1)
    served = tmp_path / "served"
    with concurrency("db"):
        other = child("wait", "db", "other", served, home=tmp_path / "other")
        until_waiting("db", 1)
        own = child("wait", "db", "own", served)
        until_waiting("db", 2)
    assert [ended(other), ended(own)] == [0, 0]
    assert served.read_text().split() == ["other", "own"]


@needs_sigkill
@pytest.mark.usefixtures("shared")
def test_a_holder_whose_death_cannot_be_seen_keeps_its_slot_until_its_lease_has_run_out(tmp_path: Path) -> None:
    set_limit("db", 1)
    holder = child("hold", "db", home=tmp_path / "other")
    assert said(holder) == "held"
    holder.kill()
    ended(holder)
    assert shown("db").active_slots == 1
    with pytest.raises(TimeoutError):
        concurrency("db", timeout_seconds=0).__enter__()
    age_leases(1)
    with concurrency("db", timeout_seconds=0):
        assert [place.state for place in holders("db")] == ["lost", "held"]
