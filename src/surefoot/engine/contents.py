"""Contents: a hash of a whole value, however large, by which a cache finds it again in any process.

As `hash_of`, but without its limits, and equal where the values are: the order of a dict's keys does not count, nor how
a frame lies in memory. Large buffers and texts are hashed where they lie. May import: hashing.
"""

from __future__ import annotations

from gc import get_referents
from types import FunctionType
from typing import Any, Final

from surefoot.engine.hashing import CONTAINERS, SIMPLE, NoHash, Walk, blake2b, encode, name_of, short_hash
from surefoot.states import State

__all__ = ["content_hash"]

_NO_LIMIT: Final = 1 << 62
_LEVELS_MAX: Final = 8
_ITEMS_MAX: Final = 1000
_PACKABLE: Final = SIMPLE | {list, dict}
_LARGE: Final = 1 << 12  # from this size on what stands in for a part is its hash, so that few of its bytes are copied


def content_hash(value: Any) -> bytes:
    """A hash of a value's content, of 16 bytes. Raises NoHash that says why there is none.

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1}), content_hash([1]) == content_hash((1,))
    (True, False)
    """
    packed = _built_in(value)
    if packed is not None:
        return short_hash(packed)
    try:
        return short_hash(_Contents().encoded(value))
    except RecursionError:
        raise NoHash("is nested too deeply to be hashed") from None
    except NoHash:
        raise
    except Exception as error:  # of the value's own code
        raise NoHash(f"cannot be hashed: {type(error).__name__}: {error}") from None


def _built_in(value: Any) -> bytes | None:
    """A small value of built-in kinds, without tuples or sets, as bytes, at the speed of C; None for any other."""
    level = [value]
    for _ in range(_LEVELS_MAX):
        kinds = set(map(type, level))
        if kinds <= SIMPLE:
            break
        if not kinds <= _PACKABLE:
            return None
        level = get_referents(*[part for part in level if type(part) is list or type(part) is dict])
        if len(level) > _ITEMS_MAX:
            return None
    else:
        return None
    try:
        return b"\xc1" + encode(value)  # a byte with which nothing else begins
    except (OverflowError, UnicodeEncodeError, TypeError):  # a number, text or mix of keys that msgpack does not know
        return None


class _Contents(Walk):
    """A walk through all of a value. What a part is made of is hashed as soon as it is large."""

    columns_max = _NO_LIMIT

    def __init__(self) -> None:
        super().__init__(None, None, _NO_LIMIT, _NO_LIMIT)

    def _simple(self, value: Any, kind: type) -> Any:
        if kind is bytes and len(value) >= _LARGE:
            return ["bytes", len(value), short_hash(value)]
        if kind is str and len(value) >= _LARGE:
            return ["text", len(value), short_hash(value.encode("utf-8", "surrogatepass"))]
        return super()._simple(value, kind)

    def _buffer(self, raw: memoryview) -> Any:
        return [raw.nbytes, short_hash(raw)]

    def _container(self, value: Any, kind: type) -> Any:
        if kind is dict:
            pairs = [encode([self._plain(key), self._plain(part)]) for key, part in value.items()]
            return ["dict", *_shortened(sorted(pairs))]
        if kind is list or kind is tuple:
            if SIMPLE.issuperset(map(type, value)):
                packed = _packed(value)
                if packed is not None:
                    return [kind.__name__, "simple", packed]
            return [kind.__name__, *_shortened([encode(self._plain(part)) for part in value])]
        return [kind.__name__, *_shortened(sorted([encode(self._plain(part)) for part in value]))]

    def _reference(self, target: Any) -> Any:
        if isinstance(target, State):
            return ["state", target.type.value, target.name, target.message, self._plain(target.data)]
        raise NoHash("is a future, whose value is not there yet")

    def _whole(self, value: Any, kind: type) -> Any:
        if kind not in CONTAINERS and not isinstance(value, type):
            if hasattr(kind, "__pydantic_fields_set__"):
                return self._model(value, kind)
            if kind.__name__ == "ndarray" and kind.__module__ == "numpy" and value.size and not value.dtype.hasobject:
                return self._array(value)
            if kind.__name__ in ("DataFrame", "Series") and kind.__module__.partition(".")[0] == "polars":
                frame = value if kind.__name__ == "DataFrame" else value.to_frame()
                return ["polars", kind.__name__, *map(self._column, frame.iter_columns())]
        return super()._whole(value, kind)

    def _array(self, value: Any) -> Any:
        """A NumPy array by its items in order, however they lie in memory."""
        lying = value if value.flags.c_contiguous else value.copy(order="C")
        raw = memoryview(lying.reshape(-1).view("u1"))
        return ["ndarray", self._plain(value.dtype), list(value.shape), self._buffer(raw)]

    def _column(self, column: Any) -> Any:
        """A column of a polars frame by its values: not by its chunks, or what is known of its order."""
        described = [self._plain(column.name), str(column.dtype)]
        if described[1] == "String":  # of a part of a frame its bytes may be those of the whole
            return [*described, self._plain(column.to_list())]
        return [*described, self._buffer(column.rechunk().to_frame().write_ipc(None).getbuffer())]

    def _maker(self, make: Any) -> Any:
        if type(make) is FunctionType and make.__closure__ is None:
            return ["maker", name_of(make)]  # by its name, as pickle has it: its code is none of the value's
        return self._plain(make)

    def _model(self, value: Any, kind: type) -> Any:
        """A pydantic model by its values: which of them were given, and which are defaults, makes no other model."""
        if any("__reduce__" in vars(base) or "__reduce_ex__" in vars(base) for base in kind.__mro__[:-1]):
            return self._taken_apart(value, kind)
        parts = (value.__dict__, value.__pydantic_extra__, value.__pydantic_private__)
        return ["model", name_of(kind), *map(self._plain, parts)]


def _packed(value: Any) -> bytes | None:
    try:
        return short_hash(encode(value))
    except (OverflowError, UnicodeEncodeError):  # a number or text that msgpack does not know
        return None


def _shortened(parts: list[bytes]) -> list[Any]:
    if sum(map(len, parts)) < _LARGE:
        return parts
    hashed = blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return [len(parts), hashed.digest()]
