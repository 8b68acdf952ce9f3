"""The blocking driver: performs a life's effects on the caller's thread. Knows how, never whether.

May import: core, lifecycle, calling.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.os.threads import SHUT, THIS_THREAD
from surefoot.core.states import COMPLETED
from surefoot.engine import apart, telling
from surefoot.engine.calling import guarded, guarded_by, run_coroutine
from surefoot.engine.effects import (
    AskRetry,
    AwaitSlots,
    Call,
    CallApart,
    Conclude,
    Effect,
    Enter,
    FindCached,
    Finish,
    GiveSlotsBack,
    Hook,
    Keep,
    LetGo,
    LookUp,
    NotReady,
    Outcome,
    Prepare,
    Queued,
    Raised,
    Resolve,
    Returned,
    Settle,
    Skipped,
    Sleep,
    Stopped,
    TakeSlots,
    Undo,
    Verdict,
)
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.inputs import PLAIN, pending_in
from surefoot.engine.interrupts import Shelter
from surefoot.engine.kept import keep
from surefoot.engine.reaching import ON
from surefoot.engine.task_execution import TaskExecution

__all__ = ["HOOK_S", "called", "drive", "perform", "step"]

HOOK_S: Final = 60.0  # how long each hook of a cancelled run may take


def drive(execution: Execution) -> None:
    """Live the whole life of a run on this thread. Raises what stopped it, the same object."""
    __tracebackhide__ = True
    gate = THIS_THREAD.gate
    opened = SHUT
    if gate is not None:
        opened = gate.shut()
        execution.gate, execution.level = gate, gate.level
    ON[execution.run_id] = execution
    stop = None
    send = execution.life.send
    outcome: Any = None
    try:
        while True:
            try:
                effect = send(outcome)
            except StopIteration as end:
                stop = end.value
                break
            if type(effect) is Enter:  # as every other is, and a call less is felt
                execution.enter(effect)
                outcome = None
            else:
                outcome = perform[type(effect)](execution, effect)
        execution.finished()
    finally:
        ON.pop(execution.run_id, None)
        if gate is not None and opened:
            gate.open(opened)
    if stop is not None:
        raise stop.error


def step(execution: Execution, effect: Effect) -> Any:
    """Perform one effect."""
    return perform[type(effect)](execution, effect)


def _enter(execution: Execution, effect: Enter) -> None:
    execution.enter(effect)


def _resolve(execution: Execution, _effect: Resolve) -> NotReady | Skipped | Raised | Stopped | None:
    if execution.references is None:
        return None
    waiting = execution.unfinished()
    if waiting:
        outcome = guarded(execution, None, _wait_all, waiting)
        if type(outcome) is Stopped:
            return outcome
    return execution.take_inputs()


def _wait_all(futures: list[Any]) -> None:
    for future in futures:
        future.wait()


def called(execution: Execution, timeout_s: float | None) -> Outcome:
    """Call the user's function once."""
    args, kwargs = execution.call_arguments()
    return guarded_by(execution.context.run, execution, timeout_s, execution.definition.body, *args, **kwargs)


def _call(execution: Execution, effect: Call) -> Outcome:
    outcome = called(execution, effect.timeout_s)
    if type(outcome) is Returned and type(outcome.value) in PLAIN:
        return Verdict(COMPLETED, "Completed", None, outcome.value)  # what settling it comes to
    return outcome


def _look_up(execution: Execution, _effect: LookUp) -> Verdict | str | None:
    return execution.look_up()


def _find_cached(execution: Execution, _effect: FindCached) -> Any:
    assert isinstance(execution, TaskExecution)
    outcome = guarded(execution, None, execution.find_cached)
    return outcome.value if type(outcome) is Returned else outcome


def _let_go(execution: Execution, _effect: LetGo) -> None:
    assert isinstance(execution, TaskExecution)
    execution.let_go()


def _take_slots(execution: Any, _effect: TakeSlots) -> Queued | Raised | Stopped | None:
    taken: Queued | Raised | Stopped | None = execution.limits.take()
    return taken


def _await_slots(execution: Any, _effect: AwaitSlots) -> Stopped | None:
    outcome = guarded(execution, None, execution.limits.wait)
    return outcome if type(outcome) is Stopped else None


