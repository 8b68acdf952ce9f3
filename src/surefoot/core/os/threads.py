"""Gates: where a thread may be interrupted, and how one thread interrupts another. Keeps promise 6.

An exception that comes from outside (a signal, a time limit, the end of a flow) could otherwise come between any two
steps, in the middle of recording a state as well. A thread's gate lets it in only while the user's code is called; at
other times it waits. This rests on where CPython lets signals' handlers and other threads in: after calls, at the start
of functions, at jumps backwards; never between two plain stores.

In the midst of an event loop nothing is raised either: what it was about to wake would never wake. Its main task is
cancelled, as Ctrl-C does it. May import: nothing of ours.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

__all__ = [
    "AGAIN_S",
    "LOOP",
    "OPEN",
    "SHUT",
    "STEP",
    "THIS_THREAD",
    "Deadline",
    "Gate",
    "Interrupted",
    "LeftGate",
    "OutOfTime",
    "ThreadGate",
    "can_start",
    "leave",
]

# How far a gate is open: what its thread does now.
SHUT: Final = 0  # our own code: whatever comes waits
LOOP: Final = 1  # the program's event loop: the runs in it are cancelled, nothing is raised
STEP: Final = 2  # a step of the user's coroutine
OPEN: Final = 3  # the user's function

AGAIN_S: Final = 0.001  # by then a finalizer is over, as a rule


def can_start() -> bool:
    """Whether a thread can be started. While the interpreter ends none goes on, and CPython 3.11 waits for ever for one
    that is started; newer ones refuse (RuntimeError). Finalizers are called even then.
    """
    return not sys.is_finalizing()


class OutOfTime(BaseException):
    """The time of one call is up. Not an Exception: the user's `except Exception` must not swallow it."""

    def __init__(self, owner: object = None) -> None:
        self.owner = owner
        self.asked = True  # whoever set the time limit asked for the end
        super().__init__("out of time")


class Interrupted(BaseException):
    """What one thread raises in another: no more than a class can be handed over. The gate knows what it stands for."""

    def __init__(self) -> None:
        super().__init__("stopped by Surefoot")


class Deadline:
    """The end of one call's time."""

    __slots__ = ("at_s", "owner", "rang")

    def __init__(self, seconds: float, owner: object) -> None:
        self.at_s = time.monotonic() + seconds
        self.owner = owner
        self.rang = False

    def is_over(self) -> bool:
        """Whether the time is up, noticed or not."""
        return self.rang or time.monotonic() >= self.at_s


class Gate:
    """Decides when its thread may be interrupted."""

    sent = False  # an exception is under way that arrives however the gate stands
    level = 0  # how many calls on this thread are covered by another that is none of theirs

    def __init__(self) -> None:
        self.opened = SHUT
        self.base = OPEN  # how it is to be opened for an event loop that runs our coroutines
        self.pending: BaseException | None = None  # waits at the gate, or is under way
        self.waker: Callable[[], None] | None = None  # ends the wait of ours in which this thread is
        self.deadlines: list[Deadline] = []  # of the calls that are on, the outermost first

    def open(self, how: int = OPEN) -> None:
        """From here on exceptions are let in. Raises the one that waits."""
        self.opened = how  # first this, then the look: what comes in between is let in, and does not wait unseen
        if self.pending is not None:
            self._let_in()

    def _let_in(self) -> None:
        error = self.take()
        assert error is not None
        raise error

    def take(self) -> BaseException | None:
        """The one that waits, which then waits no more."""
        error, self.pending = self.pending, None
        return error

    def set_aside(self) -> BaseException | None:
        """Take the one that waits, or is under way, out of the way of what is called now. The gate is shut."""
        return self.take()

    def put_back(self, error: BaseException | None) -> None:
        """It waits again, before what came since. The gate is shut."""
        if error is not None:
            self.pending = error

    def shut(self) -> int:
        """From here on exceptions wait. Answers how it was opened, to `open` it so again."""
        opened = self.opened
        self.opened = SHUT
        if self.sent:
            try:
                self.settle()
            except Interrupted:
                self.opened = opened
                raise
        return opened

    def close(self) -> None:
        """`shut`, for good. What arrives while that is done is not lost: it waits."""
        self.opened = SHUT
        if self.sent:
            try:
                self.settle()
            except Interrupted:
                self.sent = False

    def settle(self) -> None:
        """Take back what is under way. Now that the gate is shut nothing more is sent."""

    def met(self, error: BaseException) -> BaseException:
        """What an exception that arrived stands for."""
        return error

    def add(self, deadline: Deadline) -> bool:
        """A call begins that has a time limit. False: somebody has to call `ring` when the time is up."""
        self.deadlines.append(deadline)
        return False

    def ring(self, deadline: Deadline) -> None:
        """The time is up."""
        deadline.rang = True

    def remove(self, deadline: Deadline) -> None:
        """The call is over, and its time limit must not hit what comes next. The gate is shut."""
        self.deadlines = [other for other in self.deadlines if other is not deadline]
        pending = self.pending
        if isinstance(pending, OutOfTime) and pending.owner is deadline.owner:
            due = self.due()
            if self.pending is pending:
                self.pending = due

    def drop(self, error: BaseException) -> None:
        """That exception is wanted no more. The gate is shut."""
        if self.pending is error:
            self.pending = None

    def interrupt(self, error: BaseException, level: int | None = None) -> None:
        """Raise `error` in this thread: now, or when its gate is next opened. For other threads to call.

        `level` is that of the call that it is for: it waits while that one is covered.
        """
        self.pending = error

    def take_back(self, error: BaseException) -> BaseException | None:
        """It was raised where Python can raise nothing. What waits again if it came from here. The gate is shut."""
        return None

    def come_again(self, error: BaseException) -> None:
        """Let in what waits a moment later, though nobody opens the gate: it stood open before, and does so again.

        Where our own code looks next it would be met too; but that may be never. Called at any step, also where this
        very thread holds the locks that there are.
        """

    def disown(self, owner: object) -> None:
        """Nothing that waits for this owner is wanted any more. The gate is shut."""
        if getattr(self.pending, "owner", None) is owner:
            self.pending = None

    def due(self) -> OutOfTime | None:
        """For the outermost of the calls whose time is up: its end is the end of all within it."""
        for deadline in self.deadlines:
            if deadline.rang:
                return OutOfTime(deadline.owner)
        return None


