"""`surefoot notify`: whether messages about failures arrive, and what of them waits.

May import: cli's parts, notify, core.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_array
from surefoot.cli.reading import here, now_here
from surefoot.cli.table import Cell, screen_width, table
from surefoot.cli.times import day_and_time, duration
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, NotFound
from surefoot.core.ids import new_id
from surefoot.core.os.host import host_name
from surefoot.core.targets import BadTarget, parse_target, shown
from surefoot.notify.notices import Notice, rules_of
from surefoot.notify.outbox import Entry
from surefoot.notify.postman import Attempt, Postman, deliver

__all__ = ["Attempted", "Waiting", "notify"]


class Attempted(msgspec.Struct, frozen=True):
    """What became of a message to one target. `answer` is the target's; `error` tells why it did not go."""

    target: str
    subject: str
    sent: bool
    took_seconds: float
    answer: str = ""
    error: str = ""


class Waiting(msgspec.Struct, frozen=True):
    """A message that was not sent yet: `gathering` ones wait for more of the same, to go together."""

    id: str
    status: Literal["waiting", "gathering", "given up"]
    event: str
    flow: str
    runs: int
    targets: list[str]
    since: datetime | None
    attempts: int
    next_attempt: datetime | None
    why: str


@click.group(cls=LazyGroup)
def notify() -> None:
    """See whether messages about failures arrive, and what waits."""


@notify.command("test", examples=["surefoot notify test", "surefoot notify test --url https://example.com/hook"])
@click.option("--url", "urls", metavar="URL", multiple=True, help="Send to this target. May be repeated.")
@output_option
@click.pass_context
def test(ctx: click.Context, urls: tuple[str, ...], output: Output) -> None:
    """Send a test message to all targets of the settings, or to those given."""
    settings = here()
    wanted = list(urls) or rules_of(settings).everyone()
    for url in wanted:
        try:
            parse_target(url)
        except BadTarget as error:
            raise BadInput(f"The URL {error.what}.", do=error.do) from None
    if not wanted:
        raise BadInput(
            "The settings name nobody to be told.",
            do='Write in surefoot.toml: [notify] on_failure = ["smtp://MAIL-SERVER?to=ADDRESS"], or pass --url.',
        )
    notice = Notice(
        id=f"test-{new_id().hex()}", event="test", flow="", at_us=get_clock().now_us(), host=host_name() or ""
    )
    attempts = deliver(notice, wanted, settings.notify.timeout_seconds)
    _print([_attempted(attempt, "a test message") for attempt in attempts], output)
    if not all(attempt.answer for attempt in attempts):
        ctx.exit(Exit.UNAVAILABLE)


@notify.command("ls", examples=["surefoot notify ls", "surefoot notify ls -o json"])
@output_option
def ls(output: Output) -> None:
    """List the messages that wait to be sent, with what stands in the way."""
    settings = here()
    postman = Postman(settings.home)
    found = [_waiting(entry, settings.notify.timeout_seconds) for entry in postman.outbox.entries()]
    for flow, event, burst in postman.bursts.waiting():
        due = _instant(burst.until_us)
        targets = _targets(burst.urls)
        why = "more of the same may come; they go together"
        found.append(Waiting("", "gathering", event, flow, burst.count, targets, None, 0, due, why))
    if output != "table":
        write_array([found], output)
    elif found:
        now = now_here()
        say(
            table(
                ["ID", "STATUS", "FLOW", "EVENT", "TO", "SINCE", "TRIED", "NEXT", "WHY"],
                [_row(each, now) for each in found],
                width=screen_width(),
            )
        )
    else:
        note("No message waits. To see whether one would arrive: surefoot notify test")


def _row(found: Waiting, now: datetime) -> list[str | Cell]:
    what = found.event if found.runs == 1 else f"{found.event} x {found.runs:,}"
    when = [day_and_time(found.since, now), f"{found.attempts:,}", day_and_time(found.next_attempt, now)]
    return [_short(found.id), found.status, found.flow, what, ", ".join(found.targets), *when, found.why]


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:8]}…{name[-6:]}"


def _waiting(entry: Entry, timeout_s: float) -> Waiting:
    next_us = entry.next_try_us(timeout_s)
    return Waiting(
        entry.name,
        "given up" if entry.is_given_up else "waiting",
        entry.notice.event,
        entry.notice.flow,
        entry.notice.count,
        _targets(entry.urls),
        _instant(entry.made_us),
        entry.attempts,
        None if entry.is_given_up else _instant(next_us),
        entry.error or "it was not tried yet",
    )


def _targets(urls: list[str]) -> list[str]:
    return [shown(url) for url in urls]


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


@notify.command("send", examples=["surefoot notify send", "surefoot notify send -o json"])
@output_option
@click.pass_context
def send(ctx: click.Context, output: Output) -> None:
    """Try now to send all that waits."""
    settings = here()
    postman = Postman(settings.home, settings.notify.timeout_seconds, settings.notify.burst_seconds)
    postman.urls = rules_of(settings).everyone()
    done: list[Attempted] = []
    postman.bursts.collect(postman.burst_s, is_late=True)
    names = [entry.name for entry in postman.outbox.entries() if not entry.is_given_up]
    postman.round(lambda entry, attempt: done.append(_attempted(attempt, entry.notice.flow)), names=names)
    _print(done, output)
    if not all(attempt.sent for attempt in done):
        ctx.exit(Exit.UNAVAILABLE)


@notify.command("rm", examples=["surefoot notify rm --all", "surefoot notify rm --all -o json"])
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@output_option
def rm(ids: tuple[str, ...], is_all: bool, output: Output) -> None:
    """Drop messages that wait, unsent."""
    settings = here()
    postman = Postman(settings.home)
    entries = postman.outbox.entries()
    chosen = entries if is_all else [entry for one in ids for entry in _find(entries, one)]
    if not ids and not is_all:
        raise BadInput("No message was named.", do="Name them, as `surefoot notify ls` does, or type --all.")
    removed = [_waiting(entry, 0) for entry in chosen if postman.outbox.remove(entry.name)]
    if output == "table":
        say([f"Dropped {len(removed):,} {'message' if len(removed) == 1 else 'messages'}."])
    else:
        write_array([removed], output)


def _find(entries: list[Entry], wanted: str) -> list[Entry]:
    begin, _, end = wanted.partition("…")
    found = [entry for entry in entries if entry.name.startswith(begin) and entry.name.endswith(end)]
    if not found:
        raise NotFound(f"No message goes by {wanted!r}.", do="See what waits: surefoot notify ls")
    return found


def _attempted(attempt: Attempt, subject: str) -> Attempted:
    target = shown(attempt.url)
    error = attempt.error.removeprefix(f"{target}: ")
    return Attempted(target, subject, bool(attempt.answer), round(attempt.took_s, 3), attempt.answer, error)


def _print(done: list[Attempted], output: Output) -> None:
    if output != "table":
        write_array([done], output)
        return
    if not done:
        note("No message waits.")
        return
    rows: list[list[str | Cell]] = [
        [
            each.target,
            each.subject,
            Cell("sent", "green") if each.sent else Cell("not sent", "red"),
            duration(each.took_seconds),
            each.answer or each.error,
        ]
        for each in done
    ]
    say(table(["TO", "ABOUT", "", "TOOK", "ANSWER"], rows, width=screen_width()))
