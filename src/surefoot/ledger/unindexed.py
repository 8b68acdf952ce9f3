"""Runs to which no index leads: before it is said that there is none, the table itself is looked through, once.

An index with a damaged page may answer that there is no such row, and say no word of damage. May import: tables,
dialects.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table

from surefoot.ledger.dialects.choice import dialect_of

__all__ = ["Garbled", "check_no_run_is_lost", "check_not_lost"]

Range = tuple[str, Any, Any]  # a column, and between which values it is, both included


class Garbled(ValueError):
    """What the ledger says contradicts itself. Whoever reads it is told that it is damaged."""


def check_no_run_is_lost(connection: Connection, run_id: bytes, *tables: Table) -> None:
    """The same of the run with this id."""
    check_not_lost(connection, tables, [("id", run_id, run_id)])


def check_not_lost(connection: Connection, tables: tuple[Table, ...], ranges: list[Range]) -> None:
    """Raise Garbled if one of the tables has a run within one of these ranges. By the indexes there is none."""
    find = dialect_of(connection).name_of_unindexed
    for runs in tables:
        name = find(connection, runs, ranges)
        if name is not None:
            raise Garbled(f"run {name!r} is in it, and cannot be found by an index")
