"""What a database module offers, and which one a connection needs. May import: core, the modules beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, MetaData, Table, UpdateBase

from surefoot.core.errors import Defect
from surefoot.ledger.dialects import sqlite

__all__ = ["Dialect", "dialect_of"]


class Dialect(Protocol):
    """What a module for a database offers."""

    def upsert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert whole rows; one whose key is there replaces the row that bears it."""
        ...

    def insert_missing(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; one whose key is there changes nothing."""
        ...

    def write_many(self, connection: Connection, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once for each row, all of which have the same keys: those of the statement's parameters."""
        ...

    def has_all(self, column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
        """Whether a column of JSON text, a list of strings, has each of `values`."""
        ...

    def make_durable(self, connection: Connection, at_us: int) -> None:
        """Make all that was committed survive a power loss. Called outside of a transaction, on one that may write."""
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
        """Write the whole ledger anew, without gaps. Called outside of a transaction, on one that may write."""
        ...


def dialect_of(connection: Connection) -> Dialect:
    """The dialect of a connection."""
    if connection.dialect.name != "sqlite":
        raise Defect(f"No dialect is wired for {connection.dialect.name}.")
    return sqlite
