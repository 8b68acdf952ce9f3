"""The lives of task and flow runs, played without I/O, clock, thread or loop, and compared with a small model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.delays import Delays
from surefoot.core.states import FINAL, StateType, is_legal
from surefoot.engine.effects import (
    AskRetry,
    Call,
    Closed,
    Effect,
    Enter,
    Finish,
    Hook,
    Next,
    NotReady,
    Prepare,
    Raised,
    Resolve,
    Returned,
    Settle,
    Sleep,
    Stopped,
    Verdict,
    Yielded,
)
from surefoot.engine.lifecycle import Life, Rules, flow_life, reason, task_life

PENDING, RUNNING, SCHEDULED = StateType.PENDING, StateType.RUNNING, StateType.SCHEDULED
COMPLETED, FAILED, CANCELLED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED
PAUSED = StateType.PAUSED
HOOKS = frozenset({"completion", "failure", "cancellation", "crashed", "running"})
ENDINGS = {COMPLETED: "completion", FAILED: "failure", CANCELLED: "cancellation", CRASHED: "crashed"}


@dataclass(frozen=True)
class Attempt:
    """What happens when the function is called once."""

    ends: str  # "returned", "raised", "raised theirs", "timed out", "stopped", "closed", "abandoned"
    verdict: StateType = COMPLETED  # what a returned value amounts to
    values: int = 0  # how many the generator yields before
    is_asked: bool = False  # of "stopped": whether somebody asked for it
    is_stopped_before: bool = False  # in the hook on_running
    is_stopped_settling: bool = False  # while futures in the returned value are waited for
    may_retry: bool = True  # what retry_condition_fn answers
    is_stopped_asleep: bool = False  # while it waits for the next attempt


@dataclass(frozen=True)
class Story:
    """All that the outside does to one life."""

    is_flow: bool = False
    inputs: str = "ready"  # "not ready", "stopped"
    parameters: str = "good"  # "bad" (flows only)
    attempts: tuple[Attempt, ...] = (Attempt("returned"),)
    is_stopped_finishing: bool = False
    is_stopped_in_last_hook: bool = False
    retries: int = 0
    delays: tuple[float, ...] = ()
    jitter: float | None = None
    draw: float = 0.0
    timeout_s: float | None = None
    hooks: frozenset[str] = HOOKS
    is_conditional: bool = False

    def life(self) -> Life:
        rules = Rules(
            retries=self.retries,
            delays=Delays(self.delays, self.jitter),
            draw=lambda: self.draw,
            timeout_s=self.timeout_s,
            hooks=self.hooks,
            conditional=self.is_conditional,
        )
        return flow_life(rules) if self.is_flow else task_life(rules)


@dataclass
class Player:
    """Answers a life's effects as a story has it, and keeps the trace."""

    story: Story
    trace: list[Effect] = field(default_factory=list)
    end: Any = None  # the stop that is raised again
    _attempt: int = -1
    _values: int = 0

    def play(self) -> Player:
        life, outcome = self.story.life(), None
        try:
            while True:
                effect = life.send(outcome)
                self.trace.append(effect)
                assert len(self.trace) < 500, "a life that does not end"
                outcome = self.answer(effect)
        except StopIteration as end:
            self.end = end.value
        return self

    @property
    def attempt(self) -> Attempt:
        attempts = self.story.attempts
        return attempts[min(self._attempt, len(attempts) - 1)]

    def answer(self, effect: Effect) -> Any:
        story = self.story
        match effect:
            case Enter():
                if effect.state_type is RUNNING:
                    self._attempt += 1
            case Resolve():
                return {"ready": None, "not ready": not_ready(), "stopped": stop("resolving")}[story.inputs]
            case Prepare():
                return Raised(TypeError("x is a text")) if story.parameters == "bad" else None
            case Call():
                self._values = self.attempt.values
                return self._step()
            case Next():
                return self._step()
            case Settle():
                if self.attempt.is_stopped_settling:
                    return stop("settling")
                return Verdict(self.attempt.verdict, self.attempt.verdict.value.capitalize(), "told", effect.value)
            case AskRetry():
                return self.attempt.may_retry
            case Sleep():
                return stop("asleep") if self.attempt.is_stopped_asleep else None
            case Finish():
                return stop("finishing") if story.is_stopped_finishing else None
            case Hook(kind="running"):
                return stop("in on_running") if self.attempt.is_stopped_before else None
            case Hook():
                return stop("in the last hook") if story.is_stopped_in_last_hook else None
        return None

    def _step(self) -> Any:
        if self._values:
            self._values -= 1
            return Yielded(self._values)
        attempt = self.attempt
        return {
            "returned": Returned(42),
            "raised": Raised(ValueError("no")),
            "raised theirs": Raised(TimeoutError("their server")),
            "timed out": Raised(TimeoutError("too slow"), timed_out=True),
            "stopped": stop("calling", attempt.is_asked),
            "closed": Closed(abandoned=False),
            "abandoned": Closed(abandoned=True),
        }[attempt.ends]

    # -- what is looked for in traces

    @property
    def states(self) -> list[Enter]:
        return [effect for effect in self.trace if isinstance(effect, Enter)]

    def all_of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.trace if isinstance(effect, kind)]

    @property
    def hooks(self) -> Counter[str]:
        return Counter(effect.kind for effect in self.all_of(Hook))

    def names(self) -> list[str]:
        return [state.state_name for state in self.states]


