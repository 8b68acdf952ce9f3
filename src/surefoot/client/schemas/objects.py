"""What users import from `client.schemas.objects`, mostly to annotate: states, runs as hooks are given them, and more.

    from surefoot.client.schemas.objects import FlowRun, State

A door; the things themselves live elsewhere.
"""

from __future__ import annotations

from surefoot.core.state_details import StateDetails
from surefoot.core.wire import ConcurrencyLimit, Variable
from surefoot.core.wire import Limit as GlobalConcurrencyLimit
from surefoot.engine.runs import FlowRun, TaskRun
from surefoot.states import State, StateType

__all__ = [
    "ConcurrencyLimit",
    "FlowRun",
    "GlobalConcurrencyLimit",
    "State",
    "StateDetails",
    "StateType",
    "TaskRun",
    "Variable",
]
