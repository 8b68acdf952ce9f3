"""`surefoot flow`: what flows there are. May import: cli's parts, client, core.wire."""

from __future__ import annotations

import click

from surefoot.cli.command import LazyGroup
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output
from surefoot.cli.reading import nothing_recorded, now_here, reading
from surefoot.cli.table import Cell, state_of
from surefoot.cli.times import day_and_time
from surefoot.core.wire import Flow, FlowFilter

__all__ = ["flow"]


@click.group(cls=LazyGroup)
def flow() -> None:
    """Look at flows."""


@flow.command("ls", examples=["surefoot flow ls", "surefoot flow ls --name back -o json"])
@click.option("--name", metavar="TEXT", help="Only flows with this in their name.")
@ls_options
def ls(name: str | None, limit: int, after: str | None, output: Output) -> None:
    """List flows, each with its newest run."""
    now = now_here()

    def row(found: Flow) -> list[str | Cell]:
        last = found.last_run
        if last is None:
            return [found.name, f"{found.run_count:,}", "", "", ""]
        when = last.start_time or last.expected_start_time
        return [
            found.name,
            f"{found.run_count:,}",
            state_of(last),
            day_and_time(when, now),
            last.reason or "",
        ]

    where = FlowFilter(name_like=name)
    with reading() as client:
        print_list(
            lambda limit, after: client.flows(where, limit=limit, after=after),
            Listing(limit, after, output),
            ["NAME", "RUNS", "LAST STATE", "LAST STARTED", "WHY"],
            row,
            nothing=lambda: f"No flow has {name!r} in its name." if name else nothing_recorded("flow"),
        )
