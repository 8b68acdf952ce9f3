"""What users import from `client.schemas`: states and runs. A door; the things themselves live elsewhere."""

from __future__ import annotations

from surefoot.client.schemas.objects import FlowRun, State, StateDetails, StateType, TaskRun

__all__ = ["FlowRun", "State", "StateDetails", "StateType", "TaskRun"]
