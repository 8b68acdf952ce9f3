"""Keys: what a run is found by when its flow run is started again: its task, its inputs, and how-manieth of these.

No position counts, so tasks may be submitted in any order. An input that is another run's result counts as that run,
which is found by its own key; any other by its content, up to 1 MiB. The hash of a value is the same in every process
of the same Python: sets are sorted, functions count by their code. May import: core, inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
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
from surefoot.states import State

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition
    from surefoot.engine.links import Links

__all__ = ["Keys", "NoHash", "hash_of", "identity_of", "short_hash", "source_hash"]

BYTES_MAX: Final = 1 << 20
_ITEMS_MAX: Final = 1 << 18
_LINKED_BYTES_MAX: Final = 1 << 16  # another run's plain result this small counts by content: it may have been changed
_SIMPLE: Final = frozenset({int, float, bool, str, bytes, type(None)})

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class NoHash(Exception):
    """A value cannot be told from another, and why."""


class Keys:
    """The keys of one flow run's task runs and subflow runs."""

    __slots__ = ("_counts", "_links", "_lock")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._counts: dict[bytes, int] = {}
        self._lock = Lock()

    def key(
        self, identity: bytes, parent_id: bytes, names: Callable[[int], str], args: tuple[Any, ...], kwargs: Any
    ) -> tuple[bytes, str | None]:
        """The key of the next run of that identity, called like this, and why it cannot be relied on, if so.

        Even then it is a key: that of the how-manieth call, so that the run is shown as one that was started again.
        """
        unkeyed = None
        try:
            if _SIMPLE.issuperset(map(type, args)) and (not kwargs or _SIMPLE.issuperset(map(type, kwargs.values()))):
                raw = _encode((identity, parent_id, args, kwargs))
            else:
                raw = _encode((identity, parent_id, *self._parts(names, args, kwargs)))
        except _Unlike as error:
            unkeyed = str(error)
            raw = _encode((identity, parent_id))
        except (OverflowError, UnicodeEncodeError):  # a number or text that msgpack does not know
            raw = _encode((identity, parent_id, repr(args), repr(kwargs)))
        token = short_hash(raw)
        with self._lock:
            count = self._counts.get(token, 0)
            self._counts[token] = count + 1
        return (short_hash(token + count.to_bytes(8, "big")) if count else token), unkeyed

    def _parts(self, names: Callable[[int], str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        parts: list[Any] = []
        named = [(names(position), value) for position, value in enumerate(args)]
        for name, value in [*named, *kwargs.items()]:
            try:
                parts.append(value if type(value) in _SIMPLE else [name, hash_of(value, self._links)])
            except NoHash as error:
                raise _Unlike(f"its input {name!r} {error}") from None
        return [parts, [*kwargs]]


class _Unlike(Exception):
    """An input cannot be told from another."""


def short_hash(raw: bytes) -> bytes:
    """A hash of bytes, of 16 bytes."""
    return blake2b(raw, digest_size=16).digest()


def hash_of(value: Any, links: Links | None = None) -> bytes:
    """A hash of a value's content, of 16 bytes. Raises NoHash that says why there is none.

    Args:
        value: anything. Futures, states and what `links` knows as a run's result count as the run that they are from.
        links: which values came from which run.

    >>> hash_of({"a": [1, 2]}) == hash_of({"a": [1, 2]}), hash_of([1]) == hash_of([True])
    (True, False)
    """
    try:
        return short_hash(_Walk(links).encoded(value))
    except RecursionError:
        raise NoHash("is nested too deeply to be compared") from None


def _too_large() -> NoHash:
    return NoHash("is larger than 1 MiB, and so is not compared")


class _Walk:
    """One walk through a value: what it is made of, in plain parts that are the same in every process."""

    def __init__(self, links: Links | None, items: int = _ITEMS_MAX, size: int = BYTES_MAX) -> None:
        self._links = links
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
            return ["run", _run_id_of(value)]
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
                return ["value", _Walk(None, 1000, _LINKED_BYTES_MAX).encoded(value)]
            except (NoHash, RecursionError):
                pass
        return ["run", run_id]

    def _whole(self, value: Any, kind: type) -> Any:
        if kind in _CONTAINERS:
            return self._container(value, kind)
        if isinstance(value, Annotation):
            return [kind.__name__, self._plain(value.value)]
        for known, taken_apart in _KNOWN.items():
            if issubclass(kind, known):
                return [known.__name__, *map(self._plain, taken_apart(value))]
        if issubclass(kind, type):
            return ["class", _name_of(value)]
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

    def _taken_apart(self, value: Any, kind: type) -> Any:
        """An object as pickle takes it apart; but sets are sorted, and equal parts count alike, shared or not."""
        if kind.__name__ == "PickleBuffer":
            with value.raw() as raw:
                self._take(raw.nbytes)
                return bytes(raw)
        size = getattr(value, "nbytes", 0)
        if isinstance(size, int) and size > self._bytes_left:
            raise _too_large()  # before it is copied
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


def _run_id_of(target: Any) -> bytes:
    run_id = target.run_id
    if run_id is not None:
        return bytes(run_id)
    if isinstance(target, State):
        return hash_of((target.type.value, target.name, target.message))
    raise NoHash("is a future of no run")


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
    return _encode((code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_flags))


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
    bytearray: lambda value: (bytes(value),),
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
    """The module of a function or class; that of a script by its file's name, as it is called when it is imported."""
    name = str(getattr(value, "__module__", ""))
    if name != "__main__":
        return name.removeprefix("flow_file_")
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return "__main__" if file is None else file.replace("\\", "/").rpartition("/")[2].removesuffix(".py")


def _name_of(kind: Any) -> str:
    return f"{_module_of(kind)}.{getattr(kind, '__qualname__', kind)}"
