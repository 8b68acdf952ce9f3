"""A home is seen to when a process ends and finds much, or old, journal; and on request. One process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.client.upkeep import Upkept, alone, upkeep
from surefoot.core import settings
from surefoot.core.clock import SystemClock, get_clock, set_clock
from surefoot.core.os.locks import is_locked
from surefoot.core.settings import temporary_settings
from surefoot.journal.backlog import UPKEEP, is_due, note_upkeep, upkeep_us
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from surefoot.ledger import Ledger
from surefoot.results.packs import run_folder
from tests.client.builders import a_flow_run, a_line, a_task_run, id_of
from tests.journal.builders import eventually

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MUCH = 64 << 20


class Shifted(SystemClock):
    """A clock that is so far ahead of the machine's."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.by_us


@pytest.fixture
def clock() -> Iterator[Shifted]:
    shifted = Shifted()
    before = set_clock(shifted)
    yield shifted
    set_clock(before)


@pytest.fixture
def place(home: Path) -> Home:
    place = Home(str(home))
    place.ensure()
    return place


def record(place: Home, *, lines: int = 1) -> None:
    """A process that ran a flow and ended."""
    recorder = Recorder(place)
    run = a_flow_run(began_us=get_clock().now_us())
    for fact in run:
        recorder.run(fact)
    for number in range(lines):
        recorder.log(a_line(run, f"line {number}"))
    recorder.close()


# -- whether it is due


def test_nothing_is_due_where_little_lies_and_the_last_upkeep_is_recent(place: Home, clock: Shifted) -> None:
    assert not is_due(place, MUCH, 12 * HOUR_US), "a home in which nobody ran anything"
    record(place)
    assert not is_due(place, MUCH, 12 * HOUR_US)
    note_upkeep(place)
    clock.by_us = 11 * HOUR_US
    assert not is_due(place, MUCH, 12 * HOUR_US)


def test_what_is_old_is_due_and_again_when_a_clock_was_set_back(place: Home, clock: Shifted) -> None:
    record(place)
    clock.by_us = 12 * HOUR_US
    assert is_due(place, MUCH, 12 * HOUR_US), "the first upkeep, so long after the oldest journal was begun"
    note_upkeep(place)
    assert upkeep_us(place) == pytest.approx(get_clock().now_us(), abs=10**7)
    assert not is_due(place, MUCH, 12 * HOUR_US)
    clock.by_us = 0
    assert is_due(place, MUCH, 12 * HOUR_US)


def test_much_is_due_in_bytes_or_in_folders_but_not_twice_in_a_minute(place: Home, clock: Shifted) -> None:
    record(place, lines=100)
    assert is_due(place, 3000, 12 * HOUR_US)
    note_upkeep(place)
    assert not is_due(place, 3000, 12 * HOUR_US), "one has just begun"
    clock.by_us = HOUR_US
    assert is_due(place, 3000, 12 * HOUR_US)
    assert not is_due(place, MUCH, 12 * HOUR_US)
    for number in range(201):
        os.mkdir(os.path.join(place.writers_path, f"{number:032x}"))
    assert is_due(place, MUCH, 12 * HOUR_US)


# -- what it does


def test_it_folds_all_then_deletes_and_removes_what_is_too_old(place: Home, clock: Shifted, home: Path) -> None:
    clock.by_us = -100 * DAY_US
    record(place)
    clock.by_us = -20 * DAY_US
    record(place)
    clock.by_us = 0
    record(place)
    old = [home / "damaged" / "piece", home / "ledger.db.before-0004"]
    young = home / "damaged" / "another"
    (home / "damaged").mkdir()
    for path in (*old, young):
        path.write_text("12345")
    for path in old:
        os.utime(path, (1.7e9, 1.7e9))
    done = upkeep(settings.refresh())
    assert done == Upkept(
        folded=done.folded, flow_runs_deleted=1, logs_deleted=2, files_removed=2, bytes_freed=10, troubles=[]
    )
    assert done.folded > 15
    assert young.is_file()
    assert os.listdir(place.writers_path) == []
    with closing(get_client()) as client:
        assert len(client.flow_runs().results) == 2
        assert len(client.logs().results) == 1
        (flow,) = client.flows().results
    assert flow.run_count == 3


def test_results_that_are_too_old_go_but_not_those_of_a_run_that_goes_on(place: Home, home: Path) -> None:
    recorder = Recorder(place)
    paused, over = a_flow_run("paused", state="Running"), a_flow_run("over")
    for fact in (*paused, *over):
        recorder.run(fact)
    packs = [home / run_folder(id_of(run)) / f"{bytes(16).hex()}.pack" for run in (paused, over)]
    for pack in packs:
        pack.parent.mkdir(parents=True)
        pack.write_bytes(b"1234567")
        for path in (pack, pack.parent):
            os.utime(path, (1.7e9, 1.7e9))
    done = upkeep(settings.refresh())
    recorder.close()
    assert (done.results_removed, done.bytes_freed) == (1, 7)
    assert [pack.exists() for pack in packs] == [True, False]


