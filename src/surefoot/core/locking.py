"""What a lock manager is: the interface that transactions and caches ask.

May import: nothing of ours.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["LockManager"]


@runtime_checkable
class LockManager(Protocol):
    """Keeps locks, each found by a key and held on behalf of a holder.

    A holder is any text that tells it from others; who holds a lock gets it again. Waiting is fair: first come, first
    served. All times are seconds; a timeout of None is none.
    """

    def acquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Get the lock, waiting for it at most `acquire_timeout` seconds. False if that was not enough.

        Args:
            key: which lock.
            holder: on whose behalf. By default that of this machine, process, thread and asyncio task.
            acquire_timeout: how long to wait at most, in seconds; 0 does not wait.
            hold_timeout: after so many seconds the lock is free again, released or not.
        """
        ...

    async def aacquire_lock(
        self,
        key: str,
        holder: str | None = None,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """The same, without blocking the event loop."""
        ...

    def release_lock(self, key: str, holder: str | None = None) -> None:
        """Give the lock back. Raises LockNotHeld, a ValueError, if it is not held on this behalf."""
        ...

    def is_locked(self, key: str) -> bool:
        """Whether somebody holds the lock."""
        ...

    def is_lock_holder(self, key: str, holder: str | None = None) -> bool:
        """Whether the lock is held on this behalf."""
        ...

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until whoever holds the lock now has given it back. False if `timeout` seconds were not enough."""
        ...

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """The same, without blocking the event loop."""
        ...
