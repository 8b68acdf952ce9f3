"""Pickling: a value to bytes, by plain pickle and else by cloudpickle, within a limit; and back.

What is small goes through memory; what grows beyond `LARGE` goes straight to a file, so that no second copy of it is
ever made. Classes and functions of the script that was run (`__main__`) are written by their names, and found in the
module that the same file is loaded as later. Imports `_pickle` itself: `pickle` would load `re`, 5 ms that a script
which keeps numbers has no use for. May import: core.
"""

from __future__ import annotations

import sys
from _pickle import PickleBuffer, Pickler, Unpickler, dumps
from collections.abc import Callable
from gc import get_referents
from io import BytesIO
from types import FunctionType, ModuleType
from typing import Any, Final, Protocol

from surefoot.core.errors import TerminationSignal

__all__ = [
    "LARGE",
    "PLAIN",
    "PROTOCOL",
    "Large",
    "TooLarge",
    "bytes_of",
    "is_plain",
    "pickle_bytes",
    "pickled",
    "unpickled",
    "why_not",
]

PROTOCOL: Final = 5
LARGE: Final = 1 << 20  # bytes from which on a value gets a file of its own
PLAIN: Final = frozenset({type(None), bool, int, float, complex})  # small whatever they hold, and pickled in 0.2 us
_TEXTS: Final = frozenset({str, bytes})
_CONTAINERS: Final = frozenset({list, tuple, dict})
_SIZED: Final = _TEXTS | _CONTAINERS
_BUILT_IN: Final = PLAIN | _SIZED
_FEW: Final = 200  # items of one level of containers in containers
_LEVELS_MAX: Final = 8
_LITTLE: Final = 64 << 10  # characters of texts, and items of containers


class TooLarge(Exception):
    """A value is larger than may be kept."""


class Large(Protocol):
    """A file that takes a large value."""

    def write(self, chunk: bytes | memoryview) -> int:
        """Take the next bytes. Raises OSError if the disk does not."""

    def drop(self) -> None:
        """Take the file away."""


def is_plain(value: Any) -> bool:
    """Whether a value surely is small and pickles without running any code but pickle's."""
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind in _TEXTS:
        return len(value) < LARGE
    return kind in _CONTAINERS and _holds_little(value)


def _holds_little(container: Any) -> bool:
    """Whether all that it holds is of built-in kinds, few, and not long. What is large is not listed to see that."""
    if len(container) > _FEW:
        return False
    room = _LITTLE
    level = get_referents(container)
    for _ in range(_LEVELS_MAX):
        if len(level) > _FEW:
            return False
        kinds = set(map(type, level))
        if kinds <= PLAIN:
            return True
        if not kinds <= _BUILT_IN:
            return False
        room -= sum([len(part) for part in level if type(part) in _SIZED])
        if room < 0:
            return False
        # Of these exact kinds they are the items and values, and such keys as are no text (which are short in life);
        # others have none.
        level = get_referents(*level)
        if not level:
            return True
    return False


def pickle_bytes(value: Any) -> bytes:
    """The value's bytes, however many. Raises whatever pickling raises.

    >>> unpickled(pickle_bytes(lambda x: x + 1))(2)
    3
    """
    try:
        return dumps(value, PROTOCOL)
    except (RecursionError, MemoryError):
        raise
    except Exception:
        out = BytesIO()
        _by_value_pickler()(out, PROTOCOL).dump(value)
        return out.getvalue()


def pickled(value: Any, most: int, open_large: Callable[[], Large]) -> bytes | Large:
    """The value's bytes, or the file that they went to because they are many.

    Raises TooLarge if there are more than `most`; whatever pickling raises; OSError of that file. Then no file is left.
    """
    if is_plain(value):
        raw = dumps(value, PROTOCOL)
        if len(raw) > most:
            raise TooLarge
        return raw
    if bytes_of(value) > most:
        raise TooLarge  # before it is copied
    try:
        return _poured(Pickler, value, most, open_large)
    except (TooLarge, RecursionError, MemoryError, OSError):
        raise
    except Exception:
        return _poured(_by_value_pickler(), value, most, open_large)


