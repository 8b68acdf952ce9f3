"""The timeline as text."""

from datetime import UTC, datetime, timedelta

import click

from surefoot.cli.table import Cell, width_of
from surefoot.cli.timeline import Bar, timeline

T = datetime(2025, 11, 21, 1, 0, tzinfo=UTC)
DONE = Cell("Completed", "green")


def drawn(bars: list[Bar], now: datetime = T, width: int = 80) -> list[str]:
    return [click.unstyle(line) for line in timeline(bars, now, width=width, block="=")]


def test_bars_stand_where_the_runs_were() -> None:
    lines = drawn(
        [
            Bar("a", DONE, T, T + timedelta(seconds=10)),
            Bar("b", DONE, T + timedelta(seconds=10), T + timedelta(seconds=20)),
        ]
    )
    first, second = (line[line.rindex("10s") + 3 :] for line in lines[1:])
    assert first.rstrip().endswith("=")
    assert len(first) < len(second)
    assert len(second) - len(second.lstrip()) >= len(first.rstrip()) - 1


def test_a_run_that_goes_on_reaches_to_now() -> None:
    lines = drawn([Bar("a", Cell("Running"), T, None)], now=T + timedelta(seconds=90))
    assert "1m 30s" in lines[1]
    assert width_of(lines[1]) == 80


def test_a_run_that_never_started_has_no_bar() -> None:
    lines = drawn([Bar("a", DONE, T, T + timedelta(seconds=1)), Bar("load", Cell("NotReady"), None, None)])
    assert lines[2] == "load  NotReady"


def test_an_instant_is_still_seen() -> None:
    assert drawn([Bar("a", DONE, T, T)])[1].endswith("=")


def test_runs_that_all_wait_have_no_scale() -> None:
    assert drawn([Bar("a", Cell("Pending"), None, None)]) == ["TASK  STATE    TOOK", "a     Pending"]


def test_long_names_give_way_to_the_bars() -> None:
    lines = drawn([Bar("n" * 200, DONE, T, T + timedelta(seconds=1))], width=60)
    assert "…" in lines[1]
    assert all(width_of(line) <= 60 for line in lines)
