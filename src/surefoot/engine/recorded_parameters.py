"""Parameters as they are recorded: as JSON for people to read, and whether that gives them back as they were.

May import: nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["is_json", "json_values", "parameters_json"]


def parameters_json(parameters: Mapping[str, Any], hidden: frozenset[str] = frozenset()) -> bytes:
    """Parameters as JSON for the record. What cannot be written is named by its class, what is huge by its size."""
    encoder = msgspec.json.Encoder(enc_hook=_plain)
    written: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in hidden and not hasattr(type(value), "model_dump"):
            value = "**********"
        if isinstance(value, _SIZED) and len(value) > PARAMETER_ITEMS_MAX:
            value = f"<{type(value).__name__} of {len(value)}>"
        try:
            raw = encoder.encode(value)
        except Exception:  # recursive, or of a type whose own encoding fails: the record must not stop the run
            raw = encoder.encode(_class_name(value))
        if len(raw) > PARAMETER_BYTES_MAX:
            raw = encoder.encode(f"<{type(value).__name__} of {len(raw)} bytes>")
        written[name] = msgspec.Raw(raw)
    return encoder.encode(written)


def json_values(parameters: Mapping[str, Any], hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Parameters as they would be recorded, as plain values.

    >>> json_values({"day": "monday", "lock": object()})
    {'day': 'monday', 'lock': '<object>'}
    """
    values: dict[str, Any] = msgspec.json.decode(parameters_json(parameters, hidden))
    return values


def is_json(value: Any) -> bool:
    """Whether JSON gives a value back just as it is: it is made of texts, numbers, lists and dicts, and not too large.

    >>> is_json({"day": [1, 2.5, None]}), is_json((1, 2)), is_json({1: 2}), is_json(float("nan"))
    (True, False, False, False)
    """
    level = [value]
    count = 0
    for _ in range(_LEVELS_MAX):
        below: list[Any] = []
        count += len(level)
        if count > PARAMETER_ITEMS_MAX:
            return False
        for part in level:
            kind = type(part)
            if kind is list:
                below += part
            elif kind is dict:
                if not _TEXT.issuperset(map(type, part)):
                    return False
                below += part.values()
            elif kind is str:
                if len(part) > _TEXT_MAX or not _is_text(part):
                    return False
            elif not (kind is bool or part is None or _is_number(part, kind)):
                return False
        if not below:
            return True
        level = below
    return False


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def _is_number(value: Any, kind: type) -> bool:
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 64)
    return kind is float and value - value == 0  # neither infinite nor no number


_LEVELS_MAX = 64
_TEXT = frozenset({str})
_TEXT_MAX = 100_000
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
PARAMETER_ITEMS_MAX = 100_000
PARAMETER_BYTES_MAX = 512 * 1024


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(type(value), "model_dump"):  # a pydantic model, which masks its own secrets
        return value.model_dump(mode="json")
    return _class_name(value)


def _class_name(value: Any) -> str:
    return f"<{type(value).__name__}>"
