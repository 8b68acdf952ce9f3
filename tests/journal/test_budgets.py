"""When not all can be kept: lines are cut first, counted and marked; then runs go on unrecorded, counted and told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from surefoot.core.clock import get_clock, set_clock
from surefoot.core.errors import HomeUnwritable
from surefoot.journal.home import Home
from surefoot.journal.reading import writers
from surefoot.journal.recorder import Budgets, Recorder
from tests.journal.builders import (
    a_child,
    a_line,
    a_state,
    all_facts,
    cuts,
    ends,
    lines,
    only_writer,
    outcome,
    states,
)
from tests.journal.conftest import Opener

RUN = b"r" * 16


class Later:
    """The machine's clock, some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self.before = get_clock()
        self.ahead_us = int(seconds * 1_000_000)

    def __enter__(self) -> None:
        set_clock(self)

    def __exit__(self, *_: object) -> None:
        set_clock(self.before)

    def now_us(self) -> int:
        return self.before.now_us() + self.ahead_us

    def mono_us(self) -> int:
        return self.before.mono_us() + self.ahead_us

    def sleep(self, seconds: float) -> None:
        self.before.sleep(seconds)

    def wait_s(self, seconds: float) -> float:
        return seconds

    def pause_s(self, seconds: float) -> float:
        return seconds


def used_bytes(home: Home, stream: str) -> int:
    return sum(os.path.getsize(s.path) for f in writers(home) for s in f.segments() if s.stream == stream)


def test_lines_beyond_their_budget_are_cut_counted_and_marked_and_runs_go_on(opener: Opener, place: Home) -> None:
    recorder = opener(logs_bytes=600_000)
    for n in range(20_000):
        recorder.log(a_line(n, flow_run_id=RUN))
        recorder.run(a_state(n))
    assert used_bytes(place, "logs") <= 600_000
    recorder.close()
    folder = only_writer(place)
    kept = lines(folder)
    assert kept == list(range(len(kept)))
    assert 5_000 < len(kept) < 20_000
    assert cuts(folder) == {RUN: 20_000 - len(kept)}
    assert states(folder) == list(range(20_000))
    assert recorder.lost == 0


def test_without_any_budget_for_lines_the_runs_tell_how_many_were_cut(opener: Opener, place: Home) -> None:
    recorder = opener(logs_bytes=0)
    for n in range(50):
        recorder.log(a_line(n, flow_run_id=bytes([n] * 16)))
    recorder.run(a_state(1))
    recorder.close()
    told = cuts(only_writer(place), "runs")
    assert sum(told.values()) == 50
    assert len(told) == 8


def test_lines_go_on_when_there_is_room_again_and_the_mark_stands_where_some_are_missing(
    opener: Opener, place: Home
) -> None:
    other = Recorder(place, Budgets(), may_map=False)
    for n in range(3_000):
        other.log(a_line(n, message="x" * 100))
    other.close()
    used = used_bytes(place, "logs")
    recorder = opener(logs_bytes=used + 1000)
    for n in range(10):
        recorder.log(a_line(n, flow_run_id=RUN))
    assert lines(writers(place)[1]) == []
    shutil.rmtree(writers(place)[0].path)
    recorder.log(a_line(10))  # too soon to look again
    with Later(1.1):
        recorder.log(a_line(11))
    recorder.close()
    folder = only_writer(place)
    assert lines(folder) == [11]
    assert cuts(folder) == {RUN: 10, None: 1}
    names = [type(fact).__name__ for fact in all_facts(folder, "logs")]
    assert names == ["SegmentOpened", "LogsCut", "LogsCut", "LogWritten", "WriterEnded"]


