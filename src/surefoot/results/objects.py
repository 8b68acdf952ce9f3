"""Objects: results that a user asked to store, each a file of its own, found by its key in a folder or object store.

The first line of an object is its record, as JSON: the serializer that reads the rest, length and checksum, which run
it is from, and until when it counts. The rest is what the serializer made. An object appears under its name whole, or
not at all. May import: core, places, serializing, packs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zlib import crc32

import msgspec

from surefoot._version import __version__
from surefoot.core.clock import get_clock
from surefoot.core.errors import MissingResult, TerminationSignal
from surefoot.results import places
from surefoot.results.packs import missing
from surefoot.results.pickling import why_not
from surefoot.results.places import StorageError
from surefoot.results.serializing import Serializer, SerializerError, description_of, serializer_from

__all__ = [
    "FORMAT",
    "Gone",
    "Over",
    "Record",
    "Unreadable",
    "object_path",
    "read_object",
    "read_payload",
    "read_record",
    "read_whole",
    "remove_expired",
    "write_object",
]

FORMAT: Final = 1
_HEAD: Final = 4096  # bytes that most often hold the record's line
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
    kept_until_us: int = 0  # 0: until somebody removes it

    def is_over(self) -> bool:
        """Whether it was to be stored until a time that has passed."""
        return 0 < self.kept_until_us <= get_clock().now_us()


class Gone(MissingResult):
    """There is no such object, or no longer."""


class Over(MissingResult):
    """It was to be stored until a time that has passed."""


class Unreadable(MissingResult):
    """The system did not let it be read: its cause says why."""


def object_path(storage: str, key: str) -> str:
    """The address of the object with that key. Raises BadInput if the key is no text, or leads out of the storage."""
    if not isinstance(key, str):
        raise StorageError(
            f"The storage key {key!r} is of the type {type(key).__name__}, not a text.",
            do="Pass a text; where something is written, the value comes first: `store.write(VALUE, KEY)`.",
        )
    parts = key.replace("\\", "/").split("/")
    bad = not key.strip() or len(key) > _KEY_MAX or "\0" in key or key != key.strip()
    if bad or any(part in ("", ".", "..") for part in parts) or os.path.isabs(key) or ":" in parts[0]:
        raise StorageError(
            f"The storage key {key[:200]!r} is no name of a file within the folder for results.",
            do="Use names without leading '/', '..' or spaces around them.",
        )
    return "/".join([storage, *parts]) if places.is_url(storage) else os.path.join(storage, *parts)


def write_object(
    storage: str,
    key: str,
    value: Any,
    serializer: Serializer,
    *,
    run_id: str = "",
    name: str = "",
    ttl_us: int | None = None,
    cache_key: str = "",
    cache_until_us: int = 0,
) -> tuple[str, Record]:
    """Store a value, over what had that key, for `ttl_us` microseconds or for good. Its address and record.

    Raises BadInput for the key, OSError of the disk or store, and whatever the serializer raises.
    """
    path = object_path(storage, key)
    payload = serializer.dumps(value)
    if not isinstance(payload, bytes):
        raise SerializerError(
            f"The serializer {serializer!r} made a {type(payload).__name__} of a result, not bytes.",
            do="Let its `dumps` return bytes.",
        )
    now_us = get_clock().now_us()
    record = Record(
        FORMAT,
        description_of(serializer),
        len(payload),
        crc32(payload),
        key,
        run_id,
        name,
        now_us,
        __version__,
        ".".join(map(str, sys.version_info[:3])),
        cache_key,
        cache_until_us,
        kept_until_us=0 if ttl_us is None else now_us + ttl_us,
    )
    places.put(path, msgspec.json.encode(record), b"\n", payload)
    return path, record


def read_record(path: str) -> Record:
    """The record of an object, without its value. Raises MissingResult, which says why it is not to be had."""
    raw = _read(path, lambda address: places.head(address, _HEAD))
    end = raw.find(b"\n")
    if end < 0 and len(raw) >= _HEAD:
        raw = _read(path, lambda address: places.head(address, _RECORD_MAX))
        end = raw.find(b"\n")
    return _record(path, raw[:end])


def read_whole(path: str) -> tuple[Record, bytes]:
    """The record of an object and the bytes behind it. Raises MissingResult, as `read_record`."""
    raw = _read(path, places.get)
    end = raw.find(b"\n", 0, _RECORD_MAX)
    record, payload = _record(path, raw[:end]), raw[end + 1 :]
    if record.length != len(payload) or record.crc32 != crc32(payload):
        raise missing(path, "it is damaged: the value's length or checksum is wrong")
    return record, payload


def _read(path: str, read: Callable[[str], bytes]) -> bytes:
    try:
        return read(path)
    except FileNotFoundError:
        raise Gone(f"The result in {path} is not to be had: it was removed.", do="Run it again.") from None
    except OSError as error:
        told = f"The result in {path} is not to be had: it cannot be read: {error.strerror or error}"
        raise Unreadable(told, do="See that the place can be read, then run it again.") from error


def _record(path: str, line: bytes) -> Record:
    try:
        found = msgspec.json.decode(line)
        version = found["surefoot_result"] if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise missing(path, f"a newer version of Surefoot wrote it, in format {version}; this one reads {FORMAT}")
        return msgspec.convert(found, Record)
    except (msgspec.MsgspecError, KeyError):
        raise missing(path, "it is damaged: its first line is no record of a result") from None


def read_object(path: str, *, run_id: str = "", cache_key: str | None = None) -> tuple[Any, Record]:
    """The value of an object and its record. Raises MissingResult, which says why it is not to be had.

    With `run_id`, an object that another run stored over that one's is a miss, unless it is under that `cache_key`.
    """
    record, payload = read_payload(path, run_id=run_id, cache_key=cache_key)
    try:
        return serializer_from(record.serializer).loads(payload), record
    except (KeyboardInterrupt, TerminationSignal):
        raise
    except SerializerError as error:
        raise MissingResult(f"The result in {path} is not to be had: {error.what}", do=error.do) from error
    except BaseException as error:
        told = record.serializer.get("type")
        raise missing(path, f"the serializer {told!r} cannot read it: {why_not(error)}") from error


def read_payload(path: str, *, run_id: str = "", cache_key: str | None = None) -> tuple[Record, bytes]:
    """The record of an object and the bytes behind it. Raises MissingResult, as `read_object`."""
    record, payload = read_whole(path)
    if record.is_over():
        until = datetime.fromtimestamp(record.kept_until_us / 1e6, UTC)
        told = f"it was stored until {until:%Y-%m-%d %H:%M} UTC, which has passed"
        raise Over(f"The result in {path} is not to be had: {told}.", do="Run it again.")
    is_same = cache_key is not None and record.cache_key == cache_key
    if run_id and record.run_id and run_id != record.run_id and not is_same:
        raise missing(path, f"the run {record.run_id} of {record.name!r} has stored its own result over it")
    return record, payload


def remove_expired(storage: str, *, dry: bool = False) -> tuple[list[str], int]:
    """Remove the objects of a storage that were to be stored until now. Their addresses, and how many bytes that were.

    What is no object of ours is left alone. With `dry` nothing is removed. Raises OSError if the storage cannot be
    listed, or an object not removed.
    """
    removed: list[str] = []
    freed = 0
    for name in list(places.names(storage)):
        path = f"{storage}/{name}" if places.is_url(storage) else os.path.join(storage, *name.split("/"))
        try:
            record = read_record(path)
        except MissingResult:
            continue  # gone, unreadable, or somebody else's
        if record.is_over():
            size = record.length if dry else places.remove(path)
            if size is not None:
                removed.append(path)
                freed += size
    return removed, freed
