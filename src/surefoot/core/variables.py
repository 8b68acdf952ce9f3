"""Variables: which names, values and tags one may have, and how its value is written. Pure.

A value is what JSON can say, and comes back as what it was: whatever would not is refused, with the place where it
stands. May import: core.errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from surefoot.core.errors import BadInput

__all__ = ["BYTES_MAX", "KEPT", "By", "VariableError", "checked_name", "checked_tags", "json_of", "text_of", "value_of"]

BYTES_MAX: Final = 65_536  # of a value, as JSON
KEPT: Final = 100  # changes of each variable
_NAME: Final = re.compile(r"[a-z0-9_-]{1,255}")
_NAME_CHARS: Final = 255
_DEPTH_MAX: Final = 100
_TAGS_MAX: Final = 100
_TAG_CHARS: Final = 200
_SHOWN: Final = 60


class VariableError(BadInput, ValueError):
    """A name, a value or a tag that a variable cannot have."""


class By(NamedTuple):
    """Who changes a variable."""

    who: str  # "ada@laptop"
    run_id: bytes | None = None
    run_name: str | None = None
    is_task: bool = False


def checked_name(name: Any) -> str:
    """The name of a variable. Raises BadInput for what is none, with the nearest that is one.

    >>> checked_name("page-size")
    'page-size'
    >>> checked_name("Page Size")
    Traceback (most recent call last):
    surefoot.core.variables.VariableError: The name of a variable is 'Page Size'. Call it 'page-size'.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return str(name)
    if isinstance(name, str) and len(name) > _NAME_CHARS:
        what = f"The name of a variable has {len(name)} characters."
        raise VariableError(what, do=f"At most {_NAME_CHARS} are possible.")
    near = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-") if isinstance(name, str) else ""
    told = f"Call it {near!r}." if near else "Use lower-case letters of English, digits, - and _."
    raise VariableError(f"The name of a variable is {_shown(name)}.", do=told)


def checked_tags(tags: Any) -> list[str]:
    """The tags of a variable, each once, in their order. Raises BadInput for what cannot be."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise VariableError(f"The tags of a variable are {_shown(tags)}.", do='Pass a list: tags=["nightly"]')
    found = list(dict.fromkeys(tags))
    for tag in found:
        if not isinstance(tag, str) or not tag.strip() or len(tag) > _TAG_CHARS or not tag.isprintable():
            raise VariableError(
                f"A tag of a variable is {_shown(tag)}.", do=f"Use a text of at most {_TAG_CHARS} characters."
            )
    if len(found) > _TAGS_MAX:
        raise VariableError(f"A variable was given {len(found)} tags.", do=f"At most {_TAGS_MAX} are possible.")
    return found


def json_of(name: str, value: Any) -> str:
    """A value as JSON. Raises BadInput for one that JSON would not give back as it is, and for one that is too large.

    >>> json_of("hosts", ["a", "b"])
    '["a","b"]'
    >>> json_of("hosts", {"first": ("a", 1)})
    Traceback (most recent call last):
    surefoot.core.variables.VariableError: Variable 'hosts': ['first'] is of type tuple, which JSON does not have. Make it a list.
    """  # noqa: E501
    text = msgspec.json.encode(_Walk(name).plain(value, "", 0)).decode()
    _check_size(name, len(text) if text.isascii() else len(text.encode()))
    return text


def value_of(text: str) -> Any:
    """The value that was written as this JSON."""
    return msgspec.json.decode(text)


def text_of(value: Any) -> str:
    """A value within a text: texts as they are, everything else as JSON.

    >>> text_of("eu"), text_of(3), text_of(True), text_of(None)
    ('eu', '3', 'true', 'null')
    """
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class _Walk:
    """Through a value, to a copy of it that is of JSON's own types."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def plain(self, value: Any, at: str, depth: int) -> Any:
        self._count += 1
        if self._count > BYTES_MAX:  # each takes a byte, at least
            _check_size(self._name, self._count)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, at)
        if isinstance(value, int):
            return self._whole(value, at)
        if isinstance(value, float):
            if not math.isfinite(value):
                self._refuse(at, f"is {value!r}, which JSON does not have", "Use None, or a text.")
            return float(value)
        if depth >= _DEPTH_MAX and isinstance(value, list | dict):
            self._refuse("", f"is nested more than {_DEPTH_MAX} deep, or holds itself", "Make it flat.")
        if isinstance(value, list):
            return [self.plain(each, f"{at}[{number}]", depth + 1) for number, each in enumerate(value)]
        if isinstance(value, dict):
            return {self._key(key, at): self.plain(value[key], f"{at}[{key!r}]", depth + 1) for key in value}
        self._refuse(at, f"is of type {type(value).__name__}, which JSON does not have", _instead(value))
        raise AssertionError

    def _text(self, value: str, at: str) -> str:
        if len(value) > BYTES_MAX:
            _check_size(self._name, len(value))
        try:
            value.encode()
        except UnicodeEncodeError:
            self._refuse(at, "has a surrogate in it, which is no character", "Decode it as it was encoded.")
        return str.__str__(value)

    def _whole(self, value: int, at: str) -> int:
        if not -(2**63) <= value < 2**64:
            self._refuse(at, "is a number of more than 64 bits", "Make it a text.")
        return int(value)

    def _key(self, key: Any, at: str) -> str:
        if not isinstance(key, str):
            self._refuse(at, f"has the key {_shown(key)}, and keys of JSON are texts", "Make it a text: str(key).")
        return self._text(key, at)

    def _refuse(self, at: str, what: str, do: str) -> None:
        where = f"{at[:_SHOWN]}…" if len(at) > _SHOWN else at
        raise VariableError(f"Variable {self._name!r}: {where or 'its value'} {what}.", do=do)


def _check_size(name: str, size: int) -> None:
    if size > BYTES_MAX:
        raise VariableError(
            f"Variable {name!r} would take {size:,} bytes or more, and {BYTES_MAX:,} are possible.",
            do="Keep it in a file or in object storage, and its path in the variable.",
        )


def _instead(value: Any) -> str:
    if isinstance(value, tuple | set | frozenset):
        return "Make it a list."
    if isinstance(value, bytes | bytearray):
        return "Make it a text."
    if hasattr(value, "isoformat"):
        return "Make it a text: value.isoformat()."
    if hasattr(value, "model_dump"):
        return 'Make it a dict: value.model_dump(mode="json").'
    if hasattr(value, "item") and hasattr(value, "dtype"):
        return "Make it Python's own: value.tolist()."
    return "Make it a text, a number, True, False, None, a list or a dict."


def _shown(value: Any) -> str:
    shown = repr(value)
    return f"{shown[:_SHOWN]}…" if len(shown) > _SHOWN else shown
