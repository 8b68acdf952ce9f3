"""Annotations for parameters: numbers in bounds, and instants with a time zone. Flows check and coerce by them.

    from surefoot.types import PositiveInteger

May import: pydantic.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pydantic
from pydantic import Field, SecretBytes, SecretStr

__all__ = [
    "DateTime",
    "KeyValueLabels",
    "NonEmptyString",
    "NonNegativeFloat",
    "NonNegativeInteger",
    "PositiveFloat",
    "PositiveInteger",
    "SecretBytes",
    "SecretStr",
]

PositiveInteger = Annotated[int, Field(gt=0)]
NonNegativeInteger = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
NonEmptyString = Annotated[str, Field(min_length=1)]
KeyValueLabels = dict[str, bool | int | float | str]


def _with_a_zone(value: Any) -> Any:
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError("it has no time zone; write it with one, as 2026-08-01T06:00:00+00:00")
    return value


DateTime = Annotated[datetime, pydantic.AfterValidator(_with_a_zone)]
