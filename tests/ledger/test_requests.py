"""Requests: what is asked of a run stands beside its state, and never in its place."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from surefoot.core.errors import NotFound, Refused
from surefoot.core.ids import new_id, to_text
from surefoot.core.states import FAILED, RUNNING
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions.requests import ask_to_cancel, forget_requests
from surefoot.ledger.tables import flow_runs
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """A run that is on, with a task run that is; and one that has failed."""
    pen = Pen()
    found = a_flow_run(pen, "brave-otter").enter(RUNNING)
    a_task_run(pen, found, "upload-0").enter(RUNNING)
    a_flow_run(pen, "calm-heron").enter(RUNNING).enter(FAILED)
    ledger.fold(pen.batches())
    return found


def id_named(ledger: Ledger, name: str) -> bytes:
    with ledger.read() as tx:
        return bytes.fromhex(queries.find_run(tx, name).id.replace("-", ""))


def test_the_first_who_asks_stays_the_one(ledger: Ledger, run: Run) -> None:
    run_id = run.id
    for by, at_us in (("ada", 1), ("bob", 2)):
        with ledger.decide() as tx:
            asked = ask_to_cancel(tx, run_id, by, at_us, is_task=False)
        assert (asked.asked_by, asked.asked_us) == ("ada", 1)
    with ledger.read() as tx:
        found = queries.find_flow_run(tx, "brave-otter")
        assert found.request is not None
        assert (found.state_name, found.request.kind, found.request.asked_by) == ("Running", "cancel", "ada")
        assert "brave-otter was asked to stop by ada at " in queries.explain(tx, "brave-otter").summary
        assert queries.find_task_run(tx, "upload-0").request is None


def test_a_run_that_has_ended_or_is_not_known_is_refused(ledger: Ledger, run: Run) -> None:
    with pytest.raises(Refused, match="Flow run 'calm-heron' has ended: it is Failed"), ledger.decide() as tx:
        ask_to_cancel(tx, id_named(ledger, "calm-heron"), "ada", 1, is_task=False)
    unknown = new_id()
    with pytest.raises(NotFound, match=to_text(unknown)), ledger.decide() as tx:
        ask_to_cancel(tx, unknown, "ada", 1, is_task=True)


def test_what_is_forgotten_is_asked_no_more(ledger: Ledger, run: Run) -> None:
    run_id = id_named(ledger, "upload-0")
    with ledger.decide() as tx:
        ask_to_cancel(tx, run_id, "ada", 1, is_task=True)
    with ledger.read() as tx:
        assert queries.find_task_run(tx, "upload-0").request is not None
    with ledger.decide() as tx:
        forget_requests(tx, [run_id])
    with ledger.read() as tx:
        assert queries.find_task_run(tx, "upload-0").request is None


def test_what_was_asked_to_stop_is_found_as_cancelling_until_it_ends(ledger: Ledger, run: Run) -> None:
    of_flows, of_tasks = FlowRunFilter(state_name=["Cancelling"]), TaskRunFilter(state_name=["Cancelling", "Failed"])

    def found() -> list[str]:
        with ledger.read() as tx:
            names = [each.name for each in queries.list_flow_runs(tx, of_flows).results]
            return names + [each.name for each in queries.list_task_runs(tx, of_tasks).results]

    assert found() == []
    task_id = id_named(ledger, "upload-0")
    with ledger.decide() as tx:
        ask_to_cancel(tx, run.id, "ada", 1, is_task=False)
        ask_to_cancel(tx, task_id, "ada", 1, is_task=True)
    assert found() == ["brave-otter", "upload-0"]
    with ledger.decide() as tx:
        ended = {"state_type": "FAILED", "state_name": "Failed", "end_us": T0 + 9 * SECOND}
        tx.execute(update(flow_runs).where(flow_runs.c.id == run.id).values(ended))
    assert found() == ["upload-0"]
