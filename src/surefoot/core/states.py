"""States, their names, and the one table of legal transitions. The engine and the projector look up the same table.

Two rules:
1. All that is legal stands in `LEGAL`; nothing else in Surefoot knows which state may follow which.
2. The table speaks of types and names only. It does not know whether a flow run or a task run is meant, who asks, or
when.

A run is a sequence of states, numbered 0, 1, 2 ... within an epoch by the one writer that lives its life. State 0 is
the run's creation. May import: core.errors.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["FINAL", "HAD_COMPLETED", "LEGAL", "NAMES", "NOT_CACHED", "SKIPPED", "StateType", "is_final", "is_legal"]


class StateType(str, Enum):
    """What kind of state a run is in. Types drive logic; names are for people.

    >>> StateType("FAILED") is StateType.FAILED, StateType.FAILED == "FAILED"
    (True, True)
    """

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"

    def __str__(self) -> str:
        return self.value


SCHEDULED = StateType.SCHEDULED
PENDING = StateType.PENDING
RUNNING = StateType.RUNNING
PAUSED = StateType.PAUSED
CANCELLING = StateType.CANCELLING
CANCELLED = StateType.CANCELLED
COMPLETED = StateType.COMPLETED
FAILED = StateType.FAILED
CRASHED = StateType.CRASHED

FINAL: Final = frozenset({CANCELLED, COMPLETED, FAILED, CRASHED})
SKIPPED: Final = "Skipped"  # the name of COMPLETED that logic looks at: what waits for it is skipped too

# The names that Surefoot itself gives, the default first. A user's own name may stand on any type.
NAMES: Final[dict[StateType, tuple[str, ...]]] = {
    SCHEDULED: ("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Resuming"),
    PENDING: ("Pending", "Submitting", "InfrastructurePending"),
    RUNNING: ("Running", "Retrying", "Rerunning"),
    PAUSED: ("Paused", "Suspended"),
    CANCELLING: ("Cancelling",),
    CANCELLED: ("Cancelled",),
    COMPLETED: ("Completed", "Cached", SKIPPED, "Staged", "RolledBack"),
    FAILED: ("Failed", "TimedOut", "NotReady"),
    CRASHED: ("Crashed", "Lost", "Abandoned"),
}

AWAITING_SLOTS: Final = "AwaitingConcurrencySlot"  # about to run, as soon as limits let it

# How messages begin that more than one floor looks at.
HAD_COMPLETED: Final = "it had completed"  # Cached: in an earlier epoch, not by another run
NOT_CACHED: Final = "not in the cache: "  # Running: why its task's cache had nothing for it

_Names = frozenset[str] | None
_ANY: Final[_Names] = None


def _only(*names: str) -> _Names:
    return frozenset(names)


# From type -> to type -> the names under which it may be entered (None: any name).
# The row `None` is a run's creation. An epoch that follows another starts in the same row.
LEGAL: Final[dict[StateType | None, dict[StateType, _Names]]] = {
    None: {SCHEDULED: _ANY, PENDING: _ANY},
    SCHEDULED: {
        SCHEDULED: _only("Late", AWAITING_SLOTS),
        PENDING: _ANY,
        RUNNING: _only("Retrying"),
        CANCELLING: _ANY,
        CANCELLED: _ANY,
        CRASHED: _ANY,
    },
    PENDING: {
        PENDING: _ANY,
        SCHEDULED: _ANY,
        RUNNING: _ANY,
        COMPLETED: _only("Cached", SKIPPED),
        FAILED: _only("NotReady"),
        CANCELLING: _ANY,
        CANCELLED: _ANY,
        CRASHED: _ANY,
    },
    RUNNING: {
        RUNNING: _only("Retrying"),
        SCHEDULED: _only("AwaitingRetry", AWAITING_SLOTS),
        COMPLETED: _ANY,
        FAILED: _ANY,
        PAUSED: _ANY,
        CANCELLING: _ANY,
        CANCELLED: _ANY,
        CRASHED: _ANY,
    },
    PAUSED: {
        RUNNING: _ANY,
        SCHEDULED: _only("Resuming"),
        COMPLETED: _ANY,
        FAILED: _ANY,
        CANCELLING: _ANY,
        CANCELLED: _ANY,
        CRASHED: _ANY,
    },
    CANCELLING: {COMPLETED: _ANY, FAILED: _ANY, CANCELLED: _ANY, CRASHED: _ANY},
    # A crash that was presumed (a lease ran out), not observed, is the one final state that its own epoch may leave:
    # only under the name Lost, see `is_legal`.
    CRASHED: dict.fromkeys(StateType, _ANY),
    COMPLETED: {COMPLETED: _ANY},  # rolled back; or committed, if it was Staged: see `is_legal`
    FAILED: {},
    CANCELLED: {},
}


def is_final(state_type: StateType) -> bool:
    """Whether a run in a state of this type has ended.

    >>> is_final(StateType.FAILED), is_final(StateType.PAUSED)
    (True, False)
    """
    return state_type in FINAL


def is_legal(before: StateType | None, before_name: str | None, after: StateType, after_name: str) -> bool:
    """Whether a run in state `before` may enter state `after` in the same epoch.

    `before` is None for the first state of an epoch. Names matter in a few cells only: a PENDING run may end FAILED
    only as NotReady (its function was never called), CRASHED may be left only when it was presumed (Lost), and
    COMPLETED by a rollback, or by the commit of what was Staged.

    >>> is_legal(StateType.PENDING, "Pending", StateType.FAILED, "NotReady")
    True
    >>> is_legal(StateType.PENDING, "Pending", StateType.FAILED, "Failed")
    False
    >>> is_legal(StateType.CRASHED, "Crashed", StateType.COMPLETED, "Completed")
    False
    """
    if before is CRASHED and before_name != "Lost":
        return False
    if before is COMPLETED and after_name != "RolledBack" and (before_name != "Staged" or after_name == "Staged"):
        return False
    row = LEGAL[before]
    if after not in row:
        return False
    names = row[after]
    if before_name == AWAITING_SLOTS and after is RUNNING:
        return before is SCHEDULED  # it was about to run
    if after_name == AWAITING_SLOTS and before is SCHEDULED is after:
        return before_name == "AwaitingRetry"
    if before is PENDING and after is PENDING:
        return after_name != before_name  # handed on under the next name, never stuttered
    return names is None or after_name in names


def default_name(state_type: StateType) -> str:
    """The name that a state of this type has when nobody gave it one.

    >>> default_name(StateType.FAILED)
    'Failed'
    """
    return NAMES[state_type][0]
