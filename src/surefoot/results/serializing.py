"""Serializers: how a value that a user wants stored becomes bytes, and a value again.

A serializer has a name, its `type`, by which any decorator finds it; a subclass of `Serializer` with a `type` is all
that a new one takes. What was stored says with which serializer, and with which options, it is to be read.
Libraries are loaded when first needed. May import: core, pickling.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar, Final

from surefoot.core.errors import BadInput
from surefoot.results.json_objects import decode_object, encode_object
from surefoot.results.pickling import pickle_bytes, unpickled

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
    "SerializerError",
    "description_of",
    "name_of",
    "resolve_serializer",
    "serializer_from",
]


class SerializerError(BadInput, ValueError):
    """There is no such serializer, or its options are wrong."""


_known: dict[str, type[Serializer]] = {}
_PLAIN: Final = (str, int, float, bool, type(None), dict, list)


class Serializer(ABC):
    """Turns values into bytes and back. A subclass gives itself a `type`, which is its name in decorators.

    >>> class Upper(Serializer):
    ...     type = "upper"
    ...     def dumps(self, obj): return obj.upper().encode()
    ...     def loads(self, blob): return blob.decode()
    >>> resolve_serializer("upper").dumps("abc")
    b'ABC'
    """

    type: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("type"):
            _known[cls.type] = cls  # a cell of a notebook may define it again

    @abstractmethod
    def dumps(self, obj: Any) -> bytes:
        """The value's bytes."""

    @abstractmethod
    def loads(self, blob: bytes) -> Any:
        """The value back."""

    def options(self) -> dict[str, Any]:
        """What the class has to be called with so that it reads what this one wrote.

        Written down beside the value; the default is all attributes that JSON can hold.
        """
        return {name: value for name, value in vars(self).items() if isinstance(value, _PLAIN) and name[0] != "_"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.options().items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.options() == other.options()

    def __hash__(self) -> int:
        return hash(type(self))


class PickleSerializer(Serializer):
    """Pickle: by plain pickle, or by cloudpickle what that refuses. Any Python value, for Python only.

    Args:
        picklelib: a module to use instead, with `dumps` and `loads`.
    """

    type = "pickle"

    def __init__(self, picklelib: str | None = None) -> None:
        self.picklelib = picklelib
        self._library = None if picklelib is None else _library(picklelib, "picklelib", "dumps", "loads")

    def dumps(self, obj: Any) -> bytes:
        """The value's bytes."""
        if self._library is not None:
            return bytes(self._library.dumps(obj))
        return pickle_bytes(obj)

    def loads(self, blob: bytes) -> Any:
        """The value back."""
        return unpickled(blob) if self._library is None else self._library.loads(blob)


class JSONSerializer(Serializer):
    """JSON, which other programs read too.

    What JSON knows not is written with the name of its class: dates, UUIDs, decimals, paths, bytes, sets, enumerations,
    exceptions, dataclasses, pydantic models, msgspec structs. As in JSON, tuples come back as lists, keys as texts.

    Args:
        jsonlib: the module, with `dumps` and `loads`.
        object_encoder: `module.function` that makes something plain of what JSON knows not.
        object_decoder: `module.function` that makes it of a dict again.
        dumps_kwargs: passed to `dumps`, for example `{"indent": 2}`.
        loads_kwargs: passed to `loads`.
    """

    type = "json"

    def __init__(
        self,
        jsonlib: str = "json",
        object_encoder: str | None = None,
        object_decoder: str | None = None,
        dumps_kwargs: dict[str, Any] | None = None,
        loads_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.jsonlib = jsonlib
        self.object_encoder = object_encoder
        self.object_decoder = object_decoder
        self.dumps_kwargs = dict(dumps_kwargs or {})
        self.loads_kwargs = dict(loads_kwargs or {})
        for kwargs, name, instead in (
            (self.dumps_kwargs, "default", "object_encoder"),
            (self.loads_kwargs, "object_hook", "object_decoder"),
        ):
            if name in kwargs:
                raise SerializerError(f"JSONSerializer got {name!r} for its library.", do=f"Pass {instead} instead.")
        self._library = _library(jsonlib, "jsonlib", "dumps", "loads")
        self._encode = _function(object_encoder, "object_encoder") or encode_object
        self._decode = _function(object_decoder, "object_decoder") or decode_object

    def dumps(self, obj: Any) -> bytes:
        """The value as JSON in UTF-8."""
        written = self._library.dumps(obj, default=self._encode, **self.dumps_kwargs)
        return written.encode() if isinstance(written, str) else bytes(written)

    def loads(self, blob: bytes) -> Any:
        """The value back."""
        return self._library.loads(blob.decode(), object_hook=self._decode, **self.loads_kwargs)


class CompressedSerializer(Serializer):
    """Another serializer's bytes, compressed. `"compressed/json"` is short for `CompressedSerializer("json")`.

    Args:
        serializer: the other one, or its name.
        compressionlib: a module with `compress` and `decompress`: lzma, zlib, bz2, gzip.
    """

    type = "compressed"

    def __init__(self, serializer: Serializer | str | dict[str, Any] = "pickle", compressionlib: str = "lzma") -> None:
        inner = serializer_from(serializer) if isinstance(serializer, dict) else resolve_serializer(serializer)
        self.serializer = inner
        self.compressionlib = compressionlib
        self._library = _library(compressionlib, "compressionlib", "compress", "decompress")

    def dumps(self, obj: Any) -> bytes:
        """The value's bytes, compressed."""
        return bytes(self._library.compress(self.serializer.dumps(obj)))

    def loads(self, blob: bytes) -> Any:
        """The value back."""
        return self.serializer.loads(self._library.decompress(blob))

    def options(self) -> dict[str, Any]:
        """As of any serializer, the inner one's included."""
        return {"serializer": description_of(self.serializer), "compressionlib": self.compressionlib}


class CompressedPickleSerializer(CompressedSerializer):
    """Pickle, compressed."""

    def __init__(self, compressionlib: str = "lzma") -> None:
        super().__init__("pickle", compressionlib)


class CompressedJSONSerializer(CompressedSerializer):
    """JSON, compressed."""

    def __init__(self, compressionlib: str = "lzma") -> None:
        super().__init__("json", compressionlib)


def resolve_serializer(serializer: Serializer | type[Serializer] | str) -> Serializer:
    """The serializer of that name, class or instance. Raises SerializerError, naming the nearest, if there is none.

    >>> resolve_serializer("compressed/json")
    CompressedSerializer(serializer={'type': 'json'}, compressionlib='lzma')
    >>> resolve_serializer("jsn")
    Traceback (most recent call last):
        ...
    surefoot.results.serializing.SerializerError: There is no serializer 'jsn'. Did you mean 'json'?
    """
    if isinstance(serializer, Serializer):
        return serializer
    if isinstance(serializer, type) and issubclass(serializer, Serializer):
        return _made(serializer, {})
    if not isinstance(serializer, str):
        raise SerializerTypeError(
            f"{serializer!r} is no serializer.", do=f"Pass a name ({_names()}) or an instance of Serializer."
        )
    outer, slash, inner = serializer.partition("/")
    if slash and outer == CompressedSerializer.type:
        return CompressedSerializer(inner)
    found = _known.get(serializer)
    if found is None:
        raise _unknown(serializer)
    return _made(found, {})


class SerializerTypeError(SerializerError, TypeError):
    """What was passed as a serializer is none."""


def description_of(serializer: Serializer) -> dict[str, Any]:
    """A serializer in words that JSON holds, from which `serializer_from` makes it again."""
    cls = type(serializer)
    default = _known.get(cls.type)
    options = serializer.options()
    plain = default is not None and cls.__module__ == __name__
    if plain and options == _default_options(serializer):
        options = {}
    described: dict[str, Any] = {"type": cls.type or cls.__name__, **options}
    if not plain:
        described["class"] = f"{cls.__module__}:{cls.__qualname__}"
    return described


def _default_options(serializer: Serializer) -> dict[str, Any] | None:
    if isinstance(serializer, CompressedSerializer):
        return None  # told in full: the default of a later version may be another
    return type(serializer)().options()


def name_of(serializer: Serializer) -> str:
    """What a serializer is called where only a name is wanted.

    >>> name_of(resolve_serializer("compressed/json"))
    'compressed/json'
    """
    name = type(serializer).type or type(serializer).__name__
    return f"{name}/{name_of(serializer.serializer)}" if isinstance(serializer, CompressedSerializer) else name


def serializer_from(described: dict[str, Any]) -> Serializer:
    """The serializer that `description_of` described. Raises SerializerError if it is not known here."""
    options = dict(described)
    name, where = options.pop("type", ""), options.pop("class", None)
    found = _known.get(name) or (_class_at(where) if isinstance(where, str) else None)
    if found is None:
        raise _unknown(str(name), where)
    return _made(found, options)


def _class_at(where: str) -> type[Serializer] | None:
    module, _, qualname = where.partition(":")
    try:
        found: Any = import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception:
        return None
    return found if isinstance(found, type) and issubclass(found, Serializer) else None


def _made(cls: type[Serializer], options: dict[str, Any]) -> Serializer:
    try:
        return cls(**options)
    except SerializerError:
        raise
    except Exception as error:
        told = ", ".join(options) or "nothing"
        raise SerializerError(
            f"The serializer {cls.__name__} cannot be made with {told}: {type(error).__name__}: {error}.",
            do="Pass an instance.",
        ) from error


def _unknown(name: str, where: object = None) -> SerializerError:
    from difflib import get_close_matches  # a door: only a mistake pays for it

    if where is not None:
        return SerializerError(f"There is no serializer {name!r} here.", do=f"Import {where} first.")
    near = get_close_matches(name, [*_known, "compressed/json", "compressed/pickle"], n=1)
    return SerializerError(
        f"There is no serializer {name!r}.", do=f"Did you mean {near[0]!r}?" if near else f"There are {_names()}."
    )


def _names() -> str:
    return ", ".join([*sorted(_known), "compressed/json", "compressed/pickle"])


def _library(name: str, argument: str, *functions: str) -> Any:
    try:
        library = import_module(name)
    except ImportError as error:
        raise SerializerError(f"{argument} {name!r} cannot be imported: {error}.", do="Install it.") from error
    for function in functions:
        if not callable(getattr(library, function, None)):
            raise SerializerError(
                f"{argument} {name!r} has no function {function!r}.",
                do=f"Name a module that has {' and '.join(functions)}.",
            )
    return library


def _function(path: str | None, argument: str) -> Any:
    if path is None:
        return None
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SerializerError(f"{argument} {path!r} cannot be found: {error}.", do="Pass module.function.") from error
