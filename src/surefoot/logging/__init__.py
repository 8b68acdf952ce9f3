"""Logging: `get_run_logger()` for user code, and where lines go: the console, and the journal.

Lines of a run reach the journal through a standard `logging` handler, so libraries' loggers can be sent there too
(`logging.extra_loggers`). May import: core, engine.scope.
"""

from __future__ import annotations

import builtins
import json
import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.errors import MissingContextError
from surefoot.core.facts import LogWritten
from surefoot.engine.console import ConsoleHandler, RunHandler, full_text
from surefoot.engine.scope import current
from surefoot.engine.sketching import sketcher

if TYPE_CHECKING:
    from surefoot.context import FlowRunContext, TaskRunContext
    from surefoot.core.settings import Settings
    from surefoot.engine.execution import Execution

__all__ = [
    "JsonFormatter",
    "RunLogger",
    "disable_run_logger",
    "flow_run_logger",
    "get_logger",
    "get_run_logger",
    "set_up",
    "task_run_logger",
]

ROOT: Final = "surefoot"
FLOW_RUNS: Final = "surefoot.flow_runs"
TASK_RUNS: Final = "surefoot.task_runs"
EXTRA: Final = "surefoot.extra"  # for code that may run outside of runs too; in a run its lines are the run's


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A standard logger whose lines belong to a run."""

    def __init__(self, logger: logging.Logger, execution: Execution, extra: dict[str, Any] | None = None) -> None:
        super().__init__(logger, {**_names(execution), **(extra or {})})
        self._execution = execution

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Tie the line to its run."""
        given = kwargs.get("extra") or {}
        kwargs["extra"] = {**(self.extra or {}), **given, "surefoot_execution": self._execution}
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:
        """Whether lines of that level are taken."""
        # Surprising: a `logging.config` that is loaded while a run goes on switches off every logger that it does not
        # name. What a run says would be gone without a word.
        if self.logger.disabled and not _disabled:
            self.logger.disabled = False
        return super().isEnabledFor(level)


def _names(execution: Execution) -> dict[str, Any]:
    """What formatters may use."""
    names: dict[str, Any] = {}
    flow = execution.flow
    if flow is not None:
        names = {"flow_run_id": str(flow.run.id), "flow_run_name": flow.run_name, "flow_name": flow.definition.name}
    if execution.is_task:
        names |= {
            "task_run_id": str(execution.run.id),
            "task_run_name": execution.run_name,
            "task_name": execution.definition.name,
        }
    return names


def get_run_logger(context: FlowRunContext | TaskRunContext | None = None, **extra: Any) -> RunLogger:
    """The logger of the run that this is called in: its lines are kept with the run.

    Args:
        context: the run to log for, if it is another (`FlowRunContext.get()` in a task logs for its flow).
        extra: fields that formatters may use in every line.

    Raises MissingContextError outside of runs.
    """
    execution = current() if context is None else context.execution
    if execution is None:
        if _disabled or sketcher() is not None:
            return _SILENT
        raise MissingContextError(
            "get_run_logger() was called outside of a flow or task run.",
            do="Call it inside one (in a thread of your own: contextvars.copy_context().run(...)), or use "
            "logging.getLogger(__name__); in unit tests wrap the call in disable_run_logger().",
        )
    return logger_of(execution, extra)


def logger_of(execution: Execution, extra: dict[str, Any] | None = None) -> RunLogger:
    """The logger of one run."""
    return RunLogger(logging.getLogger(TASK_RUNS if execution.is_task else FLOW_RUNS), execution, extra)


def flow_run_logger(flow_run: Any, flow: Any = None) -> RunLogger:
    """The logger of a flow run that a hook was given."""
    return logger_of(flow_run._execution)


def task_run_logger(task_run: Any, task: Any = None, flow_run: Any = None, flow: Any = None) -> RunLogger:
    """The logger of a task run that a hook was given."""
    return logger_of(task_run._execution)


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger `surefoot.<name>`, for code that is not in a run."""
    if not name or name == ROOT or name.startswith(f"{ROOT}."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")


class _Silent(RunLogger):
    def __init__(self) -> None:
        nobody = logging.Logger("surefoot.silent", level=logging.CRITICAL + 1)  # noqa: LOG001  # not in the tree of loggers
        logging.LoggerAdapter.__init__(self, nobody, {})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


_SILENT: Final = _Silent()
_disabled = 0


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Let `get_run_logger()` work outside of runs, and say nothing, in runs too: for unit tests of `my_task.fn`."""
    global _disabled
    loggers = [logging.getLogger(name) for name in (FLOW_RUNS, TASK_RUNS)]
    _disabled += 1
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        _disabled -= 1
        for logger in loggers:
            logger.disabled = bool(_disabled)


