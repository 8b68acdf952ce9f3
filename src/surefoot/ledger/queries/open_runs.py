"""Open runs: the outermost flow runs that a process has begun and not ended. May import: core, tables."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from surefoot.ledger.indexes import is_unended
from surefoot.ledger.tables import WORKSPACE, flow_runs

__all__ = ["outermost_open_of"]

_RUNS_MAX: Final = 1000


def outermost_open_of(connection: Connection, writer_id: bytes) -> list[bytes]:
    """The ids of the flow runs of a writer that no other run called, and that have not ended; a thousand at most."""
    c = flow_runs.c
    query = (
        select(c.id)
        .where(c.workspace_id == WORKSPACE, c.writer_id == writer_id, is_unended(flow_runs), c.end_us.is_(None))
        .where(c.parent_flow_run_id.is_(None), c.parent_task_run_id.is_(None))
        .order_by(c.id)
        .limit(_RUNS_MAX)
    )
    return [bytes(row.id) for row in connection.execute(query)]
