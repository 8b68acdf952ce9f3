"""Contents: how much a ledger holds of what, since when, and how large it is. May import: core, tables, dialects."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select

from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.indexes import end_order, metadata
from surefoot.ledger.tables import WORKSPACE, alembic_version, flow_runs, logs

__all__ = ["Contents", "contents_of"]

_NOT_COUNTED: Final = frozenset({"alembic_version", "meta", "workspaces"})


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger holds."""

    revision: str
    bytes: int
    free_bytes: int  # of these
    rows: dict[str, int]
    table_bytes: dict[str, int]  # with indexes; empty where the database cannot tell
    oldest_run_us: int | None = None  # ended then
    newest_run_us: int | None = None
    oldest_line_us: int | None = None
    newest_line_us: int | None = None


def contents_of(connection: Connection) -> Contents:
    """Count all. Reads every table."""
    dialect = dialect_of(connection)
    size, free = dialect.space_of(connection)
    tables = [table for table in metadata.sorted_tables if table.name not in _NOT_COUNTED]
    ended, line = end_order(flow_runs), logs.c.order_us
    runs_of, lines_of = flow_runs.c.workspace_id == WORKSPACE, logs.c.workspace_id == WORKSPACE
    return Contents(
        revision=str(connection.execute(select(alembic_version.c.version_num)).scalar()),
        bytes=size,
        free_bytes=free,
        rows={str(t.name): connection.execute(select(func.count()).select_from(t)).scalar() or 0 for t in tables},
        table_bytes=dialect.table_bytes(connection, metadata),
        oldest_run_us=_first(connection, ended, runs_of, ended > 0),
        newest_run_us=_first(connection, ended, runs_of, ended > 0, newest=True),
        oldest_line_us=_first(connection, line, lines_of),
        newest_line_us=_first(connection, line, lines_of, newest=True),
    )


def _first(connection: Connection, by: Any, *where: Any, newest: bool = False) -> int | None:
    return connection.execute(select(by).where(*where).order_by(by.desc() if newest else by).limit(1)).scalar()
