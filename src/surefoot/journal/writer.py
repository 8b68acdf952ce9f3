"""Writer: one writer's life on the disk, from its pulse to its end, with its two streams of segments.

Not for several threads: whoever uses it holds the recorder's lock. May import: journal, core.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from surefoot._version import __version__
from surefoot.core.clock import Clock, get_clock
from surefoot.core.facts import LogsCut, SegmentOpened, WriterEnded, encode
from surefoot.core.os import space
from surefoot.core.os.host import boot_id, host_name
from surefoot.journal.budgets import Budgets, bytes_left, next_segment_bytes
from surefoot.journal.commands import quieten
from surefoot.journal.frames import frame_bytes
from surefoot.journal.home import Home, unwritable
from surefoot.journal.pulse import Pulse
from surefoot.journal.segments import NO_SEGMENT, TAIL, Segment, open_segment

__all__ = ["NoRoom", "Stream", "Writer", "segment_name"]

_HEADER_ROOM: Final = 1024  # what the first frame of a segment may take
_END_BYTES: Final = 64  # the frame of WriterEnded
_CUTS_AT_END_MAX: Final = 8  # so many frames of LogsCut go into a segment's tail, with that of WriterEnded
_SIZE_MIN: Final = 64 << 10  # what is asked of a nearly full disk at last, if the fact is no larger
_UNSYNCED_MAX: Final = 16


class NoRoom(OSError):
    """A stream's budget is used up."""


class Stream:
    """One of a writer's two rows of segments, `runs` or `logs`."""

    __slots__ = ("name", "number", "segment")

    def __init__(self, name: str) -> None:
        self.name = name
        self.close()

    def close(self) -> None:
        """Stand where no writer is: without a segment."""
        self.segment: Segment = NO_SEGMENT
        self.number = 0  # of the next segment


def segment_name(stream: str, number: int) -> str:
    """The file name of a segment.

    >>> segment_name("runs", 3)
    'runs-000003.seg'
    """
    return f"{stream}-{number:06d}.seg"


class Writer:
    """A living writer. Raises HomeUnwritable if the home has no place for it."""

    def __init__(self, home: Home, budgets: Budgets, streams: tuple[Stream, Stream], *, may_map: bool) -> None:
        home.ensure()
        try:
            self._pulse = Pulse.begin(home.writers_path)
        except OSError as error:
            raise unwritable(home.path, error) from error
        self._home = home
        self._budgets = budgets
        self._runs, self._logs = streams
        # Memory is filled word by word, in the machine's own order of bytes; in a segment that is little-endian.
        self._may_map = may_map and sys.byteorder == "little" and space.file_system(home.writers_path) in space.MAPPABLE
        self._unsynced: list[str] = []  # segments that were sealed since the disk was last waited for
        self._owes_sync = False

    @property
    def writer_id(self) -> bytes:
        return self._pulse.writer_id

    @property
    def folder(self) -> str:
        return self._pulse.folder

    def add_segment(self, stream: Stream, payload_bytes: int) -> None:
        """Seal the stream's segment and open the next, with room for such a fact. Raises OSError if there is none."""
        need = TAIL + _HEADER_ROOM + frame_bytes(payload_bytes)
        old = stream.segment
        old.flush()  # what it holds counts below
        size = self._next_bytes(stream, need)
        old.shut()  # before the next file is there: readers take that as the sign that this one is complete
        segment = self._make(stream, size, need)
        stream.segment = segment
        old.seal()
        if old is not NO_SEGMENT:
            self._unsynced.append(old.path)
            if len(self._unsynced) > _UNSYNCED_MAX:  # the disk is slower than the facts come
                space.start_writing(self._unsynced.pop(0))

    def _next_bytes(self, stream: Stream, need: int) -> int:
        left = bytes_left(stream.name, self._pulse.folder, self._home.writers_path, self._budgets)
        size = min(next_segment_bytes(stream.number, need, self._budgets), left & -4096)
        if size < need:
            budget = self._budgets.of(stream.name)
            raise NoRoom(f"{stream.name} may take {budget:,} bytes of disk, and {max(left, 0):,} of that are left")
        return size

    def _make(self, stream: Stream, size: int, need: int) -> Segment:
        while True:
            number = stream.number
            stream.number += 1
            path = os.path.join(self._pulse.folder, segment_name(stream.name, number))
            try:
                segment = open_segment(path, size, may_map=self._may_map)
                break
            except FileExistsError:
                continue  # an exception came just after that one was made
            except FileNotFoundError:
                raise
            except OSError:
                stream.number = number
                size = size // 2 & -4096
                if size < max(need, _SIZE_MIN):
                    raise
        clock = get_clock()
        opened = SegmentOpened(
            self._pulse.writer_id,
            stream.name,
            number,
            clock.now_us(),
            clock.mono_us(),
            host_name(),
            boot_id(),
            os.getpid(),
            __version__,
        )
        segment.append(encode(opened))
        return segment

    def flow_ended(self) -> None:
        """What is in the segments now is to reach the disk, though nobody waits for it."""
        self._owes_sync = True

    def take_unsynced(self) -> list[str]:
        """The files that are to be synced, which then counts as done."""
        self._owes_sync = False
        paths, self._unsynced = self._unsynced, []
        return paths + [s.segment.path for s in (self._runs, self._logs) if s.segment is not NO_SEGMENT]

    @property
    def has_sealed(self) -> bool:
        """Whether segments wait that were sealed, and not synced."""
        return bool(self._unsynced)

    def end(self, lost: int, cuts: dict[bytes | None, int]) -> int:
        """Write what is to be told at the end, seal all, take the pulse away. Returns how many run facts got lost."""
        clock = get_clock()
        ended = encode(WriterEnded(clock.now_us(), clock.mono_us(), lost))
        place = self._logs if self._logs.segment is not NO_SEGMENT else self._runs
        for cut in _last_cuts(cuts, clock):
            place.segment.append_last(encode(cut), keep=_END_BYTES)
        paths = self.take_unsynced() if self._owes_sync else self._unsynced
        unwritten = 0
        for stream in (self._logs, self._runs):
            segment = stream.segment
            try:
                segment.flush()
            except OSError:
                pass
            unwritten = segment.unwritten  # what counts is the last: run facts
            segment.append_last(ended)
            stream.close()
            segment.seal()
        for path in paths:
            space.start_writing(path)
        quieten(self._pulse.folder)
        self._pulse.end()
        return unwritten

    def abandon(self) -> None:
        """In a forked child: let go of all that is the parent's, and change nothing."""
        for stream in (self._runs, self._logs):
            segment = stream.segment
            stream.close()
            segment.abandon()
        self._pulse.let_go()


def _last_cuts(cuts: dict[bytes | None, int], clock: Clock) -> list[LogsCut]:
    """What was cut, flow run by flow run; if these are many, all but the largest as one."""
    most = sorted(cuts.items(), key=lambda cut: -cut[1])
    now_us, mono_us = clock.now_us(), clock.mono_us()
    told = [LogsCut(now_us, count, run_id, mono_us) for run_id, count in most[: _CUTS_AT_END_MAX - 1]]
    rest = sum(count for _, count in most[_CUTS_AT_END_MAX - 1 :])
    return [*told, LogsCut(now_us, rest, None, mono_us)] if rest else told
