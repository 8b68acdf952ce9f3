"""Chapter 3 of the reference: states, as far as they live in one process."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from surefoot import State, flow, states, task
from surefoot.client.schemas.objects import FlowRun, StateDetails, TaskRun
from surefoot.core.states import FINAL, NAMES, is_legal
from surefoot.exceptions import (
    BadInput,
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    NotReadyRun,
    PausedRun,
    TaskRunTimeoutError,
    UnfinishedRun,
)
from surefoot.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    StateGroup,
    StateType,
    Suspended,
)
from tests.recorded import record
from tests.reference.rows import at, row

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)

CONSTRUCTORS = [
    at("3.01", "Scheduled", "SCHEDULED"),
    at("3.01", "Late", "SCHEDULED"),
    at("3.01", "AwaitingRetry", "SCHEDULED"),
    at("3.01", "AwaitingConcurrencySlot", "SCHEDULED"),
    at("3.02", "Pending", "PENDING"),
    at("3.02", "Submitting", "PENDING"),
    at("3.02", "InfrastructurePending", "PENDING"),
    at("3.03", "Running", "RUNNING"),
    at("3.03", "Retrying", "RUNNING"),
    at("3.04", "Paused", "PAUSED"),
    at("3.04", "Suspended", "PAUSED"),
    at("3.05", "Cancelling", "CANCELLING"),
    at("3.06", "Cancelled", "CANCELLED"),
    at("3.07", "Completed", "COMPLETED"),
    at("3.08", "Failed", "FAILED"),
    at("3.09", "Crashed", "CRASHED"),
]


@pytest.mark.parametrize(("constructor", "kind"), CONSTRUCTORS)
def test_a_constructor_gives_type_and_name(constructor: str, kind: str) -> None:
    state = getattr(states, constructor)(message="because")
    assert (state.type, state.name, state.message) == (kind, constructor, "because")
    assert state.is_final() is (StateType(kind) in FINAL)
    assert constructor in NAMES[StateType(kind)]
    assert getattr(states, constructor)(name="Mine").name == "Mine"
    with pytest.raises(TypeError):
        getattr(states, constructor)(title="Mine")


@pytest.mark.parametrize("constructor", [at("3.01", it) for it in NAMES[StateType.SCHEDULED][:4]])
def test_a_scheduled_state_has_a_time(constructor: str) -> None:
    make = getattr(states, constructor)
    before = datetime.now(UTC)
    assert before <= make().state_details.scheduled_time <= datetime.now(UTC), "now, if none is given"
    assert make(scheduled_time=NOON).state_details.scheduled_time == NOON
    assert make(NOON).state_details["scheduled_time"] == NOON
    assert make(state_details=StateDetails(scheduled_time=NOON)).state_details.scheduled_time == NOON
    with pytest.raises(ValueError, match=rf"{constructor}\(\) got a scheduled_time twice"):
        make(scheduled_time=NOON, state_details={"scheduled_time": NOON})
    with pytest.raises(TypeError, match="no time zone") as caught:
        make(scheduled_time=datetime(2026, 8, 1))  # noqa: DTZ001  # that it has no zone is what is tested
    assert isinstance(caught.value, BadInput)
    with pytest.raises(TypeError, match="scheduled_time of a state is 'noon'"):
        make(scheduled_time="noon")


@row("3.02")
def test_a_pending_state_is_left_only_under_another_name(row: str) -> None:
    assert is_legal(StateType.PENDING, "Pending", StateType.PENDING, "Submitting")
    assert not is_legal(StateType.PENDING, "Submitting", StateType.PENDING, "Submitting")


@row("3.03")
def test_each_entry_to_running_counts(row: str, home: Path) -> None:
    counts = []

    @task(retries=2)
    def third_time() -> None:
        counts.append(1)
        if len(counts) < 3:
            raise ValueError("not yet")

    third_time()
    found = record(home).task_run()
    assert [state.run_count for state in found.entered] == [1, 2, 3, 3]
    assert found.names == ["Pending", "Running", "Retrying", "Retrying", "Completed"]


@pytest.mark.parametrize(("make", "rescheduled"), [at("3.04", Paused, None), at("3.04", Suspended, True)])
def test_a_pause_says_until_when_and_which(make: Any, rescheduled: bool | None) -> None:
    before = datetime.now(UTC)
    details = make(timeout_seconds=60, pause_key="approval").state_details
    assert before + timedelta(seconds=60) <= details.pause_timeout <= datetime.now(UTC) + timedelta(seconds=60)
    assert (details.pause_key, details.pause_reschedule) == ("approval", rescheduled)
    assert make(pause_expiration_time=NOON).state_details.pause_timeout == NOON
    assert make().state_details.pause_timeout is None
    with pytest.raises(ValueError, match="both timeout_seconds and pause_expiration_time"):
        make(timeout_seconds=1, pause_expiration_time=NOON)
    with pytest.raises(ValueError, match="got its end twice"):
        make(timeout_seconds=1, state_details={"pause_timeout": NOON})
    with pytest.raises(ValueError, match=r"timeout_seconds of \w+\(\) is -1"):
        make(timeout_seconds=-1)
    with pytest.raises(TypeError, match=r"timeout_seconds of \w+\(\) is '1'"):
        make(timeout_seconds="1")
    assert Paused(reschedule=True).state_details.pause_reschedule is True


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        at(number, kind, name)
        for number, kind in {
            "3.01": "SCHEDULED",
            "3.02": "PENDING",
            "3.03": "RUNNING",
            "3.04": "PAUSED",
            "3.05": "CANCELLING",
            "3.06": "CANCELLED",
            "3.07": "COMPLETED",
            "3.08": "FAILED",
            "3.09": "CRASHED",
        }.items()
        for name in [*NAMES[StateType(kind)], "MyOwn"]
    ],
)
def test_a_type_takes_its_usual_names_and_any_other(kind: str, name: str) -> None:
    state = State(kind, name=name)
    assert (state.type, state.name, state.is_final()) == (kind, name, StateType(kind) in FINAL)


@pytest.mark.parametrize(
    ("body", "options", "end"),
    [
        at("3.06", lambda: Cancelled(), {}, "CANCELLED Cancelled"),
        at("3.07", lambda: 1, {}, "COMPLETED Completed"),
        at("3.08", lambda: 1 / 0, {}, "FAILED Failed"),
        at(
            "3.08",
            lambda: _spin(),
            {"timeout_seconds": 0.02},
            "FAILED TimedOut",
        ),
        at("3.09", lambda: exit(3), {}, "CRASHED Crashed"),
        at("3.10", lambda: Completed(name="Sorted"), {}, "COMPLETED Sorted"),
        at("3.10", lambda: Failed(name="NoDisk"), {}, "FAILED NoDisk"),
    ],
)
def test_ends_of_runs(body: Any, options: dict[str, Any], end: str, home: Path) -> None:
    one = task(name="one", **options)(body)
    try:
        one(return_state=True)
    except SystemExit:
        assert end.startswith("CRASHED")
    kind, name = record(home).task_run().end
    assert f"{kind} {name}" == end


def _spin() -> None:
    while True:
        pass


@row("3.08")
def test_not_ready_is_a_failure_that_names_the_upstream(row: str, home: Path) -> None:
    @task
    def broken() -> int:
        raise ValueError("no disk")

    @task
    def after(value: int) -> int:
        return value

    @flow
    def chain() -> None:
        state = after(broken.submit(), return_state=True)
        assert (state.type, state.name) == ("FAILED", "NotReady")
        assert "`broken` failed: ValueError: no disk" in (state.message or "")

    chain()


@row("3.10")
def test_names_are_for_people_and_types_decide(row: str) -> None:
    assert Failed(name="Completed").is_failed()
    assert not Failed(name="Completed").is_completed()
    with pytest.raises(TypeError, match="name of a state is 3"):
        Failed(name=3)


@row("3.20")
def test_fields(row: str) -> None:
    state = Completed(data=3, message="all there")
    assert isinstance(state.id, uuid.UUID)
    assert state.id == state.id
    assert state.timestamp.tzinfo is UTC
    assert (state.type, state.name, state.message, state.data) == ("COMPLETED", "Completed", "all there", 3)
    assert state.state_details == {}


@row("3.21")
def test_details_are_entries_and_attributes(row: str) -> None:
    details = StateDetails(cache_key="k", scheduled_time=NOON)
    assert details == {"cache_key": "k", "scheduled_time": NOON}
    assert (details.cache_key, details.pause_key) == ("k", None)
    assert pickle.loads(pickle.dumps(details)) == details
    assert type(pickle.loads(pickle.dumps(details))) is StateDetails
    with pytest.raises(TypeError, match="no detail 'cache_kye'"):
        StateDetails(cache_kye="k")
    with pytest.raises(AttributeError, match="no detail 'cache_kye'"):
        details.cache_kye  # noqa: B018
    with pytest.raises(TypeError, match="state_details of a state are 3"):
        State("FAILED", state_details=3)  # type: ignore[arg-type]
    seen: list[Any] = []

    @task(on_completion=[lambda task, run, state: seen.append((run, state))])
    def one() -> int:
        return 1

    @flow(on_completion=[lambda flow, run, state: seen.append((run, state))])
    def whole() -> None:
        one()

    whole()
    (task_run, of_task), (flow_run, of_flow) = seen
    assert isinstance(task_run, TaskRun)
    assert isinstance(flow_run, FlowRun)
    assert of_task.state_details.task_run_id == task_run.id
    assert of_flow.state_details.flow_run_id == flow_run.id


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        at("3.22", Failed(message="no disk"), FailedRun, "no disk"),
        at("3.22", Failed(data="no disk"), FailedRun, "no disk"),
        at("3.22", Failed(data=KeyError("day")), KeyError, "day"),
        at("3.22", Failed(), FailedRun, "ended Failed"),
        at("3.22", Failed(name="NotReady"), NotReadyRun, "ended NotReady"),
        at("3.22", Crashed(message="gone"), CrashedRun, "gone"),
        at("3.22", Cancelled(message="stop"), CancelledRun, "stop"),
        at("3.22", Paused(), PausedRun, "no result yet"),
        at("3.22", Pending(), UnfinishedRun, "no result yet"),
        at("3.22", Running(), UnfinishedRun, "no result yet"),
        at("3.22", Scheduled(), UnfinishedRun, "no result yet"),
        at("3.22", State("COMPLETED"), MissingResult, "carries no value"),
        at("3.23", Failed(data=[Completed(), Failed(message="inner")]), FailedRun, "inner"),
        at("3.23", Failed(data=Crashed(message="inner")), CrashedRun, "inner"),
        at("3.23", Failed(data=[Completed()], message="outer"), FailedRun, "outer"),
        at("3.23", Failed(data=5, message="outer"), FailedRun, "outer"),
    ],
)
def test_the_result_of_a_state_that_has_none(state: State, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        state.result()
    with pytest.raises(error, match=says):
        asyncio.run(state.aresult())
    if state.is_final() and not state.is_completed():
        assert isinstance(state.result(raise_on_failure=False), error)


@row("3.22")
def test_the_result_of_a_state_that_has_one(row: str) -> None:
    assert Completed(data=3).result() == 3
    assert Completed(data=3).result(raise_on_failure=True, retry_result_failure=False) == 3
    assert asyncio.run(Completed(data=3).aresult()) == 3
    assert Completed().result() is None

    @task(timeout_seconds=0.02)
    def slow() -> None:
        _spin()

    with pytest.raises(TaskRunTimeoutError):
        slow(return_state=True).result()


@pytest.mark.parametrize("kind", [at("3.24", kind) for kind in StateType])
def test_predicates(kind: StateType) -> None:
    words = "scheduled pending running completed failed crashed cancelled cancelling paused".split()
    state = State(kind)
    assert [word for word in words if getattr(state, f"is_{word}")()] == [kind.value.lower()]
    assert state.is_final() is (kind in FINAL)


@row("3.25")
def test_a_fresh_copy_is_of_no_run_and_may_differ(row: str) -> None:
    @task
    def one() -> int:
        return 1

    state = one(return_state=True)
    fresh = state.fresh_copy()
    assert (fresh.type, fresh.name, fresh.data, fresh.state_details) == (state.type, state.name, 1, {})
    assert fresh.id != state.id
    assert fresh.timestamp >= state.timestamp
    assert state.fresh_copy(name="Mine", message="why").name == "Mine"
    assert Scheduled(NOON).fresh_copy().state_details.scheduled_time == NOON
    with pytest.raises(TypeError):
        state.fresh_copy(title="Mine")


@row("3.26")
def test_a_long_message_is_cut_where_it_is_recorded(row: str, home: Path) -> None:
    @task
    def talks() -> None:
        raise ValueError("x" * 200_000)

    state = talks(return_state=True)
    assert len(state.message or "") > 200_000, "whole where it is at hand"
    recorded = record(home).task_run().last.message or ""
    assert len(recorded) < 20_000
    assert recorded.endswith("[cut]")


@row("3.27")
def test_a_group_counts_its_states(row: str) -> None:
    group = StateGroup([Completed(), Failed(), Crashed(), Cancelled(), Paused(), Running()])
    assert (group.total_count, group.final_count, group.not_final_count) == (6, 4, 2)
    assert (group.fail_count, group.cancelled_count, group.paused_count) == (2, 1, 1)
    assert group.any_failed()
    assert group.any_cancelled()
    assert group.any_paused()
    assert not group.all_completed()
    assert not group.all_final()
    assert group.counts_message().startswith("total=6: 'RUNNING'=1")
    assert StateGroup([]).all_completed()
    with pytest.raises(TypeError, match="no state"):
        StateGroup([3])  # type: ignore[list-item]


@row("3.27")
def test_exceptions_and_values_as_states(row: str) -> None:
    error = ValueError("no disk")
    failed = states.exception_to_failed_state(error)
    assert (failed.type, failed.message, failed.data) == ("FAILED", "ValueError: no disk", error)
    assert states.exception_to_failed_state(error, message="mine", name="NoDisk").name == "NoDisk"
    assert states.exception_to_crashed_state(error).is_crashed()
    try:
        raise error
    except ValueError:
        assert states.exception_to_failed_state().data is error
    with pytest.raises(ValueError, match="no exception"):
        states.exception_to_failed_state()
    with pytest.raises(TypeError, match="'x' is no exception"):
        states.exception_to_failed_state("x")  # type: ignore[arg-type]

    mine = Failed(name="Mine")
    assert states.return_value_to_state(mine) is mine
    assert states.return_value_to_state([]).result() == []
    assert states.return_value_to_state([Completed(), Cancelled()]).is_cancelled()
    assert states.return_value_to_state({"a": Completed(), "b": 3}).is_completed()

    with pytest.raises(FailedRun, match="no disk"):
        states.raise_state_exception(Failed(message="no disk"))
    states.raise_state_exception(Completed())
    assert isinstance(states.get_state_exception(Crashed()), CrashedRun)
    with pytest.raises(ValueError, match="did not fail"):
        states.get_state_exception(Completed())


# --- rules of a run's life that one process decides -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [
        *(
            at("3.31", kind, after, False)
            for kind in ("FAILED", "CANCELLED", "CRASHED")
            for after in ("RUNNING", "PAUSED", "CANCELLING", "SCHEDULED")
        ),
        at("3.31", "COMPLETED", "RUNNING", False),
        at("3.31", "COMPLETED", "COMPLETED", False),
        at("3.32", "CANCELLING", "RUNNING", False),
        at("3.32", "CANCELLING", "CANCELLED", True),
        at("3.32", "SCHEDULED", "CANCELLED", True),
        *(at("3.33", kind, "PENDING", False) for kind in ("PENDING", "RUNNING", "CANCELLING", "CANCELLED")),
        at("3.33", "SCHEDULED", "PENDING", True),
        at("3.34", "PENDING", "PENDING", False),
        at("3.35", "RUNNING", "PAUSED", True),
        at("3.35", "PENDING", "PAUSED", False),
        at("3.36", "PAUSED", "RUNNING", True),
        at("3.36", "PAUSED", "FAILED", True),
    ],
)
def test_which_state_may_follow_which(before: str, after: str, legal: bool) -> None:
    kind = StateType(before)
    assert is_legal(kind, NAMES[kind][0], StateType(after), NAMES[StateType(after)][0]) is legal


@pytest.mark.parametrize(("before", "legal"), [at("3.34", "SCHEDULED", True), at("3.34", "RUNNING", False)])
def test_late_follows_scheduled_only(before: str, legal: bool) -> None:
    kind = StateType(before)
    assert is_legal(kind, NAMES[kind][0], StateType.SCHEDULED, "Late") is legal


@row("3.38")
def test_a_retry_with_a_delay_awaits_it_and_without_one_goes_on(row: str, home: Path) -> None:
    @flow(name="waits", retries=1, retry_delay_seconds=0.01)
    def waits() -> None:
        raise ValueError("no disk")

    @flow(name="goes on", retries=1)
    def goes_on() -> None:
        raise ValueError("no disk")

    waits(return_state=True)
    goes_on(return_state=True)
    found = record(home)
    assert found.flow_run("waits").names == ["Pending", "Running", "AwaitingRetry", "Retrying", "Failed"]
    assert found.flow_run("goes on").names == ["Pending", "Running", "Retrying", "Failed"]


@row("3.40")
def test_times_and_counts_of_a_run_are_kept(row: str) -> None:
    seen: list[FlowRun] = []

    @flow(retries=1, on_failure=[lambda flow, run, state: seen.append(run)])
    def fails() -> None:
        raise ValueError("no disk")

    fails(return_state=True)
    (run,) = seen
    assert run.run_count == 2
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.start_time <= run.end_time
    assert run.start_time.tzinfo is timezone.utc  # noqa: UP017  # the same object
    assert 0 < run.total_run_time < 60
