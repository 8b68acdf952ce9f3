"""Keys: what a run is found by when its flow run is started again: its task, its inputs, and how-manieth of these.

No position counts, so tasks may be submitted in any order. An input that is another run's result counts as that run,
which is found by its own key; any other by its content, up to 1 MiB. What a function carries (values of its closure,
arguments of a partial) is an input too. May import: core, hashing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from surefoot.engine.hashing import (
    SIMPLE,
    NoHash,
    Walk,
    blake2b,
    code_bytes,
    encode,
    hash_of,
    is_filled,
    module_of,
    name_of,
    packed_call,
    short_hash,
)

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition
    from surefoot.engine.execution import Execution
    from surefoot.engine.links import Links

__all__ = ["Keys", "carried_by", "carrier_of", "identity_of", "source_hash"]


class Keys:
    """The keys of one flow run's task runs and subflow runs. `counts`: where another process goes on counting."""

    __slots__ = ("_links", "_lock", "counts")

    def __init__(self, links: Links, counts: dict[bytes, int] | None = None) -> None:
        self._links = links
        self.counts: dict[bytes, int] = {} if counts is None else counts  # of runs that are alike, so far
        self._lock = Lock()

    def identify(self, run: Execution, args: tuple[Any, ...], kwargs: Any) -> None:
        """Give a run its key: that of the next run of its task or flow that is called like this.

        What cannot be relied on is a key all the same: that of the how-manieth call, so that the run is shown as one
        that was started again.
        """
        definition, parent = run.definition, run.parent
        identity = definition._identity or definition.identity
        parent_id = parent.run_id if parent is not None and parent.is_task else b""
        if definition._bound:
            args = (*definition._bound, *args)
        if (
            definition._carrier is None
            and SIMPLE.issuperset(map(type, args))
            and (not kwargs or SIMPLE.issuperset(map(type, kwargs.values())))
        ):
            try:
                raw = encode((identity, parent_id, args, kwargs))
            except (OverflowError, UnicodeEncodeError):
                raw = _walked(identity, parent_id, args, kwargs)
        else:
            raw = self._looked_into(run, identity, parent_id, args, kwargs)
        token = blake2b(raw, digest_size=16).digest()
        counts = self.counts
        if token not in counts:
            counts[token] = 1  # CPython lets nobody in between this and the look
        else:
            with self._lock:
                count = counts[token]
                counts[token] = count + 1
            token = short_hash(token + count.to_bytes(8, "big"))
        run.run_key = token

    def _looked_into(
        self, run: Execution, identity: bytes, parent_id: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """What the key is a hash of, where there is more than simple values. Tells the run what was found in these."""
        definition = run.definition
        try:
            content = run.before = packed_call(args, kwargs)
            if content is not None and definition._carrier is None:
                return encode((identity, parent_id, content))
            met: set[bytes] = set()
            raw = encode((identity, parent_id, *self._parts(definition, args, kwargs, met)))
            run.made_of = frozenset(met) if met else None
            return raw
        except _Unlike as error:
            run.unkeyed = str(error)
            return encode((identity, parent_id))
        except (OverflowError, UnicodeEncodeError):
            return _walked(identity, parent_id, args, kwargs)

    def _parts(
        self, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], met: set[bytes]
    ) -> list[Any]:
        parts: list[Any] = []
        carrier = definition._carrier
        named = [(definition.name_at(n), value) for n, value in enumerate(args, -len(definition._bound))]
        for name, value in [*named, *kwargs.items()]:
            try:
                parts.append([name, hash_of(value, self._links, met)])
            except NoHash as error:
                raise _Unlike(f"its input {name!r} {error}") from None
        return [parts, [*kwargs], *([] if carrier is None else [_hash_of_carried(carrier)])]


def _walked(identity: bytes, parent_id: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """What the key is a hash of, where there is a number or text that msgpack does not know."""
    return encode((identity, parent_id, short_hash(Walk(None).encoded((args, kwargs)))))


class _Unlike(Exception):
    """An input cannot be told from another."""


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


def carried_by(fn: Any) -> Any:
    """What a function carries besides its code: values of its closure, defaults, arguments of a partial."""
    return _carried(fn, set())


def _hash_of_carried(fn: Any) -> bytes:
    try:
        return hash_of(carried_by(fn))
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
        if is_filled(cell):
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
        return [module_of(value), value.__qualname__, code_bytes(value.__code__), _carried(value, seen)]
    if kind is partial:
        return _carried(value, seen)
    if kind is MethodType:
        return [_unchangeable(value.__func__, seen), _unchangeable(value.__self__, seen)]
    if isinstance(value, type) or kind.__hash__ is not _BY_IDENTITY:
        try:
            hash(value)
        except Exception:
            return name_of(kind)
        return value
    return name_of(kind)


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
    return short_hash(code_bytes(code) + defaults).hex()


def identity_of(definition: Definition) -> bytes:
    """What a task or flow is known by in its flow's runs: kind, name, and where it stands in which module."""
    fn: Any = definition.fn
    return f"{definition.kind}:{definition.name}:{module_of(fn)}:{getattr(fn, '__qualname__', '')}".encode(
        "utf-8", "backslashreplace"
    )
