"""`replay`: checks that a task run can be called again, and hands over to the process that does it.

May import: cli's parts, restarting, engine, task_runners, core.
"""

from __future__ import annotations

import os
import pdb
import sys
from bdb import BdbQuit
from collections.abc import Mapping
from typing import Any

import click

from surefoot.cli.commands.run import parameters_of
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import note
from surefoot.core import ports
from surefoot.core.errors import Refused
from surefoot.core.ids import to_text
from surefoot.core.os.succession import become
from surefoot.core.ports import Retryable
from surefoot.engine.effects import Raised, Returned
from surefoot.engine.replaying import Replaying
from surefoot.engine.session import record_nothing
from surefoot.engine.tracebacks import traceback_text
from surefoot.restarting import check, start_again
from surefoot.task_runners import ThreadPoolTaskRunner

__all__ = ["replay"]


def replay(reference: str, *, pairs: tuple[str, ...], post_mortem: bool, stops: bool, here: bool) -> Exit | int:
    """Call a task run's task again: in this process, or in one that is made for it."""
    runs = ports.earlier_runs()
    try:
        retryable, target, between = runs.replayable(reference)
    finally:
        runs.close()
    given = parameters_of(pairs, None)
    start = check(retryable, given, f"surefoot replay {reference}")
    if here:
        call = failed = None
        if stops:
            call = pdb.Pdb().runcall
        if post_mortem:
            failed = _post_mortem
        return _tell(retryable, given, Replaying(target, between, ThreadPoolTaskRunner(), call=call, failed=failed))
    interpreter = start.interpreter
    if not os.access(interpreter, os.X_OK):
        note(f"{interpreter}, which it was started with, is gone; going on with {sys.executable}.")
        interpreter = sys.executable
    note(
        f"Replaying {reference} of {retryable.run.name}; nothing is recorded. The body of {retryable.flow_name} runs "
        "again up to there: what it does outside of tasks happens again."
    )
    command = [interpreter, "-P", "-m", "surefoot", "replay", to_text(target), "--here"]
    command += [flag for flag, wanted in (("--pdb", post_mortem), ("--break", stops)) if wanted]
    return become([*command, *(part for pair in pairs for part in ("-p", pair))], start.cwd)


def _post_mortem(error: BaseException) -> None:
    if isinstance(error, (Refused, BdbQuit)):
        return
    click.echo(traceback_text(error).rstrip(), err=True)
    pdb.post_mortem(error.__traceback__)


def _tell(retryable: Retryable, given: Mapping[str, Any], replaying: Replaying) -> Exit:
    record_nothing()
    state = start_again(retryable, given, replaying)
    outcome = replaying.outcome
    if isinstance(outcome, Returned):
        click.echo(repr(outcome.value))
        return Exit.DONE
    if type(outcome) is Raised:
        if isinstance(outcome.error, Refused):
            raise outcome.error
        if isinstance(outcome.error, BdbQuit):
            note("The debugger was left, and with it the task.")
        else:
            click.echo(traceback_text(outcome.error).rstrip(), err=True)
        return Exit.NOT_COMPLETED
    if replaying.missing:
        raise Refused(
            f"The flow does not come to the task: {next(iter(replaying.missing.values()))}.",
            do="Its value is needed before. Run the flow again from there: "
            f"surefoot flow-run retry {to_text(retryable.run.run_id)} --from-task NAME",
        )
    raise Refused(
        f"The flow does not come to the task with the inputs that it had: {state.message or 'it ended before'}.",
        do="Its code or what it reads outside of tasks may be another now.",
    )
