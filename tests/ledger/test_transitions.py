"""The walk over the table of transitions: each step is folded; what the table allows is not marked, all else is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from surefoot.core.facts import StateEntered
from surefoot.core.states import LEGAL, NAMES, StateType, is_legal
from surefoot.ledger import Folded, Ledger, queries
from tests.ledger.builders import SECOND, T0, Pen, a_task_run

NAMED = [(kind, name) for kind, names in NAMES.items() for name in (*names, "A name of the user's")]


def _entered(run_id: bytes, epoch: int, n: int, kind: StateType, name: str) -> StateEntered:
    return StateEntered(run_id, True, epoch, n, T0 + n * SECOND, 0, kind, name)


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_every_step_is_marked_as_the_table_says(ledger: Ledger, ask: Any, backwards: bool) -> None:
    pen = Pen()
    steps = {}
    for before, after in itertools.product(NAMED, NAMED):
        run = a_task_run(pen, None)
        pen.write(_entered(run.id, 0, 7, *before))  # after a gap, so that only the step itself is judged
        pen.write(_entered(run.id, 0, 8, *after))
        steps[run.text_id] = (before, after)
    batches = pen.batches(500)
    folded = Folded()
    for batch in reversed(batches) if backwards else batches:
        folded = folded.plus(ledger.fold([batch]))
    expected = {run_id: not is_legal(*before, *after) for run_id, (before, after) in steps.items()}
    assert folded.illegal == sum(expected.values()) > 0
    with ledger.read() as connection:
        for run_id, marked in expected.items():
            states = queries.list_states(connection, run_id)
            assert [state.state_details.get("illegal", False) for state in states] == [False, False, marked], steps[
                run_id
            ]
            assert (states[-1].type, states[-1].name) == steps[run_id][1]  # stored all the same
    with_steps = {(before[0], after[0]) for (before, after) in steps.values()}
    legal = {(before, after) for before, row in LEGAL.items() if before for after in row}
    assert legal <= with_steps, "no test enters these"


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_the_first_state_of_an_epoch_follows_nothing(ledger: Ledger, ask: Any, kind: StateType, name: str) -> None:
    pen = Pen()
    run = a_task_run(pen, None)
    pen.write(_entered(run.id, 1, 0, kind, name))
    assert ledger.fold(pen.batches()).illegal == (0 if kind in LEGAL[None] else 1)
    assert ask(queries.find_task_run, run.text_id).state_name == name


def test_an_illegal_step_does_not_stop_its_neighbours(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_task_run(pen, None, "upload-0")
    run.enter(StateType.COMPLETED).enter(StateType.RUNNING).enter(StateType.COMPLETED)
    other = a_task_run(pen, None, "upload-1").enter(StateType.RUNNING)
    assert ledger.fold(pen.batches()).illegal == 2
    assert ask(queries.find_task_run, "upload-0").state_type is StateType.COMPLETED
    assert ask(queries.find_task_run, other.text_id).state_type is StateType.RUNNING
