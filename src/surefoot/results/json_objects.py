"""What JSON does not know, as a dict that names its class, and back: `{"__class__": "datetime.date", "data": ...}`.

May import: nothing of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import msgspec

__all__ = ["decode_object", "encode_object"]

_CLASS: Final = "__class__"
_DATA: Final = "data"


def encode_object(value: Any) -> dict[str, Any]:
    """The dict for a value that JSON does not know. Raises TypeError, naming its class, for one that is not known here.

    >>> import uuid
    >>> encode_object(uuid.UUID(int=1))
    {'__class__': 'uuid.UUID', 'data': '00000000-0000-0000-0000-000000000001'}
    """
    cls = type(value)
    # Python 3.13 has the classes of `pathlib` in modules of its own underneath, and 3.14 again not.
    module = "pathlib" if cls.__module__.startswith("pathlib.") else cls.__module__
    path = f"{module}.{cls.__qualname__}"
    if path in _SIMPLE:
        return {_CLASS: path, _DATA: _SIMPLE[path][0](value)}
    data = _fields_of(value, cls)
    if data is None:
        raise TypeError(
            f"JSON cannot hold a {path}; result_serializer='pickle' can, or convert it before it is returned"
        )
    if "<locals>" in path:
        raise TypeError(f"JSON cannot hold a {path}: no later process finds a class that is made within a function")
    return {_CLASS: f"{cls.__module__}:{cls.__qualname__}", _DATA: data[0]}


def _fields_of(value: Any, cls: type) -> tuple[Any] | None:
    if hasattr(cls, "model_dump"):
        return (value.model_dump(mode="json"),)
    if hasattr(cls, "__dataclass_fields__"):
        return ({name: getattr(value, name) for name, field in cls.__dataclass_fields__.items() if field.init},)
    if isinstance(value, msgspec.Struct):
        return ({name: getattr(value, name) for name in cls.__struct_fields__},)  # type: ignore[attr-defined]
    if isinstance(value, BaseException):
        return (list(value.args),)
    if _is_enum(cls):
        return (value.name,)
    return None


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.Enum)


def decode_object(found: dict[str, Any]) -> Any:
    """The value that a dict stands for; the dict itself if it names no class.

    Raises ImportError, AttributeError or TypeError if that class is not to be had.
    """
    if len(found) != 2 or _CLASS not in found or _DATA not in found:
        return found
    path, data = found[_CLASS], found[_DATA]
    if path in _SIMPLE:
        return _SIMPLE[path][1](data)
    module, colon, qualname = str(path).partition(":")
    if not colon:
        return found
    cls: Any = import_module(module)
    for part in qualname.split("."):
        cls = getattr(cls, part)
    return _made(cls, data)


def _made(cls: Any, data: Any) -> Any:
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is no class")
    if hasattr(cls, "model_validate"):
        return cls.model_validate(data)
    if hasattr(cls, "__dataclass_fields__") or issubclass(cls, msgspec.Struct):
        return cls(**data)
    if issubclass(cls, BaseException):
        return cls(*data)
    if _is_enum(cls):
        return cls[data]  # type: ignore[index]
    raise TypeError(f"{cls!r} is not made from JSON")


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _base64(value: bytes) -> str:
    from base64 import b64encode  # a door: few values are bytes

    return b64encode(value).decode()


def _bytes(text: str) -> bytes:
    from base64 import b64decode

    return b64decode(text)


def _by(path: str, method: str) -> Callable[[Any], Any]:
    return lambda data: getattr(_class(path), method)(data)


def _call(path: str) -> Callable[[Any], Any]:
    return lambda data: _class(path)(data)


def _iso(value: Any) -> str:
    return str(value.isoformat())


_SIMPLE: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "datetime.datetime": (_iso, _by("datetime.datetime", "fromisoformat")),
    "datetime.date": (_iso, _by("datetime.date", "fromisoformat")),
    "datetime.time": (_iso, _by("datetime.time", "fromisoformat")),
    "datetime.timedelta": (
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda data: _class("datetime.timedelta")(*data),
    ),
    "uuid.UUID": (str, _call("uuid.UUID")),
    "decimal.Decimal": (str, _call("decimal.Decimal")),
    "fractions.Fraction": (str, _call("fractions.Fraction")),
    "builtins.set": (lambda value: sorted(value, key=repr), set),
    "builtins.frozenset": (lambda value: sorted(value, key=repr), frozenset),
    "builtins.bytes": (_base64, _bytes),
    "builtins.bytearray": (lambda value: _base64(bytes(value)), lambda data: bytearray(_bytes(data))),
    "builtins.complex": (lambda value: [value.real, value.imag], lambda data: complex(*data)),
    "builtins.range": (lambda value: [value.start, value.stop, value.step], lambda data: range(*data)),
    **{
        f"pathlib.{name}": (str, _call(f"pathlib.{name}"))
        for name in ("Path", "PurePath", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    "zoneinfo.ZoneInfo": (str, _call("zoneinfo.ZoneInfo")),
}
