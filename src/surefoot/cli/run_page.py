"""What `inspect` shows of a run: state, reason, times, parameters, a timeline of its tasks, failures by error, history.

The cost of a page does not grow with the run: a flow run of many tasks is read by task, each one line with counts.
May import: click, msgspec, core, client (the protocol).
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import click
import msgspec

from surefoot.cli.table import Cell, cut, dim, heading, hint, one_line, screen_width, state_cell, state_of, table
from surefoot.cli.timeline import Bar, timeline
from surefoot.cli.times import clock_time, duration, full_time
from surefoot.client.protocol import Client
from surefoot.core.colours import STATE_COLOURS
from surefoot.core.states import NAMES, StateType, is_final
from surefoot.core.wire import (
    ArtifactFilter,
    FailureGroup,
    FlowRun,
    FlowRunFilter,
    RunCounts,
    State,
    TaskRun,
    TaskRunFilter,
)

__all__ = ["counts_cell", "flow_run_name", "flow_run_page", "pairs", "task_run_page", "took", "typed"]

ONE_BY_ONE_MAX: Final = 50  # task runs up to which each has a line of its own; beyond, each task has one
LINES_MAX: Final = 40  # of a timeline
ERRORS_MAX: Final = 10
INPUTS_MAX: Final = 5
ARTIFACTS_MAX: Final = 20
TEXT_MAX: Final = 500  # of parameters; `-o json` has them all
_FAILED: Final = [StateType.FAILED, StateType.CRASHED]
_TYPE_OF: Final = {name: kind for kind, names in NAMES.items() for name in names}
_WORST_FIRST: Final = (
    StateType.CRASHED,
    StateType.FAILED,
    StateType.RUNNING,
    StateType.CANCELLED,
    StateType.PAUSED,
    StateType.SCHEDULED,
    StateType.PENDING,
)


def flow_run_page(client: Client, run: FlowRun, now: datetime) -> list[str]:
    """The page of a flow run."""
    lines = [*_title(run), ""]
    attempts = f", {run.run_count} attempts" if run.run_count > 1 else ""
    facts = {
        "Flow": run.flow_name,
        "Id": run.id,
        **_times(run, now),
        "Took": f"{took_text(run, now)}{attempts}" if run.start_time else "",
        "Epoch": str(run.epoch) if run.epoch else "",
        "Parameters": _json(run.parameters),
        "Tags": ", ".join(run.tags),
        "Called by": flow_run_name(client, run.parent_flow_run_id) if run.parent_flow_run_id else "",
        "Code": _code(run),
    }
    lines += pairs(facts)
    counts = client.task_run_counts(TaskRunFilter(flow_run_id=[run.id]))
    bars = [*_task_bars(client, run, counts), *_subflow_bars(client, run)]
    if bars:
        bars.sort(key=lambda bar: (bar.begin is None, bar.begin or now))
        title = f"Tasks: {counts_cell(counts).text}" if counts.total else "Flows that it called"
        lines += ["", heading(title), *_timeline(bars, now)]
        if len(bars) > LINES_MAX or counts.total > ONE_BY_ONE_MAX:
            lines.append(hint(f"Each one: surefoot task-run ls --flow-run {run.id} --limit 0"))
    lines += _failures(client, run, counts)
    lines += _artifacts(client, ArtifactFilter(flow_run_id=[run.id]))
    lines += _history(client.states(run.id))
    name = typed(run.name)
    return [*lines, "", hint(f"Next: surefoot why {name} | surefoot flow-run logs {name}")]


def task_run_page(client: Client, run: TaskRun, now: datetime) -> list[str]:
    """The page of a task run."""
    attempts = f", {run.run_count} attempts" if run.run_count > 1 else ""
    facts = {
        "Task": run.task_name,
        "Flow run": flow_run_name(client, run.flow_run_id) if run.flow_run_id else "none: called outside of a flow",
        "Id": run.id,
        **_times(run, now),
        "Took": f"{took_text(run, now)}{attempts}" if run.start_time else "",
        "Tags": ", ".join(run.tags),
        "Inputs": _inputs(client, run),
    }
    lines = [*_title(run), "", *pairs(facts)]
    lines += [*_artifacts(client, ArtifactFilter(task_run_id=[run.id])), *_history(client.states(run.id))]
    return [*lines, "", hint(f"Next: surefoot why {run.id} | surefoot task-run logs {run.id}")]


def took(run: FlowRun | TaskRun, now: datetime) -> float | None:
    """Seconds from a run's start to its end, or until now; None if it never started.

    Of one that was gone on with, it is the time that it ran: it lay there for who knows how long in between.
    """
    if run.start_time is None:
        return None
    if run.epoch:
        since = run.state.timestamp if run.state_type is StateType.RUNNING else now
        return run.total_run_time + max((now - since).total_seconds(), 0.0)
    if run.end_time is not None and run.run_count == 1:  # it did not wait between calls
        return run.total_run_time  # a clock that was set meanwhile does not matter to that
    end = run.end_time or (run.state.timestamp if is_final(run.state_type) else now)
    return max((end - run.start_time).total_seconds(), run.total_run_time)  # a clock that was set back tells too little


def took_text(run: FlowRun | TaskRun, now: datetime) -> str:
    """The same for people; `>5s` where its process died, who knows how long after it was last heard of."""
    return duration(took(run, now), is_least=_is_presumed(run))


def _is_presumed(run: FlowRun | TaskRun) -> bool:
    return bool(run.state.state_details.get("presumed"))


def counts_cell(counts: RunCounts) -> Cell:
    """Counts by state as one cell, in the colour of the worst.

    >>> counts_cell(RunCounts(by_name={"Failed": 2, "Completed": 3998}, total=4000)).text
    '3,998 Completed, 2 Failed'
    """
    there = Counter(counts.by_name)
    text = ", ".join(f"{count:,} {name}" for name, count in there.most_common() if count)
    types = {_TYPE_OF.get(name, StateType.COMPLETED) for name, count in there.items() if count}
    worst = next((kind for kind in _WORST_FIRST if kind in types), StateType.COMPLETED)
    return Cell(text, STATE_COLOURS[worst].terminal)


def _title(run: FlowRun | TaskRun) -> list[str]:
    state = state_of(run)
    title = f"{heading(one_line(run.name))}   {click.style(one_line(state.text), fg=state.colour, bold=True)}"
    return [title, *([one_line(run.reason)] if run.reason else [])]


def _times(run: FlowRun | TaskRun, now: datetime) -> dict[str, str]:
    due = run.next_scheduled_start_time if not is_final(run.state_type) else None
    return {
        "Started": full_time(run.start_time, now) or "not yet" * (not is_final(run.state_type)) or "never",
        "Due": full_time(due, now),
        "Ended": f"{'after ' * _is_presumed(run)}{full_time(run.end_time, now)}" if run.end_time else "",
    }


def pairs(facts: dict[str, str]) -> list[str]:
    """Names and values, a line each; what has no value is left out."""
    width = max(map(len, facts))
    return [f"{dim(f'{name:<{width}}')}   {one_line(value)}" for name, value in facts.items() if value]


def typed(name: str) -> str:
    """A name as it is typed in a shell."""
    return shlex.quote(one_line(name))


def flow_run_name(client: Client, run_id: str) -> str:
    """The name of a flow run; its id if it is not recorded here, or not yet."""
    found = client.flow_runs(FlowRunFilter(id=[run_id]), limit=1).results
    return found[0].name if found else run_id


def _inputs(client: Client, run: TaskRun) -> str:
    """Where a task run's inputs came from, the first few of each."""
    first = {parameter: sources[:INPUTS_MAX] for parameter, sources in run.task_inputs.items()}
    ids = sorted({source.id for sources in first.values() for source in sources})
    names = {found.id: found.name for found in client.task_runs(TaskRunFilter(id=ids)).results} if ids else {}
    parts = []
    for parameter, sources in first.items():
        more = len(run.task_inputs[parameter]) - len(sources)
        told = [names.get(source.id, source.id) for source in sources] + ([f"{more:,} more"] if more else [])
        parts.append(f"{parameter} from {', '.join(told)}")
    return "; ".join(parts)