_LOOKS: Final = (0, 1, 2)  # with each jump backwards Python looks for what is to be raised


class ThreadGate(Gate):
    """The gate of a thread that other threads interrupt, as far as Python can: a call into C goes on to its end."""

    def __init__(self) -> None:
        super().__init__()
        self._id = threading.get_ident()
        self._lock = threading.Lock()  # never taken by its own thread while the gate is open
        self.reaching = threading.Lock()  # between a call on this thread that ends, and who interrupts it
        self._met: BaseException | None = None
        self._covered: list[tuple[int, BaseException]] = []  # by level: what waits until those calls are uncovered
        self._told: BaseException | None = None  # why an event loop's main task was cancelled

    def interrupt(self, error: BaseException, level: int | None = None) -> None:
        with self._lock:
            if level is not None and level < self.level:
                self._covered.append((level, error))
            else:
                self._send(error)

    def cover(self) -> None:
        """A call begins here that is none of those that are on here: what comes for these waits. The gate is shut."""
        with self._lock:
            if self.pending is not None:
                self._covered.append((self.level, self.pending))
                self.pending = None
            self.level += 1

    def uncover(self) -> None:
        """That call has ended. The gate is shut."""
        with self._lock:
            self.level -= 1
            for level, error in self._covered:
                if level == self.level and (self.pending is None or isinstance(self.pending, OutOfTime)):
                    self.pending = error
            self._covered = [each for each in self._covered if each[0] < self.level]

    def set_aside(self) -> BaseException | None:
        with self._lock:
            return super().set_aside()

    def put_back(self, error: BaseException | None) -> None:
        with self._lock:
            super().put_back(error)

    def disown(self, owner: object) -> None:
        with self._lock:
            super().disown(owner)
            self._covered = [each for each in self._covered if getattr(each[1], "owner", None) is not owner]
            if self._told is not None and getattr(self._told, "owner", None) is owner:
                self._told = None

    def drop(self, error: BaseException) -> None:
        with self._lock:
            super().drop(error)
            self._covered = [each for each in self._covered if each[1] is not error]
            if self._told is error:
                self._told = None

    def _send(self, error: BaseException) -> None:
        send, interrupted = _async_raise()
        if self.pending is None or isinstance(self.pending, OutOfTime):
            self.pending = error
        loop = _LoopAt.find(self._id) if self.opened else None
        if loop is not None:
            self._told = error
            loop.cancel()
        if self.opened and (loop is None or loop.is_in_a_step):
            # Between this look and `send` nobody shuts the gate: see the top of this file.
            self.sent = True
            send(self._id, interrupted)
        elif not self.opened and self.waker is not None:
            self.waker()

    def take_back(self, error: BaseException) -> BaseException | None:
        return self.pending if type(error) is Interrupted else None  # which was not met yet

    def come_again(self, error: BaseException) -> None:
        _thread.start_new_thread(self._send_again, (error,))  # `threading` has a lock of its own

    def _send_again(self, error: BaseException) -> None:
        time.sleep(AGAIN_S)
        with self._lock:
            if self.pending is error:
                self._send(error)

    def settle(self) -> None:
        # It is let arrive here. Were it set to nothing instead, CPython 3.11 and 3.12 would look for it for ever after:
        # slowly, and under a tracer or profiler without getting on at all.
        while self.sent:
            try:
                with self._lock:  # nobody sends meanwhile
                    for _ in _LOOKS:
                        pass
                    self.sent = False
            except Interrupted:
                continue

    def met(self, error: BaseException) -> BaseException:
        if self._told is not None and type(error).__name__ == "CancelledError":
            told, self._told = self._told, None
            if self.pending is told:
                self.pending = None
            return told
        if type(error) is not Interrupted:
            return error
        if self.pending is not None:
            self._met, self.pending = self.pending, None
        return self._met or error

    def _let_in(self) -> None:
        self._met = self.pending
        super()._let_in()

    def ring(self, deadline: Deadline) -> None:
        with self._lock:
            deadline.rang = True
            due = self.due()
            if due is not None and any(other is deadline for other in self.deadlines):
                self._send(due)

    def remove(self, deadline: Deadline) -> None:
        with self._lock:
            super().remove(deadline)
            if isinstance(self._told, OutOfTime) and self._told.owner is deadline.owner:
                self._told = None


