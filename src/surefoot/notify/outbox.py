"""The outbox of a home: messages that wait to be sent, a file each, there before the first attempt.

A file's time is when it is to be tried next. Whoever sends one has its lock, so no two processes send the same; a
process that is killed in the midst leaves it to the next one. What could not be sent for three days is given up, and
kept for a while to be seen. May import: journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.os import files
from surefoot.core.os.locks import lock_at_once
from surefoot.notify.notices import Notice

__all__ = ["Entry", "Outbox", "folder_of", "outbox_path"]

_SUFFIX: Final = ".json"
HELD: Final = ".held"  # written, and not to be sent yet
_LOCK: Final = ".lock"
_PART: Final = ".tmp"
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
_GIVEN_UP_US: Final = 3 * _DAY
_KEPT_US: Final = 30 * _DAY
_LEFT_BEHIND_US: Final = 3600 * _SECOND
_ENTRIES_MAX: Final = 1000
_FAR_US: Final = 1 << 52
_SOON_S: Final = (0.5, 1.0, 2.0, 4.0)  # pauses while somebody may wait for it
_LATER_S: Final = (60.0, 300.0, 900.0, 3600.0)  # and afterwards


class Entry(msgspec.Struct, omit_defaults=True):
    """A message that waits: to whom it still has to go, and what became of the attempts so far."""

    notice: Notice
    urls: list[str]
    made_us: int
    attempts: int = 0
    last_us: int = 0
    error: str = ""  # of the last attempt, without anything secret
    is_refused: bool = False  # the target said no: the same again will not help
    is_given_up: bool = False

    @property
    def name(self) -> str:
        """The name of its file, without the suffix."""
        return self.notice.id

    def next_try_us(self, soon_s: float) -> int:
        """When it is to be tried next: soon, as long as its process may wait for it, then less and less often."""
        if self.is_given_up:
            return _FAR_US
        if not self.attempts:
            return self.made_us
        soon_us = self.last_us + int(_SOON_S[min(self.attempts, len(_SOON_S)) - 1] * _SECOND)
        if not self.is_refused and soon_us < self.made_us + int(soon_s * _SECOND):
            return soon_us
        late = [number for number, pause_s in enumerate(_LATER_S) if self.last_us - self.made_us < pause_s * _SECOND]
        return self.last_us + int(_LATER_S[late[0] if late else -1] * _SECOND)


def folder_of(home: str) -> str:
    """The folder of messages in a home; there if something was ever told."""
    return os.path.join(home, "notices")


def outbox_path(home: str) -> str:
    """The folder of what waits."""
    return os.path.join(folder_of(home), "outbox")


class Outbox:
    """What waits in a home. Making one touches no disk.

    Args:
        home: the home.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self.path = outbox_path(home)

    def put(self, notice: Notice, urls: list[str], *, held: bool = False) -> Entry:
        """Have a message wait. One of the same id is replaced. Raises OSError if it cannot be written."""
        entry = Entry(notice, list(urls), get_clock().now_us())
        self._make_room()
        path = self._file(entry.name) + (HELD if held else "")
        files.write_bytes(path, msgspec.json.encode(entry), sync=not held)
        self._try_at(path, entry.made_us)  # a file server's clock may be ahead of this one
        return entry

    def held(self) -> list[Entry]:
        """The messages that are held."""
        found = (self._read(file) for file in self._names() if file.endswith(_SUFFIX + HELD))
        return [entry for entry in found if entry is not None]

    def drop_held(self, name: str) -> None:
        """Forget a message that was held."""
        files.remove(self._file(name) + HELD)

    def entries(self) -> list[Entry]:
        """All that waits, or was given up and is still kept; the oldest first."""
        found = (self._read(file) for file in self._names() if file.endswith(_SUFFIX))
        return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.made_us, entry.name))

    def due(self) -> tuple[list[str], int | None]:
        """The names of those that are to be tried now; and when the next is to be, if any."""
        now_us = get_clock().now_us()
        names, next_us = [], None
        for file in self._names():
            if not file.endswith(_SUFFIX):
                continue
            try:
                at_us = os.stat(os.path.join(self.path, file)).st_mtime_ns // 1000
            except OSError:
                continue
            if at_us <= now_us:
                names.append(file.removesuffix(_SUFFIX))
            elif at_us < _FAR_US and (next_us is None or at_us < next_us):
                next_us = at_us
        return names, next_us

    @contextmanager
    def claimed(self, name: str) -> Iterator[Entry | None]:
        """The message of that name, for this process alone; None if it is gone, or another has it."""
        path = self._file(name)
        try:
            fd = os.open(path + _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield None
            return
        try:
            entry = self._taken(name) if lock_at_once(fd) else None
            yield entry
            if entry is not None and not entry.urls:
                self.remove(name)
        finally:
            os.close(fd)

    def _taken(self, name: str) -> Entry | None:
        path = self._file(name)
        entry = self._read(name + _SUFFIX)
        if entry is None and os.path.exists(path):  # damaged, or a newer version's, which may be back
            self._try_at(path, get_clock().now_us() + int(_LATER_S[-1] * _SECOND))
        elif entry is None:
            files.remove(path + _LOCK)
        elif self._is_over(entry):
            return None
        return entry

    def _is_over(self, entry: Entry) -> bool:
        age_us = get_clock().now_us() - entry.made_us
        if age_us >= _KEPT_US:
            self.remove(entry.name)
            return True
        if age_us >= _GIVEN_UP_US and not entry.is_given_up:
            entry.is_given_up = True
            self.save(entry)
        return entry.is_given_up

    def save(self, entry: Entry, soon_s: float = 0, *, is_due: bool = False) -> None:
        """Keep what became of an attempt. To be called by whoever has it claimed.

        Args:
            entry: it.
            soon_s: for so long it is tried again soon: as long as its process may wait, in seconds.
            is_due: it is on its way. Should its process be killed, the next is to try at once.
        """
        path = self._file(entry.name)
        try:
            files.write_bytes(path, msgspec.json.encode(entry), sync=False)
        except OSError:
            pass  # a full disk: it is not known afterwards how often it was tried
        self._try_at(path, entry.made_us if is_due else entry.next_try_us(soon_s))

    def _try_at(self, path: str, at_us: int) -> None:
        try:
            os.utime(path, ns=(at_us * 1000, at_us * 1000))
        except OSError:
            pass  # dropped meanwhile

    def remove(self, name: str) -> bool:
        """Remove a message. False if there is none of that name."""
        path = self._file(name)
        was_there = os.path.exists(path)
        try:
            files.remove(path)
            files.remove(path + _LOCK)
        except OSError:
            return False
        return was_there

    def _make_room(self) -> None:
        files_there = self._names()
        for file in files_there:
            if file.endswith(_PART) or (file.endswith(_LOCK) and file.removesuffix(_LOCK) not in files_there):
                self._sweep(os.path.join(self.path, file))
        names = sorted(file for file in files_there if file.endswith(_SUFFIX))
        for file in names[: max(len(names) - _ENTRIES_MAX + 1, 0)]:
            self.remove(file.removesuffix(_SUFFIX))

    def _sweep(self, path: str) -> None:
        """Remove what an hour ago, or earlier, a process has left: half written when it was killed, or in use."""
        try:
            if get_clock().now_us() - os.stat(path).st_mtime_ns // 1000 >= _LEFT_BEHIND_US:
                files.remove(path)
        except OSError:
            pass  # it was moved to its place

    def _read(self, file: str) -> Entry | None:
        try:
            with open(os.path.join(self.path, file), "rb") as stream:
                return msgspec.json.decode(stream.read(), type=Entry)
        except (OSError, msgspec.MsgspecError):
            return None  # gone, or of a newer version

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except OSError:
            return []

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name + _SUFFIX)
