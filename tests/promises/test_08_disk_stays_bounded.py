"""Promise 8: disk stays bounded with default settings, also where nobody ever reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from surefoot.client.upkeep import upkeep
from surefoot.core import settings
from surefoot.core.clock import SystemClock, get_clock, set_clock
from surefoot.core.os.locks import is_locked
from surefoot.core.settings import temporary_settings
from surefoot.journal.backlog import UPKEEP
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from surefoot.ledger import Ledger
from surefoot.ledger.tables import summaries
from tests.client.builders import a_flow_run, a_line, a_task_run
from tests.journal.builders import eventually

DAY_US = 86_400_000_000
LONG = (pytest.mark.long, pytest.mark.timeout(7200))  # half an hour on an idle machine


class Calendar(SystemClock):
    """A clock that a test moves by days."""

    def __init__(self) -> None:
        self.by_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.by_us


@pytest.fixture
def calendar() -> Iterator[Calendar]:
    clock = Calendar()
    before = set_clock(clock)
    yield clock
    set_clock(before)


def size_of(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def live_a_day(place: Home, runs: int) -> None:
    """One process that runs so many flows, each with a task and two lines."""
    recorder = Recorder(place)
    for _ in range(runs):
        began_us = get_clock().now_us()
        flow = a_flow_run(began_us=began_us)
        task = a_task_run(flow, began_us=began_us)
        for fact in (*flow, *task):
            recorder.run(fact)
        recorder.log(a_line(flow, "one of two lines that this run logs, about as long as lines are in life"))
        recorder.log(a_line(task, "the other of two lines that this run logs, about as long as lines are"))
    recorder.close()


def summed(home: Path) -> int:
    with Ledger.open(home / "ledger.db") as ledger, ledger.read() as connection:
        return int(connection.execute(select(func.sum(summaries.c.runs)).where(summaries.c.is_task == 0)).scalar() or 0)


@pytest.mark.parametrize(
    ("days", "per_day", "ages"),
    [
        pytest.param(150, 6, {}, id="default ages"),
        pytest.param(90, 28_800, {"retention.runs_days": 10, "retention.logs_days": 5}, id="20 a minute", marks=LONG),
    ],
)
def test_size_is_flat_after_the_retention_age(
    home: Path, calendar: Calendar, days: int, per_day: int, ages: dict[str, object]
) -> None:
    place = Home(str(home))
    place.ensure()
    with temporary_settings(ages):
        current = settings.refresh()
        age = round(current.retention.runs_days or 0)
        sizes = []
        for day in range(days):
            calendar.by_us += DAY_US
            live_a_day(place, per_day)
            if day % 5 == 4:
                upkeep(current)
                sizes.append(size_of(home))
    kept = (age + 1) // 5 + 2  # after so many looks the oldest runs have begun to go
    flat = sizes[kept:]
    upkeep(current)  # what the last one had no time for
    assert len(flat) >= 8
    assert max(flat) <= min(flat) * 1.15
    assert os.listdir(place.writers_path) == []
    with Ledger.open(home / "ledger.db") as ledger:
        rows = ledger.contents().rows
    assert age * per_day <= rows["flow_runs"] == rows["task_runs"] <= (age + 1) * per_day
    assert rows["flow_runs"] + summed(home) == days * per_day
    logs_days = round(current.retention.logs_days or 0) if not ages else 5
    assert logs_days * per_day * 2 <= rows["logs"] <= (logs_days + 1) * per_day * 2
    assert rows["positions"] <= 40, "of journals that are gone, nothing is kept for long"
    assert rows["writers"] <= age + 2


NIGHT = """
import logging, sys
from surefoot import flow, task
from surefoot.core.clock import SystemClock, set_clock

class Then(SystemClock):
    def now_us(self):
        return super().now_us() - int(sys.argv[1]) * 86_400_000_000

set_clock(Then())
made = logging.getLogRecordFactory()

def then(*args, **kwargs):
    record = made(*args, **kwargs)
    record.created -= int(sys.argv[1]) * 86_400
    return record

logging.setLogRecordFactory(then)

@task
def copy(n):
    print("copying", n)
    return bytes(1000)

@flow(log_prints=True)
def nightly():
    for n in range(5):
        copy(n)

nightly()
"""


@pytest.mark.parametrize(
    "nights",
    [
        pytest.param([364, 91, 89, 13, 1], id="some"),
        pytest.param(list(range(365, 0, -1)), id="every night", marks=LONG),
    ],
)
def test_a_year_of_nightly_runs_at_which_nobody_looks_leaves_a_small_correct_home(
    home: Path, nights: list[int]
) -> None:
    environ = {**os.environ, "SUREFOOT_LEDGER_FOLD_AT_EXIT": "true"}
    lock = home / UPKEEP
    for days_ago in nights:
        if lock.exists():
            os.utime(lock, (1.7e9, 1.7e9))  # the night before is one of real time, too
        command = [sys.executable, "-c", NIGHT, str(days_ago)]
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
        if lock.exists():
            with open(lock, "rb") as file:
                eventually(lambda: not os.listdir(home / "writers") and not is_locked(file.fileno()), 60)
    # Nobody has looked so far. Now somebody does.
    listing = [sys.executable, "-m", "surefoot", "flow-run", "ls", "--limit", "0", "-o", "json"]
    runs = json.loads(subprocess.run(listing, check=True, capture_output=True, timeout=60).stdout)
    kept = [days_ago for days_ago in nights if days_ago < 90]
    assert len(runs) == len(kept)
    assert {run["state_name"] for run in runs} == {"Completed"}
    with Ledger.open(home / "ledger.db") as ledger:
        rows = ledger.contents().rows
    assert rows["flow_runs"] + summed(home) == len(nights)
    assert rows["task_runs"] == 5 * len(kept)
    recent = [days_ago for days_ago in nights if days_ago < 14]
    assert 5 * len(recent) <= rows["logs"] <= 10 * len(recent)
    assert os.listdir(home / "writers") == []
    assert size_of(home) < 2_000_000
    assert sum(path.is_file() for path in home.rglob("*")) < 20 + len(kept)
