"""`surefoot results`: what is kept for resuming and what is stored. May import: cli's parts, client, results, core."""

from __future__ import annotations

import os
import pprint
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import click
import msgspec

from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output, note, output_option, say, walk, write_array, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.sizes import bytes_as_text
from surefoot.cli.table import Cell, screen_width, table
from surefoot.cli.times import day_and_time
from surefoot.client.protocol import Client
from surefoot.core import settings
from surefoot.core.errors import MissingResult, Refused
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.os.files import write_bytes
from surefoot.core.states import is_final
from surefoot.core.wire import FlowRun, FlowRunFilter, RunResult
from surefoot.results import places
from surefoot.results.cleaning import KeptRun, gc, kept_runs, remove
from surefoot.results.loading import Loader
from surefoot.results.objects import read_record, remove_expired
from surefoot.results.packs import is_pack
from surefoot.results.persistence import default_storage

__all__ = ["KeptOfRun", "Removal", "Shown", "results"]

_LINES_MAX: Final = 60  # of a value that is shown
_CHARS_MAX: Final = 20_000
_PREVIEWED: Final = 10


class KeptOfRun(msgspec.Struct, frozen=True):
    """What is kept of one flow run for resuming."""

    flow_run_id: str
    flow_run_name: str | None  # None: its record is gone
    flow_name: str | None
    bytes: int
    packs: int
    used: datetime
    is_open: bool  # a living process may add to it


class Shown(RunResult, frozen=True, kw_only=True):
    """A result and what its value looks like."""

    type: str
    value: str  # its repr, cut to a page


class Removal(msgspec.Struct, frozen=True):
    """What was removed."""

    flow_runs: list[str]  # ids
    stored: list[str]  # paths of stored results
    freed_bytes: int


@click.group(cls=LazyGroup)
def results() -> None:
    """See, load and remove results of runs."""


@results.command("ls", examples=["surefoot results ls", "surefoot results ls brave-otter -o json"])
@click.argument("run", required=False)
@ls_options
def ls(run: str | None, limit: int, after: str | None, output: Output) -> None:
    """List the flow runs of which results are kept for resuming; with RUN, all results of that flow run."""
    now = now_here()
    with reading() as client:
        if run is not None:
            found = client.find_flow_run(run)
            print_list(
                lambda limit, after: client.results(found.id, limit=limit, after=after),
                Listing(limit, after, output),
                ["RUN", "NAME", "SIZE", "SERIALIZER", "ENDED", "PLACE"],
                lambda result: _row(result, now),
                nothing=lambda: f"No result of {found.name} is kept or stored.",
            )
            return
        kept = list(_named(client, list(reversed(kept_runs(settings.refresh().home)))[: limit or None]))
    if output != "table":
        write_array([kept], output)
    elif kept:
        say(table(["RUN", "FLOW", "SIZE", "LAST USED", ""], [_kept_row(it, now) for it in kept], width=screen_width()))
    else:
        note("No results are kept. They are as soon as a flow with tasks runs; stored ones: surefoot results ls RUN")


def _row(result: RunResult, now: datetime) -> list[str | Cell]:
    in_pack = is_pack(result.place)
    place = "kept for resuming" if in_pack else result.place
    path = os.path.join(settings.refresh().home, result.place) if in_pack else result.place
    if os.path.isabs(path) and not os.path.exists(path):  # what is elsewhere is not looked for, one by one
        place += ", not there any more"
    size, ended = bytes_as_text(result.length), day_and_time(result.end_time, now)
    return [result.run_name, result.name, size, result.serializer, ended, place]


def _kept_row(kept: KeptOfRun, now: datetime) -> list[str | Cell]:
    name = kept.flow_run_name or kept.flow_run_id
    is_open = "may grow" if kept.is_open else ""
    return [name, kept.flow_name or "", bytes_as_text(kept.bytes), day_and_time(kept.used, now), is_open]


def _named(client: Client, runs: Sequence[KeptRun]) -> Iterator[KeptOfRun]:
    found = _flow_runs(client, runs)
    for run in runs:
        record = found.get(run.flow_run_id)
        yield KeptOfRun(
            to_text(run.flow_run_id),
            record.name if record else None,
            record.flow_name if record else None,
            run.bytes,
            run.packs,
            datetime.fromtimestamp(run.used_us / 1e6, UTC),
            run.is_open,
        )


