"""Facts: what happened to a run, as small immutable records. They go up, from the process where they happened to the
ledger.

Delivering a fact twice is harmless. Compatibility, both ways:
- fields are only ever appended, with a default; a tag is never used again for something else;
- a reader that meets an unknown tag keeps the bytes (`Unknown`) until it is upgraded.

Instants are microseconds since 1970 (UTC); `mono_us` is the writer's monotonic time. Ids are 16 bytes (core.ids).
A run's creation is its state 0; each later state is numbered by the one writer that lives its life, within an epoch.
May import: core.states, msgspec.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from surefoot.core.states import StateType

__all__ = [
    "FORMAT",
    "ArtifactWritten",
    "AssetMaterialized",
    "CheckTold",
    "Fact",
    "FlowRunCreated",
    "LogWritten",
    "LogsCut",
    "ResultAt",
    "RunFact",
    "RunStart",
    "SegmentOpened",
    "StateEntered",
    "TaskRunCreated",
    "Unknown",
    "WriterEnded",
    "decode",
    "encode",
    "encode_plainly",
]

FORMAT: Final = 1  # the version of frames and facts that this build writes


class RunStart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a flow run was started: all that is needed to start it again in a new process."""

    interpreter: str  # sys.executable
    file: str | None  # the file that defines the flow; None in a REPL, in a notebook or from standard input
    module: str | None  # the module it was imported as; None for a script
    qualname: str  # where the flow stands in it
    cwd: str
    argv: tuple[str, ...] = ()


class ResultAt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the value that a run returned is kept, and how it was written. Never the value itself."""

    place: str  # a pack, relative to the home ("results/..."), or the URL or path of an object
    offset: int = 0  # in a pack; an object begins at 0
    length: int = 0
    serializer: str = "pickle"
    source: str | None = None  # hash of the source of the task or flow that made it
    epoch: int = 0  # in which it was made; a later one may have taken it over
    inputs: bytes | None = None  # hash of which results of other runs it was made from
    by: bytes | None = None  # the run that stored it, if that is another: it was taken from a cache


class SegmentOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=1):
    """The first fact of every segment: who writes, what, and where it belongs."""

    writer_id: bytes
    stream: str  # "runs" or "logs"
    number: int  # 0, 1, 2 ... within writer and stream
    at_us: int
    mono_us: int
    host: str
    boot_id: str
    pid: int
    surefoot: str  # version of the writer
    format: int = FORMAT
    destination: str = ""  # empty: the ledger of this home; else the URL of a server
    workspace: str = ""  # empty: the default workspace


class FlowRunCreated(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=2):
    """A flow run exists. This is its state 0."""

    run_id: bytes
    flow_name: str
    name: str
    at_us: int
    mono_us: int
    state_type: StateType
    state_name: str
    epoch: int = 0
    flow_version: str | None = None
    parameters: bytes = b"{}"  # JSON
    tags: tuple[str, ...] = ()
    parent_flow_run_id: bytes | None = None
    parent_task_run_id: bytes | None = None  # the task run in which the flow was called, if any
    retries: int = 0
    start: RunStart | None = None
    description: str | None = None
    inputs: tuple[tuple[str, tuple[bytes, ...]], ...] = ()  # parameter -> the task runs that its value came from
    key: bytes | None = None  # of a subflow: what it is found by when its parent is run again
    message: str | None = None  # why this run of it, where it is not the first
    parameters_at: ResultAt | None = None  # where the parameters are kept that JSON cannot give back
    unkept: tuple[tuple[str, str], ...] = ()  # parameters that could not be kept, each with the reason


class TaskRunCreated(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=3):
    """A task run exists. This is its state 0."""

    run_id: bytes
    flow_run_id: bytes | None  # None for a task called outside of any flow
    task_key: str  # identifies the task in the code: module and qualified name
    task_name: str
    name: str
    at_us: int
    mono_us: int
    state_type: StateType
    state_name: str
    epoch: int = 0
    index: int = 0  # how-manieth call of this task in its flow run: for display only, never an identity
    parent_task_run_id: bytes | None = None
    task_version: str | None = None
    tags: tuple[str, ...] = ()
    inputs: tuple[tuple[str, tuple[bytes, ...]], ...] = ()  # parameter (or "wait_for") -> upstream runs
    map_id: bytes | None = None  # shared by the task runs of one `.map` call
    retries: int = 0
    key: bytes | None = None  # what it is found by when its flow run is run again: task, inputs, how-manieth of these
    message: str | None = None  # why this run of it, where it is not the first
    unkeyed: str | None = None  # why it has no key: the input that cannot be told from another


class StateEntered(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=4):
    """A run entered its nth state of an epoch.

    The sums (`run_count`, `start_us`, `ran_us`) are carried along, so that the newest state alone tells the whole run
    and
    folding needs no arithmetic: the highest (epoch, n) wins, in whatever order facts arrive.
    """

    run_id: bytes
    is_task: bool
    epoch: int
    n: int
    at_us: int
    mono_us: int
    state_type: StateType
    state_name: str
    message: str | None = None
    run_count: int = 0  # entries into RUNNING so far
    start_us: int | None = None  # first entry into RUNNING
    ran_us: int = 0  # time spent in RUNNING so far
    run_name: str | None = None  # set when the run got its name from a template
    cause_id: bytes | None = None  # the task run or flow run because of which this happened
    traceback: str | None = None
    until_us: int | None = None  # SCHEDULED: when the run is to go on
    result: ResultAt | None = None  # COMPLETED: where its value is kept
    unkept: str | None = None  # COMPLETED: why its value is not kept, where it should have been


class LogWritten(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=5):
    """A line was logged or printed within a run."""

    at_us: int
    level: int  # as in `logging`
    logger: str
    message: str
    flow_run_id: bytes | None = None
    task_run_id: bytes | None = None
    cut: int = 0  # characters that were cut from the message's end
    mono_us: int = 0  # 0: not told


class WriterEnded(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=6):
    """The writer closed its journal in order: no more facts follow. A writer that died leaves none of these."""

    at_us: int
    mono_us: int
    lost: int = 0  # run facts that could not be written, in all


class LogsCut(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=7):
    """Lines that were not written because the disk budget for logs was full."""

    at_us: int
    count: int
    flow_run_id: bytes | None = None
    mono_us: int = 0  # 0: not told


class ArtifactWritten(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=8):
    """An artifact exists; or, if `is_change`, what it shows is another now: then only what changed is told.

    What is small stands in `data`; of what is large, `place` says where it lies, under which length and checksum.
    """

    artifact_id: bytes
    type: str  # "markdown", "table", "link", "progress", "image", or a name of the user's own
    at_us: int
    mono_us: int
    is_change: bool = False
    key: str | None = None  # shared by its versions
    description: str | None = None
    media_type: str = ""
    data: bytes | None = None
    place: str | None = None  # the path or URL of an object
    size: int = 0  # bytes
    crc32: int = 0  # of what lies at `place`
    flow_run_id: bytes | None = None
    task_run_id: bytes | None = None


class CheckTold(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one check said of the value that a materialization gave."""

    name: str
    passed: bool
    severity: str = "error"  # or "warn": then it stopped nothing
    message: str | None = None
    metadata: bytes = b"{}"  # JSON


