"""Upkeep of a home: folding it to the end, retention, cleaning up. One process at a time, and never in others' way.

What makes others wait is done in pieces of at most a fifth of a second, with a rest after each. May import: ledger,
results, journal, core.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import msgspec

from surefoot.client.folding import ASIDE, take_in
from surefoot.client.ledgers import ledger_of
from surefoot.client.limits import LimitsHere
from surefoot.core.clock import get_clock
from surefoot.core.ids import to_text
from surefoot.core.os.locks import lock_at_once
from surefoot.core.settings import Settings, ledger_url
from surefoot.core.states import is_final
from surefoot.core.wire import FlowRunFilter
from surefoot.journal import reading
from surefoot.journal.backlog import UPKEEP, note_upkeep
from surefoot.journal.home import Home
from surefoot.ledger import Cutoffs, Ledger, queries
from surefoot.results import cleaning, contents, places

__all__ = ["Upkept", "alone", "aside_files", "open_ledger", "upkeep"]

_PIECE_S: Final = 0.2
_PIECE_S_MAX: Final = 10.0
_REST_S: Final = 0.05  # longer than a reader's look at whether it is its turn
_LOCK_POLL_S: Final = 0.1
_RUNS_MAX: Final = 500  # flow runs in one query
_DAY_US: Final = 86_400_000_000
_ID: Final = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\.)"
)  # an artifact's, at the start of its file's name


class Upkept(msgspec.Struct, frozen=True, kw_only=True):
    """What an upkeep did."""

    folded: int  # facts
    behind: int = 0  # facts that could not be taken in
    flow_runs_deleted: int = 0  # because of their age, as the next three
    task_runs_deleted: int = 0
    logs_deleted: int = 0
    artifacts_deleted: int = 0
    results_removed: int = 0  # flow runs whose results, kept for resuming, were too old or too many
    files_removed: int = 0  # damaged pieces and old copies that were kept aside
    bytes_freed: int = 0  # by removing files
    troubles: list[str] = []


Progress = Callable[[int, int], None]  # facts folded, and about how many are left


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the home that the settings name, made or upgraded if need be."""
    url = ledger_url(settings)
    home = Home(settings.home)
    home.ensure()
    return ledger_of(home, url, busy_s=settings.ledger.busy_timeout_seconds)


