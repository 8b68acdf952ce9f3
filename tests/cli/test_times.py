"""Instants and durations in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.cli.times import day_and_time, duration, full_time

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_day_is_named_in_the_readers_zone() -> None:
    now = datetime(2025, 11, 21, 0, 30, tzinfo=UTC)  # 01:30 in Berlin
    assert day_and_time(now - timedelta(minutes=60), now, UTC) == "yesterday 23:30"
    assert day_and_time(now - timedelta(minutes=60), now, BERLIN) == "today 00:30"


def test_an_instant_before_the_clocks_changed_is_told_as_the_clock_showed_it() -> None:
    now = datetime(2025, 10, 26, 12, 0, tzinfo=UTC)  # an hour was doubled in the night
    assert day_and_time(datetime(2025, 10, 25, 23, 0, tzinfo=UTC), now, BERLIN) == "today 01:00"
    assert full_time(datetime(2025, 10, 25, 23, 0, tzinfo=UTC), now, BERLIN) == "2025-10-26 01:00:00 +0200 (today)"


def test_what_is_due_tomorrow_says_so() -> None:
    now = datetime(2025, 11, 21, 12, 0, tzinfo=UTC)
    assert day_and_time(now + timedelta(days=1), now, UTC) == "tomorrow 12:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9994, "999ms"), (0.9996, "1.0s"), (9.949, "9.9s"), (9.95, "10s"), (59.6, "1m 00s"), (3599.6, "1h 00m")],
)
def test_a_duration_never_shows_sixty_of_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(seconds=st.floats(-1, 1e9))
def test_every_duration_is_short(seconds: float) -> None:
    assert 0 < len(duration(seconds)) <= 10


def test_nothing_is_said_of_what_did_not_happen() -> None:
    assert day_and_time(None, datetime.now(UTC)) == full_time(None, datetime.now(UTC)) == duration(None) == ""