class AssetMaterialized(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=9):
    """A task run began to make an asset, or came to an end with it: of one run and epoch the highest n counts."""

    run_id: bytes
    flow_run_id: bytes | None
    key: str
    at_us: int
    mono_us: int
    outcome: str  # "begun", "completed", "failed", "cancelled", "crashed", "skipped" or "rolled-back"
    epoch: int = 0
    n: int = 0
    task_name: str = ""
    run_name: str = ""
    by: str | None = None  # what made it, where that is a tool: "dbt"
    message: str | None = None  # why it is not completed
    metadata: bytes = b"{}"  # JSON
    checks: tuple[CheckTold, ...] = ()
    upstream: tuple[tuple[str, str], ...] = ()  # keys of the assets that it was made from, each with how that is known
    properties: bytes | None = None  # JSON; None: nothing is said of them


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A fact of a kind that this version does not know: kept as it is, and folded after an upgrade."""

    raw: bytes


RunFact = FlowRunCreated | TaskRunCreated | StateEntered
Fact = (
    SegmentOpened
    | FlowRunCreated
    | TaskRunCreated
    | StateEntered
    | LogWritten
    | WriterEnded
    | LogsCut
    | ArtifactWritten
    | AssetMaterialized
)

_encoder = msgspec.msgpack.Encoder()
_KNOWN = frozenset(range(1, 10))

encode_plainly = _encoder.encode  # bound once: called for every fact. Raises where `encode` looks further


def encode(fact: Fact) -> bytes:
    """The bytes of a fact. A text that UTF-8 cannot hold (a file name in another encoding) is written with escapes.

    >>> decode(encode(LogsCut(1, 2, b"run"))).count
    2
    """
    try:
        return encode_plainly(fact)
    except (UnicodeEncodeError, TypeError):
        return encode_plainly(_writable(fact))


def _writable(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return type(value)(*[_writable(getattr(value, name)) for name in value.__struct_fields__])
    if isinstance(value, tuple):
        return tuple(map(_writable, value))
    if isinstance(value, str) and type(value) is not StateType:
        return str(value).encode("utf-8", "backslashreplace").decode()
    return value


@cache
def _decoder() -> msgspec.msgpack.Decoder[Fact]:
    return msgspec.msgpack.Decoder(Fact)  # takes 0.8 ms to make: only for those who read


def decode(raw: bytes | memoryview) -> Fact | Unknown:
    """The fact in `raw`; `Unknown` if its kind is newer than this version.

    Raises msgspec.DecodeError if the bytes are not a fact at all.

    >>> decode(encode(WriterEnded(1, 2))) == WriterEnded(1, 2)
    True
    """
    try:
        return _decoder().decode(raw)
    except msgspec.ValidationError:
        kind: Any = msgspec.msgpack.decode(raw)
        if isinstance(kind, list) and kind and isinstance(kind[0], int) and kind[0] not in _KNOWN:
            return Unknown(bytes(raw))
        raise
