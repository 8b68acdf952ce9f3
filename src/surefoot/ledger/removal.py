"""Removing runs: whole trees (a flow run with its tasks, the flows that it called, lines, artifacts), bit by bit.

Each `step` is a few milliseconds of work within the caller's transaction; a tree's root goes last, so whoever comes
after a process that died in between finds it and goes on. May import: core, tables, indexes, dialects, summaries,
artifact_rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    or_,
    select,
    tuple_,
)

from surefoot.core.states import FINAL, StateType
from surefoot.ledger.artifact_rows import has_newer, remove_artifacts, some_artifacts
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_runs import in_chunks
from surefoot.ledger.indexes import uneven
from surefoot.ledger.summaries import NO_FLOW, add_to_summaries
from surefoot.ledger.tables import (
    WORKSPACE,
    artifacts,
    asset_events,
    assets,
    epochs,
    flow_runs,
    leases,
    logs,
    requests,
    task_runs,
    tombstones,
)

__all__ = ["Removal", "Removed", "delete_by_key", "delete_lines", "descend", "is_last_of_asset", "open_below"]

_NODES: Final = 200  # flow runs whose tasks and lines are looked for at once
_ROWS: Final = 500  # of a table at once
_UNENDED: Final = [kind.value for kind in StateType if kind not in FINAL]


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How much was deleted, or would be."""

    flow_runs: int = 0
    task_runs: int = 0
    logs: int = 0
    artifacts: int = 0

    def plus(self, other: Removed) -> Removed:
        """Both together.

        >>> Removed(flow_runs=1).plus(Removed(flow_runs=1, logs=3))
        Removed(flow_runs=2, task_runs=0, logs=3, artifacts=0)
        """
        return Removed(
            flow_runs=self.flow_runs + other.flow_runs,
            task_runs=self.task_runs + other.task_runs,
            logs=self.logs + other.logs,
            artifacts=self.artifacts + other.artifacts,
        )


