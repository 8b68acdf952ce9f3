"""`surefoot asset`: what runs make, and what rests on what. May import: cli's parts, client, core."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import click

from surefoot.cli.asset_page import asset_page, outcome_cell, why_of
from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.lineage_page import lineage_page, mermaid_of
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output, note, say, walk, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.table import Cell, one_line
from surefoot.cli.times import day_and_time
from surefoot.core.errors import NotFound, SurefootError
from surefoot.core.wire import Asset

__all__ = ["asset"]


@click.group(cls=LazyGroup)
def asset() -> None:
    """See what runs make, and what it rests on."""


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The keys of assets, for a shell that completes."""
    try:
        with reading() as client:
            return [each.key for each in client.assets(like=incomplete or None, limit=1000).results]
    except SurefootError:  # a shell that completes has no place for it; the command will say it
        return []


@asset.command("ls", examples=["surefoot asset ls", "surefoot asset ls --like s3:// -o json"])
@click.option("--like", metavar="TEXT", help="Only assets with this in their key.")
@ls_options
def ls(like: str | None, limit: int, after: str | None, output: Output) -> None:
    """List assets, each with what became of it last."""
    now = now_here()
    with reading() as client:
        print_list(
            lambda limit, after: client.assets(like=like, limit=limit, after=after),
            Listing(limit, after, output),
            ["KEY", "LAST", "WHEN", "BY", "WHY"],
            lambda each: _row(each, now),
            nothing=lambda: (
                f"No asset has {like!r} in its key."
                if like
                else 'No asset is recorded yet. Name what a task makes: @materialize("s3://bucket/orders")'
            ),
        )


def _row(each: Asset, now: datetime) -> list[str | Cell]:
    last = each.last
    if last is None:
        return [each.key, Cell("not made here", "bright_black"), "", "", ""]
    return [each.key, outcome_cell(last.outcome), day_and_time(last.timestamp, now), last.task_run_name, why_of(last)]


@asset.command(
    "inspect",
    examples=["surefoot asset inspect s3://bucket/orders", "surefoot asset inspect orders --limit 50 -o json"],
)
@click.argument("key", shell_complete=keys)
@ls_options
def inspect(key: str, limit: int, after: str | None, output: Output) -> None:
    """Show an asset: what it is, its checks and metadata, and who made it when.

    KEY is its key, or a part of it that no other has. `-o jsonl` gives its materializations, one a line.
    """
    with reading() as client:
        found = client.find_asset(key)
        if output == "json":
            write_object(found, output)
        elif output == "jsonl":
            print_list(
                lambda limit, after: client.materializations(found.key, limit=limit, after=after),
                Listing(limit, after, output),
                [],
                lambda each: [],
                nothing=lambda: f"No run here makes {found.key}.",
            )
        else:
            pages = [
                *walk(
                    lambda limit, after: client.materializations(found.key, limit=limit, after=after),
                    limit=limit or None,
                    after=after,
                )
            ]
            history = [made for page in pages for made in page.results]
            say(asset_page(found, history, client.lineage(found.key, up=1, down=1), now_here()))
            if pages[-1].after is not None:
                note(f"There are more: add `--after {pages[-1].after}`, or `--limit 0` for all.")


@asset.command(
    "lineage",
    examples=["surefoot asset lineage s3://bucket/orders --up 1", "surefoot asset lineage orders -o mermaid"],
)
@click.argument("key", shell_complete=keys)
@click.option("--up", type=click.IntRange(min=0), metavar="STEPS", help="Follow so many steps up; all if left out.")
@click.option("--down", type=click.IntRange(min=0), metavar="STEPS", help="Follow so many steps down.")
@click.option("--all", "earlier", is_flag=True, help="Also what only runs before the last rested on.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl", "mermaid"]),
    default="table",
    show_default=True,
    help="Trees for people, a JSON document, or mermaid text to paste into Markdown.",
)
def lineage(
    key: str, up: int | None, down: int | None, earlier: bool, output: Literal["table", "json", "jsonl", "mermaid"]
) -> None:
    """Show what an asset rests on, and what rests on it.

    KEY is its key, or a part of it that no other has.
    """
    with reading() as client:
        found = client.lineage(key, up=up, down=down, earlier=earlier)
    if output == "table":
        say(lineage_page(found, now_here(), shows_up=up != 0, shows_down=down != 0))
    elif output == "mermaid":
        click.echo(mermaid_of(found), nl=False)
    else:
        write_object(found, output)
    if found.more:
        note("There are more than are shown: use --up and --down.")


@asset.command(
    "delete", examples=["surefoot asset delete s3://bucket/orders --yes", "surefoot asset delete s3://bucket/raw --yes"]
)
@click.argument("key", shell_complete=keys)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(key: str, yes: bool) -> None:
    """Delete what is recorded of an asset. What lies there is left alone.

    KEY is its whole key. A run that makes it, or rests on it, has it recorded again.
    """
    with reading() as client:
        found = client.find_asset(key).key
        if found != key:
            raise NotFound(f"There is no asset {key!r}.", do=f"Type the whole key: {found}")
        agree(f"Delete what is recorded of {one_line(key)}, with its history and lineage?", yes)
        client.delete_asset(key)
    say([f"Deleted what was recorded of {one_line(key)}."])
