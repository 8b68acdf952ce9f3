"""A process that ended without a word leaves no run RUNNING, and nothing that it said is lost by that."""

from __future__ import annotations

from typing import Any

from surefoot.core.facts import LogWritten
from surefoot.core.states import CANCELLING, COMPLETED, CRASHED, FAILED, PAUSED, RUNNING, SCHEDULED
from surefoot.ledger import Ledger, queries
from surefoot.ledger.queries.rows import instant
from tests.ledger.builders import SECOND, T0, Pen, a_flow_run, a_task_run, dump

FOUND_DEAD = T0 + 500 * SECOND


def test_what_a_dead_process_left_open_crashed_when_it_was_last_heard(ledger: Ledger, ask: Any) -> None:
    pen = Pen(pid=4711, host="box")
    flow_run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    a_task_run(pen, flow_run, "running").enter(RUNNING)
    a_task_run(pen, flow_run, "pending")
    a_task_run(pen, flow_run, "waiting").enter(RUNNING).enter(SCHEDULED, "AwaitingRetry", until_us=T0 + 60 * SECOND)
    a_task_run(pen, flow_run, "stopping").enter(RUNNING).enter(CANCELLING)
    a_task_run(pen, flow_run, "done").enter(RUNNING).enter(COMPLETED)
    a_task_run(pen, flow_run, "paused").enter(RUNNING).enter(PAUSED)
    flow_run.log("the last line", at_us=T0 + 30 * SECOND)
    ledger.fold(pen.batches())
    assert ledger.end_writer(pen.id, FOUND_DEAD) == 5
    runs = {run.name: run for run in ask(queries.list_task_runs).results}
    states = {name: run.state_name for name, run in runs.items()}
    crashed = dict.fromkeys(["running", "pending", "waiting", "stopping"], "Crashed")
    assert states == crashed | {"done": "Completed", "paused": "Paused"}
    found = ask(queries.find_flow_run, "brave-otter")
    assert found.state_type is CRASHED
    assert found.end_time == instant(T0 + 30 * SECOND)
    assert found.total_run_time == 29.0
    assert found.run_count == 1
    assert runs["pending"].total_run_time == 0.0
    assert runs["waiting"].next_scheduled_start_time is None
    assert found.reason == "its process died (pid 4711)"
    assert found.state.message == (
        "its process ended without a word (pid 4711 on box): killed, out of memory, or power loss"
    )
    assert [state.name for state in ask(queries.list_states, found.id)] == ["Pending", "Running", "Crashed"]


def test_many_open_runs_are_ended_in_several_transactions(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    flow_run = a_flow_run(pen).enter(RUNNING)
    for _ in range(4100):
        a_task_run(pen, flow_run)
    a_task_run(pen, flow_run).enter(RUNNING).enter(PAUSED)
    ledger.fold(pen.batches())
    assert ledger.end_writer(pen.id, FOUND_DEAD) == 4101
    assert ask(queries.count_task_runs).by_name == {"Crashed": 4100, "Paused": 1}
    assert ledger.end_writer(pen.id, FOUND_DEAD) == 0
    assert ledger.open_writers() == []


def test_ending_a_writer_twice_changes_nothing(ledger: Ledger) -> None:
    pen = Pen()
    a_flow_run(pen).enter(RUNNING)
    ledger.fold(pen.batches())
    assert ledger.end_writer(pen.id, FOUND_DEAD) == 1
    before = dump(ledger)
    assert ledger.end_writer(pen.id, FOUND_DEAD + SECOND, "another reason") == 0
    assert dump(ledger) == before


def test_the_caller_may_say_why(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "brave-otter").enter(RUNNING)
    ledger.fold(pen.batches())
    ledger.end_writer(pen.id, FOUND_DEAD, "its machine was switched off")
    assert ask(queries.find_flow_run, "brave-otter").state.message == "its machine was switched off"


def test_what_a_writer_says_after_it_was_given_up_stands(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    first = pen.batches()
    ledger.fold(first)
    ledger.end_writer(pen.id, FOUND_DEAD)
    run.enter(FAILED, message="ValueError: so it is", after_s=5)
    ledger.fold(pen.batches())
    found = ask(queries.find_flow_run, "brave-otter")
    assert (found.state_type, found.state.message) == (FAILED, "ValueError: so it is")
    assert [state.name for state in ask(queries.list_states, run.text_id)] == ["Pending", "Running", "Failed"]


def test_a_line_heard_late_moves_the_end(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    ledger.fold(pen.batches())
    ledger.end_writer(pen.id, FOUND_DEAD)
    run.log("still here", at_us=T0 + 77 * SECOND)
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, "brave-otter").end_time == instant(T0 + 77 * SECOND)


def test_a_run_that_a_writer_dropped_is_abandoned(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    pen.end(T0 + 60 * SECOND)
    ledger.fold(pen.batches())
    found = ask(queries.find_flow_run, run.text_id)
    assert (found.state_type, found.state_name) == (CRASHED, "Abandoned")
    assert found.end_time == instant(T0 + 60 * SECOND)
    assert found.reason == "its process ended without ending it"
    assert ledger.end_writer(pen.id, FOUND_DEAD) == 0  # it closed in order


def test_a_writer_that_closed_after_all_was_not_dead(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "brave-otter").enter(RUNNING)
    ledger.fold(pen.batches())
    ledger.end_writer(pen.id, FOUND_DEAD)
    pen.end(T0 + 9 * SECOND)
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, "brave-otter").state_name == "Abandoned"
    writer = ledger.writer(pen.id)
    assert writer is not None
    assert (writer.ended, writer.ended_us) == ("closed", T0 + 9 * SECOND)


def test_a_run_that_another_process_took_over_is_not_ended(ledger: Ledger, ask: Any) -> None:
    dead, alive = Pen(), Pen()
    run = a_flow_run(dead, "brave-otter").enter(RUNNING)
    run.next_epoch(alive).enter(RUNNING)
    ledger.fold([*dead.batches(), *alive.batches()])
    assert ledger.end_writer(dead.id, FOUND_DEAD) == 0
    assert ask(queries.find_flow_run, "brave-otter").state_type is RUNNING
    names = [state.name for state in ask(queries.list_states, run.text_id)]
    assert names == [
        "Pending",
        "Running",
        "Crashed",
        "Pending",
        "Running",
    ]  # the end of the first epoch is told as well


def test_a_late_fact_of_an_older_epoch_does_not_revive_a_dead_newer_one(ledger: Ledger, ask: Any) -> None:
    old, dead = Pen(), Pen()
    run = a_flow_run(old, "brave-otter").enter(RUNNING)
    run.next_epoch(dead).enter(RUNNING)
    first, late = old.batches(2, 1)
    ledger.fold([first, *dead.batches()])
    ledger.end_writer(dead.id, FOUND_DEAD)
    ledger.fold([late])
    assert ask(queries.find_flow_run, "brave-otter").state_type is CRASHED


def test_a_writer_nothing_was_heard_of_can_be_ended(ledger: Ledger) -> None:
    assert ledger.end_writer(Pen().id, FOUND_DEAD) == 0


def test_open_writers_are_those_not_known_to_have_ended(ledger: Ledger) -> None:
    dead, closed, alive, silent = Pen(pid=1), Pen(pid=2), Pen(pid=3), Pen(pid=4)
    closed.end()
    silent.runs.clear()
    silent.log(LogWritten(T0 + SECOND, 20, "test", "its first segment was not read yet"))
    for pen in (dead, closed, alive, silent):
        ledger.fold(pen.batches())
    ledger.end_writer(dead.id, FOUND_DEAD)
    writers = ledger.open_writers()
    assert [(writer.id, writer.pid, writer.host) for writer in writers] == [
        (alive.id, 3, "box"),
        (silent.id, None, None),
    ]
    assert writers[1].heard_us == T0 + SECOND
    assert ledger.writer(bytes(16)) is None
    ended = ledger.writer(dead.id)
    assert ended is not None
    assert ended.ended == "observed"


def test_the_outermost_runs_that_a_process_has_left_open_are_found(ledger: Ledger) -> None:
    pen, other = Pen(), Pen()
    outer = a_flow_run(pen, "outer").enter(RUNNING)
    a_flow_run(pen, "inner", parent_flow_run_id=outer.id).enter(RUNNING)
    a_task_run(pen, outer, "task").enter(RUNNING)
    a_flow_run(pen, "done").enter(RUNNING).enter(COMPLETED)
    a_flow_run(other, "elsewhere").enter(RUNNING)
    ledger.fold([*pen.batches(), *other.batches()])
    with ledger.read() as tx:
        assert queries.outermost_open_of(tx, pen.id) == [outer.id]
    ledger.end_writer(pen.id, FOUND_DEAD)
    with ledger.read() as tx:
        assert queries.outermost_open_of(tx, pen.id) == []
