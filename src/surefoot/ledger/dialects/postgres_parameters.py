"""What goes to PostgreSQL as a parameter otherwise than its driver would have it. May import: nothing of ours."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.string import BytesBinaryDumper, StrDumperUnknown
from sqlalchemy.types import UserDefinedType

__all__ = ["IdArray", "Ids", "register", "visible"]

_NUL: Final = "␀"  # what stands for the one character that PostgreSQL's text cannot hold
_ARRAY: Final = Struct(">5i")
_LENGTH: Final = Struct(">i")


def register(connection: Any) -> None:
    """Make a connection of the driver send them so."""
    connection.adapters.register_dumper(str, _TextDumper)
    connection.adapters.register_dumper(Ids, _IdsDumper)
    # The newest for a type is what COPY takes: else one that is written in Python, for the DB-API's `Binary`.
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)


class _TextDumper(StrDumperUnknown):
    """Text as a parameter, NUL made visible: what was stored so is found so."""

    def dump(self, obj: str) -> Any:
        return super().dump(visible(obj))


class Ids(tuple[bytes, ...]):
    """Some ids as one parameter."""


class IdArray(UserDefinedType[Ids]):
    """The type of that parameter."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "bytea[]"


class _IdsDumper(Dumper):
    """Ids as PostgreSQL takes an array in its own format; going by way of text took 5 µs an id."""

    format = Format.BINARY
    oid = 1001  # bytea[]

    def dump(self, obj: Any) -> bytes:
        parts = [_ARRAY.pack(1, 0, 17, len(obj), 1)]  # dimensions, no nulls, of bytea, how many, counted from 1
        for one in obj:
            parts += (_LENGTH.pack(len(one)), one)
        return b"".join(parts)


def visible(text: str) -> str:
    """Text that can be stored: NUL made visible."""
    return text.replace("\0", _NUL) if "\0" in text else text
