"""`replay`: checks that a task run can be called again, and hands over to the process that does it.

May import: cli's parts, restarting, engine, task_runners, core.
"""

from __future__ import annotations

import os
import pdb
import sys
from bdb import BdbQuit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import click
import msgspec

from surefoot.cli.commands.run import parameters_of
from surefoot.cli.first_line import at_first_line
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, write_object
from surefoot.core import ports
from surefoot.core.errors import Refused
from surefoot.core.ids import to_text
from surefoot.core.os.succession import become
from surefoot.core.ports import Retryable
from surefoot.core.typed import profile_words
from surefoot.engine.effects import Raised, Returned
from surefoot.engine.replaying import Replaying
from surefoot.engine.session import record_nothing
from surefoot.engine.tracebacks import traceback_text
from surefoot.restarting import check, start_again
from surefoot.task_runners import ThreadPoolTaskRunner

__all__ = ["replay"]

_LEFT: Final = "The debugger was left, and with it the task."
_CHARS_MAX: Final = 100_000  # of a text in the document


class ReplayError(msgspec.Struct, frozen=True, kw_only=True):
    """What the task raised."""

    type: str
    message: str
    traceback: str


class ReplayedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call, as one document."""

    task_run_id: str
    flow_run_id: str
    flow_run_name: str
    flow_name: str
    state_type: str  # COMPLETED or FAILED
    duration: float  # seconds of the call
    result: msgspec.Raw | None  # the value, where JSON can hold it
    result_repr: str | None  # the value as Python shows it
    error: ReplayError | None


def replay(
    reference: str, *, pairs: tuple[str, ...], post_mortem: bool, stops: bool, output: Output, here: bool
) -> Exit | int:
    """Call a task run's task again: in this process, or in one that is made for it."""
    runs = ports.earlier_runs()
    try:
        retryable, target, between = runs.replayable(reference)
    finally:
        runs.close()
    given = parameters_of(pairs, None)
    start = check(retryable, given, f"surefoot replay {reference}")
    if here:
        call = at_first_line if stops else None
        failed = _post_mortem if post_mortem else None
        replaying = Replaying(target, between, ThreadPoolTaskRunner(), call=call, failed=failed)
        if output == "table":
            return _tell(retryable, given, replaying)
        return _write(retryable, given, replaying, to_text(target), output)
    interpreter = start.interpreter
    if not os.access(interpreter, os.X_OK):
        note(f"{interpreter}, which it was started with, is gone; going on with {sys.executable}.")
        interpreter = sys.executable
    note(
        f"Replaying {reference} of {retryable.run.name}; nothing is recorded. The body of {retryable.flow_name} runs "
        "again up to there: what it does outside of tasks happens again."
    )
    command = [interpreter, "-P", "-m", "surefoot", *profile_words(), "replay", to_text(target), "--here"]
    command += [flag for flag, wanted in (("--pdb", post_mortem), ("--break", stops)) if wanted]
    command += [] if output == "table" else ["-o", output]
    return become([*command, *(part for pair in pairs for part in ("-p", pair))], start.cwd)


def _post_mortem(error: BaseException) -> None:
    if isinstance(error, (Refused, BdbQuit)):
        return
    click.echo(traceback_text(error).rstrip(), err=True)
    pdb.post_mortem(error.__traceback__)


def _tell(retryable: Retryable, given: Mapping[str, Any], replaying: Replaying) -> Exit:
    outcome = _outcome(retryable, given, replaying)
    if isinstance(outcome, Returned):
        click.echo(repr(outcome.value))
        return Exit.DONE
    if isinstance(outcome.error, BdbQuit):
        note(_LEFT)
    else:
        click.echo(traceback_text(outcome.error).rstrip(), err=True)
    return Exit.NOT_COMPLETED


def _write(retryable: Retryable, given: Mapping[str, Any], replaying: Replaying, target: str, output: Output) -> Exit:
    with _stdout_for_the_document():
        outcome = _outcome(retryable, given, replaying)
        returned = isinstance(outcome, Returned)
        told = ReplayedRun(
            task_run_id=target,
            flow_run_id=to_text(retryable.run.run_id),
            flow_run_name=retryable.run.name,
            flow_name=retryable.flow_name,
            state_type="COMPLETED" if returned else "FAILED",
            duration=replaying.seconds,
            result=_as_json(outcome.value) if isinstance(outcome, Returned) else None,
            result_repr=_cut(repr(outcome.value)) if isinstance(outcome, Returned) else None,
            error=None if isinstance(outcome, Returned) else _error_of(outcome.error),
        )
    write_object(told, output)
    return Exit.DONE if returned else Exit.NOT_COMPLETED


def _error_of(error: BaseException) -> ReplayError:
    if isinstance(error, BdbQuit):
        return ReplayError(type="BdbQuit", message=_LEFT, traceback="")
    return ReplayError(type=type(error).__name__, message=_cut(str(error)), traceback=traceback_text(error).rstrip())


def _as_json(value: Any) -> msgspec.Raw | None:
    """The value itself, where JSON can hold it."""
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except Exception:  # whatever its own way to be encoded raises; `result_repr` tells what it is
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _CHARS_MAX else f"{text[:_CHARS_MAX]} [cut: {len(text) - _CHARS_MAX} characters]"


@contextmanager
def _stdout_for_the_document() -> Iterator[None]:
    """What the code writes to stdout meanwhile, whatever part of the process writes it, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _outcome(retryable: Retryable, given: Mapping[str, Any], replaying: Replaying) -> Returned | Raised:
    """What came of the call. Raises Refused if it did not come to it."""
    record_nothing()
    state = start_again(retryable, given, replaying)
    outcome = replaying.outcome
    if isinstance(outcome, Returned):
        return outcome
    if type(outcome) is Raised:
        if isinstance(outcome.error, Refused):
            raise outcome.error
        return outcome
    if replaying.missing:
        # A flow may pass over some of them, and end by one: its own message names that.
        lacking = list(replaying.missing.values())
        stopped_by = next((why for why in lacking if why in (state.message or "")), lacking[-1])
        raise Refused(
            f"The flow does not come to the task: {stopped_by}.",
            do="Its value is needed before. Run the flow again from there: "
            f"surefoot flow-run retry {to_text(retryable.run.run_id)} --from-task NAME",
        )
    raise Refused(
        f"The flow does not come to the task with the inputs that it had: {state.message or 'it ended before'}.",
        do="Its code or what it reads outside of tasks may be another now.",
    )
