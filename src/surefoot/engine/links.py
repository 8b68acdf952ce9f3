"""Links: which task run a plain value came from, so that passing a value, not a future, is seen as a dependency too.

A value is known by its identity while it lives: weakly where that is possible; small plain texts, paths, dates and
containers are kept, so that no id is ever used again under a link and no link is false; anything else that cannot be
watched is not linked. What programs share (numbers, None, booleans, names, enumerations, classes, a constant that two
runs return) is never linked. May import: nothing of ours.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

__all__ = ["Links"]

_KEPT_MAX: Final = 512  # values kept alive for the sake of a link
_TEXT_MAX: Final = 4096
_PARTS_MAX: Final = 64
_SHARED: Final = frozenset(
    {int, float, bool, complex, type(None), type(...), range, type, FunctionType, BuiltinFunctionType, ModuleType}
)
_TEXTS: Final = frozenset({str, bytes})
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_FRESH: Final = frozenset({list, dict, set})  # made anew by each call; of other plain values there may be one for all
_SMALL: Final = frozenset(
    {"datetime", "decimal", "fractions", "pathlib", "uuid", "zoneinfo"}
)  # their values are kept too


class Links:
    """The links of one flow run."""

    __slots__ = ("_kept", "_weak")

    def __init__(self) -> None:
        self._weak: dict[int, tuple[weakref.ref[Any], bytes]] = {}
        self._kept: OrderedDict[int, tuple[Any, bytes | None]] = OrderedDict()

    def add(self, value: Any, run_id: bytes) -> None:
        """Remember that `value`, and what it holds directly, is the result of a task run."""
        kind = type(value)
        if kind in _SHARED:
            return
        if kind in _CONTAINERS:
            if len(value) > _PARTS_MAX:
                return
            plain = True
            for part in value.values() if kind is dict else value:
                if type(part) not in _SHARED and type(part) not in _TEXTS:
                    plain = False
                    self._add_one(part, type(part), run_id)
            # A container of plain parts costs little to keep; one of large objects is found again by its parts.
            if plain and value:
                self._keep(value, run_id)
        else:
            self._add_one(value, kind, run_id)

    def _add_one(self, value: Any, kind: type, run_id: bytes) -> None:
        if kind in _TEXTS:
            # Python makes one object of equal texts that look like a name, wherever they stand.
            if 1 < len(value) <= _TEXT_MAX and not (kind is str and value.isidentifier()):
                self._keep(value, run_id)
            return
        if kind in _SHARED or kind in _CONTAINERS:
            return
        if isinstance(value, (type, Enum)):
            return
        key = id(value)
        weak = self._weak

        def forget(_: Any) -> None:
            weak.pop(key, None)

        try:
            weak[key] = (weakref.ref(value, forget), run_id)
        except TypeError:
            if kind.__module__.partition(".")[0] in _SMALL:
                self._keep(value, run_id)

    def _keep(self, value: Any, run_id: bytes) -> None:
        kept = self._kept
        before = kept.get(id(value))
        is_shared = before is not None and before[1] != run_id and type(value) not in _FRESH
        kept[id(value)] = (value, None if is_shared else run_id)
        if len(kept) > _KEPT_MAX:
            kept.popitem(last=False)

    def find(self, value: Any) -> set[bytes]:
        """The task runs that `value`, or what it holds directly, came from."""
        kind = type(value)
        if kind in _SHARED or not (self._weak or self._kept):
            return set()
        found = {run_id for run_id in (self.find_one(value),) if run_id}
        if kind in _CONTAINERS and len(value) <= _PARTS_MAX:
            parts: Iterable[Any] = value.values() if kind is dict else value
            found.update(run_id for run_id in map(self.find_one, parts) if run_id)
        return found

    def find_one(self, value: Any) -> bytes | None:
        key = id(value)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is value:
            return kept[1]
        weak = self._weak.get(key)
        if weak is not None and weak[0]() is value:
            return weak[1]
        return None
