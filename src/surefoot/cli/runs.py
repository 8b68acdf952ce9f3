"""Flow runs and task runs as the commands on them see both: one set of filters, one list, one way to choose some.

May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import click
from msgspec.structs import replace

from surefoot.cli.listing import Listing, no_such_state, print_list, state_options, states_wanted
from surefoot.cli.output import note, walk
from surefoot.cli.reading import nothing_recorded, now_here
from surefoot.cli.run_page import took_text
from surefoot.cli.table import Cell, one_line, state_of
from surefoot.cli.times import day_and_time, instant_before
from surefoot.client.protocol import Client
from surefoot.core.errors import BadInput
from surefoot.core.states import StateType
from surefoot.core.wire import Deleted, FlowRun, FlowRunFilter, Page, Request, TaskRun, TaskRunFilter

__all__ = [
    "Asked",
    "Chosen",
    "Runs",
    "choose",
    "flow_run_filters",
    "flow_runs_of",
    "preview",
    "print_runs",
    "runs_argument",
    "task_run_filters",
    "task_runs_of",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", FlowRun, TaskRun)
W = TypeVar("W", FlowRunFilter, TaskRunFilter)

_SHOWN: Final = 5


class Asked(NamedTuple):
    """Which runs a command was given; the fields are those of `runs_argument` and of the filters."""

    states: tuple[str, ...]
    state_types: tuple[str, ...]
    tags: tuple[str, ...]
    before: datetime | None
    flow_runs: tuple[str, ...]
    runs: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runs(Generic[R, W]):
    """What can be done with runs of one kind."""

    noun: str  # "flow run"
    of: str  # what it is a run of: "flow"
    everything: W
    find: Callable[[str], R]
    narrowed: Callable[[Asked], W]  # by what only runs of this kind have
    page: Callable[[W, int, str | None], Page[R]]
    by_ids: Callable[[list[str]], list[R]]
    cancel: Callable[[str], Request]
    below: Callable[[list[str]], Deleted]
    delete: Callable[[list[str]], Deleted]

    @property
    def command(self) -> str:
        """The command for runs of this kind."""
        return self.noun.replace(" ", "-")

    def where(self, asked: Asked) -> W:
        """The filter that was asked for."""
        types, names = states_wanted(asked.states, asked.state_types)
        return replace(
            self.narrowed(asked),
            state_type=types,
            state_name=names,
            tags=list(asked.tags) or None,
            expected_start_time_before=asked.before,
        )


def flow_runs_of(client: Client) -> Runs[FlowRun, FlowRunFilter]:
    """The flow runs."""
    return Runs(
        "flow run",
        "flow",
        FlowRunFilter(),
        client.find_flow_run,
        lambda asked: FlowRunFilter(
            flow_name=list(asked.flows) or None, parent_flow_run_id=_ids_of(client, asked.flow_runs)
        ),
        lambda where, limit, after: client.flow_runs(where, limit=limit, after=after),
        lambda ids: client.flow_runs(FlowRunFilter(id=ids), limit=len(ids)).results,
        client.cancel_flow_run,
        lambda ids: client.count_below(flow_run_ids=ids),
        client.delete_flow_runs,
    )


def task_runs_of(client: Client) -> Runs[TaskRun, TaskRunFilter]:
    """The task runs."""
    return Runs(
        "task run",
        "task",
        TaskRunFilter(),
        client.find_task_run,
        lambda asked: TaskRunFilter(task_name=list(asked.tasks) or None, flow_run_id=_ids_of(client, asked.flow_runs)),
        lambda where, limit, after: client.task_runs(where, limit=limit, after=after),
        lambda ids: client.task_runs(TaskRunFilter(id=ids), limit=len(ids)).results,
        client.cancel_task_run,
        lambda ids: client.count_below(task_run_ids=ids),
        client.delete_task_runs,
    )


def _ids_of(client: Client, flow_runs: Sequence[str]) -> list[str] | None:
    return [client.find_flow_run(reference).id for reference in flow_runs] or None


# -- options


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else instant_before(value, now_here())
        except ValueError:
            self.fail(f"{value!r} is neither an age (30d, 12h) nor a day or instant (2025-01-31).", param, ctx)


def flow_run_filters(function: F) -> F:
    """The filters `--flow`, `--flow-run`, `--state`, `--state-type`, `--tag`, `--before`."""
    function = _filters(function, "Only runs that this flow run called. May be repeated.")
    return click.option(
        "--flow", "flows", metavar="NAME", multiple=True, help="Only runs of this flow. May be repeated."
    )(function)


def task_run_filters(function: F) -> F:
    """The filters `--task`, `--flow-run`, `--state`, `--state-type`, `--tag`, `--before`."""
    function = _filters(function, "Only runs in this flow run. May be repeated.")
    return click.option(
        "--task", "tasks", metavar="NAME", multiple=True, help="Only runs of this task. May be repeated."
    )(function)


def _filters(function: F, flow_run_help: str) -> F:
    function = click.option(
        "--before",
        type=_Instant(),
        metavar="AGE",
        help="Only runs that were to start so long ago or earlier: 30d, 12h, 45m; or before a day, 2025-01-31.",
    )(function)
    function = click.option(
        "--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag. Repeated: with all of them."
    )(function)
    function = state_options(function)
    return click.option("--flow-run", "flow_runs", metavar="RUN", multiple=True, help=flow_run_help)(function)


def runs_argument(function: F) -> F:
    """The argument RUN ..., for those who name runs in place of a filter."""
    return click.argument("runs", metavar="[RUN]...", nargs=-1)(function)


def yes_option(function: F) -> F:
    """The option `--yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


# -- many


def print_runs(runs: Runs[R, W], asked: Asked, listing: Listing) -> None:
    """Print a table of the runs that fit, the newest first."""
    now = now_here()
    where = runs.where(asked)

    def row(run: R) -> list[str | Cell]:
        return [
            run.name,
            run.flow_name if isinstance(run, FlowRun) else run.task_name,
            state_of(run),
            day_and_time(run.start_time, now),
            took_text(run, now),
            run.reason or "",
        ]

    def nothing() -> str:
        if where == runs.everything:
            return nothing_recorded(runs.noun)
        hints = no_such_state(asked.states) + _dashed(asked.flows)
        return f"No {runs.noun} fits.{hints} All: `surefoot {runs.command} ls`."

    print_list(
        lambda limit, after: runs.page(where, limit, after),
        listing,
        ["NAME", runs.of.upper(), "STATE", "STARTED", "TOOK", "WHY"],
        row,
        nothing=nothing,
    )


def _dashed(flows: Sequence[str]) -> str:
    """A hint where a flow may have been named by its function's name; empty otherwise."""
    return "".join(f" Did you mean --flow {name.replace('_', '-')}?" for name in flows if "_" in name)


class Chosen(NamedTuple):
    """One of the runs that are meant, and no more of it than is needed: there may be very many."""

    id: str
    name: str
    state_type: StateType
    state_name: str


def choose(runs: Runs[R, W], asked: Asked, verb: str, among: Sequence[StateType] = ()) -> list[Chosen]:
    """The runs that are meant, each once. Raises BadInput if none is named, nor any filter given; or both.

    Args:
        runs: the kind.
        asked: names, or a filter.
        verb: what is to be done with them: "cancel".
        among: where a filter says nothing of states, only runs in these are looked through.
    """
    where = runs.where(asked)
    if bool(asked.runs) == (where != runs.everything):
        has = "both names and a filter" if asked.runs else f"neither the name of a {runs.noun} nor a filter"
        command = f"surefoot {runs.command} {verb}"
        example = "Running" if among else "Failed"
        raise BadInput(
            f"`{command}` got {has}.",
            do=f"Type one: {command} NAME, or {command} --state {example}",
        )
    if asked.runs:
        found = [runs.find(reference) for reference in asked.runs]
        return list({run.id: _chosen(run) for run in found}.values())
    if among and where.state_type is None:
        where = replace(where, state_type=list(among))
    pages = walk(lambda limit, after: runs.page(where, limit, after))
    return [_chosen(run) for page in pages for run in page.results]


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
