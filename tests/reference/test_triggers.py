"""Trigger rules and skipping (chapter 21 of the reference: what 1.x had), however a task is called."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import Skip, allow_failure, exceptions, flow, get_run_logger, task, triggers
from surefoot.client import get_client
from surefoot.core.errors import CancelledRun, CrashedRun
from surefoot.core.triggers import RULES
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from surefoot.states import Cancelled, Completed, Crashed, Failed, Running, Skipped, State
from tests.recorded import record
from tests.reference.rows import row


@task
def end(how: str) -> str:
    """Ends as it is told."""
    if how == "fail":
        raise ValueError("broken")
    if how == "skip":
        raise Skip("nothing new")
    return how


def see(*values: object) -> list[object]:
    return list(values)


async def see_later(*values: object) -> list[object]:
    return list(values)


WAYS = ["called", "submitted", "submitted to a loop", "awaited"]


def end_of(trigger: Any, hows: list[str], way: str = "submitted") -> State:
    """The end of a task with this trigger, whose upstreams end like that."""
    downstream: Any = task(trigger=trigger)(see_later if way in ("awaited", "submitted to a loop") else see)

    @flow
    def blocking() -> State:
        futures = [end.submit(how) for how in hows]
        if way == "called":
            state: State = downstream(*futures, return_state=True)
        else:
            state = downstream.submit(*futures, return_state=True)
        return Completed(data=state)

    @flow
    async def awaiting() -> State:
        return Completed(data=await downstream(*[end.submit(how) for how in hows], return_state=True))

    found: State = asyncio.run(awaiting()) if way == "awaited" else blocking()
    return found


@row("21.03")
@pytest.mark.parametrize("way", WAYS)
def test_a_trigger_counts_however_the_task_is_called(row: str, way: str) -> None:
    assert end_of("all_success", ["ok", "ok"], way).result() == ["ok", "ok"]
    failed, skipped = end_of("all_success", ["ok", "fail"], way), end_of("all_success", ["ok", "skip"], way)
    assert (failed.type.value, failed.name) == ("FAILED", "NotReady")
    assert failed.message == "`end` failed: ValueError: broken"
    assert (skipped.type.value, skipped.name, skipped.is_skipped()) == ("COMPLETED", "Skipped", True)
    assert skipped.message == "`end` was skipped: nothing new"
    assert skipped.result() is None
    values = end_of("all_done", ["ok", "fail", "skip"], way).result()
    assert values[0] == "ok"
    assert isinstance(values[1], ValueError)
    assert values[2] is None


# For each rule: what runs it, and what becomes of it otherwise, with the message.
CASES: dict[str, tuple[list[str], list[tuple[list[str], str, str]]]] = {
    "all_success": (["ok", "ok"], [(["skip", "fail"], "NotReady", "`end` failed: ValueError: broken")]),
    "all_done": (["ok", "fail", "skip"], []),
    "all_failed": (
        ["fail", "fail"],
        [(["fail", "ok"], "Skipped", "its trigger is all_failed, and of its upstreams 1 succeeded, 1 failed")],
    ),
    "all_skipped": (
        ["skip", "skip"],
        [
            (
                ["skip", "ok", "ok"],
                "Skipped",
                "its trigger is all_skipped, and of its upstreams 2 succeeded, 1 was",
            )
        ],
    ),
    "one_success": (
        ["ok", "fail", "skip"],
        [
            (["fail", "skip"], "NotReady", "`end` failed: ValueError: broken (its trigger is one_success)"),
            (["skip", "skip"], "Skipped", "`end` was skipped: nothing new (its trigger is one_success)"),
        ],
    ),
    "one_failed": (
        ["ok", "fail", "skip"],
        [(["ok", "skip"], "Skipped", "its trigger is one_failed, and of its upstreams 1 succeeded, 1 was skipped")],
    ),
    "one_done": (
        ["fail", "skip"],
        [(["skip", "skip"], "Skipped", "`end` was skipped: nothing new (its trigger is one_done)")],
    ),
    "none_failed": (
        ["ok", "skip"],
        [(["ok", "fail"], "NotReady", "`end` failed: ValueError: broken (its trigger is none_failed)")],
    ),
    "none_skipped": (
        ["ok", "fail"],
        [(["ok", "skip"], "Skipped", "`end` was skipped: nothing new (its trigger is none_skipped)")],
    ),
    "none_failed_min_one_success": (
        ["ok", "skip"],
        [
            (["skip"], "Skipped", "`end` was skipped: nothing new (its trigger is none_failed_min_one_success)"),
            (["ok", "fail"], "NotReady", "`end` failed: ValueError: broken (its trigger is none_failed_min_one_succe"),
        ],
    ),
}


@row("21.03")
@pytest.mark.parametrize("rule", RULES)
def test_each_rule_runs_or_says_why_not(row: str, rule: str) -> None:
    runs, others = CASES[rule]
    assert end_of(rule, runs).name == "Completed"
    assert end_of(rule, []).name == "Completed"
    for hows, name, message in others:
        state = end_of(rule, hows)
        assert state.name == name
        assert (state.message or "").startswith(message)


@row("21.03")
def test_the_names_of_1_x_stand_in_a_module(row: str) -> None:
    assert end_of(triggers.any_failed, ["ok", "fail"]).name == "Completed"
    assert end_of(triggers.always_run, ["fail", "skip"]).name == "Completed"
    assert end_of(triggers.not_all_skipped, ["skip", "skip"]).name == "Skipped"
    two = triggers.some_successful(at_least=2)
    assert end_of(two, ["ok", "ok", "fail"]).name == "Completed"
    state = end_of(two, ["ok", "fail"])
    assert state.name == "NotReady"
    assert state.message == "`end` failed: ValueError: broken (its trigger is some_successful(at_least=2))"
    few = triggers.some_failed(at_most=0.5)
    assert end_of(few, ["ok", "fail"]).name == "Completed"
    assert end_of(few, ["fail", "fail"]).name == "NotReady"
    with pytest.raises(TypeError, match="at_least of some_failed is 'many'"):
        triggers.some_failed(at_least="many")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"at_most of some_successful is 1\.5"):
        triggers.some_successful(at_most=1.5)


@row("21.03")
def test_a_function_of_the_states_is_a_trigger(row: str) -> None:
    seen: list[list[str]] = []

    def on_error(states: list[State]) -> bool:
        seen.append([state.name for state in states])
        return any(state.is_failed() for state in states)

    assert end_of(on_error, ["ok", "fail", "skip"]).name == "Completed"
    assert seen == [["Completed", "Failed", "Skipped"]]
    no = end_of(on_error, ["ok"])
    assert (no.name, no.message) == ("Skipped", "its trigger on_error said no")

    def never(states: list[State]) -> bool:
        return False

    assert end_of(never, ["ok", "fail"]).name == "NotReady"  # a failure is never passed over in silence
    assert end_of(never, []).name == "Completed"

    def picky(states: list[State]) -> bool:
        if len(states) > 1:
            raise Skip("too many")
        raise KeyError("no")

    many, one = end_of(picky, ["ok", "ok"]), end_of(picky, ["ok"])
    assert (many.name, many.message) == ("Skipped", "too many")
    assert (one.type.value, one.name, one.message) == ("FAILED", "NotReady", "KeyError: 'no'")


@row("21.03")
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("all_donne", r"trigger of task 'see' is 'all_donne', which is no rule. Did you mean 'all_done'\?"),
        (3, "trigger of task 'see' is 3"),
        (None, "trigger of task 'see' is None"),
    ],
)
def test_a_wrong_trigger_is_refused_where_the_decorator_stands(row: str, wrong: Any, told: str) -> None:
    with pytest.raises(exceptions.BadInput, match=told):
        task(trigger=wrong)(see)
    with pytest.raises(TypeError, match="has no option 'trigger_rule'"):
        task(trigger_rule="all_done")(see)  # type: ignore[call-overload]


@row("21.03")
def test_an_upstream_counts_once_and_wait_for_counts_too(row: str) -> None:
    seen: list[int] = []

    def counting(states: list[State]) -> bool:
        seen.append(len(states))
        return True

    @task(trigger=counting)
    def count(*values: object) -> None: ...

    @flow
    def main() -> None:
        one, two = end.submit("ok"), end.submit("skip")
        count(one, [one, {"x": two}], wait_for=[one, two, end.submit("fail")])

    main()
    assert seen == [3]


@row("21.03")
def test_crashed_and_cancelled_upstreams_have_failed(row: str) -> None:
    @task(trigger="all_failed")
    def see(*values: object) -> list[object]:
        return list(values)

    values = see(Failed(message="bad"), Crashed(message="gone"), Cancelled(message="not now"))
    assert [str(value) for value in values] == ["bad", "gone", "not now"]
    assert [type(value) for value in values][1:] == [CrashedRun, CancelledRun]


@row("21.03")
def test_a_state_that_is_no_end_lets_nothing_run(row: str) -> None:
    @task(trigger="all_done")
    def see(value: object) -> None: ...

    state = see(Running(), return_state=True)
    assert (state.name, state.message) == ("NotReady", "a state that it was given is Running")


@row("21.03")
def test_rules_hold_in_processes_too(row: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESSES], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split("\n")[:5] == [
        "Skipped nothing new",
        "Skipped `end` was skipped: nothing new",
        "Completed None",
        "NotReady `end` failed: ValueError: broken",
        "Completed None",
    ], done.stderr


IN_PROCESSES = """
from surefoot import Skip, flow, task
from surefoot.task_runners import ProcessPoolTaskRunner
@task
def end(how):
    if how == "fail": raise ValueError("broken")
    raise Skip("nothing new")
