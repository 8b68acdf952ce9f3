"""What was kept survives the death of its process; a full disk, or a home that may not be written, fails nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id
from surefoot.results.cleaning import gc, kept_runs
from surefoot.results.keeping import Keeper
from surefoot.results.loading import Loader
from tests.journal.test_budgets import in_a_small_disk

CHILD = Path(__file__).with_name("child.py")
KINDS = ["mapped", "written"]


def start(home: Path | str, kind: str, run: bytes, *action: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, CHILD, home, kind, run.hex(), *action], stdout=subprocess.PIPE, text=True
    )


def told(child: subprocess.Popen[str]) -> tuple[dict[int, ResultAt], dict[int, str]]:
    """What the child kept, and what it did not, with the reason."""
    kept: dict[int, ResultAt] = {}
    unkept: dict[int, str] = {}
    for line in child.communicate(timeout=100)[0].splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("results/"):
            place, offset, length = rest.split()
            kept[int(number)] = ResultAt(place, int(offset), int(length))
        else:
            unkept[int(number)] = rest
    return kept, unkept


def check(home: Path | str, kept: dict[int, ResultAt]) -> None:
    with Loader(str(home)) as loader:
        assert all(loader.load(at) == f"{number}-" * 200 for number, at in kept.items())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_before_a_kill_is_there(home: Path, kind: str) -> None:
    kept, _ = told(start(home, kind, new_id(), "die"))
    assert len(kept) == 500
    check(home, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_in_the_middle_of_a_large_result_harms_no_other(home: Path, kind: str) -> None:
    child = start(home, kind, new_id(), "die_within")
    kept, _ = told(child)
    assert child.returncode < 0
    assert len(kept) == 3
    check(home, kept)
    (run,) = kept_runs(str(home))
    assert (run.packs, run.is_open) == (2, False)
    assert len(gc(str(home), max_age_days=0, budget_bytes=0).removed) == 1
    assert not list((home / "results").iterdir())


def test_processes_keep_results_of_one_run_at_once(home: Path) -> None:
    run = new_id()
    found = [told(child)[0] for child in [start(home, kind, run, "keep") for kind in (*KINDS, *KINDS)]]
    assert [len(kept) for kept in found] == [500] * 4
    for kept in found:
        check(home, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_full_disk_the_rest_is_not_kept_and_what_was_is_whole(tmp_path: Path, kind: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    child = start(disk / "home", kind, new_id(), "fill", prefix=in_a_small_disk(disk, "3000k"))
    kept, unkept = told(child)
    assert child.returncode == 0
    assert 1000 < len(kept) < 20_000
    assert set(unkept.values()) == {"its result cannot be written: No space left on device"}
    assert 20_000 in unkept
    check(f"{disk}.after/home", kept)


def test_a_home_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("nobody refuses this user anything")
    keeper = Keeper(str(folder / "home"), new_id(), new_id())
    assert keeper.keep(1) == "its result cannot be written: Permission denied"


def test_a_folder_of_results_that_is_removed_while_a_run_goes_on_is_made_again(home: Path) -> None:
    import shutil

    keeper = Keeper(str(home), new_id(), new_id())
    lost = keeper.keep("x" * 1000)
    assert isinstance(lost, ResultAt)
    shutil.rmtree(home)
    later = [keeper.keep("x" * 10_000) for _ in range(20)]
    keeper.close()
    with Loader(str(home)) as loader:
        assert isinstance(later[-1], ResultAt)
        assert loader.load(later[-1]) == "x" * 10_000
