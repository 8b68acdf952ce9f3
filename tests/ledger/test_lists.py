"""Lists: every filter, sort and page size answers what a plain walk over all runs answers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.errors import BadInput
from surefoot.core.states import COMPLETED, FAILED, RUNNING, SCHEDULED, StateType
from surefoot.core.wire import (
    Flow,
    FlowFilter,
    FlowRun,
    FlowRunFilter,
    Page,
    SortFlowRuns,
    SortFlows,
    SortTaskRuns,
    TaskRun,
    TaskRunFilter,
)
from surefoot.ledger import Ledger, queries
from surefoot.ledger.queries.paging import write_cursor
from surefoot.ledger.queries.rows import instant
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run
from tests.places import KINDS, Ledgers

Runs = list[FlowRun] | list[TaskRun]

FLOWS = ["backup", "report", "Ünïcode_%"]
TAGS = ["blue", "red", 'with "quotes"']
MAPS = [bytes([9] * 16), bytes([8] * 16)]


@pytest.fixture(scope="module", params=KINDS)
def full(request: pytest.FixtureRequest, ledgers_of: Any) -> Any:
    """A ledger with some of everything; equal names and instants among them."""
    random = Random(7)
    pen = Pen()
    flow_runs: list[Run] = []
    for number in range(40):
        fields: dict[str, Any] = {"tags": tuple(random.sample(TAGS, random.randint(0, 3)))}
        if flow_runs and random.random() < 0.4:
            fields["parent_flow_run_id"] = random.choice(flow_runs).id
        at_us = T0 + random.randint(0, 9) * SECOND
        run = a_flow_run(pen, f"run-{number % 13}", at_us=at_us, flow=random.choice(FLOWS), **fields)
        flow_runs.append(_lived(run, random))
    for number in range(120):
        fields = {"tags": tuple(random.sample(TAGS, random.randint(0, 2))), "task": random.choice(["upload", "fetch"])}
        if random.random() < 0.3:
            fields["map_id"] = random.choice(MAPS)
        parent = random.choice(flow_runs[:5]) if random.random() < 0.9 else None
        at_us = T0 + random.randint(0, 9) * SECOND
        _lived(a_task_run(pen, parent, f"task-{number % 17}", at_us=at_us, **fields), random)
    with ledgers_of(request.param) as ledgers, ledgers.opened() as ledger:
        ledger.fold(pen.batches(50))
        yield ledger


def _lived(run: Run, random: Random) -> Run:
    for kind in random.choice(
        [(), (RUNNING,), (RUNNING, COMPLETED), (RUNNING, COMPLETED), (RUNNING, FAILED), (SCHEDULED,)]
    ):
        until: dict[str, Any] = {"until_us": T0 + random.randint(100, 103) * SECOND} if kind is SCHEDULED else {}
        name = "Late" if kind is SCHEDULED else None
        run.enter(kind, name, None, after_s=random.randint(0, 3), **until)
    return run


def _every(
    ledger: Ledger, query: Callable[..., Page[Any]], *args: Any, limit: int = 10_000, **options: Any
) -> list[Any]:
    found = []
    after = None
    with ledger.read() as connection:
        for _ in range(1000):
            page = query(connection, *args, limit=limit, after=after, **options)
            assert len(page.results) <= limit
            found += page.results
            after = page.after
            if after is None:
                return found
    raise AssertionError("the pages have no end")


FAR = datetime.max.replace(tzinfo=instant(0).tzinfo)

# How each sort is meant, once more: the key of a run, and whether the greatest comes first.
ORDERS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "ID_DESC": (lambda run: run.id, True),
    "START_TIME_ASC": (lambda run: (run.start_time or run.expected_start_time, run.id), False),
    "START_TIME_DESC": (lambda run: (run.start_time or run.expected_start_time, run.id), True),
    "EXPECTED_START_TIME_ASC": (lambda run: (run.expected_start_time, run.id), False),
    "EXPECTED_START_TIME_DESC": (lambda run: (run.expected_start_time, run.id), True),
    "NEXT_SCHEDULED_START_TIME_ASC": (lambda run: (run.next_scheduled_start_time or FAR, run.id), False),
    "END_TIME_DESC": (lambda run: (run.end_time or instant(0), run.id), True),
    "NAME_ASC": (lambda run: (run.name, run.id), False),
    "NAME_DESC": (lambda run: (run.name, run.id), True),
}

SHARED: dict[str, Callable[[Any, Any], bool]] = {
    "id": lambda run, value: run.id in value,
    "name": lambda run, value: run.name in value,
    "name_like": lambda run, value: value.lower() in run.name.lower(),
    "state_type": lambda run, value: run.state_type in value,
    "state_name": lambda run, value: run.state_name in value,
    "tags": lambda run, value: set(value) <= set(run.tags),
    "start_time_after": lambda run, value: run.start_time is not None and run.start_time >= value,
    "start_time_before": lambda run, value: run.start_time is not None and run.start_time <= value,
}
OF_FLOW_RUNS = SHARED | {
    "flow_name": lambda run, value: run.flow_name in value,
    "parent_flow_run_id": lambda run, value: run.parent_flow_run_id in value,
    "is_root": lambda run, value: (run.parent_flow_run_id is None) is value,
}
OF_TASK_RUNS = SHARED | {
    "task_name": lambda run, value: run.task_name in value,
    "flow_run_id": lambda run, value: run.flow_run_id in value,
    "map_id": lambda run, value: run.map_id in value,
}


def _some(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(st.sampled_from(values), max_size=3)


def _shared_filters(runs: Runs) -> dict[str, st.SearchStrategy[Any]]:
    instants = st.none() | st.integers(0, 12).map(lambda second: instant(T0 + second * SECOND))
    return {
        "id": _some([run.id for run in runs]) if len(runs) > 1 else st.none(),
        "name": _some(sorted({run.name for run in runs})),
        "name_like": st.none() | st.sampled_from(["1", "RUN-1", "task", "%", "_"]),
        "state_type": _some(list(StateType)),
        "state_name": _some(["Completed", "Failed", "Late", "Pending", "Nonsense"]),
        "tags": _some(TAGS),
        "start_time_after": instants,
        "start_time_before": instants,
    }


def test_flow_runs_are_filtered_sorted_and_paged(full: Ledger) -> None:
    @settings(max_examples=40 if full.name.startswith("postgresql") else 150)
    @given(data=st.data(), limit=st.integers(1, 50))
    def check(data: st.DataObject, limit: int) -> None:
        _check_flow_runs(full, data, limit)

    check()


def _check_flow_runs(full: Ledger, data: st.DataObject, limit: int) -> None:
    everything: list[FlowRun] = _every(full, queries.list_flow_runs)
    assert len(everything) == 40
    fields = _shared_filters(everything) | {
        "flow_name": _some([*FLOWS, "nothing"]),
        "parent_flow_run_id": _some([run.id for run in everything]),
        "is_root": st.none() | st.booleans(),
    }
    where = FlowRunFilter(**_few(data, fields))
    sort = data.draw(st.sampled_from(get_args(SortFlowRuns)))
    found = _every(full, queries.list_flow_runs, where, sort=sort, limit=limit)
    assert found == _expected(everything, where, sort, OF_FLOW_RUNS)


def test_task_runs_are_filtered_sorted_and_paged(full: Ledger) -> None:
    @settings(max_examples=40 if full.name.startswith("postgresql") else 150)
    @given(data=st.data(), limit=st.integers(1, 50))
    def check(data: st.DataObject, limit: int) -> None:
        _check_task_runs(full, data, limit)

    check()


def _check_task_runs(full: Ledger, data: st.DataObject, limit: int) -> None:
    everything: list[TaskRun] = _every(full, queries.list_task_runs)
    assert len(everything) == 120
    fields = _shared_filters(everything) | {
        "task_name": _some(["upload", "fetch", "nothing"]),
        "flow_run_id": _some(sorted({run.flow_run_id for run in everything if run.flow_run_id})),
        "map_id": _some(sorted({run.map_id for run in everything if run.map_id})),
    }
    where = TaskRunFilter(**_few(data, fields))
    sort = data.draw(st.sampled_from(get_args(SortTaskRuns)))
    found = _every(full, queries.list_task_runs, where, sort=sort, limit=limit)
    expected = _expected(everything, where, sort, OF_TASK_RUNS)
    assert found == expected
    with full.read() as connection:
        counts = queries.count_task_runs(connection, where)
    assert (counts.by_name, counts.total) == (dict(Counter(run.state_name for run in expected)), len(expected))


def _few(data: st.DataObject, fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    chosen = data.draw(st.sets(st.sampled_from(sorted(fields)), max_size=3))
    return {name: data.draw(fields[name]) for name in sorted(chosen)}


def _expected(everything: Runs, where: Any, sort: str, meanings: dict[str, Callable[[Any, Any], bool]]) -> list[Any]:
    asked = {name: value for name, value in msgspec.structs.asdict(where).items() if value is not None}
    key, descending = ORDERS[sort]
    fitting = [run for run in everything if all(meanings[name](run, value) for name, value in asked.items())]
    return sorted(fitting, key=key, reverse=descending)


@pytest.mark.parametrize(("sort", "limit"), list(itertools.product(get_args(SortFlows), [1, 2, 10])))
def test_flows_are_sorted_and_paged(full: Ledger, sort: str, limit: int) -> None:
    found: list[Flow] = _every(full, queries.list_flows, sort=sort, limit=limit)
    runs: list[FlowRun] = _every(full, queries.list_flow_runs)
    keys = {
        "NAME": lambda flow: flow.name,
        "CREATED": lambda flow: (flow.created, flow.id),
        "UPDATED": lambda flow: (flow.updated, flow.id),
    }
    assert found == sorted(found, key=keys[sort.split("_")[0]], reverse=sort.endswith("DESC"))
    assert {flow.name: flow.run_count for flow in found} == Counter(run.flow_name for run in runs)
    for flow in found:
        mine = [run for run in runs if run.flow_id == flow.id]
        assert flow.last_run == max(mine, key=lambda run: run.id)
        assert (flow.created, flow.updated) == (min(run.created for run in mine), max(run.created for run in mine))


def test_flows_are_filtered_by_name(full: Ledger) -> None:
    assert [flow.name for flow in _every(full, queries.list_flows, FlowFilter(name=["report", "none"]))] == ["report"]
    assert [flow.name for flow in _every(full, queries.list_flows, FlowFilter(name_like="_%"))] == ["Ünïcode_%"]


def test_runs_made_while_someone_pages_do_not_move_the_pages(ledgers: Ledgers) -> None:
    pen = Pen()
    for number in range(10):
        a_flow_run(pen, f"old-{number}")
    with ledgers.opened() as ledger:
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            first = queries.list_flow_runs(connection, limit=5)
        a_flow_run(pen, "new")
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            second = queries.list_flow_runs(connection, limit=5, after=first.after)
        names = [run.name for run in first.results + second.results]
        assert names == [f"old-{number}" for number in reversed(range(10))]
        assert second.after is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "!!!",
        "ünïcode",
        write_cursor("flow runs", "NAME_ASC", ["run-1", bytes(16)]),
        write_cursor("task runs", "ID_DESC", [bytes(16)]),
        write_cursor("flow runs", "ID_DESC", [7]),
        write_cursor("flow runs", "ID_DESC", [bytes(16), bytes(16)]),
        write_cursor("flow runs", "ID_DESC", [bytes(16)])[:-1],
        write_cursor("flow runs", "ID_DESC", [bytes(16)]) + "A",
        write_cursor("flow runs", "ID_DESC", [True]),
        write_cursor("flow runs", "ID_DESC", [1 << 63]),
    ],
)
def test_a_foreign_cursor_is_refused(full: Ledger, cursor: str) -> None:
    with full.read() as connection, pytest.raises(BadInput, match="is not a cursor of flow runs by ID_DESC"):
        queries.list_flow_runs(connection, after=cursor)


@pytest.mark.parametrize("key", [1 << 63, -1, 1.5, "1"])
def test_a_cursor_with_a_value_that_no_row_can_have_is_refused(full: Ledger, key: Any) -> None:
    cursor = write_cursor("flow runs", "END_TIME_DESC", [key, bytes(16)])
    with full.read() as connection, pytest.raises(BadInput):
        queries.list_flow_runs(connection, sort="END_TIME_DESC", after=cursor)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_a_limit(full: Ledger, limit: int) -> None:
    for query in (queries.list_flows, queries.list_flow_runs, queries.list_task_runs, queries.list_logs):
        with full.read() as connection, pytest.raises(BadInput, match="A page has 1 to 10000 rows"):
            query(connection, limit=limit)


def test_an_unknown_sort_is_refused_with_those_that_there_are(full: Ledger) -> None:
    with (
        full.read() as connection,
        pytest.raises(BadInput, match=r"task runs cannot be sorted by 'START_TIME_ASC'.*NAME_ASC"),
    ):
        queries.list_task_runs(connection, sort="START_TIME_ASC")  # type: ignore[arg-type]


def test_an_id_that_is_none_is_refused(full: Ledger) -> None:
    with full.read() as connection, pytest.raises(BadInput, match="'abc' is not an id"):
        queries.list_flow_runs(connection, FlowRunFilter(id=["abc"]))
