"""What the planner does: no page walks through all of history, nor sorts it (promise 11)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from surefoot.core.states import FAILED, RUNNING
from surefoot.core.wire import FlowRunFilter, LogFilter, TaskRunFilter
from surefoot.ledger import Ledger, queries
from tests.ledger.builders import Pen
from tests.ledger.plans import EACH_PAGE, Plans, some_runs


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[Plans]:
    """SQLite's, which is told what is typical; PostgreSQL's stand in test_postgres_plans.py."""
    pen = Pen()
    some_runs(pen)
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            yield Plans(connection)


@pytest.mark.parametrize(("query", "sort", "page"), EACH_PAGE)
def test_a_page_of_everything_is_read_from_an_index_in_its_order(
    plans: Plans, query: Any, sort: str, page: int
) -> None:
    told = plans.of_page(query, sort, page)
    assert "SCAN" not in told
    assert "TEMP B-TREE" not in told
    if page == 2:  # and is found there at once
        assert any(sign in told for sign in ("<expr>", "id<?", "expected_us", "name>?", "name<?", "order_us")), told


def test_a_filter_that_finds_few_is_what_the_planner_goes_by(plans: Plans) -> None:
    run = queries.find_flow_run(plans.connection, "run-7")
    of_run = TaskRunFilter(flow_run_id=[run.id])
    assert "task_runs_of_flow_run " in plans.of(queries.list_task_runs, of_run)
    assert "task_runs_of_flow_run " in plans.of(queries.list_task_runs, of_run, sort="NAME_ASC")
    assert "COVERING INDEX task_runs_of_flow_run " in plans.of(queries.count_task_runs, of_run)
    failed = TaskRunFilter(flow_run_id=[run.id], state_type=[FAILED])
    assert "task_runs_of_flow_run_by_state" in plans.of(queries.list_task_runs, failed)
    assert "task_runs_of_flow_run_by_state" in plans.of(queries.list_failures, run.id)
    assert "task_runs_by_state" in plans.of(queries.list_task_runs, TaskRunFilter(state_type=[FAILED]))
    assert "flow_runs_by_state" in plans.of(queries.list_flow_runs, FlowRunFilter(state_type=[FAILED, RUNNING]))
    assert "flow_runs_of_flow" in plans.of(queries.list_flow_runs, FlowRunFilter(flow_name=["backup"]))
    assert "flow_runs_of_parent" in plans.of(queries.list_flow_runs, FlowRunFilter(parent_flow_run_id=[run.id]))
    lines = plans.of(queries.list_logs, LogFilter(flow_run_id=[run.id]))
    assert "flow_runs_of_parent" in lines
    assert "logs_of_flow_run" in lines
    assert "TEMP B-TREE" not in lines


@pytest.mark.parametrize("reference", ["run-7", "task-7"])
def test_finding_and_explaining_search_by_indexes(plans: Plans, reference: str) -> None:
    assert "SCAN" not in plans.of(queries.find_run, reference)
    assert "SCAN" not in plans.of(queries.explain, reference)


def test_the_number_of_queries_does_not_grow_with_the_page(plans: Plans) -> None:
    statements: list[str] = []
    event.listen(plans.connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    queries.list_flow_runs(plans.connection, limit=2)
    few = len(statements)
    queries.list_flow_runs(plans.connection, limit=20)
    assert len(statements) == 2 * few - 1  # the first of all began the transaction
