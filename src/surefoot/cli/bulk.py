"""What the two `delete` commands share: which runs are meant by name or by filter, and what they are shown as before.

The question itself is `consent.agree`. May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import click

from surefoot.cli.listing import state_options, states_wanted
from surefoot.cli.output import note, walk
from surefoot.cli.reading import now_here
from surefoot.cli.table import one_line
from surefoot.cli.times import instant_before
from surefoot.client.protocol import Client
from surefoot.core.errors import BadInput
from surefoot.core.states import StateType
from surefoot.core.wire import Deleted, FlowRun, FlowRunFilter, TaskRun, TaskRunFilter

__all__ = [
    "Chosen",
    "FlowRunsAsked",
    "TaskRunsAsked",
    "choose_flow_runs",
    "choose_task_runs",
    "deletion_line",
    "flow_run_options",
    "preview",
    "task_run_options",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN: Final = 5


class Chosen(NamedTuple):
    """One of the runs that are meant, and no more of it than is needed: there may be very many."""

    id: str
    name: str
    state_type: StateType
    state_name: str


class FlowRunsAsked(NamedTuple):
    """Which flow runs a command was given; the fields are those of `flow_run_options`."""

    runs: tuple[str, ...]
    flows: tuple[str, ...]
    states: tuple[str, ...]
    state_types: tuple[str, ...]
    tags: tuple[str, ...]
    before: datetime | None


class TaskRunsAsked(NamedTuple):
    """Which task runs a command was given; the fields are those of `task_run_options`."""

    runs: tuple[str, ...]
    flow_runs: tuple[str, ...]
    tasks: tuple[str, ...]
    states: tuple[str, ...]
    state_types: tuple[str, ...]
    tags: tuple[str, ...]
    before: datetime | None


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else instant_before(value, now_here())
        except ValueError:
            self.fail(f"{value!r} is neither an age (30d, 12h) nor a day or instant (2025-01-31).", param, ctx)


def flow_run_options(function: F) -> F:
    """The argument RUN ..., and filters: `--flow`, `--state`, `--state-type`, `--tag`, `--before`."""
    function = _shared_options(function)
    function = click.option(
        "--flow", "flows", metavar="NAME", multiple=True, help="Runs of this flow. May be repeated."
    )(function)
    return click.argument("runs", metavar="[RUN]...", nargs=-1)(function)


def task_run_options(function: F) -> F:
    """The argument RUN ..., and filters: `--flow-run`, `--task`, `--state`, `--state-type`, `--tag`, `--before`."""
    function = _shared_options(function)
    function = click.option(
        "--task", "tasks", metavar="NAME", multiple=True, help="Runs of this task. May be repeated."
    )(function)
    function = click.option(
        "--flow-run", "flow_runs", metavar="RUN", multiple=True, help="Runs in this flow run. May be repeated."
    )(function)
    return click.argument("runs", metavar="[RUN]...", nargs=-1)(function)


def _shared_options(function: F) -> F:
    function = click.option(
        "--before",
        type=_Instant(),
        metavar="AGE",
        help="Only runs that were to start so long ago or earlier: 30d, 12h, 45m; or before a day, 2025-01-31.",
    )(function)
    function = click.option(
        "--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag. Repeated: with all of them."
    )(function)
    return state_options(function)


def yes_option(function: F) -> F:
    """The option `--yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def choose_flow_runs(client: Client, asked: FlowRunsAsked) -> list[Chosen]:
    """The flow runs that are meant, each once. Raises BadInput if none is named, nor any filter given; or both."""
    types, names = states_wanted(asked.states, asked.state_types)
    where = FlowRunFilter(
        flow_name=list(asked.flows) or None,
        state_type=types,
        state_name=names,
        tags=list(asked.tags) or None,
        expected_start_time_before=asked.before,
    )
    _check(asked.runs, where != FlowRunFilter(), "flow-run")
    if asked.runs:
        return _once([client.find_flow_run(reference) for reference in asked.runs])
    return [
        _chosen(run)
        for page in walk(lambda limit, after: client.flow_runs(where, limit=limit, after=after))
        for run in page.results
    ]


def choose_task_runs(client: Client, asked: TaskRunsAsked) -> list[Chosen]:
    """The task runs that are meant, each once. Raises BadInput as `choose_flow_runs`."""
    types, names = states_wanted(asked.states, asked.state_types)
    where = TaskRunFilter(
        flow_run_id=[client.find_flow_run(reference).id for reference in asked.flow_runs] or None,
        task_name=list(asked.tasks) or None,
        state_type=types,
        state_name=names,
        tags=list(asked.tags) or None,
        expected_start_time_before=asked.before,
    )
    _check(asked.runs, where != TaskRunFilter(), "task-run")
    if asked.runs:
        return _once([client.find_task_run(reference) for reference in asked.runs])
    return [
        _chosen(run)
        for page in walk(lambda limit, after: client.task_runs(where, limit=limit, after=after))
        for run in page.results
    ]


def _check(runs: Sequence[str], is_narrowed: bool, noun: str) -> None:
    if runs and is_narrowed:
        raise BadInput("Runs are named, and filters given as well.", do="Leave out one of the two.")
    if not runs and not is_narrowed:
        raise BadInput("No run is named, and no filter given.", do=f"See the runs: surefoot {noun} ls")


def _once(runs: Sequence[FlowRun | TaskRun]) -> list[Chosen]:
    return list({run.id: _chosen(run) for run in runs}.values())


def _chosen(run: FlowRun | TaskRun) -> Chosen:
    return Chosen(run.id, run.name, run.state_type, run.state_name)


def preview(chosen: Sequence[Chosen], noun: str) -> None:
    """Say on stderr which runs are meant: how many in which state, and the first names."""
    counts = Counter(run.state_name for run in chosen)
    told = ", ".join(f"{count:,} {one_line(name)}" for name, count in counts.most_common())
    note(f"{len(chosen):,} {noun}{'' if len(chosen) == 1 else 's'}: {told}")
    for run in chosen[:_SHOWN]:
        note(f"  {one_line(run.name)}   {one_line(run.state_name)}   {run.id}")
    if len(chosen) > _SHOWN:
        note(f"  and {len(chosen) - _SHOWN:,} more")


def deletion_line(deleted: Deleted) -> str:
    """What a deletion takes, in words.

    >>> deletion_line(Deleted(flow_runs=1, task_runs=12_000))
    '1 flow run, 12,000 task runs, 0 log lines'
    """
    counts = {"flow run": deleted.flow_runs, "task run": deleted.task_runs, "log line": deleted.logs}
    return ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())
