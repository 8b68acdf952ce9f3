"""Carrying: the run that code is in, with its tags and settings, written down so that code elsewhere can be in it too:
in another process, or a thread of the user's own.

There it logs for the run, and what it calls is part of it; the run itself is lived where it was. May import: core,
child, messages, pickling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from surefoot.core import settings as core_settings
from surefoot.core.errors import BadInput, MissingContextError
from surefoot.engine import scope, spans
from surefoot.engine.blocking import perform
from surefoot.engine.child import blank, borrowed_flow
from surefoot.engine.effects import Finish
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.messages import FlowTold
from surefoot.engine.pickling import dumps, loads, pickled_definition
from surefoot.engine.session import Session, session
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.telling import stop_on_the_way_out
from surefoot.results.asking import Persistence

__all__ = ["carried", "written_down"]

_FORMAT: Final = 2


class ContextFormatError(BadInput, ValueError):
    """What was to be taken over is not what `serialize_context` gave, or another version of Surefoot gave it."""


class _TaskTold(msgspec.Struct, array_like=True):
    """The task run that code is in."""

    run_id: bytes
    run_name: str
    task_key: str
    index: int
    depth: int
    epoch: int
    run_count: int
    start_us: int | None
    tags: tuple[str, ...]
    log_prints: bool
    definition: bytes
    arguments: bytes | None  # None: they cannot be sent
    trace: dict[str, str] | None


class _Told(msgspec.Struct, array_like=True):
    settings: bytes
    tags: tuple[str, ...]
    flow: FlowTold | None
    task: _TaskTold | None


class _CarriedTask(TaskExecution):
    """Stands for a task run that is lived elsewhere."""

    __slots__ = ("_are_unsent",)

    _are_unsent: bool

    def parameters(self) -> dict[str, Any]:
        if self._are_unsent:
            raise MissingContextError(
                f"The arguments of task run {self.run_name!r} cannot be sent to another process.",
                do="Take along what is needed of them by yourself.",
            )
        return super().parameters()


def written_down() -> dict[str, Any]:
    """What of the context here others can be in: plain values and bytes."""
    execution = scope.current()
    flow = None if execution is None else execution.flow
    told = _Told(
        dumps(core_settings.refresh() if execution is None else execution.session.settings),
        tuple(sorted(scope.tags_in_force())),
        None if flow is None else _flow_told(flow),
        _task_told(execution) if isinstance(execution, TaskExecution) else None,
    )
    return {"format": _FORMAT, "context": msgspec.msgpack.encode(told)}


def _sendable(value: object) -> bytes | None:
    try:
        return dumps(value)
    except Exception:  # whoever asks for it there is told
        return None


def _flow_told(flow: FlowExecution) -> FlowTold:
    told = FlowTold.of(flow, _sendable(flow.parameters()), _sendable(flow.persistence))
    # Nothing is found again there: for that, calls would have to be counted in one place.
    return replace(told, kept_for=None, is_resumed=False, has_keys=False)


def _task_told(task: TaskExecution) -> _TaskTold:
    return _TaskTold(
        task.run_id,
        task.run_name,
        task.task_key,
        task.index,
        task.depth,
        task.epoch,
        task.run_count,
        task.start_us,
        tuple(task.tags),
        task.log_prints,
        pickled_definition(task.definition),
        _sendable((task.args, task.kwargs)),
        spans.carried(task),
    )


@contextmanager
def carried(written: Mapping[str, Any]) -> Iterator[Execution | None]:
    """Be in that context. At the end, what was submitted in it is waited for."""
    told = _read(written)
    with core_settings.settings_in_force(loads(told.settings)):
        found = session()
        flow = None if told.flow is None else borrowed_flow(told.flow, found)
        execution: Execution | None = flow if told.task is None else _task(told.task, flow, found)
        names = frozenset(told.tags)
        if execution is not None:
            execution.context.run(scope.adopt, execution, names)
        with scope.being_in(execution, names):
            broken: BaseException | None = None
            try:
                yield execution
            except BaseException as error:
                broken = error
                raise
            finally:
                if flow is not None and flow.pool is not None:
                    perform[Finish](flow, Finish(stop_on_the_way_out(broken)))


def _read(written: Mapping[str, Any]) -> _Told:
    try:
        if written["format"] == _FORMAT:
            return msgspec.msgpack.decode(written["context"], type=_Told)
        why = "of another version of Surefoot"
    except (KeyError, TypeError, msgspec.MsgspecError):
        why = f"a {type(written).__name__} of something else"
    raise ContextFormatError(
        f"What was given to hydrated_context() is no context that can be read here: it is {why}.",
        do="Pass what serialize_context() of the same version gave.",
    )


def _task(told: _TaskTold, flow: FlowExecution | None, found: Session) -> TaskExecution:
    task: _CarriedTask = blank(_CarriedTask)
    task._are_unsent = told.arguments is None
    if told.arguments is not None:
        task.args, task.kwargs = loads(told.arguments)
    task.definition = loads(told.definition)
    task.parent = task.flow = flow
    task.session = found
    task.run_id, task.run_name, task.epoch = told.run_id, told.run_name, told.epoch
    task.task_key, task.index = told.task_key, told.index
    task.depth, task.run_count, task.start_us = told.depth, told.run_count, told.start_us
    task.tags, task.log_prints = frozenset(told.tags), told.log_prints
    around = Persistence.by_default(found.settings) if flow is None else flow.persistence
    task.persistence = task.definition.asks.in_force(around, found.settings, is_task=True)
    task.place = 0
    task.context = Context()
    if told.trace is not None:
        task.context.run(spans.adopt, task, told.trace)
    return task