class Removal:
    """The removal of some flow runs with all that is below them, and of some task runs with their lines.

    Args:
        flow_run_ids: the roots. One that has not ended, or has something below that has not, stays as it is.
        task_run_ids: task runs that go alone.
        now_us: the ledger's clock.
        tombstones: whether facts that come later must not bring them back.
        summaries: whether their number is kept, by flow, day and state; and the newest artifact of each key stays.
    """

    def __init__(
        self,
        flow_run_ids: Iterable[bytes],
        task_run_ids: Iterable[bytes] = (),
        *,
        now_us: int,
        leave_tombstones: bool = False,
        leave_summaries: bool = False,
    ) -> None:
        self.removed = Removed()
        self.flow_runs: list[bytes] = []  # that went, for whoever keeps something else of theirs
        self.places: list[str] = []  # where data of artifacts that went lies
        self._roots = deque(flow_run_ids)
        self._tasks = deque(task_run_ids)
        self._nodes: deque[bytes] = deque()  # the deepest first
        self._now_us = now_us
        self._leave_tombstones = leave_tombstones
        self._leave_summaries = leave_summaries

    def step(self, connection: Connection) -> bool:
        """Do a bit more. False when all is done."""
        if self._nodes:
            self._remove_nodes(connection, [self._nodes[n] for n in range(min(_NODES, len(self._nodes)))])
        elif self._roots:
            roots = [self._roots.popleft() for _ in range(min(_NODES, len(self._roots)))]
            self._nodes.extend(self._ended_trees(connection, roots))
        elif self._tasks:
            tasks = [self._tasks[n] for n in range(min(_NODES, len(self._tasks)))]
            self._remove_tasks(connection, tasks)
        return bool(self._nodes or self._roots or self._tasks)

    def _ended_trees(self, connection: Connection, roots: list[bytes]) -> list[bytes]:
        trees = {
            root: descend(connection, [root]) if has_called else [root]
            for root, has_called in self._callers(connection, roots)
        }
        found = [node for tree in trees.values() for node in tree]
        if not open_below(connection, found):
            return found
        ended = [tree for tree in trees.values() if not open_below(connection, tree)]
        return [node for tree in ended for node in tree]

    def _callers(self, connection: Connection, roots: list[bytes]) -> list[tuple[bytes, bool]]:
        """Each root that is there, and whether it called other flows: most do not, and need no walk."""
        c = flow_runs.c
        there = connection.execute(select(c.id).where(c.workspace_id == WORKSPACE, c.id.in_(roots))).scalars().all()
        called = select(c.parent_flow_run_id).where(c.workspace_id == WORKSPACE, c.parent_flow_run_id.in_(roots))
        callers = set(connection.execute(called.distinct()).scalars())
        return [(root, root in callers) for root in roots if root in set(there)]

    def _remove_nodes(self, connection: Connection, nodes: list[bytes]) -> None:
        c = task_runs.c
        of_nodes = select(c.id, c.flow_run_id, c.created_us, c.state_type, c.state_name, c.ran_us).where(
            c.workspace_id == WORKSPACE, c.flow_run_id.in_(nodes)
        )
        tasks = connection.execute(of_nodes.limit(_ROWS)).all()
        if tasks:
            flow_of = self._flows_of(connection, nodes) if self._leave_summaries else {}
            self._remove_rows(connection, task_runs, tasks, [flow_of.get(row.flow_run_id, NO_FLOW) for row in tasks])
            return
        lines = delete_lines(connection, logs.c.flow_run_id.in_(nodes), _ROWS)
        if lines:
            self.removed = self.removed.plus(Removed(logs=lines))
            return
        if self._remove_artifacts(
            connection, and_(artifacts.c.flow_run_id.is_not(None), artifacts.c.flow_run_id.in_(nodes))
        ):
            return
        c = flow_runs.c
        of_nodes = select(c.id, c.flow_id, c.created_us, c.state_type, c.state_name, c.ran_us).where(
            c.workspace_id == WORKSPACE, c.id.in_(nodes)
        )
        rows = connection.execute(of_nodes).all()
        for theirs in (epochs, leases):
            connection.execute(
                delete(theirs).where(theirs.c.workspace_id == WORKSPACE, theirs.c.flow_run_id.in_(nodes))
            )
        self._remove_rows(connection, flow_runs, rows, [row.flow_id for row in rows])
        self.flow_runs += nodes
        for _ in nodes:
            self._nodes.popleft()

    def _flows_of(self, connection: Connection, nodes: list[bytes]) -> dict[bytes, bytes]:
        c = flow_runs.c
        query = select(c.id, c.flow_id).where(c.workspace_id == WORKSPACE, c.id.in_(nodes))
        return {row.id: row.flow_id for row in connection.execute(query)}

    def _remove_tasks(self, connection: Connection, ids: list[bytes]) -> None:
        lines = delete_lines(connection, and_(logs.c.task_run_id.is_not(None), logs.c.task_run_id.in_(ids)), _ROWS)
        if lines:
            self.removed = self.removed.plus(Removed(logs=lines))
            return
        if self._remove_artifacts(
            connection, and_(artifacts.c.task_run_id.is_not(None), artifacts.c.task_run_id.in_(ids))
        ):
            return
        c = task_runs.c
        query = select(c.id, c.created_us, c.state_type, c.state_name, c.ran_us)
        rows = connection.execute(query.where(c.workspace_id == WORKSPACE, c.id.in_(ids))).all()
        self._remove_rows(connection, task_runs, rows, [NO_FLOW for _ in rows])
        for _ in ids:
            self._tasks.popleft()

    def _remove_artifacts(self, connection: Connection, which: ColumnElement[bool]) -> int:
        """Remove some artifacts of runs. How many; none if there are no more."""
        stays = [has_newer()] if self._leave_summaries else []
        rows = some_artifacts(connection, which, *stays, limit=_ROWS)
        if rows:
            self.places += remove_artifacts(connection, rows)
            self.removed = self.removed.plus(Removed(artifacts=len(rows)))
        return len(rows)

    def _remove_rows(self, connection: Connection, runs: Table, rows: Sequence[Any], flows: Sequence[bytes]) -> None:
        if self._leave_summaries:
            add_to_summaries(connection, rows, flows, is_task=runs is task_runs)
        ids = [row.id for row in rows]
        dialect = dialect_of(connection)
        if self._leave_tombstones:
            left = [{"workspace_id": WORKSPACE, "run_id": run_id, "deleted_us": self._now_us} for run_id in ids]
            dialect.upsert(connection, tombstones, left)
        for chunk in in_chunks(ids):
            connection.execute(
                delete(requests).where(requests.c.workspace_id == WORKSPACE, requests.c.run_id.in_(chunk))
            )
            connection.execute(delete(runs).where(runs.c.workspace_id == WORKSPACE, runs.c.id.in_(chunk)))
            if runs is task_runs:
                its = asset_events.c.workspace_id == WORKSPACE, asset_events.c.run_id.in_(chunk)
                connection.execute(delete(asset_events).where(*its, ~is_last_of_asset()))
        more = Removed(task_runs=len(ids)) if runs is task_runs else Removed(flow_runs=len(ids))
        self.removed = self.removed.plus(more)


