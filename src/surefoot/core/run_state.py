"""A state: what a run is in, why, and with which value; the exception that it stands for, and what several amount to.

Users find all of it in `surefoot.states`. May import: core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, overload

from surefoot.core.cards import card, cut, state_mark
from surefoot.core.clock import get_clock
from surefoot.core.errors import (
    BadInput,
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    NotReadyRun,
    PausedRun,
    UnfinishedRun,
)
from surefoot.core.ids import new_id, to_uuid
from surefoot.core.state_details import StateDetails, StateTypeError, StateValueError, instant
from surefoot.core.states import FINAL, SKIPPED, StateType, default_name

if TYPE_CHECKING:  # a bare `State` is one of any value: to say so, Python itself needs to be 3.13
    from typing_extensions import TypeVar

    R = TypeVar("R", covariant=True, default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R", covariant=True)

__all__ = [
    "NO_DATA",
    "State",
    "Stored",
    "aggregate",
    "get_state_exception",
    "raise_state_exception",
    "state_of_run",
    "value_in",
]


class _NoData:
    def __repr__(self) -> str:
        return "<no data>"

    def __reduce__(self) -> str:
        return "NO_DATA"  # the same object in every process


NO_DATA: Final = _NoData()


class Stored:
    """The value of a run that was taken out of memory: it is read from where it is stored each time it is asked for."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read


def value_in(data: Any) -> Any:
    """The data of a state, read first if it is not in memory. Raises MissingResult if it cannot be."""
    return data.read() if type(data) is Stored else data


