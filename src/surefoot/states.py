"""States as users see them: what a run is in, why, and with which value; and constructors for those that code returns.

    from surefoot.states import Completed, Failed

May import: core.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from surefoot.core.clock import get_clock
from surefoot.core.run_state import NO_DATA, State, aggregate, get_state_exception, raise_state_exception, value_in
from surefoot.core.state_details import StateDetails, StateTypeError, StateValueError, seconds
from surefoot.core.states import FINAL, SKIPPED, StateType

__all__ = [
    "NO_DATA",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "InfrastructurePending",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "Skipped",
    "State",
    "StateDetails",
    "StateGroup",
    "StateType",
    "Submitting",
    "Suspended",
    "aggregate",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "get_state_exception",
    "raise_state_exception",
    "return_value_to_state",
    "value_in",
]


# --- what values and exceptions mean as states ----------------------------------------------------------------------


class StateGroup:
    """Several states, counted: `total_count`, `final_count`, `fail_count` ..., and what they amount to together.

    >>> group = StateGroup([Completed(), Failed(), Running()])
    >>> group.counts_message(), group.any_failed(), group.all_final()
    ("total=3: 'RUNNING'=1 'COMPLETED'=1 'FAILED'=1", True, False)
    """

    def __init__(self, states: Iterable[State]) -> None:
        self.states = list(states)
        for state in self.states:
            if not isinstance(state, State):
                raise StateTypeError(f"StateGroup got {state!r}, which is no state.", do="Pass a list of states.")
        self.type_counts: Counter[StateType] = Counter(state.type for state in self.states)
        self.total_count = len(self.states)
        self.cancelled_count = self.type_counts[StateType.CANCELLED]
        self.paused_count = self.type_counts[StateType.PAUSED]
        self.final_count = sum(self.type_counts[kind] for kind in FINAL)
        self.not_final_count = self.total_count - self.final_count

    @property
    def fail_count(self) -> int:
        """How many failed or crashed."""
        return self.type_counts[StateType.FAILED] + self.type_counts[StateType.CRASHED]

    def all_completed(self) -> bool:
        """Whether all completed; of none that is so."""
        return self.type_counts[StateType.COMPLETED] == self.total_count

    def all_final(self) -> bool:
        """Whether all have ended."""
        return self.final_count == self.total_count

    def any_cancelled(self) -> bool:
        """Whether one was cancelled."""
        return self.cancelled_count > 0

    def any_failed(self) -> bool:
        """Whether one failed or crashed."""
        return self.fail_count > 0

    def any_paused(self) -> bool:
        """Whether one is paused."""
        return self.paused_count > 0

    def counts_message(self) -> str:
        """How many there are, and of which types."""
        counts = [f"{kind.value!r}={self.type_counts[kind]}" for kind in StateType if self.type_counts[kind]]
        return " ".join([f"total={self.total_count}:", *counts])

    def __repr__(self) -> str:
        return f"StateGroup<{self.counts_message()}>"


def exception_to_failed_state(exc: BaseException | None = None, **fields: Any) -> State:
    """An exception as a FAILED state: its data is the exception, its message what it says.

    Without `exc` the exception that is being handled is taken. Raises ValueError where there is none.

    >>> exception_to_failed_state(ValueError("no disk"))
    Failed(type=FAILED, message='ValueError: no disk')
    """
    return _of_exception(Failed, exc, fields)


def exception_to_crashed_state(exc: BaseException | None = None, **fields: Any) -> State:
    """An exception as a CRASHED state, otherwise as `exception_to_failed_state`."""
    return _of_exception(Crashed, exc, fields)


def _of_exception(make: Any, exc: BaseException | None, fields: dict[str, Any]) -> State:
    error = exc if exc is not None else sys.exc_info()[1]
    if error is None:
        raise StateValueError(
            "There is no exception to make a state of.", do="Pass one, or call it in an `except` block."
        )
    if not isinstance(error, BaseException):
        raise StateTypeError(f"{error!r} is no exception.", do="Pass what was raised.")
    text = str(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    state: State = make(**{"message": message, "data": error, **fields})
    return state


def return_value_to_state(value: Any, **fields: Any) -> State:
    """The state that a run which returns this value ends in.

    A state made by hand is that state; states in a list, tuple, set or dict decide together; any other value is that of
    a completed run.

    >>> return_value_to_state(3).result()
    3
    >>> return_value_to_state([Completed(), Failed()])
    Failed(type=FAILED, message='1/2 states failed.')
    """
    if isinstance(value, State):
        return value
    parts = list(value.values()) if isinstance(value, dict) else value
    if isinstance(parts, (list, tuple, set)) and parts and any(isinstance(part, State) for part in parts):
        kind, message, decisive = aggregate([part for part in parts if isinstance(part, State)])
        return State(kind, **{"message": message, "data": value if decisive is None else decisive, **fields})
    return Completed(**{"data": value, **fields})


# --- constructors -----------------------------------------------------------------------------------------------------


def Scheduled(scheduled_time: datetime | None = None, **fields: Any) -> State:
    """A run that waits for a time.

    Args:
        scheduled_time: that time, with a time zone; now if left out.
        fields: `name`, `message`, `data`, `state_details`.

    Raises ValueError if the time is given twice, TypeError for what is no time or has no time zone.
    """
    return _scheduled("Scheduled", scheduled_time, fields)


def Late(scheduled_time: datetime | None = None, **fields: Any) -> State:
    """A run that should have started. Arguments as of `Scheduled`."""
    return _scheduled("Late", scheduled_time, fields)


def AwaitingRetry(scheduled_time: datetime | None = None, **fields: Any) -> State:
    """A run that failed and will be tried again. Arguments as of `Scheduled`."""
    return _scheduled("AwaitingRetry", scheduled_time, fields)


def AwaitingConcurrencySlot(scheduled_time: datetime | None = None, **fields: Any) -> State:
    """A run that waits for a slot of a limit. Arguments as of `Scheduled`."""
    return _scheduled("AwaitingConcurrencySlot", scheduled_time, fields)


def _scheduled(name: str, scheduled_time: datetime | None, fields: dict[str, Any]) -> State:
    given = fields.pop("state_details", None) or {}
    if scheduled_time is not None and "scheduled_time" in given:
        raise StateValueError(
            f"{name}() got a scheduled_time twice: as an argument, and in state_details.", do="Leave one of them out."
        )
    if scheduled_time is None:
        scheduled_time = given.get("scheduled_time") or _now()
    return State(
        StateType.SCHEDULED, **{"name": name, "state_details": {**given, "scheduled_time": scheduled_time}, **fields}
    )


def _now() -> datetime:
    return datetime.fromtimestamp(get_clock().now_us() / 1e6, UTC)


def Pending(**fields: Any) -> State:
    """A run that is about to start."""
    return State(StateType.PENDING, **fields)


def Submitting(**fields: Any) -> State:
    """A run that is being handed to where it is to run."""
    return State(StateType.PENDING, **{"name": "Submitting", **fields})


def InfrastructurePending(**fields: Any) -> State:
    """A run whose machine or container is being started."""
    return State(StateType.PENDING, **{"name": "InfrastructurePending", **fields})


def Running(**fields: Any) -> State:
    """A run whose function is being called."""
    return State(StateType.RUNNING, **fields)


def Retrying(**fields: Any) -> State:
    """A run whose function is being called again."""
    return State(StateType.RUNNING, **{"name": "Retrying", **fields})


def Paused(
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    reschedule: bool = False,
    pause_key: str | None = None,
    **fields: Any,
) -> State:
    """A run that waits for somebody to resume it.

    Args:
        timeout_seconds: how long it waits, counted from now.
        pause_expiration_time: until when it waits, with a time zone, instead.
        reschedule: whether its process ends meanwhile, and it is scheduled again when it is resumed.
        pause_key: which pause of the run this is.
        fields: `name`, `message`, `data`, `state_details`.

    Raises ValueError if both times are given, or one is given again in `state_details`.
    """
    return _paused("Paused", timeout_seconds, pause_expiration_time, reschedule, pause_key, fields)


def Suspended(
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    pause_key: str | None = None,
    **fields: Any,
) -> State:
    """A run whose process has ended until somebody resumes it. Arguments as of `Paused`."""
    return _paused("Suspended", timeout_seconds, pause_expiration_time, True, pause_key, fields)


def _paused(
    name: str,
    timeout_seconds: float | None,
    pause_expiration_time: datetime | None,
    reschedule: bool,
    pause_key: str | None,
    fields: dict[str, Any],
) -> State:
    if timeout_seconds is not None and pause_expiration_time is not None:
        raise StateValueError(
            f"{name}() got both timeout_seconds and pause_expiration_time.", do="Leave one of them out."
        )
    given = fields.pop("state_details", None) or {}
    until = pause_expiration_time
    if timeout_seconds is not None:
        until = _now() + timedelta(seconds=seconds(timeout_seconds, f"timeout_seconds of {name}()"))
    if until is not None and "pause_timeout" in given:
        raise StateValueError(
            f"{name}() got its end twice: as an argument, and in state_details.", do="Leave one of them out."
        )
    mine = {"pause_timeout": until, "pause_reschedule": reschedule or None, "pause_key": pause_key}
    details = {**given, **{detail: value for detail, value in mine.items() if value is not None}}
    return State(StateType.PAUSED, **{"name": name, "state_details": details, **fields})


def Cancelling(**fields: Any) -> State:
    """A run that was asked to stop."""
    return State(StateType.CANCELLING, **fields)


def Cancelled(**fields: Any) -> State:
    """A run that was stopped on purpose."""
    return State(StateType.CANCELLED, **fields)


def Completed(**fields: Any) -> State:
    """A run that did what it should. `Completed(data=3).result()` is 3; without `data` it is None."""
    return State(StateType.COMPLETED, **{"data": None, **fields})


def Skipped(**fields: Any) -> State:
    """A run that had nothing to do. To return it is to `raise Skip`: `return Skipped(message="nothing new")`."""
    return State(StateType.COMPLETED, **{"name": SKIPPED, "data": None, **fields})


def Failed(**fields: Any) -> State:
    """A run that did not do what it should."""
    return State(StateType.FAILED, **fields)


def Crashed(**fields: Any) -> State:
    """A run that its surroundings ended."""
    return State(StateType.CRASHED, **fields)
