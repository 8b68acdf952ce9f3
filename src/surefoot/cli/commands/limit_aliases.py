"""`surefoot gcl` and `surefoot concurrency-limit`: `surefoot limit` under the names that users know. May import: cli's
parts, the command itself.
"""

from __future__ import annotations

import click

from surefoot.cli.command import LazyGroup
from surefoot.cli.commands.limit import delete_limit, list_limits, names, set_limit
from surefoot.cli.listing import Listing, ls_options
from surefoot.cli.output import Output, output_option, say, write_object
from surefoot.cli.reading import reading
from surefoot.core.limits import TAG

__all__ = ["concurrency_limit", "gcl"]


@click.group(cls=LazyGroup)
def gcl() -> None:
    """Limits, under a name that you may know: see `surefoot limit`."""


@gcl.command("ls", examples=["surefoot gcl ls", "surefoot gcl ls -o json"])
@ls_options
def ls(limit: int, after: str | None, output: Output) -> None:
    """List limits, how much of each is used, and how many wait."""
    list_limits(Listing(limit, after, output))


@gcl.command("create", examples=["surefoot gcl create disk --limit 2", "surefoot gcl create mail --limit 9 --disable"])
@click.argument("name")
@click.option("--limit", "-l", "slots", type=int, required=True, help="How many slots it has.")
@click.option("--disable", is_flag=True, help="It limits nothing until it is enabled.")
@click.option("--slot-decay-per-second", type=float, help="So many slots come back in each second: a rate.")
@output_option
def create(name: str, slots: int, disable: bool, slot_decay_per_second: float | None, output: Output) -> None:
    """Make a limit."""
    set_limit(name, f"{slots}", slot_decay_per_second, not disable, output)


@gcl.command("update", examples=["surefoot gcl update database --limit 5", "surefoot gcl update database --disable"])
@click.argument("name", shell_complete=names)
@click.option("--limit", "-l", "slots", type=int, help="How many slots it has.")
@click.option("--enable/--disable", "active", default=None, help="Whether it limits anything.")
@click.option("--slot-decay-per-second", type=float, help="So many slots come back in each second: a rate.")
@output_option
def update(
    name: str, slots: int | None, active: bool | None, slot_decay_per_second: float | None, output: Output
) -> None:
    """Change a limit."""
    with reading() as client:
        before = client.find_limit(name)
    if slots is None and slot_decay_per_second is not None:
        slots = before.limit
    keeps_rate = slot_decay_per_second is None
    set_limit(name, None if slots is None else f"{slots}", slot_decay_per_second, active, output, keeps_rate=keeps_rate)


@gcl.command("enable", examples=["surefoot gcl enable database", "surefoot gcl enable api"])
@click.argument("name", shell_complete=names)
def enable(name: str) -> None:
    """Let a limit count again."""
    set_limit(name, None, None, True, "table")


@gcl.command("disable", examples=["surefoot gcl disable database", "surefoot gcl disable api"])
@click.argument("name", shell_complete=names)
def disable(name: str) -> None:
    """Let everybody through, without forgetting the limit."""
    set_limit(name, None, None, False, "table")


@gcl.command("inspect", examples=["surefoot gcl inspect database", "surefoot gcl inspect api -o json"])
@click.argument("name", shell_complete=names)
@output_option
def inspect(name: str, output: Output) -> None:
    """Show a limit."""
    _inspect(name, output)


def _inspect(name: str, output: Output) -> None:
    with reading() as client:
        found = client.find_limit(name)
    if output != "table":
        write_object(found, output)
        return
    used = "" if found.rate else f", {found.active_slots} used, {found.waiters} waiting"
    say([f"Limit {found.name!r}: {found.rate or f'{found.limit} at once'}{'' if found.active else ', off'}{used}."])


@gcl.command("delete", examples=["surefoot gcl delete database", "surefoot gcl delete api --yes"])
@click.argument("name", shell_complete=names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a limit. Whoever waits for it goes on."""
    delete_limit(name, yes)


@click.group("concurrency-limit", cls=LazyGroup)
def concurrency_limit() -> None:
    """Limits of tags, under a name that you may know: see `surefoot limit`."""


@concurrency_limit.command("ls", examples=["surefoot concurrency-limit ls", "surefoot concurrency-limit ls -o json"])
@ls_options
def ls_of_tags(limit: int, after: str | None, output: Output) -> None:
    """List limits, how much of each is used, and how many wait."""
    list_limits(Listing(limit, after, output))


@concurrency_limit.command(
    "create", examples=["surefoot concurrency-limit create gpu 1", "surefoot concurrency-limit create gpu 2 -o json"]
)
@click.argument("tag")
@click.argument("slots", type=int, metavar="N")
@output_option
def create_of_tag(tag: str, slots: int, output: Output) -> None:
    """Let N tasks with this tag run at once."""
    set_limit(f"{TAG}{tag}", f"{slots}", None, None, output)


@concurrency_limit.command(
    "inspect", examples=["surefoot concurrency-limit inspect gpu", "surefoot concurrency-limit inspect gpu -o json"]
)
@click.argument("tag")
@output_option
def inspect_of_tag(tag: str, output: Output) -> None:
    """Show the limit of a tag."""
    _inspect(f"{TAG}{tag}", output)


@concurrency_limit.command(
    "delete", examples=["surefoot concurrency-limit delete gpu", "surefoot concurrency-limit delete gpu --yes"]
)
@click.argument("tag")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete_of_tag(tag: str, yes: bool) -> None:
    """Delete the limit of a tag. Whoever waits for it goes on."""
    delete_limit(f"{TAG}{tag}", yes)
