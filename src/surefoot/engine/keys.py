"""Keys: what a run is found by when its flow run is started again: its task, its inputs, and how-manieth of these.

No position counts, so tasks may be submitted in any order. An input that is another run's result counts as that run,
which is found by its own key; any other by its content, up to 1 MiB. What a function carries (values of its closure,
arguments of a partial) is an input too. The hash of a value is the same in every process of the same Python: sets are
sorted, functions count by their code. May import: core, inputs, sources.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from gc import get_referents
from itertools import islice
from threading import Lock
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

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
    from surefoot.engine.definition import Definition
    from surefoot.engine.links import Links

__all__ = [
    "Key",
    "Keys",
    "NoHash",
    "carrier_of",
    "fingerprint",
    "hash_of",
    "identity_of",
    "short_hash",
    "source_hash",
]

BYTES_MAX: Final = 1 << 20
_ITEMS_MAX: Final = 1 << 18
_LINKED_BYTES_MAX: Final = 1 << 16  # another run's plain result this small counts by content: it may have been changed
_SAMPLED: Final = 4096  # items of a container, and characters of a text, from which on samples are taken
_SAMPLED_BYTES: Final = 1 << 18
_SAMPLES: Final = 32
_SAMPLE_BYTES: Final = 4096
_LOOKED_AT_MAX: Final = 1 << 30
_COLUMNS_MAX: Final = 500
_SIMPLE: Final = frozenset({int, float, bool, str, bytes, type(None)})

_PACKED_LEVELS_MAX: Final = 8  # also the way out of a container that holds itself
_PACKED_ITEMS_MAX: Final = 1000
_PACKED_CONTAINERS: Final[frozenset[type]] = frozenset({list, tuple, dict})
_PACKABLE: Final = _SIMPLE | _PACKED_CONTAINERS

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class NoHash(Exception):
    """A value cannot be told from another, and why."""


# What a run is found by; why that cannot be relied on, if so; the runs whose results stand in its inputs, however deep;
# and a fingerprint of the inputs, if it cost nothing more. A plain tuple: there is one for each task run.
Key = tuple[bytes, str | None, frozenset[bytes] | None, bytes | None]


class Keys:
    """The keys of one flow run's task runs and subflow runs. `counts`: where another process goes on counting."""

    __slots__ = ("_links", "_lock", "counts")

    def __init__(self, links: Links, counts: dict[bytes, int] | None = None) -> None:
        self._links = links
        self.counts: dict[bytes, int] = {} if counts is None else counts  # of runs that are alike, so far
        self._lock = Lock()

    def key(
        self,
        identity: bytes,
        parent_id: bytes,
        names: Callable[[int], str],
        args: tuple[Any, ...],
        kwargs: Any,
        carrier: Any = None,
    ) -> Key:
        """The key of the next run of that identity, called like this, by a function that carries values, if one does.

        What cannot be relied on is a key all the same: that of the how-manieth call, so that the run is shown as one
        that was started again.
        """
        unkeyed = content = None
        runs: frozenset[bytes] | None = None
        try:
            if (
                carrier is None
                and _SIMPLE.issuperset(map(type, args))
                and (not kwargs or _SIMPLE.issuperset(map(type, kwargs.values())))
            ):
                raw = _encode((identity, parent_id, args, kwargs))
            else:
                met: set[bytes] = set()
                content = _packed_call(args, kwargs)
                if content is not None and carrier is None:
                    raw = _encode((identity, parent_id, content))
                else:
                    raw = _encode((identity, parent_id, *self._parts(names, args, kwargs, carrier, met)))
                    runs = frozenset(met) if met else None
        except _Unlike as error:
            unkeyed = str(error)
            raw = _encode((identity, parent_id))
        except (OverflowError, UnicodeEncodeError):  # a number or text that msgpack does not know
            raw = _encode((identity, parent_id, short_hash(_Walk(None).encoded((args, kwargs)))))
        token = blake2b(raw, digest_size=16).digest()
        with self._lock:
            count = self.counts.get(token, 0)
            self.counts[token] = count + 1
        if count:
            token = short_hash(token + count.to_bytes(8, "big"))
        return token, unkeyed, runs, content

    def _parts(
        self, names: Callable[[int], str], args: tuple[Any, ...], kwargs: dict[str, Any], carrier: Any, met: set[bytes]
    ) -> list[Any]:
        parts: list[Any] = []
        named = [(names(position), value) for position, value in enumerate(args)]
        for name, value in [*named, *kwargs.items()]:
            try:
                parts.append([name, hash_of(value, self._links, met)])
            except NoHash as error:
                raise _Unlike(f"its input {name!r} {error}") from None
        return [parts, [*kwargs], *([] if carrier is None else [_hash_of_carried(carrier)])]


