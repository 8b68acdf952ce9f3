"""Filters of runs, flows and lines, by the names that scripts use: conditions on fields, joined by "and" or "or".

Each tells whether a record fits. What the ledger can narrow down by itself is told by `narrowed`; the rest is looked at
record by record. May import: core, msgspec.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from surefoot.core import wire
from surefoot.core.errors import BadInput
from surefoot.core.states import StateType

__all__ = [
    "ArtifactFilter",
    "ArtifactFilterFlowRunId",
    "ArtifactFilterId",
    "ArtifactFilterKey",
    "ArtifactFilterTaskRunId",
    "ArtifactFilterType",
    "FlowFilter",
    "FlowFilterId",
    "FlowFilterName",
    "FlowFilterTags",
    "FlowRunFilter",
    "FlowRunFilterEndTime",
    "FlowRunFilterExpectedStartTime",
    "FlowRunFilterFlowVersion",
    "FlowRunFilterId",
    "FlowRunFilterName",
    "FlowRunFilterNextScheduledStartTime",
    "FlowRunFilterParentFlowRunId",
    "FlowRunFilterParentTaskRunId",
    "FlowRunFilterStartTime",
    "FlowRunFilterState",
    "FlowRunFilterStateName",
    "FlowRunFilterStateType",
    "FlowRunFilterTags",
    "LogFilter",
    "LogFilterFlowRunId",
    "LogFilterLevel",
    "LogFilterName",
    "LogFilterTaskRunId",
    "LogFilterTextSearch",
    "LogFilterTimestamp",
    "TaskRunFilter",
    "TaskRunFilterExpectedStartTime",
    "TaskRunFilterFlowRunId",
    "TaskRunFilterId",
    "TaskRunFilterName",
    "TaskRunFilterStartTime",
    "TaskRunFilterState",
    "TaskRunFilterStateName",
    "TaskRunFilterStateType",
    "TaskRunFilterTags",
    "checked",
]

Operator = Literal["and_", "or_"]
F = TypeVar("F", bound="_Group")


class FilterError(BadInput, ValueError):
    """A filter has a value that its condition does not take."""


class _Strict(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


# -- conditions on one field -------------------------------------------------------------------------------------------


class _Condition(_Strict):
    def fits(self, value: Any) -> bool:
        """Whether a field's value fits all that is said."""
        return True


class _OneOf(_Condition):
    """`any_`: it is one of these. `not_any_`: it is none of these. `is_null_`: there is none, or there is one."""

    any_: list[str] | None = None
    not_any_: list[str] | None = None
    is_null_: bool | None = None

    def fits(self, value: Any) -> bool:
        return (
            (self.any_ is None or value in self.any_)
            and (self.not_any_ is None or value not in self.not_any_)
            and (self.is_null_ is None or (value is None) is self.is_null_)
        )


class _Name(_Condition):
    """`any_`: it is one of these. `like_`: it has this in it, capital or not."""

    any_: list[str] | None = None
    like_: str | None = None

    def fits(self, value: Any) -> bool:
        return (self.any_ is None or value in self.any_) and (
            self.like_ is None or self.like_.casefold() in str(value).casefold()
        )


class _Key(_Name):
    """`exists_`: there is one, or there is none. `any_`, `like_`: as of names."""

    exists_: bool | None = None

    def fits(self, value: Any) -> bool:
        if self.exists_ is not None and (value is not None) is not self.exists_:
            return False
        return super().fits("" if value is None else value)


class _Type(_Condition):
    any_: list[StateType] | None = None
    not_any_: list[StateType] | None = None

    def fits(self, value: Any) -> bool:
        return (self.any_ is None or value in self.any_) and (self.not_any_ is None or value not in self.not_any_)


class _Tags(_Condition):
    """`all_`: it has all of these. `any_`: it has one of these. `is_null_`: it has none, or it has some."""

    all_: list[str] | None = None
    any_: list[str] | None = None
    is_null_: bool | None = None

    def fits(self, value: Any) -> bool:
        return (
            (self.all_ is None or set(self.all_) <= set(value))
            and (self.any_ is None or not set(self.any_).isdisjoint(value))
            and (self.is_null_ is None or (not value) is self.is_null_)
        )


class _Time(_Condition):
    """`before_`, `after_`: not later, not earlier than this. `is_null_`: there is none, or there is one."""

    before_: datetime | None = None
    after_: datetime | None = None
    is_null_: bool | None = None

    def fits(self, value: Any) -> bool:
        if value is None:
            return self.before_ is None and self.after_ is None and self.is_null_ is not False
        return (
            self.is_null_ is not True
            and (self.before_ is None or value <= _aware(self.before_))
            and (self.after_ is None or value >= _aware(self.after_))
        )


def _aware(when: datetime) -> datetime:
    return when.astimezone(UTC)  # one without a time zone is taken as local


