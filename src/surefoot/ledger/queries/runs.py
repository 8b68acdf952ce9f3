"""What lists of flow runs and of task runs share: conditions and orders. May import: core, tables, dialects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select

from surefoot.core.states import COMPLETED, FINAL
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.indexes import end_order, next_order, start_order, uneven
from surefoot.ledger.queries.paging import Order
from surefoot.ledger.queries.rows import ids_bytes, micros
from surefoot.ledger.tables import WORKSPACE, requests

__all__ = ["run_conditions", "run_orders"]


def run_orders(runs: Table) -> dict[str, Order]:
    """The orders in which runs can be listed, by the names that they have in the API."""
    c = runs.c
    by_number, by_text = (int, bytes), (str, bytes)
    return {
        "ID_DESC": Order((c.id,), (bytes,), True),
        "START_TIME_ASC": Order((start_order(runs), c.id), by_number),
        "START_TIME_DESC": Order((start_order(runs), c.id), by_number, True),
        "EXPECTED_START_TIME_ASC": Order((c.expected_us, c.id), by_number),
        "EXPECTED_START_TIME_DESC": Order((c.expected_us, c.id), by_number, True),
        "NEXT_SCHEDULED_START_TIME_ASC": Order((next_order(runs), c.id), by_number),
        "END_TIME_DESC": Order((end_order(runs), c.id), by_number, True),
        "NAME_ASC": Order((c.name, c.id), by_text),
        "NAME_DESC": Order((c.name, c.id), by_text, True),
    }


def run_conditions(
    connection: Connection, runs: Table, where: FlowRunFilter | TaskRunFilter
) -> Iterator[ColumnElement[Any]]:
    """The conditions that flow runs and task runs have in common."""
    c = runs.c
    yield c.workspace_id == WORKSPACE
    if where.id is not None:
        yield c.id.in_(ids_bytes(where.id))
    if where.name is not None:
        yield c.name.in_(where.name)
    if where.name_like is not None:
        yield c.name.icontains(where.name_like, autoescape=True)
    if where.state_type is not None:
        yield c.state_type.in_([kind.value for kind in where.state_type])
        if COMPLETED not in where.state_type:
            yield uneven(runs)
    if where.state_name is not None:
        is_named: ColumnElement[bool] = c.state_name.in_(where.state_name)
        if "Cancelling" in where.state_name:  # listed as "Running (Cancelling)" once it was asked for
            asked = select(requests.c.run_id).where(requests.c.workspace_id == WORKSPACE)
            is_open = c.state_type.not_in([kind.value for kind in FINAL])
            is_named = or_(is_named, and_(c.id.in_(asked), is_open))
        yield is_named
    if where.tags:
        yield dialect_of(connection).has_all(c.tags, where.tags)
    if where.start_time_after is not None:
        yield c.start_us >= micros(where.start_time_after)
    if where.start_time_before is not None:
        yield c.start_us <= micros(where.start_time_before)
    if where.expected_start_time_before is not None:
        yield c.expected_us <= micros(where.expected_start_time_before)