def _flow_runs(client: Client, runs: Sequence[KeptRun]) -> dict[bytes, FlowRun]:
    found: dict[bytes, FlowRun] = {}
    for start in range(0, len(runs), 500):
        ids = [to_text(run.flow_run_id) for run in runs[start : start + 500]]
        found |= {UUID(run.id).bytes: run for run in client.flow_runs(FlowRunFilter(id=ids), limit=500).results}
    return found


# --- show -------------------------------------------------------------------------------------------------------------


@results.command("show", examples=["surefoot results show upload-1", "surefoot results show upload-1 -o json"])
@click.argument("run")
@click.option("--save", metavar="FILE", help="Write the bytes as they were stored to this file; '-' is stdout.")
@output_option
def show(run: str, save: str | None, output: Output) -> None:
    """Show the value that a run returned.

    Loading it imports its classes, from this folder too; those that are not found are stood in for.
    """
    with reading() as client:
        found = client.find_result(run)
    if save is not None:
        _save(found, save)
        return
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with Loader(settings.refresh().home, stand_ins=True) as loader:  # a script's own classes have no home but it
        at = ResultAt(found.place, found.offset, found.length, found.serializer)
        value = loader.load(at, found.stored_by or found.run_id)
    text = _looks(value)
    if output == "table":
        say([text])
    else:
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        write_object(Shown(**fields, type=f"{type(value).__module__}.{type(value).__qualname__}", value=text), output)


def _save(found: RunResult, file: str) -> None:
    at = ResultAt(found.place, found.offset, found.length, found.serializer)
    with Loader(settings.refresh().home) as loader:
        raw = loader.raw(at, found.stored_by or found.run_id)
    if file == "-":
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
    else:
        write_bytes(os.path.abspath(file), raw, mode=0o644)
        note(f"{bytes_as_text(len(raw))}, written by the serializer {found.serializer!r}, saved in {file}")


def _looks(value: Any) -> str:
    try:
        text = (
            pprint.pformat(value, width=screen_width() or 120, sort_dicts=False) if _is_nested(value) else repr(value)
        )
    except Exception as error:  # a class of the user's own
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    lines = text[:_CHARS_MAX].splitlines()
    cut = len(text) > _CHARS_MAX or len(lines) > _LINES_MAX
    return "\n".join([*lines[:_LINES_MAX], *(["..."] if cut else [])])


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple, set)) and len(value) < 10_000


# --- rm and gc --------------------------------------------------------------------------------------------------------


