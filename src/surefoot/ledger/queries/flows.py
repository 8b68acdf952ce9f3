"""Lists of flows. May import: core, tables, and the parts that queries share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

from surefoot.core.ids import to_text
from surefoot.core.wire import Flow, FlowFilter, Page, SortFlows
from surefoot.ledger.queries.flow_runs import flow_runs_by_id
from surefoot.ledger.queries.paging import Order, order_of, page_rows
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.summaries import summed_runs
from surefoot.ledger.tables import WORKSPACE, flow_runs, flows

__all__ = ["list_flows"]

_ORDERS: Final = {
    "NAME_ASC": Order((flows.c.name,), (str,)),
    "NAME_DESC": Order((flows.c.name,), (str,), True),
    "CREATED_DESC": Order((flows.c.created_us, flows.c.id), (int, bytes), True),
    "UPDATED_DESC": Order((flows.c.updated_us, flows.c.id), (int, bytes), True),
}


def list_flows(
    connection: Connection,
    where: FlowFilter | None = None,
    *,
    sort: SortFlows = "NAME_ASC",
    limit: int = 200,
    after: str | None = None,
) -> Page[Flow]:
    """A page of flows, each with its newest run and the number of its runs."""
    order = order_of("flows", _ORDERS, sort)
    query = select(flows).where(flows.c.workspace_id == WORKSPACE)
    if where is not None and where.name is not None:
        query = query.where(flows.c.name.in_(where.name))
    if where is not None and where.name_like is not None:
        query = query.where(flows.c.name.icontains(where.name_like, autoescape=True))
    rows, cursor = page_rows(connection, query, "flows", sort, order, limit, after)
    ids = [row.id for row in rows]
    counts, summed = _run_counts(connection, ids), summed_runs(connection, ids)
    newest = flow_runs_by_id(connection, [row.newest_run_id for row in rows])
    found = [
        Flow(
            id=to_text(row.id),
            name=row.name,
            created=instant(row.created_us),
            updated=instant(row.updated_us),
            description=row.description,
            run_count=counts.get(row.id, 0) + summed.get(row.id, 0),
            last_run=newest.get(row.newest_run_id),
        )
        for row in rows
    ]
    return Page(results=found, after=cursor)


def _run_counts(connection: Connection, ids: list[bytes]) -> dict[bytes, int]:
    c = flow_runs.c
    query = select(c.flow_id, func.count()).where(c.workspace_id == WORKSPACE, c.flow_id.in_(ids)).group_by(c.flow_id)
    return {row[0]: row[1] for row in connection.execute(query)}
