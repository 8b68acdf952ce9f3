"""Commands, obeyed: a run of this process is told to stop, and whatever it started with it.

Its code is interrupted wherever it is; what is left of its life runs, the hooks too; then it is CANCELLED, and whoever
called it gets CancelledRun and goes on. Of what cannot be interrupted that is said. Keeps promise 6.
May import: core, journal.commands, forking, reaching, pool.
"""

from __future__ import annotations

from typing import Final

from surefoot.core.errors import CancelledRun
from surefoot.core.states import CANCELLING, FINAL, is_legal
from surefoot.engine import reaching
from surefoot.engine.effects import Enter, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.forking import is_inherited
from surefoot.engine.reaching import ON, is_any_on, send, strays
from surefoot.engine.timers import call_later
from surefoot.journal.commands import Command

__all__ = ["cancel", "listen", "obey", "stop"]

STOP_GRACE_S: Final = 5.0  # how long after it was told to a run may take to stop before that is said
_STUCK: Final = "it is in a call that nothing can interrupt, or goes on all the same"


def listen(execution: Execution) -> None:
    """A run begins that nothing of ours surrounds: have the commands obeyed that come for this process."""
    if execution.parent is None or is_inherited(execution.parent):
        execution.session.recorder.listen(obey, is_any_on)


def obey(command: Command) -> None:
    """Do what was asked. A run that is not on here any more has ended: its final state is the answer."""
    cancel(bytes.fromhex(command.run_id), f"asked by {command.asked_by or 'somebody'}")


def cancel(run_id: bytes, why: str) -> bool:
    """Tell a run to stop, from any thread but its own; again, if it was told before. False if it is not on here."""
    return _tell_to_stop(run_id, why, None)


def stop(run_id: bytes, why: str, error: Exception) -> bool:
    """The same for a run that nobody asked to stop, but that must not go on: it ends CRASHED, with this error."""
    return _tell_to_stop(run_id, why, error)


def _tell_to_stop(run_id: bytes, why: str, error: Exception | None) -> bool:
    execution = ON.get(run_id)
    if execution is not None:
        _stop(execution, why, error)
        return True
    submitted = _submitted(run_id)
    if submitted is not None:
        _stop_submitted(submitted, why, error)
    return submitted is not None


def _submitted(run_id: bytes) -> Execution | None:
    for flow in list(ON.values()):
        if isinstance(flow, FlowExecution) and flow.pool is not None:
            found = flow.pool.find(run_id)
            if found is not None:
                return found
    return None


def _stop(execution: Execution, why: str, error: Exception | None = None) -> None:
    with reaching.REACHED:
        stop = execution.stop
        is_first = stop is None
        if stop is None:
            stop = execution.stop = _stop_for(execution, why, error)
        if execution.state_type in FINAL:  # first the stop was set, now this is looked at: see `Execution.enter`
            return
        send(execution, stop)
    _stop_within(execution)
    if is_first:
        call_later(STOP_GRACE_S, lambda: _tell_stuck(execution))


def _stop_submitted(execution: Execution, why: str, error: Exception | None = None) -> None:
    flow = execution.around
    if flow is None or flow.pool is None:
        return
    is_first = execution.stop is None
    flow.pool.cancel(execution, _stop_for(execution, why, error))
    _stop_within(execution)
    if is_first:
        call_later(STOP_GRACE_S, lambda: _tell_stuck(execution))


def _stop_for(execution: Execution, why: str, error: Exception | None) -> Stopped:
    if error is not None:
        return Stopped(error, why, ends_here=True)
    what = "Task" if execution.is_task else "Flow"
    cancelled = CancelledRun(f"{what} run {execution.run_name!r} was cancelled: {why}.")
    return Stopped(cancelled, why, asked=True, ends_here=True)


def _stop_within(outer: Execution) -> None:
    """Stop what a run started that neither its own stack nor the end of its pool will stop."""
    why = f"{'task' if outer.is_task else 'flow'} run {outer.run_name}, which called it, was cancelled"
    for execution in strays(outer):
        _stop(execution, why)
    flow = outer.flow
    if outer.is_task and flow is not None and flow.pool is not None:
        for submitted in flow.pool.submitted_within(outer):
            _stop_submitted(submitted, why)


def _tell_stuck(execution: Execution) -> None:
    """Some time has passed. A run that goes on all the same is never passed over in silence."""
    with reaching.REACHED:
        stop = execution.stop
        before = execution.state_type, execution.state_name
        if stop is not None and not execution.sealed and is_legal(*before, CANCELLING, "Cancelling"):
            execution.enter(Enter(CANCELLING, "Cancelling", f"{stop.why}; {_STUCK}"))