class _Level(_Condition):
    """`ge_`, `le_`: at least, at most this level."""

    ge_: int | None = None
    le_: int | None = None

    def fits(self, value: Any) -> bool:
        return (self.ge_ is None or value >= self.ge_) and (self.le_ is None or value <= self.le_)


class _Search(_Condition):
    """`query`: it has this in it, capital or not."""

    query: str

    def fits(self, value: Any) -> bool:
        return self.query.casefold() in str(value).casefold()


class FlowFilterId(_OneOf):
    """On the id of flows."""


class FlowFilterName(_Name):
    """On the name of flows."""


class FlowFilterTags(_Tags):
    """On the tags of flows."""


class FlowRunFilterId(_OneOf):
    """On the id of flow runs."""


class FlowRunFilterName(_Name):
    """On the name of flow runs."""


class FlowRunFilterTags(_Tags):
    """On the tags of flow runs."""


class FlowRunFilterFlowVersion(_OneOf):
    """On the flow version of flow runs."""


class FlowRunFilterStateType(_Type):
    """On the state type of flow runs."""


class FlowRunFilterStateName(_OneOf):
    """On the state name of flow runs."""


class FlowRunFilterStartTime(_Time):
    """On the start time of flow runs."""


class FlowRunFilterEndTime(_Time):
    """On the end time of flow runs."""


class FlowRunFilterExpectedStartTime(_Time):
    """On the expected start time of flow runs."""


class FlowRunFilterNextScheduledStartTime(_Time):
    """On the next scheduled start time of flow runs."""


class FlowRunFilterParentFlowRunId(_OneOf):
    """On the parent flow run id of flow runs."""


class FlowRunFilterParentTaskRunId(_OneOf):
    """On the parent task run id of flow runs."""


class TaskRunFilterId(_OneOf):
    """On the id of task runs."""


class TaskRunFilterName(_Name):
    """On the name of task runs."""


class TaskRunFilterTags(_Tags):
    """On the tags of task runs."""


class TaskRunFilterFlowRunId(_OneOf):
    """On the flow run id of task runs."""


class TaskRunFilterStateType(_Type):
    """On the state type of task runs."""


class TaskRunFilterStateName(_OneOf):
    """On the state name of task runs."""


class TaskRunFilterStartTime(_Time):
    """On the start time of task runs."""


class TaskRunFilterExpectedStartTime(_Time):
    """On the expected start time of task runs."""


class ArtifactFilterId(_OneOf):
    """On the id of artifacts."""


class ArtifactFilterKey(_Key):
    """On the key of artifacts."""


class ArtifactFilterType(_OneOf):
    """On the type of artifacts."""


class ArtifactFilterFlowRunId(_OneOf):
    """On the flow run id of artifacts."""


class ArtifactFilterTaskRunId(_OneOf):
    """On the task run id of artifacts."""


class LogFilterName(_OneOf):
    """On the name of lines."""


class LogFilterLevel(_Level):
    """On the level of lines."""


class LogFilterTimestamp(_Time):
    """On the timestamp of lines."""


class LogFilterFlowRunId(_OneOf):
    """On the flow run id of lines."""


class LogFilterTaskRunId(_OneOf):
    """On the task run id of lines."""


class LogFilterTextSearch(_Search):
    """On the text search of lines."""


# -- conditions on several fields --------------------------------------------------------------------------------------


class _Group(_Strict):
    operator: Operator = "and_"

    _fields: ClassVar[dict[str, str]] = {}  # what a condition looks at, where that is called otherwise

    def fits(self, record: Any) -> bool:
        """Whether a record fits: all conditions, or with "or_" one of them. Without conditions each does."""
        found = [
            condition.fits(record if isinstance(condition, _Group) else getattr(record, self._fields.get(name, name)))
            for name in self.__struct_fields__
            if name != "operator" and (condition := getattr(self, name)) is not None
        ]
        return not found or (all(found) if self.operator == "and_" else any(found))

    def _given(self, *path: str) -> Any:
        """What a condition says, for the ledger to narrow down by; None if it says nothing, or others may do."""
        at: Any = self
        for name in path:
            if at is None or (isinstance(at, _Group) and at.operator == "or_"):
                return None
            at = getattr(at, name)
        return at


class FlowFilter(_Group):
    """Which flows."""

    id: FlowFilterId | None = None
    name: FlowFilterName | None = None
    tags: FlowFilterTags | None = None

    def narrowed(self) -> wire.FlowFilter:
        """What the ledger can look for."""
        return wire.FlowFilter(name=self._given("name", "any_"), name_like=self._given("name", "like_"))


class FlowRunFilterState(_Group):
    """On the state that flow runs are in."""

    type: FlowRunFilterStateType | None = None
    name: FlowRunFilterStateName | None = None

    _fields = {"type": "state_type", "name": "state_name"}


