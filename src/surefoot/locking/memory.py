"""Locks in this process's memory, for its threads and asyncio tasks. May import: core, lined."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from surefoot.core.clock import get_clock
from surefoot.core.lines import Line, Place
from surefoot.core.os.forks import after_fork_in_child
from surefoot.locking.lined import LinedLockManager
from surefoot.locking.waiters import Waiter

__all__ = ["MemoryLockManager"]

T = TypeVar("T")


class MemoryLockManager(LinedLockManager):
    """Locks for the threads and asyncio tasks of this process. There is one: each call gives the same.

    >>> locks = MemoryLockManager()
    >>> locks.acquire_lock("report"), locks.is_locked("report"), locks is MemoryLockManager()
    (True, True, True)
    >>> locks.acquire_lock("report", holder="somebody else", acquire_timeout=0)
    False
    >>> locks.release_lock("report")
    """

    _only: ClassVar[MemoryLockManager]
    _lock: threading.Lock
    _lines: dict[str, list[Place]]
    _waiters: dict[str, Waiter]

    def __new__(cls) -> MemoryLockManager:
        """That of this process."""
        return cls._only

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryLockManager, ()  # in another process: that one's

    def __repr__(self) -> str:
        return "MemoryLockManager()"

    def _begin_afresh(self) -> None:
        self._lock = threading.Lock()
        self._lines = {}
        self._waiters = {}

    def _change(self, key: str, step: Callable[[Line, int], T]) -> T:
        with self._lock:
            now_us = get_clock().mono_us()
            line = Line(self._lines.get(key, ()), now_us)
            try:
                return step(line, now_us)
            finally:
                if line.places:
                    self._lines[key] = line.places
                else:
                    self._lines.pop(key, None)
                for place in line.called:
                    waiter = self._waiters.get(place.ticket)
                    if waiter is not None:
                        waiter.wake()

    def _place(self, ticket: str, holder: str, hold_us: int | None) -> Place:
        return Place(ticket, holder, hold_us=hold_us)

    def _begin_waiting(self, ticket: str, waiter: Waiter) -> None:
        self._waiters[ticket] = waiter

    def _end_waiting(self, ticket: str) -> None:
        self._waiters.pop(ticket, None)


MemoryLockManager._only = object.__new__(MemoryLockManager)
MemoryLockManager._only._begin_afresh()
# Who held a lock, or waited, is in the parent.
after_fork_in_child(MemoryLockManager._only._begin_afresh)
