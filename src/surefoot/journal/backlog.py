"""Backlog: how much lies in a home's journal that nobody has folded, found out cheaply, and when that was last seen to.

The file `upkeep.lock` is locked by whoever folds and cleans up at leisure; it was changed when that was last begun.
Keeps promise 8 where nobody reads. May import: journal, core.
"""

from __future__ import annotations

import os
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.journal.home import Home
from surefoot.journal.pulse import BORN

__all__ = ["UPKEEP", "is_due", "note_upkeep", "upkeep_us"]

UPKEEP: Final = "upkeep.lock"
_MANY: Final = 200  # folders: more are too many, whatever lies in them
_LOOKED_AT_MAX: Final = 20  # folders that are measured, the newest; the rest is assumed to be like these
_REST_US: Final = 60_000_000  # between two, whatever the first one brought about


def is_due(home: Home, least_bytes: int, least_us: int) -> bool:
    """Whether it is time for an upkeep: much lies there, or the last one is long ago."""
    now_us = get_clock().now_us()
    last_us = upkeep_us(home)
    if last_us is not None and 0 <= now_us - last_us < _REST_US:
        return False
    try:
        names = [name for name in os.listdir(home.writers_path) if not name.startswith(BORN)]
    except OSError:
        return False
    if not names:
        return False
    if last_us is None:
        last_us = _begun_us(min(names), now_us)
    # An upkeep in the future is none: a clock was set back.
    return not 0 <= now_us - last_us < least_us or len(names) > _MANY or _has(home, names, least_bytes)


def upkeep_us(home: Home) -> int | None:
    """When an upkeep was last begun, in microseconds since 1970; None if never."""
    try:
        return os.stat(os.path.join(home.path, UPKEEP)).st_mtime_ns // 1000
    except OSError:
        return None


def note_upkeep(home: Home) -> None:
    """Note that an upkeep begins now. Raises OSError if that cannot be written."""
    path = os.path.join(home.path, UPKEEP)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    now_ns = get_clock().now_us() * 1000
    os.utime(path, ns=(now_ns, now_ns))


def _begun_us(name: str, now_us: int) -> int:
    try:
        return int(name[:12], 16) * 1000  # a writer's id tells when it began
    except ValueError:
        return now_us


def _has(home: Home, names: list[str], least_bytes: int) -> bool:
    looked_at = sorted(names)[-_LOOKED_AT_MAX:]
    found = 0
    for name in looked_at:
        try:
            with os.scandir(os.path.join(home.writers_path, name)) as entries:
                found += sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        except OSError:
            continue  # somebody folds it just now
    return found * len(names) >= least_bytes * len(looked_at)
