"""Progress: one line on stderr that moves for a map, and where lines take turns. Light: it knows nothing of `logging`.

May import: core.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child

__all__ = ["MapProgress", "clear_moving", "draw_moving", "is_terminal", "one_at_a_time"]

one_at_a_time: Final = threading.RLock()  # one line at a time, the moving one included
_moving: list[MapProgress] = []


def is_terminal(stream: Any) -> bool:
    """Whether a person looks at the stream, who wants colours and moving lines."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    except (AttributeError, ValueError):
        return False


class MapProgress:
    """One map: how many runs are done, running and failed, at which rate, and how long it will take."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.failed = 0
        self._start_us = get_clock().mono_us()
        self._drawn_us = 0
        self._moves = total > 1 and sys.stderr is not None and is_terminal(sys.stderr)
        if self._moves:
            with one_at_a_time:
                _moving.append(self)

    def ended(self, completed: bool) -> bool:
        """One run has ended. Answers whether it was the last."""
        with one_at_a_time:
            self.done += 1
            self.failed += not completed
            last = self.done == self.total
            if self._moves:
                if last:
                    clear_moving(sys.stderr)
                    _moving.remove(self)
                draw_moving(sys.stderr, force=last)
        return last

    def line(self) -> str:
        """The line that moves."""
        seconds = self.seconds()
        rate = self.done / seconds if seconds > 0 else 0.0
        left = f", {_clock_time((self.total - self.done) / rate)} left" if rate and self.done < self.total else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.name}: {self.done:,}/{self.total:,} done{failed}, {rate:,.0f}/s{left}"

    def seconds(self) -> float:
        """How long it has been going on."""
        return (get_clock().mono_us() - self._start_us) / 1e6

    def due(self, force: bool) -> bool:
        """Whether it is time to draw again: ten times a second at most."""
        now_us = get_clock().mono_us()
        if not force and now_us - self._drawn_us < 100_000:
            return False
        self._drawn_us = now_us
        return True


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def clear_moving(stream: Any) -> None:
    """Take the line away. Called with `one_at_a_time` held."""
    if _moving:
        stream.write("\r\x1b[2K")


def draw_moving(stream: Any, force: bool) -> None:
    """Put the line there, if it is time to. Called with `one_at_a_time` held."""
    if _moving and _moving[-1].due(force):
        line = "   ".join(progress.line() for progress in _moving)
        stream.write("\r\x1b[2K" + line[: _columns(stream) - 1])  # a line that wraps could not be taken away again
        stream.flush()


def _columns(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (AttributeError, OSError, ValueError):
        return 80


def _after_fork_in_child() -> None:
    one_at_a_time._at_fork_reinit()  # type: ignore[attr-defined]  # as the standard `logging` does with its own
    _moving.clear()


after_fork_in_child(_after_fork_in_child)
