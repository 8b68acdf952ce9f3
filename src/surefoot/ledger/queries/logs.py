"""Lines of logs in the order of time; those of one writer in the order in which it wrote them.

May import: core, tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select, union_all

from surefoot.core.ids import to_text
from surefoot.core.wire import Log, LogFilter, Page, SortLogs
from surefoot.ledger.queries.paging import Order, behind, check_limit, order_of, read_cursor, write_cursor
from surefoot.ledger.queries.rows import ids_bytes, instant, micros
from surefoot.ledger.tables import WORKSPACE, flow_runs, logs

__all__ = ["list_logs"]

_KEYS: Final = (logs.c.order_us, logs.c.writer_id, logs.c.segment, logs.c.offset)
_KINDS: Final = (int, bytes, int, int)
_ORDERS: Final = {"TIMESTAMP_ASC": Order(_KEYS, _KINDS), "TIMESTAMP_DESC": Order(_KEYS, _KINDS, True)}
_TREE_MAX: Final = (
    64  # flow runs whose lines are read each by itself, in order, and merged; more are sorted by the database
)


def list_logs(
    connection: Connection,
    where: LogFilter | None = None,
    *,
    sort: SortLogs = "TIMESTAMP_ASC",
    limit: int = 200,
    after: str | None = None,
) -> Page[Log]:
    """A page of lines."""
    where = where or LogFilter()
    order = order_of("logs", _ORDERS, sort)
    check_limit(limit)
    conditions = list(_conditions(where))
    if after is not None:
        conditions.append(behind(order, read_cursor(after, "logs", sort, order)))
    rows = _rows(connection, where, conditions, order, limit + 1)
    page, cursor = rows[:limit], None
    if len(rows) > limit:
        last = page[-1]
        cursor = write_cursor("logs", sort, [last.order_us, last.writer_id, last.segment, last.offset])
    return Page(results=[_log_of(row) for row in page], after=cursor)


def _rows(
    connection: Connection, where: LogFilter, conditions: list[ColumnElement[Any]], order: Order, count: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    query = select(logs).where(*conditions)
    if where.flow_run_id is None:
        return connection.execute(_sorted(query, order, count)).all()
    tree = _with_subflows(connection, ids_bytes(where.flow_run_id))
    if not tree:
        return []
    if len(tree) > _TREE_MAX:
        every = query.where(logs.c.flow_run_id.in_(_tree_query(ids_bytes(where.flow_run_id))))
        return connection.execute(_sorted(every, order, count)).all()
    parts = [_sorted(query.where(logs.c.flow_run_id == run_id), order, count) for run_id in tree]
    if len(parts) == 1:
        return connection.execute(parts[0]).all()
    both = union_all(*(select(part.subquery()) for part in parts)).subquery()
    keys = [both.c[key.name] for key in _KEYS]
    return connection.execute(
        select(both).order_by(*(key.desc() if order.descending else key for key in keys)).limit(count)
    ).all()


def _sorted(query: Any, order: Order, count: int) -> Any:
    return query.order_by(*(key.desc() if order.descending else key for key in order.keys)).limit(count)


def _conditions(where: LogFilter) -> Iterator[ColumnElement[Any]]:
    c = logs.c
    yield c.workspace_id == WORKSPACE
    if where.task_run_id is not None:
        yield c.task_run_id.in_(ids_bytes(where.task_run_id))
    if where.level_ge is not None:
        yield c.level >= where.level_ge
    if where.timestamp_after is not None:
        yield c.at_us >= micros(where.timestamp_after)
        yield c.order_us >= micros(where.timestamp_after)  # implied, and what the index is by
    if where.timestamp_before is not None:
        yield c.at_us <= micros(where.timestamp_before)
    if where.text is not None:
        yield c.message.icontains(where.text, autoescape=True)


def _with_subflows(connection: Connection, ids: list[bytes]) -> list[bytes]:
    """These flow runs and those that they called, however deep; one more than `_TREE_MAX` at most."""
    return list(connection.execute(_tree_query(ids).limit(_TREE_MAX + 1)).scalars())


def _tree_query(ids: list[bytes]) -> Any:
    c = flow_runs.c
    tree = select(c.id).where(c.workspace_id == WORKSPACE, c.id.in_(ids)).cte("tree", recursive=True)
    called = select(c.id).join(tree, c.parent_flow_run_id == tree.c.id).where(c.workspace_id == WORKSPACE)
    return select(tree.union(called).c.id)


def _log_of(row: Row[*tuple[Any, ...]]) -> Log:
    writer = to_text(row.writer_id)
    return Log(
        id=f"{writer}/{row.segment:06}/{row.offset:010}",
        name=row.logger,
        level=row.level,
        message=f"{row.message} … [{row.cut:,} more characters were cut]" if row.cut else row.message,
        timestamp=instant(row.at_us),
        flow_run_id=None if row.flow_run_id is None else to_text(row.flow_run_id),
        task_run_id=None if row.task_run_id is None else to_text(row.task_run_id),
    )