class State(Generic[R]):
    """What a run is in: a type that logic looks at, a name for people, and the value or exception of a run that ended.

    To type checkers `State[int]` is that of a run whose value is an int; `State` alone that of any run.

    Args:
        type: one of `StateType`, or its name.
        name: any text; the type's usual name if left out.
        message: why, in a line.
        data: the value of a completed run, the exception of a failed one.
        state_details: what else is known: a `StateDetails`, or a dict of such.

    >>> state = State("COMPLETED", data=3)
    >>> state.name, state.is_final(), state.result()
    ('Completed', True, 3)
    """

    __slots__ = (
        "_data",
        "_details",
        "_id",
        "at_us",
        "cause_id",
        "message",
        "name",
        "run_id",
        "run_is_task",
        "run_name",
        "run_of",
        "type",
    )

    def __init__(
        self,
        type: StateType | str,
        name: str | None = None,
        message: str | None = None,
        data: Any = NO_DATA,
        *,
        state_details: dict[str, Any] | None = None,
        at_us: int | None = None,
        run_id: bytes | None = None,
        run_is_task: bool = False,
        run_of: str | None = None,
        run_name: str | None = None,
        cause_id: bytes | None = None,
    ) -> None:
        try:
            self.type = StateType(type)
        except ValueError:
            raise BadInput(
                f"{type!r} is not a type of state.", do=f"Use one of {', '.join([kind.value for kind in StateType])}."
            ) from None
        self.name = default_name(self.type) if name is None else _text(name, "name")
        self.message = None if message is None else _text(message, "message")
        self.data = data
        self.at_us = get_clock().now_us() if at_us is None else at_us
        self.run_id = run_id
        self.run_is_task = run_is_task
        self.run_of = run_of  # the name of the task or flow whose run is in this state
        self.run_name = run_name  # and that of the run
        self.cause_id = cause_id
        self._details = None if state_details is None else _details(state_details)
        self._id: bytes | None = None

    @property
    def data(self) -> Any:
        """The value or exception. Raises MissingResult if it was stored, is not in memory, and cannot be read."""
        return value_in(self._data)

    @data.setter
    def data(self, data: Any) -> None:
        self._data = data

    @property
    def id(self) -> Any:
        """The state's id (`uuid.UUID`)."""
        if self._id is None:
            self._id = new_id()
        return to_uuid(self._id)

    @property
    def timestamp(self) -> datetime:
        """When the run entered it (UTC)."""
        return datetime.fromtimestamp(self.at_us / 1e6, UTC)

    @property
    def state_details(self) -> StateDetails:
        """What else is known: `flow_run_id` or `task_run_id` of its run, `scheduled_time`, `pause_key` ...

        A dict of what there is, whose entries are attributes too.
        """
        found = StateDetails() if self._details is None else StateDetails(**self._details)
        if self.run_id is not None:
            found["task_run_id" if self.run_is_task else "flow_run_id"] = to_uuid(self.run_id)
        return found

    def is_scheduled(self) -> bool:
        """Whether the run waits for a time."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run is about to start."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run's function is being called."""
        return self.type is StateType.RUNNING

    def is_completed(self) -> bool:
        """Whether the run completed."""
        return self.type is StateType.COMPLETED

    def is_skipped(self) -> bool:
        """Whether the run was skipped: COMPLETED, with the name Skipped, and no value."""
        return self.type is StateType.COMPLETED and self.name == SKIPPED

    def is_failed(self) -> bool:
        """Whether the run failed."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether the run was ended by its surroundings: a signal, `sys.exit`, a dead process."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the run was asked to stop and has not yet."""
        return self.type is StateType.CANCELLING

    def is_paused(self) -> bool:
        """Whether the run is paused."""
        return self.type is StateType.PAUSED

    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.type in FINAL

    @overload
    def result(self, raise_on_failure: Literal[True] = True, retry_result_failure: bool = True) -> R: ...
    @overload
    def result(self, raise_on_failure: bool, retry_result_failure: bool = True) -> R | Exception: ...
    def result(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> Any:
        """The value of the run.

        Raises what the run raised if it did not complete, or an error that says how it ended; with
        `raise_on_failure=False` that exception is returned instead. Raises UnfinishedRun or PausedRun if it has not
        ended, MissingResult if it completed and its value is not here. `retry_result_failure` is taken for the sake of
        calls that have it: a value is there before its state is, so there is nothing to ask again for.
        """
        __tracebackhide__ = True
        if self.type is StateType.COMPLETED:
            if self.data is NO_DATA:
                raise MissingResult(f"{self!r} carries no value.", do="Ask the run itself, or store its result.")
            return self.data
        if self.type not in FINAL:
            error: type[PausedRun | UnfinishedRun] = PausedRun if self.is_paused() else UnfinishedRun
            raise error(f"The run is {self.name}, so it has no result yet.", do="Wait until it has ended.")
        failure = get_state_exception(self)
        if raise_on_failure:
            raise failure
        return failure

    @overload
    async def aresult(self, raise_on_failure: Literal[True] = True, retry_result_failure: bool = True) -> R: ...
    @overload
    async def aresult(self, raise_on_failure: bool, retry_result_failure: bool = True) -> R | Exception: ...
    async def aresult(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> Any:
        """As `result`, where it is awaited."""
        __tracebackhide__ = True
        return self.result(raise_on_failure, retry_result_failure)

    def fresh_copy(self, **changes: Any) -> State:
        """The same state, entered now, without the run that it belongs to; `changes` replace its parts.

        >>> State("FAILED", message="no disk").fresh_copy(name="NoDisk")
        NoDisk(type=FAILED, message='no disk')
        """
        parts = {"type": self.type, "name": self.name, "message": self.message, "data": self._data}
        kept = {name: value for name, value in (self._details or {}).items() if not name.endswith("_id")}
        return State(**{**parts, "state_details": kept or None, **changes})

    def __repr__(self) -> str:
        message = f", message={cut(self.message)!r}" if self.message else ""
        return f"{self.name}(type={self.type.value}{message})"

    def _repr_html_(self) -> str:
        run = f"{self.run_name} of {self.run_of}" if self.run_of and self.run_name else None
        since = f"{self.timestamp:%Y-%m-%d %H:%M:%S} UTC"
        return card("State", [state_mark(self.type, self.name)], {"Message": self.message, "Run": run, "Since": since})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return (self.type, self.name, self.message, self.run_id) == (
            other.type,
            other.name,
            other.message,
            other.run_id,
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, and mutable


def state_of_run(
    type: StateType,
    name: str,
    message: str | None,
    data: Any,
    at_us: int,
    run_id: bytes,
    run_is_task: bool,
    run_of: str,
    run_name: str,
    cause_id: bytes | None,
) -> State:
    """The state that a run has entered: all of it is known to be right, so nothing is checked. One for each future."""
    state = object.__new__(State)
    state.type = type
    state.name = name
    state.message = message
    state._data = data
    state.at_us = at_us
    state.run_id = run_id
    state.run_is_task = run_is_task
    state.run_of = run_of
    state.run_name = run_name
    state.cause_id = cause_id
    state._details = None
    state._id = None
    return state


def _details(given: object) -> StateDetails:
    if not isinstance(given, dict):
        raise StateTypeError(f"The state_details of a state are {given!r}.", do="Pass StateDetails(...), or a dict.")
    details = StateDetails(**given)
    for name in ("scheduled_time", "pause_timeout", "cache_expiration"):
        if name in details:
            instant(details[name], f"The {name} of a state")
    return details


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise StateTypeError(
            f"The {field} of a state is {value!r}.", do="Pass a text; what a run gives or raises is `data`."
        )
    return value


def get_state_exception(state: State) -> BaseException:
    """The exception that a failed, crashed or cancelled state stands for.

    What the run raised, if it is here; else FailedRun, CrashedRun or CancelledRun with the state's message. Of states
    within states the first failing one counts. Raises ValueError for a state that is none of these.

    >>> get_state_exception(State("FAILED", message="no disk"))
    FailedRun('no disk')
    """
    if state.type not in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED):
        raise StateValueError(
            f"{state!r} did not fail, so it has no exception.", do="Ask `state.result()` for its value."
        )
    data = state.data
    if isinstance(data, Exception):
        return data
    if isinstance(data, State) and data.type in FINAL and not data.is_completed():
        return get_state_exception(data)
    if isinstance(data, (list, tuple, set)):
        for inner in data:
            if isinstance(inner, State) and inner.type in FINAL and not inner.is_completed():
                return get_state_exception(inner)
    text = data if isinstance(data, str) else state.message or f"The run ended {state.name}."
    kinds: dict[StateType, type[CrashedRun | CancelledRun]] = {
        StateType.CRASHED: CrashedRun,
        StateType.CANCELLED: CancelledRun,
    }
    error = kinds.get(state.type, NotReadyRun if state.name == "NotReady" else FailedRun)(text)
    # Ctrl-C or sys.exit in a task must not end whoever only asks for its result: it is told, not raised again.
    error.__cause__ = data if isinstance(data, BaseException) else None
    return error


def raise_state_exception(state: State) -> None:
    """Raise the exception that a failed, crashed or cancelled state stands for; return for any other state."""
    if state.type in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED):
        raise get_state_exception(state)


def aggregate(states: Iterable[State]) -> tuple[StateType, str, State | None]:
    """What several states amount to: type, message, and the one that decided it (None if all completed).

    All completed is COMPLETED; else one CANCELLED makes CANCELLED, else one PAUSED makes PAUSED, else FAILED.

    >>> aggregate([State("COMPLETED"), State("FAILED")])[:2]
    (<StateType.FAILED: 'FAILED'>, '1/2 states failed.')
    """
    seen = list(states)
    bad = [state for state in seen if not state.is_completed()]
    if not bad:
        return StateType.COMPLETED, "All states completed.", None
    for kind, word in ((StateType.CANCELLED, "cancelled"), (StateType.PAUSED, "paused")):
        hits = [state for state in bad if state.type is kind]
        if hits:
            return kind, f"{len(hits)}/{len(seen)} states {word}.", hits[0]
    return StateType.FAILED, f"{len(bad)}/{len(seen)} states failed.", bad[0]
