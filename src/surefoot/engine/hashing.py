"""Hashing: a hash of a value's content that is the same in every process of the same Python.

Sets are sorted, functions count by their code, what has no plain parts is taken apart as pickle does. `hash_of` is for
resuming, up to 1 MiB; `contents.py` takes values whole, for caches. May import: inputs, links, sources.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from gc import get_referents
from itertools import islice
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

try:  # `hashlib` has it from there, and imports OpenSSL for others, which takes 3 ms
    from _blake2 import blake2b
except ImportError:  # not every Python has it under that name
    from hashlib import blake2b

from surefoot.annotations import Annotation
from surefoot.engine.inputs import is_reference
from surefoot.engine.sources import FLOW_FILE, main_module
from surefoot.states import State

if TYPE_CHECKING:
    from surefoot.engine.links import Links

__all__ = [
    "CONTAINERS",
    "SIMPLE",
    "NoHash",
    "Walk",
    "blake2b",
    "code_bytes",
    "encode",
    "fingerprint",
    "hash_of",
    "is_filled",
    "module_of",
    "name_of",
    "packed_call",
    "short_hash",
]

BYTES_MAX: Final = 1 << 20
_ITEMS_MAX: Final = 1 << 18
_LINKED_BYTES_MAX: Final = 1 << 16  # another run's plain result this small counts by content: it may have been changed
_SAMPLED: Final = 4096  # items of a container, and characters of a text, from which on samples are taken
_SAMPLED_BYTES: Final = 1 << 18
_SAMPLES: Final = 32
_SAMPLE_BYTES: Final = 4096
_LOOKED_AT_MAX: Final = 1 << 30
SIMPLE: Final = frozenset({int, float, bool, str, bytes, type(None)})

_PACKED_LEVELS_MAX: Final = 8  # also the way out of a container that holds itself
_PACKED_ITEMS_MAX: Final = 1000
_PACKED_CONTAINERS: Final[frozenset[type]] = frozenset({list, tuple, dict})
_PACKABLE: Final = SIMPLE | _PACKED_CONTAINERS

encode = msgspec.msgpack.Encoder(order="deterministic").encode


class NoHash(Exception):
    """A value cannot be told from another, and why."""


def short_hash(raw: bytes | memoryview) -> bytes:
    """A hash of bytes, of 16 bytes."""
    return blake2b(raw, digest_size=16).digest()


def hash_of(value: Any, links: Links | None = None, met: set[bytes] | None = None) -> bytes:
    """A hash of a value's content, of 16 bytes. Raises NoHash that says why there is none.

    Args:
        value: anything. Futures, states and what `links` knows as a run's result count as the run that they are from.
        links: which values came from which run.
        met: takes the ids of all runs that count.

    >>> hash_of({"a": [1, 2]}) == hash_of({"a": [1, 2]}), hash_of([1]) == hash_of([True])
    (True, False)
    """
    packed = _packed([value], value) if type(value) in _PACKED_CONTAINERS else None
    if packed is not None:
        return short_hash(packed)
    try:
        return short_hash(Walk(links, met).encoded(value))
    except RecursionError:
        raise NoHash("is nested too deeply to be compared") from None
    except NoHash:
        raise
    except Exception as error:  # of the value's own code
        raise NoHash(f"cannot be compared: {type(error).__name__}: {error}") from None


def fingerprint(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
    """A hash by which an argument is seen to have been changed in place, of samples where it is large.

    None: not to be had.

    >>> rows = [1, 2]
    >>> before = fingerprint((rows,), {})
    >>> rows.append(3)
    >>> fingerprint((rows,), {}) == before
    False
    """
    packed = packed_call(args, kwargs)
    if packed is not None:
        return packed
    try:
        return short_hash(_Samples(None).encoded((args, kwargs)))
    except Exception:  # it has no hash, or code of the value's own raised
        return None


def packed_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
    """A hash of a call's arguments at the speed of C, if they are small and of built-in kinds; else None."""
    packed = _packed([*args, *kwargs.values()] if kwargs else [*args], (args, kwargs))
    return None if packed is None else short_hash(packed)


def _too_large() -> NoHash:
    return NoHash("is larger than 1 MiB, and so is not compared")


