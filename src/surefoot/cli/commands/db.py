"""`surefoot db`: the ledger of the home, its upkeep and its repair. May import: cli's parts, client, core."""

from __future__ import annotations

import os
import sys
from datetime import datetime

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import here, now_here
from surefoot.cli.runs import yes_option
from surefoot.cli.sizes import bytes_as_text
from surefoot.cli.table import dim, table
from surefoot.cli.times import full_time
from surefoot.client import database
from surefoot.client.database import DbStats
from surefoot.client.ledgers import ledger_name
from surefoot.client.upkeep import Upkept, alone, upkeep
from surefoot.core.errors import Refused, SurefootError
from surefoot.core.os.detached import lower_priority
from surefoot.core.settings import ledger_url
from surefoot.journal.home import Home

__all__ = ["Compacted", "Upgrade", "db"]


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade did, or would do."""

    path: str
    revision: str | None  # before; null where there was no ledger
    head: str  # the revision of this version of Surefoot
    copy: str | None = None  # where the ledger lies as it was before
    upgraded: bool = False


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """How large a ledger was and is."""

    path: str
    bytes_before: int
    bytes: int


@click.group(cls=LazyGroup)
def db() -> None:
    """Look after the ledger: size, upkeep, upgrade, repair."""


@db.command("stats", examples=["surefoot db stats", "surefoot db stats -o json"])
@output_option
def stats(output: Output) -> None:
    """Show how much the ledger holds, since when, and what waits to be folded."""
    found = database.stats(here())
    if output == "table":
        say(_stats_page(found))
    else:
        write_object(found, output)


def _stats_page(found: DbStats) -> list[str]:
    now = now_here()

    def span(oldest: datetime | None, newest: datetime | None) -> str:
        return f"{full_time(oldest, now)} to {full_time(newest, now)}" if oldest else "none"

    facts = {
        "ledger": found.path,
        "revision": found.revision,
        "size": f"{bytes_as_text(found.bytes)}, {bytes_as_text(found.free_bytes)} of it free",
        "runs ended": span(found.oldest_run, found.newest_run),
        "log lines": span(found.oldest_line, found.newest_line),
        "last upkeep": full_time(found.last_upkeep, now) or "never",
    }
    tables = [
        [each.name, f"{each.rows:,}", "" if each.bytes is None else bytes_as_text(each.bytes)] for each in found.tables
    ]
    journal = [
        [each.stream, f"{each.segments:,}", bytes_as_text(each.bytes), bytes_as_text(each.unfolded_bytes)]
        for each in found.journal
    ]
    return [
        *(f"{dim(f'{name:<12}')} {value}" for name, value in facts.items()),
        "",
        *table(["TABLE", "ROWS", "SIZE"], tables),
        "",
        *table(["JOURNAL", "FILES", "SIZE", "NOT FOLDED"], journal),
    ]


@db.command("fold", examples=["surefoot db fold", "surefoot db fold --wait -o json"])
@click.option("--wait", is_flag=True, help="If another process is at it, wait until it has ended.")
@click.option("--quietly", is_flag=True, hidden=True, help="As a process that nobody waits for: slow, and silent.")
@output_option
def fold(wait: bool, quietly: bool, output: Output) -> None:
    """Take in all that was recorded, then delete what is too old (see the settings `retention.*`)."""
    if quietly:
        lower_priority()
    settings = here()
    ledger_url(settings)  # before anything is noted in the home
    home = Home(settings.home)
    if quietly:
        os.chdir(home.path)  # whatever folder it was started in can be removed
    with alone(home, wait=wait) as is_alone:
        if not is_alone:
            raise Refused(f"Another process folds {home.path}.", do="Wait for it: surefoot db fold --wait")
        done = upkeep(settings, _tell if sys.stderr.isatty() and not quietly else None)
    for trouble in done.troubles:
        note(trouble)
    if output == "table":
        say(_upkept_lines(done))
    else:
        write_object(done, output)


def _tell(folded: int, left: int) -> None:
    click.echo(f"\r{folded:,} facts taken in, about {left:,} are left \x1b[K", nl=False, err=True)


def _upkept_lines(done: Upkept) -> list[str]:
    deleted = (
        (done.flow_runs_deleted, "flow run"),
        (done.task_runs_deleted, "task run"),
        (done.logs_deleted, "log line"),
        (done.artifacts_deleted, "artifact"),
    )
    old = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in deleted if count)
    lines = [f"Took in {done.folded:,} facts."]
    if done.behind:
        lines.append(f"About {done.behind:,} could not be taken in.")
    lines.append(f"Deleted what was too old: {old}." if old else "Nothing was too old.")
    if done.bytes_freed:
        lines.append(f"Freed {bytes_as_text(done.bytes_freed)} of results and files kept aside.")
    return lines


@db.command("upgrade", examples=["surefoot db upgrade --dry-run", "surefoot db upgrade --yes -o json"])
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@yes_option
@output_option
def upgrade(dry_run: bool, yes: bool, output: Output) -> None:
    """Bring the ledger to this version, keeping a copy. The first command of a new version does so by itself."""
    settings = here()
    found = database.standing(settings)
    copy = str(found.copy) if found.is_old and found.copy else None
    done = Upgrade(path=ledger_name(settings), revision=found.revision, head=found.head, copy=copy)
    if found.is_old and not dry_run:
        kept = f"a copy is kept as {copy}" if copy else "no copy of the database is made"
        note(f"From revision {found.revision} to {found.head}; {kept}.")
        agree(f"Upgrade {done.path}?", yes)
        database.stats(settings)
        done = msgspec.structs.replace(done, upgraded=True)
    if output != "table":
        write_object(done, output)
    elif not found.is_old:
        say([f"{done.path}: nothing to upgrade, revision {found.revision or 'none yet'} of {found.head}."])
    else:
        verb = "Upgraded" if done.upgraded else "Would upgrade"
        say(
            [
                f"{verb} {done.path} from revision {found.revision} to {found.head}"
                + (f"; the copy: {copy}" if copy else "")
            ]
        )


@db.command("reset", examples=["surefoot db reset --yes", "surefoot db reset --yes -o json"])
@yes_option
@output_option
def reset(yes: bool, output: Output) -> None:
    """Empty the ledger, also one that is damaged. What journals still hold is then taken in again."""
    settings = here()
    path = ledger_name(settings)
    try:
        rows = {each.name: each.rows for each in database.stats(settings).tables}
        note(
            f"{path} holds {rows['flow_runs']:,} flow runs, {rows['task_runs']:,} task runs and "
            f"{rows['logs']:,} log lines. Only what is in a journal still will come back."
        )
        if rows["limits"] or rows["variables"]:
            note(
                f"Its limits ({rows['limits']:,}) and variables ({rows['variables']:,}) will not. "
                "A copy of variables: surefoot variable ls --limit 0 -o json"
            )
    except SurefootError as error:
        note(f"{error} What can no longer be read is put aside.")
    agree(f"Delete all that is in {path}?", yes)
    done = database.empty(settings)
    if output != "table":
        write_object(done, output)
        return
    say([f"{done.path} is empty.", *([f"What could not be read is kept in {done.kept_in}"] if done.kept_in else [])])


@db.command("vacuum", examples=["surefoot db vacuum", "surefoot db vacuum -o json"])
@output_option
def vacuum(output: Output) -> None:
    """Write the ledger anew, without gaps. Needs as much disk again, and lets nobody else write meanwhile."""
    settings = here()
    before, after = database.compact(settings)
    done = Compacted(path=ledger_name(settings), bytes_before=before, bytes=after)
    if output == "table":
        say([f"{done.path}: {bytes_as_text(before)} before, {bytes_as_text(after)} now."])
    else:
        write_object(done, output)
