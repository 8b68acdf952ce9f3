"""A ledger in a file: how it is made, who holds it, how it is copied before an upgrade, what its errors mean.

May import: core, tables, the dialect beside it.
"""

from __future__ import annotations

import os
import shlex
import socket
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from surefoot.core.errors import BadInput, HomeUnwritable, LedgerBusy, LedgerDamaged, Unavailable
from surefoot.core.os.host import is_gone, process_mark
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.tables import HEAD

__all__ = ["File"]


class File:
    """The place of a ledger that is a file of SQLite. Its folder has to be there."""

    dialect: Final[Any] = sqlite

    @property
    def elsewhere(self) -> str:
        """What to do about a file that is no ledger, or no longer: what is in no journal now is in that file alone."""
        aside = shlex.quote(str(self.path.parent / "damaged"))
        move = f"mkdir -p {aside} && mv {shlex.quote(str(self.path))}* {aside}/"
        return f"Restore it from a copy; or have a new one made, of the journals that are left: {move}"

    def __init__(self, path: Path, busy_s: float) -> None:
        self.path = path
        self.name = str(path)
        self.busy_s = busy_s
        self.engine = sqlite.engine_for(path, busy_s)

    def is_there(self) -> bool:
        """Whether the file is."""
        return self.path.exists()

    def copy_of(self, head: str) -> Path:
        """Where the ledger is kept as it was before an upgrade to `head`: beside it."""
        return self.path.with_name(f"{self.path.name}.before-{head}")

    def make_ready(self, connection: Connection) -> None:
        """For its owner's eyes only, and with a log."""
        # By path, since to open and close the file besides SQLite would drop the locks that this process has on it
        # (https://www.sqlite.org/howtocorrupt.html, 2.2).
        self.path.chmod(0o600)
        sqlite.keep_a_log(connection)

    def keep_copy(self, head: str) -> Path:
        """A copy of the file beside it. Raises Unavailable if there is no room for it."""
        copy = self.copy_of(head)
        try:
            copy.unlink(missing_ok=True)
            with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        except sqlite3.Error as error:
            raise Unavailable(
                f"The ledger {self.path} has to be upgraded, but could not be copied to {copy}: {error}.",
                do="Make room on that disk.",
            ) from error
        return copy

    def sign(self) -> None:
        """Leave word of who writes now: the lock of a file does not tell who has it."""
        pid = os.getpid()
        told = msgspec.json.encode(_Holder(pid, socket.gethostname(), _mark_of(pid)))
        try:
            # Not truncated, and not written where it stands already: a file system may take milliseconds for either.
            fd = os.open(_holder_file(self.path), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                there = os.read(fd, _HOLDER_BYTES)
                if there.rstrip() != told:
                    os.lseek(fd, 0, os.SEEK_SET)
                    os.write(fd, told.ljust(len(there)))
            finally:
                os.close(fd)
        except OSError:  # a courtesy to others: a full disk must not stop what the lock was taken for
            pass

    def is_passing(self, error: DBAPIError) -> bool:
        """Nothing passes here: the driver has waited already."""
        return False

    def told(self, error: DBAPIError) -> Exception | None:
        """What an error of SQLite means."""
        path = self.path
        if sqlite.is_foreign(error):
            return BadInput(f"{path} is there, but is not a ledger of Surefoot.", do=self.elsewhere)
        if sqlite.is_damaged(error):
            return self.garbled(error.orig)
        if not isinstance(error, OperationalError):
            return None
        if sqlite.is_busy(error):
            who, do = _holder(path)
            return LedgerBusy(
                f"The ledger {path} is held by {who}; waited {self.busy_s:g} s.",
                do=do,
            )
        if not path.parent.is_dir():
            return HomeUnwritable(
                f"The folder {path.parent} of the ledger is not there.", do=f"Run: mkdir -p {path.parent}"
            )
        if sqlite.is_unwritable(error):
            return HomeUnwritable(
                f"The ledger {path} cannot be written: {error.orig}.",
                do="Make room there, or give yourself the right to.",
            )
        # A name that is gone, and no upgrade by a newer version that has another for it: a page is damaged.
        if sqlite.lacks_a_name(error) and sqlite.revision_of(path) in (HEAD, None):
            return self.garbled(error.orig)
        return Unavailable(f"The ledger {path} does not answer: {error.orig}.", do="Try again.")

    def garbled(self, error: BaseException | None) -> Exception:
        """The file is damaged: it has no checksums, so what is no text or state any more comes out as if it were."""
        return LedgerDamaged(f"The ledger {self.path} is damaged: {error}.", do=self.elsewhere)


class _Holder(msgspec.Struct):
    """Who wrote last."""

    pid: int
    host: str
    mark: str = ""  # tells the process from a later one of that number


@lru_cache(maxsize=1)  # by number, since a fork has another
def _mark_of(pid: int) -> str:
    return process_mark(pid)


_HOLDER_BYTES: Final = 1000


def _holder_file(path: Path) -> str:
    return f"{path}.holder"


def _holder(path: Path) -> tuple[str, str]:
    """Who has the ledger, as far as that is known, and what to do about it."""
    look = f"Try again, or end what has it open: lsof {shlex.quote(str(path))}"
    try:
        holder = msgspec.json.decode(Path(_holder_file(path)).read_bytes(), type=_Holder)
    except (OSError, msgspec.DecodeError):
        return "another process", look
    if holder.host == socket.gethostname():
        if holder.pid == os.getpid():
            return "another thread of this process, or a program that is not Surefoot's", look
        if is_gone(holder.pid, holder.mark):
            last = f"the last process of Surefoot that took it, {holder.pid}, has ended"
            return f"a program that is not Surefoot's ({last})", look
    return f"process {holder.pid} on {holder.host}, the last that took it", "Try again, or end that process."
