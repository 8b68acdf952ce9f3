"""Runs that somebody deletes are gone with all that is theirs, and nothing that comes later brings them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from surefoot.core.errors import NotFound, Refused
from surefoot.core.ids import new_id
from surefoot.core.states import COMPLETED, RUNNING
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions.deletion import count_below
from surefoot.ledger.removal import Removed
from surefoot.ledger.retention import Cutoffs
from tests.ledger.builders import T0, Pen, Run, a_flow_run, a_task_run, dump

Ask = Callable[..., Any]


def ended(run: Run) -> Run:
    return run.enter(RUNNING).enter(COMPLETED)


class Tree:
    """A flow run with a task run, a flow run that it called with a task run, and another flow run beside it."""

    def __init__(self, pen: Pen) -> None:
        self.root = a_flow_run(pen, "root")
        self.task = a_task_run(pen, self.root, "task")
        self.called = a_flow_run(pen, "called", parent_flow_run_id=self.root.id, parent_task_run_id=self.task.id)
        self.inner = a_task_run(pen, self.called, "inner")
        self.other = a_flow_run(pen, "other")
        for run, flow_run in (
            (self.inner, self.called),
            (self.called, None),
            (self.task, self.root),
            (self.root, None),
        ):
            ended(run).log("a line", flow_run=flow_run)
        ended(self.other).log("of another")


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def tree(ledger: Ledger, pen: Pen) -> Tree:
    tree = Tree(pen)
    ledger.fold(pen.batches())
    return tree


def there(ask: Ask) -> list[str]:
    runs = [*ask(queries.list_flow_runs).results, *ask(queries.list_task_runs).results]
    return sorted(run.name for run in runs)


def test_a_flow_run_goes_with_its_tasks_the_flows_it_called_and_all_lines(ledger: Ledger, ask: Ask, tree: Tree) -> None:
    assert ask(count_below, [tree.root.id], []) == Removed(flow_runs=2, task_runs=2, logs=4)
    assert ledger.delete_flow_runs([tree.root.id]).removed == Removed(flow_runs=2, task_runs=2, logs=4)
    assert there(ask) == ["other"]
    assert [line.message for line in ask(queries.list_logs).results] == ["of another"]
    (flow,) = ask(queries.list_flows).results
    assert flow.run_count == 1


def test_a_task_run_goes_with_what_it_called(ledger: Ledger, ask: Ask, tree: Tree) -> None:
    assert ask(count_below, [], [tree.task.id]) == Removed(flow_runs=1, task_runs=2, logs=3)
    assert ledger.delete_task_runs([tree.task.id]).removed == Removed(flow_runs=1, task_runs=2, logs=3)
    assert there(ask) == ["other", "root"]


def test_facts_that_come_late_do_not_bring_back_what_was_deleted(
    ledger: Ledger, ask: Ask, tree: Tree, pen: Pen
) -> None:
    ledger.delete_flow_runs([tree.root.id])
    before = dump(ledger)
    late = a_task_run(pen, tree.root, "late")
    ended(late).log("late", flow_run=tree.root)
    tree.task.log("later", flow_run=tree.root)
    tree.root.next_epoch().enter(RUNNING)
    a_flow_run(pen, "late flow", parent_flow_run_id=tree.called.id)
    again = Pen()  # the same journal under another name: a copy that was put back
    again.runs[1:], again.logs = pen.runs[1:], pen.logs
    ledger.fold(pen.batches())
    ledger.fold(again.batches())
    after = dump(ledger)
    assert there(ask) == ["other"]
    assert [line.message for line in ask(queries.list_logs).results] == ["of another", "of another"]
    assert (after["tombstones"], after["early_states"]) == (before["tombstones"], [])


def test_what_has_not_ended_is_refused_and_nothing_goes(ledger: Ledger, ask: Ask, tree: Tree, pen: Pen) -> None:
    a_task_run(pen, tree.called, "goes on").enter(RUNNING)
    alone = a_flow_run(pen, "runs").enter(RUNNING)
    lone_task = a_task_run(pen, None, "waits")
    ledger.fold(pen.batches())
    before = there(ask)
    with pytest.raises(Refused, match=r"Flow run 'called' .* has a task that goes on"):
        ledger.delete_flow_runs([tree.root.id])
    with pytest.raises(Refused, match=r"Flow run 'runs' .* has not ended: it is Running\. Cancel it first"):
        ledger.delete_flow_runs([tree.other.id, alone.id])
    with pytest.raises(Refused, match=r"Task run 'waits' .* has not ended: it is Pending"):
        ledger.delete_task_runs([lone_task.id])
    with pytest.raises(Refused, match="'called'"):
        ledger.delete_task_runs([tree.task.id])
    assert there(ask) == before


def test_a_run_that_is_not_there_is_not_found(ledger: Ledger, tree: Tree) -> None:
    with pytest.raises(NotFound, match="flow-run ls"):
        ledger.delete_flow_runs([tree.task.id])
    with pytest.raises(NotFound, match="task-run ls"):
        ledger.delete_task_runs([new_id()])


def test_a_tombstone_goes_when_no_journal_is_left_from_before_it(ledger: Ledger, tree: Tree, pen: Pen) -> None:
    ledger.delete_flow_runs([tree.root.id])
    far_us = T0 + 10**15 * 2
    for cutoff_us, folders, left in ((T0, [], 4), (far_us, [pen.id], 4), (far_us, [], 0)):
        ledger.retain(Cutoffs(journal_us=cutoff_us), folders)
        assert len(dump(ledger)["tombstones"]) == left