def play(story: Story) -> Player:
    return Player(story).play()


def stop(why: str, asked: bool = False) -> Stopped:
    return Stopped(KeyboardInterrupt(), why, asked)


def not_ready() -> NotReady:
    return NotReady("`load` failed: no disk", RuntimeError("no disk"), b"1" * 16)


# -- the model ---------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What a story amounts to, found by looking for the attempt that decides it."""

    final: StateType
    name: str
    calls: int
    running: int  # entries into RUNNING
    waits: list[float]
    asked: int  # how often retry_condition_fn is asked
    is_stopped: bool


def model(story: Story) -> Model:
    if story.inputs == "stopped":
        return Model(CANCELLED, "Cancelled", 0, 0, [], 0, True)
    if story.inputs == "not ready" or (story.is_flow and story.parameters == "bad"):
        return Model(FAILED, "NotReady", 0, 0, [], 0, False)
    most = 1 + max(story.retries, 0)
    tried = [story.attempts[min(n, len(story.attempts) - 1)] for n in range(most)]
    base = [story.delays[min(n, len(story.delays) - 1)] if story.delays else 0.0 for n in range(most)]
    pauses = [delay * (1 + story.draw * story.jitter) if story.jitter else delay for delay in base]
    asked, waits = 0, list[float]()
    for n, attempt in enumerate(tried):
        if attempt.is_stopped_before and "running" in story.hooks:
            return stopped(False, n, n + 1, waits, asked)
        calls = n + 1
        if attempt.ends == "stopped":
            return stopped(attempt.is_asked, calls, n + 1, waits, asked)
        if attempt.ends == "returned" and attempt.is_stopped_settling:
            return stopped(False, calls, n + 1, waits, asked)
        kind, name = {
            "returned": (attempt.verdict, attempt.verdict.value.capitalize()),
            "raised": (FAILED, "Failed"),
            "raised theirs": (FAILED, "TimedOut"),
            "timed out": (FAILED, "TimedOut"),
            "closed": (COMPLETED, "Completed"),
            "abandoned": (CRASHED, "Abandoned"),
        }[attempt.ends]
        again = kind is FAILED and not attempt.values and n + 1 < most
        if again and story.is_conditional:
            asked += 1
            again = attempt.may_retry
        if again and pauses[n] > 0:
            waits.append(pauses[n])
            if attempt.is_stopped_asleep:
                return stopped(False, calls, n + 1, waits, asked)
        if not again:
            if story.is_flow and story.is_stopped_finishing:
                return stopped(False, calls, n + 1, waits, asked)
            is_late = story.is_stopped_in_last_hook and ENDINGS.get(kind) in story.hooks
            return Model(kind, name, calls, n + 1, waits, asked, is_late)
    raise AssertionError("the last attempt decides")


def stopped(asked_for: bool, calls: int, running: int, waits: list[float], asked: int) -> Model:
    kind = CANCELLED if asked_for else CRASHED
    return Model(kind, kind.value.capitalize(), calls, running, waits, asked, True)


