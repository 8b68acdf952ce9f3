"""Timers: calls to be made later, all by one thread of the process, so that what waits holds no thread of its own.

Whoever asks holds no lock, not for a moment: an exception from outside that came while it does, or a finalizer that the
garbage collector calls then and that asks itself, would leave it locked, and everything that waits would wait for ever.
So the heap belongs to the thread alone, and what is new reaches it by single calls into C. May import: core.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.os.threads import can_start

__all__ = ["Timer", "call_later"]

IDLE_S: Final = 1.0  # the thread goes when there was nothing to do for so long
DEAD_MIN: Final = 100  # so many cancelled timers are not worth clearing away
_FAR: Final = 1 << 62  # later than any timer


class Timer:
    """One call to be made."""

    __slots__ = ("_timers", "due_us", "fn", "number")

    def __init__(self, timers: _Timers, due_us: int, number: int, fn: Callable[[], None]) -> None:
        self._timers = timers
        self.due_us = due_us
        self.number = number
        self.fn: Callable[[], None] | None = fn  # None: cancelled, or called

    def cancel(self) -> None:
        """Do not call. Harmless when it has been called already."""
        if self.fn is not None:
            self.fn = None
            self._timers.one_is_dead()


_Heap = list[tuple[int, int, Timer]]


class _Timers:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Stand as at first, without timers: so it is in a forked child."""
        self._coming: deque[Timer] = deque()
        self._numbers = itertools.count()
        self._dead = 0  # cancelled ones that are kept still, about
        self._dead_max = DEAD_MIN  # so many of them are cleared away
        self._wakes_us = _FAR  # when the thread looks again by itself
        self._bell = threading.Lock()  # it waits for this, and whoever has it wake releases it
        self._bell.acquire()
        self._thread: threading.Thread | None = None
        self._starter: object = None  # who is about to start the thread

    # -- for all threads

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Timer:
        """Call `fn` when `seconds` have passed."""
        timer = Timer(self, get_clock().mono_us() + int(seconds * 1e6), next(self._numbers), fn)
        self._coming.append(timer)  # first this, then the looks: the thread does these two in the other order
        if timer.due_us < self._wakes_us:
            self._wake()
        if self._thread is None and can_start():
            self._start()
        return timer

    def one_is_dead(self) -> None:
        """A timer was cancelled."""
        self._dead += 1
        if self._dead > self._dead_max:
            self._wake()

    def _wake(self) -> None:
        try:
            self._bell.release()
        except RuntimeError:
            pass  # somebody else did it first

    def _start(self) -> None:
        me = object()
        try:
            if self._starter is None:
                self._starter = me  # nobody comes between: see core/os/threads.py
            if self._starter is me and self._thread is None:
                thread = self._thread = threading.Thread(target=self._run, name="surefoot-timers", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    if self._thread is thread:
                        self._thread = None  # the next call tries again
                    raise
        finally:
            if self._starter is me:
                self._starter = None

    # -- for the thread

    def _run(self) -> None:
        me = self._thread = threading.current_thread()
        heap: _Heap = []
        try:
            while True:
                try:
                    if not self._turn(heap):
                        return
                except BaseException:  # whatever it is, all that waits in this process rests on this thread
                    sys.excepthook(*sys.exc_info())
        finally:
            if self._thread is me:
                self._thread = None

    def _turn(self, heap: _Heap) -> bool:
        """Make the call that is due, or wait for the next. False: there has been nothing to do for a while."""
        self._take(heap)
        if not heap:
            self._wakes_us = _FAR
            if not self._coming and not self._bell.acquire(timeout=IDLE_S) and not self._coming:
                self._thread = None
                return bool(self._coming)  # of one that came just now, nobody may have seen that the thread goes
            return True
        clock = get_clock()
        due_us, _, timer = heap[0]
        wait_us = due_us - clock.mono_us()
        if wait_us > 0:
            self._wakes_us = due_us
            if not self._coming:
                self._bell.acquire(timeout=min(clock.wait_s(wait_us / 1e6), threading.TIMEOUT_MAX))
            return True
        heapq.heappop(heap)
        fn, timer.fn = timer.fn, None
        if fn is not None:
            fn()
        return True

    def _take(self, heap: _Heap) -> None:
        while self._coming:
            timer = self._coming.popleft()
            heapq.heappush(heap, (timer.due_us, timer.number, timer))
        if self._dead > max(DEAD_MIN, len(heap) // 2):
            self._dead = 0
            heap[:] = [entry for entry in heap if entry[2].fn is not None]
            heapq.heapify(heap)
        while heap and heap[0][2].fn is None:
            heapq.heappop(heap)
        self._dead_max = max(DEAD_MIN, len(heap) // 2)


_timers = _Timers()
after_fork_in_child(_timers.reset)

call_later = _timers.call_later
