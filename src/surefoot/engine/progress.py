"""Progress: one line on stderr that moves for a map, and where lines take turns. Light: it knows nothing of `logging`.

May import: core, cells.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.os.forks import after_fork_in_child
from surefoot.engine.cells import CellLine, cell_line

__all__ = ["MapProgress", "clear_moving", "draw_moving", "is_terminal", "one_at_a_time", "share_terminal"]

one_at_a_time: Final = threading.RLock()  # one line at a time, the moving one included
_moving: list[MapProgress] = []
_CELL_AFTER_US: Final = 500_000  # a map that is over sooner shows no line in a notebook
_CELL_EVERY_US: Final = 250_000


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
        self.cancelled = 0
        self.skipped = 0
        self._start_us = get_clock().mono_us()
        self._drawn_us = 0
        self._cell: CellLine | None = cell_line(sys.stderr) if total > 1 else None
        if self._cell is not None:
            self._drawn_us = self._start_us + _CELL_AFTER_US - _CELL_EVERY_US
        self._moves = total > 1 and sys.stderr is not None and is_terminal(sys.stderr)
        if self._moves:
            with one_at_a_time:
                _moving.append(self)

    def ended(self, completed: bool, skipped: bool = False, cancelled: bool = False) -> bool:
        """One run has ended. Answers whether it was the last."""
        with one_at_a_time:
            self.done += 1
            self.failed += not completed and not cancelled
            self.cancelled += cancelled
            self.skipped += skipped
            last = self.done == self.total
            if self._moves:
                if last:
                    clear_moving(sys.stderr)
                    _moving.remove(self)
                draw_moving(sys.stderr, force=last)
            elif self._cell is not None:
                self._draw_in_cell(self._cell, last)
        return last

    def _draw_in_cell(self, cell: CellLine, last: bool) -> None:
        now_us = get_clock().mono_us()
        if now_us - self._drawn_us < _CELL_EVERY_US and not (last and cell.is_shown):
            return
        self._drawn_us = now_us
        if not cell.show(self.line()):
            self._cell = None

    def line(self) -> str:
        """The line that moves."""
        seconds = self.seconds()
        rate = self.done / seconds if seconds > 0 else 0.0
        left = f", {_clock_time((self.total - self.done) / rate)} left" if rate and self.done < self.total else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.name}: {self.done:,}/{self.total:,} done{failed}{self.not_done()}, {rate:,.0f}/s{left}"

    def not_done(self) -> str:
        """How many were cancelled and skipped, behind a comma; nothing if none was."""
        counts = (self.cancelled, "cancelled"), (self.skipped, "skipped")
        return "".join(f", {count:,} {what}" for count, what in counts if count)

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


def share_terminal() -> None:
    """Another process may draw a line on the same terminal: it is taken away before lines from here."""
    global _is_shared
    _is_shared = is_terminal(sys.stderr)


_is_shared = False


def clear_moving(stream: Any) -> None:
    """Take the line away. Called with `one_at_a_time` held."""
    if _moving or _is_shared:
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
