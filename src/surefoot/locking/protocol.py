"""The interface of lock managers, where users import it. May import: core."""

from __future__ import annotations

from surefoot.core.locking import LockManager

__all__ = ["LockManager"]
