"""The history of a run, every epoch of it. May import: core, tables, history, fold_writers."""

from __future__ import annotations

from itertools import groupby

from sqlalchemy import Connection, select

from surefoot.core.errors import NotFound
from surefoot.core.wire import State
from surefoot.ledger.fold_writers import end_of, load_writers
from surefoot.ledger.history import Entry, illegal_steps, presumed_end, unpack
from surefoot.ledger.queries.rows import id_bytes, state_of
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs
from surefoot.ledger.unindexed import check_no_run_is_lost

__all__ = ["entries_of", "list_states"]


def list_states(connection: Connection, run_id: str) -> list[State]:
    """The states of a flow run or task run, oldest first. Raises NotFound if there is no such run."""
    key = id_bytes(run_id)
    for table in (flow_runs, task_runs):
        query = select(table.c.history).where(table.c.workspace_id == WORKSPACE, table.c.id == key)
        packed = connection.execute(query).scalar()
        if packed is not None:
            history = unpack(packed)
            illegal = illegal_steps(history)
            return [
                state_of(key, entry, is_task=table is task_runs, illegal=(entry.epoch, entry.n) in illegal)
                for entry in entries_of(connection, history)
            ]
    check_no_run_is_lost(connection, key, flow_runs, task_runs)
    raise NotFound(f"There is no run with the id {run_id}.", do="Look for it with: surefoot flow-run ls")


def entries_of(connection: Connection, history: list[Entry]) -> list[Entry]:
    """A history, with the end of each epoch whose writer ended before it said one."""
    writers = load_writers(connection, {entry.writer_id for entry in history})
    told: list[Entry] = []
    for _, epoch in groupby(history, key=lambda entry: entry.epoch):
        told += epoch
        presumed = presumed_end(told[-1], end_of(writers.get(told[-1].writer_id)))
        if presumed is not None:
            told.append(presumed)
    return told