class JournalHandler(RunHandler):
    """Writes the lines of runs to the journal."""

    def __init__(self, chars_max: int) -> None:
        super().__init__()
        self.chars_max = chars_max

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line. A line outside of any run is not the journal's; nor is one with `send_to_api` False."""
        execution: Execution | None = getattr(record, "surefoot_execution", None) or current()
        if execution is None or getattr(record, "surefoot_is_kept", False):
            return
        if getattr(record, "send_to_api", True) is False:
            return
        record.surefoot_is_kept = True  # it comes by again if the logger above is one of `extra_loggers` too
        try:
            message = full_text(record)
            cut = max(len(message) - self.chars_max, 0)
            if cut:
                message = f"{message[: self.chars_max]} [cut: {cut} characters]"
            flow = execution.flow
            execution.session.recorder.log(
                LogWritten(
                    int(record.created * 1e6),
                    record.levelno,
                    record.name,
                    message,
                    None if flow is None else flow.run_id,
                    execution.run_id if execution.is_task else None,
                    cut,
                    get_clock().mono_us(),
                )
            )
        except Exception:
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """Each line as one JSON object, for handlers of your own: time, level, logger, text, and the run that it is of.

    What `extra={...}` and `get_run_logger(...)` add stands in it too; what JSON cannot hold, as its text.

        handler.setFormatter(JsonFormatter())
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info or record.stack_info:
            told["traceback"] = full_text(record)[len(told["message"]) + 1 :]
        known = _ordinary_fields()
        told |= {name: value for name, value in vars(record).items() if name not in known and name not in told}
        return json.dumps(told, default=str, ensure_ascii=False)


_ordinary: frozenset[str] = frozenset()


def _ordinary_fields() -> frozenset[str]:
    """What every record of the standard library has, and what is ours alone."""
    global _ordinary
    if not _ordinary:
        ours = {"surefoot_execution", "surefoot_is_kept", "send_to_api", "message", "asctime", "taskName"}
        _ordinary = frozenset(vars(logging.makeLogRecord({}))) | ours
    return _ordinary


class Voice:
    """Says the engine's own lines, and knows cheaply which of them nobody wants to hear."""

    __slots__ = ("logger", "threshold")

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)
        self.threshold = self.logger.getEffectiveLevel()

    def say(self, level: int, message: str, execution: Execution) -> None:
        """Log one line about a run."""
        RunLogger(self.logger, execution).log(level, "%s", message)


def set_up(settings: Settings) -> tuple[Voice, Voice]:
    """Bring our handlers in line with the settings. Answers the voices for flow runs and for task runs.

    Handlers that the program put on our loggers are left alone.
    """
    root = logging.getLogger(ROOT)
    level = logging.DEBUG if settings.get("debug_mode") else logging.getLevelName(settings.get("logging.level"))
    if root.level == logging.NOTSET or getattr(root, "_surefoot_set", False):
        root.setLevel(level)
        root._surefoot_set = True  # type: ignore[attr-defined]
    root.propagate = False
    _replace(root, ConsoleHandler, ConsoleHandler(colors=settings.get("logging.colors")))
    global _extra
    chars_max = settings.get("logging.max_log_size")
    wanted = settings.get("logging.extra_loggers")
    for name in _extra:
        _remove(logging.getLogger(name), JournalHandler)
    _extra = tuple(wanted)
    for name in (FLOW_RUNS, TASK_RUNS, EXTRA, *wanted):
        logger = logging.getLogger(name)
        _replace(logger, JournalHandler, JournalHandler(chars_max))
        if name in wanted and logger.level == logging.NOTSET:
            logger.setLevel(level)
    return Voice(FLOW_RUNS), Voice(TASK_RUNS)


_extra: tuple[str, ...] = ()


def _replace(logger: logging.Logger, kind: type[logging.Handler], handler: logging.Handler) -> None:
    _remove(logger, kind)
    logger.addHandler(handler)


def _remove(logger: logging.Logger, kind: type[logging.Handler]) -> None:
    for old in [found for found in logger.handlers if type(found) is kind]:
        logger.removeHandler(old)


_original_print: Callable[..., None] | None = None
_stdout: Any = None  # as it was when the outermost run began


def note_stdout() -> None:
    """An outermost run begins: what is standard output now is what its prints are taken from."""
    global _stdout
    _stdout = sys.stdout


def capture_prints() -> None:
    """From now on `print` in a run that has `log_prints` is a line of that run. Elsewhere it prints as ever."""
    global _original_print
    # Whoever put a `print` of their own over ours calls ours: to put ours over theirs would make a circle.
    if _original_print is None or builtins.print is _original_print:
        _original_print = builtins.print
        builtins.print = _print


def _print(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
    execution = current()
    assert _original_print is not None
    # Within `contextlib.redirect_stdout` somebody else wants the text.
    to_stdout = sys.stdout is _stdout and (file is None or file is _stdout)
    if execution is None or not execution.log_prints or not to_stdout:
        _original_print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    text = (" " if sep is None else sep).join(map(str, values)) + ("" if end in (None, "\n") else str(end))
    logger_of(execution).info("%s", text)
