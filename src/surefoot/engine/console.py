"""The console: lines of runs on stderr as people read them. May import: core, interrupts, progress."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

from surefoot.engine.interrupts import GateShut
from surefoot.engine.progress import clear_moving, draw_moving, is_terminal, one_at_a_time

__all__ = ["ConsoleHandler", "RunHandler", "full_text"]

_COLORS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[31;1m",
}
_DIM: Final = "\x1b[2m"
_RESET: Final = "\x1b[0m"


class RunHandler(logging.Handler):
    """A handler for the lines of runs. What is to stop a run waits until its line is through: handlers have locks."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit one line, and let nothing interrupt that."""
        with GateShut():
            return bool(super().handle(record))


class ConsoleHandler(RunHandler):
    """Writes lines to stderr: time, level, run, text."""

    def __init__(self, colors: bool) -> None:
        super().__init__()
        self._colors = colors

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        stream = sys.stderr
        if stream is None:
            return
        try:
            text = self.format_line(record, self._colors and is_terminal(stream))
            execution = getattr(record, "surefoot_execution", None)
            if execution is None:
                _write(stream, text)
            else:
                # A notebook shows what is written under the cell that the context was made in, whatever thread writes.
                execution.context.copy().run(_write, stream, text)
        except Exception:
            self.handleError(record)

    def format_line(self, record: logging.LogRecord, colors: bool) -> str:
        """The line, with a traceback below it if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        where = _where(record)
        text = full_text(record)
        stamp = f"{clock}.{int(record.msecs):03d}"
        level = f"{record.levelname:<7}"
        if colors:
            color = _COLORS.get(record.levelno, "")
            stamp = f"{_DIM}{stamp}{_RESET}"
            level = f"{color}{level}{_RESET}" if color else level
        return f"{stamp} {level} {where} | {text}" if where else f"{stamp} {level} | {text}"


def _write(stream: Any, text: str) -> None:
    with one_at_a_time:
        clear_moving(stream)
        stream.write(text + "\n")
        stream.flush()
        draw_moving(stream, force=True)


_plain: Final = logging.Formatter()


def full_text(record: logging.LogRecord) -> str:
    """The text of a line, with the traceback and the stack that belong to it."""
    text = record.getMessage()
    if record.exc_info:
        if not record.exc_text:
            record.exc_text = _plain.formatException(record.exc_info)
        text = f"{text}\n{record.exc_text}"
    return f"{text}\n{record.stack_info}" if record.stack_info else text


def _where(record: logging.LogRecord) -> str:
    names = [getattr(record, key, None) for key in ("flow_name", "flow_run_name", "task_run_name")]
    flow, flow_run, task_run = names
    run = f"{flow}/{flow_run}" if flow_run else ""
    return f"{run} {task_run}".strip() if task_run else run
