"""What a command and a group are here: a help with examples, and commands that are loaded when they are named.

The parser imports no room: a group knows its commands by module path and one line of purpose, so `--help` loads none.
May import: click.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import click

__all__ = ["Command", "LazyGroup", "Place"]


class Command(click.Command):
    """A command whose help ends with examples that can be typed."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Place(NamedTuple):
    """Where a command stands, and what it is for."""

    module: str
    name: str
    purpose: str  # the first line of its help; a test compares the two


class LazyGroup(click.Group):
    """A group that imports a command when it is named, and offers the nearest one when there is none of that name."""

    command_class = Command

    def __init__(self, *args: Any, places: Mapping[str, Place] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = dict(places or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of a day's work."""
        return [*self.places, *(name for name in self.commands if name not in self.places)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now."""
        if cmd_name in self.places and cmd_name not in self.commands:
            place = self.places[cmd_name]
            self.add_command(getattr(importlib.import_module(place.module), place.name), cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name. Raises UsageError that offers the nearest."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            there = (
                f"Did you mean `{ctx.command_path} {near[0]}`?" if near else f"`{ctx.command_path} --help` lists them."
            )
            raise click.UsageError(f"No such command '{name}'. {there}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and purposes, loading nothing that is known by its place."""
        rows = []
        for name in self.list_commands(ctx):
            if name in self.places:
                rows.append((name, self.places[name].purpose))
            elif (command := self.get_command(ctx, name)) is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(formatter.width)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
