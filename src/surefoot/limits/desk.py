"""The desk: where a process asks for slots, is told that it has them, and keeps them alive. Keeps promise 3.

One thread for all who wait and hold here, which is there only as long as somebody does. It hears the bell that whoever
gives slots back rings, renews leases, and looks at the pulses of those whose death would free a slot: files, so that
waiting costs the ledger nothing. May import: core, locking.presence.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Final

from surefoot.core import ports
from surefoot.core.clock import get_clock
from surefoot.core.errors import SurefootError
from surefoot.core.limits import GONE_AFTER_US, Answer, Asked, LimitKey, Turn
from surefoot.core.per_ledger import PerLedger
from surefoot.locking.presence import Presence, presence_in
from surefoot.locking.waiters import Waiter

__all__ = ["Desk", "Ticket", "desk"]

_PULSES_S: Final = 0.05  # how often the pulses of others are looked at while somebody waits for them
_LOOK_S: Final = 1.0  # how often the ledger is asked how it stands, although nobody rang
_RENEW_S: Final = 10.0  # a third of what a place in a line lasts
_LATE_S: Final = 2.0  # a thread that comes so much later than it was to was not let run
_BELL: Final = "limits"  # the desk waits at the bell under this name


class Ticket:
    """Somebody who waits for slots, or holds some."""

    __slots__ = ("asked", "is_granted", "is_out", "keys", "lost", "number", "pid", "since_us", "waiter")

    def __init__(self, asked: Asked, waiter: Waiter, lost: Callable[[], None] | None = None) -> None:
        self.asked = asked
        self.waiter = waiter
        self.lost = lost  # called once the slots are lost and their holder is to stop
        self.number: int | None = None
        self.keys: tuple[LimitKey, ...] = asked.keys
        self.is_granted = False
        self.is_out = False  # its place was struck out: it is to ask again
        self.since_us = 0  # when its lease was last known to last, on this machine's own clock
        self.pid = os.getpid()


class Desk:
    """One ledger, opened by this process, and all who wait for slots of its limits or hold some here."""

    def __init__(self, limits: ports.Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[int, Ticket] = {}
        self._held: dict[int, Ticket] = {}
        self._owed: list[Ticket] = []
        self._is_on = False
        self._woken = threading.Event()
        self._granted_us = 0
        self._is_stale = True  # what is watched may have changed
        self._watched: frozenset[str] = frozenset()

    def wake(self) -> None:
        """The bell rang."""
        self._woken.set()

    @property
    def presence(self) -> Presence:
        """This process, as others see it."""
        return presence_in(self.limits.processes)

    # -- what those who need slots do

    def ask(self, ticket: Ticket) -> Answer:
        """Get slots, or a place in the lines. From then on whoever waits is woken when there is something new."""
        asked = ticket.asked
        asked.owner, asked.origin, asked.number = self.presence.name, self.limits.origin, ticket.number
        ticket.is_out = False

        def known(number: int) -> None:
            ticket.number = number
            with self._lock:
                self._waiting[number] = ticket

        try:
            answer = self.limits.ask(asked, known)
        except BaseException:
            self._forget(ticket)
            raise
        if answer.number is None:
            self._forget(ticket)
            ticket.is_granted = True
            return answer
        ticket.since_us = get_clock().mono_us()
        ticket.keys = tuple(key for key in asked.keys if key.name not in answer.unknown)
        if answer.is_granted:
            self._has_got(answer.number)
        else:
            self._is_stale = True
        self._begin()
        self.tell(answer.turns)
        return answer

    def give_back(self, ticket: Ticket) -> None:
        """Give back slots, or a place in the lines. Once more changes nothing.

        If the ledger does not answer, that is done as soon as it does: what the slots were for is done all the same.
        """
        if ticket.number is None or ticket.pid != os.getpid():  # what was held when a process forked is its parent's
            return
        try:
            self._give_back(ticket)
        except (SurefootError, OSError):
            with self._lock:
                self._owed.append(ticket)
            self._begin()

    def _give_back(self, ticket: Ticket) -> None:
        assert ticket.number is not None
        turns = self.limits.give_back(ticket.number, ticket.asked.owner, ticket.keys)
        self._forget(ticket)
        ticket.number, ticket.is_granted = None, False
        self.tell(turns)

    def _pay(self) -> None:
        """Give back what could not be given back when it was to be."""
        while self._owed:
            self._give_back(self._owed[0])
            with self._lock:
                del self._owed[0]

    def _forget(self, ticket: Ticket) -> None:
        if ticket.number is not None:
            with self._lock:
                self._waiting.pop(ticket.number, None)
                self._held.pop(ticket.number, None)

    # -- what is told, and to whom

    def tell(self, turns: Iterable[Turn]) -> None:
        """Wake those for whom something has changed: here at once, elsewhere by their bells."""
        presence = self.presence
        rung: set[str] = set()
        for turn in turns:
            if turn.origin != self.limits.origin:
                continue  # it looks within a second
            if turn.owner == presence.name:
                self._take_turn(turn)
            elif turn.owner not in rung:
                rung.add(turn.owner)
                presence.call(turn.owner, _BELL)

    def _take_turn(self, turn: Turn) -> None:
        if turn.what == "granted":
            self._has_got(turn.number)
        elif turn.what == "out":
            self._is_struck_out(turn.number)
        else:
            self._is_stale = True

    def _has_got(self, number: int) -> None:
        with self._lock:
            ticket = self._waiting.pop(number, None)
            if ticket is None:
                return
            ticket.is_granted = True
            ticket.since_us = get_clock().mono_us()
            self._held[number] = ticket
        ticket.waiter.wake()

    def _is_struck_out(self, number: int) -> None:
        with self._lock:
            ticket = self._waiting.get(number)
            if ticket is None:
                return
            ticket.is_out = True
        ticket.waiter.wake()

    # -- the thread

    def _begin(self) -> None:
        with self._lock:
            starts, self._is_on = not self._is_on, True
        if starts:
            threading.Thread(target=self._tend, name="surefoot-limits", daemon=True).start()
        elif self._waiting:
            self._woken.set()  # it may be asleep for longer than those who wait can

    def _tend(self) -> None:
        clock = get_clock()
        presence = self.presence
        presence.begin_waiting(_BELL, self)
        now_us = clock.mono_us()
        looked_us, renewed_us, idle = 0, now_us, 0
        try:
            while True:
                pause_s = self._pause_s()
                is_rung = self._woken.wait(pause_s)
                self._woken.clear()
                before_us, now_us = now_us, clock.mono_us()
                stood_still = now_us - before_us > (pause_s + _LATE_S) * 1e6  # stopped, or the whole machine slept
                try:
                    self._pay()
                    if now_us - renewed_us >= _RENEW_S * 1e6 or stood_still:
                        self._renew(presence)
                        renewed_us = now_us
                    if self._waiting:
                        if is_rung:
                            self._hear(presence)
                        if now_us - looked_us >= _LOOK_S * 1e6:
                            looked_us = now_us
                            self._look(presence)
                            self._is_stale = True
                        if self._is_stale:
                            self._watch(presence)
                        self._feel_pulses(presence)
                except (SurefootError, OSError):
                    looked_us = now_us  # the ledger may be back in a moment
                    self._stop_the_late(now_us)
                idle = 0 if self._waiting or self._held or self._owed else idle + 1
                if idle > 1 and self._is_done():
                    return
        finally:
            presence.end_waiting(_BELL)

    def _pause_s(self) -> float:
        if not self._waiting:
            return _LOOK_S
        return _PULSES_S if self._watched or self._is_stale else _LOOK_S

    def _is_done(self) -> bool:
        with self._lock:
            is_done = not self._waiting and not self._held and not self._owed
            if is_done:
                self._is_on = False
            return is_done

    def _hear(self, presence: Presence) -> None:
        """Somebody rang: some of those who wait may have got slots."""
        for number, granted_us in self.limits.granted(presence.name, self._granted_us):
            self._granted_us = max(self._granted_us, granted_us)
            self._has_got(number)
        self._is_stale = True

    def _look(self, presence: Presence) -> None:
        """How it stands for those who wait, although nobody rang."""
        with self._lock:
            before = list(self._waiting)
        waiting = self.limits.waiting(presence.name)
        missing = [number for number in before if number not in waiting]
        if missing:
            self._hear(presence)
            for number in missing:
                self._is_struck_out(number)  # unless it has got what it waits for

    def _watch(self, presence: Presence) -> None:
        """Whose pulses are worth a look."""
        self._is_stale = False
        keys = self._lines()
        watched = self.limits.watched(keys)
        mine = self.limits.origin
        self._watched = frozenset(
            owner for owner, origin in watched.processes if origin == mine and owner != presence.name
        )
        if watched.is_over:
            self.tell(self.limits.look_after(keys))

    def _lines(self) -> list[LimitKey]:
        with self._lock:
            return list({key: None for ticket in self._waiting.values() for key in ticket.keys})

    def _feel_pulses(self, presence: Presence) -> None:
        """Whether one of those is dead whose end would concern somebody here."""
        if not any(presence.proof(owner) is False for owner in self._watched):
            return
        self.tell(self.limits.look_after(self._lines()))
        self._is_stale = True

    def _renew(self, presence: Presence) -> None:
        now_us = get_clock().mono_us()
        _, lost = self.limits.renew(presence.name)
        self._stop_the_late(now_us - GONE_AFTER_US)  # of whom the ledger knows nothing any more
        with self._lock:
            for ticket in (*self._waiting.values(), *self._held.values()):
                ticket.since_us = now_us
            stopped = [self._held[number] for number in lost if number in self._held]
        for each in stopped:
            _lose(each)

    def _stop_the_late(self, now_us: int) -> None:
        """Those whose leases had run out by then, as far as is known here, may have lost their slots."""
        with self._lock:
            late = [
                ticket
                for ticket in self._held.values()
                if ticket.asked.stops and now_us - ticket.since_us > ticket.asked.lease_us
            ]
        for ticket in late:
            _lose(ticket)


def _lose(ticket: Ticket) -> None:
    lost, ticket.lost = ticket.lost, None
    if lost is not None:
        lost()


_desks: Final = PerLedger(lambda: Desk(ports.limits()), lambda desk: desk.limits.close())


def desk() -> Desk:
    """The desk for the ledger that the settings in force name, opened if it is not."""
    return _desks.here()
