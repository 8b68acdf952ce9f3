"""Forked children: the runs that were on when the process forked stay its parent's; what the child begins is its own.

A child of `os.fork` or `multiprocessing` records the tasks that it calls with a writer of its own (journal.recorder),
as parts of its parent's runs. Those runs' lives it does not live on: an end that it reaches is not theirs.
May import: core, execution, scope.
"""

from __future__ import annotations

from typing import Any

from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.os.signals import GATE
from surefoot.core.os.threads import THIS_THREAD
from surefoot.core.states import CANCELLED
from surefoot.engine.execution import Execution
from surefoot.engine.scope import current
from surefoot.states import NO_DATA

__all__ = ["is_inherited"]

_inherited: list[Any] = []


def is_inherited(execution: Execution) -> bool:
    """Whether this run is not this process's, but that of the one it was forked from."""
    return bool(_inherited) and execution in _inherited


def _leave_to_parent() -> None:
    GATE.forget()
    THIS_THREAD.gate = None
    execution = current()
    while execution is not None:
        _inherited.append(execution)
        _disown(execution)
        execution = execution.parent


def _disown(execution: Execution) -> None:
    try:
        execution.life.close()  # nothing more is asked for: no state, no retry, no hook
    except ValueError:
        pass  # forked from within the life itself, by something that it called; its next effect is not reached
    execution.ended = None
    execution.state_type = CANCELLED
    execution.state_name = "Cancelled"
    execution.message = "this process was forked from the one that the run belongs to, and goes on without it"
    execution.data = NO_DATA
    execution._state = None


after_fork_in_child(_leave_to_parent)
