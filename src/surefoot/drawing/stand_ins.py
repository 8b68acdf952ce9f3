"""Stand-ins: what the body of a flow gets, while it is drawn, in place of what a task would have given.

A stand-in follows what is done with it as far as that needs no value: `rows["id"] + 1` is a stand-in of the same task.
Where the real value is needed (`if rows:`), it says so, and names the task. May import: core, engine, futures, states.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from surefoot.annotations import Annotation, quote
from surefoot.core.errors import VisualizationError
from surefoot.core.ids import new_id
from surefoot.futures import Future, FutureList
from surefoot.states import Completed, State

__all__ = ["DrawnFuture", "StandIn", "UncountedFutures", "sources_of"]

Sources = frozenset[int]  # the nodes that a value comes from


class StandIn:
    """What a task would have given. It takes attributes, items, calls and arithmetic; each gives another stand-in.

    Args:
        sources: the nodes that it comes from.
        told: whose it is, for messages: "task 'extract'".
        refuse: is told what is wanted of it for which the value is needed, and gives the error to raise.
    """

    _sources: Sources
    _told: str
    _refuse: Callable[[str, str], VisualizationError]

    def __init__(self, sources: Sources, told: str, refuse: Callable[[str, str], VisualizationError]) -> None:
        self.__dict__["_sources"] = sources
        self.__dict__["_told"] = told
        self.__dict__["_refuse"] = refuse

    def _with(self, *others: Any) -> StandIn:
        return StandIn(frozenset(self._sources.union(*map(_direct, others))), self._told, self._refuse)

    def __getattr__(self, name: str) -> StandIn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._with()

    def __setattr__(self, name: str, value: Any) -> None:
        self._join(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._join(value)

    def _join(self, value: Any) -> None:
        """What is put into a thing is part of it from then on."""
        self.__dict__["_sources"] = self._sources | _direct(value)

    def __getitem__(self, key: Any) -> StandIn:
        return self._with(key)

    def __call__(self, *args: Any, **kwargs: Any) -> StandIn:
        """What a call of it would give."""
        return self._with(*args, *kwargs.values())

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[StandIn]:
        count = _unpacked_into(sys._getframe(1))
        if count is None:
            raise self._refuse(self._told, "goes through it (`for`, `list`, `*`)")
        return iter([self._with() for _ in range(count)])

    def __str__(self) -> str:
        return f"<what {self._told} gives>"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    __hash__ = object.__hash__


def _unpacked_into(frame: Any) -> int | None:
    """Into how many names the line that runs there unpacks (`a, b = load()`); None if it does something else."""
    from opcode import opmap

    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at + 1] if 0 <= at < len(code) - 1 and code[at] == opmap.get("UNPACK_SEQUENCE") else None


_FOLLOWED: Final = """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul
    and rand or ror xor rxor lshift rlshift rshift rrshift neg pos abs invert eq ne lt le gt ge round""".split()
_REFUSED: Final = {
    "bool": "decides by it (`if`, `while`, `and`, `not`)",
    "len": "asks for its length",
    "contains": "looks for something in it (`in`)",
    "int": "makes a number of it",
    "float": "makes a number of it",
    "complex": "makes a number of it",
    "index": "counts with it, or opens it (`range`, an index, `open`)",
    "bytes": "makes bytes of it",
    "fspath": "takes it for a path",
    "next": "takes the next of it",
}


def _follow(self: StandIn, *others: Any) -> StandIn:
    return self._with(*others)


def _refusing(wanted: str) -> Callable[..., Any]:
    def refuse(self: StandIn, *_: Any) -> Any:
        raise self._refuse(self._told, wanted)

    return refuse


for _name in _FOLLOWED:
    setattr(StandIn, f"__{_name}__", _follow)
for _name, _wanted in _REFUSED.items():
    setattr(StandIn, f"__{_name}__", _refusing(_wanted))


class DrawnFuture(Future[Any]):
    """The future of a task that is drawn: it has completed, with a stand-in."""

    __slots__ = ("sources",)

    def __init__(self, sources: Sources, name: str, value: Any) -> None:
        self._execution = None
        self._callbacks = None
        self._state = Completed(data=value)
        self.run_id = new_id()
        self.run_name = name
        self.sources = sources


class UncountedFutures(FutureList[Any]):
    """The futures of a map over what is not known: one stands for all."""


def _direct(value: Any) -> Sources:
    if isinstance(value, StandIn):
        return value._sources
    if isinstance(value, DrawnFuture):
        return value.sources
    if isinstance(value, State) and value.run_id is None:
        return _direct(value.data)
    return frozenset()


def sources_of(value: Any, known: Callable[[Any], Sources]) -> Sources:
    """The nodes that a value, or anything in it, comes from.

    Args:
        value: an argument of a call; lists, dicts, dataclasses and the like are searched.
        known: what values that are no stand-ins come from.
    """
    found: set[int] = set()
    seen: set[int] = set()
    level = [value]
    while level:
        below: list[Any] = []
        for part in level:
            if id(part) in seen:
                continue
            seen.add(id(part))
            found |= _direct(part) | known(part)
            below += _inside(part)
        level = below
    return frozenset(found)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Annotation):
        return [] if isinstance(value, quote) else [value.value]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (StandIn, type)):
        return []
    if hasattr(type(value), "__dataclass_fields__") or hasattr(type(value), "model_dump"):
        return list(vars(value).values()) if hasattr(value, "__dict__") else []
    return []
