"""A copy of a ledger whose folder may not be written, or has no room, so that it can be read elsewhere.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["LedgerCopy"]

_LOG = "-wal"


class LedgerCopy:
    """A copy of the ledger at `of`, in a folder of its own until `close`. Where there is none yet, there is no copy.

    Nothing is written beside the ledger. Raises OSError or sqlite3.Error where it cannot be read, or nothing be copied.
    """

    def __init__(self, of: Path) -> None:
        self._of = of
        self._stamp = self._look()
        self._folder = TemporaryDirectory(prefix="surefoot-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name, of.name)
        try:
            if of.exists():
                self._copy()
        except BaseException:
            self.close()
            raise

    def _copy(self) -> None:
        try:
            with (
                closing(sqlite3.connect(f"{self._of.as_uri()}?mode=ro", uri=True)) as read,
                closing(sqlite3.connect(self.path)) as written,
            ):
                read.backup(written)
        except sqlite3.OperationalError:
            # A write-ahead log can be read only beside a file that SQLite may make there. Nobody else has the ledger
            # open, or that file would be there: so the bytes stand still.
            self.path.unlink(missing_ok=True)
            shutil.copyfile(self._of, self.path)
            if os.path.exists(f"{self._of}{_LOG}"):
                shutil.copyfile(f"{self._of}{_LOG}", f"{self.path}{_LOG}")

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for name in (str(self._of), f"{self._of}{_LOG}"):
            try:
                of_file = os.stat(name)
            except OSError:
                continue
            found.append((of_file.st_size, of_file.st_mtime_ns))
        return found

    def is_old(self) -> bool:
        """Whether somebody has written into the ledger since."""
        return self._look() != self._stamp

    def close(self) -> None:
        """Remove the copy."""
        self._folder.cleanup()
