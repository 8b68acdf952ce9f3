"""What the planner of a database says to the statements of a query, and runs to ask it about."""

from __future__ import annotations

from typing import Any, Final, get_args

import pytest
from sqlalchemy import Connection, event

from surefoot.core.states import FAILED, RUNNING
from surefoot.core.wire import SortFlowRuns, SortTaskRuns
from surefoot.ledger import queries
from tests.ledger.builders import SECOND, T0, Pen, a_flow_run, a_task_run

__all__ = ["EACH_PAGE", "Plans", "some_runs"]

_EXPLAIN: Final = {"sqlite": ("EXPLAIN QUERY PLAN", 3), "postgresql": ("EXPLAIN", 0)}

# Each list in each order, and of each its first page and one behind it.
EACH_PAGE: Final = [
    pytest.param(query, sort, page, id=f"{query.__name__}-{sort}-{page}")
    for query, sorts in (
        (queries.list_flow_runs, get_args(SortFlowRuns)),
        (queries.list_task_runs, get_args(SortTaskRuns)),
        (queries.list_logs, ("TIMESTAMP_ASC", "TIMESTAMP_DESC")),
    )
    for sort in sorts
    for page in (1, 2)
]


class Plans:
    """Asks the planner about each statement of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.found: list[str] = []
        self._explains, self._column = _EXPLAIN[connection.dialect.name]
        event.listen(connection, "before_cursor_execute", self._explain)

    def _explain(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "WITH", "UPDATE", "INSERT")):
            driver: Any = self.connection.connection.driver_connection
            self.found += [row[self._column] for row in driver.execute(f"{self._explains} {statement}", parameters)]

    def of(self, query: Any, *args: Any, **options: Any) -> str:
        self.found.clear()
        query(self.connection, *args, **options)
        assert self.found
        return "\n".join(self.found)

    def of_page(self, query: Any, sort: str, page: int) -> str:
        """What it takes to read the first page of ten, or the second."""
        after = query(self.connection, sort=sort, limit=10).after if page == 2 else None
        return self.of(query, sort=sort, limit=10, after=after)


def some_runs(pen: Pen) -> None:
    """Thirty flow runs with a task run and a line each; every other failed, the others go on."""
    for number in range(30):
        run = a_flow_run(pen, f"run-{number}", at_us=T0 + number * SECOND).enter(RUNNING)
        task_run = a_task_run(pen, run, f"task-{number}").enter(RUNNING)
        task_run.log("a line", flow_run=run)
        if number % 2:
            task_run.enter(FAILED, message="ValueError: no such thing")
            run.enter(FAILED, message="ValueError: no such thing", cause_id=task_run.id)
