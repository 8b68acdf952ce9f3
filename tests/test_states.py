"""States as users make them, look at them and ask them for results."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import flow, states, task
from surefoot.exceptions import (
    BadInput,
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    NotReadyRun,
    PausedRun,
    UnfinishedRun,
)
from surefoot.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
    aggregate,
    get_state_exception,
    raise_state_exception,
)

CONSTRUCTORS = {
    "Scheduled": ("SCHEDULED", "Scheduled"),
    "Late": ("SCHEDULED", "Late"),
    "AwaitingRetry": ("SCHEDULED", "AwaitingRetry"),
    "Pending": ("PENDING", "Pending"),
    "Running": ("RUNNING", "Running"),
    "Retrying": ("RUNNING", "Retrying"),
    "Paused": ("PAUSED", "Paused"),
    "Cancelling": ("CANCELLING", "Cancelling"),
    "Cancelled": ("CANCELLED", "Cancelled"),
    "Completed": ("COMPLETED", "Completed"),
    "Failed": ("FAILED", "Failed"),
    "Crashed": ("CRASHED", "Crashed"),
}


@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_a_constructor_gives_type_and_name_and_takes_the_rest(constructor: str) -> None:
    make = getattr(states, constructor)
    state = make()
    assert (state.type.value, state.name, state.message) == (*CONSTRUCTORS[constructor], None)
    named = make(name="Mine", message="because", data=3)
    assert (named.type, named.name, named.message, named.data) == (state.type, "Mine", "because", 3)


@pytest.mark.parametrize("kind", StateType)
def test_predicates_say_what_a_state_is(kind: StateType) -> None:
    state = State(kind)
    words = "scheduled pending running paused cancelling cancelled completed failed crashed".split()
    assert [word for word in words if getattr(state, f"is_{word}")()] == [kind.value.lower()]
    assert state.is_final() is (kind.value in ("CANCELLED", "COMPLETED", "FAILED", "CRASHED"))


@pytest.mark.parametrize("wrong", ["Failed", "", 3, None])
def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(wrong: Any) -> None:
    with pytest.raises(BadInput, match="is not a type of state") as caught:
        State(wrong)
    assert "CANCELLING" in caught.value.do


@pytest.mark.parametrize("field", ["name", "message"])
def test_name_and_message_are_texts(field: str) -> None:
    with pytest.raises(BadInput, match=f"The {field} of a state is ValueError") as caught:
        Failed(**{field: ValueError("no")})
    assert isinstance(caught.value, TypeError)
    assert "data" in caught.value.do


# -- results -----------------------------------------------------------------------------------------------------------


@given(st.none() | st.integers() | st.lists(st.integers()))
def test_a_completed_state_gives_its_value(value: Any) -> None:
    assert Completed(data=value).result() == value
    assert Completed(data=value).result(raise_on_failure=False) == value


def test_a_completed_state_without_a_value_says_so() -> None:
    assert Completed().result() is None
    with pytest.raises(MissingResult, match="carries no value"):
        State("COMPLETED").result()


@pytest.mark.parametrize("state", [Scheduled(), Pending(), Running(), Cancelling()], ids=lambda state: state.name)
def test_a_state_that_is_no_end_has_no_result(state: State) -> None:
    with pytest.raises(UnfinishedRun, match=f"The run is {state.name}"):
        state.result(raise_on_failure=False)


def test_a_paused_state_says_that_it_is_paused() -> None:
    with pytest.raises(PausedRun):
        Paused().result()


ENDS: list[tuple[State, type[Exception], str]] = [
    (Failed(message="no disk"), FailedRun, "no disk"),
    (Failed(data="from the data"), FailedRun, "from the data"),
    (Failed(data=KeyError("k")), KeyError, "'k'"),
    (Failed(data=object(), message="told"), FailedRun, "told"),
    (Failed(), FailedRun, "The run ended Failed."),
    (Failed(name="NotReady", message="upstream"), NotReadyRun, "upstream"),
    (Crashed(message="killed"), CrashedRun, "killed"),
    (Crashed(data=KeyboardInterrupt(), message="interrupted"), CrashedRun, "interrupted"),
    (Cancelled(), CancelledRun, "The run ended Cancelled."),
    (Failed(data=[Completed(), Failed(data=KeyError("inner")), Failed()]), KeyError, "'inner'"),
    (Failed(data=Failed(data=Crashed(message="deep"))), CrashedRun, "deep"),
    (Failed(data=[Completed()], message="none of them"), FailedRun, "none of them"),
]


@pytest.mark.parametrize(("state", "kind", "text"), ENDS, ids=lambda value: str(value)[:50])
def test_a_state_that_did_not_complete_raises_what_it_stands_for(
    state: State, kind: type[Exception], text: str
) -> None:
    for ask in (state.result, lambda: raise_state_exception(state)):
        with pytest.raises(kind) as caught:
            ask()
        assert str(caught.value) == text
    given_back = state.result(raise_on_failure=False)
    assert type(given_back) is type(get_state_exception(state)) is kind


def test_an_interruption_is_the_cause_and_not_raised_again() -> None:
    stop = SystemExit(3)
    error = get_state_exception(Crashed(data=stop))
    assert isinstance(error, CrashedRun)
    assert error.__cause__ is stop


def test_a_state_that_did_not_fail_has_no_exception() -> None:
    with pytest.raises(ValueError, match="did not fail") as caught:
        get_state_exception(Completed())
    assert isinstance(caught.value, BadInput)
    assert raise_state_exception(Running()) is None  # type: ignore[func-returns-value]


# -- several -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(StateType), min_size=1))
def test_several_states_amount_to_the_worst_of_them_in_order(kinds: list[StateType]) -> None:
    kind, message, decisive = aggregate([State(kind) for kind in kinds])
    wanted = next(
        (kind for kind in (StateType.CANCELLED, StateType.PAUSED) if kind in kinds),
        StateType.FAILED if set(kinds) != {StateType.COMPLETED} else StateType.COMPLETED,
    )
    assert kind is wanted
    if decisive is None:
        assert (kind, message) == (StateType.COMPLETED, "All states completed.")
    else:
        bad = [each for each in kinds if each is not StateType.COMPLETED]
        counted = len(bad) if kind is StateType.FAILED else kinds.count(kind)
        assert message.startswith(f"{counted}/{len(kinds)} states ")
        assert decisive.type is (bad[0] if kind is StateType.FAILED else kind)


# -- identity ----------------------------------------------------------------------------------------------------------


def test_a_state_knows_when_and_has_an_id() -> None:
    state = Completed()
    assert isinstance(state.id, uuid.UUID)
    assert state.id == state.id != Completed().id
    assert abs(datetime.now(UTC) - state.timestamp) < timedelta(minutes=1)
    assert state.state_details == {}


def test_states_are_equal_by_what_they_say() -> None:
    assert Failed(message="a") == Failed(message="a", data=3)
    assert Failed(message="a") != Failed(message="b")
    assert Failed() != Crashed()
    assert Failed() != "Failed"
    assert repr(Failed(message="a")) == "Failed(type=FAILED, message='a')"
    assert repr(Completed()) == "Completed(type=COMPLETED)"


@pytest.mark.parametrize(
    "state", [Completed(data=[1]), State("COMPLETED"), Failed(message="m", data=KeyError("k"))], ids=repr
)
def test_a_state_survives_the_way_to_another_process(state: State) -> None:
    for again in (pickle.loads(pickle.dumps(state)), copy.copy(state), copy.deepcopy(state)):
        assert again == state
        assert repr(again.data) == repr(state.data)
        assert again.timestamp == state.timestamp
    with pytest.raises(MissingResult):
        pickle.loads(pickle.dumps(State("COMPLETED"))).result()


def test_the_state_of_a_run_names_the_run_and_a_fresh_copy_does_not() -> None:
    @task
    def step() -> int:
        return 3

    @flow
    def main() -> Any:
        return step()

    of_flow, of_task = main(return_state=True), step(return_state=True)
    assert set(of_flow.state_details) == {"flow_run_id"}
    assert set(of_task.state_details) == {"task_run_id"}
    fresh = of_flow.fresh_copy()
    assert (fresh.state_details, fresh.result()) == ({}, 3)


def test_a_state_names_the_type_of_its_value_as_flows_and_futures_do(tmp_path: Path) -> None:
    script = """
from typing import Any, TypeVar, get_type_hints
from surefoot import flow
from surefoot.states import Completed, State

R = TypeVar("R")

def hook(flow, run, state: State[Any]) -> State[R] | None:
    print(get_type_hints(hook)["state"], state.result())

@flow(on_completion=[hook])
def counted() -> int:
    return 3

class Mine(State[int]):
    pass

counted()
print(Mine("COMPLETED", data=4).result(), isinstance(Completed(), State), State[int]("COMPLETED", data=5).result())
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout.splitlines() == ["surefoot.core.run_state.State[typing.Any] 3", "4 True 5"], ran.stderr
