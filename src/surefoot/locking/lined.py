"""Lock managers that keep a line for each key: acquiring, waiting and releasing, told once for all of them.

Where the lines lie, and who is woken how, is for each kind to say. May import: core, engine.interrupts, waiters.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

from msgspec.structs import replace

from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, LockNotHeld
from surefoot.core.ids import new_id
from surefoot.core.lines import Answer, Line, Place
from surefoot.core.os.host import host_name
from surefoot.engine.interrupts import GateShut, GivingBack
from surefoot.locking.waiters import Steps, Waiter, block_on, step_through

__all__ = ["LinedLockManager", "default_holder"]

T = TypeVar("T")


class LockOptionError(BadInput, ValueError):
    """A key, a holder or a time that a lock cannot have."""


class LinedLockManager(ABC):
    """A lock manager with a line for each key."""

    is_slow: ClassVar[bool] = False  # a step may take so long that no event loop should wait for it
    look_s: ClassVar[float | None] = None  # how often a waiter looks although nobody woke it

    @abstractmethod
    def _change(self, key: str, step: Callable[[Line, int], T]) -> T:
        """Do a step with the line of that key and the time, while nobody else can; keep it, and wake who is called."""

    @abstractmethod
    def _place(self, ticket: str, holder: str, hold_us: int | None) -> Place:
        """A new place for a line."""

    @abstractmethod
    def _begin_waiting(self, ticket: str, waiter: Waiter) -> None:
        """From here on whoever calls this ticket wakes this waiter."""

    @abstractmethod
    def _end_waiting(self, ticket: str) -> None:
        """Nobody waits with this ticket any more."""

    def acquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Get the lock, waiting for it at most `acquire_timeout` seconds. False if that was not enough.

        Args:
            key: which lock.
            holder: on whose behalf. By default that of this machine, process, thread and asyncio task.
            acquire_timeout: how long to wait at most, in seconds; 0 does not wait.
            hold_timeout: after so many seconds the lock is free again, released or not.
        """
        return block_on(self._acquiring(key, holder, acquire_timeout, hold_timeout))

    async def aacquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """The same, without blocking the event loop."""
        make = self._acquiring(key, holder, acquire_timeout, hold_timeout)
        return await step_through(make, is_slow=self.is_slow)

    def release_lock(self, key: str, holder: str | None = None) -> None:
        """Give the lock back. Raises LockNotHeld, a ValueError, if it is not held on this behalf."""
        mine = _checked_holder(holder)
        checked = _checked_key(key)
        with GivingBack():
            was_held = self._change(checked, lambda line, now_us: line.release(mine, now_us))
        if not was_held:
            raise LockNotHeld(
                f"The lock {key!r} is not held on behalf of {mine!r}.",
                do="If it was, its hold_timeout has passed: take a longer one.",
            )

    def is_locked(self, key: str) -> bool:
        """Whether somebody holds the lock."""
        return self._changed(_checked_key(key), lambda line, _: line.holder is not None)

    def holder_of(self, key: str) -> str | None:
        """On whose behalf the lock is held; None if it is free."""
        return self._changed(_checked_key(key), lambda line, _: line.holder)

    def is_lock_holder(self, key: str, holder: str | None = None) -> bool:
        """Whether the lock is held on this behalf."""
        mine = _checked_holder(holder)
        return self._changed(_checked_key(key), lambda line, _: line.holder == mine)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until whoever holds the lock now has given it back. False if `timeout` seconds were not enough."""
        return block_on(self._watching(key, timeout))

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """The same, without blocking the event loop."""
        return await step_through(self._watching(key, timeout), is_slow=self.is_slow)

    def _acquiring(
        self, key: str, holder: str | None, acquire_timeout: float | None, hold_timeout: float | None
    ) -> Callable[[Waiter], Steps[bool]]:
        mine, limit_us = _checked_holder(holder), _checked_time(acquire_timeout, "acquire_timeout")
        hold_us = _checked_time(hold_timeout, "hold_timeout")
        return partial(self._waiting, _checked_key(key), mine, hold_us, limit_us, Line.ask)

    def _watching(self, key: str, timeout: float | None) -> Callable[[Waiter], Steps[bool]]:
        return partial(self._waiting, _checked_key(key), "", None, _checked_time(timeout, "timeout"), Line.watch)

    def _waiting(
        self,
        key: str,
        holder: str,
        hold_us: int | None,
        limit_us: int | None,
        ask: Callable[[Line, Place, int], Answer],
        waiter: Waiter,
    ) -> Steps[bool]:
        """Ask, and wait, until it is done. Who gives up, or is interrupted, leaves the line."""
        clock = get_clock()
        end_us = None if limit_us is None else clock.mono_us() + limit_us
        place = self._place(new_id().hex(), holder, hold_us)
        ticket = place.ticket
        is_done = is_waiting = False

        def step(line: Line, now_us: int) -> tuple[Answer, int]:
            asked = replace(place)  # as it was before: whoever keeps the line may add to it, and try again
            answer = ask(line, asked, now_us)
            place.watches = asked.watches
            return answer, now_us

        try:
            while True:
                answer, now_us = self._changed(key, step)
                if answer.is_done:
                    is_done = True
                    return True
                waits = [] if end_us is None else [(end_us - clock.mono_us()) / 1e6]
                if waits and waits[0] <= 0:
                    return False
                if answer.until_us is not None:
                    waits.append(max(answer.until_us - now_us, 0) / 1e6 + 0.001)
                if self.look_s is not None:
                    waits.append(self.look_s)
                if not is_waiting:  # looked once more after this: it may have been called in between
                    is_waiting = True
                    with GateShut():
                        self._begin_waiting(ticket, waiter)
                    continue
                yield min(waits) if waits else None
        finally:
            with GivingBack():
                if is_waiting:
                    self._end_waiting(ticket)
                if not is_done:
                    self._change(key, lambda line, now_us: line.leave(ticket, now_us))

    def _changed(self, key: str, step: Callable[[Line, int], T]) -> T:
        """The same as `_change`; nothing interrupts it."""
        with GateShut():
            return self._change(key, step)


def default_holder() -> str:
    """Who this is, if nobody says otherwise: machine, process, thread, and the asyncio task if there is one."""
    name = f"{host_name()}:{os.getpid()}:{threading.get_ident()}"
    asyncio: Any = sys.modules.get("asyncio")  # where it is not loaded, nothing is asynchronous
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return name
        if task is not None:
            return f"{name}:{id(task)}"
    return name


def _checked_holder(holder: str | None) -> str:
    if holder is None:
        return default_holder()
    if not isinstance(holder, str) or not holder:
        raise LockOptionError(f"The holder of a lock is {holder!r}.", do="Pass a text, or leave it out.")
    return holder


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not key:
        raise LockOptionError(f"The key of a lock is {key!r}.", do="Pass a text.")
    return key


def _checked_time(seconds: float | None, name: str) -> int | None:
    """Seconds as microseconds."""
    if seconds is None:
        return None
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not seconds >= 0:
        raise LockOptionError(f"{name} of a lock is {seconds!r}.", do="Pass a number of seconds, 0 or more.")
    return None if seconds == float("inf") else int(seconds * 1e6)
