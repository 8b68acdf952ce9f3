"""Lines: who holds a lock and who waits for it, first come, first served. The one rule of locks, wherever they lie.

Whoever keeps a line (memory, a file, rows of the ledger) hands it in, has it changed while nobody else can, and puts it
back. A line is tidied first: who is dead, and whose time is up, leaves it. May import: nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

__all__ = ["Answer", "Line", "Place"]


class Place(msgspec.Struct, omit_defaults=True):
    """One place in a line."""

    ticket: str  # nobody else has it
    holder: str  # on whose behalf: who holds a lock gets it again
    owner: str = ""  # the process: the folder of its pulse, wherever that matters
    hold_us: int | None = None  # how long the lock is held at most, once it is had
    until_us: int | None = None  # so it ends then
    has_it: bool = False
    watches: str | None = None  # it does not want the lock: the ticket whose end it waits for
    lease_us: int | None = None  # when its process has to have renewed it, where nobody can look whether that lives
    origin: str = ""  # the home that its process is in, where there are several: who is there too can look at its pulse


class Answer(NamedTuple):
    """How it stands for somebody in the line."""

    is_done: bool  # the lock is had; what was watched is over
    until_us: int | None = None  # else when the time of its holder is up, if ever


class Line:
    """The line of one lock, in the hands of somebody who alone may change it.

    >>> line = Line([])
    >>> line.ask(Place("1", "ann"), 0).is_done, line.ask(Place("2", "ben"), 0).is_done
    (True, False)
    >>> line.release("ann", 0), line.holder
    (True, 'ben')
    >>> [place.ticket for place in line.called]
    ['2']

    Args:
        places: those in it, in their order.
        now_us: the time by the keeper's clock.
        is_dead: whether the process of a place is certainly no more.
    """

    def __init__(
        self, places: Iterable[Place], now_us: int = 0, is_dead: Callable[[Place], bool] | None = None
    ) -> None:
        self.places = list(places)
        self.called: list[Place] = []  # those for whom something has changed: to be woken
        self.is_changed = False
        self._is_dead = is_dead
        self._settle(now_us)

    @property
    def head(self) -> Place | None:
        """The place that has the lock."""
        return next((place for place in self.places if place.has_it), None)

    @property
    def holder(self) -> str | None:
        """On whose behalf the lock is held; None if it is free."""
        head = self.head
        return None if head is None else head.holder

    def ask(self, place: Place, now_us: int) -> Answer:
        """Get the lock, or a place at the end; asked again with the same ticket, how it stands."""
        self._settle(now_us)
        mine = self._of(place.ticket)
        head = self.head
        if head is not None and head.holder == place.holder:
            if mine is not None and mine is not head:  # another of the same holder has got it
                self._drop(mine)
            if mine is not head and place.hold_us is not None:
                head.hold_us, head.until_us = place.hold_us, now_us + place.hold_us
                self.is_changed = True
            return Answer(True)
        if mine is None:
            self.places.append(place)
            self.is_changed = True
            self._settle(now_us, called=False)
        return self._answer((mine or place).has_it)

    def watch(self, place: Place, now_us: int) -> Answer:
        """Be told when whoever has the lock now has it no more; asked again, whether that is so."""
        self._settle(now_us)
        mine = self._of(place.ticket)
        if mine is None and place.watches is None:  # it comes for the first time
            head = self.head
            if head is not None:
                place.watches = head.ticket
                self.places.append(place)
                self.is_changed = True
                mine = place
        return self._answer(mine is None)

    def leave(self, ticket: str, now_us: int) -> None:
        """Give up a place, or the lock that it has."""
        mine = self._of(ticket)
        if mine is not None:
            self._drop(mine)
        self._settle(now_us)

    def release(self, holder: str, now_us: int) -> bool:
        """Give the lock back, to whoever is next. False if it is not held on this behalf."""
        self._settle(now_us)
        head = self.head
        if head is None or head.holder != holder:
            return False
        self.leave(head.ticket, now_us)
        return True

    def _answer(self, is_done: bool) -> Answer:
        head = self.head
        return Answer(is_done, None if is_done or head is None else head.until_us)

    def _of(self, ticket: str) -> Place | None:
        return next((place for place in self.places if place.ticket == ticket), None)

    def _drop(self, place: Place) -> None:
        self.places.remove(place)
        self.is_changed = True

    def _settle(self, now_us: int, *, called: bool = True) -> None:
        """Take the lock from who is dead or has had it long enough, and give it to the next who lives."""
        head = self.head
        while head is None or self._is_over(head, now_us):
            if head is not None:
                self._drop(head)
            head = next((place for place in self.places if place.watches is None), None)
            if head is None:
                break
            if head.hold_us is not None:
                head.until_us = now_us + head.hold_us
            head.has_it = self.is_changed = True
            if called and not self._is_gone(head):
                self.called.append(head)
        there = None if head is None else head.ticket
        for place in [place for place in self.places if place.watches is not None and place.watches != there]:
            self._drop(place)
            self.called.append(place)

    def _is_over(self, head: Place, now_us: int) -> bool:
        return (head.until_us is not None and head.until_us <= now_us) or self._is_gone(head)

    def _is_gone(self, place: Place) -> bool:
        return self._is_dead is not None and self._is_dead(place)
