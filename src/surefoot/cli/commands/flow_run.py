"""`surefoot flow-run`: what became of flow runs, and stopping them. May import: cli's parts, client, core."""

from __future__ import annotations

from typing import Any

import click

from surefoot.cli.bulk import (
    FlowRunsAsked,
    choose_flow_runs,
    deletion_line,
    flow_run_options,
    preview,
    yes_option,
)
from surefoot.cli.cancelling import OPEN, Cancelling, cancel_options, cancel_runs
from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.listing import Listing, ls_options, no_such_state, print_list, state_options, states_wanted
from surefoot.cli.live import watch as watch_run
from surefoot.cli.log_lines import log_options, print_logs
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import nothing_recorded, now_here, reading
from surefoot.cli.run_page import flow_run_page, took, typed
from surefoot.cli.table import Cell, state_of
from surefoot.cli.times import day_and_time, duration
from surefoot.core.states import StateType, is_final
from surefoot.core.wire import Deleted, FlowRun, FlowRunFilter, LogFilter

__all__ = ["flow_run", "outcome_line"]


@click.group(cls=LazyGroup)
def flow_run() -> None:
    """Look at flow runs."""


@flow_run.command("ls", examples=["surefoot flow-run ls", "surefoot flow-run ls --state FAILED --limit 5 -o json"])
@click.option("--flow", "flows", metavar="NAME", multiple=True, help="Only runs of this flow. May be repeated.")
@click.option("--flow-run", "parents", metavar="RUN", multiple=True, help="Only runs that this flow run called.")
@state_options
@click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag. Repeated: with all of them."
)
@ls_options
def ls(
    flows: tuple[str, ...],
    parents: tuple[str, ...],
    states: tuple[str, ...],
    state_types: tuple[str, ...],
    tags: tuple[str, ...],
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """List flow runs, the newest first."""
    types, names = states_wanted(states, state_types)
    now = now_here()

    def row(run: FlowRun) -> list[str | Cell]:
        return [
            run.name,
            run.flow_name,
            state_of(run),
            day_and_time(run.start_time, now),
            duration(took(run, now)),
            run.reason or "",
        ]

    with reading() as client:
        where = FlowRunFilter(
            flow_name=list(flows) or None,
            parent_flow_run_id=[client.find_flow_run(parent).id for parent in parents] or None,
            state_type=types,
            state_name=names,
            tags=list(tags) or None,
        )
        narrowed = where != FlowRunFilter()
        print_list(
            lambda limit, after: client.flow_runs(where, limit=limit, after=after),
            Listing(limit, after, output),
            ["NAME", "FLOW", "STATE", "STARTED", "TOOK", "WHY"],
            row,
            nothing=lambda: (
                f"No flow run fits.{no_such_state(states)} All: `surefoot flow-run ls`."
                if narrowed
                else nothing_recorded("flow run")
            ),
        )


@flow_run.command(
    "inspect", examples=["surefoot flow-run inspect brave-otter", "surefoot flow-run inspect brave-otter -o json"]
)
@click.argument("run")
@output_option
def inspect(run: str, output: Output) -> None:
    """Show one flow run: state, reason, times, timeline of its tasks, history."""
    with reading() as client:
        found = client.find_flow_run(run)
        if output == "table":
            say(flow_run_page(client, found, now_here()))
        else:
            write_object(found, output)


@flow_run.command(
    "logs",
    examples=[
        "surefoot flow-run logs brave-otter --tail 20",
        "surefoot flow-run logs brave-otter --level WARNING -o jsonl",
    ],
)
@click.argument("run")
@log_options
def logs(run: str, level: str | None, head: int | None, tail: int | None, follow: bool, output: Output) -> None:
    """Print what was logged in a flow run, its tasks and the flows that it called."""
    with reading() as client:
        found = client.find_flow_run(run)
        print_logs(
            client,
            LogFilter(flow_run_id=[found.id]),
            level=level,
            first=head,
            last=tail,
            output=output,
            is_over=(lambda: is_final(client.find_flow_run(found.id).state_type)) if follow else None,
            since=found.created,
        )


@flow_run.command(
    "watch",
    examples=["surefoot flow-run watch brave-otter", "surefoot flow-run watch brave-otter --timeout 60 -o json"],
)
@click.argument("run")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop watching after so long.")
@output_option
def watch(run: str, timeout: float | None, output: Output) -> Exit:
    """Watch a flow run until it ends; the exit code is 1 if it did not complete."""
    with reading() as client:
        ended = watch_run(client, client.find_flow_run(run), now_here, timeout)
    if output == "table":
        say([outcome_line(ended)])
    else:
        write_object(ended, output)
    if not is_final(ended.state_type):
        note(f"It had not ended after {duration(timeout)}. Go on: surefoot flow-run watch {typed(ended.name)}")
    return Exit.DONE if ended.state_type is StateType.COMPLETED else Exit.NOT_COMPLETED


@flow_run.command(
    "cancel",
    examples=[
        "surefoot flow-run cancel brave-otter",
        "surefoot flow-run cancel --flow nightly-load --state Running --yes",
    ],
)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--flow", "flows", metavar="NAME", multiple=True, help="All runs of this flow that have not ended.")
@state_options
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="All runs with this tag. Repeated: with all of them.")
@cancel_options
def cancel(
    runs: tuple[str, ...],
    flows: tuple[str, ...],
    states: tuple[str, ...],
    state_types: tuple[str, ...],
    tags: tuple[str, ...],
    yes: bool,
    no_wait: bool,
    timeout: float,
    output: Output,
) -> Exit:
    """Stop flow runs that are under way, with all that they started.

    Their code is interrupted, their on_cancellation hooks run, and they end Cancelled. The exit code is 1 if one of
    them had not ended after --timeout seconds, or ended in another way.
    """
    types, names = states_wanted(states, state_types)
    is_narrowed = bool(flows or states or state_types or tags)
    where = FlowRunFilter(
        flow_name=list(flows) or None,
        state_type=types or OPEN,
        state_name=names,
        tags=list(tags) or None,
    )
    with reading() as client:
        return cancel_runs(
            Cancelling(
                "flow run",
                client.find_flow_run,
                (lambda limit, after: client.flow_runs(where, limit=limit, after=after)) if is_narrowed else None,
                lambda ids: client.flow_runs(FlowRunFilter(id=ids), limit=len(ids)).results,
                client.cancel_flow_run,
            ),
            runs,
            yes=yes,
            no_wait=no_wait,
            timeout=timeout,
            output=output,
        )


