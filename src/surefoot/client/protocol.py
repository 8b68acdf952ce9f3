"""What every client can be asked, whichever way it reaches the ledger: straight on the home's file, or over HTTP.

One protocol, so that the CLI, tests and user code do not know which it is. A list call takes `after` from the page
before and costs the same on page 1 and 1,000. May import: core.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from surefoot.core.wire import (
    Artifact,
    ArtifactFilter,
    Asset,
    Deleted,
    Explanation,
    FailureGroups,
    Flow,
    FlowFilter,
    FlowRun,
    FlowRunFilter,
    Limit,
    LimitPlace,
    Lineage,
    Log,
    LogFilter,
    Materialization,
    Page,
    Request,
    RunCounts,
    RunResult,
    SortFlowRuns,
    SortFlows,
    SortLogs,
    SortTaskRuns,
    State,
    TaskRun,
    TaskRunFilter,
    Variable,
    VariableChange,
    VariableFilter,
)

__all__ = ["Client"]


class Client(Protocol):
    """Reads what is recorded, deletes it, and asks things of runs.

    All first take in what had been written before they were asked.
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

    def failures(self, flow_run_id: str) -> FailureGroups:
        """What failed in a flow run, by what went wrong."""
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

    def results(self, flow_run_id: str, *, limit: int = 200, after: str | None = None) -> Page[RunResult]:
        """A page of the results of a flow run and its task runs that are kept or stored; the flow run's own first."""
        ...

    def find_result(self, reference: str) -> RunResult:
        """Where the result of the run is that goes by `reference`. Raises as `find_run`.

        Raises MissingResult, which says why, if it is neither kept nor stored.
        """
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

    def count_below(self, flow_run_ids: Sequence[str] = (), task_run_ids: Sequence[str] = ()) -> Deleted:
        """What the deletion of these runs would take with it: themselves, what they called, lines, artifacts."""
        ...

    def delete_flow_runs(self, ids: Sequence[str]) -> Deleted:
        """Delete flow runs, with their task runs, the flow runs that they called, lines, and results kept for resuming.

        Nothing brings them back. Raises NotFound for one that is not there, and Refused for one that has not ended, or
        below which something has not; then nothing is deleted.
        """
        ...

    def delete_task_runs(self, ids: Sequence[str]) -> Deleted:
        """Delete task runs, with what they called and their lines. Raises as `delete_flow_runs`."""
        ...

    def artifacts(
        self,
        where: ArtifactFilter | None = None,
        *,
        latest: bool = False,
        limit: int = 200,
        after: str | None = None,
    ) -> Page[Artifact]:
        """A page of artifacts, the newest first; with `latest` the newest of each key, by key."""
        ...

    def find_artifact(self, reference: str, version: int | None = None) -> Artifact:
        """The artifact that goes by a key (its newest version, or that one), an id, or a prefix of one, with its data.

        Raises NotFound, or Ambiguous for a prefix of several ids.
        """
        ...

    def artifact_content(self, artifact_id: str) -> bytes:
        """The data of an artifact, wherever it lies. Raises NotFound, and MissingResult if its data is gone."""
        ...

    def delete_artifacts(self, ids: Sequence[str]) -> int:
        """Delete artifacts with their data, for good. How many there were; what is not there is passed over."""
        ...

    def limits(self, *, limit: int = 200, after: str | None = None) -> Page[Limit]:
        """A page of limits, by name."""
        ...

    def find_limit(self, name: str) -> Limit:
        """The limit of that name. Raises NotFound."""
        ...

    def limit_places(
        self, name: str, *, waiting: bool = False, limit: int = 200, after: str | None = None
    ) -> Page[LimitPlace]:
        """A page of those who hold slots of a limit, or of those who wait for some, the next first. Raises NotFound."""
        ...

    def set_limit(
        self,
        name: str,
        slots: int | None = None,
        *,
        interval_us: int | None = None,
        active: bool | None = None,
        new: bool = False,
        keeps_rate: bool = False,
    ) -> Limit:
        """Make a limit, or change it. What is left out stays as it is.

        Args:
            name: which.
            slots: how many there are.
            interval_us: of a limit on how often: after how many microseconds one more may; with `slots`.
            active: False: it limits nothing until it is set active again.
            new: whether one that is there is an error, AlreadyExists.
            keeps_rate: whether one that is there, and is one on how often, keeps its interval.

        Raises NotFound for one that is not there, if no slots are told.
        """
        ...

    def delete_limit(self, name: str) -> None:
        """Delete a limit. Whoever waits for it goes on. Raises NotFound."""
        ...

    def assets(self, *, like: str | None = None, limit: int = 200, after: str | None = None) -> Page[Asset]:
        """A page of assets, by key; `like`: those whose key contains this."""
        ...

    def find_asset(self, reference: str) -> Asset:
        """The asset of that key, or the only one whose key contains it. Raises NotFound and Ambiguous."""
        ...

    def materializations(self, reference: str, *, limit: int = 200, after: str | None = None) -> Page[Materialization]:
        """A page of the runs that made an asset, or tried to, the newest first. Raises as `find_asset`."""
        ...

    def lineage(
        self, reference: str, *, up: int | None = None, down: int | None = None, earlier: bool = False
    ) -> Lineage:
        """What an asset rests on, and what rests on it. Raises as `find_asset`.

        Args:
            reference: the asset.
            up: how many steps are followed up; None: all.
            down: the same down.
            earlier: also what only flow runs before the last that made an asset told.
        """
        ...

    def delete_asset(self, key: str) -> None:
        """Delete what is recorded of an asset, not what it names. Raises NotFound unless that is a whole key."""
        ...

    def variables(
        self, where: VariableFilter | None = None, *, limit: int = 200, after: str | None = None
    ) -> Page[Variable]:
        """A page of variables, by name."""
        ...

    def find_variable(self, name: str) -> Variable:
        """The variable of that name. Raises NotFound, which names the nearest that there is."""
        ...

    def variable_changes(self, name: str, *, limit: int = 200, after: str | None = None) -> Page[VariableChange]:
        """A page of what became of a variable, the newest first, also of one that was removed. Raises NotFound."""
        ...

    def set_variable(
        self, name: str, value: Any, *, tags: Collection[str] | None = None, overwrite: bool = False
    ) -> Variable:
        """Set a variable. What is left out stays as it is.

        Raises AlreadyExists if it is there and may not be overwritten, and BadInput for a name, a value or a tag that
        cannot be.
        """
        ...

    def unset_variable(self, name: str) -> bool:
        """Remove a variable. False if it is not there."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
