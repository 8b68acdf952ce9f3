"""Where the results of runs are. May import: core, tables, and the parts that queries share."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Table, select

from surefoot.core.errors import MissingResult
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, Page, RunResult
from surefoot.ledger.queries.find import find_run
from surefoot.ledger.queries.paging import Order, page_rows
from surefoot.ledger.queries.rows import id_bytes, instant
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs

__all__ = ["find_result", "list_results"]

_ORDER: Final = Order((task_runs.c.id,), (bytes,), descending=True)


def list_results(
    connection: Connection, flow_run_id: str, *, limit: int = 200, after: str | None = None
) -> Page[RunResult]:
    """A page of the results of a flow run: its own first, then those of its task runs, the newest first."""
    run_id = id_bytes(flow_run_id)
    own = _own(connection, flow_runs, run_id) if after is None else None
    columns = [*_columns(task_runs), task_runs.c.flow_run_id]
    query = select(*columns).where(
        task_runs.c.workspace_id == WORKSPACE, task_runs.c.flow_run_id == run_id, task_runs.c.result.is_not(None)
    )
    rows, cursor = page_rows(connection, query, "results", "ID_DESC", _ORDER, limit, after)
    found = [result for row in rows if (result := _result_of(row, "task-run", to_text(run_id))) is not None]
    return Page(results=[*([own] if own else []), *found], after=cursor)


def find_result(connection: Connection, reference: str) -> RunResult:
    """Where the result of the run is that goes by `reference`. Raises MissingResult, which says why it is nowhere."""
    run = find_run(connection, reference)
    runs = flow_runs if isinstance(run, FlowRun) else task_runs
    found = _own(connection, runs, id_bytes(run.id))
    if found is not None:
        return found
    if run.state_type is not StateType.COMPLETED:
        raise MissingResult(
            f"The run {run.name!r} is {run.state_name}: it has no result.", do=f"surefoot why {run.name}"
        )
    why = connection.execute(
        select(runs.c.unkept).where(runs.c.workspace_id == WORKSPACE, runs.c.id == id_bytes(run.id))
    )
    told = why.scalar() or "nothing asked for it to be"
    raise MissingResult(
        f"The result of the run {run.name!r} was not kept: {told}.", do="Decorate with persist_result=True."
    )


def _own(connection: Connection, runs: Table, run_id: bytes) -> RunResult | None:
    query = select(*_columns(runs)).where(runs.c.workspace_id == WORKSPACE, runs.c.id == run_id)
    row = connection.execute(query).first()
    if row is None or row.result is None:
        return None
    is_task = runs is task_runs
    flow_run_id = None
    if is_task:
        flow_run_id = connection.execute(
            select(runs.c.flow_run_id).where(runs.c.workspace_id == WORKSPACE, runs.c.id == run_id)
        ).scalar()
    return _result_of(row, "task-run" if is_task else "flow-run", None if flow_run_id is None else to_text(flow_run_id))


def _columns(runs: Table) -> list[ColumnElement[Any]]:
    name = runs.c.flow_name if runs is flow_runs else runs.c.task_name
    return [runs.c.id, runs.c.name, name.label("of"), runs.c.result, runs.c.end_us]


def _result_of(
    row: Row[*tuple[Any, ...]], run_type: Literal["flow-run", "task-run"], flow_run_id: str | None
) -> RunResult | None:
    try:
        at = msgspec.msgpack.decode(row.result, type=ResultAt)
    except msgspec.MsgspecError:
        return None  # of a newer version, or damaged: as good as not kept
    return RunResult(
        run_id=to_text(row.id),
        run_name=row.name,
        run_type=run_type,
        name=row.of,
        flow_run_id=flow_run_id,
        place=at.place,
        offset=at.offset,
        length=at.length,
        serializer=at.serializer,
        stored_by=None if at.by is None else to_text(at.by),
        end_time=None if row.end_us is None else instant(row.end_us),
    )
