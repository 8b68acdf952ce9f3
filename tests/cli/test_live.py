"""The line that tells how a run is doing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from surefoot.cli.live import Progress
from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, RunCounts, State

BEGAN = datetime(2025, 11, 21, 1, 0, tzinfo=UTC)


class Hand(SystemClock):
    """A clock that is moved by hand."""

    at_us = 0

    def mono_us(self) -> int:
        return self.at_us


@pytest.fixture
def hand() -> Iterator[Hand]:
    hand = Hand()
    before = set_clock(hand)
    yield hand
    set_clock(before)


def run(state_type: StateType = StateType.RUNNING, name: str = "Running") -> FlowRun:
    state = State(id="s", type=state_type, name=name, timestamp=BEGAN)
    return FlowRun(
        id="r",
        name="brave-otter",
        flow_id="f",
        flow_name="grid",
        state_id="s",
        state_type=state_type,
        state_name=name,
        state=state,
        expected_start_time=BEGAN,
        start_time=BEGAN,
        created=BEGAN,
        updated=BEGAN,
    )


def counts(**by_name: int) -> RunCounts:
    return RunCounts(by_name=by_name, total=sum(by_name.values()))


def test_it_counts_what_is_done_running_waiting_and_failed(hand: Hand) -> None:
    seen = counts(Completed=1000, Cached=200, Failed=3, Running=8, Pending=90, AwaitingRetry=1)
    line = Progress().line(run(), seen, BEGAN.replace(minute=1, second=12))
    assert line == "brave-otter   Running   1m 12s   1,203 done | 8 running | 91 waiting | 3 failed"


def test_rate_and_time_left_come_from_what_was_seen(hand: Hand) -> None:
    progress = Progress()
    progress.line(run(), counts(Completed=100, Pending=900), BEGAN)
    hand.at_us = 10_000_000
    assert progress.line(run(), counts(Completed=300, Pending=700), BEGAN).endswith("20/s | about 35s left")


def test_a_run_without_tasks_shows_only_how_long(hand: Hand) -> None:
    assert Progress().line(run(), counts(), BEGAN.replace(second=5)) == "brave-otter   Running   5.0s"


def test_names_of_users_count_as_done(hand: Hand) -> None:
    assert "2 done" in Progress().line(run(), counts(Weird=2), BEGAN)
