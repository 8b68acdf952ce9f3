"""Budgets: how much disk the journal of a home may take, and what is left of that. Keeps promise 8 for the journal.

Log lines never take what is meant for run facts: each stream has its own budget, and log segments leave a reserve of
the disk. May import: core.os.
"""

from __future__ import annotations

import os
from typing import Final, Literal

import msgspec

from surefoot.core.os import space

__all__ = ["SEGMENT_FIRST", "Budgets", "bytes_left", "next_segment_bytes"]

SEGMENT_FIRST: Final = 256 << 10  # a short script stays in its first segment, which is trimmed when it ends
_RESERVE_MAX: Final = 64 << 20  # of the disk, for run facts; on a small disk a quarter
_LOOKED_AT_MAX: Final = 200  # folders that are measured; the rest is assumed to be like these (measured: 15 us each)


class Budgets(msgspec.Struct, frozen=True):
    """The numbers of the settings `journal.*`."""

    runs_bytes: int = 1 << 30
    logs_bytes: int = 1 << 30
    segment_bytes: int = 8 << 20
    on_full: Literal["continue", "fail"] = "continue"

    def of(self, stream: str) -> int:
        """The budget of a stream, in bytes."""
        return self.runs_bytes if stream == "runs" else self.logs_bytes


def next_segment_bytes(number: int, need: int, budgets: Budgets) -> int:
    """How large a writer's segment with this number should be: a quarter megabyte at first, then growing fourfold.

    >>> [next_segment_bytes(n, 100, Budgets()) >> 10 for n in range(5)]
    [256, 1024, 4096, 8192, 8192]
    >>> next_segment_bytes(0, 10_000_000, Budgets())
    10002432
    """
    planned = min(budgets.segment_bytes, SEGMENT_FIRST << 2 * min(number, 16))
    return max(planned, need + 4095 & -4096)


def bytes_left(stream: str, folder: str, writers_path: str, budgets: Budgets) -> int:
    """How much more disk the writer of `folder` may take for `stream`, in a home with others; below 0: too much is."""
    left = budgets.of(stream) - _taken(folder, stream) - _taken_by_others(folder, writers_path, stream)
    if stream == "logs":
        free, total = space.disk_bytes(folder)
        left = min(left, free - min(_RESERVE_MAX, total // 4))
    return left


def _taken(folder: str, stream: str) -> int:
    taken = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(stream):
                    taken += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass  # a reader just removed what it had folded
    return taken


def _taken_by_others(folder: str, writers_path: str, stream: str) -> int:
    with os.scandir(writers_path) as entries:
        others = [entry.path for entry in entries if entry.path != folder]
    looked_at = others[:_LOOKED_AT_MAX]
    taken = sum(_taken(other, stream) for other in looked_at)
    return taken * len(others) // len(looked_at) if looked_at else 0
