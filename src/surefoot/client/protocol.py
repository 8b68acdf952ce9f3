"""What every client can be asked, whichever way it reaches the ledger: straight on the home's file, or over HTTP.

One protocol, so that the CLI, tests and user code do not know which it is. A list call takes `after` from the page
before and costs the same on page 1 and 1,000. May import: core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from surefoot.core.wire import (
    Explanation,
    Flow,
    FlowFilter,
    FlowRun,
    FlowRunFilter,
    Log,
    LogFilter,
    Page,
    Request,
    RunCounts,
    SortFlowRuns,
    SortFlows,
    SortLogs,
    SortTaskRuns,
    State,
    TaskRun,
    TaskRunFilter,
)

__all__ = ["Client"]


class Client(Protocol):
    """Reads what is recorded, and asks things of runs.

    Every read first takes in what had been written before it was asked.
    """

    @property
    def behind(self) -> int:
        """How many facts, recorded before it was asked, the last answer did not know of."""
        ...

    @property
    def troubles(self) -> Sequence[str]:
        """What could not be read so far of what was recorded (damage, a newer format), a sentence each."""
        ...

    def flows(
        self,
        where: FlowFilter | None = None,
        *,
        sort: SortFlows = "NAME_ASC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Flow]:
        """A page of flows."""
        ...

    def flow_runs(
        self,
        where: FlowRunFilter | None = None,
        *,
        sort: SortFlowRuns = "ID_DESC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[FlowRun]:
        """A page of flow runs."""
        ...

    def task_runs(
        self,
        where: TaskRunFilter | None = None,
        *,
        sort: SortTaskRuns = "ID_DESC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[TaskRun]:
        """A page of task runs."""
        ...

    def logs(
        self,
        where: LogFilter | None = None,
        *,
        sort: SortLogs = "TIMESTAMP_ASC",
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Log]:
        """A page of lines. Lines of one writer keep the order in which they were written."""
        ...

    def states(self, run_id: str) -> Sequence[State]:
        """The whole history of a flow run or task run, oldest first, every epoch."""
        ...

    def task_run_counts(self, where: TaskRunFilter) -> RunCounts:
        """How many task runs are in each state."""
        ...

    def find_flow_run(self, reference: str) -> FlowRun:
        """The flow run that goes by an id, a prefix of one (4 characters or more), or a name.

        A name that several runs bear means the newest. Raises NotFound, or Ambiguous for a prefix of several ids.
        """
        ...

    def find_task_run(self, reference: str) -> TaskRun:
        """The task run that goes by an id, a prefix of one, or a name. Raises as `find_flow_run`."""
        ...

    def find_run(self, reference: str) -> FlowRun | TaskRun:
        """The flow run or task run that goes by `reference`; a flow run is looked for first."""
        ...

    def why(self, reference: str) -> Explanation:
        """Why a run is as it is."""
        ...

    def cancel_flow_run(self, run_id: str) -> Request:
        """Ask a flow run to stop, and all that it started. Returns at once; its states tell what came of it.

        Raises Refused if it has ended, and NotFound.
        """
        ...

    def cancel_task_run(self, run_id: str) -> Request:
        """Ask one task run to stop. Raises as `cancel_flow_run`."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
