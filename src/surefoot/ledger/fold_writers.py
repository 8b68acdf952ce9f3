"""Folding what is known of writers: who they are, when they were last heard, and how they ended.

May import: core, tables, dialects, batches, history.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, select

from surefoot.core.facts import SegmentOpened, WriterEnded
from surefoot.ledger.batches import Writer
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.history import DAMAGED, End
from surefoot.ledger.tables import WORKSPACE, writers

__all__ = ["Heard", "WriterRow", "end_of", "fold_writers", "load_writers", "observed_end", "writer_of"]

WriterRow = dict[str, Any]


class Heard:
    """What a piece of the journal tells of one writer."""

    __slots__ = ("ended", "is_damaged", "newest", "opened")

    def __init__(self) -> None:
        self.newest = (0, 0)  # of its newest fact: monotonic time, 0 if that is not told, and instant
        self.opened: SegmentOpened | None = None  # the earliest
        self.ended: WriterEnded | None = None
        self.is_damaged = False  # a piece of its journal is, that told of runs

    def open(self, fact: SegmentOpened) -> None:
        """A segment was opened: the writer tells who it is."""
        if self.opened is None or fact.at_us < self.opened.at_us:
            self.opened = fact


def load_writers(connection: Connection, ids: Collection[bytes]) -> dict[bytes, WriterRow]:
    """The rows of these writers, those that there are."""
    query = select(writers).where(writers.c.workspace_id == WORKSPACE, writers.c.id.in_(ids))
    return {row["id"]: dict(row) for row in connection.execute(query).mappings()}


def fold_writers(
    connection: Connection,
    rows: dict[bytes, WriterRow],
    heard: dict[bytes, Heard],
    now_us: int,
    home_id: bytes | None,
) -> set[bytes]:
    """Bring the writers' `rows` up to date with what was `heard`. Returns those of them that have ended."""
    told = set()
    changed = []
    for writer_id, news in heard.items():
        old = rows.get(writer_id)
        row = rows[writer_id] = _merged(writer_id, old, news)
        row["home_id"] = home_id or row["home_id"]
        if row != old:
            row["received_us"] = now_us
            changed.append(row)
            if row["ended"] is not None:
                told.add(writer_id)
    dialect_of(connection).upsert(connection, writers, changed)
    return told


_UNHEARD: Final[WriterRow] = {"workspace_id": WORKSPACE, "heard_us": 0, "received_us": 0, "lost": 0}


def _merged(writer_id: bytes, old: WriterRow | None, news: Heard) -> WriterRow:
    row: WriterRow = dict(old) if old else dict.fromkeys(writers.c.keys()) | _UNHEARD | {"id": writer_id}
    # By the writer's monotonic time: what it wrote before its clock was set back is not newer than what it wrote since.
    mono_us, row["heard_us"] = max((row["mono_us"] or 0, row["heard_us"]), news.newest)
    row["mono_us"] = mono_us or None
    opened = news.opened
    if opened is not None and (row["started_us"] is None or opened.at_us < row["started_us"]):
        row |= {
            "host": opened.host,
            "boot_id": opened.boot_id,
            "pid": opened.pid,
            "surefoot": opened.surefoot,
            "started_us": opened.at_us,
        }
    if news.is_damaged:
        row["why"] = DAMAGED
    ended = news.ended
    if ended is not None:  # what the writer says itself stands above what others made of its silence
        why = DAMAGED if row["why"] == DAMAGED else None
        row |= {"ended": "closed", "ended_us": ended.at_us, "why": why, "lost": max(row["lost"], ended.lost)}
    return row


def observed_end(row: WriterRow | None, writer_id: bytes, at_us: int, why: str) -> WriterRow | None:
    """The row of a writer that was found dead; None if it is known to have ended already."""
    if row is None:
        row = _merged(writer_id, None, Heard())
    if row["ended"] is not None:
        return None
    return row | {"ended": "observed", "ended_us": at_us, "why": why or row["why"]}


def end_of(row: WriterRow | None) -> End | None:
    """How a writer ended, for its runs; None if it is not known to have ended."""
    if row is None or row["ended"] is None:
        return None
    ended = row["ended"] == "closed"
    return End(ended, row["heard_us"], row["pid"], row["host"], row["why"], row["lost"], row["mono_us"])


def writer_of(row: WriterRow) -> Writer:
    """A writer's row, for others."""
    return Writer(*(row[field] for field in Writer._fields))
