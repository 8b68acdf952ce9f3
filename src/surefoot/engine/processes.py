"""A pool whose tasks are called in child processes. Their lives stay here: states, retries, hooks and time limits.

A thread waits for each call that is on, as in any pool; what waits for anything else holds neither thread nor process.
Keeps promise 6. May import: core, pool, remote_calls, pickling.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from surefoot.engine.definition import Definition
from surefoot.engine.effects import Call, Effect, Raised, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.pickling import check_call, check_each, pickled_call
from surefoot.engine.pool import AWAY, Pool
from surefoot.engine.reaching import Interrupted
from surefoot.engine.remote_calls import Children, Initializer, RemoteCall
from surefoot.engine.task_execution import TaskExecution

__all__ = ["ProcessPool"]

KEPT_MAX: Final = 1 << 12  # arguments of this size are kept as they were pickled when they were checked
ALL_KEPT_MAX: Final = 1 << 26  # and larger ones, until all are as large as this; then they are pickled once more


class ProcessPool(Pool):
    """Runs the submitted tasks of one flow run in child processes.

    Args:
        max_workers: how many of them may be called at once.
        name: prefix of the threads' names.
        method: how children are started, one of `core.os.children.METHODS`.
        initializer: called first in each child, with its arguments.
    """

    def __init__(self, max_workers: int, name: str, method: str, initializer: Initializer | None = None) -> None:
        super().__init__(max_workers, name)
        self.slots.for_loops = False  # asynchronous tasks have an event loop in their child
        self.slots.crew.useful = max_workers  # their threads only wait
        self._children = Children(max_workers, method, initializer)
        self._payloads: dict[Execution, bytes] = {}
        self._kept_bytes = 0

    def check(self, definition: Definition, rows: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        if definition.kind != "Task":
            return
        check_each(definition, rows)

    def submit(self, execution: Execution) -> None:
        if not isinstance(execution, TaskExecution) or execution.definition.isolation is not None:
            pass  # a flow runs here, and brings a task runner of its own; such a task has a process of its own
        elif execution.references is None:
            self._pickle(execution)
        else:
            check_call(execution.definition, execution.args, execution.kwargs)
            self._children.definitions.of(execution)
        super().submit(execution)

    def _pickle(self, execution: TaskExecution) -> bytes:
        """The arguments of a run as they were when it was submitted, or became ready; large ones as they are now."""
        self._children.definitions.of(execution)
        payload = self._payloads.get(execution)
        if payload is None:
            payload = pickled_call(execution.definition, execution.args, execution.kwargs)
            with self._lock:
                if len(payload) <= KEPT_MAX or self._kept_bytes + len(payload) <= ALL_KEPT_MAX:
                    self._payloads[execution] = payload
                    self._kept_bytes += len(payload)
        return payload

    def inputs_of(self, execution: Execution) -> Any:
        outcome = super().inputs_of(execution)
        if outcome is None and isinstance(execution, TaskExecution) and execution.definition.isolation is None:
            try:
                self._pickle(execution)
            except Exception as error:
                return Raised(error)
        return outcome

    def _call(self, execution: Execution, effect: Effect) -> Any:
        if type(effect) is not Call or not isinstance(execution, TaskExecution):
            return super()._call(execution, effect)
        call = RemoteCall(self._children, execution, effect.timeout_s)
        if not self.enters_call(execution, call):
            return execution.stop
        try:
            outcome = call.perform(self._pickle(execution))
        except Exception as error:  # no process could be started, or the arguments changed since they were looked at
            outcome = Raised(error)
        if not self.leaves_call(execution, call):
            return AWAY
        if type(outcome) is Stopped and type(outcome.error) is Interrupted:
            return execution.stop
        return outcome

    def end(self, execution: Execution) -> None:
        with self._lock:
            self._kept_bytes -= len(self._payloads.pop(execution, b""))
        self._children.counts.forget(execution)
        super().end(execution)

    def close(self) -> None:
        super().close()
        self._children.close()
