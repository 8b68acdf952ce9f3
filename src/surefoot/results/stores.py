"""ResultStore: reading and writing stored results by their keys, from any code. May import: core, objects, loading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from surefoot.core import settings as core_settings
from surefoot.core.clock import get_clock
from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id, to_text
from surefoot.core.locking import LockManager
from surefoot.core.wire import RunResult
from surefoot.results import places
from surefoot.results.asking import Persistence, persistence_here
from surefoot.results.contents import is_content
from surefoot.results.loading import load
from surefoot.results.locked_keys import LockedKeys, check_lock_manager
from surefoot.results.objects import Gone, Record, object_path, read_object, read_record, remove_expired, write_object
from surefoot.results.persistence import default_storage, default_ttl_us
from surefoot.results.places import StorageError
from surefoot.results.serializing import Serializer, resolve_serializer

__all__ = ["ResultRecord", "ResultStore", "get_result_store", "load_result", "should_persist_result"]

T = TypeVar("T")


class ResultRecord(Generic[T]):
    """A stored result: the value, and the record of how it was stored."""

    __slots__ = ("metadata", "result")

    def __init__(self, result: T, metadata: Record) -> None:
        self.result = result
        self.metadata = metadata

    def __repr__(self) -> str:
        return f"<ResultRecord {self.metadata.key!r} by {self.metadata.serializer['type']!r}>"


class ResultStore(LockedKeys):
    """Stored results of a folder or object store, each found by its key.

    Args:
        result_storage: the path of a folder, a URL (`s3://bucket/prefix`, `gs://`, `az://`, `memory://name`), or a
            storage object with `read_path` and `write_path`. By default that of the settings `results.default_storage`
            and `results.local_storage_path`.
        serializer: what new results are written with; by default the setting `results.default_serializer`.
        lock_manager: keeps locks on the keys, for transactions that are SERIALIZABLE.

    >>> import tempfile
    >>> store = ResultStore(tempfile.mkdtemp(), "json")
    >>> store.write({"rows": 3}, "report-monday").metadata.key
    'report-monday'
    >>> store.read("report-monday").result, store.exists("report-tuesday")
    ({'rows': 3}, False)
    """

    def __init__(
        self,
        result_storage: Any = None,
        serializer: Serializer | str | None = None,
        lock_manager: LockManager | None = None,
    ) -> None:
        check_lock_manager(lock_manager)
        self.lock_manager = lock_manager
        settings = core_settings.refresh()
        self.storage = default_storage(settings) if result_storage is None else places.address_of(result_storage)
        self._ttl_us = default_ttl_us(settings)
        self.serializer = resolve_serializer(settings.results.default_serializer if serializer is None else serializer)

    def read(self, key: str, holder: str | None = None) -> ResultRecord[Any]:
        """The result with that key. Raises MissingResult, which says why it is not to be had.

        Args:
            key: what it is found by.
            holder: of no account: what somebody has locked may be read.
        """
        path = object_path(self.storage, key)
        try:
            return ResultRecord(*read_object(path))
        except Gone:
            told = f"The result in {path} is not to be had: it was never stored there, or it was removed."
            raise Gone(told, do="Look at the `keys()` that there are.") from None

    async def aread(self, key: str, holder: str | None = None) -> ResultRecord[Any]:
        """The same, without blocking the event loop."""
        return await _in_a_thread(lambda: self.read(key, holder))

    def write(
        self, obj: Any, key: str | None = None, expiration: datetime | None = None, holder: str | None = None
    ) -> ResultRecord[Any]:
        """Store a value, over what had that key; without a key under a new one.

        Args:
            obj: the value.
            key: what it is found by.
            expiration: until when it counts, with a time zone; by default as `results.stored_max_age_days` says.
            holder: on whose behalf, where the store has a lock manager.

        Raises BadInput for a key or time that is none, LockedByOther if somebody else has locked the key, OSError of
        the disk, and whatever the serializer raises.
        """
        if key is not None:
            self._check_free(key, holder)
        key = to_text(new_id()) if key is None else key
        ttl_us = self._ttl_us if expiration is None else _us_until(expiration)
        _, record = write_object(self.storage, key, obj, self.serializer, ttl_us=ttl_us)
        return ResultRecord(obj, record)

    async def awrite(
        self, obj: Any, key: str | None = None, expiration: datetime | None = None, holder: str | None = None
    ) -> ResultRecord[Any]:
        """The same, without blocking the event loop."""
        return await _in_a_thread(lambda: self.write(obj, key, expiration, holder))

    def exists(self, key: str) -> bool:
        """Whether there is an object with that key, readable or not. Raises OSError if that cannot be found out."""
        return places.exists(object_path(self.storage, key))

    async def aexists(self, key: str) -> bool:
        """The same, without blocking the event loop."""
        return await _in_a_thread(lambda: self.exists(key))

    def remove(self, key: str) -> bool:
        """Remove the result with that key. False if there was none. Raises OSError if it cannot be removed."""
        return places.remove(object_path(self.storage, key)) is not None

    def metadata(self, key: str) -> Record:
        """The record of the result with that key, without its value. Raises MissingResult."""
        return read_record(object_path(self.storage, key))

    def keys(self) -> Iterator[str]:
        """The keys that there are, in no order. Raises OSError if the store cannot be listed."""
        return (name for name in places.names(self.storage) if not is_content(name))

    def remove_expired(self) -> list[str]:
        """Remove the results whose time is over (`result_ttl`). Their addresses. Raises OSError."""
        return remove_expired(self.storage)[0]

    def __repr__(self) -> str:
        return f"ResultStore({self.storage!r}, {self.serializer.type!r})"


def _us_until(expiration: datetime) -> int:
    if not isinstance(expiration, datetime) or expiration.tzinfo is None:
        raise StorageError(
            f"expiration of a stored result is {expiration!r}.",
            do="Pass a datetime with a time zone: datetime.now(UTC) + timedelta(days=30).",
        )
    return max(1, int(expiration.timestamp() * 1e6) - get_clock().now_us())  # what is over already is stored as such


async def _in_a_thread(step: Callable[[], T]) -> T:
    import asyncio  # a door: who awaits has loaded it

    return await asyncio.to_thread(step)


def get_result_store() -> ResultStore:
    """The store that the results of the run go to that this code is in; outside of runs, that of the settings."""
    here = persistence_here()
    return ResultStore(None if here is None else here.storage, None if here is None else here.serializer)


def should_persist_result() -> bool:
    """Whether the result of the run is stored that this code is in; outside of runs, whether one would be."""
    here = persistence_here() or Persistence.by_default(core_settings.refresh())
    return here.persist


def load_result(at: ResultAt | RunResult, *, home: str | None = None, run_id: str = "") -> Any:
    """The value that a run's record names, stored or kept for resuming.

    Args:
        at: where it lies, as `get_client().find_result("brave-otter")` tells.
        home: the Surefoot home; that of the settings if left out.
        run_id: the run's id: a stored result that another run has stored over is a miss then.

    Raises MissingResult, which says why it is not to be had.
    """
    if isinstance(at, RunResult):
        run_id, at = at.stored_by or at.run_id, ResultAt(at.place, at.offset, at.length, at.serializer)
    return load(core_settings.refresh().home if home is None else home, at, run_id=run_id)
