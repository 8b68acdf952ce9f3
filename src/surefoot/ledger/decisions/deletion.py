"""Deleting runs and artifacts because somebody asked: what has not ended is refused; tombstones keep late facts from
undoing it.

May import: core, tables, removal, artifact_rows, queries' records.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select

from surefoot.core.errors import NotFound, Refused
from surefoot.core.ids import to_text
from surefoot.core.states import FINAL, StateType
from surefoot.ledger.artifact_rows import remove_artifacts, some_artifacts
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_runs import in_chunks
from surefoot.ledger.removal import Removal, Removed, descend, open_below
from surefoot.ledger.tables import WORKSPACE, artifacts, flow_runs, logs, task_runs, tombstones
from surefoot.ledger.unindexed import check_no_run_is_lost

__all__ = ["count_below", "delete_artifacts", "deletion_of_flow_runs", "deletion_of_task_runs"]


def deletion_of_flow_runs(connection: Connection, ids: Sequence[bytes], now_us: int) -> Removal:
    """The removal of flow runs, their task runs, the flow runs that they called, and all lines.

    Raises NotFound for one that is not there, and Refused for one that has not ended, or has a task run or called a
    flow that has not.
    """
    _check_there(connection, flow_runs, ids, "flow run")
    for root in open_below(connection, descend(connection, ids))[:1]:
        raise _not_ended(connection, root)
    return Removal(ids, now_us=now_us, leave_tombstones=True)


def deletion_of_task_runs(connection: Connection, ids: Sequence[bytes], now_us: int) -> Removal:
    """The removal of task runs, of what they called, and of all lines. Raises likewise."""
    _check_there(connection, task_runs, ids, "task run")
    tasks, flows = below_tasks(connection, ids)
    for run_id in open_below(connection, descend(connection, flows))[:1]:
        raise _not_ended(connection, run_id)
    c = task_runs.c
    for chunk in in_chunks(tasks):
        found = select(c.name, c.id, c.state_name).where(c.workspace_id == WORKSPACE, c.id.in_(chunk))
        unended = connection.execute(found.where(c.state_type.not_in([kind.value for kind in FINAL]))).first()
        if unended is not None:
            raise Refused(
                f"Task run {unended.name!r} ({to_text(unended.id)}) has not ended: it is {unended.state_name}.",
                do="Wait for its end, or end its flow run: surefoot flow-run cancel RUN",
            )
    return Removal(flows, tasks, now_us=now_us, leave_tombstones=True)


def count_below(connection: Connection, flow_run_ids: Sequence[bytes], task_run_ids: Sequence[bytes]) -> Removed:
    """What the deletion of these runs would take with it."""
    flows, tasks = list(flow_run_ids), list(task_run_ids)
    if tasks:
        tasks, called = below_tasks(connection, tasks)
        flows += called
    nodes = descend(connection, flows)
    counts = {"task_runs": len(tasks), "logs": 0, "artifacts": 0}
    for chunk in in_chunks(nodes):
        counts["task_runs"] += _count(connection, task_runs, task_runs.c.flow_run_id.in_(chunk))
        counts["logs"] += _count(connection, logs, logs.c.flow_run_id.in_(chunk))
        counts["artifacts"] += _count(connection, artifacts, _among(artifacts.c.flow_run_id, chunk))
    for chunk in in_chunks(tasks):
        counts["logs"] += _count(connection, logs, _among(logs.c.task_run_id, chunk))
        counts["artifacts"] += _count(connection, artifacts, _among(artifacts.c.task_run_id, chunk))
    return Removed(flow_runs=len(nodes), **counts)


def delete_artifacts(connection: Connection, ids: Sequence[bytes], now_us: int) -> tuple[int, list[str]]:
    """Delete artifacts: how many there were, and where the data of some lies. In a transaction that writes."""
    count, places = 0, []
    for chunk in in_chunks(ids):
        rows = some_artifacts(connection, artifacts.c.id.in_(chunk), limit=len(chunk))
        left = [{"workspace_id": WORKSPACE, "run_id": row.id, "deleted_us": now_us} for row in rows]
        dialect_of(connection).upsert(connection, tombstones, left)
        places += remove_artifacts(connection, rows)
        count += len(rows)
    return count, places


def _among(column: ColumnElement[Any], ids: Sequence[bytes]) -> ColumnElement[bool]:
    return and_(column.is_not(None), column.in_(ids))


def below_tasks(connection: Connection, ids: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Some task runs with the task runs below them, and the flow runs that these called."""
    t, f = task_runs.c, flow_runs.c
    found = dict.fromkeys(ids)
    flows: list[bytes] = []
    level = list(found)
    while level:
        more: list[bytes] = []
        for chunk in in_chunks(level):
            of = select(t.flow_run_id).where(t.workspace_id == WORKSPACE, t.id.in_(chunk)).distinct()
            homes = [run_id for run_id in connection.execute(of).scalars() if run_id is not None]
            # What a task calls belongs to the same flow run: by that it is found. A task outside of any flow calls
            # flows that stand for themselves.
            for few in in_chunks(homes):
                tasks = select(t.id).where(t.workspace_id == WORKSPACE, t.flow_run_id.in_(few))
                more += connection.execute(tasks.where(t.parent_task_run_id.in_(chunk))).scalars()
                called = select(f.id).where(f.workspace_id == WORKSPACE, f.parent_flow_run_id.in_(few))
                flows += connection.execute(called.where(f.parent_task_run_id.in_(chunk))).scalars()
        level = [run_id for run_id in more if run_id not in found]
        found |= dict.fromkeys(level)
    return list(found), flows


def _count(connection: Connection, table: Table, which: Any) -> int:
    query = select(func.count()).select_from(table).where(table.c.workspace_id == WORKSPACE, which)
    return connection.execute(query).scalar() or 0


def _check_there(connection: Connection, runs: Table, ids: Collection[bytes], noun: str) -> None:
    there: set[bytes] = set()
    for chunk in in_chunks(list(ids)):
        there.update(
            connection.execute(
                select(runs.c.id).where(runs.c.workspace_id == WORKSPACE, runs.c.id.in_(chunk))
            ).scalars()
        )
    for run_id in ids:
        if run_id not in there:
            check_no_run_is_lost(connection, run_id, runs)
            raise NotFound(
                f"No {noun} has the id {to_text(run_id)}.",
                do=f"See those that there are: surefoot {noun.replace(' ', '-')} ls",
            )


def _not_ended(connection: Connection, run_id: bytes) -> Refused:
    c = flow_runs.c
    row = connection.execute(
        select(c.name, c.state_name, c.state_type).where(c.workspace_id == WORKSPACE, c.id == run_id)
    ).one()
    what = f"Flow run {row.name!r} ({to_text(run_id)})"
    if StateType(row.state_type) in FINAL:
        return Refused(f"{what} has a task that goes on, or is just being started again.", do="Wait for its end.")
    return Refused(
        f"{what} has not ended: it is {row.state_name}.", do=f"Cancel it first: surefoot flow-run cancel {row.name}"
    )