def _give_slots_back(execution: Any, _effect: GiveSlotsBack) -> None:
    execution.limits.give_back()


def _conclude(execution: Any, effect: Conclude) -> Verdict | Stopped:
    concluded: Verdict | Stopped = execution.transaction.conclude(effect.stop, effect.verdict)
    return concluded


def _undo(execution: Any, effect: Undo) -> Stopped | None:
    stop: Stopped | None = execution.transaction.undo(effect.why)
    return stop


def _settle(execution: Execution, effect: Settle) -> Verdict | Stopped:
    if type(effect.value) in PLAIN:
        return Verdict(COMPLETED, "Completed", None, effect.value)
    found = execution.awaited_in(effect)
    waiting = pending_in(found)
    if waiting:
        outcome = guarded(execution, None, _wait_all, waiting)
        if type(outcome) is Stopped:
            return outcome
    return execution.settle(effect, found)


def _sleep(execution: Execution, effect: Sleep) -> Stopped | None:
    is_main = threading.get_ident() == threading.main_thread().ident
    clock = get_clock()
    outcome = guarded(execution, None, clock.sleep if is_main else _wait, clock.pause_s(effect.seconds))
    return outcome if type(outcome) is Stopped else None


def _wait(seconds: float) -> None:
    """Sleep on a thread that no signal wakes."""
    with Shelter() as shelter:
        shelter.wait(lambda: False, seconds)


def _prepare(execution: Execution, _effect: Prepare) -> Any:
    assert isinstance(execution, FlowExecution)
    outcome = guarded(execution, None, execution.prepare)
    return outcome.value if type(outcome) is Returned else outcome


def _finish(execution: Execution, effect: Finish) -> Stopped | None:
    assert isinstance(execution, FlowExecution)
    pool = execution.pool
    if pool is None:
        return None
    if type(effect.stop) is Stopped:
        pool.finish(effect.stop)  # the gate is shut: what comes now cuts the waiting short
        outcome = None
    else:
        outcome = guarded(execution, None, pool.finish, effect.stop)
        if type(outcome) is Stopped:
            pool.finish(outcome)
    execution.close_pool()
    return outcome if type(outcome) is Stopped else None


def _hook(execution: Execution, effect: Hook) -> Stopped | None:
    if execution.sealed:
        return None  # its thread has come back to a run that has ended without it
    limit_s = HOOK_S if execution.stop is not None else None  # whoever asked for the end is waiting for it
    for fn in execution.definition.hooks[effect.kind]:
        outcome = guarded(execution, limit_s, called_hook, execution, fn)
        if type(outcome) is Stopped:
            return outcome
        telling.hook_ended(execution, effect.kind, fn, outcome)
    return None


def called_hook(execution: Execution, fn: Callable[..., Any]) -> None:
    """Call one hook; if it is asynchronous, to its end."""
    value = fn(execution.definition, execution.run, execution.state)
    if hasattr(value, "__await__"):
        run_coroutine(None, value)


def _ask_retry(execution: Execution, effect: AskRetry) -> bool | Stopped:
    outcome = guarded(execution, None, _asked_retry, execution, effect)
    if type(outcome) is Stopped:
        return outcome
    if type(outcome) is Returned:
        return bool(outcome.value)
    telling.condition_failed(execution, outcome)
    return False


def _asked_retry(execution: Execution, effect: AskRetry) -> Any:
    assert execution.definition.retry_condition_fn is not None
    value = execution.definition.retry_condition_fn(
        execution.definition, execution.run, execution.verdict_state(effect.verdict)
    )
    return run_coroutine(None, value) if hasattr(value, "__await__") else value


perform: dict[type[Effect], Callable[[Any, Any], Any]] = {
    Enter: _enter,
    Resolve: _resolve,
    Prepare: _prepare,
    Call: _call,
    CallApart: apart.called,
    LookUp: _look_up,
    FindCached: _find_cached,
    LetGo: _let_go,
    TakeSlots: _take_slots,
    AwaitSlots: _await_slots,
    GiveSlotsBack: _give_slots_back,
    Settle: _settle,
    Keep: keep,
    Conclude: _conclude,
    Undo: _undo,
    AskRetry: _ask_retry,
    Sleep: _sleep,
    Hook: _hook,
    Finish: _finish,
}
