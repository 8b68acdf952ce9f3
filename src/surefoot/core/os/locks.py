"""Locks on files that live exactly as long as a process: what a pulse is made of. And: is a descriptor still its file.

`flock` and not `lockf`: a lock taken by `lockf` is lost as soon as any part of the process closes any descriptor of the
file. May import: nothing of ours.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

__all__ = ["identity", "is_locked", "lock_at_once", "lock_for_life"]

if sys.platform == "win32":
    import msvcrt

    # The lock is mandatory there, so it stands on a byte far behind the content: everyone may still read that.
    _FAR_BEHIND = 1 << 30

    def _lock(fd: int) -> None:
        os.lseek(fd, _FAR_BEHIND, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _probe(fd: int) -> None:
        _lock(fd)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    _lock_at_once = _lock
    _HELD = (errno.EACCES, errno.EDEADLK)
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)

    def _probe(fd: int) -> None:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)

    def _lock_at_once(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    _HELD = (errno.EWOULDBLOCK, errno.EACCES)


_NO_LOCKS: Final = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)


def lock_for_life(fd: int) -> bool:
    """Lock the open file until its last descriptor is closed, by the end of the process at the latest.

    False where the file system knows no locks.
    """
    try:
        _lock(fd)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def lock_at_once(fd: int) -> bool:
    """Lock like `lock_for_life`, unless somebody else holds it. True, too, where the file system knows no locks."""
    try:
        _lock_at_once(fd)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno not in _NO_LOCKS:
            raise
    return True


def is_locked(fd: int) -> bool:
    """Whether another process, or another opening of this file, holds the lock. `fd` may be open for reading only."""
    try:
        _probe(fd)
    except OSError as error:
        if error.errno in _HELD:
            return True
    return False


def identity(fd: int) -> tuple[int, int]:
    """Which file `fd` stands for, to ask later whether it still does; (-1, -1) if it is closed.

    A program that turns itself into a daemon may close every descriptor it finds, and open its own files under the same
    numbers.
    """
    try:
        found = os.fstat(fd)
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino
