"""Caching: what a task asks of its cache, and what a run of it finds there. Keeps promise 5.

Each hit and each miss says why. A run whose task has no cache goes through none of this.
May import: core, cache_policies, context; results late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from surefoot.cache_policies import DEFAULT, CacheKeyFn, CachePolicy, KeyFunction, NoCache, PolicyTypeError, checked_key
from surefoot.context import TaskRunContext
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, CacheUnavailable, ConfigurationError, HashError, WouldDeadlock
from surefoot.core.ids import to_text
from surefoot.core.locking import LockManager
from surefoot.core.states import COMPLETED
from surefoot.engine.effects import Held, Verdict
from surefoot.engine.telling import cache_unusable, key_failed

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.execution import Execution
    from surefoot.engine.task_execution import TaskExecution
    from surefoot.results.cached import Hit, Miss

__all__ = ["UNSET", "CacheUse", "Caching", "caching_of"]

UNSET: Final = msgspec.UNSET
_EXPIRATION_MAX_S: Final = 100 * 366 * 86_400  # a hundred years
_WAIT_S: Final = 0.005  # how soon a lock is asked for again, at first; then twice as long each time
_WAIT_MAX_S: Final = 0.1


class Caching:
    """What a task asks of its cache."""

    __slots__ = ("expiration_us", "is_default", "key_storage", "locks", "policy", "refresh")

    def __init__(
        self,
        policy: CachePolicy | None,
        expiration_us: int,
        refresh: bool | None,
        is_default: bool,
        key_storage: str | None,
    ) -> None:
        self.policy = policy  # None: the storage key alone is the key
        self.expiration_us = expiration_us  # 0: never
        self.refresh = refresh
        self.is_default = is_default  # nobody named a policy
        self.key_storage = key_storage
        self.locks: LockManager | None = policy.lock_manager if policy is not None and policy.is_serializable else None

    def use(self, execution: TaskExecution) -> CacheUse:
        """What a run makes of it."""
        return CacheUse(self, execution)


class CacheOptionError(BadInput, TypeError):
    """An option of a task about its cache is of the wrong type, or out of range."""


def caching_of(
    *,
    persist_result: bool | None,
    cache_policy: CachePolicy | msgspec.UnsetType | None,
    cache_key_fn: KeyFunction | None,
    cache_expiration: Any,
    refresh_cache: bool | None,
    has_storage_key: bool,
    isgenerator: bool,
    owner: str,
) -> Caching | None:
    """What the arguments of `@task` ask of a cache; None if they ask for none. Raises BadInput for what is unusable.

    Args:
        persist_result, cache_policy, cache_key_fn, cache_expiration, refresh_cache: as the user wrote them.
        has_storage_key: whether there is a `result_storage_key`.
        isgenerator: whether its values are handed on one by one.
        owner: whose they are, for messages: "task 'load'".
    """
    if cache_policy is not None and cache_policy is not UNSET and not isinstance(cache_policy, CachePolicy):
        raise CacheOptionError(
            f"cache_policy of {owner} is {cache_policy!r}.",
            do="Pass a policy of surefoot.cache_policies, such as INPUTS, or an instance of a subclass of CachePolicy.",
        )
    if refresh_cache is not None and not isinstance(refresh_cache, bool):
        raise CacheOptionError(f"refresh_cache of {owner} is {refresh_cache!r}.", do="Pass True or False.")
    expiration_us = _expiration_us(cache_expiration, owner)
    policy = cache_policy if isinstance(cache_policy, CachePolicy) else None
    is_off = cache_policy is None or isinstance(policy, NoCache)
    if cache_key_fn is not None:
        key_policy = CacheKeyFn(cache_key_fn)
        if cache_policy is not UNSET:
            _warn(f"{owner} has a cache_key_fn and a cache_policy: the cache_key_fn counts.")
        policy, is_off = key_policy, False
    is_default = policy is None and persist_result is True
    asks = not is_off and (policy is not None or has_storage_key or is_default)
    if asks and persist_result is False:
        _warn(f"{owner} has persist_result=False, so that its cache_policy or cache_key_fn has no effect.")
        asks = False
    if asks and isgenerator:
        if policy is not None:
            _warn(f"{owner} is a generator, whose values are handed on one by one: it is not cached.")
        asks = False
    if not asks:
        if expiration_us or refresh_cache:
            what = "cache_expiration" if expiration_us else "refresh_cache"
            _warn(f"{owner} has {what}, and no cache: pass a cache_policy too, such as INPUTS.")
        return None
    if policy is None and not has_storage_key:
        policy = DEFAULT
    if policy is not None and policy.is_serializable and not isinstance(policy.lock_manager, LockManager):
        raise ConfigurationError(
            f"The cache_policy of {owner} has isolation level SERIALIZABLE, and no lock manager.",
            do="Pass one: INPUTS.configure(isolation_level=..., lock_manager=MemoryLockManager()).",
        )
    return Caching(policy, expiration_us, refresh_cache, is_default and not has_storage_key, _key_storage(policy))


def _expiration_us(expiration: Any, owner: str) -> int:
    if expiration is None:
        return 0
    seconds = expiration.total_seconds() if hasattr(expiration, "total_seconds") else None
    if seconds is None or not 0 < seconds < _EXPIRATION_MAX_S:
        raise CacheOptionError(
            f"cache_expiration of {owner} is {expiration!r}.", do="Pass a timedelta above 0: timedelta(hours=1)."
        )
    return int(seconds * 1e6)


def _key_storage(policy: CachePolicy | None) -> str | None:
    if policy is None or policy.key_storage is None:
        return None
    from surefoot.results.places import address_of

    return address_of(policy.key_storage)


def _warn(text: str) -> None:
    import warnings

    warnings.warn(f"{text[0].upper()}{text[1:]}", UserWarning, stacklevel=6)


class CacheUse:
    """What one run makes of its task's cache: the key that it looked up, and stores its result under."""

    __slots__ = ("_asked_lock", "_execution", "_is_prepared", "_wait_s", "caching", "key", "name")

    def __init__(self, caching: Caching, execution: TaskExecution) -> None:
        self.caching = caching
        self._execution = execution
        self.key: str | None = None
        self.name: str | None = None  # the storage key, where the task names one
        self._is_prepared = False  # the key was made, once and for all
        self._asked_lock = False
        self._wait_s = _WAIT_S

    def look_up(self) -> Verdict | Held | str:
        """The value that the cache has for this run, or why it has none, or that another run is making it.

        Raises HashError for an input that cannot be hashed, CacheUnavailable if the storage cannot be read, and
        PolicyTypeError for a key that is no text.
        """
        execution, caching = self._execution, self.caching
        settings = execution.session.settings
        if settings.get("tasks.disable_caching"):
            return "tasks.disable_caching is on"
        if caching.is_default and settings.get("tasks.default_no_cache"):
            return "tasks.default_no_cache is on"
        if not self._is_prepared:
            self.name = self._storage_key()
            why = self._make_key()
            if why is not None:
                return why
            self._is_prepared = True
        if caching.locks is None:
            return self._looked_up(settings)
        held = self._lock()
        if held is not None:
            return held
        found: Verdict | str | None = None
        try:
            found = self._looked_up(settings)
        finally:
            if not isinstance(found, str):  # nothing is to be made
                self.let_go()
        return found

    def _looked_up(self, settings: Settings) -> Verdict | str:
        execution, caching = self._execution, self.caching
        asked = None if execution.earlier is None else execution.earlier.asked
        if asked is not None:
            return f"the result under {_told(self.key)} is made anew: {asked}"
        refresh = caching.refresh
        if refresh or (refresh is None and settings.get("tasks.refresh_cache")):
            asked_by = "refresh_cache" if refresh else "tasks.refresh_cache"
            return f"{asked_by} has the result under {_told(self.key)} made anew"
        from surefoot.results import cached
        from surefoot.results.persistence import storage_of

        assert self.key is not None
        storage = storage_of(execution.persistence, settings)
        found = cached.find_cached(storage, self.key, name=self.name, key_storage=caching.key_storage)
        return self._missed(found) if isinstance(found, cached.Miss) else self._found(found)

    def _lock(self) -> Held | None:
        """Take the lock of the key, so that this run alone makes what it stands for; None if that is done."""
        assert self.caching.locks is not None
        assert self.key is not None
        self._refuse_circle()
        if not self._asked_lock:
            self._asked_lock = True
            self._let_go_at_the_end()
        if self.caching.locks.acquire_lock(self.key, self._holder, acquire_timeout=0):
            return None
        is_first, wait_s = self._wait_s == _WAIT_S, self._wait_s
        self._wait_s = min(2 * wait_s, _WAIT_MAX_S)
        return Held(self._who_holds_it() if is_first else "", wait_s)  # it is told once

    def _who_holds_it(self) -> str:
        ask = getattr(self.caching.locks, "holder_of", None)  # of ours, not of the interface that users know
        holder = None if ask is None else ask(self.key)
        who = "another run" if holder is None else f"the run {holder}"
        return f"{who} holds the lock of the cache key {_told(self.key)}"

    def _let_go_at_the_end(self) -> None:
        """Should the run break off before it comes to that itself."""
        execution = self._execution
        ended = execution.ended

        def let_go(run: Execution) -> None:
            self.let_go()
            if ended is not None:
                ended(run)

        execution.ended = let_go

    def _refuse_circle(self) -> None:
        """Raise WouldDeadlock if a run around this one holds the lock."""
        around = self._execution.parent
        while around is not None:
            use: CacheUse | None = getattr(around, "cache", None)
            if use is not None and use._asked_lock and use.key == self.key and use.caching.locks == self.caching.locks:
                raise WouldDeadlock(
                    f"Task run {self._execution.run_name!r} waits for the lock of its cache key, which "
                    f"{around.run_name!r} holds, the run that called it.",
                    do="Let the inner call have another key, or no isolation level SERIALIZABLE.",
                )
            around = around.parent

    def let_go(self) -> None:
        """Let others have the lock, if this run holds it."""
        locks, key = self.caching.locks, self.key
        if not self._asked_lock or locks is None or key is None:
            return
        self._asked_lock = False
        if locks.is_lock_holder(key, self._holder):
            locks.release_lock(key, self._holder)

    @property
    def _holder(self) -> str:
        return to_text(self._execution.run_id)

    def until_us(self) -> int:
        """When what this run stores expires; 0: never."""
        expiration_us = self.caching.expiration_us
        return get_clock().now_us() + expiration_us if expiration_us else 0

    def _make_key(self) -> str | None:
        """Make the key. Why there is none, if so."""
        execution, policy = self._execution, self.caching.policy
        if policy is None:
            self.key = self.name
            return None
        flow = execution.flow
        try:
            key = policy.compute_key(
                TaskRunContext(execution), dict(execution.parameters()), {} if flow is None else dict(flow.kwargs)
            )
        except HashError:
            raise
        except Exception as error:
            made_by = "cache_key_fn" if isinstance(policy, CacheKeyFn) else "cache_policy"
            if isinstance(error, PolicyTypeError):
                raise
            key_failed(execution, made_by, error)
            return f"its {made_by} raised {type(error).__name__}"
        checked_key(key, f"The cache policy {policy!r}")
        if not key:
            return "its cache policy made no key"
        self.key = key
        return None

    def _storage_key(self) -> str | None:
        execution = self._execution
        template = execution.definition.asks.key
        if template is None:
            return None
        from surefoot.results.persistence import filled

        return filled(template, execution.key_fields())

    def _missed(self, miss: Miss) -> str:
        execution = self._execution
        settings = execution.session.settings
        told = f"the key {_told(self.key)}: {miss.why}"
        if miss.is_failure and settings.get("results.on_store_error") == "fail":
            raise CacheUnavailable(
                f"The cache of task {execution.definition.name!r} cannot be read: {miss.why}.",
                do="See that the place can be read, or set results.on_store_error=continue to go on without a cache.",
            )
        if miss.is_damage and settings.get("results.on_damaged_cache") == "fail":
            raise CacheUnavailable(
                f"What the cache of task {execution.definition.name!r} has cannot be used: {miss.why}.",
                do="Remove it, or set results.on_damaged_cache=recompute to have it made anew.",
            )
        if miss.is_failure or miss.is_damage:
            cache_unusable(execution, told)
        return told

    def _found(self, hit: Hit) -> Verdict:
        from surefoot.results.cached import instant
        from surefoot.results.persistence import stored_at

        execution, record = self._execution, hit.record
        by = f"task {record.name!r} stored it in the run {record.run_id}" if record.run_id else "it was stored"
        until = f", to expire at {instant(record.cache_until_us)}" if record.cache_until_us else ""
        execution.take_from_cache(hit)
        told = f"under the key {_told(self.key)}: {by} at {instant(record.stored_us)}{until}"
        if execution.definition.cache_result_in_memory or execution.result is None:
            return Verdict(COMPLETED, "Cached", told, hit.value)
        stored = stored_at(execution.result, execution.session.settings, execution.run_id, self.key)
        return Verdict(COMPLETED, "Cached", told, stored)


def _told(key: str | None) -> str:
    return repr(key if key is None or len(key) <= 100 else f"{key[:100]}…")