def test_ages_can_be_set_and_left_out(place: Home, clock: Shifted, home: Path) -> None:
    clock.by_us = -1000 * DAY_US
    record(place)
    clock.by_us = -2 * DAY_US
    record(place)
    clock.by_us = 0
    forever: dict[str, object] = {"retention.runs_days": None, "retention.logs_days": None}
    with temporary_settings(forever):
        assert upkeep(settings.refresh()).flow_runs_deleted == 0
    with temporary_settings({"retention.runs_days": 1, "retention.logs_days": 0.5}):
        assert upkeep(settings.refresh()).flow_runs_deleted == 2


def test_a_long_fold_is_done_in_pieces_and_told(place: Home) -> None:
    recorder = Recorder(place)
    flow = a_flow_run("large", state="Running")
    for fact in flow:
        recorder.run(fact)
    for number in range(20_000):
        for fact in a_task_run(flow, f"upload-{number}"):
            recorder.run(fact)
    recorder.close()
    told: list[tuple[int, int]] = []
    done = upkeep(settings.refresh(), lambda folded, left: told.append((folded, left)))
    assert done.folded > 60_000
    assert done.behind == 0
    assert len(told) > 1
    assert told == sorted(told)
    assert all(left > 0 for _, left in told)


def test_a_reader_gets_its_turn_while_another_process_folds_at_length(place: Home, home: Path) -> None:
    recorder = Recorder(place)
    flow = a_flow_run("large", state="Running")
    for fact in flow:
        recorder.run(fact)
    for number in range(30_000):
        for fact in a_task_run(flow, f"upload-{number}"):
            recorder.run(fact)
    recorder.close()
    folding = subprocess.Popen([sys.executable, "-m", "surefoot", "db", "fold"], stdout=subprocess.DEVNULL)
    answers = 0
    with closing(get_client()) as client:
        while folding.poll() is None:
            client.flow_runs()
            answers += 1
            if client.behind:
                assert not client.troubles
    assert folding.returncode == 0
    assert answers > 2


def test_only_one_sees_to_a_home_at_a_time(place: Home) -> None:
    with alone(place, wait=False) as first:
        assert first
        with alone(place, wait=False) as second:
            assert not second
    with alone(place, wait=True) as third:
        assert third


# -- who starts it

PROGRAM = """
import os, sys
from surefoot import flow
from surefoot.settings import temporary_settings
@flow
def nightly():
    print("done")
nightly()
"""


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Callable[..., None]:
    def call(**env: str) -> None:
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "SUREFOOT_LEDGER_FOLD_AT_EXIT": "true", **env},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=True,
        )

    return call


def is_over(home: Path) -> bool:
    """Whether the process that was started has ended."""
    with open(home / UPKEEP, "rb") as file:
        return not is_locked(file.fileno())


def test_a_process_that_ends_has_old_journal_folded_by_one_that_it_does_not_wait_for(
    run: Callable[..., None], place: Home, home: Path
) -> None:
    run()
    assert len(os.listdir(place.writers_path)) == 1
    assert upkeep_us(place) is None, "nothing was due"
    note_upkeep(place)
    os.utime(home / UPKEEP, (1.7e9, 1.7e9))
    (home / "damaged").mkdir()
    (home / "damaged" / "piece").write_text("old enough")
    os.utime(home / "damaged" / "piece", (1.7e9, 1.7e9))
    run(SUREFOOT_RETENTION_ASIDE_DAYS="400")
    eventually(lambda: os.listdir(place.writers_path) == [] and is_over(home), 60)
    with Ledger.open(home / "ledger.db") as ledger:
        assert ledger.contents().rows["flow_runs"] == 2
    assert not (home / "damaged" / "piece").exists(), "1.7e9 s is longer ago than 400 days"


def test_it_is_not_started_where_a_setting_forbids_it(run: Callable[..., None], place: Home, home: Path) -> None:
    note_upkeep(place)
    os.utime(home / UPKEEP, (1.7e9, 1.7e9))
    run(SUREFOOT_LEDGER_FOLD_AT_EXIT="false")
    assert upkeep_us(place) == 1_700_000_000_000_000
    assert not (home / "ledger.db").exists()


def test_what_the_program_itself_set_counts_for_it_too(
    place: Home, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The home is named in code, and in no place that a new process would look into.
    other = tmp_path / "other"
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_AT_EXIT", "true")
    code = PROGRAM.rpartition("nightly()")[0] + (
        "with temporary_settings({'home': sys.argv[1], 'ledger.fold_at_exit_bytes': 1}):\n    nightly()\n"
    )
    subprocess.run([sys.executable, "-c", code, other], check=True, capture_output=True, timeout=60)
    eventually(lambda: (other / "ledger.db").exists() and os.listdir(other / "writers") == [] and is_over(other), 60)
    assert not (home / "ledger.db").exists()


def test_what_is_in_the_way_of_an_upkeep_harms_no_process_that_ends(
    run: Callable[..., None], place: Home, home: Path
) -> None:
    (home / UPKEEP).mkdir()
    os.utime(home / UPKEEP, (1.7e9, 1.7e9))
    run()
    assert len(os.listdir(place.writers_path)) == 1


def test_the_command_tells_what_it_did(home: Path, place: Home) -> None:
    record(place)
    done = subprocess.run(
        [sys.executable, "-m", "surefoot", "db", "fold", "-o", "json"], capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["folded"] > 5
