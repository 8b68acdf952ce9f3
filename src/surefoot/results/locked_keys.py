"""Locks on the keys of a store: what a `ResultStore` with a lock manager adds. May import: core."""

from __future__ import annotations

from surefoot.core.errors import ConfigurationError, LockedByOther
from surefoot.core.locking import LockManager
from surefoot.core.transactions import IsolationLevel

__all__ = ["LockedKeys", "check_lock_manager"]


class LockedKeys:
    """A store whose keys can be locked, if it has a lock manager."""

    lock_manager: LockManager | None = None

    def acquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Lock a key, as the lock manager does it. Raises ConfigurationError if there is none."""
        return self._locks().acquire_lock(key, holder, acquire_timeout, hold_timeout)

    async def aacquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """The same, without blocking the event loop."""
        return await self._locks().aacquire_lock(key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str | None = None) -> None:
        """Give the lock of a key back."""
        self._locks().release_lock(key, holder)

    def is_locked(self, key: str) -> bool:
        """Whether somebody holds the lock of a key."""
        return self._locks().is_locked(key)

    def is_lock_holder(self, key: str, holder: str | None = None) -> bool:
        """Whether the lock of a key is held on this behalf."""
        return self._locks().is_lock_holder(key, holder)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until whoever holds the lock of a key has given it back. False if that took too long."""
        return self._locks().wait_for_lock(key, timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """The same, without blocking the event loop."""
        return await self._locks().await_for_lock(key, timeout)

    def supports_isolation_level(self, level: IsolationLevel) -> bool:
        """Whether transactions of that level can be kept here: SERIALIZABLE needs a lock manager."""
        return level is IsolationLevel.READ_COMMITTED or self.lock_manager is not None

    def _check_free(self, key: str, holder: str | None) -> None:
        """Raise LockedByOther, a RuntimeError, if somebody else has locked the key."""
        locks = self.lock_manager
        if locks is not None and locks.is_locked(key) and not locks.is_lock_holder(key, holder):
            raise LockedByOther(
                f"The key {key!r} is locked by somebody else, so nothing is written there.",
                do="Acquire the lock first, and pass its holder.",
            )

    def _locks(self) -> LockManager:
        if self.lock_manager is None:
            raise ConfigurationError(
                "The store has no lock manager.", do="Pass one: ResultStore(lock_manager=MemoryLockManager())."
            )
        return self.lock_manager


def check_lock_manager(lock_manager: object) -> None:
    """Refuse what keeps no locks. Raises ConfigurationError."""
    if lock_manager is not None and (isinstance(lock_manager, type) or not isinstance(lock_manager, LockManager)):
        raise ConfigurationError(
            f"lock_manager is {lock_manager!r}, which keeps no locks.",
            do="Pass an instance, such as MemoryLockManager().",
        )
