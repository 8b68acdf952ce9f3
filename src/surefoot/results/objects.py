"""Objects: results that a user asked to store, each a file of its own, found by its key in a folder.

The first line of an object is its record, as JSON: the serializer that reads the rest, length and checksum, and which
run it is from. The rest is what the serializer made. An object appears under its name whole, or not at all.
May import: core, serializing, packs.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final
from zlib import crc32

import msgspec

from surefoot._version import __version__
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, MissingResult, TerminationSignal
from surefoot.core.os.files import write_bytes
from surefoot.results.packs import missing
from surefoot.results.pickling import why_not
from surefoot.results.serializing import Serializer, SerializerError, description_of, serializer_from

__all__ = [
    "FORMAT",
    "Gone",
    "Record",
    "StorageError",
    "Unreadable",
    "folder_of",
    "object_path",
    "read_object",
    "read_payload",
    "read_record",
    "write_object",
]

FORMAT: Final = 1
_RECORD_MAX: Final = 1 << 20  # bytes within which the record's line ends
_KEY_MAX: Final = 1000


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """How and from where an object was stored: its first line."""

    surefoot_result: int  # the format
    serializer: dict[str, Any]
    length: int
    crc32: int
    key: str
    run_id: str = ""
    name: str = ""  # of the run's task or flow
    stored_us: int = 0
    surefoot: str = ""
    python: str = ""
    cache_key: str = ""  # by which other runs may take it for theirs; empty: they may not
    cache_until_us: int = 0  # until then; 0: for good
    value_at: str = ""  # of a record that stands apart from its value: where that is


class Gone(MissingResult):
    """There is no such object, or no longer."""


class Unreadable(MissingResult):
    """The system did not let it be read: its cause says why."""


class StorageError(BadInput, ValueError):
    """A storage key, or a place for results, that cannot be used."""


def folder_of(storage: object) -> str:
    """The folder that a `result_storage` names. Raises BadInput for a URL, or for what is no path."""
    try:
        path = os.fspath(storage)  # type: ignore[call-overload]
    except TypeError:
        raise StorageError(
            f"result_storage is {storage!r}, which is no path.", do="Pass a folder: a text or a pathlib.Path."
        ) from None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise StorageError(f"result_storage is {path!r}, which is no path.", do="Pass the path of a folder.")
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() == "file":
        path = rest
    elif separator:
        raise StorageError(
            f"result_storage is {path!r}, and this version stores results in folders only.",
            do="Pass a folder, for example one that all machines mount.",
        )
    return os.path.abspath(os.path.expanduser(path))


def object_path(folder: str, key: str) -> str:
    """The path of the object with that key. Raises BadInput if the key leads out of the folder."""
    parts = key.replace("\\", "/").split("/")
    bad = not key.strip() or len(key) > _KEY_MAX or "\0" in key or key != key.strip()
    if bad or any(part in ("", ".", "..") for part in parts) or os.path.isabs(key) or ":" in parts[0]:
        raise StorageError(
            f"The storage key {key[:200]!r} is no name of a file within the folder for results.",
            do="Use names without leading '/', '..' or spaces around them.",
        )
    return os.path.join(folder, *parts)


def write_object(
    folder: str,
    key: str,
    value: Any,
    serializer: Serializer,
    *,
    run_id: str = "",
    name: str = "",
    cache_key: str = "",
    cache_until_us: int = 0,
) -> tuple[str, Record]:
    """Store a value, over what had that key. Its path and record.

    Raises BadInput for the key, OSError of the disk, and whatever the serializer raises.
    """
    path = object_path(folder, key)
    payload = serializer.dumps(value)
    if not isinstance(payload, bytes):
        raise SerializerError(
            f"The serializer {serializer!r} made a {type(payload).__name__} of a result, not bytes.",
            do="Let its `dumps` return bytes.",
        )
    record = Record(
        FORMAT,
        description_of(serializer),
        len(payload),
        crc32(payload),
        key,
        run_id,
        name,
        get_clock().now_us(),
        __version__,
        ".".join(map(str, sys.version_info[:3])),
        cache_key,
        cache_until_us,
    )
    write_bytes(path, msgspec.json.encode(record), b"\n", payload, sync=False)  # as the journal: power loss only
    return path, record


def read_record(path: str) -> tuple[Record, bytes]:
    """The record of an object and the bytes behind it. Raises MissingResult, which says why it is not to be had."""
    try:
        with open(path, "rb") as file:
            line = file.readline(_RECORD_MAX)
            payload = file.read()
    except FileNotFoundError:
        raise Gone(f"The result in {path} is not to be had: it was removed.", do="Run it again.") from None
    except OSError as error:
        told = f"The result in {path} is not to be had: it cannot be read: {error.strerror}"
        raise Unreadable(told, do="See that the place can be read, then run it again.") from error
    try:
        found = msgspec.json.decode(line)
        version = found["surefoot_result"] if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise missing(path, f"a newer version of Surefoot wrote it, in format {version}; this one reads {FORMAT}")
        record = msgspec.convert(found, Record)
    except (msgspec.MsgspecError, KeyError):
        raise missing(path, "it is damaged: its first line is no record of a result") from None
    if record.length != len(payload) or record.crc32 != crc32(payload):
        raise missing(path, "it is damaged: the value's length or checksum is wrong")
    return record, payload


def read_object(path: str, *, run_id: str = "") -> tuple[Any, Record]:
    """The value of an object and its record. Raises MissingResult, which says why it is not to be had.

    With `run_id`, an object that another run stored over that one's is a miss.
    """
    record, payload = read_payload(path, run_id=run_id)
    try:
        return serializer_from(record.serializer).loads(payload), record
    except (KeyboardInterrupt, TerminationSignal):
        raise
    except SerializerError as error:
        raise MissingResult(f"The result in {path} is not to be had: {error.what}", do=error.do) from error
    except BaseException as error:
        told = record.serializer.get("type")
        raise missing(path, f"the serializer {told!r} cannot read it: {why_not(error)}") from error


def read_payload(path: str, *, run_id: str = "") -> tuple[Record, bytes]:
    """The record of an object and the bytes behind it. Raises MissingResult, as `read_object`."""
    record, payload = read_record(path)
    if run_id and record.run_id and run_id != record.run_id:
        raise missing(path, f"the run {record.run_id} of {record.name!r} has stored its own result over it")
    return record, payload
