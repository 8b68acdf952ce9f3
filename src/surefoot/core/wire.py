"""What goes between the ledger, its clients and the outside: the resources of the API, as typed records.

Field names are those that HTTP clients of this field know (`state_type`, `start_time`, `total_run_time` ...), so the
CLI's JSON, the Python client and a server say the same. Ids are text; instants are `datetime` in UTC; durations are
seconds.
May import: core.states, msgspec.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from surefoot.core.states import FINAL, StateType

__all__ = [
    "Artifact",
    "ArtifactFilter",
    "Asset",
    "AssetCheck",
    "AssetEdge",
    "ConcurrencyLimit",
    "Deleted",
    "Explanation",
    "Flow",
    "FlowFilter",
    "FlowRun",
    "FlowRunFilter",
    "Limit",
    "LimitPlace",
    "Lineage",
    "Log",
    "LogFilter",
    "Materialization",
    "Page",
    "Request",
    "RunCounts",
    "RunResult",
    "State",
    "TaskInput",
    "TaskRun",
    "TaskRunFilter",
    "Variable",
    "VariableChange",
    "VariableFilter",
]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a run's history."""

    id: str
    type: StateType
    name: str
    timestamp: datetime
    message: str | None = None
    state_details: dict[str, Any] = {}  # flow_run_id, task_run_id, scheduled_time, cause, traceback, epoch, n, illegal

    def is_final(self) -> bool:
        """Whether it is the end of a run."""
        return self.type in FINAL

    def is_scheduled(self) -> bool:
        """Whether the type is SCHEDULED."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the type is PENDING."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the type is RUNNING."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the type is PAUSED."""
        return self.type is StateType.PAUSED

    def is_completed(self) -> bool:
        """Whether the type is COMPLETED."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """Whether the type is FAILED."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether the type is CRASHED."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the type is CANCELLED."""
        return self.type is StateType.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the type is CANCELLING."""
        return self.type is StateType.CANCELLING


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked of a run that had not ended; its owner answers with the states that follow."""

    kind: str  # "cancel"
    asked_by: str
    asked: datetime


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow: one record a name."""

    id: str
    name: str
    tags: list[str] = []
    labels: dict[str, Any] = {}
    created: datetime
    updated: datetime
    description: str | None = None
    run_count: int = 0  # flow runs recorded, those deleted because of their age too
    last_run: FlowRun | None = None


class FlowRun(msgspec.Struct, frozen=True, kw_only=True):
    """A flow run as it is now."""

    id: str
    name: str
    flow_id: str
    flow_name: str
    flow_version: str | None = None
    parameters: dict[str, Any] = {}
    tags: list[str] = []
    labels: dict[str, Any] = {}
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    state_id: str
    state_type: StateType
    state_name: str
    state: State
    reason: str | None = None  # why the run is as it is, in one line: "upload: connection refused (3 retries)"
    epoch: int = 0
    run_count: int = 0
    expected_start_time: datetime
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0
    created: datetime
    updated: datetime
    start: dict[str, Any] | None = None  # interpreter, file, module, qualname, cwd, argv
    writer_id: str | None = None
    request: Request | None = None  # what is asked of it, as long as it has not ended


class TaskInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where an input of a task run came from."""

    input_type: Literal["task_run"] = "task_run"
    id: str


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """A task run as it is now."""

    id: str
    name: str
    flow_run_id: str | None = None
    task_key: str
    task_name: str
    dynamic_key: str  # how-manieth call of the task in its flow run
    task_version: str | None = None
    tags: list[str] = []
    labels: dict[str, Any] = {}
    task_inputs: dict[str, list[TaskInput]] = {}
    parent_task_run_id: str | None = None
    map_id: str | None = None
    state_id: str
    state_type: StateType
    state_name: str
    state: State
    reason: str | None = None
    epoch: int = 0
    run_count: int = 0
    expected_start_time: datetime
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0
    created: datetime
    updated: datetime
    writer_id: str | None = None
    request: Request | None = None


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was logged or printed."""

    id: str  # "<writer>/<segment>/<offset>": where it stands in the journal; sorts with the timestamp
    name: str  # of the logger
    level: int
    message: str
    timestamp: datetime
    flow_run_id: str | None = None
    task_run_id: str | None = None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on how much goes on at once, or on how often something is done."""

    name: str
    limit: int  # how many slots there are, of each key; of a rate, how many may be taken at once
    rate: str | None = None  # of a limit on how often: "60/minute"
    slot_decay_per_second: float = 0.0  # the same as a number
    active: bool = True
    in_code: bool = False  # code declared it, and nobody has set it since
    active_slots: int = 0  # held, all keys together
    over_limit: int = 0  # held beyond what there is: by holders that were taken for dead, and came back
    holders: int = 0
    waiters: int = 0
    created: datetime
    updated: datetime


class ConcurrencyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The limit of a tag, as programs know it: so many tasks with it go on at once."""

    tag: str
    concurrency_limit: int
    active_slots: list[str] = []  # the ids of the task runs that hold them
    created: datetime
    updated: datetime


class LimitPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who holds slots of a limit, or waits for some."""

    limit: str
    key: str | None = None
    slots: int
    holder: str  # the name of a run, or what was passed
    run_id: str | None = None
    run_type: Literal["flow-run", "task-run"] | None = None
    priority: int = 0
    place: int | None = None  # in the line: 1 is next
    asked: datetime
    granted: datetime | None = None
    state: Literal["waiting", "held", "lost"]  # lost: nothing was heard of it, so it does not count
    lease_expires: datetime


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run made for people to look at. Those with one key are its versions."""

    id: str
    key: str | None = None
    type: str  # "markdown", "table", "link", "progress", "image", or a name of the user's own
    version: int | None = None  # of its key: the first is 1
    description: str | None = None
    data: Any = None  # a text or JSON; None in lists, of what is no text, and of what lies elsewhere
    media_type: str
    size: int  # bytes
    place: str | None = None  # the path or URL of its data, if that is large or no text
    flow_run_id: str | None = None
    task_run_id: str | None = None
    created: datetime
    updated: datetime


class AssetCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a check said of what was made."""

    name: str
    passed: bool
    severity: str  # "error", or "warn": then it stopped nothing
    message: str | None = None
    metadata: dict[str, Any] = {}


class Materialization(msgspec.Struct, frozen=True, kw_only=True):
    """One run that made an asset, or tried to."""

    asset: str
    outcome: str  # "completed", "failed", "cancelled", "crashed", "skipped", "rolled-back"; or "running", "staged"
    timestamp: datetime
    task_run_id: str
    task_run_name: str
    task_name: str
    flow_run_id: str | None = None
    epoch: int = 0
    by: str | None = None  # the tool that made it
    message: str | None = None  # why it is not completed
    metadata: dict[str, Any] = {}
    checks: list[AssetCheck] = []


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """Something that runs make, or rest on."""

    key: str
    name: str | None = None
    url: str | None = None
    description: str | None = None
    owners: list[str] = []
    created: datetime  # first heard of
    completed: datetime | None = None  # last made
    last: Materialization | None = None  # the newest, whatever became of it; None: no run here makes it


class AssetEdge(msgspec.Struct, frozen=True, kw_only=True):
    """That one asset rests on another."""

    asset: str
    upstream: str
    how: str  # "data": its values reached the run that makes the asset; or "declared"
    told: datetime
    current: bool  # by the flow run that made the asset last; else only by an earlier one


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset rests on, and what rests on it."""

    key: str
    assets: list[Asset]
    edges: list[AssetEdge]
    more: bool = False  # there are more than are told


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A value by a name, for all who share the ledger."""

    id: str
    name: str
    value: Any  # what JSON can say
    tags: list[str] = []
    created: datetime
    updated: datetime


class VariableChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a variable, once: who changed it from what to what."""

    variable: str
    number: int  # of the changes of this variable, from 1
    timestamp: datetime
    action: Literal["created", "changed", "removed"]
    before: Any = None  # null also where it was created, see `action`
    after: Any = None
    tags_before: list[str] | None = None
    tags_after: list[str] | None = None
    changed_by: str  # "ada@laptop"
    run_id: str | None = None  # of the run whose code did it
    run_name: str | None = None
    run_type: Literal["flow-run", "task-run"] | None = None


class FailedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One task run among those that failed alike."""

    id: str
    name: str
    item: int | None = None  # which item of the map it is for, the first being 0; None if it is not of a map


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Task runs of one task that failed alike: their messages differ in numbers, ids and quoted values only."""

    task_name: str
    state_name: str
    message: str  # with "…" for what differs
    count: int
    examples: list[FailedRun] = []  # the first few


