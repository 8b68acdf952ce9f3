"""Calls of tasks with `isolation="process"`: each in a process of its own, whose end a thread waits for.

The driver waits as for anything else, so whatever stops the run finds it here. Keeps promise 6. May import: core,
calling; remote_calls by a late door, since sockets and cloudpickle are wanted by these tasks alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from surefoot.engine.calling import guarded
from surefoot.engine.effects import CallApart, Outcome, Raised, Returned, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.interrupts import Shelter
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.telling import stop_of

if TYPE_CHECKING:
    from surefoot.engine.flow_execution import FlowExecution
    from surefoot.engine.remote_calls import Own, RemoteCall

__all__ = ["CallOn", "begun", "called"]

_of_flows: WeakKeyDictionary[FlowExecution, Own] = WeakKeyDictionary()
_lock = threading.Lock()


def called(execution: Execution, effect: CallApart) -> Outcome:
    """Have the function called once, and wait for it on this thread."""
    call = begun(execution, effect)
    if not isinstance(call, CallOn):
        return call
    outcome = guarded(execution, None, call.wait)
    if type(outcome) is not Stopped:
        return call.outcome
    call.interrupt(outcome.error)
    call.ended.wait()  # not for long: what does not end is killed
    return outcome


def begun(execution: Execution, effect: CallApart) -> CallOn | Outcome:
    """Begin the call. The outcome, if that cannot be done."""
    from surefoot.engine.pickling import pickled_call
    from surefoot.engine.remote_calls import RemoteCall

    assert isinstance(execution, TaskExecution)
    payload = guarded(execution, None, pickled_call, execution.definition, execution.args, execution.kwargs)
    if type(payload) is not Returned:
        return payload
    call = RemoteCall(_processes_of(execution), execution, effect.timeout_s, effect.memory_bytes)
    try:
        return CallOn(call, payload.value)
    except RuntimeError as error:  # no thread can be had
        return Raised(error)


def _processes_of(execution: TaskExecution) -> Own:
    from surefoot.engine.remote_calls import Own

    flow = execution.flow
    if flow is None:
        return Own()
    with _lock:
        found = _of_flows.get(flow)
        if found is None:
            found = _of_flows[flow] = Own()
        return found


class CallOn:
    """A call that is on in another process."""

    def __init__(self, call: RemoteCall, payload: bytes) -> None:
        self.ended = threading.Event()
        self.outcome: Outcome = None
        self._call = call
        self._payload = payload
        self._bells: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._perform, name="surefoot-apart", daemon=True).start()

    def _perform(self) -> None:
        try:
            self.outcome = self._call.perform(self._payload)
        except Exception as error:  # no process could be started
            self.outcome = Raised(error)
        except BaseException as error:
            self.outcome = stop_of(error)
        with self._lock:
            self.ended.set()
        for ring in self._bells:
            ring()

    def when_over(self, ring: Callable[[], None]) -> None:
        """Have `ring` called when it has ended."""
        with self._lock:
            if not self.ended.is_set():
                self._bells.append(ring)
                return
        ring()

    def wait(self) -> None:
        """Wait until it has ended, or something stops the run."""
        with Shelter() as shelter:
            self.when_over(shelter.ring)
            shelter.wait(self.ended.is_set, None)

    def interrupt(self, error: BaseException) -> None:
        """Stop it: it is told so, and killed with all that it started if it does not end."""
        self._call.interrupt(error)
