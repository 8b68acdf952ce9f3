"""`surefoot flow-run`: what became of flow runs, and stopping them. May import: cli's parts, client, core."""

from __future__ import annotations

from typing import Any

import click

from surefoot.cli.cancelling import cancel_options, cancel_runs
from surefoot.cli.command import LazyGroup
from surefoot.cli.deleting import delete_runs
from surefoot.cli.listing import Listing, ls_options
from surefoot.cli.live import watch as watch_run
from surefoot.cli.log_lines import log_options, print_logs
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.run_page import flow_run_page, took_text, typed
from surefoot.cli.runs import Asked, flow_run_filters, flow_runs_of, print_runs, runs_argument, yes_option
from surefoot.cli.table import state_of
from surefoot.cli.times import duration
from surefoot.core.states import StateType, is_final
from surefoot.core.wire import FlowRun, LogFilter

__all__ = ["flow_run", "outcome_line"]


@click.group(cls=LazyGroup)
def flow_run() -> None:
    """Look at flow runs."""


@flow_run.command("ls", examples=["surefoot flow-run ls", "surefoot flow-run ls --state FAILED --limit 5 -o json"])
@flow_run_filters
@ls_options
def ls(limit: int, after: str | None, output: Output, **which: Any) -> None:
    """List flow runs, the newest first."""
    with reading() as client:
        print_runs(flow_runs_of(client), Asked(**which), Listing(limit, after, output))


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
@runs_argument
@flow_run_filters
@cancel_options
def cancel(yes: bool, no_wait: bool, timeout: float, output: Output, **which: Any) -> Exit:
    """Stop flow runs that are under way, with all that they started.

    Their code is interrupted, their on_cancellation hooks run, and they end Cancelled. The exit code is 1 if one of
    them had not ended after --timeout seconds, or ended in another way.
    """
    with reading() as client:
        asked = Asked(**which)
        return cancel_runs(flow_runs_of(client), asked, yes=yes, no_wait=no_wait, timeout=timeout, output=output)


@flow_run.command(
    "delete",
    examples=[
        "surefoot flow-run delete brave-otter --yes",
        "surefoot flow-run delete --state Failed --before 30d --flow backup --yes",
    ],
)
@runs_argument
@flow_run_filters
@yes_option
@output_option
def delete(yes: bool, output: Output, **which: Any) -> None:
    """Delete flow runs that have ended, with all that is below them. Shows which, and asks first."""
    with reading() as client:
        delete_runs(flow_runs_of(client), Asked(**which), yes=yes, output=output)


@flow_run.command(
    "retry",
    examples=[
        "surefoot flow-run retry brave-otter",
        "surefoot flow-run retry --last nightly-load",
        "surefoot flow-run retry brave-otter -p token=...",
        "surefoot flow-run retry brave-otter --from-task load",
    ],
)
@click.argument("run", required=False)
@click.option("--last", is_flag=True, help="The newest run that did not complete, of the flow that RUN names if given.")
@click.option("-p", "--param", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter to take instead.")
@click.option(
    "--from-task",
    metavar="NAME",
    help="Call this task again, and what rests on its result, though completed: a task, or one run of it.",
)
@click.option("--anew", is_flag=True, help="Call again what completed where its result lies in another home.")
@click.option("--here", is_flag=True, hidden=True, help="In this process.")
def retry(
    run: str | None, last: bool, pairs: tuple[str, ...], from_task: str | None, anew: bool, here: bool
) -> Exit | int:
    """Go on with a run that failed, crashed or was cancelled: what completed in it is not done again.

    The file that defines its flow is loaded in a new process, in the folder where the run was started. The exit code is
    0 if the run completes now. With --from-task the run may have completed.
    """
    from surefoot.cli.retrying import retry as retry_run

    return retry_run(run, last=last, pairs=pairs, from_task=from_task, anew=anew, here=here)


def outcome_line(run: FlowRun) -> str:
    """A flow run's end in one line."""
    state = state_of(run)
    parts = [run.name, click.style(state.text, fg=state.colour), took_text(run, now_here()), run.reason or ""]
    return "   ".join(part for part in parts if part)