class _Unlike(Exception):
    """An input cannot be told from another."""


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
        return short_hash(_Walk(links, met).encoded(value))
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
    packed = _packed_call(args, kwargs)
    if packed is not None:
        return packed
    try:
        return short_hash(_Samples(None).encoded((args, kwargs)))
    except Exception:  # it has no hash, or code of the value's own raised
        return None


def _packed_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
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
        if kinds <= _SIMPLE:
            break
        if not kinds <= _PACKABLE:
            return None
        if tuple in kinds:
            tuples.append([type(part) is tuple for part in level])
        else:
            tuples.append([])
        # For these exact types the referents are just the items and values, and such keys as are no text.
        level = get_referents(*[part for part in level if type(part) in _PACKED_CONTAINERS])
        if len(level) > _PACKED_ITEMS_MAX:
            return None
    else:
        return None
    try:
        packed = _encode((value, tuples))
    except (OverflowError, UnicodeEncodeError, TypeError):  # a number, text or kind of key that msgpack does not know
        return None
    return packed if len(packed) <= _LINKED_BYTES_MAX else None  # large ones have limits


class _Walk:
    """One walk through a value: what it is made of, in plain parts that are the same in every process."""

    def __init__(
        self, links: Links | None, met: set[bytes] | None = None, items: int = _ITEMS_MAX, size: int = BYTES_MAX
    ) -> None:
        self._links = links
        self._met = met
        self._items_left = items
        self._bytes_left = size
        self._on_the_way: dict[int, int] = {}

    def encoded(self, value: Any) -> bytes:
        return _encode(self._plain(value))

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SIMPLE:
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
        if type(value) in _CONTAINERS:
            try:
                return ["value", _Walk(None, self._met, 1000, _LINKED_BYTES_MAX).encoded(value)]
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
        if kind in _CONTAINERS:
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
            return ["class", _name_of(value)]
        if (
            kind.__name__ == "DataFrame"
            and kind.__module__.startswith("pandas.")
            and len(value.columns) <= _COLUMNS_MAX
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
                parts = sorted(map(_encode, parts))
        return [kind.__name__, *parts]

    def _buffer(self, raw: memoryview) -> Any:
        self._take(raw.nbytes)
        return bytes(raw)

    def _check_size(self, size: int) -> None:
        if size > self._bytes_left:
            raise _too_large()

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
            return [_name_of(kind), reduced]
        make, args, state, items, pairs = [*reduced[:5], None, None, None][:5]
        return [
            _name_of(kind),
            self._plain(make),
            self._plain(args),
            self._plain(state),
            None if items is None else list(map(self._plain, items)),
            None if pairs is None else [list(map(self._plain, pair)) for pair in pairs],
        ]


class _Samples(_Walk):
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


# -- what a function carries


def carrier_of(fn: Any) -> Any:
    """The function itself if it carries values, None if its code is all that there is to it."""
    if type(fn) is FunctionType and fn.__closure__ is None and not hasattr(fn, "__wrapped__"):
        try:
            hash_of((fn.__defaults__, fn.__kwdefaults__))
        except NoHash:
            return fn
        return None
    return None if isinstance(fn, (BuiltinFunctionType, type)) else fn


def _hash_of_carried(fn: Any) -> bytes:
    try:
        return hash_of(_carried(fn, set()))
    except NoHash as error:
        raise _Unlike(f"a value that its function carries {error}") from None


def _carried(fn: Any, seen: set[int]) -> Any:
    """What a function carries, as it is now: defaults, arguments of a partial, and, of its closure, what cannot change.

    A list, an object or a connection there is a place that the function works on, and no input: another state of it
    makes no other function.
    """
    if id(fn) in seen:
        return None
    seen.add(id(fn))
    if isinstance(fn, partial):
        return ["partial", _carried(fn.func, seen), fn.args, fn.keywords]
    if not isinstance(fn, FunctionType):
        return _unchangeable(fn, seen)
    inner = getattr(fn, "__wrapped__", None)
    cells: list[Any] = []
    for cell in fn.__closure__ or ():
        if _is_filled(cell):
            value = cell.cell_contents
            # What a decorator wraps has code of its own, a change of which is told as such.
            cells.append(_carried(value, seen) if value is inner else _unchangeable(value, seen))
    return ["function", cells, fn.__defaults__, fn.__kwdefaults__]


_BY_IDENTITY: Final[Any] = object.__hash__


def _unchangeable(value: Any, seen: set[int]) -> Any:
    kind = type(value)
    if hasattr(value, "fn") and hasattr(value, "identity"):
        return [value.identity, value.source, _carried(value.fn, seen)]
    if kind is FunctionType:
        return [_module_of(value), value.__qualname__, _code(value.__code__), _carried(value, seen)]
    if kind is partial:
        return _carried(value, seen)
    if kind is MethodType:
        return [_unchangeable(value.__func__, seen), _unchangeable(value.__self__, seen)]
    if isinstance(value, type) or kind.__hash__ is not _BY_IDENTITY:
        try:
            hash(value)
        except Exception:
            return _name_of(kind)
        return value
    return _name_of(kind)


# -- code


def _function(function: FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return [
        _module_of(function),
        function.__qualname__,
        _code(function.__code__),
        function.__defaults__,
        function.__kwdefaults__,
        cells,
    ]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _code(code: CodeType) -> bytes:
    """A function's code as bytes: not its line numbers, its comments, or the file that it stands in."""
    constants = [_code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts]
    return _encode(
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


_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})
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


def source_hash(fn: Callable[..., Any]) -> str:
    """A hash of a function's own code: another one means that it was changed. Formatting and comments do not count.

    >>> source_hash(lambda x: x + 1) == source_hash(lambda x: x + 1), source_hash(len) == source_hash(id)
    (True, False)
    """
    inner: Any = fn
    while isinstance(inner, partial):
        inner = inner.func
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    if code is None:
        return short_hash(
            f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', type(inner))}".encode()
        ).hex()
    try:
        defaults = hash_of((getattr(inner, "__defaults__", None), getattr(inner, "__kwdefaults__", None)))
    except NoHash:
        defaults = b""
    return short_hash(_code(code) + defaults).hex()


def identity_of(definition: Definition) -> bytes:
    """What a task or flow is known by in its flow's runs: kind, name, and where it stands in which module."""
    fn: Any = definition.fn
    return f"{definition.kind}:{definition.name}:{_module_of(fn)}:{getattr(fn, '__qualname__', '')}".encode(
        "utf-8", "backslashreplace"
    )


def _module_of(value: Any) -> str:
    """The module of a function or class; that of a script as it is called when it is imported."""
    name = str(getattr(value, "__module__", ""))
    if name != "__main__":
        return name.removeprefix(FLOW_FILE)
    return main_module() or name


def _name_of(kind: Any) -> str:
    return f"{_module_of(kind)}.{getattr(kind, '__qualname__', kind)}"