@results.command(
    "rm", examples=["surefoot results rm brave-otter --yes", "surefoot results rm brave-otter --yes -o json"]
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def rm(runs: tuple[str, ...], yes: bool, output: Output) -> None:
    """Remove all results of flow runs: those kept for resuming, and those stored.

    Such a run cannot be resumed any more: on a retry all its tasks run again.
    """
    home = settings.refresh().home
    with reading() as client:
        found = list({run.id: run for run in map(client.find_flow_run, runs)}.values())
        for run in found:
            if not is_final(run.state_type):
                raise Refused(
                    f"The run {run.name!r} is {run.state_name}, and needs its results.",
                    do=f"Let it end first: surefoot flow-run watch {run.name}",
                )
        stored = [path for run in found for path in _stored_of(client, run)]
    ids = {UUID(run.id).bytes for run in found}
    kept = [run for run in kept_runs(home) if run.flow_run_id in ids]
    kept_bytes = sum(run.bytes for run in kept)
    for run in found:
        note(f"{run.name}   {run.state_name}   {run.id}")
    for path in stored[:_PREVIEWED]:
        note(f"  {path}")
    if len(stored) > _PREVIEWED:
        note(f"  and {len(stored) - _PREVIEWED:,} more stored results")
    agree(f"Remove {bytes_as_text(kept_bytes)} kept for resuming, and {_stored(len(stored))}?", yes)
    freed = sum(remove(home, run_id) for run_id in ids) + sum(map(_removed, stored))
    _told(Removal([run.id for run in found], stored, freed), output)


def _stored_of(client: Client, run: FlowRun) -> Iterator[str]:
    for page in walk(lambda limit, after: client.results(run.id, limit=limit, after=after)):
        for result in page.results:
            if not is_pack(result.place) and _is_still_its(result):
                yield result.place


def _is_still_its(result: RunResult) -> bool:
    try:
        return read_record(result.place).run_id == result.run_id
    except MissingResult:
        return False  # gone, or not ours: nothing to remove


def _removed(place: str) -> int:
    try:
        return places.remove(place) or 0
    except OSError as error:
        raise Refused(
            f"The stored result {place} could not be removed: {error.strerror}.",
            do="Look whether its storage answers, and lets you delete.",
        ) from error


@results.command("gc", examples=["surefoot results gc --yes", "surefoot results gc --max-age-days 7 --yes -o json"])
@click.option(
    "--max-age-days", type=click.FloatRange(min=0), help="Remove what is older; by default as the settings say."
)
@click.option(
    "--budget-bytes", type=click.IntRange(min=0), help="Keep at most so much; by default as the settings say."
)
@click.option(
    "--storage",
    multiple=True,
    metavar="PLACE",
    help="Folders or URLs in which stored results whose time is over are looked for; by default that of the settings.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def clean(
    max_age_days: float | None, budget_bytes: int | None, storage: tuple[str, ...], yes: bool, output: Output
) -> None:
    """Remove results that are too old or too many.

    Those kept for resuming that are too old, then the oldest of those that are too many; and stored results whose time
    (`result_ttl`) is over. Runs that go on are left alone, and so are stored results without such a time.
    """
    current = settings.refresh()
    age = current.results.max_age_days if max_age_days is None else max_age_days
    budget = current.results.budget_bytes if budget_bytes is None else budget_bytes
    with reading() as client:
        wanted = gc(current.home, max_age_days=age, budget_bytes=budget, dry=True).removed
        known = _flow_runs(client, wanted)
    spare = {run_id for run_id, run in known.items() if not is_final(run.state_type)}
    planned = gc(current.home, max_age_days=age, budget_bytes=budget, spare=spare, dry=True)
    if planned.removed:
        for run in planned.removed[:_PREVIEWED]:
            note(f"{known[run.flow_run_id].name if run.flow_run_id in known else run.flow_run_id.hex()}")
        if len(planned.removed) > _PREVIEWED:
            note(f"and {len(planned.removed) - _PREVIEWED:,} more")
        agree(f"Remove {bytes_as_text(planned.freed_bytes)} kept of {len(planned.removed):,} flow runs?", yes)
    where = [places.address_of(place) for place in storage] or [default_storage(current)]
    over, over_bytes = _expired(where, dry=True)
    if over:
        for path in over[:_PREVIEWED]:
            note(path)
        if len(over) > _PREVIEWED:
            note(f"and {len(over) - _PREVIEWED:,} more")
        agree(f"Remove {_stored(len(over))} whose time is over, {bytes_as_text(over_bytes)}?", yes)
    done = gc(current.home, max_age_days=age, budget_bytes=budget, spare=spare)
    gone, gone_bytes = _expired(where) if over else ([], 0)
    _told(Removal([to_text(run.flow_run_id) for run in done.removed], gone, done.freed_bytes + gone_bytes), output)


def _expired(storages: list[str], *, dry: bool = False) -> tuple[list[str], int]:
    removed: list[str] = []
    freed = 0
    for storage in storages:
        try:
            paths, size = remove_expired(storage, dry=dry)
        except OSError as error:
            raise Refused(
                f"{storage} could not be cleaned up: {error.strerror}.",
                do="Look whether it answers, and lets you list and delete.",
            ) from error
        removed += paths
        freed += size
    return removed, freed


def _stored(count: int) -> str:
    return f"{count:,} stored result{'' if count == 1 else 's'}"


def _told(removal: Removal, output: Output) -> None:
    if output != "table":
        write_object(removal, output)
    else:
        count = len(removal.flow_runs)
        stored = f", {_stored(len(removal.stored))}" if removal.stored else ""
        say([f"Removed {bytes_as_text(removal.freed_bytes)} of {count:,} flow run{'' if count == 1 else 's'}{stored}."])
