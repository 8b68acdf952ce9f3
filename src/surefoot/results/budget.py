"""The budget of results: how much of the disk all packs of a home take together, as far as one process has to know.

A process that keeps little never looks: measuring a home with many runs takes milliseconds. May import: core.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child

__all__ = ["BudgetUsedUp", "take", "taken"]

_UNASKED: Final = 1 << 20  # bytes that a process may take before it looks
_LOOK_AGAIN_US: Final = 10_000_000
_LOOK_AGAIN_BYTES: Final = 256 << 20
_LOOKED_AT_MAX: Final = 500  # folders that are measured; the rest is assumed to be like these


class BudgetUsedUp(OSError):
    """The packs of this home take all that results may."""


class _Home:
    """What this process knows of one home."""

    __slots__ = ("looked_us", "own", "since", "taken")

    def __init__(self) -> None:
        self.own = 0  # bytes that this process took, in all
        self.since = 0  # of these, after it looked last
        self.taken = 0  # what there was then
        self.looked_us: int | None = None


_lock = Lock()
_homes: dict[str, _Home] = {}


def take(results_path: str, size: int, budget_bytes: int) -> None:
    """Count `size` more bytes. Raises BudgetUsedUp if they are beyond the budget."""
    with _lock:
        known = _homes.setdefault(results_path, _Home())
        if known.own + size > _UNASKED or budget_bytes < _UNASKED:
            now_us = get_clock().mono_us()
            if (
                known.looked_us is None
                or known.since > _LOOK_AGAIN_BYTES
                or not 0 <= now_us - known.looked_us < _LOOK_AGAIN_US
            ):
                known.taken, known.since, known.looked_us = taken(results_path), 0, now_us
            if known.taken + known.since + size > budget_bytes:
                raise BudgetUsedUp("the disk budget for results is used up (results.budget_bytes)")
        known.own += size
        known.since += size


def taken(results_path: str) -> int:
    """The bytes that all packs of a home take, by the size of some of them where there are many."""
    try:
        with os.scandir(results_path) as entries:
            folders = [entry.path for entry in entries]
    except OSError:
        return 0
    looked_at = folders[:_LOOKED_AT_MAX]
    found = sum(map(_size, looked_at))
    return found * len(folders) // len(looked_at) if looked_at else 0


def _size(folder: str) -> int:
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                size += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass  # removed meanwhile
    return size


def _after_fork_in_child() -> None:
    global _lock
    _lock = Lock()


after_fork_in_child(_after_fork_in_child)
