"""Locks by key: in this process, among those of a machine, or of all that share a ledger.

    from surefoot.locking.memory import MemoryLockManager

Nothing is loaded until it is named. May import: core, journal, engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surefoot.core.locking import LockManager
    from surefoot.locking.filesystem import FileSystemLockManager
    from surefoot.locking.ledger import LedgerLockManager
    from surefoot.locking.memory import MemoryLockManager

__all__ = ["FileSystemLockManager", "LedgerLockManager", "LockManager", "MemoryLockManager"]

_DOOR = {
    "FileSystemLockManager": "surefoot.locking.filesystem",
    "LedgerLockManager": "surefoot.locking.ledger",
    "LockManager": "surefoot.core.locking",
    "MemoryLockManager": "surefoot.locking.memory",
}


def __getattr__(name: str) -> object:
    if name not in _DOOR:
        raise AttributeError(f"module 'surefoot.locking' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_DOOR[name]), name)
    return value
