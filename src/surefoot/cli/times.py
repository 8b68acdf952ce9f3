"""Instants and durations as people say them. May import: the standard library."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

__all__ = ["clock_time", "day_and_time", "duration", "full_time", "instant_before"]

_DAYS: Final = {-1: "yesterday", 0: "today", 1: "tomorrow"}


def day_and_time(instant: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """When something was, seen from `now`, in `zone` (None: the machine's own); empty for None.

    >>> from datetime import timezone
    >>> now = datetime(2025, 3, 5, 9, 30, tzinfo=timezone.utc)
    >>> [day_and_time(now - timedelta(hours=h), now, timezone.utc) for h in (8, 32, 80)]
    ['today 01:30', 'yesterday 01:30', 'Sun 2 Mar 01:30']
    >>> day_and_time(now - timedelta(days=400), now, timezone.utc)
    '30 Jan 2024 09:30'
    """
    if instant is None:
        return ""
    here = instant.astimezone(zone)
    days = (here.date() - now.astimezone(zone).date()).days
    if days in _DAYS:
        return f"{_DAYS[days]} {here:%H:%M}"
    if abs(days) < 300:
        return f"{here:%a} {here.day} {here:%b %H:%M}"
    return f"{here.day} {here:%b %Y %H:%M}"


def full_time(instant: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """An instant to the second, with its day in words where it is near.

    >>> from datetime import timezone
    >>> now = datetime(2025, 3, 5, 9, 30, tzinfo=timezone.utc)
    >>> full_time(now, now, timezone.utc)
    '2025-03-05 09:30:00 +0000 (today)'
    """
    if instant is None:
        return ""
    here = instant.astimezone(zone)
    day = _DAYS.get((here.date() - now.astimezone(zone).date()).days)
    return f"{here:%Y-%m-%d %H:%M:%S %z}" + (f" ({day})" if day else "")


def clock_time(instant: datetime, zone: tzinfo | None = None) -> str:
    """An instant to the millisecond, as lines of a log have it.

    >>> from datetime import timezone
    >>> clock_time(datetime(2025, 3, 5, 9, 30, 1, 5999, tzinfo=timezone.utc), timezone.utc)
    '2025-03-05 09:30:01.005'
    """
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def duration(seconds: float | None, *, is_least: bool = False) -> str:
    """How long something took, in at most two units; empty for None. `is_least`: it may have taken longer.

    >>> [duration(s) for s in (0.0004, 0.25, 4.23, 11, 252, 7500, 187_200)]
    ['<1ms', '250ms', '4.2s', '11s', '4m 12s', '2h 05m', '2d 04h']
    """
    if seconds is None:
        return ""
    if is_least:
        return f">{'0ms' if seconds < 0.0005 else duration(seconds)}"
    seconds = max(seconds, 0.0)
    if 0 < seconds < 0.0005:
        return "<1ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = timedelta(seconds=round(seconds))
    hours, rest = divmod(whole.seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if whole.days:
        return f"{whole.days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    if minutes:
        return f"{minutes}m {rest:02}s"
    return f"{rest}s"


_AGE: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def instant_before(text: str, now: datetime) -> datetime:
    """The instant that people mean by an age (`30d`), or by a day or instant of ISO 8601, here local if it has no zone.

    Raises ValueError for anything else.

    >>> from datetime import timezone
    >>> now = datetime(2025, 3, 5, 9, 30, tzinfo=timezone.utc)
    >>> str(instant_before("12h", now)), str(instant_before("2025-01-31T10:00Z", now).astimezone(timezone.utc))
    ('2025-03-04 21:30:00+00:00', '2025-01-31 10:00:00+00:00')
    """
    age = _AGE.fullmatch(text.strip().lower())
    if age is None:
        return datetime.fromisoformat(text.strip()).astimezone()
    try:
        return now - timedelta(seconds=float(age[1]) * _SECONDS[age[2]])
    except OverflowError:
        raise ValueError from None
