"""The command `surefoot`: its options for all, where each command stands, and the door that every mistake leaves by.

It imports no room, so that `surefoot --help` costs what starting Python costs. May import: click, core.errors,
core.typed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, Final, NoReturn

import click

from surefoot._version import __version__
from surefoot.cli.command import LazyGroup, Place
from surefoot.cli.mistakes import Exit, report
from surefoot.core.typed import give_profile

__all__ = ["app", "main"]

_COMPLETION: Final = "_SUREFOOT_COMPLETE"  # set by the shell's completion script
_PLACES: Final = {
    "run": Place("surefoot.cli.commands.run", "run", "Run a flow of a file, and record it."),
    "replay": Place("surefoot.cli.commands.replay", "replay", "Call the task of one recorded run again."),
    "flow-run": Place("surefoot.cli.commands.flow_run", "flow_run", "Look at flow runs."),
    "task-run": Place("surefoot.cli.commands.task_run", "task_run", "Look at task runs."),
    "why": Place("surefoot.cli.commands.why", "why", "Say why a run is as it is, and what to do."),
    "results": Place("surefoot.cli.commands.results", "results", "See, load and remove results of runs."),
    "artifact": Place(
        "surefoot.cli.commands.artifact", "artifact", "See, export and delete what runs made for people to look at."
    ),
    "flow": Place("surefoot.cli.commands.flow", "flow", "Look at flows."),
    "watch": Place(
        "surefoot.cli.commands.watch",
        "watch",
        "Look for runs that crashed and runs that are missing, and tell whom the settings name.",
    ),
    "notify": Place(
        "surefoot.cli.commands.notify", "notify", "See whether messages about failures arrive, and what waits."
    ),
    "asset": Place("surefoot.cli.commands.asset", "asset", "See what runs make, and what it rests on."),
    "limit": Place("surefoot.cli.commands.limit", "limit", "Limit how much goes on at once, or how often."),
    "variable": Place(
        "surefoot.cli.commands.variable", "variable", "Keep values by a name, for all flows, with a history."
    ),
    "db": Place("surefoot.cli.commands.db", "db", "Look after the ledger: size, upkeep, upgrade, repair."),
    "home": Place("surefoot.cli.commands.home", "home", "See what lies in the home, and how large it is."),
    "config": Place("surefoot.cli.commands.config", "config", "See and change settings."),
    "profile": Place("surefoot.cli.commands.profile", "profile", "Manage named sets of settings."),
    "migrate": Place("surefoot.cli.commands.migrate", "migrate", "Move a project over to Surefoot."),
    "version": Place("surefoot.cli.commands.version", "version", "Show versions and where things are."),
    "gcl": Place(
        "surefoot.cli.commands.limit_aliases",
        "gcl",
        "Limits, under a name that you may know: see `surefoot limit`.",
    ),
    "concurrency-limit": Place(
        "surefoot.cli.commands.limit_aliases",
        "concurrency_limit",
        "Limits of tags, under a name that you may know: see `surefoot limit`.",
    ),
    "completion": Place(
        "surefoot.cli.commands.completion", "completion", "Print the script that completes in your shell."
    ),
}


class App(LazyGroup):
    """The root of all commands. Whatever happens below it ends here, as an exit code."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **_: Any) -> NoReturn:  # type: ignore[override]
        """Run the command that `args` (default: the process's own) name, and leave with its exit code."""
        words = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name that the terminal cannot show is no reason to fail
        code: int
        try:
            try:
                code = self._run(words)
            finally:
                give_profile(None)  # should this process have another command to run
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has seen enough (`| head`). What is left must not fail again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = Exit.DONE
        sys.exit(int(code))

    def _run(self, words: list[str]) -> int:
        debug, color = False, False if os.environ.get("NO_COLOR") else None
        try:
            if instruction := os.environ.get(_COMPLETION):
                return _complete(self, instruction)
            with self.make_context("surefoot", words) as ctx:
                debug, color = bool(ctx.params["debug"]), ctx.color
                value = self.invoke(ctx)
                return value if isinstance(value, int) else Exit.DONE
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            return Exit.BAD_INPUT
        except click.exceptions.Exit as asked:
            return asked.exit_code
        except BrokenPipeError:
            raise
        except BaseException as error:
            return report(error, debug=debug, color=color)


def _complete(command: click.Command, instruction: str) -> int:
    from click.shell_completion import shell_complete  # a door: only a shell that completes needs it

    return shell_complete(command, {}, "surefoot", _COMPLETION, instruction)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    # The environment, so that whatever else speaks in this process, or is started by it, goes by the same option.
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _choose_profile(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.with_resource(_environment("SUREFOOT_PROFILE", name))
        give_profile(name)


def _drop_colours(ctx: click.Context, param: click.Parameter, dropped: bool) -> None:
    if dropped or os.environ.get("NO_COLOR"):
        ctx.with_resource(_environment("NO_COLOR", "1"))  # https://no-color.org
        ctx.color = False


@click.group(
    cls=App, places=_PLACES, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100}
)
@click.option(
    "--profile", metavar="NAME", expose_value=False, callback=_choose_profile, help="Use the settings of this profile."
)
@click.option("--no-color", is_flag=True, expose_value=False, callback=_drop_colours, help="Plain text, no colours.")
@click.option("--debug", is_flag=True, help="Show the traceback of a mistake.")
@click.version_option(__version__, "--version", message="%(version)s", help="Show the version and leave.")
def app(debug: bool) -> None:
    """Surefoot turns any Python function into a workflow that survives, and shows what became of it."""


def main() -> NoReturn:
    """What the installed command calls."""
    app.main()