class LeftGate(ThreadGate):
    """The gate of a thread whose call took too long, so that its run goes on without it.

    Whatever its code wants of us when it comes back (to log a line, to call a task) tells it again that it is over.
    """

    def shut(self) -> int:
        """Raise what tells it so."""
        raise OutOfTime


def leave(gate: ThreadGate) -> None:
    """From now on that thread is on its own."""
    gate.__class__ = LeftGate


_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
_ASYNCIO: Final = os.path.join(_LIBRARY, "asyncio", "")
_OURS: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_NOT_USERS: Final = (_ASYNCIO, os.path.join(_LIBRARY, "selectors.py"), _OURS)


def _enters_call(code: CodeType) -> bool:
    """Whether this is where blocking code calls the user's function: what lies further out is not that call."""
    return code.co_name == "guarded" and code.co_filename.startswith(_OURS)


class _LoopAt:
    """The event loop that a thread runs within the call that it is in, as its stack shows it."""

    __slots__ = ("_loop", "_main", "is_in_a_step")

    def __init__(self, loop: Any, main: Any, is_in_a_step: bool) -> None:
        self._loop = loop
        self._main = main
        self.is_in_a_step = is_in_a_step  # of the user's, where an exception does no harm

    @classmethod
    def find(cls, thread: int) -> _LoopAt | None:
        """None: there is none, or not one that can be cancelled."""
        frame = sys._current_frames().get(thread)
        is_in_a_step = frame is not None and not frame.f_code.co_filename.startswith(_NOT_USERS)
        while frame is not None and not _enters_call(frame.f_code):
            if frame.f_code.co_name == "run_until_complete" and frame.f_code.co_filename.startswith(_ASYNCIO):
                local = frame.f_locals
                if "self" in local and hasattr(local.get("future"), "cancel"):
                    return cls(local["self"], local["future"], is_in_a_step)
            frame = frame.f_back
        return None

    def cancel(self) -> None:
        """Cancel what the loop runs for."""
        try:
            self._loop.call_soon_threadsafe(self._main.cancel)
        except RuntimeError:
            pass  # it has just been closed


_sender: Any = None


def _async_raise() -> Any:
    """CPython's function that raises in another thread, and what to raise."""
    global _sender
    if _sender is None:
        import ctypes  # 10 ms, and few processes ever interrupt a thread

        send = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
        send.argtypes = [ctypes.c_ulong, ctypes.py_object]
        _sender = send, ctypes.py_object(Interrupted)
    return _sender


class _ThisThread(threading.local):
    gate: Gate | None = None  # of the outermost run on this thread, while it lasts


THIS_THREAD: Final = _ThisThread()
