"""Lines come in the order of time; those of one writer as it wrote them; a flow's with those of its subflows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.facts import LogWritten
from surefoot.core.ids import to_text
from surefoot.core.states import RUNNING
from surefoot.core.wire import Log, LogFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.queries.rows import instant
from tests.ledger.builders import SECOND, T0, Pen, a_flow_run, a_task_run
from tests.places import Ledgers


def _messages(ask: Any, where: LogFilter | None = None, **options: Any) -> list[str]:
    return [line.message for line in _all(ask, where, **options)]


def _all(ask: Any, where: LogFilter | None = None, *, limit: int = 3, **options: Any) -> list[Log]:
    found: list[Log] = []
    after = None
    while True:
        page = ask(queries.list_logs, where, limit=limit, after=after, **options)
        found += page.results
        after = page.after
        if after is None:
            return found


def test_a_clock_set_back_does_not_change_the_order_of_a_writers_lines(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    for number, second in enumerate([0, 5, 2, 3, 9, 8]):
        run.log(str(number), at_us=T0 + second * SECOND)
    ledger.fold(reversed(pen.batches(2)))
    assert _messages(ask) == ["0", "1", "2", "3", "4", "5"]
    assert _messages(ask, sort="TIMESTAMP_DESC") == ["5", "4", "3", "2", "1", "0"]
    assert [line.timestamp for line in _all(ask)][:3] == [instant(T0 + s * SECOND) for s in (0, 5, 2)]


def test_pages_hold_every_line_once_in_writers_order(ledgers: Ledgers) -> None:
    @settings(max_examples=10 if ledgers.on_a_server else 40)
    @given(times=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=25), size=st.integers(1, 5))
    def check(times: list[tuple[int, int]], size: int) -> None:
        _check_pages(ledgers, times, size)

    check()


def _check_pages(ledgers: Ledgers, times: list[tuple[int, int]], size: int) -> None:
    pens = [Pen() for _ in range(3)]
    for number, (which, second) in enumerate(times):
        pens[which].log(LogWritten(T0 + second, 20, "test", f"{which}/{number:03}"))
    with ledgers.opened() as ledger:
        ledger.fold([batch for pen in pens for batch in pen.batches(size)])
        with ledger.read() as connection:
            found: list[str] = []
            after = None
            while True:
                page = queries.list_logs(connection, limit=size, after=after)
                found += [line.message for line in page.results]
                after = page.after
                if after is None:
                    break
    assert len(found) == len(times)
    for which in range(3):
        mine = [message for message in found if message.startswith(f"{which}/")]
        assert mine == sorted(mine)


def test_writers_are_merged_by_time(ledger: Ledger, ask: Any) -> None:
    for start in (0, 1):
        pen = Pen()
        for second in range(start, 6, 2):
            pen.log(LogWritten(T0 + second * SECOND, 20, "test", str(second)))
        ledger.fold(pen.batches())
    assert _messages(ask) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("subflows", [2, 70], ids=["a few subflows", "many subflows"])
def test_a_flow_runs_lines_include_those_of_its_tasks_and_subflows(ledger: Ledger, ask: Any, subflows: int) -> None:
    pen, other = Pen(), Pen()
    flow_run = a_flow_run(pen).enter(RUNNING)
    flow_run.log("flow", at_us=T0)
    a_task_run(pen, flow_run).log("task", flow_run=flow_run, at_us=T0 + 1)
    parent = flow_run
    for number in range(subflows):
        parent = a_flow_run(pen, parent_flow_run_id=parent.id)
        parent.log(f"subflow {number}", at_us=T0 + 10 + number)
    a_flow_run(other).log("a stranger", at_us=T0 + 5)
    ledger.fold([*pen.batches(), *other.batches()])
    expected = ["flow", "task", *(f"subflow {number}" for number in range(subflows))]
    assert _messages(ask, LogFilter(flow_run_id=[flow_run.text_id])) == expected
    assert _messages(ask, LogFilter(flow_run_id=[flow_run.text_id]), sort="TIMESTAMP_DESC") == expected[::-1]
    assert _messages(ask, LogFilter(flow_run_id=[parent.text_id])) == expected[-1:]
    assert _messages(ask, LogFilter(flow_run_id=[])) == []


def test_lines_are_filtered(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = a_task_run(pen, None)
    for number, level in enumerate([10, 20, 30, 40]):
        run.log(f"line {number}", level=level, at_us=T0 + number * SECOND)
    pen.log(LogWritten(T0 + 9 * SECOND, 50, "other", "100% outside of any run"))
    ledger.fold(pen.batches())
    assert _messages(ask, LogFilter(level_ge=30)) == ["line 2", "line 3", "100% outside of any run"]
    assert _messages(ask, LogFilter(task_run_id=[run.text_id])) == [f"line {n}" for n in range(4)]
    assert _messages(ask, LogFilter(task_run_id=[])) == []
    between = LogFilter(timestamp_after=instant(T0 + SECOND), timestamp_before=instant(T0 + 2 * SECOND))
    assert _messages(ask, between) == ["line 1", "line 2"]
    assert _messages(ask, LogFilter(text="LINE 3")) == ["line 3"]
    assert _messages(ask, LogFilter(text="0%")) == ["100% outside of any run"]


def test_a_line_tells_where_it_stands_and_what_was_cut(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    pen.log(LogWritten(T0, 20, "my.logger", "a" * 10, cut=12345))
    ledger.fold(pen.batches())
    (line,) = _all(ask)
    assert line.message == "aaaaaaaaaa … [12,345 more characters were cut]"
    assert line.id == f"{to_text(pen.id)}/000000/0000000000"
    assert (line.name, line.flow_run_id, line.task_run_id) == ("my.logger", None, None)
