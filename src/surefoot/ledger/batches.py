"""What goes into the ledger and what comes back: batches of facts, what was taken in, writers as they are known.

May import: core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from surefoot.core.facts import Fact, SegmentOpened, Unknown

__all__ = ["Batch", "Folded", "Writer", "pieces"]


_HELD_MAX: Final = 16 << 20  # bytes of the journal: artifacts are large facts


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One contiguous piece of one segment of a writer's journal.

    Args:
        writer_id: who wrote it.
        stream: "runs" or "logs".
        segment: the segment's number within writer and stream.
        start: where the first frame of this piece begins.
        end: just after the last frame, where the next piece begins.
        facts: each with the offset of its frame, ascending.
        is_damaged: whether what stands behind it was written, and can be read no more. Then it has no facts of its own.
    """

    writer_id: bytes
    stream: str
    segment: int
    start: int
    end: int
    facts: Sequence[tuple[int, Fact | Unknown]]
    is_damaged: bool = False

    def since(self, position: int | None) -> Batch | None:
        """What of it is new to a ledger that folded the segment up to `position`; None if nothing is."""
        if position is None or position <= self.start:
            return self
        if position >= self.end:
            return None
        facts = [pair for pair in self.facts if pair[0] >= position]
        return Batch(self.writer_id, self.stream, self.segment, position, self.end, facts)

    def joins(self, position: int | None) -> bool:
        """Whether nothing is missing between `position` and its start. A segment's first fact is known by its kind."""
        if position is None:
            return self.start == 0 or (bool(self.facts) and type(self.facts[0][1]) is SegmentOpened)
        return self.start <= position


class Folded(msgspec.Struct, frozen=True):
    """What one call of `Ledger.fold` took in."""

    count: int = 0  # facts; those that were in already are not counted
    illegal: int = 0  # transitions that are newly known to be illegal
    gaps: int = 0  # batches that began beyond the position: they are in, but the position waits for what is missing

    def plus(self, other: Folded) -> Folded:
        """Both together.

        >>> Folded(1, 0, 0).plus(Folded(2, 1, 0))
        Folded(count=3, illegal=1, gaps=0)
        """
        return Folded(self.count + other.count, self.illegal + other.illegal, self.gaps + other.gaps)


class Writer(NamedTuple):
    """A process that wrote a journal, as far as the ledger has heard of it."""

    id: bytes
    host: str | None  # this and the next four: None while its first segment's first fact is not folded
    boot_id: str | None
    pid: int | None
    surefoot: str | None
    started_us: int | None
    heard_us: int  # the instant in its newest fact
    ended_us: int | None
    ended: str | None  # "closed" by itself, or "observed" by another process that found its pulse free


def pieces(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """`batches`, in lists of at most `size` facts (a batch that is larger is cut), taken lazily.

    A list has no more than about 16 MiB, whatever its facts are.

    >>> batch = Batch(bytes(16), "runs", 0, 0, 50, [(n * 10, Unknown(b"")) for n in range(5)])
    >>> [[(b.start, b.end, len(b.facts)) for b in piece] for piece in pieces([batch, batch], 3)]
    [[(0, 30, 3)], [(30, 50, 2)], [(0, 30, 3)], [(30, 50, 2)]]
    """
    piece: list[Batch] = []
    count = held = 0
    for batch in batches:
        for part in _cut(batch, size):
            if count + len(part.facts) > size or held > _HELD_MAX:
                yield piece
                piece, count, held = [], 0, 0
            piece.append(part)
            count += len(part.facts)
            held += part.end - part.start
    if piece:
        yield piece


def _cut(batch: Batch, size: int) -> Iterator[Batch]:
    facts = batch.facts
    if len(facts) <= size:
        yield batch
        return
    for low in range(0, len(facts), size):
        high = low + size
        start = facts[low][0] if low else batch.start
        end = facts[high][0] if high < len(facts) else batch.end
        yield Batch(batch.writer_id, batch.stream, batch.segment, start, end, facts[low:high])
