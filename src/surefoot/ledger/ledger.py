"""A ledger, opened: facts go in by `fold`, answers come out under `read`.

Usable from several threads. Transactions that write come one after another, whatever processes they are from; each is
the writer for a fraction of 200 ms, and waits up to `busy_s` for its turn. May import: core, opening, projector,
dialects, tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from msgspec import DecodeError
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from surefoot._version import __version__
from surefoot.core.clock import get_clock
from surefoot.core.errors import SurefootError
from surefoot.ledger.batches import Batch, Folded, Writer, pieces
from surefoot.ledger.contents import Contents, contents_of
from surefoot.ledger.decisions.assets import delete_some_of_asset
from surefoot.ledger.decisions.deletion import deletion_of_flow_runs, deletion_of_task_runs
from surefoot.ledger.dialects.choice import Place, place_of
from surefoot.ledger.fold_writers import load_writers, writer_of
from surefoot.ledger.opening import Standing, bring_up, empty, standing_of
from surefoot.ledger.projector import end_writer, fold, fold_again, load_positions
from surefoot.ledger.removal import Removal, Removed
from surefoot.ledger.retention import Cutoffs, Retaining
from surefoot.ledger.tables import WORKSPACE, meta, writers

__all__ = ["Ledger"]

_PIECE: Final = 4000  # facts in one transaction: about 50 ms
_MUCH: Final = 1000  # facts
_IDS_MAX: Final = 10_000  # in one question: SQLite takes 32,766
_HELD_US: Final = 150_000  # after so long a transaction of housekeeping ends, though more is to be done
_STEPS_MAX: Final = 100  # or after so many steps
_REST_S: Final = 0.05  # and then others get a chance: SQLite has no queue, whoever waits looks now and then
_TRIES: Final = 4
_PAUSE_S: Final = 0.05  # before a transaction is tried again, times the tries before

Positions = dict[tuple[str, int], int]
T = TypeVar("T")


class Ledger:
    """One ledger. Made by `Ledger.open`; a context manager, which closes it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder, "ledger.db")) as ledger:
    ...     ledger.fold([])
    Folded(count=0, illegal=0, gaps=0)
    """

    def __init__(self, place: Place, home_id: bytes | None = None) -> None:
        self.name = place.name
        self._place = place
        self.home_id = home_id
        self._looked_back = self._has_much = False

    @classmethod
    def open(cls, where: str | Path, *, busy_s: float = 30.0, home_id: bytes | None = None) -> Self:
        """The ledger at a path, or an `sqlite:///` or `postgresql://` URL. Made if it is not there, upgraded if old.

        Raises LedgerTooNew, LedgerBusy, HomeUnwritable, Unavailable, and BadInput for a place that can hold no ledger.

        Args:
            where: the place.
            busy_s: how long a write waits for others, in seconds.
            home_id: whose journal is folded through this object, where several homes share the ledger.
        """
        place = place_of(where, busy_s)
        with _told(place):
            bring_up(place)
        return cls(place, home_id)

    @staticmethod
    def standing(where: str | Path) -> Standing:
        """At which revision the ledger at a place is, without making, upgrading or otherwise changing it."""
        place = place_of(where, 1.0)
        with _told(place):
            return standing_of(place)

    @staticmethod
    def name_of(where: str | Path) -> str:
        """What people are told a place is called: its path, or its URL without a password."""
        return place_of(where, 1.0).name

    def close(self) -> None:
        """Let go of the file, or of the connections."""
        self._place.engine.dispose()

    def __repr__(self) -> str:
        return f"<Ledger {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries, which all see the ledger as it was when the first of them was asked."""
        place = self._place
        with _told(place), place.engine.connect() as connection:
            yield place.dialect.reading(connection)

    @contextmanager
    def decide(self) -> Iterator[Connection]:
        """A connection for one decision: a short transaction that nobody else's comes between. Commits at the end."""
        place = self._place
        with _told(place), self._transaction(place.dialect.deciding) as connection:
            yield connection

    def positions(self, writer_id: bytes) -> Positions:
        """How far each (stream, segment) of a writer is folded; what is not named is not folded at all."""
        return self.positions_of([writer_id])[writer_id]

    def positions_of(self, writer_ids: Collection[bytes]) -> dict[bytes, Positions]:
        """The same of several writers, each of which is named."""
        found: dict[bytes, Positions] = {writer_id: {} for writer_id in writer_ids}
        ids = list(found)
        with self.read() as connection:
            for low in range(0, len(ids), _IDS_MAX):
                for (writer_id, stream, segment), offset in load_positions(
                    connection, ids[low : low + _IDS_MAX]
                ).items():
                    found[writer_id][stream, segment] = offset
        return found

    def fold(self, batches: Iterable[Batch]) -> Folded:
        """Take in facts. `batches` are consumed one after another, and committed in pieces.

        The same batch twice changes nothing, nor does the order of batches.
        """
        self._look_back()
        folded = Folded()
        for piece in pieces(batches, _PIECE):
            folded = folded.plus(self._change(partial(self._fold_piece, piece)))
        if folded.count >= _MUCH and not self._has_much:
            self._has_much = True
            with _told(self._place):
                self._place.dialect.after_much(self._place.engine)
        return folded

    def _fold_piece(self, piece: list[Batch], connection: Connection) -> Folded:
        return fold(connection, piece, get_clock().now_us(), self.home_id)

    def end_writer(
        self, writer_id: bytes, at_us: int, why: str = "", is_late: Callable[[], bool] = lambda: False
    ) -> int:
        """End the open runs of a writer that was found dead, Crashed. Returns how many.

        To be called when its pulse is free and its segments are folded. Nothing happens if it is known to have ended.

        Args:
            writer_id: the writer.
            at_us: when it was found dead. Its runs end at the last instant that was heard from it.
            why: what to say of these runs in place of the standard sentence.
            is_late: asked after each few thousand: True leaves the rest to whoever finds the writer next.
        """
        count = 0
        while True:
            ended = self._change(lambda connection: end_writer(connection, writer_id, at_us, why, limit=_PIECE // 2))
            count += ended.runs
            if ended.is_done or is_late():
                return count

    def delete_flow_runs(self, ids: Sequence[bytes]) -> Removal:
        """Delete flow runs, with their task runs, the flow runs that they called, and all lines. For good.

        Raises NotFound for one that is not there, and Refused, deleting none, for one that has not ended.
        """
        with self.read() as connection:
            removal = deletion_of_flow_runs(connection, ids, get_clock().now_us())
        self._do(removal.step)
        return removal

    def delete_task_runs(self, ids: Sequence[bytes]) -> Removal:
        """Delete task runs, with what they called and all their lines. Raises likewise."""
        with self.read() as connection:
            removal = deletion_of_task_runs(connection, ids, get_clock().now_us())
        self._do(removal.step)
        return removal

    def delete_asset(self, asset_id: bytes) -> None:
        """Delete all that is recorded of an asset."""
        self._do(partial(delete_some_of_asset, asset_id=asset_id))

    def retain(self, cutoffs: Cutoffs, there: Collection[bytes] = ()) -> Retaining:
        """Delete what is too old; daily summaries stay.

        Args:
            cutoffs: what is.
            there: the writers that have a folder in the journal.
        """
        retaining = Retaining(cutoffs, get_clock().now_us(), there, self.home_id)
        self._do(retaining.step)
        if retaining.removed != Removed():
            self._do(self._place.dialect.give_back)
        return retaining

    def compact(self) -> None:
        """Write the ledger anew, without gaps. Nobody else can write meanwhile, and as much disk again is needed."""
        place = self._place
        with _told(place), place.engine.connect() as connection:
            place.dialect.compact(connection)

    def empty(self) -> None:
        """Delete all that is in it. What journals still hold can be folded again."""
        with self.decide() as connection:
            empty(self._place, connection)
        self._looked_back = self._has_much = False

    def contents(self) -> Contents:
        """How much there is of what."""
        with self.read() as connection:
            return contents_of(connection)

    def make_durable(self) -> None:
        """Make all that was committed survive a power loss. To be called before segments are deleted."""
        place = self._place
        with _told(place), place.engine.connect() as connection:
            place.dialect.make_durable(connection, get_clock().now_us())

    def writer(self, writer_id: bytes) -> Writer | None:
        """What is known of a writer; None if nothing of it was folded."""
        with self.read() as connection:
            row = load_writers(connection, [writer_id]).get(writer_id)
        return None if row is None else writer_of(row)

    def open_writers(self) -> list[Writer]:
        """The writers not known to have ended, where several homes share the ledger those of the own.

        If the pulse of one is free, or its folder gone, call `end_writer`.
        """
        c = writers.c
        query = select(writers).where(c.workspace_id == WORKSPACE, c.ended.is_(None)).order_by(c.id)
        if self.home_id is not None:
            query = query.where(c.home_id == self.home_id)
        with self.read() as connection:
            return [writer_of(dict(row)) for row in connection.execute(query).mappings()]

    def _look_back(self) -> None:
        """Fold what an older version kept raw because it did not know it. Looked at once, and once a version."""
        if self._looked_back:
            return
        query = select(meta.c.value).where(meta.c.key == "folded_by")
        with self.read() as connection:
            is_new = connection.execute(query).scalar() != __version__
        if is_new:
            self._change(self._fold_again)
        self._looked_back = True

    def _fold_again(self, connection: Connection) -> None:
        fold_again(connection, get_clock().now_us())
        self._place.dialect.upsert(connection, meta, [{"key": "folded_by", "value": __version__}])

    def _change(self, work: Callable[[Connection], T]) -> T:
        """What `work` does in a transaction that writes; done again where only the moment was against it.

        It may have been committed the first time, as far as anybody can tell: all that is folded can be folded twice.
        """
        place = self._place
        with _told(place):
            for tries in range(1, _TRIES + 1):
                try:
                    with self._transaction() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if tries == _TRIES or not place.is_passing(error):
                        raise
                    get_clock().sleep(_PAUSE_S * tries)
        raise AssertionError  # the last try returns or raises

    def _do(self, step: Callable[[Connection], bool]) -> None:
        """Take a step after another until one says that nothing is left, and let others write in between."""
        clock = get_clock()
        more = True
        while more:
            with self.decide() as connection:
                until_us = clock.mono_us() + _HELD_US
                for _ in range(_STEPS_MAX):
                    more = step(connection)
                    if not more or clock.mono_us() >= until_us:
                        break
            if more:
                clock.sleep(_REST_S)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _told(self._place), self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self, way: Callable[[Connection], Connection] | None = None) -> Iterator[Connection]:
        place = self._place
        with place.engine.connect() as connection, (way or place.dialect.writing)(connection).begin():
            place.sign()
            yield connection


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """Errors of the database, in words of ours."""
    try:
        yield
    except DBAPIError as error:
        ours = place.told(error)
        if ours is None:
            raise
        raise ours from error
    except (ValueError, OverflowError, DecodeError) as error:
        garbled = None if isinstance(error, SurefootError) else place.garbled(error)
        if garbled is None:
            raise
        raise garbled from error
