"""How an attribute of `surefoot.runtime` is answered: from the environment, if it says so, else from the run.

May import: core, engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from surefoot.core.errors import BadInput

__all__ = ["MockValueError", "answer", "listed"]

PREFIX: Final = "SUREFOOT__RUNTIME__"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off", ""})

Fields = Mapping[str, tuple[type, Callable[[], Any]]]


class MockValueError(BadInput, ValueError):
    """An environment variable that stands in for a runtime attribute cannot be read as what that attribute is."""


def answer(group: str, fields: Fields, name: str) -> Any:
    """The attribute `name` of a group such as "flow_run". Raises AttributeError if there is none of that name."""
    if name not in fields:
        raise AttributeError(f"module 'surefoot.runtime.{group}' has no attribute {name!r}")
    kind, ask = fields[name]
    variable = f"{PREFIX}{group.upper()}__{name.upper()}"
    text = os.environ.get(variable)
    return ask() if text is None else _read(variable, text, kind)


def listed(fields: Fields, here: Mapping[str, Any]) -> list[str]:
    """What `dir()` of a group shows."""
    return sorted({*fields, *(name for name in here if name.startswith("__"))})


def _read(variable: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError
            return word in _TRUE
        if kind is datetime:
            found = datetime.fromisoformat(text)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        if kind is dict or kind is list:
            value = json.loads(text) if text.strip()[:1] in ("{", "[") else text.split(",")
            if type(value) is not kind:
                raise ValueError
            return value
        return kind(text)
    except ValueError:
        raise MockValueError(
            f"{variable} is {text!r}, which is no {kind.__name__}.", do="Correct it, or unset it."
        ) from None
