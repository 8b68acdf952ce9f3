"""What the settings of messages (`notify.*`) may be: URLs of targets, tables by flow and by tag, times of the day.

Loaded where one of them is set. May import: core.settings.kinds, core.targets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec

from surefoot.core.settings.kinds import Unusable
from surefoot.core.targets import BadTarget, parse_target, split_targets

__all__ = ["EVENTS", "Due", "parse_due", "read_expect", "read_rules", "read_targets", "read_zone"]

EVENTS: Final = ("on_failure", "on_crash", "on_recovery", "on_success")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES_MAX: Final = 1000
_TARGETS_MAX: Final = 20


def read_targets(raw: Any) -> list[str]:
    """The URLs of a list, or of text in which commas separate them. Raises Unusable, which shows no secret."""
    parts = split_targets(raw) if isinstance(raw, str) else raw
    if not isinstance(parts, list) or len(parts) > _TARGETS_MAX:
        raise ValueError
    for number, part in enumerate(parts):
        try:
            parse_target(part)
        except BadTarget as error:
            scheme = part.partition("://")[0] if isinstance(part, str) and "://" in part[:40] else ""
            which = f"[{number}] = {scheme}{'://' if scheme else ''}********"
            raise Unusable("", f"{which} {error.what}.", error.do) from None
    return [part.strip() for part in parts]


def read_rules(raw: Any) -> dict[str, dict[str, list[str]]]:
    """A table for each name, of lists of URLs by event."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, rules in _table(raw).items():
        if not isinstance(rules, Mapping):
            raise Unusable(f".{name}", " is no table.", 'Write it with lines such as on_failure = ["smtp://..."].')
        found[name] = {}
        for event, urls in rules.items():
            if event not in EVENTS:
                near = get_close_matches(event, EVENTS, n=1, cutoff=0.0)[0]
                raise Unusable(f".{name}.{event}", " has no meaning there.", f"The nearest valid name is {near}.")
            found[name][event] = _within(f".{name}.{event}", read_targets, urls, "URLs, in a list")
    return found


class Due(NamedTuple):
    """Until when a flow has to have completed, and on which days: 0 is Monday."""

    hour: int
    minute: int
    days: frozenset[int]


def parse_due(text: Any) -> Due:
    """A time of the day, on some days of the week or on all. Raises ValueError.

    >>> parse_due("07:30 mon-fri").minute, sorted(parse_due("7:00 sat,sun").days), len(parse_due("23:59").days)
    (30, [5, 6], 7)
    """
    found = re.fullmatch(r"(\d{1,2}):(\d\d)(?:\s+([a-z,\-]+))?", text.strip().lower()) if type(text) is str else None
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError
    days: set[int] = set()
    for part in found[3].split(",") if found[3] else ["mon-sun"]:
        first, dash, last = part.partition("-")
        begin, end = _DAYS.index(first), _DAYS.index(last if dash else first)  # ValueError for what is no day
        days |= {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    return Due(int(found[1]), int(found[2]), frozenset(days))


def read_expect(raw: Any) -> dict[str, str]:
    """A time of the day for each flow, as it was written."""
    found = {}
    for name, text in _table(raw).items():
        try:
            parse_due(text)
        except ValueError:
            raise Unusable(
                f".{name}", f" = {str(text)[:40]!r} is no time of the day.", 'Write it as "07:00", or "07:00 mon-fri".'
            ) from None
        found[name] = text.strip()
    return found


def read_zone(raw: Any) -> str:
    """The name of a time zone. Raises ValueError for one that there is not."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if not isinstance(raw, str) or not raw.strip():
        raise ValueError
    try:
        return ZoneInfo(raw.strip()).key
    except (ZoneInfoNotFoundError, OSError):  # a name such as "Europe" is a folder
        raise ValueError from None


def _table(raw: Any) -> Mapping[str, Any]:
    if raw == "":
        return {}
    if isinstance(raw, str):
        try:
            raw = msgspec.json.decode(raw)
        except msgspec.MsgspecError:
            raise ValueError from None
    if not isinstance(raw, Mapping) or len(raw) > _NAMES_MAX or not all(isinstance(name, str) for name in raw):
        raise ValueError
    return raw


def _within(where: str, read: Callable[[Any], list[str]], raw: Any, expected: str) -> list[str]:
    try:
        return read(raw)
    except Unusable as error:
        raise Unusable(where + error.where, error.what, error.do) from None
    except ValueError:
        raise Unusable(where, " cannot be used.", f"Expected {expected}.") from None