@flow_run.command(
    "delete",
    examples=[
        "surefoot flow-run delete brave-otter --yes",
        "surefoot flow-run delete --state Failed --before 30d --flow backup --yes",
    ],
)
@flow_run_options
@yes_option
@output_option
def delete(yes: bool, output: Output, **which: Any) -> None:
    """Delete flow runs that have ended, with all that is below them. Shows which, and asks first."""
    with reading() as client:
        chosen = choose_flow_runs(client, FlowRunsAsked(**which))
        is_filtered = not which["runs"]
        going = [run for run in chosen if is_final(run.state_type)] if is_filtered else chosen
        if len(going) < len(chosen):
            note(f"{len(chosen) - len(going):,} have not ended, and stay.")
        deleted = Deleted()
        if going:
            preview(going, "flow run")
            ids = [run.id for run in going]
            below = client.count_below(flow_run_ids=ids)
            note(f"With all that is theirs: {deletion_line(below)}.")
            agree("Delete all that, for good?", yes)
            deleted = client.delete_flow_runs(ids)
    if output == "table":
        say(
            [f"Deleted {deletion_line(deleted)}." if going else "No flow run fits that has ended: nothing was deleted."]
        )
    else:
        write_object(deleted, output)


@flow_run.command(
    "retry",
    examples=[
        "surefoot flow-run retry brave-otter",
        "surefoot flow-run retry --last nightly-load",
        "surefoot flow-run retry brave-otter -p token=...",
    ],
)
@click.argument("run", required=False)
@click.option("--last", is_flag=True, help="The newest run that did not complete, of the flow that RUN names if given.")
@click.option("-p", "--param", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter to take instead.")
@click.option("--here", is_flag=True, hidden=True, help="In this process.")
def retry(run: str | None, last: bool, pairs: tuple[str, ...], here: bool) -> Exit | int:
    """Go on with a run that failed, crashed or was cancelled: what completed in it is not done again.

    The file that defines its flow is loaded in a new process, in the folder where the run was started. The exit code is
    0 if the run completes now.
    """
    from surefoot.cli.retrying import retry as retry_run

    return retry_run(run, last=last, pairs=pairs, here=here)


def outcome_line(run: FlowRun) -> str:
    """A flow run's end in one line."""
    state = state_of(run)
    parts = [run.name, click.style(state.text, fg=state.colour), duration(took(run, now_here())), run.reason or ""]
    return "   ".join(part for part in parts if part)
