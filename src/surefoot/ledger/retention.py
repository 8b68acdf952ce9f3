"""Retention: what is older than its age goes, a little at a time; daily summaries of it stay. Keeps promise 8.

Each step is a few milliseconds of work within the caller's transaction. The oldest go first, whole trees of runs at a
time, and never one that has not ended. May import: core, tables, indexes, dialects, removal, artifact_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, false, or_, select, tuple_

from surefoot.core.ids import id_at
from surefoot.ledger.artifact_rows import has_newer, remove_artifacts, some_artifacts
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.indexes import end_order, is_unended
from surefoot.ledger.removal import Removal, Removed, delete_by_key, delete_lines, is_last_of_asset
from surefoot.ledger.tables import (
    WORKSPACE,
    artifacts,
    asset_edges,
    asset_events,
    early_states,
    flow_runs,
    logs,
    positions,
    task_runs,
    tombstones,
    unknown_facts,
    variable_changes,
    variables,
    writers,
)

__all__ = ["Cutoffs", "Retaining"]

_ROOTS: Final = 500  # at once
_ROWS: Final = 1000
_DAY_US: Final = 86_400_000_000  # a run may go on for so long after it told on what an asset rests
_THERE_MAX: Final = 10_000  # folders: where there are more, folding has to get on before what is known of them can go


class Cutoffs(msgspec.Struct, frozen=True):
    """Up to when what is deleted, in microseconds since 1970; 0 deletes nothing.

    Args:
        runs_us: runs that ended before, with all that is below them; artifacts of no run that were made before. The
            newest artifact of each key stays.
        logs_us: lines written before, whatever became of their run.
        journal_us: what was only needed to know how far journals were read, of writers that ended before and have no
            folder any more; and the tombstones of runs deleted before.
    """

    runs_us: int = 0
    logs_us: int = 0
    journal_us: int = 0


class Retaining:
    """One pass of retention.

    Args:
        cutoffs: what is too old.
        now_us: the ledger's clock.
        there: the writers that have a folder in the journal.
        home_id: whose journal that is, where several homes share the ledger: nothing is known of the others' then.
    """

    def __init__(
        self, cutoffs: Cutoffs, now_us: int, there: Collection[bytes] = (), home_id: bytes | None = None
    ) -> None:
        self.lines = 0
        self.artifacts = 0  # whose runs had gone
        self.flow_runs: list[bytes] = []  # that went
        self.places: list[str] = []  # where data of artifacts that went lies
        self._cutoffs = cutoffs
        self._now_us = now_us
        self._there = frozenset(there)
        self._home_id = home_id
        self._runs = Removed()
        self._steps = self._plan()
        self._step = next(self._steps, _nothing)

    @property
    def removed(self) -> Removed:
        """What went so far."""
        return self._runs.plus(Removed(logs=self.lines, artifacts=self.artifacts))

    def step(self, connection: Connection) -> bool:
        """Do a bit more. False when all is done."""
        if not self._step(connection):
            self._step = next(self._steps, _nothing)
        return self._step is not _nothing

    def _plan(self) -> Iterator[Callable[[Connection], bool]]:
        """What is done, one after another, each until it says that nothing is left."""
        cutoffs = self._cutoffs
        if cutoffs.logs_us:
            yield self._delete_lines
        if cutoffs.runs_us:
            yield _Walk(self, flow_runs, cutoffs.runs_us, self._now_us)
            yield _Walk(self, task_runs, cutoffs.runs_us, self._now_us)
            yield self._forget_early
            yield self._forget_artifacts
            yield _EventWalk(cutoffs.runs_us)
            yield _EdgeWalk(cutoffs.runs_us)
            yield self._forget_variables
        if len(self._there) > _THERE_MAX:
            return
        if cutoffs.journal_us:
            yield self._forget_positions
            yield self._forget_tombstones
        if cutoffs.runs_us:
            yield self._forget_writers
            yield self._forget_unknown

    def count(self, removal: Removal) -> None:
        """Note what a walk removed."""
        self._runs = self._runs.plus(removal.removed)
        self.flow_runs += removal.flow_runs
        self.places += removal.places

    def _delete_lines(self, connection: Connection) -> bool:
        found = delete_lines(connection, logs.c.order_us < self._cutoffs.logs_us, _ROWS)
        self.lines += found
        return found == _ROWS

    def _forget_early(self, connection: Connection) -> bool:
        """States whose run's creation never came."""
        c = early_states.c
        old = c.run_id < id_at(self._cutoffs.runs_us)
        return _delete_some(connection, early_states, (c.run_id,), old)

    def _forget_artifacts(self, connection: Connection) -> bool:
        """Artifacts whose run is no more, or that never had one, but for the newest of each key."""
        c, f, t = artifacts.c, flow_runs.c, task_runs.c
        of_flow = exists().where(f.workspace_id == WORKSPACE, f.id == c.flow_run_id)
        of_task = exists().where(t.workspace_id == WORKSPACE, t.id == c.task_run_id)
        old = c.id < id_at(self._cutoffs.runs_us)
        rows = some_artifacts(
            connection, old, ~of_flow, or_(c.flow_run_id.is_not(None), ~of_task), has_newer(), limit=_ROWS
        )
        if rows:
            self.places += remove_artifacts(connection, rows)
            self.artifacts += len(rows)
        return len(rows) == _ROWS

    def _forget_variables(self, connection: Connection) -> bool:
        """What became of variables that were removed so long ago."""
        c, v, newer = variable_changes.c, variables.c, variable_changes.alias("newer").c
        is_there = exists().where(v.workspace_id == WORKSPACE, v.name == c.name)
        is_new = exists().where(
            newer.workspace_id == WORKSPACE, newer.name == c.name, newer.at_us >= self._cutoffs.runs_us
        )
        return _delete_some(connection, variable_changes, (c.name, c.number), and_(~is_there, ~is_new))

    def _forget_positions(self, connection: Connection) -> bool:
        """How far journals were read that are no more."""
        c, w = positions.c, writers.c
        alive = exists().where(
            w.workspace_id == WORKSPACE,
            w.id == c.writer_id,
            or_(w.ended_us.is_(None), w.ended_us >= self._cutoffs.journal_us, self._is_of_another_home()),
        )
        old = and_(c.writer_id < id_at(self._cutoffs.journal_us), ~alive, c.writer_id.not_in(self._there))
        return _delete_some(connection, positions, (c.writer_id, c.stream, c.segment), old)

    def _is_of_another_home(self) -> ColumnElement[bool]:
        return false() if self._home_id is None else writers.c.home_id.is_distinct_from(self._home_id)

    def _forget_tombstones(self, connection: Connection) -> bool:
        """A journal that was begun after a deletion has nothing to tell of what was deleted."""
        c = tombstones.c
        before_us = min([self._cutoffs.journal_us, *map(_begun_us, self._there)])
        if self._home_id is not None:
            before_us = min(before_us, self._cutoffs.runs_us)
        return _delete_some(connection, tombstones, (c.run_id,), c.deleted_us < before_us)

    def _forget_writers(self, connection: Connection) -> bool:
        c = writers.c
        before_us = self._cutoffs.runs_us
        owned = [
            exists().where(runs.c.workspace_id == WORKSPACE, runs.c.writer_id == c.id, is_unended(runs))
            for runs in (flow_runs, task_runs)
        ]
        old = and_(
            c.id < id_at(before_us),
            c.ended_us < before_us,
            c.id.not_in(self._there),
            ~self._is_of_another_home(),
            *(~one for one in owned),
        )
        return _delete_some(connection, writers, (c.id,), old)

    def _forget_unknown(self, connection: Connection) -> bool:
        """What no version ever came to read, of writers that are forgotten."""
        c, w = unknown_facts.c, writers.c
        known = exists().where(w.workspace_id == WORKSPACE, w.id == c.writer_id)
        old = and_(c.writer_id < id_at(self._cutoffs.runs_us), ~known)
        return _delete_some(connection, unknown_facts, (c.writer_id, c.stream, c.segment, c.offset), old)