@contextmanager
def alone(home: Home, *, wait: bool) -> Iterator[bool]:
    """Whether this process is the only one that sees to the home now; with `wait`, after the other has ended."""
    home.ensure()
    fd = os.open(os.path.join(home.path, UPKEEP), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not lock_at_once(fd):
            if not wait:
                yield False
                return
            get_clock().sleep(_LOCK_POLL_S)
        note_upkeep(home)
        yield True
    finally:
        os.close(fd)


def upkeep(settings: Settings, tell: Progress | None = None) -> Upkept:
    """Fold all that is there, then delete and remove what is too old. To be called by whoever is `alone`.

    Args:
        settings: which home, and the ages.
        tell: is told how far folding is.
    """
    home = Home(settings.home)
    with open_ledger(settings) as ledger:
        folded, behind, troubles = _fold(home, ledger, tell)
        there = [folder.writer_id for folder in reading.writers(home)]
        gone = ledger.retain(_cutoffs(settings), there)
        freed = sum(_remove_results(home, run_id) for run_id in gone.flow_runs)
        freed += sum(_remove_data(place) for place in gone.places)
        if not behind and not troubles:  # else some artifacts may not be known yet
            freed += _remove_left(home, ledger)
        cleaned = _clean_results(home, ledger, settings)
        LimitsHere(home, ledger).tidy()
    files, freed_aside = _remove_old(home, settings.retention.aside_days)
    return Upkept(
        folded=folded,
        behind=behind,
        flow_runs_deleted=gone.removed.flow_runs,
        task_runs_deleted=gone.removed.task_runs,
        logs_deleted=gone.removed.logs,
        artifacts_deleted=gone.removed.artifacts,
        results_removed=0 if cleaned is None else len(cleaned.removed),
        files_removed=files,
        bytes_freed=freed + (0 if cleaned is None else cleaned.freed_bytes) + freed_aside,
        troubles=troubles,
    )


def _fold(home: Home, ledger: Ledger, tell: Progress | None) -> tuple[int, int, list[str]]:
    folded, piece_s = 0, _PIECE_S
    troubles: dict[str, None] = {}
    while True:
        taken = take_in(home, ledger, piece_s, may_count=False)
        folded += taken.folded
        troubles |= dict.fromkeys(taken.troubles)
        if not taken.behind:
            return folded, 0, list(troubles)
        if tell is not None:
            tell(folded, taken.behind)
        if not taken.folded:  # looking through very many folders took all the time, or others are at it
            if piece_s > _PIECE_S_MAX:
                return folded, taken.behind, list(troubles)
            piece_s *= 2
        get_clock().sleep(_REST_S)


def _remove_results(home: Home, flow_run_id: bytes) -> int:
    try:
        return cleaning.remove(home.path, flow_run_id)
    except OSError:
        return 0  # `cleaning.gc` comes across it again


def _remove_data(place: str) -> int:
    """Remove the data of an artifact that is no more."""
    try:
        return contents.remove(place) or 0
    except OSError:
        return 0  # its storage does not answer, or this machine has no part in it: the file stays


def _remove_left(home: Home, ledger: Ledger) -> int:
    """Remove data that processes left which died before they had told of the artifact, or had removed all of it.

    In the home's own storage alone: what lies elsewhere may be another home's.
    """
    folder = os.path.join(home.path, "storage", contents.ARTIFACTS)
    before_us = get_clock().now_us() - _DAY_US
    left = {name: UUID(match[0]).bytes for name in _names(folder) if (match := _ID.match(name))}
    with ledger.read() as connection:
        known = queries.artifacts_among(connection, list(set(left.values())))
    freed = 0
    for name, artifact_id in left.items():
        path = os.path.join(folder, name)
        try:
            if os.stat(path).st_mtime_ns // 1000 < before_us and (artifact_id not in known or name.endswith(".tmp")):
                freed += places.remove(path) or 0
        except OSError:
            continue  # removed meanwhile
    return freed


def _clean_results(home: Home, ledger: Ledger, settings: Settings) -> cleaning.Cleaned | None:
    """Remove results that are too old or too many, but for those of runs that go on. None if a file withstands."""
    age, budget = settings.results.max_age_days, settings.results.budget_bytes
    wanted = cleaning.gc(home.path, max_age_days=age, budget_bytes=budget, dry=True).removed
    spare: set[bytes] = set()
    with ledger.read() as connection:
        for low in range(0, len(wanted), _RUNS_MAX):
            ids = [to_text(run.flow_run_id) for run in wanted[low : low + _RUNS_MAX]]
            found = queries.list_flow_runs(connection, FlowRunFilter(id=ids), limit=_RUNS_MAX).results
            spare |= {UUID(run.id).bytes for run in found if not is_final(run.state_type)}
    try:
        return cleaning.gc(home.path, max_age_days=age, budget_bytes=budget, spare=spare)
    except OSError:
        return None  # `surefoot results gc` says which


def _cutoffs(settings: Settings) -> Cutoffs:
    now_us, ages = get_clock().now_us(), settings.retention

    def before(days: float | None) -> int:
        return 0 if days is None else max(1, now_us - round(days * _DAY_US))

    return Cutoffs(before(ages.runs_days), before(ages.logs_days), now_us - _DAY_US)


def _remove_old(home: Home, days: float | None) -> tuple[int, int]:
    """Remove what was kept aside: damaged pieces, and copies of the ledger from before it was upgraded."""
    if days is None:
        return 0, 0
    before_us = get_clock().now_us() - round(days * _DAY_US)
    files = freed = 0
    for path in aside_files(home):
        try:
            found = os.stat(path)
            if found.st_mtime_ns // 1000 >= before_us:
                continue
            os.unlink(path)
        except OSError:
            continue  # removed by hand, or not to be removed: it stands in `surefoot home`
        files += 1
        freed += found.st_size
    return files, freed


def aside_files(home: Home) -> list[str]:
    """The files that are kept though nothing needs them any more."""
    ledger = os.path.basename(home.ledger_path)
    folder = os.path.join(home.path, ASIDE)
    pieces = [os.path.join(folder, name) for name in _names(folder)]
    return pieces + [
        os.path.join(home.path, name) for name in _names(home.path) if name.startswith(f"{ledger}.before-")
    ]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
