"""Runs as hooks and user code see them: `FlowRun` and `TaskRun`, live views of a run that this process executes.

May import: core, states.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from surefoot.core.cards import card, state_mark
from surefoot.core.ids import to_uuid
from surefoot.states import State, StateType

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["FlowRun", "Run", "TaskRun"]


class Run:
    """A run that this process executes, as it is at the moment it is asked."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    @property
    def id(self) -> UUID:
        """The run's id."""
        return to_uuid(self._execution.run_id)

    @property
    def name(self) -> str:
        """The run's name."""
        return self._execution.run_name

    @property
    def state(self) -> State:
        """The run's state."""
        return self._execution.state

    @property
    def state_type(self) -> StateType:
        """The type of the run's state."""
        return self._execution.state.type

    @property
    def state_name(self) -> str:
        """The name of the run's state."""
        return self._execution.state.name

    @property
    def run_count(self) -> int:
        """How often the function has been called in this run: 1 at the first attempt."""
        return self._execution.run_count

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the call."""
        return self._execution.parameters()

    @property
    def tags(self) -> set[str]:
        """The run's tags."""
        return set(self._execution.tags)

    @property
    def start_time(self) -> datetime | None:
        """When the function was first called (UTC)."""
        start_us = self._execution.start_us
        return None if start_us is None else datetime.fromtimestamp(start_us / 1e6, UTC)

    @property
    def end_time(self) -> datetime | None:
        """When the run ended (UTC)."""
        state = self._execution.state
        return state.timestamp if state.is_final() else None

    @property
    def total_run_time(self) -> float:
        """Seconds that the function ran, all attempts together."""
        return self._execution.ran_us / 1e6

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state_name}>"

    def _repr_html_(self) -> str:
        started = self.start_time
        facts = {
            "Message": self.state.message,
            "Id": str(self.id),
            "Started": None if started is None else f"{started:%Y-%m-%d %H:%M:%S} UTC",
            "Tags": ", ".join(sorted(self.tags)),
        }
        execution = self._execution
        kind = "Task" if execution.is_task else "Flow"
        title = f"{kind} run {self.name} of {execution.definition.name}"
        return card(title, [state_mark(self.state_type, self.state_name)], facts)


class FlowRun(Run):
    """A flow run that this process executes."""

    __slots__ = ()

    @property
    def flow_name(self) -> str:
        """The name of the flow."""
        return self._execution.definition.name


class TaskRun(Run):
    """A task run that this process executes."""

    __slots__ = ()

    @property
    def task_name(self) -> str:
        """The name of the task."""
        return self._execution.definition.name

    @property
    def flow_run_id(self) -> UUID | None:
        """The id of the flow run that it belongs to; None outside of any."""
        flow = self._execution.flow
        return None if flow is None else to_uuid(flow.run_id)
