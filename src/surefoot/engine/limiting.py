"""Limiting: what a run of a task with tags makes of the limits that these may have: `surefoot limit set tag:NAME 3`.

Which tags are limited is told by a small file in the home, so that a task whose tags are not never opens the ledger.
Slots are asked for before each attempt, and given back when its call is over. May import: core, limits by a late door.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.errors import WouldDeadlock
from surefoot.core.os.forks import after_fork_in_child
from surefoot.engine.effects import Queued, Raised, Stopped
from surefoot.engine.interrupts import Shelter
from surefoot.engine.timers import call_later
from surefoot.engine.waiting import waits_for

if TYPE_CHECKING:
    from surefoot.core.limits import Asked, LimitKey
    from surefoot.engine.execution import Execution
    from surefoot.limits.desk import Desk, Ticket

__all__ = ["SlotUse", "slots_for"]

_LOOK_US: Final = 1_000_000  # how often the file is looked at
_ASK_US: Final = 10_000_000  # how often a ledger that homes share is asked
_LEASE_US: Final = 60_000_000
_CIRCLE_S: Final = 0.5
_NONE: Final[frozenset[str]] = frozenset()


class _Tags:
    """The limited tags of one home, or of one ledger that homes share, as they were when they were last looked at."""

    __slots__ = ("looked_us", "names", "state")

    def __init__(self) -> None:
        self.looked_us: int | None = None
        self.state: tuple[int, int] | None = None
        self.names = _NONE


_known: dict[str, _Tags] = {}


@after_fork_in_child
def _after_fork_in_child() -> None:
    _known.clear()


def slots_for(execution: Execution) -> SlotUse | None:
    """What a run with tags makes of limits; None if they have none."""
    settings = execution.session.settings
    if settings.ledger.url is None and not execution.tags & _in_file(settings.home):
        return None
    return SlotUse(execution)


def _in_file(home: str) -> frozenset[str]:
    known = _known.get(home)
    if known is None:
        known = _known[home] = _Tags()
    now_us = get_clock().mono_us()
    if known.looked_us is not None and now_us - known.looked_us < _LOOK_US:
        return known.names
    known.looked_us = now_us
    path = os.path.join(home, "tag-limits.json")
    try:
        told = os.stat(path)
        state = told.st_mtime_ns, told.st_ino
        if state != known.state:
            with open(path, "rb") as file:
                known.names = frozenset(msgspec.json.decode(file.read(), type=list[str]))
            known.state = state
    except FileNotFoundError:
        known.names, known.state = _NONE, None
    except (OSError, msgspec.MsgspecError):
        known.state = None  # it is looked at again
    return known.names


def _in_ledger(desk: Desk, url: str) -> frozenset[str]:
    known = _known.get(url)
    if known is None:
        known = _known[url] = _Tags()
    now_us = get_clock().mono_us()
    if known.looked_us is None or now_us - known.looked_us >= _ASK_US:
        known.names = frozenset(desk.limits.tags())
        known.looked_us = now_us
    return known.names


class SlotUse:
    """The slots of one run: those that it waits for, or has."""

    __slots__ = ("_desk", "_execution", "_is_nested", "_looks_again", "_slots", "_thread", "_ticket", "_wakes")

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._desk: Desk | None = None
        self._ticket: Ticket | None = None
        self._wakes: list[Callable[[], object]] = []  # each is called once
        self._thread = 0  # that it was last asked on
        self._slots: tuple[tuple[LimitKey, int], ...] = ()  # how many there are
        self._is_nested = False  # a run around it has slots of the same limits
        self._looks_again = False

    def take(self) -> Queued | Raised | Stopped | None:
        """Ask for slots, or how it stands. None if it has them, or needs none.

        `Raised` if they can never be had.
        """
        if self._execution.stop is not None:
            return self._execution.stop
        try:
            return self._execution.context.run(self._take)
        except Exception as error:
            self.give_back()
            return Raised(error)

    def _take(self) -> Queued | None:
        ticket = self._ticket
        self._thread, self._looks_again = threading.get_ident(), False
        if ticket is None:
            from surefoot.limits.desk import Ticket, desk

            here = self._desk = desk()
            names = self._names(here)
            if not names:
                return None
            ticket = self._ticket = Ticket(self._asked(names), self)
            self._slots = here.ask(ticket).slots
        elif ticket.is_out and not ticket.is_granted:
            assert self._desk is not None
            self._desk.ask(ticket)
        if ticket.is_granted or ticket.number is None:
            return None
        self._refuse_circle()
        assert self._desk is not None
        told = self._desk.limits.waits_for(ticket.number)
        return None if ticket.is_granted else Queued(f"waits for {told}" if told else "waits for a limit of its tags")

    def _names(self, here: Desk) -> Collection[str]:
        settings = self._execution.session.settings
        url = settings.ledger.url
        limited = _in_file(settings.home) if url is None else _in_ledger(here, url)
        return sorted(self._execution.tags & limited)

    def _asked(self, names: Collection[str]) -> Asked:
        from surefoot.core.limits import TAG, Asked, LimitKey
        from surefoot.limits.taking import FIRST

        execution = self._execution
        keys = tuple(LimitKey(f"{TAG}{name}") for name in names)
        self._is_nested = any(set(keys) & set(use.keys) for use, _ in self._around())
        return Asked(
            keys,
            1,
            FIRST if self._is_nested else 0,
            _LEASE_US,
            "",
            "",
            execution.run_name,
            execution.run_id,
            is_task=True,
        )

    @property
    def keys(self) -> tuple[LimitKey, ...]:
        """The limits of which it has slots."""
        ticket = self._ticket
        return ticket.keys if ticket is not None and ticket.is_granted else ()

    def _around(self) -> Iterator[tuple[SlotUse, bool]]:
        """What the runs around it have, and whether they certainly do not end before it."""
        inner, outer, certainly = self._execution, self._execution.parent, True
        within = [inner]
        while outer is not None:
            certainly = certainly and inner.slot is None  # it was called, not submitted
            use: SlotUse | None = getattr(outer, "limits", None)
            if use is not None and use.keys:
                yield use, certainly or waits_for(outer.thread or use._thread, within)
            within.append(outer)
            inner, outer = outer, outer.parent

    def _refuse_circle(self) -> None:
        """Raise WouldDeadlock if the slots are held by runs that wait for this one."""
        if not self._is_nested:
            return
        stuck = [use for use, is_stuck in self._around() if is_stuck]
        for key, slots in self._slots:
            if sum(key in use.keys for use in stuck) >= slots:
                raise WouldDeadlock(
                    f"Task run {self._execution.run_name!r} waits for the limit {key.name!r}, whose slots are all held "
                    "by the runs that called it.",
                    do="Leave the tag off the inner task, or set the limit higher.",
                )

    # -- waiting

    def wake(self) -> None:
        """There is something new. From any thread."""
        while True:
            try:
                wake = self._wakes.pop()
            except IndexError:
                return
            wake()

    def is_new(self) -> bool:
        """Whether it need not wait any more."""
        ticket = self._ticket
        return ticket is None or ticket.is_granted or ticket.is_out or self._looks_again

    def when_new(self, call: Callable[[], object]) -> None:
        """Call this once, when it need not wait any more: maybe at once, maybe from another thread."""
        self._wakes.append(call)
        if self.is_new():
            self.wake()
        elif self._is_nested:
            call_later(_CIRCLE_S, self._look_again)  # whether a run around it has begun to wait for it

    def _look_again(self) -> None:
        self._looks_again = True
        self.wake()

    def wait(self) -> None:
        """Wait on this thread."""
        with Shelter() as shelter:
            self.when_new(shelter.ring)
            shelter.wait(self.is_new, None)

    async def wait_in_loop(self) -> None:
        """Wait in an event loop."""
        import asyncio

        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:
                return  # the loop was closed: nobody waits there any more

        self.when_new(wake)
        await woken.wait()

    def give_back(self) -> None:
        """Give back what it has, or its place. Once more changes nothing."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None and self._desk is not None:
            self._desk.give_back(ticket)
