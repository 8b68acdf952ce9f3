"""What `flow-run delete` and `task-run delete` are: which runs, what goes with them, the question, and the deletion.

May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from typing import TypeVar

from surefoot.cli.consent import agree
from surefoot.cli.output import Output, note, say, write_object
from surefoot.cli.runs import Asked, Runs, choose, preview
from surefoot.core.states import is_final
from surefoot.core.wire import Deleted, FlowRun, FlowRunFilter, TaskRun, TaskRunFilter

__all__ = ["delete_runs", "deletion_line"]

R = TypeVar("R", FlowRun, TaskRun)
W = TypeVar("W", FlowRunFilter, TaskRunFilter)


def delete_runs(runs: Runs[R, W], asked: Asked, *, yes: bool, output: Output) -> None:
    """Delete the runs that were named, or those that fit and have ended. Shows which, and asks first."""
    chosen = choose(runs, asked, "delete")
    # What was named and has not ended is refused by name.
    going = chosen if asked.runs else [run for run in chosen if is_final(run.state_type)]
    if len(going) < len(chosen):
        note(f"{len(chosen) - len(going):,} have not ended, and stay.")
    deleted = Deleted()
    if going:
        preview(going, runs.noun)
        ids = [run.id for run in going]
        note(f"With all that is theirs: {deletion_line(runs.below(ids))}.")
        agree("Delete all that, for good?", yes)
        deleted = runs.delete(ids)
    if output != "table":
        write_object(deleted, output)
    elif going:
        say([f"Deleted {deletion_line(deleted)}."])
    else:
        say([f"No {runs.noun} fits that has ended: nothing was deleted."])


def deletion_line(deleted: Deleted) -> str:
    """What a deletion takes, in words.

    >>> deletion_line(Deleted(flow_runs=1, task_runs=12_000))
    '1 flow run, 12,000 task runs, 0 log lines'
    """
    counts = {"flow run": deleted.flow_runs, "task run": deleted.task_runs, "log line": deleted.logs}
    if deleted.artifacts:
        counts["artifact"] = deleted.artifacts
    return ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())
