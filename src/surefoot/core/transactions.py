"""Names of transactions that all floors share: when one commits, how isolated it is, and how it stands.

May import: nothing of ours.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["CommitMode", "IsolationLevel", "TransactionState"]


class CommitMode(str, Enum):
    """When a transaction commits.

    >>> CommitMode("EAGER") is CommitMode.EAGER
    True
    """

    LAZY = "LAZY"  # when the outermost one does
    EAGER = "EAGER"  # at its own end
    OFF = "OFF"  # when `commit()` is called; else it rolls back at its end


class IsolationLevel(str, Enum):
    """What others that use the same key may do meanwhile.

    >>> IsolationLevel("SERIALIZABLE").value
    'SERIALIZABLE'
    """

    READ_COMMITTED = "READ_COMMITTED"  # all: the last who writes wins
    SERIALIZABLE = "SERIALIZABLE"  # wait: the key is locked from the beginning to the commit or rollback


class TransactionState(str, Enum):
    """How a transaction stands."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"
