"""`surefoot watch`: look for runs that crashed and runs that are missing, and tell.

May import: cli's parts, client, notify.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

import click

from surefoot.cli.command import Command
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_array
from surefoot.cli.reading import here, now_here
from surefoot.cli.table import Cell, screen_width, table
from surefoot.cli.times import day_and_time
from surefoot.client.upkeep import open_ledger
from surefoot.client.watching import Finding, look
from surefoot.core.clock import get_clock
from surefoot.core.errors import LedgerBusy
from surefoot.core.settings import Settings
from surefoot.ledger import Ledger
from surefoot.notify.desk import postman_of
from surefoot.notify.notices import rules_of

__all__ = ["watch"]


@click.command("watch", cls=Command, examples=["surefoot watch --once", "surefoot watch --once -o json"])
@click.option("--once", is_flag=True, help="Look once and leave: for cron.")
@click.option(
    "--every",
    "every_s",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=60,
    show_default=True,
    help="How long to wait between two looks.",
)
@output_option
@click.pass_context
def watch(ctx: click.Context, once: bool, every_s: float, output: Output) -> None:
    """Look for runs that crashed and runs that are missing, and tell whom the settings name.

    With --once it leaves with 1 if it found something, and prints nothing if not.
    """
    settings = here()
    found = 0

    def pages(ledger: Ledger) -> Iterator[list[Finding]]:
        nonlocal found
        while True:
            findings = _look(settings, ledger, may_wait=not once)
            found += len(findings)
            yield findings if once else [each for each in findings if each.is_new]
            if once:
                return
            get_clock().sleep(every_s)

    with open_ledger(settings) as ledger:
        if output == "table":
            for findings in pages(ledger):
                _say(findings)
        else:
            write_array(pages(ledger), output)
    if found:
        ctx.exit(Exit.NOT_COMPLETED)
    if sys.stderr.isatty():  # cron would send a mail about it
        note("All is well.")


def _look(settings: Settings, ledger: Ledger, *, may_wait: bool) -> list[Finding]:
    try:
        result = look(settings, ledger)
    except LedgerBusy as error:
        if not may_wait:
            raise
        note(str(error))  # the next look sees what this one did not
        return []
    for trouble in result.troubles:
        note(trouble)
    postman = postman_of(settings.home, rules_of(settings))
    if postman.has_work():
        postman.hurry()
    return result.findings


def _say(findings: list[Finding]) -> None:
    if findings:
        now = now_here()
        rows = [_row(each, now) for each in findings]
        say(table(["WHAT", "FLOW", "RUN", "AT", "WHY"], rows, width=screen_width()))


def _row(found: Finding, now: datetime) -> list[str | Cell]:
    if found.event == "crash":
        return [Cell("crashed", "red"), found.flow, found.flow_run or "", day_and_time(found.at, now), found.reason]
    last = f"; its last run is {found.flow_run}" if found.flow_run else "; no run of it is recorded"
    why = f"has not completed {found.reason}{last}"
    return [Cell("missing", "yellow"), found.flow, "", day_and_time(found.at, now), why]
