"""The timeline of a flow run as text: a bar for each run or group of runs, on one scale. May import: click, core."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from surefoot.cli.table import Cell, dim, fitted, heading, one_line, padded, paint, width_of
from surefoot.cli.times import duration

__all__ = ["Bar", "timeline"]

_GAP: Final = 2
_NARROWEST_BAR: Final = 16
_WIDTH: Final = 100  # where the output is no terminal


class Bar(NamedTuple):
    """One line of a timeline."""

    label: str
    state: Cell
    begin: datetime | None  # None: it never started
    end: datetime | None  # None: it goes on
    took: float | None = None  # seconds, where that is known better than from begin and end
    is_least: bool = False  # whether it may have taken longer


def timeline(bars: Sequence[Bar], now: datetime, *, width: int | None = None, block: str = "█") -> list[str]:
    """The lines of a timeline that spans from the first begin to the last end, or to `now` while something goes on.

    >>> import click
    >>> from datetime import timedelta, timezone
    >>> t = datetime(2025, 3, 5, 1, 0, tzinfo=timezone.utc)
    >>> bars = [Bar("dump", Cell("Completed"), t, t + timedelta(seconds=30)),
    ...         Bar("upload", Cell("Failed"), t + timedelta(seconds=30), t + timedelta(seconds=60))]
    >>> for line in timeline(bars, t, width=60, block="="):
    ...     click.echo(line)
    TASK    STATE      TOOK  0s                           1m 00s
    dump    Completed   30s  =================
    upload  Failed      30s                   ==================
    """
    begin, end = _span(bars, now)
    durations = [duration(_took(bar, now), is_least=bar.is_least) for bar in bars]
    labels = [one_line(bar.label) for bar in bars]
    states = [one_line(bar.state.text) for bar in bars]
    took_width = max(map(len, [*durations, "TOOK"]))
    room = (width or _WIDTH) - took_width - 3 * _GAP
    wanted = [max(map(width_of, [*labels, "TASK"])), max(map(width_of, [*states, "STATE"]))]
    label_width, state_width = fitted(wanted, room - _NARROWEST_BAR)
    track = max(room - label_width - state_width, _NARROWEST_BAR)

    total = duration((end - begin).total_seconds()) if begin and end else ""
    scale = f"0s{total:>{track - 2}}" if total else ""
    gap = " " * _GAP
    head = gap.join([f"{'TASK':<{label_width}}", f"{'STATE':<{state_width}}", f"{'TOOK':>{took_width}}"])
    lines = [heading(head) + (gap + dim(scale) if scale else "")]
    for bar, label, state, took in zip(bars, labels, states, durations, strict=True):
        parts = [
            padded(label, label_width),
            paint(padded(state, state_width), bar.state.colour),
            f"{took:>{took_width}}",
            paint(_stripe(bar, begin, end, now, track, block), bar.state.colour),
        ]
        lines.append(gap.join(parts).rstrip())
    return lines


def _took(bar: Bar, now: datetime) -> float | None:
    if bar.took is not None or bar.begin is None:
        return bar.took
    return ((bar.end or now) - bar.begin).total_seconds()


def _span(bars: Sequence[Bar], now: datetime) -> tuple[datetime | None, datetime | None]:
    begins = [bar.begin for bar in bars if bar.begin]
    ends = [bar.end or now for bar in bars if bar.begin]
    return (min(begins), max(ends)) if begins else (None, None)


def _stripe(bar: Bar, begin: datetime | None, end: datetime | None, now: datetime, track: int, block: str) -> str:
    if bar.begin is None or begin is None or end is None:
        return ""
    span = (end - begin).total_seconds() or 1.0
    first = min(int((bar.begin - begin).total_seconds() / span * track), track - 1)
    last = min(int(((bar.end or now) - begin).total_seconds() / span * track), track)
    return " " * first + block * max(last - first, 1)
