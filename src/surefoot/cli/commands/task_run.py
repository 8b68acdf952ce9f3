"""`surefoot task-run`: what became of task runs, and stopping them. May import: cli's parts, client, core."""

from __future__ import annotations

from typing import Any

import click

from surefoot.cli.bulk import (
    TaskRunsAsked,
    choose_task_runs,
    deletion_line,
    preview,
    task_run_options,
    yes_option,
)
from surefoot.cli.cancelling import OPEN, Cancelling, cancel_options, cancel_runs
from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.listing import Listing, ls_options, no_such_state, print_list, state_options, states_wanted
from surefoot.cli.log_lines import log_options, print_logs
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import nothing_recorded, now_here, reading
from surefoot.cli.run_page import task_run_page, took
from surefoot.cli.table import Cell, state_of
from surefoot.cli.times import day_and_time, duration
from surefoot.core.states import is_final
from surefoot.core.wire import Deleted, LogFilter, TaskRun, TaskRunFilter

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
@click.option(
    "--flow-run", "flow_runs", metavar="RUN", multiple=True, help="Only runs in this flow run. May be repeated."
)
@click.option("--task", "tasks", metavar="NAME", multiple=True, help="Only runs of this task. May be repeated.")
@state_options
@click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag. Repeated: with all of them."
)
@ls_options
def ls(
    flow_runs: tuple[str, ...],
    tasks: tuple[str, ...],
    states: tuple[str, ...],
    state_types: tuple[str, ...],
    tags: tuple[str, ...],
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """List task runs, the newest first."""
    types, names = states_wanted(states, state_types)
    now = now_here()

    def row(run: TaskRun) -> list[str | Cell]:
        return [
            run.name,
            run.task_name,
            state_of(run),
            day_and_time(run.start_time, now),
            duration(took(run, now)),
            run.reason or "",
        ]

    with reading() as client:
        where = TaskRunFilter(
            flow_run_id=[client.find_flow_run(reference).id for reference in flow_runs] or None,
            task_name=list(tasks) or None,
            state_type=types,
            state_name=names,
            tags=list(tags) or None,
        )
        narrowed = where != TaskRunFilter()
        print_list(
            lambda limit, after: client.task_runs(where, limit=limit, after=after),
            Listing(limit, after, output),
            ["NAME", "TASK", "STATE", "STARTED", "TOOK", "WHY"],
            row,
            nothing=lambda: (
                f"No task run fits.{no_such_state(states)} All: `surefoot task-run ls`."
                if narrowed
                else nothing_recorded("task run")
            ),
        )


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
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--flow-run", "flow_runs", metavar="RUN", multiple=True, help="All runs in this flow run that have not ended."
)
@click.option("--task", "tasks", metavar="NAME", multiple=True, help="All runs of this task that have not ended.")
@state_options
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="All runs with this tag. Repeated: with all of them.")
@cancel_options
def cancel(
    runs: tuple[str, ...],
    flow_runs: tuple[str, ...],
    tasks: tuple[str, ...],
    states: tuple[str, ...],
    state_types: tuple[str, ...],
    tags: tuple[str, ...],
    yes: bool,
    no_wait: bool,
    timeout: float,
    output: Output,
) -> Exit:
    """Stop single task runs that are under way; their flow run goes on without them.

    Whoever waits for the value of one gets CancelledRun. The exit code is 1 if one of them had not ended after
    --timeout seconds, or ended in another way.
    """
    types, names = states_wanted(states, state_types)
    is_narrowed = bool(flow_runs or tasks or states or state_types or tags)
    with reading() as client:
        where = TaskRunFilter(
            flow_run_id=[client.find_flow_run(reference).id for reference in flow_runs] or None,
            task_name=list(tasks) or None,
            state_type=types or OPEN,
            state_name=names,
            tags=list(tags) or None,
        )
        return cancel_runs(
            Cancelling(
                "task run",
                client.find_task_run,
                (lambda limit, after: client.task_runs(where, limit=limit, after=after)) if is_narrowed else None,
                lambda ids: client.task_runs(TaskRunFilter(id=ids), limit=len(ids)).results,
                client.cancel_task_run,
            ),
            runs,
            yes=yes,
            no_wait=no_wait,
            timeout=timeout,
            output=output,
        )


@task_run.command(
    "delete",
    examples=[
        "surefoot task-run delete upload-0 --yes",
        "surefoot task-run delete --flow-run brave-otter --state Failed --before 30d --yes",
    ],
)
@task_run_options
@yes_option
@output_option
def delete(yes: bool, output: Output, **which: Any) -> None:
    """Delete task runs that have ended, with what they called. Shows which, and asks first."""
    with reading() as client:
        chosen = choose_task_runs(client, TaskRunsAsked(**which))
        is_filtered = not which["runs"]
        going = [run for run in chosen if is_final(run.state_type)] if is_filtered else chosen
        if len(going) < len(chosen):
            note(f"{len(chosen) - len(going):,} have not ended, and stay.")
        deleted = Deleted()
        if going:
            preview(going, "task run")
            ids = [run.id for run in going]
            below = client.count_below(task_run_ids=ids)
            note(f"With all that is theirs: {deletion_line(below)}.")
            agree("Delete all that, for good?", yes)
            deleted = client.delete_task_runs(ids)
    if output == "table":
        say(
            [f"Deleted {deletion_line(deleted)}." if going else "No task run fits that has ended: nothing was deleted."]
        )
    else:
        write_object(deleted, output)
