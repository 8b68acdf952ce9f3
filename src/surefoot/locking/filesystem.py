"""Locks in files, for the processes of one machine. A holder that dies frees its locks at once.

The line of each key is a small file, replaced whole under the lock of the folder, which is held for a moment only.
May import: core, lined, presence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.errors import ConfigurationError
from surefoot.core.lines import Line, Place
from surefoot.core.os.files import remove, write_bytes
from surefoot.core.os.locks import lock_for_life, unlock
from surefoot.locking.lined import LinedLockManager
from surefoot.locking.presence import Presence, presence_in
from surefoot.locking.waiters import Waiter

__all__ = ["FileSystemLockManager"]

T = TypeVar("T")
_PROCESSES: Final = "processes"
_ALONE: Final = ".one-at-a-time"
_NAME_CHARS: Final = 60


class FileSystemLockManager(LinedLockManager):
    """Locks for all processes of this machine that name the same folder.

    A holder whose process dies, however, has its locks no more; whoever waits gets them within a fifth of a second.

    >>> import tempfile
    >>> locks = FileSystemLockManager(tempfile.mkdtemp())
    >>> locks.acquire_lock("report", holder="ann"), locks.is_lock_holder("report", "ann")
    (True, True)
    >>> locks.acquire_lock("report", holder="ben", acquire_timeout=0)
    False
    >>> locks.release_lock("report", "ann")

    Args:
        lock_files_directory: the folder; made when the first lock is asked for.
    """

    look_s: ClassVar[float | None] = 0.1

    def __init__(self, lock_files_directory: str | os.PathLike[str]) -> None:
        try:
            path = os.fspath(lock_files_directory)
        except TypeError:
            path = ""
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise LockFolderError(
                f"lock_files_directory is {lock_files_directory!r}, which is no path.", do="Pass the path of a folder."
            )
        self.lock_files_directory = os.path.abspath(os.path.expanduser(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSystemLockManager, (self.lock_files_directory,)

    def __repr__(self) -> str:
        return f"FileSystemLockManager({self.lock_files_directory!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileSystemLockManager):
            return NotImplemented
        return self.lock_files_directory == other.lock_files_directory

    def __hash__(self) -> int:
        return hash(self.lock_files_directory)

    def _change(self, key: str, step: Callable[[Line, int], T]) -> T:
        presence = self._presence()
        path = os.path.join(self.lock_files_directory, _file_name(key))
        with self._alone():
            now_us = get_clock().mono_us()  # one clock for all processes since the machine was started
            line = Line(_read(path), now_us, lambda place: presence.is_dead(place.owner))
            value = step(line, now_us)
            if line.is_changed and line.places:
                write_bytes(path, msgspec.json.encode(line.places), sync=False)
            elif line.is_changed:
                remove(path)
        for place in line.called:
            presence.call(place.owner, place.ticket)
        return value

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fd = os.open(os.path.join(self.lock_files_directory, _ALONE), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not lock_for_life(fd):
                raise ConfigurationError(
                    f"The file system of {self.lock_files_directory!r} knows no locks.",
                    do="Pass a folder on a local disk.",
                )
            yield
        finally:
            unlock(fd)
            os.close(fd)

    def _presence(self) -> Presence:
        return presence_in(os.path.join(self.lock_files_directory, _PROCESSES))

    def _place(self, ticket: str, holder: str, hold_us: int | None) -> Place:
        return Place(ticket, holder, self._presence().name, hold_us)

    def _begin_waiting(self, ticket: str, waiter: Waiter) -> None:
        self._presence().begin_waiting(ticket, waiter)

    def _end_waiting(self, ticket: str) -> None:
        self._presence().end_waiting(ticket)


class LockFolderError(ConfigurationError, ValueError):
    """What is no path cannot hold lock files."""


def _file_name(key: str) -> str:
    """A name that people recognize, and no other key has."""
    from hashlib import blake2b  # a door: loading OpenSSL takes 3 ms

    told = re.sub(r"[^\w.-]+", "_", key)[:_NAME_CHARS].lstrip(".")
    return f"{told}-{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}.lock"


def _read(path: str) -> list[Place]:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=list[Place])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError:
        return []  # a loss of power took what was in it: no process that was in it lives