def _packed(level: list[Any], value: Any) -> bytes | None:
    """A small value of built-in kinds as bytes, at the speed of C; None if it is no such value.

    Level by level, from the first: which of them are tuples, since these are packed as lists are.
    """
    tuples: list[list[bool]] = []
    for _ in range(_PACKED_LEVELS_MAX):
        kinds = set(map(type, level))
        if kinds <= SIMPLE:
            break
        if not kinds <= _PACKABLE:
            return None
        tuples.append([type(part) is tuple for part in level] if tuple in kinds else [])
        # For these exact types the referents are just the items and values, and such keys as are no text; simple
        # values have none.
        level = get_referents(*level)
        if len(level) > _PACKED_ITEMS_MAX:
            return None
    else:
        return None
    try:
        packed = encode((value, tuples))
    except (OverflowError, UnicodeEncodeError, TypeError):  # a number, text or kind of key that msgpack does not know
        return None
    return packed if len(packed) <= _LINKED_BYTES_MAX else None  # large ones have limits


class Walk:
    """One walk through a value: what it is made of, in plain parts that are the same in every process."""

    columns_max: ClassVar[int] = 500  # of a frame that is looked at column by column

    def __init__(
        self, links: Links | None, met: set[bytes] | None = None, items: int = _ITEMS_MAX, size: int = BYTES_MAX
    ) -> None:
        self._links = links
        self._met = met
        self._items_left = items
        self._bytes_left = size
        self._on_the_way: dict[int, int] = {}

    def encoded(self, value: Any) -> bytes:
        return encode(self._plain(value))

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind in SIMPLE:
            return self._simple(value, kind)
        self._items_left -= 1
        if self._items_left < 0:
            raise _too_large()
        if is_reference(kind):
            return self._reference(value)
        linked = self._linked(value)
        if linked is not None:
            return linked
        level = len(self._on_the_way)
        if id(value) in self._on_the_way:
            return ["up", level - self._on_the_way[id(value)]]  # it contains itself
        self._on_the_way[id(value)] = level
        try:
            return self._whole(value, kind)
        finally:
            del self._on_the_way[id(value)]

    def _simple(self, value: Any, kind: type) -> Any:
        if kind is str or kind is bytes:
            self._take(len(value))
            if kind is str and not value.isascii():
                return ["text", value.encode("utf-8", "surrogatepass")]
        elif kind is int and not -(1 << 63) <= value < 1 << 64:
            return ["int", hex(value)]
        return value

    def _take(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise _too_large()

    def _linked(self, value: Any) -> Any:
        run_id = None if self._links is None else self._links.find_one(value)
        if run_id is None:
            return None
        if type(value) in CONTAINERS:
            try:
                return ["value", Walk(None, self._met, 1000, _LINKED_BYTES_MAX).encoded(value)]
            except (NoHash, RecursionError):
                pass
        return self._run(run_id)

    def _reference(self, target: Any) -> Any:
        run_id = target.run_id
        if run_id is not None:
            return self._run(run_id)
        if isinstance(target, State):
            return ["state", target.type.value, target.name, target.message, self._plain(target.data)]
        raise NoHash("is a future of no run")

    def _run(self, run_id: bytes) -> Any:
        if self._met is not None:
            self._met.add(run_id)
        return ["run", run_id]

    def _whole(self, value: Any, kind: type) -> Any:
        if kind in CONTAINERS:
            return self._container(value, kind)
        if kind is bytearray or kind.__module__ == "array":
            with memoryview(value) as raw:
                self._check_size(raw.nbytes)  # before it is copied
                return [kind.__name__, raw.format, self._buffer(raw.cast("B"))]
        if isinstance(value, Annotation):
            return [kind.__name__, self._plain(value.value)]
        for known, taken_apart in _KNOWN.items():
            if issubclass(kind, known):
                return [known.__name__, *map(self._plain, taken_apart(value))]
        if issubclass(kind, type):
            return ["class", name_of(value)]
        if (
            kind.__name__ == "DataFrame"
            and kind.__module__.partition(".")[0] == "pandas"
            and len(value.columns) <= self.columns_max
        ):
            # Column by column: how these are stored together changes when a frame is only read.
            columns = [self._plain(value.iloc[:, number].array) for number in range(len(value.columns))]
            return [
                "DataFrame",
                self._plain(value.columns),
                self._plain(value.index),
                self._plain(value.attrs),
                columns,
            ]
        if hasattr(value, "fn") and hasattr(value, "identity"):  # a flow or a task
            return ["definition", value.identity, self._plain(value.fn)]
        return self._taken_apart(value, kind)

    def _container(self, value: Any, kind: type) -> Any:
        if len(value) > self._items_left:
            raise _too_large()
        if kind is dict:
            parts = [self._plain(part) for pair in value.items() for part in pair]
        else:
            parts = list(map(self._plain, value))
            if kind is set or kind is frozenset:
                parts = sorted(map(encode, parts))
        return [kind.__name__, *parts]

    def _buffer(self, raw: memoryview) -> Any:
        self._take(raw.nbytes)
        return bytes(raw)

    def _check_size(self, size: int) -> None:
        if size > self._bytes_left:
            raise _too_large()

    def _maker(self, make: Any) -> Any:
        return self._plain(make)

    def _taken_apart(self, value: Any, kind: type) -> Any:
        """An object as pickle takes it apart; but sets are sorted, and equal parts count alike, shared or not."""
        if kind.__name__ == "PickleBuffer":
            with value.raw() as raw:
                return self._buffer(raw)
        size = getattr(value, "nbytes", 0)
        if isinstance(size, int):
            self._check_size(size)  # before it is copied
        try:
            from copyreg import dispatch_table  # a door: only inputs that are no plain values come here

            reduced = dispatch_table[kind](value) if kind in dispatch_table else value.__reduce_ex__(5)
        except Exception as error:
            raise NoHash(f"cannot be compared: {type(error).__name__}: {error}") from None
        if isinstance(reduced, str):
            return [name_of(kind), reduced]
        make, args, state, items, pairs = [*reduced[:5], None, None, None][:5]
        return [
            name_of(kind),
            self._maker(make),
            self._plain(args),
            self._plain(state),
            None if items is None else list(map(self._plain, items)),
            None if pairs is None else [list(map(self._plain, pair)) for pair in pairs],
        ]


class _Samples(Walk):
    """A walk that takes samples of what is large: for seeing that a value was changed, not for telling values apart."""

    def _simple(self, value: Any, kind: type) -> Any:
        if (kind is str or kind is bytes) and len(value) > _SAMPLED:
            return [
                len(value),
                *map(super()._simple, (value[:512], value[:: len(value) // 512], value[-512:]), (kind,) * 3),
            ]
        return super()._simple(value, kind)

    def _container(self, value: Any, kind: type) -> Any:
        if len(value) <= _SAMPLED or kind is set or kind is frozenset:
            return super()._container(value, kind)
        step = len(value) // _SAMPLED + 1
        if kind is dict:
            parts = [*islice(value.items(), 0, None, step), *islice(reversed(value.items()), 1)]
        else:
            parts = [*value[::step], value[-1]]
        return [kind.__name__, len(value), *map(self._plain, parts)]

    def _buffer(self, raw: memoryview) -> Any:
        if raw.nbytes <= _SAMPLED_BYTES:
            return short_hash(raw)
        step = raw.nbytes // _SAMPLES
        hashed = blake2b(raw[-_SAMPLE_BYTES:], digest_size=16)
        for start in range(0, raw.nbytes, step):
            hashed.update(raw[start : start + _SAMPLE_BYTES])
        return [raw.nbytes, hashed.digest()]

    def _check_size(self, size: int) -> None:
        if size > _LOOKED_AT_MAX:
            raise _too_large()


# -- code


def _function(function: FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if is_filled(cell)]
    return [
        module_of(function),
        function.__qualname__,
        code_bytes(function.__code__),
        function.__defaults__,
        function.__kwdefaults__,
        cells,
    ]


def is_filled(cell: Any) -> bool:
    """Whether a cell of a closure has a value."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def code_bytes(code: CodeType) -> bytes:
    """A function's code as bytes: not its line numbers, its comments, or the file that it stands in."""
    constants = [code_bytes(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts]
    return encode(
        (
            code.co_code,
            code.co_exceptiontable,  # which of it a `try` covers
            constants,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_flags,
        )
    )


def _constant(value: Any) -> Any:
    if isinstance(value, (frozenset, tuple)):
        parts = list(map(_constant, value))
        return sorted(parts, key=repr) if isinstance(value, frozenset) else parts
    return repr(value)


CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
_KNOWN: Final[dict[type, Callable[[Any], tuple[Any, ...] | list[Any]]]] = {
    FunctionType: _function,
    MethodType: lambda method: (method.__func__, method.__self__),
    partial: lambda part: (part.func, part.args, part.keywords),
    BuiltinFunctionType: lambda function: (str(function.__module__), function.__qualname__),
    ModuleType: lambda module: (module.__name__,),
    range: lambda value: (value.start, value.stop, value.step),
    complex: lambda value: (value.real, value.imag),
    type(...): lambda _: (),
}


def module_of(value: Any) -> str:
    """The module of a function or class; that of a script as it is called when it is imported."""
    name = str(getattr(value, "__module__", ""))
    if name != "__main__":
        return name.removeprefix(FLOW_FILE)
    return main_module() or name


def name_of(kind: Any) -> str:
    """A class by its module and name."""
    return f"{module_of(kind)}.{getattr(kind, '__qualname__', kind)}"
