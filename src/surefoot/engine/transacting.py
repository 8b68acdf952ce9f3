"""The rules of transactions: what begins, commits and rolls back in which order. Generators, as the lives of runs are.

They yield effects and receive outcomes; they do no I/O and know no thread and no event loop. A transaction and all
within it are one: either every commit hook ran and every record was written, or whatever was done is rolled back.
May import: core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.transactions import CommitMode, IsolationLevel, TransactionState

__all__ = [
    "CallHook",
    "Erase",
    "Lock",
    "Look",
    "Rules",
    "Settled",
    "Step",
    "Unit",
    "Unlock",
    "Wait",
    "Write",
    "begin",
    "commit",
    "leave",
    "roll_back",
]

_joining = threading.Lock()  # held for a few instructions, with the gate of the thread shut


@after_fork_in_child
def _after_fork_in_child() -> None:
    global _joining
    _joining = threading.Lock()


PENDING, ACTIVE, STAGED = TransactionState.PENDING, TransactionState.ACTIVE, TransactionState.STAGED
COMMITTED, ROLLED_BACK = TransactionState.COMMITTED, TransactionState.ROLLED_BACK
OVER = (COMMITTED, ROLLED_BACK)


class Unit:
    """A transaction, as the rules see it."""

    def __init__(self, commit_mode: CommitMode | None = None, isolation: IsolationLevel | None = None) -> None:
        self.parent: Unit | None = None
        self.commit_mode = commit_mode
        self.isolation_level = isolation
        self.state = PENDING
        self.children: list[Unit] = []  # those that have ended within it, in that order
        self.on_commit_hooks: list[Callable[..., Any]] = []
        self.on_rollback_hooks: list[Callable[..., Any]] = []
        self.had_record = False  # its key was committed before it began
        self.is_closed = False  # it has ended, or is about to: nothing can be handed to it any more
        self.is_locked = False
        self.why_not: str | None = None  # what failed within it, so that it cannot commit

    def renew(self) -> None:
        """Be as it was when it began, after a rollback: what it is for is tried again."""
        self.state = ACTIVE
        self.children = []
        self.on_commit_hooks = []
        self.on_rollback_hooks = []
        self.is_closed = False
        self.why_not = None

    @property
    def is_handed_on(self) -> bool:
        """Whether it has ended, and waits for the end of the one around it."""
        return self.state is STAGED and self.is_closed


class Step:
    """What the rules ask for. The answer, if nothing else is said, is None, or the exception that it ended with."""

    __slots__ = ("unit",)

    def __init__(self, unit: Unit) -> None:
        self.unit = unit


class Lock(Step):
    """Lock its key; wait for that if need be. An exception ends the beginning."""

    __slots__ = ()


class Look(Step):
    """Whether there is a record at its key. Answer: bool, or the exception that ends the beginning."""

    __slots__ = ()


class Wait(Step):
    """Wait for the ends of the runs that were submitted within it."""

    __slots__ = ()


class CallHook(Step):
    """Call one of its hooks. `kind` is "commit" or "rollback"."""

    __slots__ = ("hook", "kind")

    def __init__(self, unit: Unit, hook: Callable[..., Any], kind: str) -> None:
        super().__init__(unit)
        self.hook = hook
        self.kind = kind


class Write(Step):
    """Write its value to the place of its record, if it has one."""

    __slots__ = ()


class Erase(Step):
    """Take back what `Write` wrote."""

    __slots__ = ()


class Settled(Step):
    """It is committed, or rolled back: tell, and let go of what was kept for that."""

    __slots__ = ()


class Unlock(Step):
    """Give the lock of its key back."""

    __slots__ = ()


Rules = Generator[Step, Any, BaseException | None]


def begin(unit: Unit, parent: Unit | None, *, overwrite: bool, has_key: bool) -> Rules:
    """Begin it, within another if there is one. Answers the exception that it could not begin for."""
    unit.parent = parent
    if unit.commit_mode is None:
        unit.commit_mode = CommitMode.LAZY if parent is None else parent.commit_mode
    if unit.isolation_level is None:
        unit.isolation_level = IsolationLevel.READ_COMMITTED if parent is None else parent.isolation_level
    if has_key and unit.isolation_level is IsolationLevel.SERIALIZABLE:
        error: BaseException | None = yield Lock(unit)
        if error is not None:
            return error
        unit.is_locked = True
    unit.state = ACTIVE
    if has_key and not overwrite:
        found = yield Look(unit)
        if isinstance(found, BaseException):
            unit.state = ROLLED_BACK
            unit.is_closed = True
            yield from _unlock(unit)
            return found
        if found:
            unit.had_record = True
            unit.state = COMMITTED
    return None


def leave(unit: Unit, failed: str | None) -> Rules:
    """It ends; `failed` says why, if it cannot commit. Answers the exception that the commit failed with.

    What interrupted a hook is answered too, whatever became of the transaction.
    """
    if failed is not None:
        return _interruption((yield from roll_back(unit, failed)))
    if unit.is_closed:  # by hand
        return None
    yield Wait(unit)
    if unit.had_record:
        yield from _unlock(unit)
    why = _hand_on(unit)
    if why is None:
        return None
    if why:
        return _interruption((yield from roll_back(unit, why)))
    return (yield from commit(unit))


def _hand_on(unit: Unit) -> str | None:
    """Leave the rest to the transaction around it: None. Else why it is to be rolled back, or nothing: it commits."""
    parent = unit.parent
    with _joining:
        if parent is not None and parent.state is ROLLED_BACK:
            return f"the transaction around it was rolled back: {parent.why_not}"
        is_alone = parent is None or parent.is_closed or unit.commit_mode is CommitMode.EAGER
        if parent is not None and not is_alone:
            unit.is_closed = True
            if unit.state is ACTIVE:
                unit.state = STAGED
            parent.children.append(unit)
            parent.why_not = parent.why_not or unit.why_not
            return None
    if unit.why_not is not None:
        return unit.why_not
    is_off = unit.commit_mode is CommitMode.OFF and not unit.had_record
    return "nobody committed it, and its commit_mode is OFF" if is_off else ""


def commit(unit: Unit) -> Rules:
    """Commit it and all within it. Answers the exception that this failed with: then all is rolled back."""
    if unit.state is ROLLED_BACK or (unit.state is COMMITTED and not unit.had_record):
        return None
    if unit.why_not is not None:
        return _interruption((yield from roll_back(unit, unit.why_not)))
    if unit.state is ACTIVE:
        unit.state = STAGED
    tree = list(_tree(unit))
    written: list[Unit] = []
    error: BaseException | None = None
    for each in tree:
        for hook in list(each.on_commit_hooks):
            error = error or (yield CallHook(each, hook, "commit"))
            if error is not None:
                break
    for each in tree:
        if error is None:
            error = yield Write(each)
            written.append(each)
    if error is not None:
        for each in reversed(written):
            yield Erase(each)
        yield from roll_back(unit, f"its commit failed: {type(error).__name__}: {error}")
        return error
    for each in tree:
        each.state = COMMITTED
        yield Settled(each)
        yield from _unlock(each)
    yield from _unlock(unit)
    return None


def _tree(unit: Unit) -> Iterator[Unit]:
    """What is to be committed with it, in the order in which that is done: those within come first."""
    with _joining:
        unit.is_closed = True
        children = list(unit.children)
    for child in children:
        if child.state is not ROLLED_BACK:
            yield from _tree(child)
    if unit.state is not COMMITTED:
        yield unit


def _interruption(error: BaseException | None) -> BaseException | None:
    """What a hook of a rollback raised is told, and stops nothing; what interrupted one goes on outwards."""
    return None if isinstance(error, Exception) else error


def roll_back(unit: Unit, why: str) -> Rules:
    """Roll it back and all within it, the last first. Hooks that fail do not stop the others; what is committed stays.

    Answers the first interruption of a hook; without one, the first exception of one.
    """
    with _joining:
        unit.is_closed = True
        children = list(unit.children)
        is_over = unit.state in OVER
        if not is_over:
            unit.state = ROLLED_BACK
            why = unit.why_not = unit.why_not or why
        parent = unit.parent
        if not is_over and parent is not None and not parent.is_closed:
            parent.why_not = parent.why_not or why
    first: BaseException | None = None
    for hook in [] if is_over else list(reversed(unit.on_rollback_hooks)):
        first = _graver(first, (yield CallHook(unit, hook, "rollback")))
    for child in reversed(children):
        first = _graver(first, (yield from roll_back(child, why)))
    if not is_over:
        yield Settled(unit)
    yield from _unlock(unit)
    return first


def _graver(one: BaseException | None, other: BaseException | None) -> BaseException | None:
    return other if one is None or _interruption(one) is None else one


def _unlock(unit: Unit) -> Generator[Step, Any, None]:
    if unit.is_locked:
        unit.is_locked = False
        yield Unlock(unit)
