"""Interrupts: an exception raised in another thread, to end the call that it is in and nothing else.

A `Reach` is what others hold of a call. A `Shelter` is a wait inside such a call: when an exception comes it is woken,
and raises that on the way out. The thread's gate sees to it that nothing is raised in steps of ours. May import: core.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.os.signals import GATE
from surefoot.core.os.threads import SHUT, THIS_THREAD, Gate, LeftGate, ThreadGate

__all__ = [
    "GateShut",
    "GivingBack",
    "Reach",
    "Shelter",
    "Undisturbed",
    "check_room",
    "shelter_of",
    "while_nobody_enters",
]

FRAMES_KEPT: Final = 120  # what our own steps may need of the stack, a log line at their deepest included

# A signal that comes just when the main thread begins to wait is seen by CPython when that wait ends, not before.
LOOK_S: Final = 0.2

_lock = threading.Lock()  # held for a few instructions at a time
_shelters: dict[int, Shelter] = {}  # the innermost of each thread


class Reach:
    """One call on this thread, into which others may raise one exception until it is over."""

    __slots__ = ("_error", "_gate", "_level", "_lock")

    def __init__(self) -> None:
        gate = THIS_THREAD.gate
        if not isinstance(gate, ThreadGate):
            gate = THIS_THREAD.gate = ThreadGate()
        self._gate: ThreadGate | None = gate
        self._level = gate.level
        self._lock = gate.reaching
        self._error: BaseException | None = None

    def interrupt(self, error: BaseException, *, again: bool = False) -> None:
        """Raise `error` in the call, if it is not over. A call into C code is not interrupted.

        Once at most, unless `again`.
        """
        with self._lock:
            if self._gate is not None and (self._error is None or again):
                self._error = self._error or error
                self._gate.interrupt(self._error, self._level)

    def over(self) -> None:
        """The call has ended: an exception that has not been met must not hit what comes next. The gate is shut."""
        with self._lock:
            gate, self._gate = self._gate, None
        if gate is not None and self._error is not None:
            gate.drop(self._error)


class Shelter:
    """A wait of this thread. Others see what it waits for.

    Args:
        waits_for: what the thread waits for without a time limit, if it does.
        check: called on the way in, while no other thread can enter; what it raises is raised.
    """

    __slots__ = ("_bell", "_check", "_gate", "_opened", "_thread", "_waker", "around", "waits_for")

    def __init__(self, waits_for: Any = None, check: Callable[[], None] | None = None) -> None:
        self.waits_for = waits_for
        self.around: Shelter | None = None
        self._check = check
        self._thread = threading.get_ident()
        self._bell = threading.Lock()
        self._bell.acquire()

    def __enter__(self) -> Shelter:
        gate = self._gate = THIS_THREAD.gate
        self._opened = SHUT
        if gate is not None:
            self._opened = gate.shut()
            self._waker, gate.waker = gate.waker, self.ring
        try:
            with _lock:
                if self._check is not None:
                    self._check()
                self.around = _shelters.get(self._thread)
                _shelters[self._thread] = self
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            if self.around is None:
                del _shelters[self._thread]
            else:
                _shelters[self._thread] = self.around
        self._leave()

    def _leave(self) -> None:
        gate = self._gate
        if gate is not None:
            gate.waker = self._waker
            if self._opened:
                gate.open(self._opened)

    def ring(self, _: Any = None) -> None:
        """Have the thread look whether it is to wait any longer."""
        try:
            self._bell.release()
        except RuntimeError:
            return  # somebody else rang first

    def wait(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Return when `done()`, or `timeout` seconds have passed, or an exception has come."""
        clock, gate = get_clock(), self._gate
        end_us = None if timeout is None else clock.mono_us() + int(timeout * 1e6)
        longest_s = LOOK_S if gate is GATE else threading.TIMEOUT_MAX
        while not done() and (gate is None or gate.pending is None):
            if end_us is None:
                self._bell.acquire(timeout=longest_s)
                continue
            left_us = end_us - clock.mono_us()
            if left_us <= 0:
                return
            self._bell.acquire(timeout=min(clock.wait_s(left_us / 1e6), longest_s))

    def insist(self, done: Callable[[], bool]) -> None:
        """Return when `done()`, whatever has come."""
        while not done():
            self._bell.acquire()


def check_room() -> None:
    """Raise RecursionError if so little of the stack is left that it would be raised in the midst of our own code."""
    try:
        sys._getframe(max(sys.getrecursionlimit() - FRAMES_KEPT, FRAMES_KEPT))
    except ValueError:  # it is not that deep
        return
    raise RecursionError("too little of the stack is left to submit a task, or to wait for one")


class GateShut:
    """A context for a few steps of ours in the midst of the user's code: nothing interrupts them.

    Whatever takes a lock there needs it: in Python 3.14 an exception from outside may come when `with` has taken a lock
    and does not see to its release yet (gh-148874).
    """

    __slots__ = ("_gate", "_opened")

    def __enter__(self) -> None:
        self._gate = THIS_THREAD.gate
        self._opened = SHUT if self._gate is None else self._gate.shut()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gate is not None and self._opened:
            self._gate.open(self._opened)


class GivingBack(GateShut):
    """The same for steps that give back what others wait for: they are taken whatever has come, and by a thread whose
    run went on without it as well. What has come is raised afterwards.
    """

    __slots__ = ("_error", "_left")

    def __enter__(self) -> None:
        self._error: BaseException | None = None
        self._left: Gate | None = None
        while True:
            try:
                GateShut.__enter__(self)
                return
            except BaseException as error:  # it was under way, and is raised when these steps are done
                self._error = error
                if isinstance(THIS_THREAD.gate, LeftGate):
                    self._set_aside(THIS_THREAD.gate)
                    return

    def _set_aside(self, gate: Gate) -> None:
        """It is shut for good: whatever these steps call is to see none."""
        opened = gate.opened
        gate.close()
        self._opened, self._left = opened, gate
        THIS_THREAD.gate = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left is not None:
            self._left.opened = self._opened
            THIS_THREAD.gate = self._left
        else:
            GateShut.__exit__(self, kind, error, trace)
        if self._error is not None and error is None:
            raise self._error


class Undisturbed(GateShut):
    """The same for more steps, which need some room on the stack. Raises RecursionError if it is not there."""

    __slots__ = ()

    def __enter__(self) -> None:
        check_room()
        GateShut.__enter__(self)


def shelter_of(thread: int) -> Shelter | None:
    """The shelter that a thread is in."""
    return _shelters.get(thread)


def while_nobody_enters() -> threading.Lock:
    """A context in which no thread enters a shelter or leaves one."""
    return _lock


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _shelters.clear()


after_fork_in_child(_after_fork_in_child)