class FlowRunFilter(_Group):
    """Which flow runs."""

    id: FlowRunFilterId | None = None
    name: FlowRunFilterName | None = None
    tags: FlowRunFilterTags | None = None
    state: FlowRunFilterState | None = None
    flow_version: FlowRunFilterFlowVersion | None = None
    start_time: FlowRunFilterStartTime | None = None
    end_time: FlowRunFilterEndTime | None = None
    expected_start_time: FlowRunFilterExpectedStartTime | None = None
    next_scheduled_start_time: FlowRunFilterNextScheduledStartTime | None = None
    parent_flow_run_id: FlowRunFilterParentFlowRunId | None = None
    parent_task_run_id: FlowRunFilterParentTaskRunId | None = None

    def narrowed(self) -> wire.FlowRunFilter:
        """What the ledger can look for."""
        return wire.FlowRunFilter(
            id=self._given("id", "any_"),
            name=self._given("name", "any_"),
            name_like=self._given("name", "like_"),
            tags=self._given("tags", "all_"),
            state_type=self._given("state", "type", "any_"),
            state_name=self._given("state", "name", "any_"),
            start_time_after=self._given("start_time", "after_"),
            start_time_before=self._given("start_time", "before_"),
            expected_start_time_before=self._given("expected_start_time", "before_"),
            parent_flow_run_id=self._given("parent_flow_run_id", "any_"),
            is_root=self._given("parent_flow_run_id", "is_null_"),
        )


class TaskRunFilterState(_Group):
    """On the state that task runs are in."""

    type: TaskRunFilterStateType | None = None
    name: TaskRunFilterStateName | None = None

    _fields = {"type": "state_type", "name": "state_name"}


class TaskRunFilter(_Group):
    """Which task runs."""

    id: TaskRunFilterId | None = None
    name: TaskRunFilterName | None = None
    tags: TaskRunFilterTags | None = None
    state: TaskRunFilterState | None = None
    start_time: TaskRunFilterStartTime | None = None
    expected_start_time: TaskRunFilterExpectedStartTime | None = None
    flow_run_id: TaskRunFilterFlowRunId | None = None

    def narrowed(self) -> wire.TaskRunFilter:
        """What the ledger can look for."""
        return wire.TaskRunFilter(
            id=self._given("id", "any_"),
            name=self._given("name", "any_"),
            name_like=self._given("name", "like_"),
            flow_run_id=self._given("flow_run_id", "any_"),
            tags=self._given("tags", "all_"),
            state_type=self._given("state", "type", "any_"),
            state_name=self._given("state", "name", "any_"),
            start_time_after=self._given("start_time", "after_"),
            start_time_before=self._given("start_time", "before_"),
            expected_start_time_before=self._given("expected_start_time", "before_"),
        )


class LogFilter(_Group):
    """Which lines."""

    name: LogFilterName | None = None
    level: LogFilterLevel | None = None
    timestamp: LogFilterTimestamp | None = None
    flow_run_id: LogFilterFlowRunId | None = None
    task_run_id: LogFilterTaskRunId | None = None
    text: LogFilterTextSearch | None = None

    _fields = {"text": "message"}

    def narrowed(self) -> wire.LogFilter:
        """What the ledger can look for."""
        return wire.LogFilter(
            flow_run_id=self._given("flow_run_id", "any_"),
            task_run_id=self._given("task_run_id", "any_"),
            level_ge=self._given("level", "ge_"),
            timestamp_after=self._given("timestamp", "after_"),
            timestamp_before=self._given("timestamp", "before_"),
        )


class ArtifactFilter(_Group):
    """Which artifacts."""

    id: ArtifactFilterId | None = None
    key: ArtifactFilterKey | None = None
    type: ArtifactFilterType | None = None
    flow_run_id: ArtifactFilterFlowRunId | None = None
    task_run_id: ArtifactFilterTaskRunId | None = None

    def narrowed(self) -> wire.ArtifactFilter:
        """What the ledger can look for."""
        return wire.ArtifactFilter(
            id=self._given("id", "any_"),
            key=self._given("key", "any_"),
            type=self._given("type", "any_"),
            flow_run_id=self._given("flow_run_id", "any_"),
            task_run_id=self._given("task_run_id", "any_"),
        )


def checked(given: F | dict[str, Any] | None, kind: type[F]) -> F:
    """A filter, or a dict of the same shape, with each value of the type that it is to have. None lets all through.

    Raises ValueError that names the value which is not.
    """
    if given is None:
        return kind()
    if not isinstance(given, (kind, dict)):
        raise FilterError(f"A filter is of type {type(given).__name__}.", do=f"Pass a {kind.__name__}, or a dict.")
    try:
        return msgspec.convert(msgspec.to_builtins(given), kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise FilterError(
            f"{kind.__name__} cannot be used: {error}.", do="Give each condition what it takes."
        ) from None
