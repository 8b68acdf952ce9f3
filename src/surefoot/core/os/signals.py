"""The main thread's gate: Ctrl-C, SIGTERM and the alarm clock, let in only where a run may be stopped. Promise 6.

It is installed while a run is on. What the program has put in for a signal itself is left alone, before and meanwhile.
Where runs live in an event loop nothing is raised in that loop: the runs are cancelled.
May import: core.errors, core.os.threads, core.os.finalizers.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what `signal` wraps, for 20 microseconds a flow run
import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NoReturn

from surefoot.core.errors import TerminationSignal
from surefoot.core.os.finalizers import watch
from surefoot.core.os.threads import AGAIN_S, LOOP, OPEN, SHUT, STEP, THIS_THREAD, Deadline, Gate, OutOfTime

__all__ = ["GATE", "MainGate", "die_of"]

# A signal that comes between CPython's last look for one and the system call of a `time.sleep` is seen when that call
# returns. Another one, soon after, ends the call.
_AGAIN_S: Final = 0.03
_STUCK_S: Final = 3.0  # the gate is shut for moments; who asks again after so long is not to wait for it
# Signals that end the process in which nobody took them over; on Windows Ctrl-Break, which is how others ask for that.
# Signals that can be the alarm's, the first that the program does not use. Only SIGALRM rings by itself.
# Signals that can call the main thread on behalf of another. The first does nothing where nobody is called any more.
# Windows knows seven signals in all, and never sends the two that stand here.
if sys.platform == "win32":
    _ENDS: Final = (signal.SIGTERM, signal.SIGBREAK)
    _BELLS: Final = (signal.SIGILL, signal.SIGFPE)
    _CALLS: Final = (signal.SIGFPE, signal.SIGILL)
else:
    _ENDS: Final = (signal.SIGTERM,)
    _BELLS: Final = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
    _CALLS: Final = (signal.SIGURG, signal.SIGVTALRM, signal.SIGPROF)


class MainGate(Gate):
    """The one gate of the main thread."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._lock = threading.Lock()
        self._thread = threading.main_thread().ident or 0
        self.reason: tuple[str, bool] | None = None  # why a signal is about to come, and whether that was asked for
        self.reset()

    def reset(self) -> None:
        """Stand as if never installed."""
        self.opened, self.base = SHUT, OPEN
        self.pending = None
        self.deadlines = []
        self._before: list[dict[int, Any]] = []  # the handlers that each run which nothing surrounds found
        self._is_runner_told = False
        self._bell: signal.Signals | None = None
        self._waits_since_s = self._terminated_s = 0.0
        self._call: signal.Signals | None = None  # the signal by which other threads call this one
        self._called_for: Any = None  # what they want raised; it tells by `is_here()` whether here
        self.arrived: BaseException | None = None  # the last signal that came while installed
        self._raised: BaseException | None = None  # what was last raised from here, to know it again
        self.terminated: TerminationSignal | None = None
        self.cancels: list[Callable[[], bool]] = []  # cancel a run in an event loop; False: the loop does not run

    # -- installing

    def install(self, base: int = OPEN) -> None:
        """A run begins that nothing of ours surrounds. `base`: LOOP if it lives in an event loop."""
        if not self._depth:
            self.reset()
            self.base = base
            watch()
        self._before.append({})
        try:
            # First, since until then it is raised here. A notebook puts in its own with each cell, also while a run
            # that an earlier cell began goes on.
            self._take(signal.SIGINT, signal.default_int_handler)
            if not self._depth:
                self._answer_calls()
                for number in _ENDS:
                    self._take(number, _signal.SIG_DFL)
        except BaseException:
            self._give_back()
            raise
        if not self._depth:
            THIS_THREAD.gate = self
        self._depth += 1

    def _take(self, number: int, usual: Any) -> None:
        handler = _signal.getsignal(number)
        if handler == usual or _is_runners(handler):
            self._before[-1][number] = handler
            _signal.signal(number, self._arrived)

    def uninstall(self) -> BaseException | None:
        """That run has ended. After the last, signals are as they were; the answer is one that nobody has been told."""
        if not self._depth:
            return None  # in a child that was forked meanwhile
        self._depth -= 1
        if not self._depth:
            self.opened = SHUT
            self._raised = None
            THIS_THREAD.gate = None
        try:
            self._give_back()
        except KeyboardInterrupt as error:
            return error
        return None if self._depth else self.pending

    def _give_back(self) -> None:
        before = self._before.pop()
        if not self._before:
            self._answer_no_calls()
        while before:  # SIGINT is the last, since from then on it may be raised here
            number = next(reversed(before))
            handler = before.pop(number)
            if _signal.getsignal(number) == self._arrived:
                if _is_runners(handler) and not _is_cells(handler) and not _is_running(handler.func.__self__):
                    handler = signal.default_int_handler  # it would have put that back, had it found its own
                _signal.signal(number, handler)

    @property
    def is_installed(self) -> bool:
        return self._depth > 0

    @property
    def is_last(self) -> bool:
        """Whether but one run is on that nothing of ours surrounds: when it ends, signals are given back."""
        return self._depth == 1

    def forget(self) -> None:
        """In a forked child: the runs are the parent's, and signals do here what they did before."""
        if self._depth:
            self._depth = 0
            self._lock = threading.Lock()
            self._thread = threading.get_ident()
            if self.deadlines:
                self.deadlines = []
                self._silence()
            while self._before:
                self._give_back()
            THIS_THREAD.gate = None

    # -- signals

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        error: KeyboardInterrupt | TerminationSignal = KeyboardInterrupt()
        if number != signal.SIGINT:
            if self.terminated is None:
                self._terminated_s = time.monotonic()
            error = self.terminated = TerminationSignal(number)
            if self.reason is not None:
                error.why, error.asked = self.reason
        self.arrived = error
        if self.opened == SHUT:
            self._wait(error, number)
        elif self.opened == LOOP or (self.opened == STEP and number == signal.SIGINT and self._runner_waits()):
            if number != signal.SIGINT and time.monotonic() - self._terminated_s > _STUCK_S:
                _stop_at_once(number)  # it cancelled what lives here, and that was not enough: see `_cancel`
            self._cancel(error, number, frame)
        else:
            self._raise(error)

    def _raise(self, error: BaseException) -> NoReturn:
        self._raised = error
        raise error

    def _wait(self, error: BaseException, number: int) -> None:
        now_s = time.monotonic()
        if self.pending is None or isinstance(self.pending, OutOfTime):
            self._waits_since_s = now_s
        self.pending = error
        if self.waker is not None:
            self.waker()
        if now_s - self._waits_since_s > _STUCK_S:
            _stop_at_once(number)

    def _let_in(self) -> None:
        error = self.pending
        if self.opened == LOOP or (
            self.opened == STEP and isinstance(error, KeyboardInterrupt) and self._runner_waits()
        ):
            self.pending = None
            number = _signal_of(error)
            if error is not None and number is not None:
                self._cancel(error, number, None)
        else:
            self._raised = error
            super()._let_in()

    def take_back(self, error: BaseException) -> BaseException | None:
        if error is not self._raised:
            return None
        if self.pending is None or isinstance(self.pending, OutOfTime):
            self.pending = error
        return self.pending

    def come_again(self, error: BaseException) -> None:
        if self._call is not None and hasattr(error, "is_here"):  # as it was sent: it says where it may be raised
            self.pending, self._called_for = None, error
        _thread.start_new_thread(self._send_again, (error,))  # without a lock, which this very thread may hold

    def _send_again(self, error: BaseException) -> None:
        for pause_s in (AGAIN_S, _AGAIN_S):
            time.sleep(pause_s)
            number = self._call
            if not self.holds(error):
                return  # it was raised, or our own code has looked meanwhile
            if number is not None:
                _send_to(self._thread, number)
            elif self.opened != SHUT:  # the program has all of those: by the signal that it came by itself
                came_by = self._bell if isinstance(error, OutOfTime) else _signal_of(error)
                if came_by is not None:
                    self.pending = None
                    _send_to(self._thread, came_by)

    def _cancel(self, error: BaseException, number: int, frame: FrameType | None) -> None:
        runner = self.runner(number)
        if runner is not None:
            self._is_runner_told = True
            # When it is told once more, it raises KeyboardInterrupt at once. That may break a step of the loop off, and
            # then asyncio waits for ever for the task whose step it was.
            try:
                runner(number, frame)
            except KeyboardInterrupt as raised:
                self._raised = raised
                raise
        elif not sum(cancel() for cancel in self.cancels):  # each is told, not only the first
            self._raise(error)  # the loop was left for good, and its runs with it

    def runner(self, number: int) -> Any:
        """What `asyncio.run` had put in for a signal: it cancels the main task,
        and raises KeyboardInterrupt in the end. Or a notebook's kernel, which cancels the cell.
        """
        handler = next((before[number] for before in reversed(self._before) if number in before), None)
        return handler if _is_runners(handler) else None

    def _runner_waits(self) -> bool:
        return not self._is_runner_told and self.runner(signal.SIGINT) is not None

    def leave_to_runner(self) -> bool:
        """KeyboardInterrupt is about to leave a run for the event loop.

        True: `asyncio.run` raises it, when all is cancelled.
        """
        if self.arrived is None or self.runner(signal.SIGINT) is None:
            return False
        if not self._is_runner_told:
            self._cancel(self.arrived, signal.SIGINT, None)
        return True

    # -- calls by other threads

    def _answer_calls(self) -> None:
        for number in _CALLS:
            if _signal.getsignal(number) == _signal.SIG_DFL:
                _signal.signal(number, self._called)
                self._call = number
                return

    def _answer_no_calls(self) -> None:
        number, self._call, self._called_for = self._call, None, None
        if number is not None and _signal.getsignal(number) == self._called:
            _signal.signal(number, _signal.SIG_DFL)

    def interrupt(self, error: BaseException, level: int | None = None) -> None:
        number = self._call
        self._called_for = error
        if number is None:  # the program has all of them: it is seen where our own code looks
            self.pending = self.pending or error
            if self.waker is not None:
                self.waker()
        else:
            _send_to(self._thread, number)

    def interrupt_again(self, error: BaseException) -> None:
        """Send the signal for this error once more, if the thread has not seen the first: see `_AGAIN_S`."""
        number = self._call
        if number is not None and self._called_for is error and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self._thread, number)

    def _called(self, _number: int, _frame: FrameType | None) -> None:
        if self.pending is not None and self.opened != SHUT:  # it was raised in vain: see `take_back`
            self._let_in()
            return
        error = self._called_for
        if error is None or not error.is_here():
            return
        if self.opened > LOOP:
            self._called_for = None
            self._raise(error)
        if self.opened == SHUT and (self.pending is None or isinstance(self.pending, OutOfTime)):
            self.pending, self._called_for = error, None
            if self.waker is not None:
                self.waker()

    def holds(self, error: BaseException) -> bool:
        """Whether this was sent, and has not been raised yet."""
        return self._called_for is error or self.pending is error

    def disown(self, owner: object) -> None:
        super().disown(owner)
        if getattr(self._called_for, "owner", None) is owner:
            self._called_for = None

    # -- time limits

    def add(self, deadline: Deadline) -> bool:
        if not self.deadlines:
            self._bell = next((bell for bell in _BELLS if _signal.getsignal(bell) == _signal.SIG_DFL), None)
            if self._bell is not None:
                _signal.signal(self._bell, self._rang)
        self.deadlines.append(deadline)
        return self._wind()

    def ring(self, deadline: Deadline) -> None:
        with self._lock:
            if deadline in self.deadlines and self._bell is not None:
                deadline.rang = True
                _thread.interrupt_main(self._bell)

    def remove(self, deadline: Deadline) -> None:
        with self._lock:
            super().remove(deadline)
        if self.deadlines:
            self._wind()
        else:
            self._silence()

    def _wind(self) -> bool:
        """Set the alarm clock. False if it is not ours: somebody has to ring."""
        if sys.platform == "win32" or self._bell != signal.SIGALRM:
            return False
        if _signal.getsignal(signal.SIGALRM) == self._rang:
            soonest_s = min((deadline.at_s for deadline in self.deadlines if not deadline.rang), default=None)
            seconds = 0.0 if soonest_s is None else max(soonest_s - time.monotonic(), 0.000_1)
            signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        return True

    def _rang(self, _number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        for deadline in self.deadlines:
            if deadline.at_s <= now_s:
                deadline.rang = True
        self._wind()
        due = self.due()
        if due is None:
            return
        if self.opened > LOOP:
            self._raise(due)
        if self.pending is None or isinstance(self.pending, OutOfTime):
            self.pending = due
            if self.waker is not None:
                self.waker()

    def _silence(self) -> None:
        bell, self._bell = self._bell, None
        if bell is not None and _signal.getsignal(bell) == self._rang:  # else it is the program's by now
            if sys.platform != "win32" and bell == signal.SIGALRM:
                signal.setitimer(signal.ITIMER_REAL, 0)
            _signal.signal(bell, _signal.SIG_DFL)


def _signal_of(error: BaseException | None) -> signal.Signals | None:
    """The signal that this exception stands for; None if for none."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    return signal.Signals(error.signal) if isinstance(error, TerminationSignal) else None


def _send_to(thread: int, number: signal.Signals) -> None:
    """Send a signal to the main thread."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)  # ends a sleep too
    else:
        _thread.interrupt_main(number)


def _is_runners(handler: Any) -> bool:
    """Whether a handler of SIGINT cancels what an event loop runs, as that of `asyncio.run` does."""
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return type(owner).__module__ == "asyncio.runners" or _is_cells(handler)


def _is_cells(handler: Any) -> bool:
    """Whether a handler of SIGINT is the one that a notebook's kernel puts in for a cell that awaits something."""
    return getattr(handler, "__module__", None) == "ipykernel.ipkernel"


def _is_running(runner: Any) -> bool:
    """Whether `asyncio.run` is at its work still; not if KeyboardInterrupt left it, and it is but tidying up."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "run" and frame.f_locals.get("self") is runner:
            return True
        frame = frame.f_back
    return False


GATE: Final = MainGate()


def _stop_at_once(number: int) -> None:
    os.write(2, b"surefoot: stopped at once; the journal has what was recorded until now.\n")
    die_of(number)


def die_of(number: int) -> None:
    """End this process by a signal, so that its parent sees what it would have seen without us."""
    _signal.signal(number, _signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # the first process of a container: nothing else kills it
