"""Ports: what lower floors ask of higher ones, as protocols. The one module outside the floors, `_doors`, fills them.

May import: core.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from surefoot.core.errors import Defect
from surefoot.core.facts import ResultAt, RunStart
from surefoot.core.states import StateType

if TYPE_CHECKING:
    from surefoot.core.limits import Answer, Asked, LimitKey, Rate, Reserved, Turn
    from surefoot.core.lines import Line, Place
    from surefoot.core.variables import By
    from surefoot.core.wire import Artifact, Variable

__all__ = [
    "Artifacts",
    "Earlier",
    "EarlierRuns",
    "Limits",
    "Lines",
    "Retryable",
    "Variables",
    "Watched",
    "artifacts",
    "earlier_runs",
    "fill",
    "limits",
    "lines",
    "variables",
]


T = TypeVar("T")


class Earlier(msgspec.Struct, frozen=True, gc=False):
    """A run as its earlier epochs left it."""

    run_id: bytes
    name: str
    epoch: int
    state_type: StateType
    state_name: str
    message: str | None = None
    run_count: int = 0
    start_us: int | None = None
    ran_us: int = 0
    result: ResultAt | None = None
    unkept: str | None = None  # why it completed without a result that is kept
    unkeyed: str | None = None  # why it cannot be told from another run of the same task
    is_task: bool = True
    parent_id: bytes | None = None  # the task run within which it was called
    asked: str | None = None  # why it is to be called again although it completed


class Retryable(msgspec.Struct, frozen=True):
    """A flow run that ended, and all that is needed to start it again."""

    run: Earlier
    flow_name: str
    epoch: int  # that it would be started in
    tags: tuple[str, ...] = ()
    parameters: bytes = b"{}"  # JSON
    parameters_at: ResultAt | None = None  # where those are that JSON cannot give back
    unkept: Mapping[str, str] = {}  # those that could not be kept, each with the reason
    start: RunStart | None = None
    again: Mapping[bytes, str] = {}  # runs in it that are to be called again although they completed, and why


class EarlierRuns(Protocol):
    """What the ledger knows of runs that are to be started again. Every call may take a while, and a lock."""

    def retryable(self, reference: str, from_task: str | None = None, *, anew: bool = False) -> Retryable:
        """The flow run that goes by an id, a prefix of one, or a name.

        With `from_task`, a task's name or a task run's name or id, those runs of it are to be called again. With `anew`
        what completed may be called again where its result lies in another home. Raises NotFound, Ambiguous, and
        Refused if it has not ended, is part of another run, completed and no task is named, or has such results.
        """
        ...

    def last_retryable(self, flow_name: str | None, from_task: str | None = None, *, anew: bool = False) -> Retryable:
        """The newest flow run (of that flow) that ended without completing. Raises NotFound if there is none."""
        ...

    def replayable(self, reference: str) -> tuple[Retryable, bytes, frozenset[bytes]]:
        """Of the task run that goes by an id, a prefix of one, or a name: the outermost flow run that it is part of,
        its id, and the ids of the runs between. Raises NotFound, Ambiguous, and Refused if that has not ended.
        """
        ...

    def open_epoch(self, retryable: Retryable, writer_id: bytes) -> None:
        """Decide that this writer starts it again, now. Raises Refused if somebody else was faster."""
        ...

    def runs_of(self, flow_run_id: bytes) -> Mapping[bytes, Earlier]:
        """The task runs and subflow runs of a flow run, by their keys."""
        ...

    def give_up(self) -> None:
        """The run whose epoch was opened is not started after all: nothing was recorded of it. Then as `close`."""
        ...

    def close(self) -> None:
        """Let go of files and connections. If an epoch was opened, the run has ended."""
        ...


class Lines(Protocol):
    """The lines of locks that are kept in the ledger."""

    lease_s: float  # how long a place lasts that is not renewed, in seconds
    origin: str  # the home, where several share the ledger
    processes: str  # the folder in which processes of this home show that they live

    def change(
        self, key: str, step: Callable[[Line, int], T], proof: Callable[[Place], bool | None]
    ) -> tuple[T, list[Place]]:
        """Do a step with a line while nobody else can. Answers what it gave, and whose places are to be woken."""
        ...

    def renew(self, owner: str) -> bool:
        """Let the places of a process last longer. False if it has none."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Watched(msgspec.Struct, frozen=True):
    """Whose end would concern those who wait in some lines."""

    processes: frozenset[tuple[str, str]]  # (owner, origin)
    is_over: bool  # the lease of one of them has run out


