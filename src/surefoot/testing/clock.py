"""A clock for tests: pauses between retries take no time, and the time of day is what the test says.

May import: core.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock
from types import TracebackType

from surefoot.core.clock import Clock as AnyClock
from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.errors import BadInput

__all__ = ["Clock", "ClockError"]


class ClockError(BadInput, ValueError):
    """A clock for tests was told to do what clocks do not."""


class Clock(SystemClock):
    """A clock that jumps. As a context it is the one that Surefoot reads, in the whole process.

    A run that is to pause before a retry goes on at once, and the time of day has moved on by the pause. What is
    measured stays real: durations, and the limits of `timeout_seconds`. The pauses are listed in `pauses`, in seconds,
    in the order in which they began. A `time.sleep` of your own code sleeps.

    Args:
        start: the time of day at the beginning, with a time zone; that of the machine if left out.

    >>> with Clock(datetime(2026, 3, 29, 0, 59, tzinfo=UTC)) as clock:
    ...     clock.advance(minutes=2)
    ...     clock.now
    datetime.datetime(2026, 3, 29, 1, 1, ...)
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and start.utcoffset() is None:
            raise ClockError(f"The start of a clock is {start!r}, without a time zone.", do="Add one: tzinfo=UTC.")
        self.pauses: list[float] = []
        self._lock = Lock()
        real_us = super().now_us()
        self._ahead_us = 0 if start is None else int(start.timestamp() * 1e6) - real_us
        self._before: AnyClock | None = None

    @property
    def now(self) -> datetime:
        """The time of day (UTC)."""
        return datetime.fromtimestamp(self.now_us() / 1e6, UTC)

    @property
    def paused_s(self) -> float:
        """Seconds of all pauses so far."""
        return sum(self.pauses)

    def advance(self, delta: timedelta | None = None, **parts: float) -> None:
        """Move on by a timedelta, or by its parts: `clock.advance(hours=2)`. ValueError for less than nothing."""
        whole = timedelta(**parts) if delta is None else delta
        if whole < timedelta(0):
            raise ClockError(f"A clock was to advance by {whole}.", do="Time goes forward: pass a timedelta above 0.")
        with self._lock:
            self._ahead_us += int(whole.total_seconds() * 1e6)

    def now_us(self) -> int:
        """Wall time: microseconds since 1970, UTC."""
        return super().now_us() + self._ahead_us

    def pause_s(self, seconds: float) -> float:
        """Let a pause pass at once."""
        with self._lock:
            self.pauses.append(seconds)
            self._ahead_us += int(seconds * 1e6)
        return 0.0

    def __enter__(self) -> Clock:
        self._before = set_clock(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            set_clock(self._before)
            self._before = None
