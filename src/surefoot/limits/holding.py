"""Holding: the blocks in which slots of limits are held, for `with` and `async with` alike.

May import: core, engine, locking, desk, taking.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from surefoot.core.errors import ConcurrencySlotLostError, ConfigurationError
from surefoot.core.limits import (
    LEASE_S_MAX,
    LEASE_S_MIN,
    SLOTS_MAX,
    Answer,
    Asked,
    LimitKey,
    LimitOptionError,
    checked_count,
    checked_name,
)
from surefoot.core.os.host import host_name
from surefoot.engine import commands
from surefoot.engine.interrupts import GateShut, GivingBack
from surefoot.engine.scope import current
from surefoot.engine.sketching import sketcher
from surefoot.engine.telling import limit_unknown
from surefoot.engine.waiting import waits_for
from surefoot.limits.desk import Desk, Ticket, desk
from surefoot.limits.taking import FIRST, taking
from surefoot.locking.waiters import Steps, Waiter, block_on, elsewhere, step_through

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = [
    "Holding",
    "checked_names",
    "checked_seconds",
    "short_key",
    "tell_unknown",
]

_HOLDER_CHARS: Final = 200
_KEY_CHARS: Final = 400  # an index of PostgreSQL takes 2,700 bytes


class _Held(NamedTuple):
    """Slots that are held in this context, and by what: a thread, and a task of an event loop in it."""

    by: Holding
    ticket: Ticket
    desk: Desk
    thread: int
    task: Any
    run: Execution | None
    is_lost: list[str]


_held: ContextVar[tuple[_Held, ...]] = ContextVar("surefoot_slots", default=())


class Holding:
    """A block in which slots are held. Made by `concurrency` and `limit`; can be entered again and again."""

    def __init__(
        self,
        keys: Sequence[LimitKey],
        occupy: int,
        timeout_seconds: float | None,
        max_retries: int | None,
        lease_duration: float,
        strict: bool,
        holder: Any,
        raise_on_lease_renewal_failure: bool | None,
        priority: int,
        declared: int | None = None,
    ) -> None:
        self._keys = tuple(dict.fromkeys(keys))
        self._occupy = checked_count(occupy, "occupy")
        self._timeout_s = checked_seconds(timeout_seconds, "timeout_seconds")
        self._may_wait = _checked_retries(max_retries)
        self._lease_us = _checked_lease(lease_duration)
        self._strict = strict
        self._holder = _holder_name(holder)
        self._stops = strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure
        if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > SLOTS_MAX:
            raise LimitOptionError(f"priority of a limit is {priority!r}.", do="Pass a whole number, such as 10.")
        self._rank = -priority
        self._declared = None if declared is None else checked_count(declared, "slots")
        if self._declared is not None and self._occupy > self._declared:
            raise LimitOptionError(
                f"occupy is {self._occupy}, of a limit that has {self._declared} slots.", do="Ask for fewer."
            )

    def __repr__(self) -> str:
        names = ", ".join(f"{key.name}[{key.key}]" if key.key else key.name for key in self._keys)
        return f"<slots of {names}>"

    def __enter__(self) -> None:
        if not self._is_needed():
            return
        with GateShut():
            here = desk()
        before = _held.get()
        try:
            block_on(self._taking(here, lambda ticket, answer: self._has(here, ticket, answer)))
        except BaseException:
            if _held.get() is not before:  # it was interrupted just when it had got them
                self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with GivingBack():
            held = self._taken_out()
            if held is not None:
                held.desk.give_back(held.ticket)
        if held is not None:
            _raise_if_lost(held, error)

    async def __aenter__(self) -> None:
        if not self._is_needed():
            return
        here = await elsewhere(desk)
        got: list[tuple[Ticket, Answer]] = []
        make = self._taking(here, lambda ticket, answer: got.append((ticket, answer)))
        try:
            await step_through(make, is_slow=True)
            self._has(here, *got[0])
        except BaseException:
            if got:
                await elsewhere(lambda: here.give_back(got[0][0]))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held = self._taken_out()
        if held is not None:
            await elsewhere(lambda: held.desk.give_back(held.ticket))
            _raise_if_lost(held, error)

    def _is_needed(self) -> bool:
        return bool(self._keys) and sketcher() is None

    def _taking(self, here: Desk, got: Callable[[Ticket, Answer], None]) -> Callable[[Waiter], Steps[None]]:
        around = _BlocksAround()
        return taking(here, self._maker(around), self._timeout_s, self._may_wait, around, got)

    def _maker(self, around: _BlocksAround) -> Callable[[Waiter], Ticket]:
        execution = current()
        holder = self._holder
        if not holder:
            holder = f"pid {os.getpid()} on {host_name()}" if execution is None else execution.run_name
        asked = Asked(
            self._keys,
            self._occupy,
            FIRST if around.have(self._keys) else self._rank,
            self._lease_us,
            "",
            "",
            holder,
            None if execution is None else execution.run_id,
            execution is not None and execution.is_task,
            self._strict,
            self._stops,
            self._declared,
        )
        return lambda waiter: Ticket(asked, waiter)

    def _has(self, here: Desk, ticket: Ticket, answer: Answer) -> None:
        if answer.unknown:
            tell_unknown(answer.unknown, "3")
        if ticket.number is None:
            return
        lost: list[str] = []
        held = _Held(self, ticket, here, threading.get_ident(), _task(), current(), lost)
        if self._stops:
            ticket.lost = lambda: _stop(ticket, lost)
        _held.set((*_held.get(), held))

    def _taken_out(self) -> _Held | None:
        """What this block holds, which it does no longer."""
        all_held: tuple[_Held, ...] = _held.get()
        held = next((each for each in reversed(all_held) if each.by is self), None)
        if held is not None:
            _held.set(tuple(each for each in all_held if each is not held))
        return held


def _stop(ticket: Ticket, lost: list[str]) -> None:
    """The slots were lost: whoever holds them must not go on."""
    names = ", ".join(key.name for key in ticket.keys)
    why = f"its slots of the limit {names} were lost: nothing was heard of it in time"
    lost.append(why)
    run_id = ticket.asked.run_id
    if run_id is not None:
        commands.stop(run_id, why, ConcurrencySlotLostError(f"{ticket.asked.holder}: {why}."))


def _raise_if_lost(held: _Held, error: BaseException | None) -> None:
    if held.is_lost and error is None:
        raise ConcurrencySlotLostError(
            f"{held.ticket.asked.holder}: {held.is_lost[0]}.", do="Take a longer lease_duration, or leave strict out."
        )


class _BlocksAround:
    """The blocks that this context is in, as they are when slots are asked for."""

    def __init__(self) -> None:
        self._thread, self._task = threading.get_ident(), _task()
        self._held = [held for held in _held.get() if held.ticket.pid == os.getpid()]
        self._runs: list[Execution] = []
        execution = current() if self._held else None
        while execution is not None:
            self._runs.append(execution)
            execution = execution.parent

    def have(self, keys: tuple[LimitKey, ...]) -> bool:
        """Whether one of them has slots of these limits."""
        return any(key in held.ticket.keys for held in self._held if held.ticket.number is not None for key in keys)

    def keep(self, key: LimitKey) -> int:
        """How many slots of a limit are in the hands of those that do not give them back before this block is over."""
        return sum(
            held.ticket.asked.weight
            for held in self._held
            if held.ticket.number is not None and key in held.ticket.keys and self._is_stuck(held)
        )

    def _is_stuck(self, held: _Held) -> bool:
        """Whether it is further out on this stack, or its thread waits for a run that this code is in."""
        if held.thread == self._thread and held.task in (None, self._task):
            return True
        return waits_for(held.thread, [run for run in self._runs if run is not held.run])


def _task() -> Any:
    asyncio: Any = sys.modules.get("asyncio")  # where it is not loaded, nothing is asynchronous
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


_told: set[str] = set()


def tell_unknown(names: Sequence[str], example: str) -> None:
    """Say once that limits are not there."""
    new = [name for name in names if name not in _told]
    if not new:
        return
    _told.update(new)
    execution = current()
    for name in new:
        line = f"goes on without the limit {name!r}, which is not there. Make it: surefoot limit set {name} {example}"
        if execution is None:
            warnings.warn(line[0].upper() + line[1:], UserWarning, stacklevel=_users_level())
        else:
            limit_unknown(execution, line)


def _users_level() -> int:
    """How far up the code is that named the limit: the first that is not ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "surefoot":
        level, frame = level + 1, frame.f_back
    return level


