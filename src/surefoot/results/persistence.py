"""Persistence: a run's result goes to an object where that was asked for, else to a pack for resuming.

May import: core, asking, keeping; objects and serializing late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from surefoot.core.errors import ResultNotStored, SurefootError, TerminationSignal
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.run_state import Stored
from surefoot.core.settings import Settings
from surefoot.core.settings.layers import misread, raise_first
from surefoot.results.asking import Asked, Persistence
from surefoot.results.keeping import Keeper
from surefoot.results.pickling import why_not

__all__ = [
    "CachedAt",
    "check_storage",
    "default_storage",
    "default_ttl_us",
    "filled",
    "forget",
    "keep_for",
    "storage_of",
    "stored_at",
]


class CachedAt(NamedTuple):
    """Where in a cache the value of a run is stored."""

    key: str
    until_us: int  # 0: for good
    name: str | None  # the storage key, if it is not made of the key
    key_storage: str | None  # the address of the keys' records, if it is not that of the results


def storage_of(persistence: Persistence, settings: Settings) -> str:
    """The address of the storage that a run's result goes to."""
    return persistence.storage or default_storage(settings)


def keep_for(
    asks: Asked,
    persistence: Persistence,
    keeper: Keeper | None,
    value: Any,
    *,
    settings: Settings,
    run_id: bytes,
    name: str,
    source: str | None = None,
    epoch: int = 0,
    inputs: bytes | None = None,
    key_fields: Callable[[], Mapping[str, Any]] = dict,
    cached: CachedAt | None = None,
) -> ResultAt | str | None:
    """Store a run's result as it is asked for, else keep it for resuming.

    Args:
        asks: what the decorator says; `persistence`: what counts for the run.
        keeper: of the outermost flow run; None where results are not kept.
        value: the result.
        settings: those in force.
        run_id, name: of the run, and of its task or flow.
        source, epoch, inputs: as in `Keeper.keep`.
        key_fields: makes what a `result_storage_key` may name: "parameters", "task_run", "flow_run".
        cached: where other runs look for it, if they may take it for theirs.

    Answers where it lies; a text, why it is not kept; None if nothing is kept here. Raises ResultNotStored if it was
    asked to be stored, and cannot be: then the run has failed.
    """
    if not persistence.persist:
        return None if keeper is None else keeper.keep(value, source, epoch, inputs)
    from surefoot.results.objects import write_object
    from surefoot.results.serializing import name_of, resolve_serializer

    storage = None
    try:
        storage = storage_of(persistence, settings)
        serializer = persistence.serializer or resolve_serializer(settings.get("results.default_serializer"))
        ttl_us = persistence.ttl_us or default_ttl_us(settings)
        if cached is not None:
            from surefoot.results.cached import store_cached

            path, record = store_cached(
                storage,
                cached.key,
                value,
                serializer,
                run_id=to_text(run_id),
                run_name=name,
                until_us=cached.until_us,
                name=cached.name,
                key_storage=cached.key_storage,
                ttl_us=ttl_us,
            )
        else:
            key = to_text(run_id) if asks.key is None else filled(asks.key, key_fields())
            path, record = write_object(
                storage, key, value, serializer, run_id=to_text(run_id), name=name, ttl_us=ttl_us
            )
    except (KeyboardInterrupt, TerminationSignal):
        raise
    except BaseException as error:
        key_storage = None if cached is None else cached.key_storage
        raise _not_stored(error, name, storage, key_storage) from error
    return ResultAt(path, 0, record.length, name_of(serializer), source, epoch, inputs)


def check_storage(persistence: Persistence, settings: Settings, name: str) -> None:
    """Before a run calls anything: raise what is known to keep its result from being stored, if that is asked for.

    Raises SettingsError, StorageError, or ResultNotStored where results.on_store_error says to fail.
    """
    from surefoot.results import places

    storage = storage_of(persistence, settings)
    try:
        places.check(storage)
    except OSError as error:
        if settings.get("results.on_store_error") == "fail":
            raise _not_stored(error, name, storage.partition("://")[0]) from error


def forget(at: ResultAt) -> None:
    """Remove a result that was stored a moment ago, and is not to count after all. Raises OSError."""
    from surefoot.results import places

    places.remove(at.place)


def stored_at(at: ResultAt, settings: Settings, run_id: bytes, cache_key: str | None = None) -> Stored:
    """A result that is not kept in memory: it is read again from there when it is asked for.

    With `cache_key`, that may be what another run has stored under the same key meanwhile: it stands for the same.
    """
    from surefoot.results.loading import load

    if cache_key is not None:
        from surefoot.results.cached import recorded_key

        cache_key = recorded_key(cache_key)
    return Stored(partial(load, settings.get("home"), at, run_id=to_text(run_id), cache_key=cache_key))


def default_storage(settings: Settings) -> str:
    """The address of the storage for results of which nothing says where they go.

    Raises SettingsError where the environment names one that cannot be used.
    """
    from surefoot.results.places import address_of

    wrong = misread(settings, "results.default_storage")
    if wrong is not None:  # what went elsewhere meanwhile would be found by nobody
        raise_first([wrong])
    return address_of(settings.get("results.default_storage") or settings.get("results.local_storage_path"))


def default_ttl_us(settings: Settings) -> int | None:
    """How long a result is stored of which nothing says that, in microseconds; None for good."""
    days = settings.get("results.stored_max_age_days")
    return None if days is None else int(days * 86_400e6)


def filled(template: str, fields: Mapping[str, Any]) -> str:
    """A `result_storage_key` with values in it. Raises KeyError and the like for what is not there."""
    import string

    return string.Formatter().vformat(template, (), fields)


def _not_stored(error: BaseException, name: str, *storages: str | None) -> ResultNotStored:
    from surefoot.results.places import is_far
    from surefoot.results.refusals import refusal

    where = getattr(error, "filename", None)
    if isinstance(error, SurefootError):
        why, do = error.what.rstrip("."), error.do
    elif (
        isinstance(error, OSError)
        and isinstance(where, str)
        and (where.startswith(tuple(filter(None, storages))) or is_far(where))  # of a bucket, which folders are in
    ):
        why, do = refusal(error, where)
        do = f"{do}, or pass another result_storage."
    else:
        why, do = why_not(error), "Pass a result_serializer that can write it, or return something else."
    return ResultNotStored(f"The result of {name!r} could not be stored: {why}.", do=do)
