"""Cached results: objects that other runs may take for theirs, found by the keys that cache policies make.

Without a place of its own for keys, the record of a key is the first line of the object itself. With one, it is a file
there that says where the object is. A record that does not fit, whatever the reason, is a miss that says so, never
another key's value. May import: core, objects, serializing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.errors import MissingResult
from surefoot.core.facts import ResultAt
from surefoot.results import places
from surefoot.results.objects import Gone, Over, Record, Unreadable, object_path, read_object, read_record, write_object
from surefoot.results.serializing import Serializer, name_of, serializer_from

__all__ = ["Hit", "Miss", "find_cached", "instant", "object_name", "recorded_key", "store_cached"]

_KEY_MAX: Final = 2000
_NAME_MAX: Final = 200  # characters of a file's name; systems take 255 bytes
_SAFE: Final = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._ =,+@()-]{{0,{_NAME_MAX - 1}}}", re.ASCII)


class Hit(NamedTuple):
    """A value that another run stored."""

    value: Any
    at: ResultAt
    record: Record


class Miss(NamedTuple):
    """Why there is none."""

    why: str
    is_damage: bool = False  # there is a record, which cannot be used: damaged, or of another version
    is_failure: bool = False  # the storage itself could not be read


def object_name(key: str) -> str:
    """The storage key of a cache key: the same, where that can be the name of a file everywhere; else made of its hash.

    >>> object_name("daily-monday"), object_name("eu/2026"), object_name("a:b")[:4]
    ('daily-monday', 'eu/2026', 'key-')
    """
    parts = key.split("/")
    if len(key) < 4 * _NAME_MAX and all(_SAFE.fullmatch(part) and part[-1] not in ". " for part in parts):
        return key
    from hashlib import blake2b  # late: it takes 3 ms to import, and most keys need none

    return f"key-{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def recorded_key(key: str) -> str:
    """A key as records have it: short enough, and a text that JSON can hold."""
    if len(key) > _KEY_MAX:
        key = f"{key[:_NAME_MAX]}… {object_name(key)}"
    return key.encode("utf-8", "backslashreplace").decode()


def find_cached(storage: str, key: str, *, name: str | None = None, key_storage: str | None = None) -> Hit | Miss:
    """What is stored under a cache key and has not expired.

    Args:
        storage: where results lie.
        key: the cache key.
        name: the storage key, if it is not made of that.
        key_storage: where the records of keys lie, if not with the results.
    """
    path = object_path(key_storage or storage, name or object_name(key))
    try:
        if key_storage is None:
            value, record = read_object(path)
        else:
            record = read_record(path)
            value = None
    except Gone:
        return Miss("nothing is stored under it")
    except Over as error:
        return Miss(error.what.rstrip("."))
    except MissingResult as error:
        return _unusable(error)
    if record.cache_key != recorded_key(key):
        return Miss(f"what {path} holds was not stored for other runs to take, or under another key")
    if 0 < record.cache_until_us <= get_clock().now_us():
        return Miss(f"what was stored under it expired at {instant(record.cache_until_us)}")
    if key_storage is not None:
        path = record.value_at
        try:
            value, stored = read_object(path, run_id=record.run_id)
        except Gone as error:
            return Miss(error.what.rstrip("."), True)
        except MissingResult as error:
            return _unusable(error)
        record = msgspec.structs.replace(record, serializer=stored.serializer, length=stored.length)
    at = ResultAt(path, 0, record.length, name_of(serializer_from(record.serializer)))
    return Hit(value, at, record)


def _unusable(error: MissingResult) -> Miss:
    is_unread = isinstance(error, Unreadable)
    return Miss(error.what.rstrip("."), not is_unread, is_unread)


def store_cached(
    storage: str,
    key: str,
    value: Any,
    serializer: Serializer,
    *,
    run_id: str,
    run_name: str,
    until_us: int = 0,
    name: str | None = None,
    key_storage: str | None = None,
    ttl_us: int | None = None,
) -> tuple[str, Record]:
    """Store a value under a cache key. The path of its object, and its record. Raises as `write_object`.

    Args:
        storage, key, name, key_storage: as of `find_cached`.
        value: what the run returned.
        serializer: what it is written with.
        run_id, run_name: of the run, and of its task.
        until_us: when it expires; 0: never.
        ttl_us: for how long it is stored, in microseconds; None for good.
    """
    if key_storage is None:
        return write_object(
            storage,
            name or object_name(key),
            value,
            serializer,
            run_id=run_id,
            name=run_name,
            cache_key=recorded_key(key),
            cache_until_us=until_us,
            ttl_us=ttl_us,
        )
    # First the value, under the run's own name: a record never leads to what another run has stored meanwhile.
    path, record = write_object(storage, run_id, value, serializer, run_id=run_id, name=run_name, ttl_us=ttl_us)
    key_path = object_path(key_storage, name or object_name(key))
    apart = msgspec.structs.replace(
        record,
        length=0,
        crc32=0,
        cache_key=recorded_key(key),
        cache_until_us=until_us,
        value_at=path,
        key=name or object_name(key),
    )
    places.put(key_path, msgspec.json.encode(apart), b"\n")
    return path, record


def instant(at_us: int) -> str:
    """An instant in words.

    >>> instant(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat(' ')[:19]} UTC"
