"""Lists of task runs. May import: core, tables, and the parts that queries share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select

from surefoot.core.wire import Page, SortTaskRuns, TaskRun, TaskRunFilter
from surefoot.ledger.history import unpack
from surefoot.ledger.queries.paging import order_of, page_rows
from surefoot.ledger.queries.reasons import reasons
from surefoot.ledger.queries.requests import requests_of
from surefoot.ledger.queries.rows import TASK_RUN_COLUMNS, ids_bytes, task_run_of
from surefoot.ledger.queries.runs import run_conditions, run_orders
from surefoot.ledger.tables import WORKSPACE, task_runs

__all__ = ["list_task_runs", "task_run_conditions", "whole_task_run"]

_ORDERS: Final = {name: order for name, order in run_orders(task_runs).items() if not name.startswith("START_TIME")}


def list_task_runs(
    connection: Connection,
    where: TaskRunFilter | None = None,
    *,
    sort: SortTaskRuns = "ID_DESC",
    limit: int = 200,
    after: str | None = None,
) -> Page[TaskRun]:
    """A page of task runs, each with the reason why it is as it is."""
    order = order_of("task runs", _ORDERS, sort)
    query = select(*TASK_RUN_COLUMNS).where(*task_run_conditions(connection, where or TaskRunFilter()))
    rows, cursor = page_rows(connection, query, "task runs", sort, order, limit, after)
    why = reasons(connection, rows)
    asked = requests_of(connection, rows)
    found = [task_run_of(row, why.get(row.id), request=asked.get(row.id)) for row in rows]
    return Page(results=found, after=cursor)


def task_run_conditions(connection: Connection, where: TaskRunFilter) -> Iterator[ColumnElement[Any]]:
    """What a filter asks of task runs."""
    c = task_runs.c
    yield from run_conditions(connection, task_runs, where)
    if where.task_name is not None:
        yield c.task_name.in_(where.task_name)
    if where.flow_run_id is not None:
        yield c.flow_run_id.in_(ids_bytes(where.flow_run_id))
    if where.map_id is not None:
        yield c.map_id.in_(ids_bytes(where.map_id))


def whole_task_run(connection: Connection, run_id: bytes) -> TaskRun | None:
    """One task run, its state with the traceback; None if there is none with this id."""
    query = select(*TASK_RUN_COLUMNS, task_runs.c.history)
    row: Row[*tuple[Any, ...]] | None = connection.execute(
        query.where(task_runs.c.workspace_id == WORKSPACE, task_runs.c.id == run_id)
    ).first()
    if row is None:
        return None
    asked = requests_of(connection, [row]).get(run_id)
    return task_run_of(row, reasons(connection, [row]).get(run_id), unpack(row.history)[-1], asked)
