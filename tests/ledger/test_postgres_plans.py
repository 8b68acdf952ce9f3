"""What PostgreSQL's planner does with tables that are large and known to it: no walk through them (promise 11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from surefoot.core.states import COMPLETED, FAILED, RUNNING
from surefoot.core.wire import FlowRunFilter, LogFilter, TaskRunFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.retention import Cutoffs, Retaining
from surefoot.ledger.tables import flow_runs, logs, task_runs
from tests.ledger.builders import T0, Pen, a_flow_run, a_task_run
from tests.ledger.plans import EACH_PAGE, Plans, some_runs
from tests.places import SERVERS

PAST = 1_500  # flow runs of the past; each called ten tasks, each of which logged a line


@pytest.fixture(scope="module", params=SERVERS)
def large(request: pytest.FixtureRequest, ledgers_of: Any) -> Iterator[Ledger]:
    with ledgers_of(request.param) as ledgers, Ledger.open(ledgers.bare()) as ledger:
        ledger.fold(_recent())
        with ledger._write() as connection:
            _make_a_past(connection)
        ledger.compact()
        yield ledger


def _recent() -> Any:
    pen = Pen()
    old = a_flow_run(pen, "old").enter(RUNNING)
    a_task_run(pen, old, "old-task").enter(RUNNING).enter(COMPLETED).log("an old line", flow_run=old)
    old.enter(COMPLETED)
    some_runs(pen)
    return pen.batches()


def _make_a_past(connection: Connection) -> None:
    """Copies of the old flow run, its task run and its line, with ids and instants before theirs."""
    earlier = {"created_us", "state_us", "expected_us", "start_us", "end_us", "at_us", "order_us"}
    ids = {flow_runs: {"id": "past.no"}, task_runs: {"id": "1000000 + past.no", "flow_run_id": "past.no / 10"}}
    ids[logs] = {"flow_run_id": "past.no / 10", "task_run_id": "1000000 + past.no"}
    for table, count, where in (
        (flow_runs, PAST, "name = 'old'"),
        (task_runs, PAST * 10, "name = 'old-task'"),
        (logs, PAST * 10, "message = 'an old line'"),
    ):
        told = []
        for column in table.columns:
            name = f'"{column.name}"'
            if column.name in ids[table]:
                told.append(f"decode(lpad(to_hex({ids[table][column.name]}), 32, '0'), 'hex')")
            elif column.name in earlier:
                told.append(f"{name} - (1000000 - past.no) * 1000000::bigint")
            elif column.name == "name":
                told.append(f"{name} || '-' || past.no")
            elif column.name == "offset":
                told.append(f"{name} + 1000000 + past.no")
            else:
                told.append(name)
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        connection.exec_driver_sql(
            f"INSERT INTO {table.name} ({names}) SELECT {', '.join(told)}"
            f" FROM {table.name}, generate_series(1, {count}) AS past(no) WHERE {where}"
        )


@pytest.fixture
def plans(large: Ledger) -> Iterator[Plans]:
    with large.read() as connection:
        yield Plans(connection)


def _walks(told: str) -> bool:
    return any(f"Seq Scan on {table.name}" in told for table in (flow_runs, task_runs, logs))


@pytest.mark.parametrize(("query", "sort", "page"), EACH_PAGE)
def test_a_page_of_everything_is_read_from_an_index_in_its_order(
    plans: Plans, query: Any, sort: str, page: int
) -> None:
    told = plans.of_page(query, sort, page)
    assert not _walks(told), told
    assert "Sort" not in told, told
    if page == 2:  # and is found there at once
        assert "ROW(" in told or "id <" in told, told


def test_a_filter_that_finds_few_is_what_the_planner_goes_by(plans: Plans) -> None:
    run = queries.find_flow_run(plans.connection, "run-7")
    of_run = TaskRunFilter(flow_run_id=[run.id])
    assert "task_runs_of_flow_run" in plans.of(queries.list_task_runs, of_run)
    assert "task_runs_of_flow_run" in plans.of(queries.list_task_runs, of_run, sort="NAME_ASC")
    assert "Index Only Scan using task_runs_of_flow_run" in plans.of(queries.count_task_runs, of_run)
    assert "task_runs_by_state" in plans.of(queries.list_task_runs, TaskRunFilter(state_type=[FAILED]))
    for told in (
        plans.of(queries.list_flow_runs, FlowRunFilter(state_type=[FAILED, RUNNING])),
        plans.of(queries.list_flow_runs, FlowRunFilter(flow_name=["backup"])),
        plans.of(queries.list_flow_runs, FlowRunFilter(parent_flow_run_id=[run.id])),
        plans.of(queries.list_logs, LogFilter(flow_run_id=[run.id])),
        plans.of(queries.list_logs, LogFilter(flow_run_id=[run.id]), sort="TIMESTAMP_DESC"),
    ):
        assert not _walks(told), told


@pytest.mark.parametrize("reference", ["run-7", "task-7", "01a1fd4e"])
def test_finding_and_explaining_search_by_indexes(plans: Plans, reference: str) -> None:
    for query in (queries.find_run, queries.explain):
        try:
            told = plans.of(query, reference)
        except LookupError:
            told = "\n".join(plans.found)
        assert not _walks(told), told


@pytest.mark.parametrize("request_kind", SERVERS)
def test_a_ledger_that_has_just_been_filled_is_known_to_the_planner(ledgers_of: Any, request_kind: str) -> None:
    pen = Pen()
    for number in range(100):
        flow_run = a_flow_run(pen, f"run-{number}").enter(RUNNING)
        for _ in range(20):
            a_task_run(pen, flow_run).enter(RUNNING).enter(COMPLETED).log("a line", flow_run=flow_run)
        flow_run.enter(COMPLETED)
    with ledgers_of(request_kind) as ledgers, Ledger.open(ledgers.bare()) as ledger:
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            plans = Plans(connection)
            for query in (queries.list_flow_runs, queries.list_task_runs, queries.list_logs):
                told = plans.of(query, limit=10)
                assert "Sort" not in told, told
                assert not _walks(told), told


def test_retention_finds_what_is_too_old_by_an_index(large: Ledger) -> None:
    with large.read() as connection:  # nothing is that old, so nothing is written
        plans = Plans(connection)
        retaining = Retaining(Cutoffs(runs_us=1, logs_us=1), T0)
        while retaining.step(connection):
            pass
    told = "\n".join(plans.found)
    assert "_by_end" in told
    assert "logs_by_time" in told
    assert not _walks(told), told


@pytest.mark.parametrize("number", [1, 100, 300])
def test_folding_looks_up_what_is_told_of_and_walks_through_nothing(large: Ledger, number: int) -> None:
    """States that follow on what is there, and runs that are new, be they few or many."""
    pen = Pen()
    flow_run = a_flow_run(pen)
    runs = [a_task_run(pen, flow_run) for _ in range(number)]
    large.fold(pen.batches())
    for run in runs:
        run.enter(RUNNING)
    found: list[str] = []

    def listen(connection: Connection) -> None:
        plans = Plans(connection)
        plans.found = found

    engine = large._place.engine
    event.listen(engine, "begin", listen)
    try:
        large.fold(pen.batches())
        large.end_writer(pen.id, T0)
    finally:
        event.remove(engine, "begin", listen)
    told = "\n".join(found)
    assert "task_runs_pkey" in told
    assert not _walks(told), told
