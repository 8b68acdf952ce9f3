"""Files: small ones read and written whole, and what may be done to a file that somebody has open.

POSIX lets go of a name at once, whoever still reads behind it. On Windows a file that Python has open is neither
removed nor replaced, nor is a folder renamed that holds one: there it is tried again for a moment, or left for later.
May import: core.os.space, the standard library.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Final

from surefoot.core.os.space import flush

__all__ = [
    "FOLDERS_MOVE_IN_USE",
    "in_the_way",
    "make_new",
    "move",
    "read_text",
    "remove",
    "reopen",
    "write_bytes",
    "write_text",
]

FOLDERS_MOVE_IN_USE: Final = sys.platform != "win32"  # whether a folder may be renamed while files in it are open
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # Windows would write a line's end as two bytes
_IN_USE_S: Final = 1.0 if sys.platform == "win32" else 0.0  # how long one waits for who reads a small file
_LOOK_S: Final = 0.01


def make_new(path: str) -> int:
    """The descriptor of a new file, for reading and writing, for its owner alone.

    Raises FileExistsError if there is one, and OSError if it cannot be made.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)


def reopen(path: str) -> int:
    """A descriptor of a file that `make_new` made, for reading and writing. Raises OSError if that cannot be had."""
    return os.open(path, os.O_RDWR | _BINARY)


def remove(path: str) -> bool:
    """Remove a file, and say whether it is gone: not if somebody has it open and the system minds, so try later.

    Raises OSError if it may not be removed at all.

    >>> remove("/no/such/file")
    True
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except PermissionError:
        if FOLDERS_MOVE_IN_USE:
            raise
        return False
    return True


def move(path: str, target: str) -> bool:
    """Give a file or folder another name, in place of what has that; False if it is not there, or somebody is in it.

    Raises OSError if that is not permitted at all.
    """
    try:
        _replace(path, target)
    except FileNotFoundError:
        return False
    except PermissionError:
        if FOLDERS_MOVE_IN_USE:
            raise
        return False
    return True


def _replace(path: str, target: str) -> None:
    until_s = time.monotonic() + _IN_USE_S
    while True:
        try:
            os.replace(path, target)
            return
        except PermissionError:
            if FOLDERS_MOVE_IN_USE or time.monotonic() >= until_s:
                raise  # where nobody minds what is in use, it is a right that is missing, and that does not pass
        time.sleep(_LOOK_S)


def in_the_way(path: str) -> str:
    """The part of a path that is there, where the path itself is not: often a file where a folder would have to be.

    >>> in_the_way(os.path.join(__file__, "no", "folder")) == __file__
    True
    """
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def read_text(path: str) -> str | None:
    """The text of a file in UTF-8, or None if there is no such file.

    Raises OSError if it is there and cannot be read, UnicodeDecodeError (a ValueError) if it is not UTF-8.

    >>> read_text("/no/such/file") is None
    True
    """
    try:
        # Bytes and one decode: most often there is no such file, and this is the cheapest way to find out.
        with open(path, "rb", buffering=0) as file:
            raw = file.readall()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):  # `.env` is a folder in many a checkout
        return None
    except PermissionError:
        # In a folder that may not be searched, each name is refused, whether a file has it or not. On Windows this is
        # also what opening a folder answers.
        if not os.path.exists(path) or os.path.isdir(path):
            return None
        raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    return raw.decode("utf-8-sig")


def write_text(path: str, text: str, *, mode: int = 0o600) -> None:
    """Put `text` where `path` is, or points to, on the disk and all at once.

    Folders that are missing are made, for their owner alone. Raises OSError if that cannot be done, and
    then what was there before is untouched.
    """
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_bytes(path: str, *parts: bytes, mode: int = 0o600, sync: bool = True) -> None:
    """Put the parts, one after another, where `path` is, or points to, all at once, as `write_text`.

    Without `sync` they reach the disk when the system writes them; only a loss of power before that takes them.
    """
    path = os.path.realpath(path)  # a link is kept: people keep such files in a folder under version control
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(fd, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if sync:
                flush(file.fileno())
        _replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    if sync:
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    # The name is only sure once its folder is on the disk. Windows cannot open folders, and needs none of this.
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network file systems refuse; the file itself is written
    finally:
        os.close(fd)