class Limits(Protocol):
    """Limits that are kept in the ledger. Every call may take a while, and a lock."""

    origin: str  # the home, where several share the ledger
    processes: str  # the folder in which processes of this home show that they live

    def ask(self, asked: Asked, known: Callable[[int], None]) -> Answer:
        """Get slots, or a place in the line of each limit; `known` is told its number before anybody else knows it.

        Raises ConcurrencySlotAcquisitionError where they can never be had.
        """
        ...

    def give_back(self, number: int, owner: str, keys: Sequence[LimitKey]) -> Sequence[Turn]:
        """Give back slots, or a place. Answers for whom something has changed."""
        ...

    def granted(self, owner: str, since_us: int) -> Sequence[tuple[int, int]]:
        """Which places of a process were given slots since then, and when, the last ones last."""
        ...

    def waiting(self, owner: str) -> frozenset[int]:
        """The places of a process that wait."""
        ...

    def watched(self, keys: Sequence[LimitKey]) -> Watched:
        """Who holds slots in these lines, and who stands first."""
        ...

    def look_after(self, keys: Sequence[LimitKey]) -> Sequence[Turn]:
        """Take slots from whoever is no more, or was not heard of in time, and give them to the next."""
        ...

    def renew(self, owner: str) -> tuple[int, Sequence[int]]:
        """Let the places of a process last longer. How many these are, and which were lost that are to stop."""
        ...

    def reserve(
        self,
        keys: Sequence[LimitKey],
        weight: int,
        rates: Mapping[str, Rate],
        within_us: int | None,
        strict: bool,
        declares: bool,
    ) -> Reserved:
        """Reserve the first instant at which so many may be taken of limits on how often; `rates` is what code says."""
        ...

    def tags(self) -> Sequence[str]:
        """The tags that are limited."""
        ...

    def waits_for(self, number: int) -> str | None:
        """What a place waits for, in one line; None if it waits no more."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Artifacts(Protocol):
    """What the ledger knows of artifacts. Every call may take a while, and a lock."""

    def latest(self, key: str) -> Artifact | None:
        """The newest artifact with that key, of what was written down before this was asked; None: there is none."""
        ...

    def content(self, artifact_id: str) -> bytes:
        """The data of an artifact. Raises MissingResult if it is gone."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Variables(Protocol):
    """Variables that are kept in the ledger. Every call may take a while, and a lock."""

    def values(self, names: Collection[str]) -> Mapping[str, Any]:
        """The values of those of these variables that are there."""
        ...

    def missing(self, name: str) -> Exception:
        """That there is no such variable, with the nearest that there is: to be raised."""
        ...

    def set(self, name: str, value: Any, tags: Sequence[str] | None, by: By, *, overwrite: bool) -> Variable:
        """Set a variable; without `tags` it keeps those that it has. Raises AlreadyExists, unless it may overwrite."""
        ...

    def unset(self, name: str, by: By) -> bool:
        """Remove a variable. False if it is not there."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


_lines: Callable[[], Lines] | None = None
_variables: Callable[[], Variables] | None = None
_limits: Callable[[], Limits] | None = None
_earlier_runs: Callable[[], EarlierRuns] | None = None
_artifacts: Callable[[], Artifacts] | None = None


def earlier_runs() -> EarlierRuns:
    """Open what the settings in force name. Close it when done."""
    if _earlier_runs is None:
        import_module("surefoot._doors")  # fills the ports; not before somebody asks, since it is seldom wanted
    if _earlier_runs is None:
        raise Defect("The port for earlier runs is not filled.")
    return _earlier_runs()


def lines() -> Lines:
    """Open what the settings in force name. Close it when done."""
    if _lines is None:
        import_module("surefoot._doors")
    if _lines is None:
        raise Defect("The port for the lines of locks is not filled.")
    return _lines()


def limits() -> Limits:
    """Open what the settings in force name. Close it when done."""
    if _limits is None:
        import_module("surefoot._doors")
    if _limits is None:
        raise Defect("The port for limits is not filled.")
    return _limits()


def artifacts() -> Artifacts:
    """Open what the settings in force name. Close it when done."""
    if _artifacts is None:
        import_module("surefoot._doors")
    if _artifacts is None:
        raise Defect("The port for artifacts is not filled.")
    return _artifacts()


def variables() -> Variables:
    """Open what the settings in force name. Close it when done."""
    if _variables is None:
        import_module("surefoot._doors")
    if _variables is None:
        raise Defect("The port for variables is not filled.")
    return _variables()


def fill(
    earlier_runs: Callable[[], EarlierRuns],
    lines: Callable[[], Lines],
    limits: Callable[[], Limits],
    artifacts: Callable[[], Artifacts],
    variables: Callable[[], Variables],
) -> None:
    """Fill the ports."""
    global _earlier_runs, _lines, _limits, _artifacts, _variables
    _earlier_runs, _lines, _limits, _artifacts, _variables = earlier_runs, lines, limits, artifacts, variables
