"""What an owner and its child processes say to each other: one hello, then calls and replies in turn.

The parts that the child's own code never needs (pickled definitions, arguments, values) are bytes within.
May import: core, execution.
"""

from __future__ import annotations

import pickle
from typing import Any, Final, NamedTuple

import msgspec

from surefoot.core.errors import SurefootError
from surefoot.engine import scope, spans
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.resuming import RunsTold
from surefoot.engine.task_execution import TaskExecution

__all__ = [
    "BEGUN",
    "COUNTED",
    "NOTED",
    "RAISED",
    "READY",
    "RETURNED",
    "STOPPED",
    "TIMED_OUT",
    "CallTold",
    "FlowTold",
    "Hello",
    "Note",
    "RemoteTraceback",
    "Within",
    "read_call",
    "tied",
    "write_call",
]

# The first byte of a reply.
READY: Final = b"i"  # sent once, before all else, by a child that has called its initializer
BEGUN: Final = b"b"  # sent first if there is a time limit, which counts from here
COUNTED: Final = b"c"  # then the counts of keys, if the run may be tried again
NOTED: Final = b"n"  # then what it tells of assets, if it does
RETURNED: Final = b"r"
RAISED: Final = b"e"
TIMED_OUT: Final = b"t"
STOPPED: Final = b"s"


class FlowTold(msgspec.Struct, array_like=True, gc=False):
    """The flow run that all calls belong to."""

    run_id: bytes
    run_name: str
    flow_name: str
    flow_version: str | None
    epoch: int
    tags: tuple[str, ...]
    log_prints: bool
    start_us: int | None
    parameters: bytes | None  # None: they cannot be sent
    persistence: bytes | None  # what counts for the results of runs within; None: it cannot be sent
    kept_for: bytes | None  # the outermost flow run, whose results are kept for resuming; None: they are not
    is_resumed: bool
    has_keys: bool  # the runs in it are found again by their keys
    version: str | None  # of its code, where the flow names none
    parent_id: bytes | None  # the flow run that it is part of
    root_id: bytes  # the outermost one
    run_count: int

    @classmethod
    def of(cls, flow: FlowExecution, parameters: bytes | None, persistence: bytes | None) -> FlowTold:
        """What a child is to know of a flow run."""
        definition = flow.definition
        return cls(
            flow.run_id,
            flow.run_name,
            definition.name,
            definition.version,
            flow.epoch,
            tuple(flow.tags),
            flow.log_prints,
            flow.start_us,
            parameters,
            persistence,
            None if flow.keeper is None else flow.keeper.flow_run_id,
            flow.resuming is not None,
            flow.keys is not None,
            flow.version,
            flow.parent_id,
            flow.root_id,
            flow.run_count,
        )


class Hello(msgspec.Struct, array_like=True, gc=False):
    """What a child is told first: to be as its owner is."""

    path: list[str]
    argv: list[str]
    cwd: str
    environment: dict[str, str]
    main: str | None  # what the owner's `__main__` is called when it is imported
    scripts: list[str]
    settings: bytes
    flow: FlowTold | None  # None: the task is called outside of any
    initializer: bytes | None


class CallTold(msgspec.Struct, array_like=True, gc=False):
    """One call of a task."""

    number: int  # of its definition; 0: it is not to be kept
    definition: bytes | None  # None: the child has it
    run_id: bytes
    run_name: str
    task_key: str
    index: int
    depth: int
    epoch: int
    run_count: int
    start_us: int | None
    tags: tuple[str, ...]
    tags_in_force: tuple[str, ...]
    log_prints: bool
    timeout_s: float | None
    may_repeat: bool  # it has attempts left
    resumes: bytes | None = None  # `Within`, where there is something to say
    trace: dict[str, str] | None = None  # the span of the run, where there is one
    memory_bytes: int | None = None  # how much the child may hold
    behind: tuple[str, ...] = ()  # keys of the assets that its inputs come from
    flow_run_count: int = 1  # how often its flow has been called in its run

    @classmethod
    def of(
        cls,
        execution: TaskExecution,
        timeout_s: float | None,
        number: int,
        definition: bytes | None,
        within: Within | None,
        memory_bytes: int | None = None,
    ) -> CallTold:
        """What a child is to know of a task run."""
        attempts = execution.definition.rules(execution.session.settings).attempts
        return cls(
            number,
            definition,
            execution.run_id,
            execution.run_name,
            execution.task_key,
            execution.index,
            execution.depth,
            execution.epoch,
            execution.run_count,
            execution.start_us,
            tuple(execution.tags),
            tuple(scope.tags_in(execution.context)),
            execution.log_prints,
            timeout_s,
            execution.attempt < attempts,
            None if within is None else pickle.dumps(tuple(within), pickle.HIGHEST_PROTOCOL),
            spans.carried(execution),
            memory_bytes,
            _assets_behind(execution),
            1 if execution.flow is None else execution.flow.run_count,
        )


def _assets_behind(execution: TaskExecution) -> tuple[str, ...]:
    lineage = None if execution.flow is None else execution.flow.lineage
    return () if lineage is None else tuple(lineage.upstream(execution))


class Within(NamedTuple):
    """What a child is to know for the keys of runs within a task run."""

    counts: dict[bytes, int]  # of keys, from earlier attempts
    runs: RunsTold  # as earlier epochs left them
    # Arguments that are another run's result: position or name, run, and the epoch that made it, if an earlier one did.
    linked: list[tuple[int | str, bytes, int | None]]


class Note(msgspec.Struct, array_like=True, gc=False):
    """Down the lifeline: stop, for this reason."""

    why: str
    asked: bool


_encoder: Final = msgspec.msgpack.Encoder()
_call_decoder: Final = msgspec.msgpack.Decoder(CallTold)


def write_call(told: CallTold) -> tuple[bytes, bytes]:
    """A call as the first two parts of a message; the pickled arguments are the third."""
    head = _encoder.encode(told)
    return len(head).to_bytes(4, "big"), head


def read_call(message: bytes | bytearray) -> tuple[CallTold, memoryview]:
    """A call, and its pickled arguments."""
    view = memoryview(message)
    end = 4 + int.from_bytes(view[:4], "big")
    return _call_decoder.decode(view[4:end]), view[end:]


class RemoteTraceback(Exception):
    """Stands in as the cause of an exception that came from another process, and shows where it was raised there."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n{self.text}"


def tied(error: Exception) -> Exception:
    """An exception that came from a child, with where it was raised there as its cause."""
    text: Any = getattr(error, "__surefoot_traceback__", None)
    if isinstance(text, str) and error.__cause__ is None and not isinstance(error, SurefootError):
        error.__cause__ = RemoteTraceback(text)
    return error
