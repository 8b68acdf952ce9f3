"""Counts of task runs by state. May import: core, tables, and the parts that queries share."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from surefoot.core.wire import RunCounts, TaskRunFilter
from surefoot.ledger.queries.task_runs import task_run_conditions
from surefoot.ledger.tables import task_runs

__all__ = ["count_task_runs"]


def count_task_runs(connection: Connection, where: TaskRunFilter | None = None) -> RunCounts:
    """How many task runs are in each state, by the state's name."""
    name = task_runs.c.state_name
    query = select(name, func.count()).where(*task_run_conditions(connection, where or TaskRunFilter())).group_by(name)
    by_name = {row[0]: row[1] for row in connection.execute(query)}
    return RunCounts(by_name=by_name, total=sum(by_name.values()))
