"""What a module for a database offers, what a place where a ledger is kept does, and which of them is meant.

PostgreSQL's modules are imported when a ledger is there, and not before. May import: core, the modules beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, MetaData, Table, UpdateBase, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from surefoot.core.errors import BadInput, Defect
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.dialects.sqlite_file import File

__all__ = ["Dialect", "Place", "dialect_of", "place_of"]

_WAYS: Final = "Use a path, sqlite:///PATH, or postgresql://USER:PASSWORD@SERVER/DATABASE."


class Dialect(Protocol):
    """What a module for a database offers: the statements that differ."""

    def reading(self, connection: Connection) -> Connection:
        """The connection, for transactions whose queries all see one moment."""
        ...

    def writing(self, connection: Connection) -> Connection:
        """The connection, for transactions that write. They come one after another, whoever asks."""
        ...

    def deciding(self, connection: Connection) -> Connection:
        """The connection, for transactions that write what no journal has: once committed, they last."""
        ...

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert whole rows whose keys are not there, as this transaction has seen for itself."""
        ...

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert whole rows of different keys; one whose key is there replaces the row that bears it."""
        ...

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; one whose key is there changes nothing."""
        ...

    def write_many(self, connection: Connection, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run an update once for each row, all of which have the same keys: those of the statement's parameters."""
        ...

    def among(self, column: Column[bytes], ids: Collection[bytes]) -> ColumnElement[bool]:
        """Whether a column of ids has one of these, which may be many."""
        ...

    def has_all(self, column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
        """Whether a column of JSON text, a list of strings, has each of `values`."""
        ...

    def name_of_unindexed(
        self, connection: Connection, runs: Table, ranges: Collection[tuple[str, Any, Any]]
    ) -> str | None:
        """The name of a run that the table itself has, within one of these ranges of columns; None if there is none,
        or if the database sees to its indexes.
        """
        ...

    def now_us(self, connection: Connection) -> int:
        """The ledger's clock, which is the same for all who ask: microseconds since 1970, UTC."""
        ...

    def make_durable(self, connection: Connection, at_us: int) -> None:
        """Make all that was committed survive a power loss. Called outside of a transaction."""
        ...

    def table_names(self, connection: Connection) -> frozenset[str]:
        """The tables that there are, where a ledger's would be."""
        ...

    def make_tables(self, connection: Connection, metadata: MetaData) -> None:
        """Make all tables and indexes."""
        ...

    def tell_planner(self, connection: Connection, metadata: MetaData) -> None:
        """Tell the planner what it cannot find out by itself."""
        ...

    def after_much(self, engine: Engine) -> None:
        """What is to be done once many rows have come."""
        ...

    def space_of(self, connection: Connection) -> tuple[int, int]:
        """How many bytes the ledger has, and how many of them are free for new rows."""
        ...

    def table_bytes(self, connection: Connection, metadata: MetaData) -> dict[str, int]:
        """How many bytes each table has, with its indexes; empty where that cannot be told."""
        ...

    def give_back(self, connection: Connection) -> bool:
        """Give a piece of the space that is free back to the disk, within a transaction. False when it was the last."""
        ...

    def compact(self, connection: Connection) -> None:
        """Write the whole ledger anew, without gaps. Called outside of a transaction."""
        ...


class Place(Protocol):
    """Where a ledger is kept, and what is peculiar to that."""

    engine: Engine
    name: str  # as people are told it: without a password

    @property
    def dialect(self) -> Dialect:
        """The statements that differ here."""
        ...

    @property
    def elsewhere(self) -> str:
        """What to do if something else is kept there."""
        ...

    def is_there(self) -> bool:
        """Whether to look what is in it can change nothing."""
        ...

    def copy_of(self, head: str) -> Path | None:
        """Where the ledger is copied to before it is upgraded to `head`; None where copies are others' business."""
        ...

    def make_ready(self, connection: Connection) -> None:
        """What is to be done once, before the first tables are made. Raises BadInput if they cannot be."""
        ...

    def keep_copy(self, head: str) -> Path | None:
        """A copy of the ledger as it is, before it is upgraded to `head`; None where copies are others' business."""
        ...

    def sign(self) -> None:
        """Leave word of who writes now, where nothing else tells."""
        ...

    def is_passing(self, error: DBAPIError) -> bool:
        """Whether the same transaction, begun again, may well succeed."""
        ...

    def told(self, error: DBAPIError) -> Exception | None:
        """An error of the database, in words of ours; None if it is none that can be expected."""
        ...

    def garbled(self, error: Exception) -> Exception | None:
        """What it means that a value makes no sense; None where the database would have noticed itself."""
        ...


def dialect_of(connection: Connection) -> Dialect:
    """The dialect of a connection."""
    name = connection.dialect.name
    if name == "sqlite":
        return sqlite
    if name != "postgresql":
        raise Defect(f"No dialect is wired for {name}.")
    from surefoot.ledger.dialects import postgres

    return postgres


def place_of(where: str | Path, busy_s: float) -> Place:
    r"""The place that a path or URL means. Raises BadInput where no ledger can be.

    >>> place_of("sqlite:////var/lib/surefoot/ledger.db", 1.0).name.replace("\\", "/")
    '/var/lib/surefoot/ledger.db'
    """
    if isinstance(where, Path) or "://" not in where:
        return File(Path(where).absolute(), busy_s)
    scheme, _, rest = where.partition("://")
    url = _parsed(where)
    kind = None if url is None else url.get_backend_name()
    if url is not None and kind == "sqlite" and url.database:
        return File(Path(url.database).absolute(), busy_s)
    if url is None or scheme not in ("postgresql", "postgresql+psycopg", "postgres"):
        raise BadInput(f"A ledger cannot be kept in {scheme}://{rest.rpartition('@')[2]}.", do=_WAYS)
    try:
        from surefoot.ledger.dialects.postgres_server import Server
    except ImportError as error:  # psycopg, or the library of PostgreSQL that it needs
        if not any(part in str(error) for part in ("psycopg", "libpq", "pq wrapper")):
            raise
        raise BadInput(
            "A ledger on PostgreSQL needs psycopg, which is not installed, or does not find its library.",
            do="Run: pip install 'psycopg[binary]'",
        ) from error
    return Server(url, busy_s)


def _parsed(where: str) -> URL | None:
    try:
        return make_url(where)
    except (ArgumentError, ValueError):  # whose texts may hold a part of the password
        return None
