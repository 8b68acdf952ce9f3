"""What states of other runs mean for a run: whether it may start, by its trigger, and what it amounts to if it returns
them.

May import: core, effects, inputs, states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from surefoot.core.errors import NotReadyRun, Skip
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED, FINAL, SKIPPED
from surefoot.core.triggers import DEFAULT, Answer, Ends, answer_of
from surefoot.engine.effects import NotReady, Raised, Skipped, Verdict
from surefoot.engine.inputs import Reference, replace_references, value_of
from surefoot.states import NO_DATA, State, aggregate, get_state_exception

__all__ = ["Trigger", "judged", "verdict_over"]

Trigger = str | Callable[..., Any]
_VERBS: Final = {FAILED: "failed", CRASHED: "crashed", CANCELLED: "was cancelled"}
_MAY_BE_ALLOWED: Final = frozenset({FAILED, COMPLETED})  # of the latter those that were skipped


def judged(references: Iterable[Reference], trigger: Trigger) -> NotReady | Skipped | Raised | None:
    """Why a run with these inputs, all of which have ended, does not start; None if it does."""
    upstreams: dict[int, tuple[State, bool]] = {}
    is_smooth = True
    for reference in references:
        state = reference.state
        if state.type is not COMPLETED or state.name == SKIPPED:
            is_smooth = False
            if state.type not in FINAL:
                return _not_ready(state, "")
        key = id(reference.target)
        known = upstreams.get(key)
        upstreams[key] = state, reference.allows_failure and (known is None or known[1])
    if not upstreams or (is_smooth and trigger == DEFAULT):
        return None
    states = [state for state, _ in upstreams.values()]
    if not isinstance(trigger, str):
        return _asked(trigger, states)
    answer = answer_of(trigger, _ends(upstreams.values()))
    if answer is Answer.RUN:
        return None
    suffix = "" if trigger == DEFAULT else f" (its trigger is {trigger})"
    if answer is Answer.NOT_READY:
        return _not_ready(_blamed(upstreams.values(), failed=True), suffix)
    if answer is Answer.SKIP:
        return _skipped(_blamed(upstreams.values(), failed=False), suffix)
    return Skipped(f"its trigger is {trigger}, and {_told(states)}")


def _ends(upstreams: Iterable[tuple[State, bool]]) -> Ends:
    succeeded = failed = skipped = allowed_failed = allowed_skipped = 0
    for state, allowed in upstreams:
        if state.type is not COMPLETED:
            failed += 1
            allowed_failed += allowed and state.type in _MAY_BE_ALLOWED
        elif state.name == SKIPPED:
            skipped += 1
            allowed_skipped += allowed
        else:
            succeeded += 1
    return Ends(succeeded, failed, skipped, allowed_failed, allowed_skipped)


def _blamed(upstreams: Iterable[tuple[State, bool]], *, failed: bool) -> State:
    """The first upstream that stops the run; else the first of its kind."""
    found = [
        (state, allowed and state.type in _MAY_BE_ALLOWED)
        for state, allowed in upstreams
        if (state.type is not COMPLETED) is failed and (failed or state.name == SKIPPED)
    ]
    return next((state for state, allowed in found if not allowed), found[0][0])


def _of(state: State) -> str:
    return f"`{state.run_of}`" if state.run_of else "a state that it was given"


def _not_ready(state: State, suffix: str) -> NotReady:
    kind = state.type
    verb = "did not run" if state.name == "NotReady" else _VERBS.get(kind, f"is {state.name}")
    message = f"{_of(state)} {verb}" + (f": {state.message}" if state.message else "") + suffix
    error = NotReadyRun(f"It did not run, because {message.removesuffix('.')}.")
    if kind in _VERBS:
        error.__cause__ = get_state_exception(state)
    return NotReady(message, error, state.run_id)


def _skipped(state: State, suffix: str = "") -> Skipped:
    """That a run is skipped because another was. The reason names the one with which it began."""
    if state.cause_id is not None and state.message:
        return Skipped(state.message, state.run_id)
    return Skipped(f"{_of(state)} was skipped" + (f": {state.message}" if state.message else "") + suffix, state.run_id)


def _told(states: list[State]) -> str:
    """Counts of ends, in words."""
    ends = _ends((state, False) for state in states)
    counts = (
        (ends.succeeded, "succeeded", "succeeded"),
        (ends.failed, "failed", "failed"),
        (ends.skipped, "was skipped", "were skipped"),
    )
    told = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    return f"of its upstreams {', '.join(told)}"


def _asked(trigger: Callable[..., Any], states: list[State]) -> NotReady | Skipped | Raised | None:
    """What a function of the user's makes of the states."""
    try:
        runs = trigger(states)
    except Exception as error:
        return Skipped(str(error) or None) if isinstance(error, Skip) else Raised(error)
    if runs:
        return None
    name = getattr(trigger, "__name__", None) or repr(trigger)
    failed = next((state for state in states if state.type is not COMPLETED), None)
    if failed is not None:  # a failure is never passed over by mere silence
        return _not_ready(failed, f" (its trigger is {name})")
    return Skipped(f"its trigger {name} said no")


def verdict_over(value: Any, found: list[Reference]) -> Verdict:
    """The verdict over what a function returned, with futures and states in it, all of which have ended."""
    states = [reference.state for reference in found]
    if type(value) is State and value.run_id is None:
        return _verdict_by_hand(value)
    kind, message, decisive = aggregate(states)
    if decisive is None:
        single = states[0] if len(states) == 1 and not isinstance(value, (list, tuple, set, dict)) else None
        name = single.name if single is not None else "Completed"
        told = single.message if single is not None else message
        if single is not None and name == SKIPPED and single.run_id is not None:
            skipped = _skipped(single)
            return Verdict(COMPLETED, name, skipped.message, None, skipped.cause_id)
        return Verdict(COMPLETED, name, told, replace_references(value, value_of))
    if len(states) == 1:
        message = decisive.message or f"{decisive.run_of or 'a run'} ended {decisive.name}"
    if decisive.type not in FINAL:
        return _verdict_by_hand(decisive, message)
    data = decisive.data if isinstance(decisive.data, BaseException) else decisive
    return Verdict(kind, decisive.name if kind is decisive.type else "Failed", message, data, decisive.run_id)


def _verdict_by_hand(state: State, message: str | None = None) -> Verdict:
    if state.is_final() or state.is_paused():
        data = None if state.data is NO_DATA else state.data
        return Verdict(state.type, state.name, state.message or message, data)
    message = f"it returned the state {state.name}, which is not an end"
    return Verdict(FAILED, "Failed", message)
