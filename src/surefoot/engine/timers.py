"""Timers: calls to be made later, all by one thread of the process, so that what waits holds no thread of its own.

May import: core.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
from collections.abc import Callable
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child

__all__ = ["Timer", "call_later"]

IDLE_S: Final = 1.0  # the thread goes when there was nothing to do for so long
DEAD_MIN: Final = 100  # so many cancelled timers are not worth clearing away


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
        self._timers.cancel(self)

    def __lt__(self, other: Timer) -> bool:
        return (self.due_us, self.number) < (other.due_us, other.number)


class _Timers:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._heap: list[Timer] = []
        self._dead = 0  # cancelled ones among them
        self._numbers = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        self._is_running = False

    def call_later(self, seconds: float, fn: Callable[[], None]) -> Timer:
        timer = Timer(self, get_clock().mono_us() + int(seconds * 1e6), next(self._numbers), fn)
        with self._changed:
            heapq.heappush(self._heap, timer)
            starts = not self._is_running
            if starts:
                self._is_running = True
            elif self._heap[0] is timer:
                self._changed.notify()
        if starts:
            self._start()
        return timer

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="surefoot-timers", daemon=True).start()
        except BaseException:
            self._is_running = False  # the next call tries again
            raise

    def cancel(self, timer: Timer) -> None:
        with self._changed:
            if timer.fn is None:
                return
            timer.fn = None
            self._dead += 1
            if self._dead > max(DEAD_MIN, len(self._heap) // 2):
                self._heap = [timer for timer in self._heap if timer.fn is not None]
                heapq.heapify(self._heap)
                self._dead = 0

    def _run(self) -> None:
        while True:
            try:
                fn = self._next()
                if fn is None:
                    return
                fn()
                del fn
            except BaseException:  # whatever it is, all that waits in this process rests on this thread
                sys.excepthook(*sys.exc_info())

    def _next(self) -> Callable[[], None] | None:
        """The next call that is due; None when there has been nothing to do for a while."""
        with self._changed:
            while True:
                while self._heap and self._heap[0].fn is None:
                    heapq.heappop(self._heap)
                    self._dead -= 1
                if not self._heap:
                    if not self._changed.wait(IDLE_S) and not self._heap:
                        self._is_running = False
                        return None
                    continue
                clock = get_clock()
                wait_us = self._heap[0].due_us - clock.mono_us()
                if wait_us <= 0:
                    timer = heapq.heappop(self._heap)
                    fn, timer.fn = timer.fn, None
                    return fn
                self._changed.wait(min(clock.wait_s(wait_us / 1e6), threading.TIMEOUT_MAX))


_timers = _Timers()
after_fork_in_child(_timers.reset)

call_later = _timers.call_later
