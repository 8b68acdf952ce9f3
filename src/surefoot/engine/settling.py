"""Settling: what a return value means, and whether the futures and states in it, as they ended, let the run complete.

May import: core, execution, inputs, states.
"""

from __future__ import annotations

from surefoot.core.states import COMPLETED, FAILED, FINAL
from surefoot.engine.effects import Settle, Verdict
from surefoot.engine.execution import Execution
from surefoot.engine.inputs import PLAIN, Reference, find_references, replace_references, value_of
from surefoot.states import NO_DATA, State, aggregate

__all__ = ["awaited_in", "settle", "verdict_state"]


def awaited_in(effect: Settle) -> list[Reference]:
    """The futures and states in a return value, whose states decide the run's own."""
    value = effect.value
    if type(value) in PLAIN:
        return []
    found: list[Reference] = []
    find_references(value, found)
    return found


def settle(execution: Execution, effect: Settle, found: list[Reference]) -> Verdict:
    """The verdict over a return value, all futures in which have ended."""
    value = effect.value
    if not found:
        if execution.flow is not None and execution.is_task and type(value) not in PLAIN:
            execution.flow.links.add(value, execution.run_id)
        return Verdict(COMPLETED, "Completed", None, value)
    states = [reference.state for reference in found]
    if type(value) is State and value.run_id is None:
        return _by_hand(value)
    kind, message, decisive = aggregate(states)
    if decisive is None:
        single = states[0] if len(states) == 1 and not isinstance(value, (list, tuple, set, dict)) else None
        name = single.name if single is not None else "Completed"
        told = single.message if single is not None else message
        return Verdict(COMPLETED, name, told, replace_references(value, value_of))
    if len(states) == 1:
        message = decisive.message or f"{decisive.run_of or 'a run'} ended {decisive.name}"
    if decisive.type not in FINAL:
        return _by_hand(decisive)
    data = decisive.data if isinstance(decisive.data, BaseException) else decisive
    return Verdict(kind, decisive.name if kind is decisive.type else "Failed", message, data, decisive.run_id)


def _by_hand(state: State) -> Verdict:
    if state.is_final() or state.is_paused():
        data = None if state.data is NO_DATA else state.data
        return Verdict(state.type, state.name, state.message, data)
    message = f"it returned the state {state.name}, which is not an end"
    return Verdict(FAILED, "Failed", message)


def verdict_state(execution: Execution, verdict: Verdict) -> State:
    """A verdict as the state that the run would enter with it."""
    return State(
        verdict.state_type,
        verdict.state_name,
        verdict.message,
        verdict.data,
        run_id=execution.run_id,
        run_is_task=execution.is_task,
        run_of=execution.definition.name,
    )
