"""`logs`, the same for flow runs and task runs: its options, and the lines: the first, the last, all, as they come.

May import: click, msgspec, core, client (the protocol).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from logging import getLevelName, getLevelNamesMapping
from typing import Any, Final, TypeVar

import click
import msgspec

from surefoot.cli.output import PAGE, Output, note, output_option, say, walk, write_array
from surefoot.cli.reading import now_here
from surefoot.cli.table import one_line
from surefoot.cli.times import clock_time
from surefoot.client.protocol import Client
from surefoot.core import settings
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput
from surefoot.core.wire import FlowRunFilter, Log, LogFilter, TaskRunFilter

__all__ = ["LineWriter", "level_number", "log_options", "print_logs"]

_POLL_S: Final = 0.5
# Lines of another process may be taken in after ours though they were written before: so far back is looked again.
_OVERLAP: Final = timedelta(seconds=5)
_COLOURS: Final = {10: "bright_black", 30: "yellow", 40: "red", 50: "bright_red"}
_STEERING: Final = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

F = TypeVar("F", bound=Callable[..., Any])


def log_options(function: F) -> F:
    """The options of `logs`."""
    function = output_option(function)
    function = click.option("--follow", is_flag=True, help="Go on with new lines until the run ends.")(function)
    function = click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")(function)
    function = click.option("--head", type=click.IntRange(min=0), metavar="N", help="Only the first N lines.")(function)
    return click.option("--level", metavar="LEVEL", help="Only lines as grave as this, or graver: INFO, WARNING ...")(
        function
    )


def print_logs(
    client: Client,
    where: LogFilter,
    *,
    level: str | None,
    first: int | None,
    last: int | None,
    output: Output,
    is_over: Callable[[], bool] | None,
    since: datetime,
) -> None:
    """Print the lines that `where` selects; those to come as well if `is_over` is given, until it says so.

    `since`: when the run was made, to which they belong.
    """
    if first is not None and (last is not None or is_over):
        raise BadInput("--head does not go with --tail or --follow.", do="Leave one of them out.")
    if is_over and output == "json":
        raise BadInput("--follow has no end that would close a JSON document.", do="Use -o jsonl.")
    where = msgspec.structs.replace(where, level_ge=level_number(level))
    pages = _lines(client, where, first, last, is_over)
    if output != "table":
        write_array(pages, output)
        return
    writer, count = LineWriter(client), 0
    for logs in pages:
        count += len(logs)
        say(writer.lines(logs))
    if not count:
        note(_nothing(level, since))


def _nothing(level: str | None, since: datetime) -> str:
    days = settings.refresh().retention.logs_days
    if days is not None and now_here() - since > timedelta(days=days):
        return f"No line is left: lines are kept for {days:g} days, see the setting retention.logs_days."
    return "Nothing was logged." if level is None else f"Nothing was logged at {level.upper()} or above."


def _lines(
    client: Client, where: LogFilter, first: int | None, last: int | None, is_over: Callable[[], bool] | None
) -> Iterator[list[Log]]:
    if is_over is None:
        yield from _head(client, where, first) if last is None else [_tail(client, where, last)]
        return
    known: dict[str, datetime] = {}
    if last is not None:
        # The lines before the last ones count as seen, so that what follows starts where the tail ends.
        shown = _tail(client, where, max(last, 1))
        yield shown[len(shown) - last :]
        if shown:
            near = msgspec.structs.replace(where, timestamp_after=shown[-1].timestamp - 2 * _OVERLAP)
            earlier = (line for lines in _head(client, near, None) for line in lines)
            known = {line.id: line.timestamp for line in earlier if line.timestamp <= shown[-1].timestamp}
    yield from _follow(client, where, known, is_over)


def level_number(level: str | None) -> int | None:
    """The number of a level that was given by name or number.

    >>> level_number("warning"), level_number("35"), level_number(None)
    (30, 35, None)
    """
    if level is None:
        return None
    if level.isdigit():
        return int(level)
    names = getLevelNamesMapping()
    if level.upper() not in names:
        raise BadInput(f"There is no log level {level!r}.", do="Use DEBUG, INFO, WARNING, ERROR, CRITICAL or a number.")
    return names[level.upper()]


def _head(client: Client, where: LogFilter, count: int | None) -> Iterator[list[Log]]:
    pages = walk(lambda limit, after: client.logs(where, limit=limit, after=after), limit=count)
    return (page.results for page in pages)


def _tail(client: Client, where: LogFilter, count: int) -> list[Log]:
    pages = walk(lambda limit, after: client.logs(where, sort="TIMESTAMP_DESC", limit=limit, after=after), limit=count)
    return [line for page in pages for line in page.results][::-1]


def _follow(
    client: Client, where: LogFilter, known: dict[str, datetime], is_over: Callable[[], bool]
) -> Iterator[list[Log]]:
    """Lines that are not `known`, as they come."""
    over = False
    while True:
        since = max(known.values(), default=None)
        near = where if since is None else msgspec.structs.replace(where, timestamp_after=since - _OVERLAP)
        for lines in _head(client, near, None):
            new = [line for line in lines if line.id not in known]
            if new:
                yield new
                known.update((line.id, line.timestamp) for line in new)
                oldest = max(known.values()) - 2 * _OVERLAP
                known = {line_id: at for line_id, at in known.items() if at >= oldest}
        if over:
            return
        over = is_over()  # then one more look: the last lines may have come in between
        if not over:
            get_clock().sleep(_POLL_S)


class LineWriter:
    """Puts lines into words for a screen: when, how grave, which run, what."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, str] = {}
        self._width = 0

    def lines(self, logs: list[Log]) -> Iterator[str]:
        """The text of some lines."""
        self._learn_names(logs)
        for log in logs:
            name = self._names.get(log.task_run_id or log.flow_run_id or "", "")
            self._width = min(max(self._width, len(name)), 24)
            when = clock_time(log.timestamp)
            level = click.style(f"{getLevelName(log.level):<8}", fg=_COLOURS.get(log.level // 10 * 10))
            first, *more = _STEERING.sub(_visible, log.message).split("\n")
            margin = f"{when}  {level}  {one_line(name):<{self._width}}  "
            yield f"{margin}{first}".rstrip()
            yield from (f"{'':{len(when) + self._width + 14}}{line}".rstrip() for line in more)

    def _learn_names(self, logs: list[Log]) -> None:
        tasks = {log.task_run_id for log in logs if log.task_run_id} - self._names.keys()
        flows = {log.flow_run_id for log in logs if log.flow_run_id and not log.task_run_id} - self._names.keys()
        for chunk in _chunks(sorted(tasks)):
            page = self._client.task_runs(TaskRunFilter(id=chunk), limit=PAGE)
            self._names.update((run.id, run.name) for run in page.results)
        for chunk in _chunks(sorted(flows)):
            found = self._client.flow_runs(FlowRunFilter(id=chunk), limit=PAGE)
            self._names.update((run.id, run.name) for run in found.results)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    # SQLite of older builds takes 999 parameters in a statement; a page of lines seldom names so many runs.
    return (ids[start : start + 500] for start in range(0, len(ids), 500))


def _visible(match: re.Match[str]) -> str:
    """Colours pass (they are dropped where the output takes none); what moves the cursor does not."""
    text = match[0]
    return text if text.endswith("m") and text.startswith("\x1b[") else f"\\x{ord(text):02x}"
