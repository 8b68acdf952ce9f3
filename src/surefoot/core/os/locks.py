"""Locks on files that live exactly as long as a process: what a pulse is made of. And: is a descriptor still its file.

`flock` and not `lockf`: a lock taken by `lockf` is lost as soon as any part of the process closes any descriptor of the
file. May import: nothing of ours.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Final

__all__ = ["identity", "is_locked", "lock_at_once", "lock_for_life", "unlock"]

if sys.platform == "win32":
    import msvcrt

    # The lock is mandatory there, so it stands on a byte far behind the content: everyone may still read that.
    _FAR_BEHIND: Final = 1 << 30
    _LOOK_S: Final = 0.01
    _PROBE: Final = 1  # LOCKFILE_FAIL_IMMEDIATELY of LockFileEx, and not LOCKFILE_EXCLUSIVE_LOCK
    _LOCK_VIOLATION: Final = 33

    def _lock_at_once(fd: int) -> None:
        os.lseek(fd, _FAR_BEHIND, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _lock(fd: int) -> None:
        # `LK_LOCK` would give up after ten looks, one a second.
        while True:
            try:
                return _lock_at_once(fd)
            except OSError as error:
                if error.errno not in _HELD:
                    raise
            time.sleep(_LOOK_S)

    def _unlock(fd: int) -> None:
        os.lseek(fd, _FAR_BEHIND, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    def _probe(fd: int) -> None:
        # The C library knows no shared locks (its `LK_NBRLCK` is the same as `LK_NBLCK`), so the system is asked.
        import ctypes  # only here: it costs milliseconds, and writers never ask

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        file = ctypes.c_void_p(msvcrt.get_osfhandle(fd))
        place = (ctypes.c_ulonglong * 4)()  # OVERLAPPED: two words, the offset, an event
        ctypes.c_uint.from_buffer(place, 2 * ctypes.sizeof(ctypes.c_void_p)).value = _FAR_BEHIND
        if not kernel.LockFileEx(file, _PROBE, 0, 1, 0, place):
            code = ctypes.get_last_error()
            raise OSError(errno.EACCES if code == _LOCK_VIOLATION else errno.EINVAL, ctypes.FormatError(code))
        kernel.UnlockFileEx(file, 0, 1, 0, place)

    _HELD: Final = (errno.EACCES, errno.EDEADLK)
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)

    def _lock_at_once(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def _probe(fd: int) -> None:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)

    _HELD: Final = (errno.EWOULDBLOCK, errno.EACCES)


_NO_LOCKS: Final = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)


def lock_for_life(fd: int) -> bool:
    """Lock the open file until its last descriptor is closed, by the end of the process at the latest.

    Waits for whoever has it. The place in the file may have moved. False where the file system knows no locks.
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


def unlock(fd: int) -> None:
    """Give the lock back before the file is closed: at once, whoever was forked meanwhile and has the file open too."""
    try:
        _unlock(fd)
    except OSError:
        pass  # it was not locked


def is_locked(fd: int) -> bool:
    """Whether another process, or another opening of this file, holds the lock. `fd` may be open for reading only."""
    try:
        _probe(fd)
    except OSError as error:
        if error.errno in _HELD:
            return True
    return False


def identity(file: int | str) -> tuple[int, int]:
    """Which file a descriptor or a path stands for, to ask later whether it still does; (-1, -1) if for none.

    A program that turns itself into a daemon may close every descriptor it finds, and open its own files under the same
    numbers.
    """
    try:
        found = os.stat(file)
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino
