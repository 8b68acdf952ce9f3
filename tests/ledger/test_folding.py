"""Folding is idempotent and commutative: in whatever order, cuts and repetitions, the tables are the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from surefoot.core.facts import (
    FlowRunCreated,
    LogsCut,
    LogWritten,
    SegmentOpened,
    StateEntered,
    Unknown,
    WriterEnded,
    encode,
)
from surefoot.core.ids import new_id, to_text
from surefoot.core.states import COMPLETED, FAILED, LEGAL, NAMES, PENDING, RUNNING, SCHEDULED, StateType
from surefoot.core.wire import FlowFilter, FlowRun
from surefoot.ledger import Batch, Folded, Ledger, queries
from surefoot.ledger.tables import tombstones
from tests.ledger.builders import FRAME, SECOND, T0, Pen, Run, a_flow_run, a_task_run, dump
from tests.places import Ledgers


@st.composite
def lives(draw: st.DrawFn) -> list[Pen]:
    """A few writers and the lives of some runs: mostly legal walks over the table, some wrong steps, several epochs."""
    pens = [Pen(pid=4711 + n, at_us=T0 - draw(st.integers(0, 5))) for n in range(draw(st.integers(1, 3)))]
    runs: list[Run] = []
    for _ in range(draw(st.integers(1, 4))):
        pen = draw(st.sampled_from(pens))
        parents = [run for run in runs if not run.is_task]
        at_us = T0 + draw(st.integers(0, 20)) * SECOND
        if draw(st.booleans()) and parents:
            runs.append(a_task_run(pen, draw(st.sampled_from(parents)), at_us=at_us))
        else:
            runs.append(
                a_flow_run(
                    pen,
                    at_us=at_us,
                    flow=draw(st.sampled_from(["a", "b"])),
                    description=draw(st.sampled_from(["x", "y"])),
                )
            )
        for epoch in range(draw(st.integers(1, 2))):
            if epoch:
                runs[-1].next_epoch(draw(st.sampled_from(pens)))
            for _ in range(draw(st.integers(0, 5))):
                _step(draw, runs[-1], runs)
        if draw(st.booleans()):
            runs[-1].log("a line", at_us=T0 + draw(st.integers(0, 9)))
    for pen in pens:
        for _ in range(draw(st.integers(0, 3))):
            pen.log(LogWritten(T0 + draw(st.integers(0, 9)), 20, "test", "a line"))
        if draw(st.booleans()):
            pen.end(T0 + draw(st.integers(0, 90)) * SECOND)
    return pens


def _step(draw: st.DrawFn, run: Run, runs: list[Run]) -> None:
    row = LEGAL[run.type]
    kinds = list(row) if draw(st.integers(0, 9)) and row else list(StateType)
    kind = draw(st.sampled_from(kinds))
    name = draw(st.sampled_from(sorted(row.get(kind) or NAMES[kind])))
    fields: dict[str, Any] = {"after_s": draw(st.integers(-1, 5))}
    if kind is SCHEDULED:
        fields["until_us"] = run.at_us + SECOND
    if kind is FAILED:
        fields |= {"cause_id": draw(st.sampled_from(runs)).id, "traceback": "Traceback ..."}
    if kind is RUNNING and draw(st.booleans()):
        fields["run_name"] = draw(st.sampled_from(["one", "two"]))
    run.enter(kind, name, draw(st.sampled_from([None, "ValueError: so it is"])), **fields)


def test_any_order_of_batches_gives_the_same_tables(ledgers: Ledgers) -> None:
    _check_orders(ledgers, 12 if ledgers.on_a_server else 60)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_any_order_of_batches_gives_the_same_tables_many_times(ledgers: Ledgers) -> None:
    _check_orders(ledgers, 200 if ledgers.on_a_server else 1000)


def _check_orders(ledgers: Ledgers, number: int) -> None:
    @given(data=st.data())
    @settings(max_examples=number, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def check(data: st.DataObject) -> None:
        _check_order(ledgers, data)

    check()


def _check_order(ledgers: Ledgers, data: st.DataObject) -> None:
    pens = data.draw(lives())
    dead = data.draw(st.sets(st.sampled_from([pen.id for pen in pens])))
    straight = [batch for pen in pens for batch in pen.batches()]
    pieces = [
        batch for pen in pens for batch in pen.batches(*data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    ]
    events: list[Batch | bytes] = [*pieces, *data.draw(st.lists(st.sampled_from(pieces), max_size=4)), *dead]
    shuffled = data.draw(st.permutations(events))
    with ledgers.opened() as ledger:
        once = ledger.fold(straight)
        for writer_id in dead:
            ledger.end_writer(writer_id, T0 + 99 * SECOND)
        expected = dump(ledger)
        assert ledger.fold(straight) == Folded(0, 0, 0)
        assert dump(ledger) == expected
    with ledgers.opened() as ledger:
        illegal = 0
        for event in shuffled:
            if isinstance(event, bytes):
                ledger.end_writer(event, T0 + 99 * SECOND)
            else:
                illegal += ledger.fold([event]).illegal
        ledger.fold(straight)  # a reader comes back for what lay behind a gap
        assert dump(ledger) == expected
        assert illegal == once.illegal == sum(row[0] for row in _illegal(ledger))


def _illegal(ledger: Ledger) -> list[Any]:
    with ledger.read() as connection:
        return list(connection.exec_driver_sql("SELECT illegal FROM flow_runs UNION ALL SELECT illegal FROM task_runs"))


def test_a_batch_that_is_partly_in_is_trimmed(ledger: Ledger) -> None:
    pen = Pen()
    a_flow_run(pen).enter(RUNNING).enter(COMPLETED)
    first, second = pen.batches(2, 2)
    whole = pen.batches()[0]
    assert ledger.fold([first]) == Folded(2, 0, 0)
    assert ledger.fold([whole]) == Folded(2, 0, 0)
    assert ledger.fold([second, whole]) == Folded(0, 0, 0)
    assert ledger.positions(pen.id) == {("runs", 0): 4 * FRAME}


def test_a_batch_behind_a_gap_is_folded_but_its_position_waits(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "brave-otter").enter(RUNNING).enter(COMPLETED)
    first, second = pen.batches(2, 2)
    assert ledger.fold([second]).gaps == 1
    assert ledger.positions(pen.id) == {}
    assert ask(queries.list_flow_runs).results == []
    ledger.fold([first])
    assert ledger.positions(pen.id) == {("runs", 0): 2 * FRAME}
    assert ask(queries.find_flow_run, "brave-otter").state_type is COMPLETED
    ledger.fold([second])
    assert ledger.positions(pen.id) == {("runs", 0): 4 * FRAME}


def test_batches_are_taken_from_a_generator_and_cut_into_pieces(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    flow_run = a_flow_run(pen).enter(RUNNING)
    for _ in range(3000):
        a_task_run(pen, flow_run).enter(RUNNING).enter(COMPLETED)
    assert ledger.fold(batch for batch in pen.batches()).count == len(pen.runs) == 9003
    assert ask(queries.count_task_runs).by_name == {"Completed": 3000}


@pytest.mark.parametrize("way", ["old first", "new first", "old first, at once", "new first, at once"])
def test_the_oldest_epochs_creation_tells_what_a_run_is(ledger: Ledger, ask: Any, way: str) -> None:
    old, new = Pen(), Pen()
    run = a_flow_run(old, "first-name", parameters=b'{"x": 1}').enter(RUNNING)
    new.write(FlowRunCreated(run.id, "backup", "other-name", T0 + SECOND, 0, PENDING, "Pending", epoch=1))
    batches = [*old.batches(), *new.batches()] if way.startswith("old") else [*new.batches(), *old.batches()]
    for piece in [batches] if way.endswith("at once") else [[batch] for batch in batches]:
        ledger.fold(piece)
    found = ask(queries.find_flow_run, run.text_id)
    assert (found.name, found.parameters, found.epoch, found.state_type) == ("first-name", {"x": 1}, 1, PENDING)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_states_with_one_number_the_same_is_kept_in_any_order(ledger: Ledger, ask: Any, turned: bool) -> None:
    one, two = Pen(), Pen()
    run = a_flow_run(one, "brave-otter")
    for pen, message in ((one, "this"), (two, "that")):
        pen.write(StateEntered(run.id, False, 0, 1, T0 + SECOND, 0, FAILED, "Failed", message))
    pens = sorted([one, two], key=lambda pen: pen.id, reverse=turned)
    for pen in pens:
        ledger.fold(pen.batches())
    first = min(one.id, two.id)
    assert ask(queries.find_flow_run, "brave-otter").writer_id == to_text(first)


@pytest.mark.parametrize("turned", [False, True])
def test_a_writer_is_told_by_its_first_segment(ledger: Ledger, turned: bool) -> None:
    pen = Pen(pid=4711)
    later = SegmentOpened(pen.id, "runs", 1, T0 + SECOND, T0 + SECOND, "box", "boot-1", 4712, "0.1.0")
    batches = [*pen.batches(), Batch(pen.id, "runs", 1, 0, FRAME, [(0, later)])]
    for batch in reversed(batches) if turned else batches:
        ledger.fold([batch])
    writer = ledger.writer(pen.id)
    assert writer is not None
    assert (writer.pid, writer.started_us, writer.heard_us) == (4711, T0, T0 + SECOND)
    assert ledger.positions(pen.id) == {("runs", 0): FRAME, ("runs", 1): FRAME}


def test_the_newest_name_that_a_template_gave_is_the_runs_name(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_task_run(pen, None, "upload-0").enter(RUNNING, run_name="upload of a.csv").enter(COMPLETED)
    ledger.fold(pen.batches(2, 1))
    assert ask(queries.find_task_run, run.text_id).name == "upload of a.csv"


def test_a_fact_of_an_older_epoch_extends_history_only(ledger: Ledger, ask: Any) -> None:
    old, new = Pen(), Pen()
    run = a_flow_run(old, "brave-otter").enter(RUNNING)
    late = StateEntered(run.id, False, 0, 2, T0 + 99 * SECOND, 0, FAILED, "Failed", "too late", run_count=1)
    run.next_epoch(new).enter(RUNNING).enter(COMPLETED)
    old.write(late)
    ledger.fold([*new.batches(), *old.batches()])
    found = ask(queries.find_flow_run, "brave-otter")
    assert (found.state_type, found.epoch, found.writer_id) == (COMPLETED, 1, to_text(new.id))
    assert [state.name for state in ask(queries.list_states, run.text_id)] == [
        "Pending", "Running", "Failed", "Pending", "Running", "Completed",
    ]  # fmt: skip


def test_an_unknown_fact_is_kept_and_folded_after_an_upgrade(ledgers: Ledgers) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    pen.write(Unknown(encode(StateEntered(run.id, False, 0, 1, T0, 0, RUNNING, "Running", run_count=1))))
    pen.write(Unknown(b"\x91\xcd\x01\x00"))  # of kind 256
    path = ledgers.new()
    with Ledger.open(path) as ledger:
        ledger.fold(pen.batches())
        assert len(dump(ledger)["unknown_facts"]) == 2
        with ledger.read() as connection:
            assert queries.find_flow_run(connection, run.name).state_type is PENDING
        with ledger._write() as connection:
            connection.exec_driver_sql("UPDATE meta SET value = '0.0.1' WHERE key = 'folded_by'")
    with Ledger.open(path) as ledger:
        ledger.fold([])
        assert len(dump(ledger)["unknown_facts"]) == 1
        with ledger.read() as connection:
            assert queries.find_flow_run(connection, run.name).state_type is RUNNING


@pytest.mark.parametrize(
    "broken",
    [
        StateEntered(bytes(16), True, -1, 0, T0, 0, RUNNING, "Running"),
        StateEntered(bytes(16), True, 0, -3, T0, 0, RUNNING, "Running"),
        StateEntered(bytes(16), True, 0, 1, 1 << 63, 0, RUNNING, "Running"),
        StateEntered(bytes(16), True, 0, 1, T0, 0, RUNNING, "Running", ran_us=-1),
        StateEntered(bytes(16), True, 0, 1, T0, 0, RUNNING, "Running", start_us=1 << 62),
        StateEntered(bytes(16), True, 0, 1, T0, 0, SCHEDULED, "Late", until_us=-1),
        FlowRunCreated(bytes(16), "f", "n", T0, 0, PENDING, "Pending", epoch=1 << 40),
        LogWritten(-1, 20, "test", "before 1970"),
        LogWritten(T0, 1 << 40, "test", "loud"),
        WriterEnded(T0, 0, lost=-1),
        SegmentOpened(bytes(16), "runs", 0, T0, 0, "box", "boot", 1 << 63, "0.1"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_a_broken_fact_stops_nothing(ledger: Ledger, ask: Any, broken: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter")
    pen.write(broken)
    run.enter(RUNNING).enter(COMPLETED)
    ledger.fold(pen.batches())
    assert ask(queries.find_flow_run, "brave-otter").state_type is COMPLETED
    assert [row[-1] for row in dump(ledger)["unknown_facts"]] == [encode(broken)]


def test_a_gap_in_a_runs_numbers_stops_nothing(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen, "brave-otter").enter(RUNNING)
    run.n += 5
    run.enter(COMPLETED)
    assert ledger.fold(pen.batches()) == Folded(4, 0, 0)
    assert ask(queries.find_flow_run, "brave-otter").state_type is COMPLETED


def test_parameters_that_are_no_json_do_not_hide_the_run(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "brave-otter", parameters=b"\xff{")
    a_flow_run(pen, "calm-heron", parameters=b"[1]")
    ledger.fold(pen.batches())
    runs: list[FlowRun] = ask(queries.list_flow_runs).results
    assert [run.parameters for run in runs] == [{}, {}]


def test_a_deleted_run_does_not_come_back(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    kept, gone = a_flow_run(pen, "kept").enter(RUNNING), a_flow_run(pen, "gone").enter(RUNNING)
    with ledger._write() as connection:
        connection.execute(insert(tombstones), {"workspace_id": 0, "run_id": gone.id, "deleted_us": T0})
    ledger.fold(pen.batches())
    assert [run.id for run in ask(queries.list_flow_runs).results] == [kept.text_id]


def test_a_flow_is_told_by_its_newest_run(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    first = a_flow_run(pen, flow="backup", at_us=T0, description="old words")
    last = a_flow_run(pen, flow="backup", at_us=T0 + SECOND, description="new words")
    other = a_flow_run(pen, flow="report")
    ledger.fold(reversed(pen.batches(2, 1)))
    backup, report = ask(queries.list_flows).results
    assert (backup.name, backup.description, backup.run_count) == ("backup", "new words", 2)
    assert backup.last_run.id == last.text_id
    assert report.last_run.id == other.text_id
    assert (backup.updated - backup.created).total_seconds() == 1
    assert [flow.name for flow in ask(queries.list_flows, FlowFilter(name_like="POR")).results] == ["report"]
    assert first.id < last.id


def test_a_cut_in_the_logs_is_a_line_of_its_own(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    run.log("before")
    pen.log(LogsCut(T0 + SECOND, 312, run.id))
    ledger.fold(pen.batches())
    assert [line.message for line in ask(queries.list_logs).results] == [
        "before",
        "312 lines are missing here: the disk budget for logs was full",
    ]


def test_ids_of_runs_that_are_not_created_yet_are_not_listed(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    pen.write(StateEntered(new_id(), True, 0, 1, T0, 0, RUNNING, "Running"))
    ledger.fold(pen.batches())
    assert ask(queries.list_task_runs).results == []
    assert len(dump(ledger)["early_states"]) == 1
