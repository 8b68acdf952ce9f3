"""Epochs: deciding that a flow run that has ended is started again, once for all who ask (promise 1).

Only opening an epoch closes the door on the one before: a fact of an older epoch that comes late is filed, and changes
nothing of how the run stands. May import: core, tables, dialects.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from surefoot.core.errors import Refused
from surefoot.core.ids import to_text
from surefoot.core.states import FINAL, StateType
from surefoot.ledger.decisions.requests import forget_requests
from surefoot.ledger.tables import WORKSPACE, epochs, flow_runs

__all__ = ["Opened", "newest_opened", "open_epoch"]


class Opened(NamedTuple):
    """An epoch that somebody opened."""

    epoch: int
    writer_id: bytes  # who was to start the run in it
    opened_by: str
    at_us: int


def newest_opened(connection: Connection, flow_run_id: bytes) -> Opened | None:
    """The newest epoch of a flow run that was opened by decision; None if it was started only once."""
    c = epochs.c
    query = (
        select(c.epoch, c.writer_id, c.opened_by, c.opened_us)
        .where(c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id)
        .order_by(c.epoch.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else Opened(row.epoch, bytes(row.writer_id), row.opened_by, row.opened_us)


def open_epoch(
    connection: Connection, flow_run_id: bytes, epoch: int, writer_id: bytes, *, at_us: int, opened_by: str, why: str
) -> None:
    """Open that epoch of a flow run, if it is still the next one, and the run has still ended.

    To be called in a transaction that writes. Raises Refused otherwise.
    """
    c = flow_runs.c
    query = select(c.epoch, c.state_type, c.name).where(c.workspace_id == WORKSPACE, c.id == flow_run_id)
    run = connection.execute(query).first()
    if run is None:
        raise Refused(f"Flow run {to_text(flow_run_id)} was deleted meanwhile.")
    newest = connection.execute(
        select(func.max(epochs.c.epoch)).where(epochs.c.workspace_id == WORKSPACE, epochs.c.flow_run_id == flow_run_id)
    ).scalar()
    if max(run.epoch, newest or 0) >= epoch or StateType(run.state_type) not in FINAL:
        raise Refused(
            f"Flow run {run.name!r} was started again meanwhile, by another process.",
            do=f"See what becomes of it: surefoot flow-run watch {run.name}",
        )
    row = {
        "workspace_id": WORKSPACE,
        "flow_run_id": flow_run_id,
        "epoch": epoch,
        "writer_id": writer_id,
        "opened_us": at_us,
        "opened_by": opened_by,
        "why": why,
    }
    connection.execute(insert(epochs), row)
    forget_requests(connection, [flow_run_id])  # what was asked of the run was asked of its earlier epoch
