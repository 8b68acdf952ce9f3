"""What users import from `client.schemas.objects`, mostly to annotate hooks: states, and runs as hooks are given them.

    from surefoot.client.schemas.objects import FlowRun, State

A door; the things themselves live elsewhere.
"""

from __future__ import annotations

from surefoot.core.state_details import StateDetails
from surefoot.engine.runs import FlowRun, TaskRun
from surefoot.states import State, StateType

__all__ = ["FlowRun", "State", "StateDetails", "StateType", "TaskRun"]