attempts = st.builds(
    Attempt,
    ends=st.sampled_from(["returned", "raised", "raised theirs", "timed out", "stopped", "closed", "abandoned"]),
    verdict=st.sampled_from([COMPLETED, FAILED, FAILED, CANCELLED, CRASHED, PAUSED]),
    values=st.sampled_from([0, 0, 0, 1, 3]),
    is_asked=st.booleans(),
    is_stopped_before=st.sampled_from([False] * 7 + [True]),
    is_stopped_settling=st.sampled_from([False] * 7 + [True]),
    may_retry=st.sampled_from([True, True, True, False]),
    is_stopped_asleep=st.sampled_from([False] * 7 + [True]),
)
stories = st.builds(
    Story,
    is_flow=st.booleans(),
    inputs=st.sampled_from(["ready"] * 8 + ["not ready", "stopped"]),
    parameters=st.sampled_from(["good"] * 8 + ["bad"]),
    attempts=st.lists(attempts, min_size=1, max_size=6).map(tuple),
    is_stopped_finishing=st.sampled_from([False] * 5 + [True]),
    is_stopped_in_last_hook=st.sampled_from([False] * 5 + [True]),
    retries=st.integers(-2, 6),
    delays=st.lists(st.sampled_from([0.0, 0.5, 3.0, 60.0]), max_size=4).map(tuple),
    jitter=st.none() | st.sampled_from([0.0, 0.5, 2.0]),
    draw=st.floats(0, 1, exclude_max=True),
    timeout_s=st.none() | st.sampled_from([0.0, 5.0]),
    hooks=st.sets(st.sampled_from(sorted(HOOKS))).map(frozenset),
    is_conditional=st.booleans(),
)


# -- whatever happens --------------------------------------------------------------------------------------------------


@given(stories)
def test_a_life_ends_as_the_model_has_it(story: Story) -> None:
    player, expected = play(story), model(story)
    last = player.states[-1]
    assert (last.state_type, last.state_name) == (expected.final, expected.name)
    assert len(player.all_of(Call)) == expected.calls
    assert sum(state.state_type is RUNNING for state in player.states) == expected.running
    assert [effect.seconds for effect in player.all_of(Sleep)] == pytest.approx(expected.waits)
    assert len(player.all_of(AskRetry)) == expected.asked
    assert (player.end is not None) is expected.is_stopped


@given(stories)
def test_every_life_ends_in_a_final_state_by_legal_steps_alone(story: Story) -> None:
    states = play(story).states
    assert states[-1].state_type in FINAL or states[-1].state_type is PAUSED  # PAUSED: only if the function returned it
    assert not any(state.state_type in FINAL for state in states[:-1])
    assert is_legal(None, None, states[0].state_type, states[0].state_name)
    for before, after in pairwise(states):
        step = (before.state_type, before.state_name, after.state_type, after.state_name)
        assert is_legal(*step), step


@given(stories)
def test_hooks_run_once_an_attempt_and_once_at_the_end(story: Story) -> None:
    player, expected = play(story), model(story)
    wanted = {"running": expected.running if "running" in story.hooks else 0}
    kind = ENDINGS.get(expected.final)
    never_ran = expected.running == 0
    for hook in HOOKS - {"running"}:
        wanted[hook] = int(hook == kind and hook in story.hooks and not never_ran)
    assert player.hooks == Counter(wanted)
    # The hook of an end comes after the end was entered: it sees the state that it is called for.
    if kind in story.hooks and not never_ran:
        assert [type(effect) for effect in player.trace[-2:]] == [Enter, Hook]


@given(stories)
def test_what_is_waited_is_announced_by_the_state_that_waits(story: Story) -> None:
    trace = play(story).trace
    for before, after in pairwise(trace):
        if isinstance(after, Sleep):
            assert isinstance(before, Enter)
            assert before.state_type is SCHEDULED
            assert before.state_name == "AwaitingRetry"
            assert before.wait_s == after.seconds > 0


@given(stories)
def test_a_flow_lets_its_tasks_end_once_before_it_ends_itself(story: Story) -> None:
    player, expected = play(story), model(story)
    finishes = player.all_of(Finish)
    assert len(finishes) == (1 if story.is_flow and expected.running else 0)
    if finishes:
        place = player.trace.index(finishes[0])
        assert not any(isinstance(effect, Call) for effect in player.trace[place:])
        assert player.trace[place + 1] is player.states[-1]


