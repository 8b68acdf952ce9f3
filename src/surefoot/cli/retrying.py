"""`flow-run retry`: checks that a run can be started again, and hands over to the process that does it.

May import: cli's parts, restarting, core.
"""

from __future__ import annotations

import os
import sys

import click

from surefoot.cli.commands.run import parameters_of, tell_end
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import note
from surefoot.cli.reading import reading
from surefoot.core import ports
from surefoot.core.errors import BadInput, Refused
from surefoot.core.ids import to_text
from surefoot.core.os.succession import become
from surefoot.core.ports import Retryable
from surefoot.core.states import StateType
from surefoot.core.typed import profile_words
from surefoot.restarting import check, start_again

__all__ = ["retry", "retry_task_run"]


def retry(
    run: str | None,
    *,
    last: bool,
    pairs: tuple[str, ...] = (),
    from_task: str | None = None,
    anew: bool = False,
    here: bool = False,
) -> Exit | int:
    """Start a run again: in this process, or in one that is made for it."""
    if run is None and not last:
        raise BadInput("No run is named.", do="Name one, or take the newest: surefoot flow-run retry --last")
    retryable = _found(run, last, from_task, anew)
    given = parameters_of(pairs, None)
    start = check(retryable, given)
    if here:
        return tell_end(retryable.flow_name, start_again(retryable, given))
    interpreter = start.interpreter
    if not os.access(interpreter, os.X_OK):
        note(f"{interpreter}, which it was started with, is gone; going on with {sys.executable}.")
        interpreter = sys.executable
    click.echo(f"Going on with {retryable.run.name} of {retryable.flow_name}.", err=True)
    command = [interpreter, "-P", "-m", "surefoot", *profile_words(), "flow-run", "retry"]
    command += [to_text(retryable.run.run_id), "--here"]
    if from_task is not None:
        command += ["--from-task", from_task]
    if anew:
        command.append("--anew")
    return become([*command, *(part for pair in pairs for part in ("-p", pair))], start.cwd)


def retry_task_run(reference: str) -> Exit | int:
    """Start the flow run of a task run again."""
    with reading() as client:
        run = client.find_task_run(reference)
    if run.state_type is StateType.COMPLETED:
        raise Refused(
            f"Task run {run.name!r} completed: there is nothing left to do in it.",
            do=f"To run it again all the same: surefoot flow-run retry {run.flow_run_id} --from-task {run.name}",
        )
    if run.flow_run_id is None:
        raise Refused(f"Task run {run.name!r} was called outside of any flow.", do="Call the task again.")
    return retry(run.flow_run_id, last=False)


def _found(run: str | None, last: bool, from_task: str | None, anew: bool) -> Retryable:
    runs = ports.earlier_runs()
    try:
        if last:
            return runs.last_retryable(run, from_task, anew=anew)
        assert run is not None
        return runs.retryable(run, from_task, anew=anew)
    finally:
        runs.close()
