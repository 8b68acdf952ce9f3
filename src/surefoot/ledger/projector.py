"""The projector folds facts into tables: idempotent, and the same in whatever order they arrive.

    batches ──> what they tell of each run, writer, line ──> rows read, merged (history.py), written ──> positions moved

All of a call happens in the caller's transaction, so a position never says more than the tables hold. Nothing that a
fact says can stop it: what cannot be a row, or is of a kind not known yet, is kept raw in `unknown_facts`. May
import: core, tables, revision, dialects, batches, history, fold_*.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, select, tuple_

from surefoot.core.assets import KEY_CHARS_MAX
from surefoot.core.facts import (
    ArtifactWritten,
    AssetMaterialized,
    Fact,
    FlowRunCreated,
    LogsCut,
    LogWritten,
    SegmentOpened,
    StateEntered,
    TaskRunCreated,
    Unknown,
    WriterEnded,
    decode,
    encode,
)
from surefoot.ledger.batches import Batch, Folded
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_artifacts import fold_artifacts
from surefoot.ledger.fold_assets import fold_assets
from surefoot.ledger.fold_logs import fold_lines
from surefoot.ledger.fold_runs import RunNews, fold_runs, settle_runs_of
from surefoot.ledger.fold_writers import Heard, fold_writers, load_writers, observed_end
from surefoot.ledger.history import entry_of
from surefoot.ledger.revision import check_revision
from surefoot.ledger.tables import WORKSPACE, flow_runs, positions, task_runs, unknown_facts, writers

__all__ = ["Ended", "end_writer", "fold", "fold_again", "load_positions"]

Positions = dict[tuple[bytes, str, int], int]


def fold(connection: Connection, batches: Sequence[Batch], now_us: int, home_id: bytes | None = None) -> Folded:
    """Fold `batches` and move their positions.

    Args:
        connection: one that writes.
        batches: the facts.
        now_us: the ledger's clock.
        home_id: the home whose journal they are from, where several share the ledger.
    """
    check_revision(connection)
    where = load_positions(connection, {batch.writer_id for batch in batches})
    moved: Positions = {}
    news = _News()
    count = gaps = 0
    for batch in batches:
        key = batch.writer_id, batch.stream, batch.segment
        position = moved.get(key, where.get(key))
        part = batch.since(position)
        if part is None:
            continue
        count += len(part.facts)
        news.take(part)
        if part.joins(position):
            moved[key] = part.end
        else:
            gaps += 1
    illegal = news.write(connection, now_us, home_id)
    _move(connection, moved)
    return Folded(count, illegal, gaps)


def load_positions(connection: Connection, writer_ids: Collection[bytes]) -> Positions:
    """How far the journals of these writers are folded."""
    c = positions.c
    query = select(positions).where(c.workspace_id == WORKSPACE, c.writer_id.in_(writer_ids))
    return {(row.writer_id, row.stream, row.segment): row.offset for row in connection.execute(query)}


def _move(connection: Connection, moved: Positions) -> None:
    rows = [
        {"workspace_id": WORKSPACE, "writer_id": writer_id, "stream": stream, "segment": segment, "offset": offset}
        for (writer_id, stream, segment), offset in moved.items()
    ]
    dialect_of(connection).upsert(connection, positions, rows)


class _News:
    """What some batches tell, by whom it concerns."""

    def __init__(self) -> None:
        self.flow_runs: dict[bytes, RunNews] = {}
        self.task_runs: dict[bytes, RunNews] = {}
        self.writers: dict[bytes, Heard] = {}
        self.lines: list[tuple[Batch, list[tuple[int, LogWritten | LogsCut]]]] = []
        self.artifacts: list[ArtifactWritten] = []
        self.assets: list[AssetMaterialized] = []
        self.unknown: list[dict[str, Any]] = []

    def take(self, batch: Batch) -> None:
        """Sort the facts of a batch."""
        writer_id = batch.writer_id
        heard = self.writers.setdefault(writer_id, Heard())
        heard.is_damaged |= batch.is_damaged
        lines: list[tuple[int, LogWritten | LogsCut]] = []
        newest = heard.newest
        for offset, fact in batch.facts:
            if isinstance(fact, Unknown) or not _is_sound(fact):
                self._keep_raw(batch, offset, fact)
                continue
            newest = max(newest, (fact.mono_us, fact.at_us))
            if type(fact) is StateEntered:
                _news_of(self.task_runs if fact.is_task else self.flow_runs, fact.run_id).entries.append(
                    entry_of(fact, writer_id)
                )
            elif type(fact) is TaskRunCreated or type(fact) is FlowRunCreated:
                told = _news_of(self.task_runs if type(fact) is TaskRunCreated else self.flow_runs, fact.run_id)
                told.create(fact)
                told.entries.append(entry_of(fact, writer_id))
            elif type(fact) is LogWritten or type(fact) is LogsCut:
                lines.append((offset, fact))
            elif type(fact) is ArtifactWritten:
                self.artifacts.append(fact)
            elif type(fact) is AssetMaterialized:
                self.assets.append(fact)
            elif type(fact) is SegmentOpened:
                heard.open(fact)
            elif type(fact) is WriterEnded:
                heard.ended = fact
        heard.newest = newest
        if lines:
            self.lines.append((batch, lines))

    def write(self, connection: Connection, now_us: int, home_id: bytes | None = None) -> int:
        """Write what was taken. Returns how many transitions are newly known to be illegal."""
        writers = load_writers(connection, self.writers)
        told = fold_writers(connection, writers, self.writers, now_us, home_id)
        illegal = 0
        for table, news in ((flow_runs, self.flow_runs), (task_runs, self.task_runs)):
            if news:
                illegal += fold_runs(connection, table, news, writers)
            for writer_id in told:
                settle_runs_of(connection, table, writers[writer_id])
        for batch, lines in self.lines:
            fold_lines(connection, batch, lines)
        if self.artifacts:
            fold_artifacts(connection, self.artifacts)
        if self.assets:
            fold_assets(connection, self.assets)
        dialect_of(connection).insert_missing(connection, unknown_facts, self.unknown)
        return illegal

    def _keep_raw(self, batch: Batch, offset: int, fact: Fact | Unknown) -> None:
        self.unknown.append(
            {
                "workspace_id": WORKSPACE,
                "writer_id": batch.writer_id,
                "stream": batch.stream,
                "segment": batch.segment,
                "offset": offset,
                "raw": fact.raw if isinstance(fact, Unknown) else encode(fact),
            }
        )


def _news_of(runs: dict[bytes, RunNews], run_id: bytes) -> RunNews:
    news = runs.get(run_id)
    if news is None:
        news = runs[run_id] = RunNews()
    return news


_FAR: Final = 253_402_300_800_000_000  # an instant or a duration from the year 10,000 on is none
_MANY: Final = (1 << 31) - 1  # an INTEGER holds one more: the number of an end that is presumed


def _is_sound(fact: Fact) -> bool:
    """Whether the numbers of a fact can stand in a row. Only a broken writer makes one that is not."""
    if not (0 <= fact.at_us < _FAR and 0 <= fact.mono_us < _FAR):
        return False
    if type(fact) is StateEntered:
        return (
            0 <= fact.n < _MANY
            and 0 <= fact.epoch < _MANY
            and 0 <= fact.run_count < _MANY
            and 0 <= fact.ran_us < _FAR
            and 0 <= (fact.start_us or 0) < _FAR
            and 0 <= (fact.until_us or 0) < _FAR
        )
    if type(fact) is TaskRunCreated:
        return 0 <= fact.epoch < _MANY and 0 <= fact.retries < _MANY and 0 <= fact.index < _MANY
    if type(fact) is FlowRunCreated:
        return 0 <= fact.epoch < _MANY and 0 <= fact.retries < _MANY
    if type(fact) is LogWritten:
        return -_MANY < fact.level < _MANY and 0 <= fact.cut < _MANY
    if type(fact) is ArtifactWritten:
        return 0 <= fact.size < _FAR and 0 <= fact.crc32 < 1 << 32
    if type(fact) is AssetMaterialized:
        keys = fact.key, *(key for key, _ in fact.upstream)
        is_short = len(fact.outcome) <= 16 and max(map(len, keys)) <= KEY_CHARS_MAX
        return 0 <= fact.epoch < _MANY and 0 <= fact.n < _MANY and is_short
    if type(fact) is WriterEnded:
        return 0 <= fact.lost < _MANY
    return type(fact) is not SegmentOpened or 0 <= fact.pid < _FAR


class Ended(NamedTuple):
    """What one call of `end_writer` did."""

    runs: int
    is_done: bool  # no more is to be ended


def end_writer(connection: Connection, writer_id: bytes, at_us: int, why: str, limit: int) -> Ended:
    """End up to about `limit` open runs of a writer that was found dead; after the last of them, note its end.

    In this order, so that whoever finds the writer next goes on with what is left, should this process die before.
    """
    check_revision(connection)
    writer = observed_end(load_writers(connection, [writer_id]).get(writer_id), writer_id, at_us, why)
    if writer is None:
        return Ended(0, True)
    count = 0
    for table in (flow_runs, task_runs):
        if count < limit:
            count += settle_runs_of(connection, table, writer, limit)
    if count >= limit:
        return Ended(count, False)
    dialect_of(connection).upsert(connection, writers, [writer])
    return Ended(count, True)


def fold_again(connection: Connection, now_us: int) -> int:
    """Fold the facts kept raw that this version can fold. Called once after an upgrade. Returns how many."""
    check_revision(connection)
    c = unknown_facts.c
    count = 0
    for row in connection.execute(select(unknown_facts).where(c.workspace_id == WORKSPACE)).all():
        fact = decode(row.raw)
        if isinstance(fact, Unknown) or not _is_sound(fact):
            continue
        news = _News()
        news.take(Batch(row.writer_id, row.stream, row.segment, row.offset, row.offset, [(row.offset, fact)]))
        news.write(connection, now_us)
        _forget(connection, row)
        count += 1
    return count


def _forget(connection: Connection, row: Any) -> None:
    c = unknown_facts.c
    key = tuple_(c.workspace_id, c.writer_id, c.stream, c.segment, c.offset)
    connection.execute(
        delete(unknown_facts).where(key == tuple_(row.workspace_id, row.writer_id, row.stream, row.segment, row.offset))
    )
