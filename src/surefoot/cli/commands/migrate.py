"""`surefoot migrate`: moves a project over that was written for something else.

May import: cli's parts, migrating, core.
"""

from __future__ import annotations

import re

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.table import heading, one_line, visible
from surefoot.migrating import tree

__all__ = ["MigratedFile", "Migration", "ToLookAt", "migrate"]


class MigratedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that changes. `target` is its new path, which most often is the old one."""

    path: str
    target: str
    diff: str


class ToLookAt(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a person has to look at."""

    path: str
    line: int
    what: str


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """What was rewritten, or would be, and what needs a look."""

    path: str
    written: bool
    files: list[MigratedFile]
    looks: list[ToLookAt]


@click.group(cls=LazyGroup)
def migrate() -> None:
    """Move a project over to Surefoot."""


@migrate.command(
    "prefect",
    examples=[
        "surefoot migrate prefect .",
        "surefoot migrate prefect backup.py --write",
        "surefoot migrate prefect . -o json",
    ],
)
@click.argument("path")
@click.option("--write", is_flag=True, help="Write the files; without it they are only shown.")
@output_option
def prefect(path: str, write: bool, output: Output) -> None:
    """Rewrite a script or project of Prefect's: imports, settings, YAML.

    Shows what would change, file by file, and what a person has to look at. Nothing is written without --write. Texts,
    comments and formatting stay as they are; a second run changes nothing.
    """
    moved = tree.move_over(path)
    changed = [one for one in moved if one.changes]
    if write:
        tree.write(changed)
    looks = [
        ToLookAt(path=one.target if write else one.path, line=at, what=what) for one in moved for at, what in one.looks
    ]
    if output != "table":
        files = [MigratedFile(path=one.path, target=one.target, diff=tree.diff_of(one)) for one in changed]
        write_object(Migration(path=path, written=write, files=files, looks=looks), output)
        return
    for one in changed:
        say([visible_diff(tree.diff_of(one))])
    if looks:
        say([heading(f"{len(looks):,} to look at"), *(one_line(f"{it.path}:{it.line}: {it.what}") for it in looks), ""])
    say([_summary(len(changed), write)])
    if changed and not write:
        note("Nothing was written. Write it with --write.")


def visible_diff(diff: str) -> str:
    """A diff in colours, with all that could steer a terminal made visible."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    lines = ("\t".join(map(visible, line.split("\t"))) for line in re.split(r"\r?\n", diff))
    return "\n".join(click.style(line, fg=colours.get(line[:1])) for line in lines)


def _summary(count: int, written: bool) -> str:
    if not count:
        return "No file has to be changed."
    files = "1 file" if count == 1 else f"{count:,} files"
    return f"{files} {'changed' if written else 'would change'}."
