"""ResultStore: reading and writing stored results by their keys, from any code. May import: core, objects, loading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from surefoot.core import settings as core_settings
from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id, to_text
from surefoot.core.locking import LockManager
from surefoot.core.wire import RunResult
from surefoot.results.asking import Persistence, persistence_here
from surefoot.results.loading import load
from surefoot.results.locked_keys import LockedKeys, check_lock_manager
from surefoot.results.objects import Record, folder_of, object_path, read_object, read_record, write_object
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
    """A folder of stored results, each found by its key.

    Args:
        result_storage: the folder; by default that of the setting `results.local_storage_path`.
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
        self.folder = folder_of(settings.results.local_storage_path if result_storage is None else result_storage)
        self.serializer = resolve_serializer(settings.results.default_serializer if serializer is None else serializer)

    def read(self, key: str) -> ResultRecord[Any]:
        """The result with that key. Raises MissingResult, which says why it is not to be had."""
        return ResultRecord(*read_object(object_path(self.folder, key)))

    def write(self, obj: Any, key: str | None = None, holder: str | None = None) -> ResultRecord[Any]:
        """Store a value, over what had that key; without a key under a new one.

        Args:
            obj: the value.
            key: what it is found by.
            holder: on whose behalf, where the store has a lock manager.

        Raises LockedByOther if somebody else has locked the key, OSError of the disk, and whatever the serializer
        raises.
        """
        if key is not None:
            self._check_free(key, holder)
        _, record = write_object(self.folder, to_text(new_id()) if key is None else key, obj, self.serializer)
        return ResultRecord(obj, record)

    def exists(self, key: str) -> bool:
        """Whether there is an object with that key, readable or not."""
        return os.path.isfile(object_path(self.folder, key))

    def remove(self, key: str) -> bool:
        """Remove the result with that key. False if there was none. Raises OSError if it cannot be removed."""
        try:
            os.unlink(object_path(self.folder, key))
        except FileNotFoundError:
            return False
        return True

    def metadata(self, key: str) -> Record:
        """The record of the result with that key, without its value. Raises MissingResult."""
        return read_record(object_path(self.folder, key))[0]

    def keys(self) -> Iterator[str]:
        """The keys that there are, in no order."""
        for folder, _, names in os.walk(self.folder):
            for name in names:
                if not name.endswith(".tmp"):
                    yield os.path.relpath(os.path.join(folder, name), self.folder).replace(os.sep, "/")

    def __repr__(self) -> str:
        return f"ResultStore({self.folder!r}, {self.serializer.type!r})"


def get_result_store() -> ResultStore:
    """The store that the results of the run go to that this code is in; outside of runs, that of the settings."""
    here = persistence_here()
    return ResultStore(None if here is None else here.folder, None if here is None else here.serializer)


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
