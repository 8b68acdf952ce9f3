"""The home: the folder in which a user's journal and ledger lie. May import: core."""

from __future__ import annotations

import errno
import os
from typing import Final

from surefoot.core.errors import HomeUnwritable
from surefoot.core.os import files
from surefoot.core.os.host import host_name

__all__ = ["Home", "unwritable"]


_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Home:
    """Where things lie in a home. Making one touches no disk; `ensure` does.

    >>> Home("/srv/surefoot").ledger_path.replace(os.sep, "/")
    '/srv/surefoot/ledger.db'
    """

    __slots__ = ("ledger_path", "path", "tag_limits_path", "writers_path")

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self.writers_path = os.path.join(self.path, "writers")
        self.ledger_path = os.path.join(self.path, "ledger.db")
        self.tag_limits_path = os.path.join(self.path, "tag-limits.json")  # the tags that are limited, if any

    def __repr__(self) -> str:
        return f"Home({self.path!r})"

    def ensure(self) -> None:
        """Make the home, readable by its owner alone, if it is not there.

        Raises HomeUnwritable if it cannot be made or written.
        """
        try:
            # Most often all is there, and then one look is enough.
            if not os.path.isdir(self.writers_path):
                os.makedirs(self.path, 0o700, exist_ok=True)
                os.makedirs(self.writers_path, 0o700, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error
        if not os.access(self.writers_path, os.W_OK | os.X_OK):
            raise unwritable(self.path, None)

    def id(self) -> bytes:
        """What tells this home from all others that share its ledger: 16 bytes. The home has to be there.

        They come from a file in it and from the machine's name, since whole machines are copied, homes and all.
        """
        path = os.path.join(self.path, "home-id")
        try:
            own = _read(path) or _read_or_made(path)
        except OSError as error:
            raise unwritable(self.path, error) from error
        from hashlib import (
            blake2b,  # a door: loading OpenSSL takes 3 ms, and only a ledger that is shared asks for this
        )

        return blake2b(own + host_name().encode(), digest_size=16).digest()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _read_or_made(path: str) -> bytes:
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(16))
    try:
        os.link(temporary, path)  # whoever is first names it for all
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(temporary, path)
        return _read(path)
    os.unlink(temporary)
    return _read(path)


def unwritable(path: str, error: OSError | None) -> HomeUnwritable:
    """The error that says why the home at `path` cannot be written, and the way out."""
    why = error.strerror if error is not None and error.strerror else "no permission, or a read-only file system"
    if error is not None and isinstance(error, FileExistsError | NotADirectoryError):
        why = f"{files.in_the_way(path)!r} is a file"
    is_full = error is not None and error.errno in _FULL
    return HomeUnwritable(
        f"The Surefoot home {path!r} cannot be written: {why}.",
        do="Free disk space there." if is_full else "Set SUREFOOT_HOME to a folder that you may write.",
    )
