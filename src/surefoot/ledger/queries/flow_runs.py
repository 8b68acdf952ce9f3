"""Lists of flow runs. May import: core, tables, and the parts that queries share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select

from surefoot.core.wire import FlowRun, FlowRunFilter, Page, SortFlowRuns
from surefoot.ledger.fold_runs import flow_id_of
from surefoot.ledger.history import unpack
from surefoot.ledger.queries.paging import order_of, page_rows
from surefoot.ledger.queries.reasons import reasons
from surefoot.ledger.queries.requests import requests_of
from surefoot.ledger.queries.rows import FLOW_RUN_COLUMNS, flow_run_of, ids_bytes
from surefoot.ledger.queries.runs import run_conditions, run_orders
from surefoot.ledger.tables import WORKSPACE, flow_runs

__all__ = ["flow_runs_by_id", "list_flow_runs", "whole_flow_run"]

_ORDERS: Final = run_orders(flow_runs)


def list_flow_runs(
    connection: Connection,
    where: FlowRunFilter | None = None,
    *,
    sort: SortFlowRuns = "ID_DESC",
    limit: int = 200,
    after: str | None = None,
) -> Page[FlowRun]:
    """A page of flow runs, each with the reason why it is as it is."""
    order = order_of("flow runs", _ORDERS, sort)
    query = select(*FLOW_RUN_COLUMNS).where(*_conditions(connection, where or FlowRunFilter()))
    rows, cursor = page_rows(connection, query, "flow runs", sort, order, limit, after)
    return Page(results=_told(connection, rows), after=cursor)


def _conditions(connection: Connection, where: FlowRunFilter) -> Iterator[ColumnElement[Any]]:
    c = flow_runs.c
    yield from run_conditions(connection, flow_runs, where)
    if where.flow_name is not None:
        yield c.flow_id.in_([flow_id_of(name) for name in where.flow_name])
    if where.parent_flow_run_id is not None:
        yield c.parent_flow_run_id.in_(ids_bytes(where.parent_flow_run_id))
    if where.is_root is not None:
        yield c.parent_flow_run_id.is_(None) if where.is_root else c.parent_flow_run_id.is_not(None)


def _told(connection: Connection, rows: Any) -> list[FlowRun]:
    why = reasons(connection, rows)
    asked = requests_of(connection, rows)
    return [flow_run_of(row, why.get(row.id), request=asked.get(row.id)) for row in rows]


def flow_runs_by_id(connection: Connection, ids: list[bytes]) -> dict[bytes, FlowRun]:
    """These flow runs, those that there are."""
    query = select(*FLOW_RUN_COLUMNS).where(flow_runs.c.workspace_id == WORKSPACE, flow_runs.c.id.in_(ids))
    rows = connection.execute(query).all()
    return dict(zip([row.id for row in rows], _told(connection, rows), strict=True))


def whole_flow_run(connection: Connection, run_id: bytes) -> FlowRun | None:
    """One flow run, its state with the traceback; None if there is none with this id."""
    query = select(*FLOW_RUN_COLUMNS, flow_runs.c.history)
    row: Row[*tuple[Any, ...]] | None = connection.execute(
        query.where(flow_runs.c.workspace_id == WORKSPACE, flow_runs.c.id == run_id)
    ).first()
    if row is None:
        return None
    asked = requests_of(connection, [row]).get(run_id)
    return flow_run_of(row, reasons(connection, [row]).get(run_id), unpack(row.history)[-1], asked)
