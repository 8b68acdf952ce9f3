"""What is too old goes, the oldest first, whole trees at a time, and never what has not ended; daily summaries stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select

from surefoot.core.clock import SystemClock, get_clock, set_clock
from surefoot.core.facts import LogWritten, Unknown
from surefoot.core.ids import new_id
from surefoot.core.states import CANCELLED, COMPLETED, FAILED, RUNNING
from surefoot.core.wire import LogFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.removal import Removed
from surefoot.ledger.retention import Cutoffs, Retaining
from surefoot.ledger.tables import metadata
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run

DAY = 86_400 * SECOND
Ask = Callable[..., Any]


def ended(run: Run, kind: Any = COMPLETED, **fields: Any) -> Run:
    return run.enter(RUNNING).enter(kind, **fields)


def names(ask: Ask) -> list[str]:
    return sorted(run.name for run in ask(queries.list_flow_runs).results)


def rows(ledger: Ledger, table: str) -> int:
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar() or 0


def test_old_runs_go_with_all_that_is_below_them_and_newer_ones_stay(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for day in range(4):
        run = a_flow_run(pen, f"day-{day}", at_us=T0 + day * DAY)
        called = a_flow_run(pen, f"called-{day}", at_us=T0 + day * DAY, parent_flow_run_id=run.id)
        for owner in (run, called):
            task = ended(a_task_run(pen, owner, at_us=T0 + day * DAY))
            task.log("done", flow_run=owner)
            owner.log("done")
            ended(owner)
        ended(a_task_run(pen, None, f"alone-{day}", at_us=T0 + day * DAY)).log("done")
    ledger.fold(pen.batches())
    gone = ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY))
    assert gone.removed == Removed(flow_runs=4, task_runs=6, logs=10)
    assert names(ask) == ["called-2", "called-3", "day-2", "day-3"]
    assert rows(ledger, "task_runs") == 6
    assert rows(ledger, "logs") == 10
    assert ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY)).removed == Removed()


def test_what_has_not_ended_stays_with_its_whole_tree(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    a_flow_run(pen, "goes on").enter(RUNNING)
    owner = a_flow_run(pen, "its task goes on")
    a_task_run(pen, owner).enter(RUNNING)
    ended(owner)
    caller = a_flow_run(pen, "called one that goes on")
    a_flow_run(pen, "called", parent_flow_run_id=caller.id).enter(RUNNING)
    ended(caller)
    ended(a_flow_run(pen, "over"))
    ledger.fold(pen.batches())
    assert ledger.retain(Cutoffs(runs_us=T0 + DAY)).removed == Removed(flow_runs=1)
    assert names(ask) == ["called", "called one that goes on", "goes on", "its task goes on"]


def test_runs_whose_caller_is_gone_go_by_their_own_age(ledger: Ledger) -> None:
    pen = Pen()
    ended(a_flow_run(pen, parent_flow_run_id=new_id()))
    stranger = a_flow_run(Pen())
    ended(a_task_run(pen, stranger))
    ledger.fold(pen.batches())
    assert ledger.retain(Cutoffs(runs_us=T0 + DAY)).removed == Removed(flow_runs=1, task_runs=1)


def test_a_run_that_a_dead_writer_left_open_goes_when_that_is_long_ago(ledger: Ledger) -> None:
    pen = Pen()
    a_flow_run(pen).enter(RUNNING)
    ledger.fold(pen.batches())
    ledger.end_writer(pen.id, T0 + SECOND)
    assert ledger.retain(Cutoffs(runs_us=T0 + DAY)).removed == Removed(flow_runs=1)


def test_lines_go_by_their_own_age_also_of_runs_that_go_on(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_flow_run(pen).enter(RUNNING)
    for day in range(5):
        run.log(f"day {day}", at_us=T0 + day * DAY)
    ledger.fold(pen.batches())
    assert ledger.retain(Cutoffs(logs_us=T0 + 3 * DAY)).removed == Removed(logs=3)
    lines = ask(queries.list_logs, LogFilter(flow_run_id=[run.text_id])).results
    assert [line.message for line in lines] == ["day 3", "day 4"]


def test_daily_summaries_stay_and_grow_by_what_goes(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for day, kind, name in [(0, COMPLETED, None), (0, COMPLETED, None), (0, FAILED, "TimedOut"), (1, CANCELLED, "Odd")]:
        run = a_flow_run(pen, at_us=T0 + day * DAY)
        ended(a_task_run(pen, run, at_us=T0 + day * DAY))
        ended(run, kind, name=name, after_s=10)
    ended(a_flow_run(pen, at_us=T0 + 9 * DAY))
    ended(a_task_run(pen, None))
    ledger.fold(pen.batches())
    for day in range(4):
        ledger.retain(Cutoffs(runs_us=T0 + day * DAY))
    table = metadata.tables["summaries"].c
    query = select(table.day, table.is_task, table.state_name, table.runs, table.ran_us)
    with ledger.read() as connection:
        told = sorted(tuple(row) for row in connection.execute(query))
    first = T0 // DAY
    assert told == [
        (first, 0, "Completed", 2, 20 * SECOND),
        (first, 0, "TimedOut", 1, 10 * SECOND),
        (first, 1, "Completed", 1, SECOND),  # of no flow
        (first, 1, "Completed", 3, 3 * SECOND),
        (first + 1, 0, "Cancelled", 1, 10 * SECOND),
        (first + 1, 1, "Completed", 1, SECOND),
    ]
    (flow,) = ask(queries.list_flows).results
    assert flow.run_count == 5


def test_a_pass_that_is_cut_short_is_gone_on_with(ledger: Ledger, ask: Ask) -> None:
    class Died(Exception):
        """The process, in the middle."""

    class Dying(SystemClock):
        def sleep(self, seconds: float) -> None:
            raise Died

        def mono_us(self) -> int:
            return super().mono_us() * 1_000_000  # each step is one transaction

    pen = Pen()
    run = a_flow_run(pen, "large")
    for _ in range(1200):
        ended(a_task_run(pen, run))
    ended(run)
    ledger.fold(pen.batches())
    for _ in range(2):
        before = set_clock(Dying())
        try:
            with pytest.raises(Died):
                ledger.retain(Cutoffs(runs_us=T0 + DAY))
        finally:
            set_clock(before)
        assert names(ask) == ["large"]
    ledger.retain(Cutoffs(runs_us=T0 + DAY))
    assert (rows(ledger, "task_runs"), names(ask)) == (0, [])


def test_what_is_known_of_journals_goes_when_nothing_can_come_of_them(ledger: Ledger) -> None:
    now_us = get_clock().now_us()
    pens = [Pen(at_us=now_us) for _ in range(3)]
    for pen in pens:
        ended(a_flow_run(pen, at_us=now_us))
        pen.write(Unknown(b"\x93\xa5later\x01\x02"))
        pen.log(LogWritten(now_us, 20, "a", "b"))
    ended_, there, alive = pens
    for pen in (ended_, there):
        pen.end(now_us)
    for pen in pens:
        ledger.fold(pen.batches())
    later = Cutoffs(journal_us=now_us + DAY)
    ledger.retain(later, [there.id])
    assert [len(ledger.positions(pen.id)) for pen in pens] == [0, 2, 2]
    assert ledger.writer(ended_.id) is not None
    ledger.retain(Cutoffs(runs_us=now_us + DAY), [there.id])
    assert ledger.writer(ended_.id) is None
    assert ledger.writer(there.id) is not None
    assert ledger.writer(alive.id) is not None
    assert rows(ledger, "unknown_facts") == 2


def test_states_whose_run_never_came_go_after_a_while(ledger: Ledger) -> None:
    other, pen = Pen(), Pen()
    a_flow_run(other).enter(RUNNING)
    run = a_flow_run(other)
    run.pen = pen
    ended(run)
    ledger.fold(pen.batches())
    assert rows(ledger, "early_states") == 1
    ledger.retain(Cutoffs(runs_us=T0))
    assert rows(ledger, "early_states") == 1
    ledger.retain(Cutoffs(runs_us=get_clock().now_us() + DAY))
    assert rows(ledger, "early_states") == 0


def test_space_is_given_back_to_the_disk(file_ledger: Ledger) -> None:
    pen = Pen()
    run = a_flow_run(pen).enter(RUNNING)
    for _ in range(60):
        run.log("x" * 200_000)
    file_ledger.fold(pen.batches())
    full = file_ledger.contents().bytes
    file_ledger.retain(Cutoffs(logs_us=T0 + DAY))
    now = file_ledger.contents()
    assert full > 12_000_000
    assert now.bytes < 6_000_000
    assert now.free_bytes < 5_000_000


def test_a_ledger_is_written_anew_without_gaps(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_flow_run(pen, "stays").enter(RUNNING)
    for _ in range(20):
        run.log("x" * 100_000)
    ledger.fold(pen.batches())
    ledger.retain(Cutoffs(logs_us=T0 + DAY))
    full = ledger.contents()
    assert full.free_bytes > 1_000_000 or full.free_bytes == 0  # a server does not tell
    ledger.compact()
    assert ledger.contents().free_bytes == 0
    assert names(ask) == ["stays"]


def test_contents_tell_how_much_there_is_of_what_and_since_when(ledger: Ledger) -> None:
    pen = Pen()
    for day in range(2):
        run = ended(a_flow_run(pen, at_us=T0 + day * DAY))
        run.log("a line")
    ledger.fold(pen.batches())
    told = ledger.contents()
    assert (told.rows["flow_runs"], told.rows["logs"], told.rows["task_runs"]) == (2, 2, 0)
    assert (told.oldest_run_us, told.newest_run_us) == (T0 + 2 * SECOND, T0 + DAY + 2 * SECOND)
    assert told.oldest_line_us == T0 + 2 * SECOND
    assert told.table_bytes.get("flow_runs", 1) > 0


def test_retention_finds_its_runs_by_an_index(file_ledger: Ledger) -> None:
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.startswith("SELECT"):
            plans.extend(str(row) for row in cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters))

    with file_ledger.read() as connection:
        event.listen(connection, "before_cursor_execute", explain)
        retaining = Retaining(Cutoffs(runs_us=1, logs_us=1), T0)
        while retaining.step(connection):
            pass
    assert len([plan for plan in plans if "_by_end" in plan]) == 2
    assert len([plan for plan in plans if "logs_by_time" in plan]) == 1
    assert not [plan for plan in plans if "TEMP B-TREE" in plan]


def test_in_a_ledger_of_several_homes_nothing_is_forgotten_of_the_others_journals(ledger: Ledger) -> None:
    now_us = get_clock().now_us()
    pen = Pen(at_us=now_us)
    ended(a_flow_run(pen, at_us=now_us))
    pen.end(now_us)
    ledger.fold(pen.batches())
    cutoffs = Cutoffs(runs_us=now_us + DAY, journal_us=now_us + DAY)
    retaining = Retaining(cutoffs, now_us, home_id=b"another home".ljust(16))
    with ledger.decide() as connection:
        while retaining.step(connection):
            pass
    assert retaining.removed == Removed(flow_runs=1), "runs belong to all"
    assert ledger.writer(pen.id) is not None
    assert ledger.positions(pen.id)
