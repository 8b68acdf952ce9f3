"""The one clock: every instant that Surefoot reads and every pause that it makes goes through here, so tests can put
another in.

Instants are microseconds since 1970, UTC (`now_us`); durations come from `mono_us`, which never jumps. May import:
nothing of ours.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "get_clock", "read_clock", "set_clock"]


class Clock(Protocol):
    """What the engine asks a clock for."""

    def now_us(self) -> int:
        """Wall time: microseconds since 1970, UTC."""
        ...

    def mono_us(self) -> int:
        """Monotonic time in microseconds, from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed. May be interrupted by a signal's exception."""
        ...

    def wait_s(self, seconds: float) -> float:
        """How long a waiter should really wait, in seconds, for `seconds` to pass on this clock."""
        ...

    def pause_s(self, seconds: float) -> float:
        """How long a run should really pause before it goes on, where it is to pause for `seconds`: between retries.

        Other than `wait_s`, which is for waits that something may end before their time.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait_s(self, seconds: float) -> float:
        return seconds

    def pause_s(self, seconds: float) -> float:
        return seconds


_clock: Clock = SystemClock()


def get_clock() -> Clock:
    """The clock in use."""
    return _clock


def read_clock() -> tuple[int, int]:
    """Wall time and monotonic time, both in microseconds: what every state is told with.

    >>> now_us, mono_us = read_clock()
    >>> now_us > 1_700_000_000_000_000, mono_us > 0
    (True, True)
    """
    clock = _clock
    if type(clock) is SystemClock:  # without two calls, for every state of every run
        return time.time_ns() // 1000, time.monotonic_ns() // 1000
    return clock.now_us(), clock.mono_us()


def set_clock(clock: Clock) -> Clock:
    """Put another clock in use, and return the one that was. For tests."""
    global _clock
    before, _clock = _clock, clock
    return before
