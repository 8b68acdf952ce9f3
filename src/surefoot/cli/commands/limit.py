"""`surefoot limit`: limits on how much goes on at once, and how often. May import: cli's parts, client, core."""

from __future__ import annotations

from datetime import datetime

import click

from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output, note, output_option, say, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.table import Cell
from surefoot.cli.times import duration
from surefoot.core.errors import BadInput, SurefootError
from surefoot.core.limits import SLOTS_MAX, Rate, checked_name, decay_us, rate_of
from surefoot.core.wire import Limit, LimitPlace

__all__ = ["delete_limit", "limit", "list_limits", "names", "set_limit", "slots_or_rate"]


@click.group(cls=LazyGroup)
def limit() -> None:
    """Limit how much goes on at once, or how often."""


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of limits, for a shell that completes."""
    try:
        with reading() as client:
            return [each.name for each in client.limits(limit=1000).results if each.name.startswith(incomplete)]
    except SurefootError:  # a shell that completes has no place for it; the command will say it
        return []


@limit.command("ls", examples=["surefoot limit ls", "surefoot limit ls -o json"])
@ls_options
def ls(limit: int, after: str | None, output: Output) -> None:
    """List limits, how much of each is used, and how many wait."""
    list_limits(Listing(limit, after, output))


def list_limits(listing: Listing) -> None:
    """Print limits."""
    with reading() as client:
        print_list(
            lambda limit, after: client.limits(limit=limit, after=after),
            listing,
            ["NAME", "LIMIT", "USED", "WAITING", ""],
            _row,
            nothing=lambda: "There are no limits. Make one: surefoot limit set database 3",
        )


def _row(each: Limit) -> list[str | Cell]:
    remarks = []
    if not each.active:
        remarks.append("off")
    if each.over_limit:
        remarks.append(f"{each.over_limit} over the limit: a holder that was taken for dead came back")
    if each.in_code:
        remarks.append("from code")
    used = "" if each.rate else f"{each.active_slots}"
    return [each.name, each.rate or f"{each.limit}", used, f"{each.waiters or ''}", ", ".join(remarks)]


@limit.command(
    "set",
    examples=[
        "surefoot limit set database 3",
        "surefoot limit set api 60/minute",
        "surefoot limit set tag:gpu 1",
        "surefoot limit set database --off",
    ],
)
@click.argument("name", shell_complete=names)
@click.argument("slots", required=False, metavar="[SLOTS|RATE]")
@click.option(
    "--slot-decay-per-second",
    type=float,
    metavar="NUMBER",
    help="SLOTS at once, and so many more in each second: a limit on how often.",
)
@click.option("--on/--off", "active", default=None, help="Whether it limits anything.")
@output_option
def set_(
    name: str, slots: str | None, slot_decay_per_second: float | None, active: bool | None, output: Output
) -> None:
    """Make a limit, or change it: so many SLOTS at once, or a RATE such as 60/minute.

    A limit named tag:NAME holds for all tasks with that tag.
    """
    if slots is None and active is None:
        raise BadInput(f"How many slots the limit {name!r} is to have was not said.", do=f"surefoot limit set {name} 3")
    set_limit(name, slots, slot_decay_per_second, active, output)


def set_limit(
    name: str,
    slots: str | None,
    decay: float | None,
    active: bool | None,
    output: Output,
    *,
    keeps_rate: bool = False,
) -> None:
    """Set a limit, and say so."""
    checked_name(name)
    count, interval_us = (None, None) if slots is None else slots_or_rate(slots, decay)
    with reading() as client:
        after = client.set_limit(name, count, interval_us=interval_us, active=active, keeps_rate=keeps_rate)
    if output != "table":
        write_object(after, output)
        return
    what = after.rate or f"{after.limit} at once"
    say([f"Limit {after.name!r}: {what}{'' if after.active else ', off'}."])
    if after.active_slots > after.limit and after.active:
        note(f"{after.active_slots} are held now: nobody gets more until fewer are.")


def slots_or_rate(text: str, decay: float | None) -> tuple[int, int | None]:
    """How many slots, and of a rate the microseconds after which there is one more.

    >>> slots_or_rate("3", None), slots_or_rate("60/minute", None), slots_or_rate("10", 0.5)
    ((3, None), (60, 1000000), (10, 2000000))
    """
    rate = rate_of(text)
    if rate is None:
        try:
            count = int(text)
        except ValueError:
            raise BadInput(f"{text!r} is neither a number nor a rate.", do="Type 3, or 60/minute.") from None
        if count > SLOTS_MAX:
            raise BadInput(f"A limit of {count} is too high.", do=f"Type a number up to {SLOTS_MAX}.")
        if count <= 0:
            raise BadInput(
                f"A limit of {count} is none.", do="Type a number above 0; to stop all, pause what starts them."
            )
        if decay is None:
            return count, None
        rate = Rate(count, decay_us(decay, "--slot-decay-per-second"))
    elif decay is not None:
        raise BadInput(f"{text} is a rate already.", do="Leave --slot-decay-per-second out.")
    return rate.slots, rate.interval_us


@limit.command("delete", examples=["surefoot limit delete database", "surefoot limit delete api --yes"])
@click.argument("name", shell_complete=names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a limit. Whoever waits for it goes on."""
    delete_limit(name, yes)