@given(stories)
def test_every_call_has_the_whole_time_and_zero_is_no_limit(story: Story) -> None:
    assert {effect.timeout_s for effect in play(story).all_of(Call)} <= {story.timeout_s or None}


@given(stories)
def test_a_failure_is_told_exactly_once_before_the_next_attempt(story: Story) -> None:
    states = play(story).states
    for before, after in pairwise(states):
        if after.state_type is RUNNING and after.state_name == "Retrying":
            assert before.message is not None if before.state_type is SCHEDULED else after.message is not None
            assert after.message is None if before.state_type is SCHEDULED else True


@given(stories)
def test_the_stop_that_ended_a_life_is_handed_back_as_the_same_object(story: Story) -> None:
    player = play(story)
    if player.end is not None:
        assert isinstance(player.end, Stopped)
        last = player.states[-1]
        if last.data is not None and isinstance(last.data, KeyboardInterrupt):
            assert last.data is player.end.error


# -- told one by one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_flow", [False, True], ids=["task", "flow"])
def test_a_life_without_incident(is_flow: bool) -> None:
    player = play(Story(is_flow=is_flow))
    wanted = ["Enter", "Resolve", *(["Prepare"] if is_flow else []), "Enter", "Hook", "Call", "Settle"]
    wanted += [*(["Finish"] if is_flow else []), "Enter", "Hook"]
    assert [type(effect).__name__ for effect in player.trace] == wanted
    assert player.names() == ["Pending", "Running", "Completed"]
    assert player.states[-1].data == 42


def test_two_failures_then_success() -> None:
    failed = Attempt("raised")
    player = play(Story(retries=5, attempts=(failed, failed, Attempt("returned")), delays=(1.0, 10.0)))
    assert player.names() == ["Pending", "Running", *["AwaitingRetry", "Retrying"] * 2, "Completed"]
    assert [effect.seconds for effect in player.all_of(Sleep)] == [1.0, 10.0]
    assert player.hooks == Counter(running=3, completion=1)


def test_without_a_delay_the_retry_follows_at_once_and_says_why() -> None:
    player = play(Story(retries=1, attempts=(Attempt("raised"), Attempt("returned"))))
    assert player.names() == ["Pending", "Running", "Retrying", "Completed"]
    assert player.states[2].message == "ValueError: no"


def test_a_returned_failure_is_retried_like_a_raised_one() -> None:
    for is_flow in (False, True):
        player = play(Story(is_flow=is_flow, retries=2, attempts=(Attempt("returned", verdict=FAILED),)))
        assert len(player.all_of(Call)) == 3
        assert player.names()[-1] == "Failed"


def test_a_timeout_is_retried_too() -> None:
    player = play(Story(retries=1, attempts=(Attempt("timed out"), Attempt("returned")), timeout_s=2.0))
    assert len(player.all_of(Call)) == 2
    assert player.names()[-1] == "Completed"


def test_a_timeout_error_of_the_users_own_is_called_timed_out() -> None:
    last = play(Story(attempts=(Attempt("raised theirs"),))).states[-1]
    assert (last.state_type, last.state_name, last.message) == (FAILED, "TimedOut", "TimeoutError: their server")


def test_on_failure_is_called_once_when_all_retries_are_used_up() -> None:
    player = play(Story(retries=3, attempts=(Attempt("raised"),)))
    assert player.hooks == Counter(running=4, failure=1)


def test_cancelled_crashed_and_paused_states_are_not_retried() -> None:
    for kind in (CANCELLED, CRASHED, PAUSED):
        player = play(Story(retries=3, attempts=(Attempt("returned", verdict=kind),)))
        assert len(player.all_of(Call)) == 1
        assert player.states[-1].state_type is kind


def test_a_condition_that_says_no_ends_the_attempts() -> None:
    attempts = (Attempt("raised"), replace(Attempt("raised"), may_retry=False))
    player = play(Story(retries=9, attempts=attempts, is_conditional=True))
    assert len(player.all_of(Call)) == 2
    assert len(player.all_of(AskRetry)) == 2