def test_run_facts_beyond_their_budget_are_lost_counted_and_told_once(
    opener: Opener, place: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = opener(runs_bytes=400_000)
    for n in range(10_000):
        recorder.run(a_state(n))
    kept = states(only_writer(place))
    assert kept == list(range(len(kept)))
    assert recorder.lost == 10_000 - len(kept) > 0
    recorder.close()
    assert [end.lost for end in ends(only_writer(place), "runs")] == [recorder.lost]
    said = capsys.readouterr().err
    assert said.count("surefoot:") == 1
    assert "SUREFOOT_JOURNAL_RUNS_BUDGET_BYTES" in said
    assert place.path in said


def test_on_full_fail_raises_where_a_run_fact_cannot_be_written(opener: Opener) -> None:
    recorder = opener(runs_bytes=400_000, on_full="fail")
    fact = a_state(0, message="x" * 300_000)
    recorder.run(a_state(1, message="x" * 100_000))
    with pytest.raises(HomeUnwritable, match="no room for run facts"):
        recorder.run(fact)
    assert recorder.lost == 1


def test_on_full_fail_refuses_to_open_where_there_is_no_room_at_all(opener: Opener) -> None:
    with pytest.raises(HomeUnwritable, match="no room for run facts"):
        opener(runs_bytes=1000, on_full="fail")


def test_a_fact_too_large_for_what_is_left_is_lost_alone(opener: Opener, place: Home) -> None:
    recorder = opener(runs_bytes=400_000)
    recorder.run(a_state(0))
    recorder.run(a_state(1, message="x" * 1_000_000))
    recorder.run(a_state(2))
    assert recorder.lost == 1
    recorder.close()
    assert states(only_writer(place)) == [0, 2]


def test_what_other_writers_of_the_home_hold_counts(opener: Opener, place: Home) -> None:
    for _ in range(3):
        recorder = opener()
        for n in range(2_000):
            recorder.run(a_state(n))
        recorder.close()
    used = used_bytes(place, "runs")
    last = opener(runs_bytes=used + 100_000)
    for n in range(5_000):
        last.run(a_state(n))
    assert last.lost > 3_000
    assert used_bytes(place, "runs") <= used + 100_000


@pytest.mark.parametrize("limit", ["20000", "100000"])
@pytest.mark.parametrize("kind", ["mapped", "written"])
def test_where_files_may_not_grow_the_run_goes_on(place: Home, kind: str, limit: str) -> None:
    pytest.importorskip("resource")
    child = a_child(place, "limited", kind, limit)
    said, err = outcome(child)
    assert child.returncode == 0, err
    folder = only_writer(place)
    kept = states(folder)
    assert kept == list(range(len(kept)))
    assert len(kept) + int(said[-1]) == 10_000
    assert err.count("surefoot:") == (len(kept) < 10_000)
    assert not [segment for segment in folder.segments() if os.path.getsize(segment.path) > int(limit)]


def in_a_small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """What to put before a command so that it finds a tmpfs of that size at `folder`; at its end that is copied.

    Skips the test where that may not be mounted.
    """
    mount = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && "$@"'
    script = f'{mount}; code=$?; cp -a "{folder}" "{folder}.after"; exit $code'
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("NOT TESTED HERE, a full disk: there is no `unshare`")
    shutil.rmtree(f"{folder}.after", ignore_errors=True)
    if tried.returncode:
        pytest.skip(f"NOT TESTED HERE, a full disk: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("kind", ["mapped", "written"])
def test_on_a_full_disk_lines_are_cut_and_the_runs_are_complete(tmp_path: Path, kind: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    child = a_child(Home(str(disk / "home")), "fill", kind, prefix=in_a_small_disk(disk, "3000k"))
    said, err = outcome(child)
    assert child.returncode == 0, err
    assert said == ["0"]
    assert not err
    folder = only_writer(Home(f"{disk}.after/home"))
    kept_lines = lines(folder)
    assert states(folder) == list(range(10_000))
    assert kept_lines == list(range(len(kept_lines)))
    assert cuts(folder) == {None: 80_000 - len(kept_lines)}


@pytest.mark.parametrize("kind", ["mapped", "written"])
def test_on_a_disk_too_small_for_anything_the_run_goes_on(tmp_path: Path, kind: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    child = a_child(Home(str(disk / "home")), "fill", kind, prefix=in_a_small_disk(disk, "400k"))
    said, err = outcome(child)
    assert child.returncode == 0, err
    kept = states(only_writer(Home(f"{disk}.after/home")))
    assert 0 < len(kept) < 10_000
    assert kept == list(range(len(kept)))
    assert len(kept) + int(said[-1]) == 10_000
    assert "No space left on device. Free disk space." in err
