"""What a state says besides type, name, message and data: the run that is in it, and times that belong to it.

May import: core.errors.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from surefoot.core.errors import BadInput

__all__ = ["DETAILS", "StateDetails", "StateTypeError", "StateValueError", "instant", "seconds"]

# All that a state may say, in the field's words. Times carry a time zone.
DETAILS: Final = frozenset(
    """flow_run_id task_run_id child_flow_run_id scheduled_time cache_key cache_expiration deferred untrackable_result
    pause_timeout pause_reschedule pause_key run_input_keyset refresh_cache retriable transition_id task_parameters_id
    traceparent""".split()
)


class StateTypeError(BadInput, TypeError):
    """A part of a state has the wrong type."""


class StateValueError(BadInput, ValueError):
    """A state is of a type that does not fit here, or two of its parts contradict each other."""


class StateDetails(dict[str, Any]):
    """The details of a state: a dict of those that are known. As an attribute each is there, None if it is not known.

    >>> details = StateDetails(pause_key="approval")
    >>> details["pause_key"], details.pause_key, details.scheduled_time
    ('approval', 'approval', None)
    """

    def __init__(self, **details: Any) -> None:
        for name in details:
            if name not in DETAILS:
                raise StateTypeError(
                    f"A state has no detail {name!r}.", do=f"Those that there are: {', '.join(sorted(DETAILS))}."
                )
        super().__init__({name: value for name, value in details.items() if value is not None})

    def __getattr__(self, name: str) -> Any:
        if name in DETAILS:
            return self.get(name)
        raise AttributeError(f"A state has no detail {name!r}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (dict(self),)

    def __repr__(self) -> str:
        return f"StateDetails({', '.join(f'{name}={value!r}' for name, value in self.items())})"


def _made_again(details: dict[str, Any]) -> StateDetails:
    return StateDetails(**details)


def instant(value: object, what: str) -> datetime:
    """A point in time. Raises StateTypeError for anything else, and for a clock's reading without a time zone."""
    if not isinstance(value, datetime):
        raise StateTypeError(f"{what} is {value!r}.", do="Pass a datetime with a time zone: datetime.now(UTC).")
    if value.utcoffset() is None:
        raise StateTypeError(
            f"{what} is {value!r}, which has no time zone.", do="Write datetime.now(UTC), or value.astimezone()."
        )
    return value


def seconds(value: object, what: str) -> float:
    """A span of time. Raises StateTypeError for what is no number, StateValueError for one below zero."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise StateTypeError(f"{what} is {value!r}.", do="Pass a number of seconds.")
    if not 0 <= value < 1e11:
        raise StateValueError(f"{what} is {value!r}.", do="Pass a number of seconds, 0 or more.")
    return float(value)
