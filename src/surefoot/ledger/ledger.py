"""The ledger of a home, opened: facts go in by `fold`, answers come out under `read`.

Usable from several threads. A transaction that writes takes the one write lock of the file for a fraction of 200 ms,
and waits up to `busy_s` for another process that has it. May import: core, opening, projector, dialects, tables.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError

from surefoot._version import __version__
from surefoot.core.clock import get_clock
from surefoot.core.errors import HomeUnwritable, LedgerBusy, LedgerDamaged, SurefootError, Unavailable
from surefoot.ledger.batches import Batch, Folded, Writer, pieces
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_writers import load_writers, writer_of
from surefoot.ledger.opening import open_engine, path_of, way_out
from surefoot.ledger.projector import end_writer, fold, fold_again, load_positions
from surefoot.ledger.tables import WORKSPACE, meta, writers

__all__ = ["Ledger"]

_PIECE: Final = 4000  # facts in one transaction: about 50 ms


class Ledger:
    """One ledger. Made by `Ledger.open`; a context manager, which closes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder, "ledger.db")) as ledger:
    ...     ledger.fold([])
    Folded(count=0, illegal=0, gaps=0)
    """

    def __init__(self, engine: Engine, path: Path, busy_s: float) -> None:
        self.path = path
        self._engine = engine
        self._busy_s = busy_s
        self._looked_back = False

    @classmethod
    def open(cls, where: str | Path, *, busy_s: float = 30.0) -> Self:
        """The ledger in a file, named by path or `sqlite:///` URL. Made if it is not there, upgraded if it is old.

        Raises LedgerTooNew, LedgerBusy, HomeUnwritable, and BadInput for a file or URL that is no ledger.
        """
        path = path_of(where)
        with _told(path, busy_s):
            return cls(open_engine(path, busy_s), path, busy_s)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries, which all see the ledger as it was when the first of them was asked."""
        with _told(self.path, self._busy_s), self._engine.connect() as connection:
            yield connection

    def positions(self, writer_id: bytes) -> dict[tuple[str, int], int]:
        """How far each (stream, segment) of a writer is folded; what is not named is not folded at all."""
        with self.read() as connection:
            found = load_positions(connection, [writer_id])
        return {(stream, segment): offset for (_, stream, segment), offset in found.items()}

    def fold(self, batches: Iterable[Batch]) -> Folded:
        """Take in facts. `batches` are consumed one after another, and committed in pieces.

        The same batch twice changes nothing, nor does the order of batches.
        """
        self._look_back()
        folded = Folded()
        for piece in pieces(batches, _PIECE):
            with self._write() as connection:
                more = fold(connection, piece, get_clock().now_us())
            folded = folded.plus(more)
        return folded

    def end_writer(self, writer_id: bytes, at_us: int, why: str = "") -> int:
        """End the open runs of a writer that was found dead, Crashed. Returns how many.

        To be called when its pulse is free and its segments are folded. Nothing happens if it is known to have ended.

        Args:
            writer_id: the writer.
            at_us: when it was found dead. Its runs end at the last instant that was heard from it.
            why: what to say of these runs in place of the standard sentence.
        """
        count = 0
        while True:
            with self._write() as connection:
                ended = end_writer(connection, writer_id, at_us, why, limit=_PIECE // 2)
            count += ended.runs
            if ended.is_done:
                return count

    def make_durable(self) -> None:
        """Make all that was committed survive a power loss. To be called before segments are deleted."""
        with _told(self.path, self._busy_s), sqlite.writing(self._engine.connect()) as connection:
            dialect_of(connection).make_durable(connection, get_clock().now_us())

    def writer(self, writer_id: bytes) -> Writer | None:
        """What is known of a writer; None if nothing of it was folded."""
        with self.read() as connection:
            row = load_writers(connection, [writer_id]).get(writer_id)
        return None if row is None else writer_of(row)

    def open_writers(self) -> list[Writer]:
        """The writers not known to have ended. If the pulse of one is free, or its folder gone, call `end_writer`."""
        query = (
            select(writers).where(writers.c.workspace_id == WORKSPACE, writers.c.ended.is_(None)).order_by(writers.c.id)
        )
        with self.read() as connection:
            return [writer_of(dict(row)) for row in connection.execute(query).mappings()]

    def _look_back(self) -> None:
        """Fold what an older version kept raw because it did not know it. Looked at once, and once a version."""
        if self._looked_back:
            return
        query = select(meta.c.value).where(meta.c.key == "folded_by")
        with self.read() as connection:
            is_new = connection.execute(query).scalar() != __version__
        if is_new:
            with self._write() as connection:
                fold_again(connection, get_clock().now_us())
                dialect_of(connection).upsert(connection, meta, [{"key": "folded_by", "value": __version__}])
        self._looked_back = True

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _told(self.path, self._busy_s), sqlite.writing(self._engine.connect()) as connection, connection.begin():
            _sign(self.path)
            yield connection


class _Holder(msgspec.Struct):
    """Who wrote last: the lock of a file does not tell who has it."""

    pid: int
    host: str


def _holder_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _sign(path: Path) -> None:
    holder = _Holder(os.getpid(), socket.gethostname())
    try:
        with open(_holder_file(path), "wb", opener=_private) as file:
            file.write(msgspec.json.encode(holder))
    except OSError:  # a courtesy to others: a full disk must not stop what the lock was taken for
        pass


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(_holder_file(path).read_bytes(), type=_Holder)
    except (OSError, msgspec.DecodeError):
        return "another process"
    return f"process {holder.pid} on {holder.host}, the last that took it"


@contextmanager
def _told(path: Path, busy_s: float) -> Iterator[None]:
    """Errors of the database, in words of ours."""
    try:
        yield
    except OperationalError as error:
        if sqlite.is_busy(error):
            raise LedgerBusy(
                f"The ledger {path} is held by {_holder(path)}; waited {busy_s:g} s.",
                do="Try again, or end that process.",
            ) from error
        if sqlite.is_unwritable(error):
            raise HomeUnwritable(
                f"The ledger {path} cannot be written: {error.orig}.",
                do="Make room there, or give yourself the right to.",
            ) from error
        if sqlite.is_damaged(error):
            raise _damaged(path, str(error.orig)) from error
        raise Unavailable(f"The ledger {path} does not answer: {error.orig}.", do="Try again.") from error
    except DBAPIError as error:
        if sqlite.is_damaged(error):
            raise _damaged(path, str(error.orig)) from error
        raise
    except (ValueError, OverflowError, msgspec.DecodeError) as error:
        if isinstance(error, SurefootError):
            raise
        # Pages have no checksums: what is no text, history, state or instant any more comes out as if it were.
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> LedgerDamaged:
    return LedgerDamaged(f"The ledger {path} is damaged: {why}.", do=way_out(path))
