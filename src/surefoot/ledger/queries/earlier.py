"""Earlier runs: what is known of runs that are to be started again. May import: core, tables, history."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Table, case, select

from surefoot.core.errors import NotFound
from surefoot.core.facts import ResultAt, RunStart
from surefoot.core.ports import Earlier, Retryable
from surefoot.core.states import COMPLETED, FINAL, RUNNING, StateType
from surefoot.ledger.history import Entry, unpack
from surefoot.ledger.tables import WORKSPACE, flow_runs, flows, task_runs

__all__ = ["earlier_runs_of", "last_unsuccessful", "nothing_left", "retryable_of"]

_result: Final = msgspec.msgpack.Decoder(ResultAt)
_UNSUCCESSFUL: Final = [kind.value for kind in FINAL if kind is not StateType.COMPLETED]
_start: Final = msgspec.json.Decoder(dict[str, Any])


def earlier_runs_of(connection: Connection, flow_run_id: bytes) -> dict[bytes, Earlier]:
    """The task runs and subflow runs of a flow run, by their keys; those without one cannot be found again.

    Where several have the same key, since the process that counted them died, the one that completed last counts.
    """
    found: dict[bytes, Earlier] = {}
    for runs, parent in ((task_runs, task_runs.c.flow_run_id), (flow_runs, flow_runs.c.parent_flow_run_id)):
        is_completed = runs.c.state_type == COMPLETED.value
        columns = [*_columns(runs), runs.c.key, case((is_completed, None), else_=runs.c.history).label("history")]
        if runs is task_runs:
            columns.append(runs.c.unkeyed)
        query = select(*columns).where(runs.c.workspace_id == WORKSPACE, parent == flow_run_id, runs.c.key.is_not(None))
        for row in connection.execute(query):
            key, run = bytes(row.key), _earlier(row, row.unkeyed if runs is task_runs else None, runs is task_runs)
            before = None if row.history is None else _completed_before(unpack(row.history))
            if before is not None:
                run = msgspec.structs.replace(
                    run,
                    state_type=before.state_type,
                    state_name=before.state_name,
                    message=before.message,
                    result=before.result,
                    unkept=before.unkept,
                )
            other = found.get(key)
            if other is None or _rank(other) < _rank(run):
                found[key] = run
    return found


def retryable_of(connection: Connection, flow_run_id: bytes) -> tuple[Retryable, bytes | None]:
    """A flow run, as it would be started again, and the one that it is part of."""
    c = flow_runs.c
    columns = [
        *_columns(flow_runs),
        c.flow_name,
        c.tags,
        c.parameters,
        c.parameters_at,
        c.unkept_parameters,
        c.start,
        c.parent_flow_run_id,
    ]
    row = connection.execute(select(*columns).where(c.workspace_id == WORKSPACE, c.id == flow_run_id)).one()
    retryable = Retryable(
        _earlier(row, None, is_task=False),
        row.flow_name,
        row.epoch + 1,
        tuple(msgspec.json.decode(row.tags, type=list[str])),
        row.parameters.encode(),
        _result_of(row.parameters_at),
        msgspec.json.decode(row.unkept_parameters, type=dict[str, str]) if row.unkept_parameters else {},
        None if row.start is None else msgspec.convert([*_start.decode(row.start).values()], RunStart),
    )
    parent = row.parent_flow_run_id
    return retryable, None if parent is None else bytes(parent)


def last_unsuccessful(connection: Connection, flow_name: str | None) -> bytes | None:
    """The newest flow run, no part of another, that ended without completing."""
    c = flow_runs.c
    query = (
        select(c.id)
        .where(c.workspace_id == WORKSPACE, c.state_type.in_(_UNSUCCESSFUL), c.parent_flow_run_id.is_(None))
        .order_by(c.id.desc())
        .limit(1)
    )
    if flow_name is not None:
        query = query.where(c.flow_name == flow_name)
    found = connection.execute(query).scalar()
    return None if found is None else bytes(found)


def nothing_left(connection: Connection, flow_name: str | None) -> NotFound:
    """The error that says that there is no run to go on with, of that flow if one is named; and what is to be done."""
    if flow_name is None:
        what = "No flow run ended without completing, so there is none to go on with."
        return NotFound(what, do="See those that there are: surefoot flow-run ls")
    c = flows.c
    names = list(connection.execute(select(c.name).where(c.workspace_id == WORKSPACE)).scalars())
    if flow_name not in names:
        near = get_close_matches(flow_name.replace("_", "-"), names, n=1)
        return NotFound(
            f"No run of a flow {flow_name!r} is recorded.",
            do=f"Did you mean: surefoot flow-run retry --last {near[0]}" if near else "See them: surefoot flow ls",
        )
    within = _last_within_another(connection, flow_name)
    if within is not None:
        run, around = within
        return NotFound(
            f"Flow run {run!r}, the last of flow {flow_name!r} that did not complete, is a part of another.",
            do=f"Go on with that one: surefoot flow-run retry {around}",
        )
    what = f"No flow run of flow {flow_name!r} ended without completing, so there is none to go on with."
    return NotFound(what, do=f"See those that there are: surefoot flow-run ls --flow {flow_name}")


def _last_within_another(connection: Connection, flow_name: str) -> tuple[str, str] | None:
    """The name of the newest run of a flow, within another's, that did not complete; and that of the outermost."""
    c = flow_runs.c
    query = select(c.name, c.parent_flow_run_id).where(c.workspace_id == WORKSPACE)
    found = connection.execute(
        query.where(c.flow_name == flow_name, c.state_type.in_(_UNSUCCESSFUL)).order_by(c.id.desc()).limit(1)
    ).first()
    if found is None:
        return None
    above = found
    while above.parent_flow_run_id is not None:
        over = connection.execute(query.where(c.id == above.parent_flow_run_id)).first()
        if over is None:
            return None  # it is not taken in yet
        above = over
    return found.name, above.name


def _columns(runs: Table) -> list[Any]:
    c = runs.c
    return [
        c.id,
        c.name,
        c.epoch,
        c.state_type,
        c.state_name,
        c.message,
        c.run_count,
        c.start_us,
        c.ran_us,
        c.result,
        c.unkept,
        c.parent_task_run_id,
    ]


def _completed_before(history: list[Entry]) -> Entry | None:
    """The state that a run completed with, if all that a later epoch did with it was to begin it, and not to call it.

    A process that dies, or a flow that fails, while a run waits for what it needs takes back nothing of that.
    """
    for entry in reversed(history):
        if entry.state_type is COMPLETED:
            return entry
        if entry.state_type is RUNNING:
            return None
    return None


def _rank(run: Earlier) -> tuple[bool, int, bytes]:
    return run.state_type is StateType.COMPLETED, run.epoch, run.run_id


def _earlier(row: Row[*tuple[Any, ...]], unkeyed: str | None, is_task: bool) -> Earlier:
    parent = row.parent_task_run_id
    return Earlier(
        bytes(row.id),
        row.name,
        row.epoch,
        StateType(row.state_type),
        row.state_name,
        row.message,
        row.run_count,
        row.start_us,
        row.ran_us,
        _result_of(row.result),
        row.unkept,
        unkeyed,
        is_task,
        None if parent is None else bytes(parent),
    )


def _result_of(packed: bytes | None) -> ResultAt | None:
    return None if packed is None else _result.decode(packed)