class FailureGroups(msgspec.Struct, frozen=True, kw_only=True):
    """The failures in a flow run by what went wrong, most first."""

    groups: list[FailureGroup] = []
    rest: int = 0  # how many failed besides: a page has a limit


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is as it is: a sentence, the chain of causes, and what to type next."""

    run: FlowRun | TaskRun
    summary: str  # one sentence
    causes: list[str] = []  # from the run down to the root of the matter
    blocked: list[str] = []  # what did not run because of it
    do: list[str] = []  # commands to type
    traceback: str | None = None
    failures: FailureGroups = FailureGroups()  # of a flow run: what failed in it


class RunCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs are in each state, by state name."""

    by_name: dict[str, int] = {}
    total: int = 0


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """Where the value of a completed run is kept or stored. `surefoot.results.load_result` loads it."""

    run_id: str
    run_name: str
    run_type: Literal["flow-run", "task-run"]
    name: str  # of its flow or task
    flow_run_id: str | None = None
    place: str  # a pack, relative to the home ("results/..."), or the path of an object
    offset: int = 0
    length: int  # bytes
    serializer: str
    end_time: datetime | None = None
    stored_by: str | None = None  # the run that stored it, if it was taken from a cache


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """How much was deleted, or would be: the runs themselves, what they called, and all lines and artifacts."""

    flow_runs: int = 0
    task_runs: int = 0
    logs: int = 0
    artifacts: int = 0


T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list. `after` goes into the next call; None on the last page."""

    results: list[T]
    after: str | None = None
    behind: int = 0  # facts that were not folded in time: the answer is that much behind


class FlowFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which flows. Fields are AND-ed; None does not narrow."""

    name: list[str] | None = None
    name_like: str | None = None


class FlowRunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which flow runs. Fields are AND-ed, the values of a list OR-ed; None does not narrow."""

    id: list[str] | None = None
    name: list[str] | None = None
    name_like: str | None = None
    flow_name: list[str] | None = None
    state_type: list[StateType] | None = None
    state_name: list[str] | None = None
    tags: list[str] | None = None  # has all of these
    start_time_after: datetime | None = None
    start_time_before: datetime | None = None
    expected_start_time_before: datetime | None = None  # also those that never started
    parent_flow_run_id: list[str] | None = None
    is_root: bool | None = None  # True: not called by another flow


class TaskRunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which task runs. Fields are AND-ed, the values of a list OR-ed; None does not narrow."""

    id: list[str] | None = None
    name: list[str] | None = None
    name_like: str | None = None
    task_name: list[str] | None = None
    flow_run_id: list[str] | None = None
    state_type: list[StateType] | None = None
    state_name: list[str] | None = None
    tags: list[str] | None = None
    map_id: list[str] | None = None
    start_time_after: datetime | None = None
    start_time_before: datetime | None = None
    expected_start_time_before: datetime | None = None  # also those that never started


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines. `flow_run_id` includes the lines of the run's tasks and of the flows that it called."""

    flow_run_id: list[str] | None = None
    task_run_id: list[str] | None = None
    level_ge: int | None = None
    timestamp_after: datetime | None = None
    timestamp_before: datetime | None = None
    text: str | None = None


class ArtifactFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which artifacts. Fields are AND-ed, the values of a list OR-ed; None does not narrow."""

    id: list[str] | None = None
    key: list[str] | None = None
    type: list[str] | None = None
    flow_run_id: list[str] | None = None
    task_run_id: list[str] | None = None


class VariableFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which variables. Fields are AND-ed; None does not narrow."""

    name_like: str | None = None  # has this in it
    tags: list[str] | None = None  # has all of these


SortFlowRuns = Literal[
    "ID_DESC",
    "START_TIME_ASC",
    "START_TIME_DESC",
    "EXPECTED_START_TIME_ASC",
    "EXPECTED_START_TIME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC",
    "END_TIME_DESC",
    "NAME_ASC",
    "NAME_DESC",
]
SortTaskRuns = Literal[
    "ID_DESC",
    "EXPECTED_START_TIME_ASC",
    "EXPECTED_START_TIME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC",
    "END_TIME_DESC",
    "NAME_ASC",
    "NAME_DESC",
]
SortFlows = Literal["NAME_ASC", "NAME_DESC", "CREATED_DESC", "UPDATED_DESC"]
SortLogs = Literal["TIMESTAMP_ASC", "TIMESTAMP_DESC"]
