"""`surefoot variable`: values by a name, for all who share the ledger. May import: cli's parts, client, core."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any, Final

import click

from surefoot.cli.command import LazyGroup
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.table import Cell, dim, heading, one_line, visible
from surefoot.cli.times import day_and_time, full_time
from surefoot.core.errors import BadInput, NotFound, SurefootError
from surefoot.core.variables import BYTES_MAX, VariableError, text_of
from surefoot.core.wire import Variable, VariableChange, VariableFilter

__all__ = ["variable"]

_CELL_CHARS: Final = 200  # of a value in a table
_STDIN_MAX: Final = 16 * BYTES_MAX  # JSON may be written with much room between
_ACTIONS: Final = {"created": "set", "changed": "changed", "removed": "removed"}


@click.group(cls=LazyGroup)
def variable() -> None:
    """Keep values by a name, for all flows, with a history."""


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of variables, for a shell that completes."""
    try:
        with reading() as client:
            found = client.variables(VariableFilter(name_like=incomplete or None), limit=1000).results
            return [each.name for each in found if each.name.startswith(incomplete)]
    except SurefootError:  # a shell that completes has no place for it; the command will say it
        return []


@variable.command("ls", examples=["surefoot variable ls", "surefoot variable ls --tag nightly -o json"])
@click.option("--name", metavar="TEXT", help="Only those whose name has this in it.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only those with this tag. May be repeated.")
@ls_options
def ls(name: str | None, tags: tuple[str, ...], limit: int, after: str | None, output: Output) -> None:
    """List variables and their values."""
    now = now_here()
    where = VariableFilter(name_like=name, tags=list(tags) or None)
    is_all = name is None and not tags
    nothing = "There are no variables. Set one: surefoot variable set page-size 500" if is_all else "None is like that."
    with reading() as client:
        print_list(
            lambda limit, after: client.variables(where, limit=limit, after=after),
            Listing(limit, after, output),
            ["NAME", "UPDATED", "TAGS", "VALUE"],
            lambda each: _row(each, now),
            nothing=lambda: nothing,
        )


def _row(each: Variable, now: datetime) -> list[str | Cell]:
    return [each.name, day_and_time(each.updated, now), ", ".join(each.tags), _cell(each.value)]


def _cell(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False) if isinstance(value, str) and _looks_otherwise(value) else text_of(value)
    )
    return f"{text[:_CELL_CHARS]}…" if len(text) > _CELL_CHARS else text