# -- what is passed


def checked_names(names: Any) -> tuple[str, ...]:
    """The names of limits. Raises BadInput for what is none."""
    given = (names,) if isinstance(names, str) else names
    try:
        found = tuple(given)
    except TypeError:
        found = (given,)
    return tuple(checked_name(name) for name in found)


def short_key(key: Any) -> str:
    """A key of a limit as it is kept. Raises BadInput for what is none."""
    if key is None:
        return ""
    if not isinstance(key, str) or not key:
        raise LimitOptionError(f"The key of a limit is {key!r}.", do="Pass a text: key=str(customer).")
    if len(key) <= _KEY_CHARS and key.isprintable():
        return key
    from hashlib import blake2b  # a door: loading OpenSSL takes 3 ms

    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{''.join(char for char in key[:_KEY_CHARS] if char.isprintable())}-{digest}"


def checked_seconds(seconds: Any, what: str) -> float | None:
    """A time in seconds; None for no end of it. Raises BadInput for what is none."""
    if seconds is None:
        return None
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not seconds >= 0:
        raise LimitOptionError(f"{what} of a limit is {seconds!r}.", do="Pass a number of seconds, 0 or more.")
    return None if seconds == float("inf") else float(seconds)


def _checked_lease(seconds: Any) -> int:
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not LEASE_S_MIN <= seconds <= LEASE_S_MAX:
        raise LimitOptionError(
            f"lease_duration of a limit is {seconds!r}.",
            do=f"Pass a number of seconds from {LEASE_S_MIN:g} to {LEASE_S_MAX:g}.",
        )
    return int(seconds * 1e6)


def _checked_retries(max_retries: Any) -> bool:
    """Whether it may wait."""
    if max_retries is None:
        return True
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise LimitOptionError(f"max_retries of a limit is {max_retries!r}.", do="Pass a whole number, 0 or more.")
    return max_retries > 0


def _holder_name(holder: Any) -> str:
    if holder is None:
        return ""
    kind, its_id = getattr(holder, "type", None), getattr(holder, "id", None)
    told = f"{kind} {its_id}" if kind is not None and its_id is not None else str(holder)
    if not told.strip():
        raise ConfigurationError("The holder of a limit is an empty text.", do="Pass a name, or leave it out.")
    return told[:_HOLDER_CHARS]
