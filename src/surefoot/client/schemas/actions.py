"""What is to be made or changed, in the shape that scripts pass it to the client. May import: core, msgspec.

    from surefoot.client.schemas.actions import GlobalConcurrencyLimitCreate, VariableCreate

Each may be passed as a dict of the same shape, too.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from surefoot.core.errors import BadInput

__all__ = [
    "GlobalConcurrencyLimitCreate",
    "GlobalConcurrencyLimitUpdate",
    "VariableCreate",
    "VariableUpdate",
    "checked_action",
]

T = TypeVar("T", bound=msgspec.Struct)


class ActionError(BadInput, ValueError):
    """What was passed has not the shape of what is to be made or changed."""


class GlobalConcurrencyLimitCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A limit that is to be made."""

    name: str
    limit: int  # how many slots; of a rate, how many may be taken at once
    active: bool = True
    active_slots: int = 0  # none: slots are held by those who take them
    slot_decay_per_second: float = 0.0  # above 0 it is a rate: so many come back in each second


class GlobalConcurrencyLimitUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a limit; what is left out, or None, stays."""

    name: str | None = None  # no other: a limit keeps its name
    limit: int | None = None
    active: bool | None = None
    active_slots: int | None = None
    slot_decay_per_second: float | None = None


class VariableCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A variable that is to be made."""

    name: str
    value: Any
    tags: list[str] | None = None


class VariableUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a variable; what is left out stays."""

    name: str
    value: Any = msgspec.UNSET
    tags: list[str] | None = None


def checked_action(given: T | dict[str, Any], kind: type[T]) -> T:
    """An action, or a dict of the same shape, with each value of the type that it is to have.

    Raises ValueError that names the value which is not.

    >>> checked_action({"name": "db", "limit": 3}, GlobalConcurrencyLimitCreate).limit
    3
    """
    if not isinstance(given, (kind, dict)):
        raise ActionError(
            f"A {kind.__name__} is of type {type(given).__name__}.", do=f"Pass a {kind.__name__}, or a dict."
        )
    fields = given if isinstance(given, dict) else msgspec.structs.asdict(given)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ActionError(f"{kind.__name__} cannot be used: {error}.", do="Give each field what it takes.") from None
