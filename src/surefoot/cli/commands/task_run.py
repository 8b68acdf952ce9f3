"""`surefoot task-run`: what became of task runs, and stopping them. May import: cli's parts, client, core."""

from __future__ import annotations

from typing import Any

import click

from surefoot.cli.cancelling import cancel_options, cancel_runs
from surefoot.cli.command import LazyGroup
from surefoot.cli.deleting import delete_runs
from surefoot.cli.listing import Listing, ls_options
from surefoot.cli.log_lines import log_options, print_logs
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, output_option, say, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.run_page import task_run_page
from surefoot.cli.runs import Asked, print_runs, runs_argument, task_run_filters, task_runs_of, yes_option
from surefoot.core.states import is_final
from surefoot.core.wire import LogFilter

__all__ = ["task_run"]


@click.group(cls=LazyGroup)
def task_run() -> None:
    """Look at task runs."""


@task_run.command(
    "ls",
    examples=[
        "surefoot task-run ls --flow-run brave-otter --state FAILED",
        "surefoot task-run ls --task upload --limit 5 -o json",
    ],
)
@task_run_filters
@ls_options
def ls(limit: int, after: str | None, output: Output, **which: Any) -> None:
    """List task runs, the newest first."""
    with reading() as client:
        print_runs(task_runs_of(client), Asked(**which), Listing(limit, after, output))


@task_run.command(
    "inspect", examples=["surefoot task-run inspect upload-0", "surefoot task-run inspect upload-0 -o json"]
)
@click.argument("run")
@output_option
def inspect(run: str, output: Output) -> None:
    """Show one task run: state, reason, times, where its inputs came from, history."""
    with reading() as client:
        found = client.find_task_run(run)
        if output == "table":
            say(task_run_page(client, found, now_here()))
        else:
            write_object(found, output)


@task_run.command(
    "logs",
    examples=["surefoot task-run logs upload-0 --tail 20", "surefoot task-run logs upload-0 --level WARNING -o jsonl"],
)
@click.argument("run")
@log_options
def logs(run: str, level: str | None, head: int | None, tail: int | None, follow: bool, output: Output) -> None:
    """Print what was logged in a task run."""
    with reading() as client:
        found = client.find_task_run(run)
        print_logs(
            client,
            LogFilter(task_run_id=[found.id]),
            level=level,
            first=head,
            last=tail,
            output=output,
            is_over=(lambda: is_final(client.find_task_run(found.id).state_type)) if follow else None,
            since=found.created,
        )


@task_run.command(
    "cancel",
    examples=[
        "surefoot task-run cancel upload-0",
        "surefoot task-run cancel --flow-run brave-otter --task upload --yes",
    ],
)
@runs_argument
@task_run_filters
@cancel_options
def cancel(yes: bool, no_wait: bool, timeout: float, output: Output, **which: Any) -> Exit:
    """Stop single task runs that are under way; their flow run goes on without them.

    Whoever waits for the value of one gets CancelledRun. The exit code is 1 if one of them had not ended after
    --timeout seconds, or ended in another way.
    """
    with reading() as client:
        asked = Asked(**which)
        return cancel_runs(task_runs_of(client), asked, yes=yes, no_wait=no_wait, timeout=timeout, output=output)


@task_run.command(
    "delete",
    examples=[
        "surefoot task-run delete upload-0 --yes",
        "surefoot task-run delete --flow-run brave-otter --state Failed --before 30d --yes",
    ],
)
@runs_argument
@task_run_filters
@yes_option
@output_option
def delete(yes: bool, output: Output, **which: Any) -> None:
    """Delete task runs that have ended, with what they called. Shows which, and asks first."""
    with reading() as client:
        delete_runs(task_runs_of(client), Asked(**which), yes=yes, output=output)


@task_run.command("retry", examples=["surefoot task-run retry upload-0", "surefoot task-run retry 0192f0c1"])
@click.argument("run")
def retry(run: str) -> Exit | int:
    """Go on with the flow run that a task run is part of, since it failed, crashed or was cancelled.

    Just as `surefoot flow-run retry`: what completed in the flow run is not done again, and all else is, this task with
    it. The exit code is 0 if the flow run completes now.
    """
    from surefoot.cli.retrying import retry_task_run

    return retry_task_run(run)