class _Walk:
    """Walks over the runs of a table that ended before an instant and are called by none that is there."""

    def __init__(self, pass_: Retaining, runs: Table, before_us: int, now_us: int) -> None:
        self._pass = pass_
        self._runs = runs
        self._before_us = before_us
        self._now_us = now_us
        self._behind = 0, b""  # some have to stay: what is open below them would be found again and again
        self._removal: Removal | None = None

    def __call__(self, connection: Connection) -> bool:
        if self._removal is None:
            rows = self._next_roots(connection)
            if not rows:
                return False
            self._behind = rows[-1].ended, rows[-1].id
            ids = [row.id for row in rows]
            flows, tasks = (ids, []) if self._runs is flow_runs else ([], ids)
            self._removal = Removal(flows, tasks, now_us=self._now_us, leave_summaries=True)
        if not self._removal.step(connection):
            self._pass.count(self._removal)
            self._removal = None
        return True

    def _next_roots(self, connection: Connection) -> list[Row[Any]]:
        c, p = self._runs.c, flow_runs.alias("parent").c
        parent = c.parent_flow_run_id if self._runs is flow_runs else c.flow_run_id
        called = exists().where(p.workspace_id == WORKSPACE, p.id == parent)
        ended = end_order(self._runs)
        query = (
            select(c.id, ended.label("ended"))
            .where(c.workspace_id == WORKSPACE, ended < self._before_us, ended >= max(1, self._behind[0]))
            .where(tuple_(ended, c.id) > self._behind, or_(parent.is_(None), ~called))
            .order_by(ended, c.id)
            .limit(_ROOTS)
        )
        return list(connection.execute(query))