def _looks_otherwise(text: str) -> bool:
    """Whether a text, without quotes, would be taken for another value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return not text.strip()
    return True


@variable.command("get", examples=["surefoot variable get page-size", "surefoot variable get page-size -o json"])
@click.argument("name", shell_complete=names)
@click.option("--default", metavar="TEXT", help="What to print if there is none of that name.")
@output_option
def get(name: str, default: str | None, output: Output) -> None:
    """Print the value of a variable: a text as it is, everything else as JSON. With -o json, all as JSON."""
    with reading() as client:
        try:
            value = client.find_variable(name).value
        except NotFound:
            if default is None:
                raise
            value = default
    if output != "table":
        write_object(value, output)
        return
    text = text_of(value)
    if sys.stdout.isatty():
        say(map(visible, text.split("\n")))  # a terminal would do what stands there
    else:
        sys.stdout.buffer.write(text.encode() + b"\n")  # and `echo` would leave that out
        sys.stdout.buffer.flush()


@variable.command(
    "inspect", examples=["surefoot variable inspect page-size", "surefoot variable inspect hosts -o json"]
)
@click.argument("name", shell_complete=names)
@output_option
def inspect(name: str, output: Output) -> None:
    """Show a variable, and who changed it last."""
    now = now_here()
    with reading() as client:
        found = client.find_variable(name)
        last = client.variable_changes(name, limit=1).results
    if output != "table":
        write_object(found, output)
        return
    by = f" by {_by(last[0])}" if last else ""
    facts = {
        "created": full_time(found.created, now),
        "changed": f"{full_time(found.updated, now)}{by}",
        "tags": ", ".join(found.tags) or "none",
        "history": f"surefoot variable history {found.name}",
    }
    value = found.value if isinstance(found.value, str) else json.dumps(found.value, indent=2, ensure_ascii=False)
    say(
        [
            heading(found.name),
            *(f"{dim(f'{key:<8}')} {visible(fact)}" for key, fact in facts.items()),
            "",
            *(visible(line) for line in value.split("\n")),
        ]
    )


@variable.command(
    "set",
    examples=[
        "surefoot variable set bucket s3://backups",
        "surefoot variable set page-size 500 --json --overwrite",
        'surefoot variable set shops \'["berlin", "paris"]\' --json --tag nightly',
    ],
)
@click.argument("name", shell_complete=names)
@click.argument("value")
@click.option("--json", "is_json", is_flag=True, help="VALUE is JSON: a number, true, a list ... Without it, a text.")
@click.option("--overwrite", is_flag=True, help="Change one that is there.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="What it is found by. May be repeated.")
@output_option
def set_(name: str, value: str, is_json: bool, overwrite: bool, tags: tuple[str, ...], output: Output) -> None:
    """Set a variable to VALUE, or to what stdin has, where that is `-`.

    One that is there keeps its tags, if no --tag is given.
    """
    text = _from_stdin() if value == "-" else value
    what = _parsed(name, text) if is_json else text
    with reading() as client:
        after = client.set_variable(name, what, tags=tags or None, overwrite=overwrite)
    if output != "table":
        write_object(after, output)
        return
    say([f"Variable {after.name!r} is {one_line(_cell(after.value))}."])
    if not is_json and _looks_otherwise(text) and text.strip():
        note("That is a text. For what it is as JSON, add --json --overwrite.")


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read(_STDIN_MAX + 1)
    if len(raw) > _STDIN_MAX:
        raise VariableError(
            f"What stdin has is larger than the {BYTES_MAX:,} bytes of a value.", do="Keep it in a file."
        )
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise VariableError("What stdin has is no text in UTF-8.", do="Keep it in a file.") from None


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"The value of {name!r} is not JSON: {error}.", do="Leave --json out for a text, or put texts in quotes."
        ) from None


@variable.command("unset", examples=["surefoot variable unset region", "surefoot variable unset page-size -o json"])
@click.argument("name", shell_complete=names)
@output_option
def unset(name: str, output: Output) -> None:
    """Remove a variable. Its history is kept for a while, and says what it was."""
    with reading() as client:
        found = client.find_variable(name)
        client.unset_variable(name)
    if output != "table":
        write_object(found, output)
        return
    say([f"Removed variable {name!r}, which was {one_line(_cell(found.value))}."])


@variable.command(
    "history", examples=["surefoot variable history page-size", "surefoot variable history hosts -o json"]
)
@click.argument("name", shell_complete=names)
@ls_options
def history(name: str, limit: int, after: str | None, output: Output) -> None:
    """List who changed a variable, when, from what to what; the newest first."""
    now = now_here()
    with reading() as client:
        print_list(
            lambda limit, after: client.variable_changes(name, limit=limit, after=after),
            Listing(limit, after, output),
            ["WHEN", "WHO", "WHAT", "BEFORE", "AFTER"],
            lambda change: _change(change, now),
            nothing=lambda: "That is all.",
        )


def _change(change: VariableChange, now: datetime) -> list[str | Cell]:
    is_new, is_gone = change.action == "created", change.action == "removed"
    what = _ACTIONS[change.action]
    if not is_new and not is_gone and change.tags_before != change.tags_after:
        what += f", tags: {', '.join(change.tags_after or []) or 'none'}"
    before = "" if is_new else _cell(change.before)
    after = "" if is_gone else _cell(change.after)
    return [day_and_time(change.timestamp, now), _by(change), what, before, after]


def _by(change: VariableChange) -> str:
    return change.changed_by if change.run_name is None else f"{change.changed_by}, in {change.run_name}"
