"""The failures in a flow run by what went wrong: counts, examples, limits, and what `why` makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from surefoot.core.ids import new_id
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED, RUNNING
from surefoot.ledger import Ledger, queries
from surefoot.ledger.queries import failures
from tests.ledger.builders import Pen, Run, a_flow_run, a_task_run


def a_map(pen: Pen, flow_run: Run, task: str, messages: dict[int, str], count: int) -> None:
    """A map over `count` items, of which some fail."""
    map_id = new_id()
    for n in range(count):
        run = a_task_run(pen, flow_run, task=task, map_id=map_id).enter(RUNNING)
        if n in messages:
            run.enter(FAILED, message=messages[n])
        else:
            run.enter(COMPLETED)


def timed_out(n: int) -> str:
    return f"ConnectionError: GET /items/{n} timed out after 30 s"


@pytest.fixture
def flow_run(ledger: Ledger) -> Run:
    """A flow that called `fetch` a few times, and then mapped it over 400 items, of which 40 failed, 3 otherwise."""
    pen = Pen()
    run = a_flow_run(pen, "calm-heron").enter(RUNNING)
    for _ in range(5):
        a_task_run(pen, run, task="fetch").enter(RUNNING).enter(COMPLETED)
    messages = {n: timed_out(n) for n in range(3, 400, 10)}
    messages |= {n: f"KeyError: 'key-{n}'" for n in (7, 8, 99)}
    a_map(pen, run, "fetch", messages, 400)
    a_task_run(pen, run, "store-0", task="store").enter(RUNNING).enter(CRASHED, message="its process died")
    a_task_run(pen, run, task="report").enter(FAILED, "NotReady", message="`store` crashed")
    a_task_run(pen, run, task="report").enter(CANCELLED)
    run.enter(FAILED, message="43 of 400 states failed")
    ledger.fold(pen.batches())
    return run


def test_failures_are_counted_by_what_went_wrong_with_the_items_of_the_first_few(
    ledger: Ledger, flow_run: Run, ask: Any
) -> None:
    found = ask(queries.list_failures, flow_run.text_id)
    assert found.rest == 0
    assert [(group.task_name, group.state_name, group.message, group.count) for group in found.groups] == [
        ("fetch", "Failed", "ConnectionError: GET /items/… timed out after 30 s", 40),
        ("fetch", "Failed", "KeyError: …", 3),
        ("store", "Crashed", "its process died", 1),
    ]
    assert [[run.item for run in group.examples] for group in found.groups] == [[3, 13, 23], [7, 8, 99], [None]]
    for group in found.groups:
        for run in group.examples:
            assert ask(queries.find_task_run, run.id).name == run.name


def test_why_tells_of_each_kind_of_failure_once_and_where_to_look(ledger: Ledger, flow_run: Run, ask: Any) -> None:
    told = ask(queries.explain, "calm-heron")
    assert told.causes[:3] == [
        "40 task runs of fetch failed: GET /items/… timed out after 30 s, for example items 3, 13, 23",
        "3 task runs of fetch failed: KeyError: … (items 7, 8, 99)",
        "1 task run of store failed: its process died",
    ]
    assert told.failures == ask(queries.list_failures, flow_run.text_id)
    assert told.do[0] == f"surefoot why {told.failures.groups[0].examples[0].id}"


@pytest.mark.parametrize(("limit", "value"), [("_READ_MAX", 20), ("_APART_MAX", 1), ("_GROUPS_MAX", 1)])
def test_beyond_a_limit_failures_are_counted_and_not_told_apart(
    ledger: Ledger, flow_run: Run, ask: Any, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(failures, limit, value)
    found = ask(queries.list_failures, flow_run.text_id)
    assert found.rest > 0
    assert sum(group.count for group in found.groups) + found.rest == 44
    more = f"... and {found.rest} task runs more that failed otherwise"
    assert more in ask(queries.explain, "calm-heron").causes


def test_a_map_that_is_not_the_first_of_its_task_counts_its_items_from_zero(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "calm-heron").enter(RUNNING)
    a_map(pen, run, "fetch", {}, 10)
    a_map(pen, run, "fetch", {4: "ValueError: odd"}, 10)
    ledger.fold(pen.batches())
    (group,) = ask(queries.list_failures, run.text_id).groups
    assert [example.item for example in group.examples] == [4]


def test_a_run_without_failures_has_none(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen).enter(RUNNING)
    a_map(pen, run, "fetch", {}, 10)
    ledger.fold(pen.batches())
    assert ask(queries.list_failures, run.text_id).groups == []
