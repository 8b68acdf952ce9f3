"""Neighbours: other homes that share the ledger. Where the process of a run writes, and what was kept of it lies, if
that is not this home.

May import: ledger, results, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from surefoot.core.errors import Refused
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.os.host import boot_id, host_name, open_file_of
from surefoot.core.ports import Retryable
from surefoot.core.states import COMPLETED
from surefoot.journal.home import Home
from surefoot.journal.pulse import PULSE
from surefoot.ledger import queries
from surefoot.ledger.fold_writers import load_writers
from surefoot.results.packs import is_pack, writer_of_pack

__all__ = ["home_of_writer", "refuse_results_elsewhere"]


def home_of_writer(tx: Any, home: Home, home_id: bytes | None, writer_id: bytes, run_id: bytes) -> Home:
    """The home in which the writer of a run writes: this one, or one that its living process on this machine names.

    Raises Refused if that is another one which is not to be found from here.
    """
    row = load_writers(tx, [writer_id]).get(writer_id)
    if home_id is None or row is None or row["home_id"] in (None, home_id):
        return home
    pid, host = row["pid"], row["host"]
    if pid is not None and row["boot_id"] and row["boot_id"] == boot_id():
        # It holds its pulse open as long as it lives.
        pulse = open_file_of(pid, os.sep + os.path.join("writers", writer_id.hex(), PULSE))
        if pulse is not None:
            found = Home(os.path.dirname(os.path.dirname(os.path.dirname(pulse))))
            if os.path.isdir(found.path) and found.id() == row["home_id"]:
                return found
    raise Refused(
        f"The run works in process {pid or 'unknown'} on {host or 'another machine'}, in another home of this ledger, "
        "which cannot be reached from here.",
        do=f"Type it there, with that home's settings: surefoot flow-run cancel {to_text(run_id)}",
    )


def refuse_results_elsewhere(tx: Any, home: Home, home_id: bytes, retryable: Retryable) -> None:
    """Raise Refused if what completed in a run would be done again here, only because it is kept in another home.

    Args:
        tx: of the ledger that the homes share.
        home: this home.
        home_id: its id.
        retryable: the run, and what in it is to be called again anyway.
    """

    @cache
    def is_missing(place: str) -> bool:
        return is_pack(place) and not os.path.isfile(os.path.join(home.path, *place.split("/")))

    missing = [at.place for at in _wanted(tx, retryable, is_missing)]
    by = {place: writer_of_pack(place) for place in set(missing)}
    rows = load_writers(tx, [writer for writer in by.values() if writer is not None])
    elsewhere = {writer: row for writer, row in rows.items() if row["home_id"] not in (None, home_id)}
    count = sum(by[place] in elsewhere for place in missing)
    if not count:
        return  # none is missing, or it was removed from this home: what made it is called again, and says so
    row = max(elsewhere.values(), key=lambda row: row["heard_us"])
    host = row["host"] or "another machine"
    where = f"this machine ({host})" if host == host_name() else host
    folder = f", started in {retryable.start.cwd}" if retryable.start is not None and retryable.start.cwd else ""
    told = "1 result" if count == 1 else f"{count:,} results"
    run_id = to_text(retryable.run.run_id)
    raise Refused(
        f"Flow run {retryable.run.name!r} was made in another home of this ledger, by process "
        f"{row['pid'] or 'unknown'} on {where}{folder}; {told} kept for resuming {'lies' if count == 1 else 'lie'} "
        "there, out of reach from here.",
        do=f"Type it there, with that home's settings: surefoot flow-run retry {run_id}; or have what made them called "
        "again here: add --anew (in Python: anew=True).",
    )


def _wanted(tx: Any, retryable: Retryable, is_missing: Callable[[str], bool]) -> Iterator[ResultAt]:
    """Where the values are that the run would take over, of those that are missing."""
    if retryable.parameters_at is not None and is_missing(retryable.parameters_at.place):
        yield retryable.parameters_at
    left = [retryable.run.run_id]
    while left:
        runs = queries.earlier_runs_of(tx, left.pop()).values()
        done = {
            run.run_id
            for run in runs
            if run.state_type is COMPLETED
            and run.result is not None
            and run.run_id not in retryable.again
            and not is_missing(run.result.place)
        }
        for run in runs:
            if run.run_id in done or run.parent_id in done:
                continue  # it is taken over, and nothing within it is asked for
            if run.state_type is COMPLETED and run.result is not None and run.run_id not in retryable.again:
                yield run.result
            elif not run.is_task:
                left.append(run.run_id)