def _json(value: object) -> str:
    return cut(msgspec.json.encode(value).decode(), TEXT_MAX) if value else ""


def _code(run: FlowRun) -> str:
    start = run.start or {}
    place = start.get("file") or start.get("module") or ""
    return f"{place}:{start.get('qualname', run.flow_name)}" if place else ""


def _task_bars(client: Client, run: FlowRun, counts: RunCounts) -> list[Bar]:
    if not counts.total:
        return []
    where = TaskRunFilter(flow_run_id=[run.id])
    if counts.total > ONE_BY_ONE_MAX:
        return [_group_bar(client, run, name) for name in _task_names(client, where)]
    runs = client.task_runs(where, sort="EXPECTED_START_TIME_ASC", limit=ONE_BY_ONE_MAX).results
    maps: dict[str, list[TaskRun]] = {}
    for task_run in runs:
        maps.setdefault(task_run.map_id or task_run.id, []).append(task_run)
    return [_bar(mapped[0]) if len(mapped) == 1 else _map_bar(mapped) for mapped in maps.values()]


def _bar(run: TaskRun | FlowRun, label: str | None = None) -> Bar:
    end = run.end_time or (run.state.timestamp if is_final(run.state_type) else None)
    seconds = None if end is None else took(run, end)
    return Bar(label or run.name, state_of(run), run.start_time, end, seconds, is_least=_is_presumed(run))