class _EventWalk:
    """Walks over what became of attempts to make assets; of each asset the newest stays, and the last that made it.

    So many may have to stay that they are not to be looked at again with each step.
    """

    def __init__(self, before_us: int) -> None:
        self._before_us = before_us
        self._behind = -1, b"", b"", 0

    def __call__(self, connection: Connection) -> bool:
        c = asset_events.c
        key = c.at_us, c.asset_id, c.run_id, c.epoch
        query = (
            select(*asset_events.primary_key.columns, c.at_us, is_last_of_asset().label("stays"))
            .where(c.workspace_id == WORKSPACE, c.at_us >= self._behind[0], c.at_us < self._before_us)
            .where(tuple_(*key) > self._behind)
            .order_by(*key)
            .limit(_ROWS)
        )
        rows = connection.execute(query).mappings().all()
        if rows:
            last = rows[-1]
            self._behind = last["at_us"], last["asset_id"], last["run_id"], last["epoch"]
            dialect_of(connection).write_many(
                connection, delete_by_key(asset_events), [dict(row) for row in rows if not row["stays"]]
            )
        return len(rows) == _ROWS


class _EdgeWalk:
    """Walks over what assets rested on: what was told by runs of which nothing is left goes."""

    def __init__(self, before_us: int) -> None:
        self._before_us = before_us
        self._behind = b"", b""

    def __call__(self, connection: Connection) -> bool:
        c, e = asset_edges.c, asset_events.c
        same = or_(e.flow_run_id == c.flow_run_id, e.run_id == c.run_id)
        left = exists().where(e.workspace_id == WORKSPACE, e.asset_id == c.asset_id, e.at_us < self._before_us, same)
        key = c.asset_id, c.upstream_id
        query = (
            select(*asset_edges.primary_key.columns, and_(c.told_us < self._before_us - _DAY_US, ~left).label("goes"))
            .where(c.workspace_id == WORKSPACE, tuple_(*key) > self._behind)
            .order_by(*key)
            .limit(_ROWS)
        )
        rows = connection.execute(query).mappings().all()
        if rows:
            self._behind = rows[-1]["asset_id"], rows[-1]["upstream_id"]
            dialect_of(connection).write_many(
                connection, delete_by_key(asset_edges), [dict(row) for row in rows if row["goes"]]
            )
        return len(rows) == _ROWS


def _begun_us(writer_id: bytes) -> int:
    return int.from_bytes(writer_id[:6], "big") * 1000


def _delete_some(
    connection: Connection, table: Table, key: tuple[ColumnElement[Any], ...], which: ColumnElement[bool]
) -> bool:
    """Delete some rows that fit. Whether there may be more."""
    query = select(table.c.workspace_id, *key).where(table.c.workspace_id == WORKSPACE, which).limit(_ROWS)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if rows:
        dialect_of(connection).write_many(connection, delete_by_key(table), rows)
    return len(rows) == _ROWS


def _nothing(connection: Connection) -> bool:
    return False