def bytes_of(value: Any) -> int:
    """What a value of plain bytes or numbers takes, in bytes; 0 for any other, which only pickling tells.

    >>> bytes_of(bytearray(100)), bytes_of([1, 2])
    (100, 0)
    """
    if isinstance(value, bytes | bytearray | str):
        return len(value)
    kind = type(value)
    if kind.__module__ == "array":
        return len(value) * int(value.itemsize)
    size = getattr(value, "nbytes", 0) if kind.__module__ in ("numpy", "builtins") else 0
    return size if isinstance(size, int) else 0


def _poured(pickler: Any, value: Any, most: int, open_large: Callable[[], Large]) -> bytes | Large:
    sink = _Sink(most, open_large)
    try:
        pickler(sink, PROTOCOL).dump(value)
    except BaseException:
        if sink.large is not None:
            sink.large.drop()
        raise
    return sink.large or b"".join(sink.chunks)


class _Sink:
    """Takes what a pickler writes: into memory first, then into a file."""

    def __init__(self, most: int, open_large: Callable[[], Large]) -> None:
        self.chunks: list[bytes] = []
        self.large: Large | None = None
        self._size = 0
        self._most = most
        self._open_large = open_large

    def write(self, chunk: bytes | memoryview | PickleBuffer) -> int:
        if isinstance(chunk, PickleBuffer):
            chunk = chunk.raw()
        size = len(chunk)
        self._size += size
        if self._size > self._most:
            raise TooLarge
        if self.large is not None:
            return self.large.write(chunk)
        if self._size <= LARGE:
            self.chunks.append(bytes(chunk))  # what a pickler hands out is only its own until the next call
            return size
        self.large = large = self._open_large()
        for earlier in self.chunks:
            large.write(earlier)
        self.chunks = []
        return large.write(chunk)


def _by_value_pickler() -> Any:
    """The pickler for what has no name to be found by: lambdas, functions and classes made within functions."""
    global _by_value
    if _by_value is None:
        import cloudpickle  # a door: 23 ms, for the few values that need it

        class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
            """As cloudpickle, but what `__main__` has by name stays a name."""

            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, type | FunctionType) and _is_named_in_main(obj):
                    return NotImplemented
                return super().reducer_override(obj)

        _by_value = ByValue
    return _by_value


_by_value: Any = None


def _is_named_in_main(obj: Any) -> bool:
    if obj.__module__ != "__main__":
        return False
    found: Any = sys.modules.get("__main__")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def why_not(error: BaseException) -> str:
    """In one line why a value cannot be pickled. Raises the error again if it is not the value's fault but a stop."""
    if isinstance(error, (KeyboardInterrupt, TerminationSignal)):
        raise error
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:
        text = ""
    name = type(error).__name__
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    if isinstance(error, MemoryError):
        text = "there is not enough memory"
    return f"{name}: {text}" if text else name


def unpickled(raw: bytes, main_module: ModuleType | None = None, *, stand_ins: bool = False) -> Any:
    """The value back. Raises whatever unpickling raises.

    Args:
        raw: what `pickled` made.
        main_module: where classes and functions are found that were the script's own (`__main__`) when pickled.
        stand_ins: have classes that are not found stood in for by some that only show what they were.
    """
    if stand_ins:
        return _WithStandIns(BytesIO(raw)).load()
    if main_module is not None and b"__main__" in raw:
        return _AsMain(raw, main_module).load()
    return Unpickler(BytesIO(raw)).load()


class _AsMain(Unpickler):
    """Finds what was `__main__`'s in the module that its file is loaded as now."""

    def __init__(self, raw: bytes, main_module: ModuleType) -> None:
        super().__init__(BytesIO(raw))
        self._main = main_module

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name != "__main__":
            return super().find_class(module_name, global_name)
        found: Any = self._main
        for part in global_name.split("."):
            found = getattr(found, part)
        return found


class _WithStandIns(Unpickler):
    """Makes a class for each that is not found: for looking at values of which not all code is here."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return super().find_class(module_name, global_name)
        except (ImportError, AttributeError):
            return type(global_name.rpartition(".")[2], (_StandIn,), {"__module__": module_name})


class _StandIn:
    """An object whose class is not here."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made.__dict__["_args"] = args
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # of a class with slots: its dict, and its slots
        for part in parts:
            self.__dict__.update(part if isinstance(part, dict) else {})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __repr__(self) -> str:
        fields = [f"{name}={value!r}" for name, value in vars(self).items() if name != "_args"]
        return f"{type(self).__name__}({', '.join([*map(repr, vars(self)['_args']), *fields])})"
