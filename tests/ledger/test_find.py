"""A run is found by its id, its name, or a prefix of its id; what is not found is answered with what is near."""

from __future__ import annotations

from typing import Any

import pytest

from surefoot.core.errors import Ambiguous, NotFound
from surefoot.core.ids import new_id, to_text
from surefoot.core.states import FAILED, RUNNING
from surefoot.core.wire import FlowRun, TaskRun
from surefoot.ledger import Ledger, queries
from tests.ledger.builders import Pen, a_flow_run, a_task_run


def test_a_run_is_found_by_id_name_and_prefix(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter")
    task_run = a_task_run(pen, run, "upload-0")
    ledger.fold(pen.batches())
    text = run.text_id
    for reference in (
        text,
        text.upper(),
        text.replace("-", ""),
        "brave-otter",
        " brave-otter ",
        text[:30],
        run.id.hex()[:31],
    ):
        found = ask(queries.find_flow_run, reference)
        assert (found.id, found.name) == (text, "brave-otter")
    assert isinstance(ask(queries.find_run, text), FlowRun)
    assert isinstance(ask(queries.find_run, task_run.text_id), TaskRun)
    assert ask(queries.find_run, "upload-0").flow_run_id == text


def test_of_several_runs_with_a_name_the_newest_is_meant(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    runs = [a_flow_run(pen, "brave-otter") for _ in range(3)]
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, "brave-otter").id == runs[-1].text_id


def test_a_name_goes_before_a_prefix(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    named = a_flow_run(pen, run.id.hex()[:28])
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, run.id.hex()[:28]).id == named.text_id


def test_a_prefix_of_several_is_ambiguous_and_names_them(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    runs = [a_flow_run(pen, f"run-{number}") for number in range(8)]
    ledger.fold(pen.batches())
    with pytest.raises(Ambiguous) as caught:
        ask(queries.find_flow_run, to_text(runs[0].id)[:6])
    assert "run-7" in str(caught.value)
    assert "and more" in str(caught.value)


def test_three_characters_are_no_prefix(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    ledger.fold(pen.batches())
    with pytest.raises(NotFound):
        ask(queries.find_flow_run, run.id.hex()[:3])


def test_what_is_not_found_is_answered_with_what_is_near(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_task_run(pen, a_flow_run(pen, "brave-otter"), "upload-0")
    ledger.fold(pen.batches())
    with pytest.raises(
        NotFound, match=r"No flow run goes by 'brave-oter'. Near to it: brave-otter. .*surefoot flow-run ls"
    ):
        ask(queries.find_flow_run, "brave-oter")
    with pytest.raises(NotFound, match=r"No task run goes by 'uplod-0'. Near to it: upload-0. .*surefoot task-run ls"):
        ask(queries.find_task_run, "uplod-0")
    with pytest.raises(NotFound, match=r"No run goes by 'upload-1'. Near to it: upload-0"):
        ask(queries.find_run, "upload-1")
    with pytest.raises(NotFound):
        ask(queries.find_run, to_text(new_id()))
    with pytest.raises(NotFound):
        ask(queries.list_states, to_text(new_id()))


def test_what_is_found_comes_with_its_traceback_and_lists_do_not(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "brave-otter").enter(RUNNING).enter(FAILED, message="ValueError: no", traceback="Traceback ...")
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, "brave-otter").state.state_details["traceback"] == "Traceback ..."
    assert "traceback" not in ask(queries.list_flow_runs).results[0].state.state_details
