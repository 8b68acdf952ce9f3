"""The run that code is in. May import: core, engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from surefoot.core.errors import MissingContextError
from surefoot.core.settings import Settings, refresh
from surefoot.engine.scope import current, tags, tags_in_force

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = [
    "FlowRunContext",
    "SettingsContext",
    "TagsContext",
    "TaskRunContext",
    "get_run_context",
    "hydrated_context",
    "serialize_context",
    "tags",
]


class FlowRunContext:
    """The flow run that code is in: `.flow`, `.flow_run`, `.parameters`."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.flow = execution.definition
        self.flow_run = execution.run

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the flow run."""
        return self.flow_run.parameters

    @classmethod
    def get(cls) -> FlowRunContext | None:
        """The context here; None outside of flows."""
        execution = current()
        flow = None if execution is None else execution.flow
        return None if flow is None else cls(flow)

    def __repr__(self) -> str:
        return f"<FlowRunContext of {self.execution.run_name!r}>"


class TaskRunContext:
    """The task run that code is in: `.task`, `.task_run`, `.parameters`."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.task = execution.definition
        self.task_run = execution.run

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the task run."""
        return self.task_run.parameters

    @classmethod
    def get(cls) -> TaskRunContext | None:
        """The context here; None outside of tasks."""
        execution = current()
        return cls(execution) if execution is not None and execution.is_task else None

    def __repr__(self) -> str:
        return f"<TaskRunContext of {self.execution.run_name!r}>"


class TagsContext:
    """The tags in force here: `.current_tags`."""

    def __init__(self, current_tags: set[str]) -> None:
        self.current_tags = current_tags

    @classmethod
    def get(cls) -> TagsContext:
        """The context here; without tags outside of `tags(...)`."""
        return cls(set(tags_in_force()))

    def __repr__(self) -> str:
        return f"<TagsContext {sorted(self.current_tags)}>"


class SettingsContext:
    """The settings in force here: `.settings`, and the name of the `.profile` that they are from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.profile = settings.profile

    @classmethod
    def get(cls) -> SettingsContext:
        """The context here."""
        return cls(refresh())

    def __repr__(self) -> str:
        return f"<SettingsContext of profile {self.profile!r}>"


def get_run_context() -> FlowRunContext | TaskRunContext:
    """The context of the innermost run. Raises MissingContextError outside of runs."""
    context = TaskRunContext.get() or FlowRunContext.get()
    if context is None:
        raise MissingContextError(
            "get_run_context() was called outside of a flow or task run.", do="Call it inside one."
        )
    return context


def serialize_context() -> dict[str, Any]:
    """The run that this is called in, its tags and its settings, to be taken along to another process or thread.

    It can be pickled, and is read by `hydrated_context`. Outside of runs there are tags and settings alone. Where a
    process pool of your own is used, pass it with the call:

        pool.submit(work, serialize_context(), item)
    """
    from surefoot.engine.carrying import written_down

    return written_down()


@contextmanager
def hydrated_context(serialized_context: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Be in the run that `serialize_context` was called in, for the length of a `with`.

    What is logged in it is kept with that run, in the home of the settings that come along; tasks and flows that are
    called in it are part of that run, and what is submitted is waited for at the end. The value of the `with` is the
    TaskRunContext or FlowRunContext; None outside of runs. With None nothing is changed.

        def work(context, item):
            with hydrated_context(context):
                get_run_logger().info("at %s", item)

    Raises ValueError for what is no context, or one of another version of Surefoot.
    """
    if serialized_context is None:
        yield None
        return
    from surefoot.engine.carrying import carried

    with carried(serialized_context):
        yield TaskRunContext.get() or FlowRunContext.get()