@task
def after(value): return value
@task(trigger="none_failed")
def anyway(value): return value
@task
def nested(): return after.submit(end.submit("skip")).result()
@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def main():
    skipped, failed = end.submit("skip"), end.submit("fail")
    for future in (skipped, after.submit(skipped), anyway.submit(skipped), after.submit(failed), nested.submit()):
        future.wait()
        print(future.state.name, future.state.message or future.state.result())
main()
"""


# -- skipping


@row("21.04")
@pytest.mark.parametrize("way", ["raised", "returned", "returned by hand"])
def test_a_skipped_run_has_a_reason_and_no_value(row: str, way: str, home: Path) -> None:
    hooks: list[str] = []

    @task(retries=3, on_completion=[lambda *_: hooks.append("hook")], on_failure=[lambda *_: hooks.append("hook")])
    def look() -> Any:
        get_run_logger().info("looking")
        if way == "raised":
            raise Skip("nothing new")
        return Skipped(message="nothing new") if way == "returned" else Completed(name="Skipped", message="nothing new")

    assert look() is None
    state = look(return_state=True)
    assert (state.type.value, state.name, state.message) == ("COMPLETED", "Skipped", "nothing new")
    assert state.result() is None
    assert hooks == []  # nothing was done that a hook could be told of
    assert record(home).task_runs[0].names == ["Pending", "Running", "Skipped"]


@row("21.04")
@pytest.mark.parametrize("is_async", [False, True])
def test_a_skip_in_a_flow_skips_the_flow_and_what_it_submitted_ends_first(row: str, is_async: bool, home: Path) -> None:
    ends: list[str] = []

    @task
    def note() -> None:
        ends.append("noted")

    def body() -> None:
        note.submit()
        raise Skip("not today")

    async def later() -> None:
        body()

    if is_async:
        state: State = asyncio.run(flow(later)(return_state=True))
    else:
        state = flow(body)(return_state=True)
    assert (state.name, state.message, ends) == ("Skipped", "not today", ["noted"])


@row("21.04")
def test_a_skip_without_a_word_and_a_skip_of_a_generator(row: str) -> None:
    @task
    def nothing() -> None:
        raise Skip

    @task
    def two() -> Any:
        yield 1
        raise Skip("that was it")

    assert (nothing(return_state=True).name, nothing(return_state=True).message) == ("Skipped", None)
    values = two()
    assert list(values) == [1]
    assert (values.state.name, values.state.message) == ("Skipped", "that was it")


@row("21.04")
def test_what_was_skipped_on_purpose_is_not_told_as_blocked_by_a_failure_elsewhere(row: str) -> None:
    @task
    def look() -> None:
        raise Skip("nothing new")

    @flow
    def main() -> None:
        look.submit()
        raise ValueError("of its own")

    main(return_state=True)
    with closing(get_client()) as client:
        assert client.why(client.flow_runs(limit=1).results[0].id).blocked == []


@row("21.04", "21.05")
def test_a_skip_goes_on_downstream_and_names_where_it_began(row: str, home: Path) -> None:
    @task
    def look() -> None:
        raise Skip("nothing new")

    @task
    def load(value: object) -> str:
        return "loaded"

    @task(trigger="none_failed")
    def report(value: object) -> str:
        return f"loaded: {value}"

    @flow
    def main() -> tuple[str, str, str | None]:
        first = load.submit(look.submit())
        second = load.submit(1, wait_for=[first])
        third = load.submit(allow_failure(second))
        return report.submit(second).result(), third.result(), second.state.message

    assert main() == ("loaded: None", "loaded", "`look` was skipped: nothing new")
    with closing(get_client()) as client:
        run = client.flow_runs(FlowRunFilter(), limit=1).results[0]
        counts = client.task_run_counts(TaskRunFilter(flow_run_id=[run.id]))
        assert counts.by_name == {"Skipped": 3, "Completed": 2}
        assert "3 task runs were skipped" in client.why(run.id).blocked
        skipped = client.task_runs(TaskRunFilter(flow_run_id=[run.id], task_name=["look"])).results[0]
        assert skipped.reason == "nothing new"
        told = client.why(skipped.id)
        assert told.summary == f"Task run {skipped.name} was skipped: nothing new."
        assert all(re.fullmatch(r"load-\w+ was skipped", line) for line in told.blocked)
        assert len(told.blocked) == 2
        last = client.task_runs(TaskRunFilter(flow_run_id=[run.id], task_name=["load"], state_name=["Skipped"]))
        told = client.why(last.results[0].id)
        assert "was skipped: `look` was skipped: nothing new." in told.summary
        assert told.causes


@row("21.04")
def test_a_flow_that_returns_a_skipped_future_is_skipped_and_so_is_what_waits_for_the_flow(row: str) -> None:
    @flow
    def inner() -> Any:
        return end.submit("skip")

    @flow
    def outer() -> list[str | None]:
        state = inner(return_state=True)
        after: State = end(state, return_state=True)
        return [state.name, after.name, after.message]

    assert outer() == ["Skipped", "Skipped", "`end` was skipped: nothing new"]


@row("21.04")
def test_the_last_line_of_a_map_counts_what_was_skipped(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    @flow
    def main() -> None:
        end.map(["ok", "skip", "fail", "skip"])

    main()
    assert re.search(r"map end: 4 runs, 1 of them failed, 2 skipped, in", capsys.readouterr().err)


@row("21.04")
def test_whether_a_run_is_skipped_is_decided_anew_when_its_flow_run_goes_on(row: str, tmp_path: Path) -> None:
    marker = tmp_path / "there"

    @task
    def look() -> str:
        if not marker.exists():
            raise Skip("nothing new")
        return "news"

    @task
    def load(value: str) -> str:
        return f"loaded {value}"

    @flow
    def main() -> str | None:
        loaded = load.submit(look.submit()).result()
        if not marker.exists():
            raise ValueError("not yet")
        return loaded

    state = main(return_state=True)
    marker.touch()
    assert main.retry(str(state.state_details["flow_run_id"])) == "loaded news"
    with closing(get_client()) as client:
        looked = client.task_runs(TaskRunFilter(task_name=["look"])).results[0]
        names = [entry.name for entry in client.states(looked.id)]
        messages = [entry.message for entry in client.states(looked.id)]
    assert names == ["Pending", "Running", "Skipped", "Pending", "Rerunning", "Completed"]
    assert messages[4] == "it had been skipped"
