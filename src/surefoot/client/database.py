"""Care of a home's ledger: how it stands, writing it anew, emptying it. May import: ledger, journal, core."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import msgspec

from surefoot.client.folding import ASIDE, fold_no_more
from surefoot.client.ledgers import ledger_name, ledger_place
from surefoot.client.upkeep import open_ledger
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, LedgerBusy, LedgerTooNew, Unavailable
from surefoot.core.settings import Settings, ledger_url
from surefoot.journal import reading
from surefoot.journal.backlog import upkeep_us
from surefoot.journal.home import Home
from surefoot.ledger import Ledger, Standing

__all__ = ["DbStats", "Emptied", "JournalSize", "TableSize", "compact", "empty", "standing", "stats"]


class TableSize(msgspec.Struct, frozen=True):
    """One table."""

    name: str
    rows: int
    bytes: int | None  # with its indexes; null where the database cannot tell


class JournalSize(msgspec.Struct, frozen=True):
    """What lies in the journal of one stream, folded or not."""

    stream: str
    segments: int
    bytes: int
    unfolded_bytes: int


class DbStats(msgspec.Struct, frozen=True, kw_only=True):
    """How much a ledger holds, and what waits to be folded."""

    path: str
    revision: str
    bytes: int
    free_bytes: int
    tables: list[TableSize]
    oldest_run: datetime | None = None  # by its end
    newest_run: datetime | None = None
    oldest_line: datetime | None = None
    newest_line: datetime | None = None
    journal: list[JournalSize] = []
    last_upkeep: datetime | None = None


class Emptied(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a ledger that was to be emptied."""

    path: str
    kept_in: str | None = None  # where the file is that could not be read any more


def stats(settings: Settings) -> DbStats:
    """Count all that is in the ledger, and measure the journal."""
    home = Home(settings.home)
    with open_ledger(settings) as ledger:
        found = ledger.contents()
        journal = _journal_sizes(home, ledger)
    return DbStats(
        path=ledger_name(settings),
        revision=found.revision,
        bytes=found.bytes,
        free_bytes=found.free_bytes,
        tables=[TableSize(name, rows, found.table_bytes.get(name)) for name, rows in found.rows.items()],
        oldest_run=_instant(found.oldest_run_us),
        newest_run=_instant(found.newest_run_us),
        oldest_line=_instant(found.oldest_line_us),
        newest_line=_instant(found.newest_line_us),
        journal=journal,
        last_upkeep=_instant(upkeep_us(home)),
    )


def _journal_sizes(home: Home, ledger: Ledger) -> list[JournalSize]:
    sums = {"runs": [0, 0, 0], "logs": [0, 0, 0]}
    for folder in reading.writers(home):
        at = ledger.positions(folder.writer_id)
        for segment in folder.segments():
            try:
                size = os.path.getsize(segment.path)
            except OSError:
                continue  # folded and removed meanwhile
            sums[segment.stream][0] += 1
            sums[segment.stream][1] += size
            sums[segment.stream][2] += max(0, size - at.get((segment.stream, segment.number), 0))
    return [JournalSize(stream, *numbers) for stream, numbers in sums.items()]


def _instant(us: int | None) -> datetime | None:
    return None if us is None else datetime.fromtimestamp(us / 1e6, UTC)


def standing(settings: Settings) -> Standing:
    """At which revision the ledger is; nothing is changed."""
    return Ledger.standing(ledger_place(settings))


def compact(settings: Settings) -> tuple[int, int]:
    """Write the ledger anew, without gaps. How many bytes it had, and how many it has."""
    with open_ledger(settings) as ledger:
        before = ledger.contents().bytes
        ledger.compact()
        return before, ledger.contents().bytes


def empty(settings: Settings) -> Emptied:
    """Delete all that is in the ledger; what the journals still hold is folded again by the next reader.

    A file that is no ledger any more is put aside, and a new one made. Raises LedgerBusy if others fold or write on.
    """
    url = ledger_url(settings)
    home = Home(settings.home)
    home.ensure()
    wait_s = settings.ledger.busy_timeout_seconds
    # Whoever folds has read how far it got, and removes what it read: that must not be half before, half after this.
    with fold_no_more(home, wait_s) as is_alone:
        if not is_alone:
            raise LedgerBusy(f"The journal of {home.path} is being folded by another process.", do="Try again.")
        try:
            with open_ledger(settings) as ledger:
                ledger.empty()
                ledger.compact()
        except (LedgerBusy, LedgerTooNew):
            raise
        except (BadInput, Unavailable):
            if url is not None:
                raise
            kept = _put_aside(home)
            open_ledger(settings).close()
            return Emptied(path=home.ledger_path, kept_in=kept)
    return Emptied(path=ledger_name(settings))


def _put_aside(home: Home) -> str:
    folder = os.path.join(home.path, ASIDE)
    os.makedirs(folder, 0o700, exist_ok=True)
    name = f"{os.path.basename(home.ledger_path)}.{get_clock().now_us()}"
    for ending in ("-wal", "-shm", ""):  # the log first: beside the new file it would be taken for its own
        try:
            kept = os.path.join(folder, name + ending)
            os.replace(home.ledger_path + ending, kept)
            os.utime(kept)  # for so long it is kept from now on
        except FileNotFoundError:
            continue
    return os.path.join(folder, name)
