"""How every mistake leaves the program: one line on stderr (what, do, slug), an exit code that says whose fault it is.

The traceback is shown only if it was asked for. May import: click, core.errors.
"""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from typing import Final

import click

from surefoot.core.errors import (
    BadInput,
    MissingResult,
    NotFound,
    Refused,
    RunError,
    SurefootError,
    TerminationSignal,
    Unavailable,
)
from surefoot.core.typed import as_typed

__all__ = ["Exit", "exit_code", "report"]


class Exit(IntEnum):
    """What a process of `surefoot` ends with. Scripts rely on these: none is ever given another meaning."""

    DONE = 0
    NOT_COMPLETED = 1  # done, but the run ended Failed, Crashed or Cancelled, or had not ended when the waiting did
    BAD_INPUT = 2  # wrong usage or bad input: nothing ran
    REFUSED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5  # storage or server unreachable: nothing changed
    DEFECT = 70  # ours
    INTERRUPTED = 130
    TERMINATED = 143


# The first row that fits decides.
_CODES: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (NotFound, Exit.NOT_FOUND),
    (MissingResult, Exit.NOT_FOUND),
    (BadInput, Exit.BAD_INPUT),
    (click.UsageError, Exit.BAD_INPUT),
    (click.ClickException, Exit.BAD_INPUT),
    (click.Abort, Exit.INTERRUPTED),
    (Refused, Exit.REFUSED),
    (Unavailable, Exit.UNAVAILABLE),
    (RunError, Exit.NOT_COMPLETED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (TerminationSignal, Exit.TERMINATED),
)


def exit_code(error: BaseException) -> Exit:
    """The exit code that an error ends the program with.

    >>> exit_code(NotFound("No run goes by 'x'.")), exit_code(ZeroDivisionError())
    (<Exit.NOT_FOUND: 4>, <Exit.DEFECT: 70>)
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.DEFECT)


def report(error: BaseException, *, debug: bool, color: bool | None = None) -> Exit:
    """Say on stderr what went wrong, and return the exit code for it. `color`: None has it as the terminal can."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    line = _sentence(error)
    if line:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {line}", err=True, color=color)
    return exit_code(error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, TerminationSignal)):
        return ""  # whoever pressed Ctrl-C knows; what was running has said how to go on
    if isinstance(error, click.Abort):
        return "Nothing was done: the question was not answered with yes."
    if isinstance(error, click.UsageError):
        return f"{_flat(_usage(error))} [usage]"
    if isinstance(error, click.ClickException):
        return f"{_flat(error.format_message())} [usage]"
    if isinstance(error, SurefootError):
        return f"{_flat(error.what)} {as_typed(_flat(error.do))}".rstrip() + f" [{error.slug}]"
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{_flat(what)}. This is a defect of Surefoot: show it with `surefoot --debug ...`, and report it. [defect]"


def _usage(error: click.UsageError) -> str:
    text = error.format_message()
    path = error.ctx.command_path if error.ctx else "surefoot"
    if isinstance(error, click.NoSuchOption):
        return f"{error.message} {_way_out(error, path)}"
    ends = text.rstrip().endswith((".", "?", "`"))
    return text if ends and "`" in text else f"{text.rstrip('.')}. See `{path} --help`."


def _way_out(error: click.NoSuchOption, path: str) -> str:
    if error.option_name in ("--debug", "--no-color", "--profile"):
        return f"It stands before the command: `surefoot {error.option_name} ...`."
    if error.option_name[1:2].isdigit():
        return f"A number below 0 that is meant stands behind two dashes: `{path} ... -- {error.option_name}`."
    if error.possibilities:
        return f"Did you mean {' or '.join(f'`{name}`' for name in error.possibilities)}?"
    return f"See `{path} --help`."


def _flat(text: str) -> str:
    return " ".join(text.split())