def delete_limit(name: str, yes: bool) -> None:
    """Delete a limit, and say so; ask first if it is in use."""
    with reading() as client:
        found = client.find_limit(name)
        if found.waiters:
            agree(f"{found.waiters} wait for {name!r}, and would all go on at once. Delete it?", yes)
        client.delete_limit(name)
    say([f"Deleted limit {name!r}."])


@limit.command("holders", examples=["surefoot limit holders database", "surefoot limit holders api -o json"])
@click.argument("name", shell_complete=names)
@ls_options
def holders(name: str, limit: int, after: str | None, output: Output) -> None:
    """List who holds slots of a limit, and since when."""
    now = now_here()
    with reading() as client:
        print_list(
            lambda limit, after: client.limit_places(name, limit=limit, after=after),
            Listing(limit, after, output),
            ["HOLDER", "KEY", "SLOTS", "SINCE", "RUN", ""],
            lambda place: _holder(place, now),
            nothing=lambda: f"Nobody holds a slot of {name!r}.",
        )


def _holder(place: LimitPlace, now: datetime) -> list[str | Cell]:
    remark = "not heard of in time, so it does not count" if place.state == "lost" else ""
    return [place.holder, place.key or "", f"{place.slots}", _ago(place.granted, now), place.run_id or "", remark]


@limit.command("waiters", examples=["surefoot limit waiters database", "surefoot limit waiters api -o json"])
@click.argument("name", shell_complete=names)
@ls_options
def waiters(name: str, limit: int, after: str | None, output: Output) -> None:
    """List who waits for a limit, the next first."""
    now = now_here()
    with reading() as client:
        print_list(
            lambda limit, after: client.limit_places(name, waiting=True, limit=limit, after=after),
            Listing(limit, after, output),
            ["PLACE", "WAITS", "KEY", "SLOTS", "PRIORITY", "SINCE", "RUN"],
            lambda place: _waiter(place, now),
            nothing=lambda: f"Nobody waits for {name!r}.",
        )


def _waiter(place: LimitPlace, now: datetime) -> list[str | Cell]:
    rank = "" if place.priority == 0 else "inner block" if place.priority > SLOTS_MAX else f"{place.priority}"
    where = f"{place.place}"
    return [where, place.holder, place.key or "", f"{place.slots}", rank, _ago(place.asked, now), place.run_id or ""]


def _ago(since: datetime | None, now: datetime) -> str:
    return "" if since is None else f"{duration(max((now - since).total_seconds(), 0))} ago"
