"""Cleaning up what is kept for resuming: by age, by size, never of a run that goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from surefoot.results.cleaning import gc, kept_runs, remove
from surefoot.results.keeping import Keeper
from surefoot.results.loading import load

DAY_S = 86_400


def a_run(home: Path, *, size: int = 1000, age_days: float = 0) -> bytes:
    keeper = Keeper(str(home), new_id(), new_id())
    at = keeper.keep("x" * size)
    assert isinstance(at, ResultAt)
    keeper.close()
    pack = home / at.place
    when = pack.stat().st_mtime - age_days * DAY_S
    os.utime(pack, (when, when))
    os.utime(pack.parent, (when, when))
    return keeper.flow_run_id


def test_a_home_without_results_has_nothing_to_clean(home: Path) -> None:
    assert kept_runs(str(home)) == []
    cleaned = gc(str(home), max_age_days=1, budget_bytes=1)
    assert (cleaned.removed, cleaned.left_bytes, cleaned.left_runs) == ((), 0, 0)
    assert remove(str(home), new_id()) == 0
    assert not home.exists()


def test_what_is_too_old_goes_first_then_the_oldest_until_the_budget_holds(home: Path) -> None:
    aged = [a_run(home, age_days=age) for age in (40, 35, 20, 10, 1)]
    each = kept_runs(str(home))[0].bytes
    assert 1000 < each < 1100
    cleaned = gc(str(home), max_age_days=30, budget_bytes=2 * each)
    assert [run.flow_run_id for run in cleaned.removed] == aged[:3]
    assert cleaned.freed_bytes == 3 * each
    assert (cleaned.left_bytes, cleaned.left_runs) == (2 * each, 2)
    assert [run.flow_run_id for run in kept_runs(str(home))] == aged[3:]
    assert len(list((home / "results").iterdir())) == 2


def test_a_dry_run_only_tells(home: Path) -> None:
    old = a_run(home, age_days=40)
    assert [run.flow_run_id for run in gc(str(home), max_age_days=30, budget_bytes=10**9, dry=True).removed] == [old]
    assert [run.flow_run_id for run in kept_runs(str(home))] == [old]


def test_a_run_whose_writer_lives_and_may_add_to_it_stays(home: Path) -> None:
    recorder = Recorder(Home(str(home)))
    keeper = Keeper(str(home), new_id(), recorder.writer_id)
    keeper.keep("x" * 10_000)
    assert [run.is_open for run in kept_runs(str(home))] == [True]
    assert gc(str(home), max_age_days=0, budget_bytes=0).removed == ()
    keeper.close()
    assert [run.is_open for run in kept_runs(str(home))] == [False]
    assert len(gc(str(home), max_age_days=0, budget_bytes=0).removed) == 1
    recorder.close()


def test_an_open_pack_of_a_dead_writer_is_no_reason_to_stay(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    keeper.keep(1)
    assert [run.is_open for run in kept_runs(str(home))] == [False]
    keeper.close()


def test_what_is_spared_stays(home: Path) -> None:
    one, two = a_run(home, age_days=40), a_run(home, age_days=50)
    assert [run.flow_run_id for run in gc(str(home), max_age_days=30, budget_bytes=0, spare={one}).removed] == [two]


def test_removing_a_run_leaves_what_is_not_ours(home: Path) -> None:
    run = a_run(home)
    note = home / "results" / run.hex() / "note.txt"
    note.write_text("mine")
    assert remove(str(home), run) > 1000
    assert note.read_text() == "mine"
    (home / "results" / "README").write_text("mine too")
    assert [kept.packs for kept in kept_runs(str(home))] == [0]


def test_what_a_dead_writer_left_open_is_trimmed_and_whole(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    ats = [keeper.keep("x" * 2000) for _ in range(50)]
    (before,) = kept_runs(str(home))
    assert (before.is_open, len(before.left_open)) == (False, 1)
    cleaned = gc(str(home), max_age_days=1, budget_bytes=10**9)
    (after,) = kept_runs(str(home))
    assert cleaned.left_bytes == after.bytes < 120_000 < before.bytes
    assert after.left_open == ()
    assert all(isinstance(at, ResultAt) and load(str(home), at) == "x" * 2000 for at in ats)
    keeper.keep("y" * 2000)  # its writer lived all the same: that result is lost, and nothing else
    keeper.close()
    assert all(isinstance(at, ResultAt) and load(str(home), at) == "x" * 2000 for at in ats)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_all_that_is_kept_is_counted(home: Path, count: int) -> None:
    runs = [a_run(home, size=100 * n) for n in range(count)]
    found = kept_runs(str(home))
    assert sorted(run.flow_run_id for run in found) == sorted(runs)
    assert sum(run.bytes for run in found) == sum(path.stat().st_size for path in home.rglob("*.pack"))