def descend(connection: Connection, roots: Iterable[bytes]) -> list[bytes]:
    """The roots and all flow runs that were called below them, the deepest first."""
    c = flow_runs.c
    found = dict.fromkeys(roots)
    level = list(found)
    while level:
        query = select(c.id).where(c.workspace_id == WORKSPACE)
        called = [
            run_id
            for chunk in in_chunks(level)
            for run_id in connection.execute(query.where(c.parent_flow_run_id.in_(chunk))).scalars()
        ]
        level = [run_id for run_id in called if run_id not in found]
        found |= dict.fromkeys(level)
    return list(reversed(found))


def open_below(connection: Connection, nodes: Sequence[bytes]) -> list[bytes]:
    """Those of some flow runs that have not ended, have a task that has not, or are just being started anew."""
    c, t, held = flow_runs.c, task_runs.c, leases.c
    now_us = dialect_of(connection).now_us(connection)
    newer = exists().where(c.workspace_id == WORKSPACE, c.id == held.flow_run_id, c.epoch < held.epoch)
    found: list[bytes] = []
    for chunk in in_chunks(nodes):
        found += connection.execute(_open(flow_runs, c.id, chunk)).scalars()
        found += connection.execute(_open(task_runs, t.flow_run_id, chunk)).scalars()
        begun = select(held.flow_run_id).where(held.workspace_id == WORKSPACE, held.flow_run_id.in_(chunk))
        found += connection.execute(begun.where(held.until_us > now_us, newer)).scalars()
    return list(dict.fromkeys(found))


def _open(runs: Table, by: ColumnElement[Any], ids: Sequence[bytes]) -> Select[Any]:
    return select(by).where(
        runs.c.workspace_id == WORKSPACE, by.in_(ids), runs.c.state_type.in_(_UNENDED), uneven(runs)
    )


def is_last_of_asset() -> ColumnElement[bool]:
    """The newest event of each asset, and the last that made it: these stay when their runs go."""
    c, newer = asset_events.c, asset_events.alias("newer").c
    later = exists().where(
        newer.workspace_id == WORKSPACE,
        newer.asset_id == c.asset_id,
        newer.at_us >= c.at_us,
        tuple_(newer.at_us, newer.run_id, newer.epoch) > tuple_(c.at_us, c.run_id, c.epoch),
    )
    a = assets.c
    made = exists().where(a.workspace_id == WORKSPACE, a.id == c.asset_id, a.completed_us == c.at_us)
    return or_(~later, made)


@cache
def delete_by_key(table: Table) -> Delete:
    """The statement that deletes the row of a table with a primary key, whose columns are its parameters."""
    return delete(table).where(*(column == bindparam(column.name) for column in table.primary_key.columns))


def delete_lines(connection: Connection, which: ColumnElement[bool], limit: int) -> int:
    """Delete at most `limit` lines, the oldest of those that fit first. Returns how many."""
    query = select(*logs.primary_key.columns).where(logs.c.workspace_id == WORKSPACE, which).limit(limit)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    dialect_of(connection).write_many(connection, delete_by_key(logs), rows)
    return len(rows)