def _map_bar(runs: Sequence[TaskRun]) -> Bar:
    by_name = Counter(run.state_name for run in runs)
    bars = [_bar(run) for run in runs]
    ends = [bar.end for bar in bars if bar.begin]
    return Bar(
        f"{runs[0].task_name} x{len(runs):,}",
        counts_cell(RunCounts(by_name=dict(by_name), total=len(runs))),
        min((bar.begin for bar in bars if bar.begin), default=None),
        None if None in ends else max((end for end in ends if end), default=None),
    )


def _task_names(client: Client, where: TaskRunFilter) -> list[str]:
    """The tasks of a large run, as its first and its last task runs name them."""
    head = client.task_runs(where, sort="EXPECTED_START_TIME_ASC", limit=500).results
    tail = client.task_runs(where, sort="EXPECTED_START_TIME_DESC", limit=500).results
    return list(dict.fromkeys(run.task_name for run in [*head, *reversed(tail)]))


def _group_bar(client: Client, run: FlowRun, task_name: str) -> Bar:
    where = TaskRunFilter(flow_run_id=[run.id], task_name=[task_name])
    counts = client.task_run_counts(where)
    first = client.task_runs(where, sort="EXPECTED_START_TIME_ASC", limit=1).results[0]
    if counts.total == 1:
        return _bar(first)
    last = client.task_runs(where, sort="END_TIME_DESC", limit=1).results[0]
    open_ones = any(not is_final(_TYPE_OF.get(name, StateType.COMPLETED)) for name, n in counts.by_name.items() if n)
    begin = first.start_time or first.expected_start_time
    return Bar(f"{task_name} x{counts.total:,}", counts_cell(counts), begin, None if open_ones else last.end_time)


def _subflow_bars(client: Client, run: FlowRun) -> list[Bar]:
    where = FlowRunFilter(parent_flow_run_id=[run.id])
    called = client.flow_runs(where, sort="START_TIME_ASC", limit=ONE_BY_ONE_MAX).results
    return [_bar(child, f"{child.name} (flow {child.flow_name})") for child in called]


def _timeline(bars: list[Bar], now: datetime) -> list[str]:
    if len(bars) <= LINES_MAX:
        return timeline(bars, now, width=screen_width(), block=_block())
    drawn = timeline(bars[: LINES_MAX - 10] + bars[-10:], now, width=screen_width(), block=_block())
    return [*drawn[:-10], dim(f"... {len(bars) - LINES_MAX:,} more ..."), *drawn[-10:]]


def _block() -> str:
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "="
    return "█"


def _failures(client: Client, run: FlowRun, counts: RunCounts) -> list[str]:
    if not any(_TYPE_OF.get(name, StateType.FAILED) in _FAILED for name, count in counts.by_name.items() if count):
        return []
    found = client.failures(run.id)
    if not found.groups:
        return []
    rows = [
        [f"{group.count:,}", group.task_name, _examples(group), group.message] for group in found.groups[:ERRORS_MAX]
    ]
    lines = ["", heading("Failures"), *table(["RUNS", "TASK", "FOR EXAMPLE", "WHY"], rows, width=screen_width())]
    if found.rest or len(found.groups) > ERRORS_MAX:
        lines.append(hint(f"All: surefoot task-run ls --flow-run {run.id} --state FAILED --limit 0"))
    return [*lines, hint(f"One of them: surefoot why {found.groups[0].examples[0].id}")]


def _examples(group: FailureGroup) -> str:
    """The first few of them: by item in a map, else by name."""
    items = [f"{run.item:,}" for run in group.examples if run.item is not None]
    if len(items) < len(group.examples):
        return ", ".join(run.name for run in group.examples)
    return f"item{'s' * (len(items) > 1)} {', '.join(items)}"


def _artifacts(client: Client, where: ArtifactFilter) -> list[str]:
    page = client.artifacts(where, limit=ARTIFACTS_MAX)
    if not page.results:
        return []
    rows = [[each.key or each.id, each.type, each.description or ""] for each in reversed(page.results)]
    lines = ["", heading("Artifacts"), *table(["NAME", "TYPE", "ABOUT"], rows, width=screen_width())]
    more = ", and more" if page.after else ""
    return [*lines, hint(f"One of them{more}: surefoot artifact inspect {typed(rows[-1][0])}")]


def _history(states: Iterable[State]) -> list[str]:
    rows: list[list[str | Cell]] = [
        [clock_time(state.timestamp), state_cell(state.type, state.name), state.message or ""] for state in states
    ]
    return ["", heading("History"), *table(["WHEN", "STATE", "MESSAGE"], rows, width=screen_width())] if rows else []
