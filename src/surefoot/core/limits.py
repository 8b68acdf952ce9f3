"""Limits: who is given slots next, and when a rate has room again. The one rule, wherever they are kept.

Those who ask stand in a line for each limit (and each key of it) that they need, in the order of their rank and then of
a number that they have in all their lines. Whoever stands first in every one of them, and fits into every one, is
given all at once. So nobody is overtaken, and several limits at once cannot deadlock: the very first of all waits for
holders only. May import: core.errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from surefoot.core.errors import BadInput

__all__ = [
    "GONE_AFTER_US",
    "LEASE_S_MAX",
    "LEASE_S_MIN",
    "SLOTS_MAX",
    "TAG",
    "WAIT_LEASE_US",
    "Answer",
    "Asked",
    "Book",
    "LimitKey",
    "LimitOptionError",
    "Rate",
    "Reserved",
    "Settled",
    "Turn",
    "Waiting",
    "checked_count",
    "checked_name",
    "decay_us",
    "rate_of",
    "rate_text",
    "settle",
]

WAIT_LEASE_US: Final = 30_000_000  # how long a place in a line lasts without being renewed
GONE_AFTER_US: Final = 86_400_000_000  # a holder that was not heard of for so long is forgotten
TAG: Final = "tag:"  # how the limit of a tag is called: "tag:database"
LEASE_S_MIN: Final = 60.0
LEASE_S_MAX: Final = 86_400.0
SLOTS_MAX: Final = 1_000_000_000
_NAME_CHARS: Final = 200


class LimitKey(NamedTuple):
    """One line: a limit, or one key of it, each of which has slots of its own."""

    name: str
    key: str = ""


class Waiting(NamedTuple):
    """One who waits, as the first in some line."""

    number: int
    rank: int  # the lower, the sooner
    weight: int  # how many slots of each limit it needs
    keys: tuple[LimitKey, ...]


class Turn(NamedTuple):
    """Somebody for whom something has changed: in which process, seen from which home."""

    number: int
    owner: str
    origin: str
    what: Literal["granted", "out", "next"]  # it has its slots; it was struck out; it stands first, and waits on


class Book(Protocol):
    """Whoever keeps the lines."""

    def slots(self, key: LimitKey) -> int | None:
        """How many slots there are; None for no end of them."""
        ...

    def used(self, key: LimitKey) -> int:
        """How many of them are held."""
        ...

    def first(self, key: LimitKey) -> Waiting | None:
        """Who stands first in the line."""
        ...

    def is_gone(self, waiting: Waiting) -> bool:
        """Whether its process is no more, or was not heard of for too long."""
        ...

    def grant(self, waiting: Waiting) -> None:
        """Give it the slots that it waits for."""
        ...

    def drop(self, waiting: Waiting) -> None:
        """Strike it out of all lines."""
        ...


class Settled(NamedTuple):
    """What came of it."""

    granted: list[Waiting]
    refused: list[Waiting]  # they need more than there will ever be
    heads: list[Waiting]  # who stand first and wait on


def settle(book: Book, keys: Iterable[LimitKey]) -> Settled:
    """Give slots to as many as fit, in their order, after something has changed in these lines."""
    settled = Settled([], [], [])
    left = list(dict.fromkeys(keys))
    while left:
        key = left.pop()
        while (head := book.first(key)) is not None:
            others = [each for each in head.keys if each != key]
            if book.is_gone(head):
                book.drop(head)
            elif any((slots := book.slots(each)) is not None and slots < head.weight for each in head.keys):
                book.drop(head)
                settled.refused.append(head)
            elif _is_next(book, head, others) and all(_fits(book, head, each) for each in head.keys):
                book.grant(head)
                settled.granted.append(head)
            else:
                settled.heads.append(head)
                break
            left += [each for each in others if each not in left]  # somebody else is first there now
    return settled


def _is_next(book: Book, head: Waiting, others: list[LimitKey]) -> bool:
    """Whether it stands first in its other lines too. The gone before it there do not count: they are struck out."""
    for key in others:
        while (first := book.first(key)) is not None and first.number != head.number and book.is_gone(first):
            book.drop(first)
        if first is not None and first.number != head.number:
            return False
    return True


def _fits(book: Book, head: Waiting, key: LimitKey) -> bool:
    slots = book.slots(key)
    return slots is None or book.used(key) + head.weight <= slots


class Asked(msgspec.Struct):
    """What somebody asks for: slots of all these limits, at once."""

    keys: tuple[LimitKey, ...]
    weight: int
    rank: int
    lease_us: int  # how long they are held without being renewed
    owner: str
    origin: str
    holder: str  # who they are for, for people
    run_id: bytes | None = None
    is_task: bool = False
    strict: bool = False  # a limit that is not there is an error
    stops: bool = False  # whoever holds them is stopped once they are lost
    declared: int | None = None  # how many slots a limit has that is not there yet
    number: int | None = None  # that it had before, if its place was struck out while nothing was heard of it


class Answer(NamedTuple):
    """What came of asking."""

    number: int | None  # of the place; None where there is no limit at all
    is_granted: bool
    unknown: tuple[str, ...]  # limits that are not there
    turns: tuple[Turn, ...] = ()  # others for whom something has changed
    slots: tuple[tuple[LimitKey, int], ...] = ()  # how many there are of each


class Reserved(NamedTuple):
    """An instant that limits on how often gave."""

    wait_us: int  # until then
    unknown: tuple[str, ...] = ()  # limits that are not there
    is_in_time: bool = True  # else it would have been too late, and nothing was reserved


class Rate(NamedTuple):
    """So many at once, and one more after each interval.

    The rule is GCRA: a rate remembers one instant, at which all that was taken would be paid back. The interval is
    rounded up to a microsecond, so never more is given than the rate says.
    """

    slots: int
    interval_us: int

    def reserve(self, full_us: int | None, weight: int, now_us: int) -> int:
        """When so many may be taken, now or later, given the instant at which all is paid back.

        >>> rate = rate_of("2/second")
        >>> rate.reserve(None, 2, 1_000_000)
        1000000
        >>> rate.reserve(rate.taken(None, 2, 1_000_000), 1, 1_000_000)
        1500000
        """
        due_us = max(now_us, full_us or 0) + weight * self.interval_us
        return max(now_us, due_us - self.slots * self.interval_us)

    def taken(self, full_us: int | None, weight: int, at_us: int) -> int:
        """The instant at which all is paid back, if so many are taken at that time."""
        return max(at_us, full_us or 0) + weight * self.interval_us


class RateError(BadInput, ValueError):
    """A text that is no rate."""


class LimitOptionError(BadInput, ValueError):
    """A name, a number or a time that a limit cannot have."""


def checked_name(name: Any) -> str:
    """The name of a limit. Raises BadInput for what is none."""
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME_CHARS or not name.isprintable():
        raise LimitOptionError(f"The name of a limit is {name!r}.", do=f"Pass a text of 1 to {_NAME_CHARS} characters.")
    return name


def checked_count(count: Any, what: str) -> int:
    """A number of slots. Raises BadInput for what is none."""
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= SLOTS_MAX:
        raise LimitOptionError(f"{what} of a limit is {count!r}.", do="Pass a whole number above 0.")
    return count


def decay_us(per_second: float, what: str) -> int:
    """After how many microseconds there is one more, of a rate of so many in each second. Raises BadInput for none.

    >>> decay_us(0.5, "slot_decay_per_second"), decay_us(3, "slot_decay_per_second")
    (2000000, 333334)
    """
    is_number = isinstance(per_second, int | float) and not isinstance(per_second, bool)
    if not is_number or not 1e-6 <= per_second <= 1e6:
        raise LimitOptionError(f"{what} is {per_second}.", do="Pass a number above 0, up to a million.")
    return max(1, -int(-1e6 // per_second))


_RATE: Final = re.compile(r"\s*(\d+)\s*(?:/|per)\s*(\d+)?\s*([a-z]+)\s*", re.IGNORECASE)
_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1_000_000),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000_000),
}


def rate_of(text: str) -> Rate | None:
    """The rate that a text such as "60/minute" names; None if it is none. Raises BadInput for one that cannot be.

    >>> rate_of("60/minute"), rate_of("10/s"), rate_of("5 per 2 hours")
    (Rate(slots=60, interval_us=1000000), Rate(slots=10, interval_us=100000), Rate(slots=5, interval_us=1440000000))
    """
    match = _RATE.fullmatch(text)
    if match is None:
        return None
    slots, unit_us = int(match[1]), _UNITS.get(match[3].lower())
    period_us = 0 if unit_us is None else unit_us * int(match[2] or 1)
    if not 0 < slots <= SLOTS_MAX or not 0 < period_us <= 366 * _UNITS["day"]:
        raise RateError(f"The rate {text!r} is none.", do='Write it as "60/minute", "10/s", "100/hour" or "5/day".')
    return Rate(slots, -(-period_us // slots))


def rate_text(rate: Rate) -> str:
    """A rate as people write it.

    >>> rate_text(Rate(60, 1_000_000)), rate_text(Rate(7, 142_858)), rate_text(Rate(10, 2_000_000))
    ('60/minute', '7/second', '10 at once, then one every 2 s')
    """
    period_us = rate.slots * rate.interval_us
    for unit in ("second", "minute", "hour", "day"):
        if 0 <= period_us - _UNITS[unit] < rate.slots:  # the interval was rounded up
            return f"{rate.slots}/{unit}"
    return f"{rate.slots} at once, then one every {rate.interval_us / 1e6:g} s"
