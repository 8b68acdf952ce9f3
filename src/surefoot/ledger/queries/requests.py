"""What was asked of runs, for those who show them. May import: core, tables, rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import Request
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.tables import WORKSPACE, requests

__all__ = ["request_of", "requests_of"]


def requests_of(connection: Connection, rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[bytes, Request]:
    """What is asked of those of these runs that have not ended, by id."""
    open_ids = [row.id for row in rows if StateType(row.state_type) not in FINAL]
    return _read(connection, open_ids) if open_ids else {}


def request_of(connection: Connection, run_id: bytes) -> Request | None:
    """What was asked of a run, whether it has ended or not."""
    return _read(connection, [run_id]).get(run_id)


def _read(connection: Connection, run_ids: list[bytes]) -> dict[bytes, Request]:
    c = requests.c
    query = select(requests).where(c.workspace_id == WORKSPACE, c.run_id.in_(run_ids))
    return {
        row.run_id: Request(kind=row.kind, asked_by=row.asked_by, asked=instant(row.asked_us))
        for row in sorted(connection.execute(query), key=lambda row: row.asked_us)
    }
