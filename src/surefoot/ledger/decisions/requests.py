"""Requests: what somebody asks of a run whose owner lives. They stand beside its state until it has ended.

The owner answers with what truly happened: a request is a wish, not a state. May import: core, tables, dialects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, select

from surefoot.core.errors import NotFound, Refused
from surefoot.core.ids import to_text
from surefoot.core.states import FINAL, StateType
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, flow_runs, requests, task_runs
from surefoot.ledger.unindexed import check_no_run_is_lost

__all__ = ["CANCEL", "Asked", "ask_to_cancel", "forget_requests"]

CANCEL: Final = "cancel"


class Asked(NamedTuple):
    """A run that was asked to stop."""

    writer_id: bytes  # of the process that executes it
    asked_by: str
    asked_us: int


def ask_to_cancel(connection: Connection, run_id: bytes, asked_by: str, now_us: int, *, is_task: bool) -> Asked:
    """Note that a run is to stop. Asked again, the first who asked stays the one.

    Raises Refused if it has ended, and NotFound if it is not known.
    """
    runs = task_runs if is_task else flow_runs
    noun = "task run" if is_task else "flow run"
    query = select(runs.c.name, runs.c.state_type, runs.c.state_name, runs.c.writer_id)
    row = connection.execute(query.where(runs.c.workspace_id == WORKSPACE, runs.c.id == run_id)).first()
    if row is None:
        check_no_run_is_lost(connection, run_id, runs)
        raise NotFound(f"No {noun} has the id {to_text(run_id)}.", do="It may have been deleted a moment ago.")
    if StateType(row.state_type) in FINAL:
        raise Refused(
            f"{noun.capitalize()} {row.name!r} has ended: it is {row.state_name}, and cannot be cancelled.",
            do=f"See why: surefoot why {to_text(run_id)}",
        )
    request = {
        "workspace_id": WORKSPACE,
        "run_id": run_id,
        "kind": CANCEL,
        "asked_us": now_us,
        "asked_by": asked_by,
    }
    dialect_of(connection).insert_missing(connection, requests, [request])
    c = requests.c
    stands = connection.execute(
        select(c.asked_by, c.asked_us).where(c.workspace_id == WORKSPACE, c.run_id == run_id, c.kind == CANCEL)
    ).one()
    return Asked(row.writer_id, stands.asked_by, stands.asked_us)


def forget_requests(connection: Connection, run_ids: Collection[bytes]) -> None:
    """Nothing is asked of these runs any more: they begin a new epoch, or were deleted."""
    c = requests.c
    connection.execute(delete(requests).where(c.workspace_id == WORKSPACE, c.run_id.in_(run_ids)))