def test_a_condition_is_not_asked_when_nothing_hangs_on_it() -> None:
    assert not play(Story(retries=0, attempts=(Attempt("raised"),), is_conditional=True)).all_of(AskRetry)
    assert not play(Story(retries=2, attempts=(Attempt("returned"),), is_conditional=True)).all_of(AskRetry)


def test_a_generator_is_repeated_only_before_its_first_value() -> None:
    assert len(play(Story(retries=2, attempts=(Attempt("raised"),))).all_of(Call)) == 3
    taken = play(Story(retries=2, attempts=(Attempt("raised", values=1),)))
    assert len(taken.all_of(Call)) == 1
    assert len(taken.all_of(Next)) == 1
    assert taken.names()[-1] == "Failed"


def test_a_generator_that_its_consumer_closes_is_completed_and_one_that_is_dropped_is_abandoned() -> None:
    assert play(Story(attempts=(Attempt("closed", values=2),))).names()[-1] == "Completed"
    dropped = play(Story(attempts=(Attempt("abandoned", values=2),), retries=3))
    assert (dropped.states[-1].state_type, dropped.names()[-1]) == (CRASHED, "Abandoned")
    assert len(dropped.all_of(Call)) == 1


@pytest.mark.parametrize(("is_asked", "kind"), [(True, CANCELLED), (False, CRASHED)])
def test_a_stop_is_never_retried_and_ends_as_it_was_meant(is_asked: bool, kind: StateType) -> None:
    player = play(Story(is_flow=True, retries=5, attempts=(Attempt("stopped", is_asked=is_asked),)))
    assert len(player.all_of(Call)) == 1
    assert player.states[-1].state_type is kind
    assert player.hooks == Counter(running=1, **{ENDINGS[kind]: 1})
    assert player.all_of(Finish)[0].stop is player.end


def test_a_flow_that_failed_cancels_what_it_submitted_and_one_that_completed_waits_for_it() -> None:
    assert play(Story(is_flow=True)).all_of(Finish)[0].stop is False
    assert play(Story(is_flow=True, attempts=(Attempt("raised"),))).all_of(Finish)[0].stop is True


def test_a_stop_while_a_flow_finishes_turns_its_success_into_a_crash() -> None:
    player = play(Story(is_flow=True, is_stopped_finishing=True))
    assert player.states[-1].state_type is CRASHED
    assert player.hooks == Counter(running=1, crashed=1)


def test_a_stop_in_the_last_hook_is_raised_again_and_changes_no_state() -> None:
    player = play(Story(is_stopped_in_last_hook=True))
    assert player.names()[-1] == "Completed"
    assert player.end is not None


def test_a_run_whose_upstream_failed_says_which_and_runs_nothing() -> None:
    for is_flow in (False, True):
        player = play(Story(is_flow=is_flow, inputs="not ready"))
        assert player.names() == ["Pending", "NotReady"]
        last = player.states[-1]
        assert (last.state_type, last.message, last.cause_id) == (FAILED, "`load` failed: no disk", b"1" * 16)
        assert not player.hooks


def test_refused_parameters_fail_a_flow_before_it_runs() -> None:
    player = play(Story(is_flow=True, parameters="bad"))
    assert player.names() == ["Pending", "NotReady"]
    assert player.states[-1].message == "TypeError: x is a text"


def test_a_run_that_is_stopped_while_it_waits_for_inputs_is_cancelled() -> None:
    player = play(Story(inputs="stopped"))
    assert player.names() == ["Pending", "Cancelled"]
    assert player.states[-1].message == "resolving, before it started"


def test_an_exception_without_a_text_is_told_by_its_type_and_a_broken_one_does_no_harm() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert reason(KeyError()) == "KeyError"
    assert reason(Broken()) == "Broken: <no text: its __str__ raised RuntimeError>"
    assert reason(ValueError("a\nb")) == "ValueError: a\nb"


def test_of_a_group_of_exceptions_the_first_is_told() -> None:
    group = ExceptionGroup("in a TaskGroup", [OSError("no disk"), ValueError()])
    assert reason(group) == "ExceptionGroup: in a TaskGroup (2 sub-exceptions): OSError: no disk"
