"""`surefoot home`: what lies where in the home and how large it is; and its removal.

May import: cli's parts, client, core.
"""

from __future__ import annotations

import click

from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import here
from surefoot.cli.runs import yes_option
from surefoot.cli.sizes import bytes_as_text
from surefoot.cli.table import dim, table
from surefoot.client.survey import HomeSurvey, remove_home, survey, writing
from surefoot.core.errors import NotFound, Refused

__all__ = ["home"]


@click.group(cls=LazyGroup, invoke_without_command=True)
@output_option
@click.pass_context
def home(ctx: click.Context, output: Output) -> None:
    """See what lies in the home, and how large it is."""
    if ctx.invoked_subcommand is not None:
        return
    found = survey(here().home)
    if output == "table":
        say(_page(found))
    else:
        write_object(found, output)


def _page(found: HomeSurvey) -> list[str]:
    rows = [[part.name, f"{part.files:,}", bytes_as_text(part.bytes), part.about, part.path] for part in found.parts]
    return [
        f"{dim('home   ')} {found.path}",
        f"{dim('size   ')} {bytes_as_text(found.bytes)}",
        f"{dim('writers')} {found.writers_living:,} living, {found.writers_dead:,} that ended and are not folded",
        *(["", *table(["PART", "FILES", "SIZE", "WHAT", "WHERE"], rows)] if rows else []),
    ]


@home.command("remove", examples=["surefoot home remove --yes", "surefoot home remove --yes -o json"])
@yes_option
@output_option
def remove(yes: bool, output: Output) -> None:
    """Remove the home: journal, ledger, results, settings. Shows what, and asks first."""
    found = survey(here().home)
    if not found.parts:
        raise NotFound(f"There is no Surefoot home in {found.path}.", do="See where it is: surefoot home")
    if found.writers_living:
        raise Refused(f"{writing(found.writers_living)} in {found.path}.", do="Wait until that has ended, or end it.")
    for line in _page(found):
        note(line)
    agree(f"Remove all that is Surefoot's in {found.path}, for good?", yes)
    done = remove_home(found.path)
    if output != "table":
        write_object(done, output)
        return
    stays = [f"These are not Surefoot's, and stay: {', '.join(done.left)}"] if done.left else []
    say([f"Removed {done.path}: {bytes_as_text(done.bytes)}.", *stays])
