"""Promise 14, as far as it is built: a table of situations, each with the reason in lists and what `why` must tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from surefoot.core.clock import set_clock
from surefoot.core.states import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    StateType,
)
from surefoot.core.wire import Explanation
from surefoot.ledger import Ledger, queries
from surefoot.ledger.queries.reasons import at_clock
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.queries.situations import SITUATIONS
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run

AT = r"\d\d:\d\d:\d\d"
UNTIL = T0 + 900 * SECOND


class Case(NamedTuple):
    """One row: how it came about, what the list says, what `why` says."""

    build: Callable[[Pen], Run]
    reason: str | None
    summary: str  # patterns, as the times of day depend on where it is read
    causes: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    dies: bool = False
    closes: bool = False


def _flow(pen: Pen, *steps: tuple[Any, ...], name: str = "calm-heron", **fields: Any) -> Run:
    return _live(a_flow_run(pen, name, **fields), *steps)


def _task(pen: Pen, flow_run: Run | None, name: str, *steps: tuple[Any, ...], **fields: Any) -> Run:
    return _live(a_task_run(pen, flow_run, name, task=name.rsplit("-", 1)[0], **fields), *steps)


def _live(run: Run, *steps: tuple[Any, ...]) -> Run:
    for kind, *rest in steps:
        fields = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        run.enter(kind, *rest, **fields)
    return run


REFUSED = "ConnectionError: connection refused"
WAITS = (SCHEDULED, "AwaitingRetry", REFUSED, {"until_us": UNTIL})
AGAIN = (RUNNING, "Retrying")
TRACEBACK = {"traceback": "Traceback of upload"}


def failed_after_retries(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    steps = ((RUNNING,), WAITS, AGAIN, WAITS, AGAIN, WAITS, AGAIN, (FAILED, "Failed", REFUSED, TRACEBACK))
    task_run = _task(pen, flow_run, "upload-0", *steps, retries=3)
    return flow_run.enter(FAILED, message=REFUSED, cause_id=task_run.id, traceback="Traceback of the flow")


def quality_check(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    check = _task(pen, flow_run, "check_nulls-0", (RUNNING,), (FAILED, "Failed", "ValueError: 3% null keys"))
    load = _task(pen, flow_run, "load-0", (FAILED, "NotReady", "`check_nulls` failed: ...", {"cause_id": check.id}))
    report = _task(pen, flow_run, "report-0", (FAILED, "NotReady", "`load` did not run: ...", {"cause_id": load.id}))
    return flow_run.enter(FAILED, "NotReady", message="`load` did not run", cause_id=report.id)


def downstream_of_the_check(pen: Pen) -> Run:
    quality_check(pen)
    return Run(pen, pen.runs[-4][1].run_id, True, "load-0", T0, 0)  # type: ignore[union-attr]


def the_check_itself(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    check = _task(pen, flow_run, "check_nulls-0", (RUNNING,), (FAILED, "Failed", "ValueError: 3% null keys"))
    load = _task(pen, flow_run, "load-0", (FAILED, "NotReady", "x", {"cause_id": check.id}))
    _task(pen, flow_run, "report-0", (FAILED, "NotReady", "x", {"cause_id": load.id}))
    _task(pen, flow_run, "other-0", (FAILED, "NotReady", "x", {"cause_id": flow_run.id}))
    return check


def a_map_with_failures(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    for number in range(40):
        run = _task(pen, flow_run, f"score-{number}", (RUNNING,))
        if number % 4 == 0:
            run.enter(FAILED, message=f"ValueError: no grid for {number}")
        elif number == 1:
            run.enter(FAILED, message="KeyError: 'x'")
        else:
            run.enter(COMPLETED)
    cause = run if run.type is FAILED else None
    _task(pen, flow_run, "publish-0", (CANCELLED, "Cancelled", "its flow run ended first, before it started"))
    assert cause is None
    return flow_run.enter(FAILED, message="11 of 40 states failed")


def in_a_subflow(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    child = _flow(pen, (RUNNING,), name="quick-fox", flow="load", parent_flow_run_id=flow_run.id)
    task_run = _task(pen, child, "insert-0", (RUNNING,), (FAILED, "Failed", "KeyError: 'id'"))
    child.enter(FAILED, message="KeyError: 'id'", cause_id=task_run.id)
    return flow_run.enter(FAILED, message="KeyError: 'id'", cause_id=child.id)


def recovered(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    _task(pen, flow_run, "fetch-0", (RUNNING,), (RUNNING, "Retrying", REFUSED), (COMPLETED,), retries=3)
    _task(pen, flow_run, "fetch-1", (RUNNING,), (COMPLETED, None, None, {"after_s": 200}))
    return flow_run.enter(COMPLETED, message="All states completed.", after_s=252)


def busy(pen: Pen) -> Run:
    flow_run = _flow(pen, (RUNNING,))
    _task(pen, flow_run, "fetch-0", (RUNNING,))
    _task(pen, flow_run, "fetch-1", (RUNNING,), WAITS, retries=3)
    _task(pen, flow_run, "done-0", (RUNNING,), (COMPLETED,))
    return flow_run


def second_epoch(pen: Pen) -> Run:
    run = _flow(pen, (RUNNING,), (FAILED, "Failed", "ValueError: not yet there"))
    return run.next_epoch().enter(RUNNING)


FLOW, TASK = "Flow run calm-heron", "Task run upload-0"


def _of(*steps: tuple[Any, ...], **fields: Any) -> Callable[[Pen], Run]:
    return lambda pen: _flow(pen, *steps, **fields)


def _task_of(*steps: tuple[Any, ...], **fields: Any) -> Callable[[Pen], Run]:
    return lambda pen: _task(pen, None, "upload-0", *steps, **fields)


CASES: dict[str, Case] = {
    "completed": Case(_of((RUNNING,), (COMPLETED,)), None, f"{FLOW} completed in 1 s."),
    "completed, with tasks that recovered": Case(
        recovered,
        None,
        rf"{FLOW} completed in 4m 12s: All states completed\.",
        ("fetch-0 completed after 1 retry", "the task run that took longest is fetch-1: 3m 20s"),
    ),
    "completed after retries": Case(
        _task_of((RUNNING,), WAITS, AGAIN, (COMPLETED,), retries=3),
        None,
        f"{TASK} completed after 1 retry in 2 s.",
        ("attempt 1: connection refused",),
    ),
    "from the cache": Case(
        _task_of((COMPLETED, "Cached", "same inputs as yesterday")),
        "same inputs as yesterday",
        f"{TASK} took its result from the cache: same inputs as yesterday.",
    ),
    "skipped": Case(
        _task_of((COMPLETED, "Skipped", "no new rows")), "no new rows", f"{TASK} was skipped: no new rows."
    ),
    "rolled back": Case(
        _task_of((RUNNING,), (COMPLETED,), (COMPLETED, "RolledBack")), None, f"{TASK} completed, and was rolled back."
    ),
    "a task failed after retries": Case(
        failed_after_retries,
        "upload: connection refused (3 retries)",
        rf"{FLOW} failed, because upload-0 failed: connection refused \(3 retries\)\.",
        (r"upload-0 failed: connection refused \(3 retries\)",),
    ),
    "failed by itself": Case(
        _task_of((RUNNING,), (FAILED, "Failed", "KeyError: 'x'")), "KeyError: 'x'", f"{TASK} failed: KeyError: 'x'."
    ),
    "failed by itself after retries": Case(
        _task_of((RUNNING,), (RUNNING, "Retrying", REFUSED), (FAILED, "Failed", REFUSED), retries=1),
        r"connection refused (1 retry)",
        f"{TASK} failed after 1 retry: connection refused.",
        ("attempt 1: connection refused",),
    ),
    "a check stopped what follows": Case(
        quality_check,
        "check_nulls: 3% null keys",
        f"{FLOW} failed, because check_nulls-0 failed: 3% null keys.",
        ("report-0 did not run", "load-0 did not run", "check_nulls-0 failed: 3% null keys"),
        ("load-0 did not run", "report-0 did not run"),
    ),
    "not ready": Case(
        downstream_of_the_check,
        "`check_nulls` failed",
        "Task run load-0 did not run, because check_nulls-0 failed: 3% null keys.",
        ("check_nulls-0 failed: 3% null keys",),
        ("report-0 did not run",),
    ),
    "what others wait for": Case(
        the_check_itself,
        "3% null keys",
        "Task run check_nulls-0 failed: 3% null keys.",
        (),
        ("load-0 did not run", "report-0 did not run"),
    ),
    "parameters refused": Case(
        _of((FAILED, "NotReady", "ParameterTypeError: `x` is 'one', which is no int")),
        "`x` is 'one', which is no int",
        f"{FLOW} did not run: `x` is 'one', which is no int.",
    ),
    "a map with failures": Case(
        a_map_with_failures,
        "11 of 40 states failed",
        f"{FLOW} failed: 11 of 40 states failed.",
        (
            "10 task runs of score failed: no grid for …, for example score-0, score-4, score-8",
            "1 task run of score failed: KeyError: 'x'",
        ),
        ("1 task run was cancelled",),
    ),
    "in a subflow": Case(
        in_a_subflow,
        "insert: KeyError: 'id'",
        f"{FLOW} failed, because insert-0 failed: KeyError: 'id'.",
        ("flow run quick-fox failed: KeyError: 'id'", "insert-0 failed: KeyError: 'id'"),
    ),
    "timed out": Case(
        _task_of(
            (RUNNING,), (FAILED, "TimedOut", "TaskRunTimeoutError: Task run 'upload-0' took longer than its 5 s.")
        ),
        "Task run 'upload-0' took longer than its 5 s.",
        rf"{TASK} ran out of time: Task run 'upload-0' took longer than its 5 s\.$",
    ),
    "its process died": Case(
        _of((RUNNING,)),
        "its process died (pid 4711)",
        rf"{FLOW} crashed: its process died \(pid 4711 on box\) while it was Running, without a word: "
        r"killed, out of memory, or power loss\.",
        dies=True,
    ),
    "its task's process died": Case(
        lambda pen: _task(pen, _flow(pen, (RUNNING,)), "upload-0"),
        "its process died (pid 4711)",
        rf"{TASK} crashed: its process died \(pid 4711 on box\) while it was Pending",
        dies=True,
    ),
    "abandoned by its process": Case(
        _of((RUNNING,)),
        "its process ended without ending it",
        f"{FLOW} was abandoned: its process ended and left it without an end.",
        closes=True,
    ),
    "abandoned generator": Case(
        _of((RUNNING,), (CRASHED, "Abandoned", "its generator was dropped before it was exhausted or closed")),
        "its generator was dropped before it was exhausted or closed",
        f"{FLOW} was abandoned: its generator was dropped before it was exhausted or closed.",
    ),
    "sys.exit": Case(
        _task_of((RUNNING,), (CRASHED, "Crashed", "sys.exit(3) was called")),
        "sys.exit(3) was called",
        rf"{TASK} was ended from outside: sys.exit\(3\) was called\.",
    ),
    "interrupted": Case(
        _of((RUNNING,), (CRASHED, "Crashed", "interrupted (Ctrl-C)")),
        "interrupted (Ctrl-C)",
        rf"{FLOW} was ended from outside: interrupted \(Ctrl-C\)\.",
    ),
    "terminated": Case(
        _of((RUNNING,), (CRASHED, "Crashed", "terminated (signal 15)")),
        "terminated (signal 15)",
        rf"{FLOW} was ended from outside: terminated \(signal 15\)\.",
    ),
    "lost": Case(
        _of((RUNNING,), (CRASHED, "Lost", "its lease ran out")),
        "its lease ran out",
        f"{FLOW} is lost: nothing was heard from it in time: its lease ran out.",
    ),
    "cancelled": Case(
        _of((RUNNING,), (CANCELLED, "Cancelled", "asked for by ann")),
        "asked for by ann",
        f"{FLOW} was cancelled: asked for by ann.",
    ),
    "cancelling": Case(_of((RUNNING,), (CANCELLING,)), None, f"{FLOW} was asked to stop, and has not yet."),
    "paused": Case(
        _of((RUNNING,), (PAUSED, "Paused", "waits for an approval")),
        "waits for an approval",
        rf"{FLOW} is Paused since .*{AT}: waits for an approval\.",
    ),
    "waiting for a retry": Case(
        _task_of((RUNNING,), WAITS, AGAIN, WAITS, retries=3),
        f"retry 2 of 3 at {at_clock(instant(UNTIL))}",
        rf"{TASK} failed: connection refused; retry 2 of 3 follows at .*{AT}\.",
        ("attempt 1: connection refused",),
    ),
    "scheduled": Case(_of(kind=SCHEDULED, state="Scheduled"), None, f"{FLOW} is Scheduled: it is to start."),
    "late": Case(
        _of((SCHEDULED, "Late", {"until_us": UNTIL}), kind=SCHEDULED, state="Scheduled"),
        f"starts at {at_clock(instant(UNTIL))}",
        rf"{FLOW} is Late: it is to start at .*{AT}\.",
    ),
    "pending": Case(
        _of((PENDING, "Submitting", "waits for a worker")),
        "waits for a worker",
        rf"{FLOW} is Submitting since .*{AT}: waits for a worker: it has not started\.",
    ),
    "running": Case(
        busy,
        None,
        rf"{FLOW} is running since .*{AT}\.",
        ("fetch-0 is Running", rf"fetch-1 is AwaitingRetry at .*{AT}: connection refused"),
    ),
    "running again": Case(
        _task_of((RUNNING,), (RUNNING, "Retrying", REFUSED), retries=2),
        "retry 1 of 2",
        rf"{TASK} is running since .*{AT}, retry 1 of 2\.",
        ("attempt 1: connection refused",),
    ),
    "running in a second epoch": Case(
        second_epoch, None, f"{FLOW} is running since", ("epoch 0, attempt 1: not yet there",)
    ),
    "a cause that never arrived": Case(
        _of((RUNNING,), (FAILED, "Failed", REFUSED, {"cause_id": bytes(16)})),
        "connection refused",
        f"{FLOW} failed: connection refused.",
    ),
}


def _explained(ledger: Ledger, case: Case) -> tuple[Explanation, str | None]:
    pen = Pen(pid=4711, host="box")
    run = case.build(pen)
    if case.closes:
        pen.end()
    ledger.fold(pen.batches())
    if case.dies:
        ledger.end_writer(pen.id, T0 + 999 * SECOND)
    with ledger.read() as connection:
        listed = queries.list_task_runs(connection) if run.is_task else queries.list_flow_runs(connection)
        reasons = {found.id: found.reason for found in listed.results}
        return queries.explain(connection, run.text_id), reasons[run.text_id]


@pytest.mark.parametrize("name", CASES)
def test_why(ledger: Ledger, name: str) -> None:
    case = CASES[name]
    told, reason = _explained(ledger, case)
    assert reason == case.reason == told.run.reason
    assert re.match(case.summary, told.summary), told.summary
    assert _match_all(case.causes, told.causes), told.causes
    assert _match_all(case.blocked, told.blocked), told.blocked
    assert told.do
    for text in (told.summary, *told.causes, *told.blocked, *told.do):
        assert "\n" not in text
        assert "None" not in text


def _match_all(patterns: tuple[str, ...], texts: list[str]) -> bool:
    return len(patterns) == len(texts) and all(map(re.fullmatch, patterns, texts))


def test_the_table_of_situations_has_a_row_for_every_type_of_state() -> None:
    rows = {situation.state_type for situation in SITUATIONS if situation.state_name is None}
    assert rows == set(StateType)
    for kind in StateType:
        blames = {row.blames for row in SITUATIONS if row.state_type is kind and row.state_name is None}
        assert blames in ({None}, {True, False}), kind


def test_what_to_type_leads_to_the_root(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    run = failed_after_retries(pen)
    ledger.fold(pen.batches())
    told = ask(queries.explain, "calm-heron")
    task_id = ask(queries.find_task_run, "upload-0").id
    assert told.do == [
        f"surefoot task-run logs {task_id}",
        "surefoot flow-run logs calm-heron",
        "surefoot flow-run retry calm-heron",
        "surefoot flow-run inspect calm-heron",
    ]
    assert told.traceback == "Traceback of upload"
    newer = a_flow_run(pen, "calm-heron")
    ledger.fold(pen.batches())
    older = ask(queries.explain, run.text_id)
    assert f"surefoot flow-run logs {run.text_id}" in older.do  # the name means the newer one now
    assert ask(queries.explain, newer.text_id).do[0] == "surefoot flow-run watch calm-heron"


def test_a_name_with_spaces_is_quoted_for_the_shell(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    a_flow_run(pen, "nightly; rm -rf /").enter(RUNNING).enter(COMPLETED)
    ledger.fold(pen.batches())
    assert ask(queries.explain, "nightly; rm -rf /").do[0] == "surefoot flow-run logs 'nightly; rm -rf /'"


def test_many_blocked_task_runs_are_counted_by_task(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    flow_run = _flow(pen, (RUNNING,))
    check = _task(pen, flow_run, "check-0", (RUNNING,), (FAILED, "Failed", "ValueError: a b"))
    for number in range(30):
        _task(pen, flow_run, f"score-{number}", (FAILED, "NotReady", "x", {"cause_id": check.id}))
    ledger.fold(pen.batches())
    assert ask(queries.explain, "calm-heron").blocked == ["30 task runs of score did not run"]
    assert ask(queries.explain, "check-0").blocked == ["30 task runs of score did not run"]


def test_causes_that_go_round_in_circles_end(ledger: Ledger, ask: Any) -> None:
    pen = Pen()
    one, two = _task(pen, None, "one-0", (RUNNING,)), _task(pen, None, "two-0", (RUNNING,))
    one.enter(FAILED, message="ValueError: first of all", cause_id=two.id)
    two.enter(FAILED, message="ValueError: second to none", cause_id=one.id)
    ledger.fold(pen.batches())
    assert ask(queries.find_task_run, "one-0").reason == "two: second to none"
    assert "two-0 failed" in ask(queries.explain, "one-0").summary


def test_a_time_on_another_day_comes_with_its_date() -> None:
    class Stopped:
        def now_us(self) -> int:
            return T0

        def mono_us(self) -> int:
            return 0

        def sleep(self, seconds: float) -> None:
            raise AssertionError

        def wait_s(self, seconds: float) -> float:
            return seconds

        def pause_s(self, seconds: float) -> float:
            return seconds

    before = set_clock(Stopped())
    try:
        assert re.fullmatch(AT, at_clock(instant(T0)))
        assert re.fullmatch(rf"2025-06-\d\d {AT}", at_clock(instant(T0 + 86_400 * SECOND)))
    finally:
        set_clock(before)
