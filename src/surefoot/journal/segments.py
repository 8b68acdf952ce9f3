"""Segments: the files of one writer, each in one of two ways.

Mapped, where the file system allows: the file has all its disk space from the start, and an append copies into memory
that the kernel owns. Whatever kills the process later loses nothing. Written elsewhere: appends wait in memory until
`flush`.

An append may be interrupted between any two steps: by a signal's handler, or by a finalizer that the garbage collector
calls, and both may append themselves, in the same thread, through the lock. So the steps that count stand together,
without a call or an allocation of a container between them: CPython lets nothing in there.
May import: journal.frames, core.os.
"""

from __future__ import annotations

import errno
import os
from typing import Final
from zlib import crc32

from surefoot.core.os import space
from surefoot.core.os.files import make_new, reopen
from surefoot.core.os.locks import identity
from surefoot.journal.frames import frame

__all__ = ["NO_SEGMENT", "TAIL", "MappedSegment", "NoSegment", "Segment", "WrittenSegment", "open_segment"]

TAIL: Final = 512  # bytes at a segment's end that only `append_last` may use: what was cut or lost can always be told
_PENDING_MAX: Final = 1 << 20  # bytes that may wait in memory; then whoever appends has to write first
_SEALED: Final = 1 << 62


def open_segment(path: str, size: int, *, may_map: bool) -> Segment:
    """Make the segment file `path` with room for `size` bytes. Raises OSError, and leaves no file, if there is none."""
    fd = make_new(path)
    try:
        mapped = space.map_file(fd, size) if may_map else None
        if mapped is None:
            return WrittenSegment(path, size, fd)
        segment = MappedSegment(path, size, mapped, identity(fd))
        os.close(fd)
        return segment
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise


class MappedSegment:
    """A segment in memory that the kernel owns. The three classes here have the same methods."""

    __slots__ = ("_at", "_capacity", "_file", "_limit", "_map", "_words", "path")

    is_mapped = True
    unwritten = 0  # facts that wait in memory

    def __init__(self, path: str, size: int, mapped: space.Mapped, file: tuple[int, int]) -> None:
        self.path = path
        self._file = file
        self._map = mapped
        self._words = memoryview(mapped).cast("I")  # a word is stored in one piece
        self._at = 0
        self._capacity = size
        self._limit = size - TAIL

    def append(self, payload: bytes, last: int = 0) -> int:
        """Append a fact. Where its frame ends, which is never 0; 0 if there is no room for it here.

        `last`: where it has to end, for a fact that comes when no more are taken.
        """
        size = len(payload)
        crc = crc32(payload)
        while True:
            at = self._at
            end = at + (size + 11 & -4)  # frames.frame_bytes, without the call
            span = slice(at + 8, at + 8 + size)
            word = at >> 2
            next_word = word + 1
            words = self._words
            if self._at == at:  # nobody came between; and until `_at` is stored, nobody can
                if end > (last or self._limit):
                    return 0
                self._map[span] = payload
                words[next_word] = crc
                words[word] = size
                self._at = end
                return end

    def grow(self, size: int) -> bool:
        """Have room for `size` bytes, more than before. False if that cannot be had in this file.

        What is in it stays where it is, and others may append meanwhile; nobody else may grow, shut or seal it. Raises
        OSError if the disk has not that much, and leaves all as it was.
        """
        try:
            fd = reopen(self.path)
        except OSError:
            return False  # removed, or nobody's to write any more
        try:
            if identity(fd) != self._file:
                return False  # put in its place: what is appended here is not in it
            mapped = space.map_longer(fd, self._capacity, size)
        finally:
            os.close(fd)
        if mapped is None:
            return False
        words = memoryview(mapped).cast("I")
        old_words, old_map = self._words, self._map
        if self._at == _SEALED:  # by a finalizer that came in between
            words.release()
            mapped.close()
            return False
        self._words = words
        self._map = mapped
        self._capacity = size
        self._limit = size - TAIL  # last, when there is room for it
        old_words.release()
        old_map.close()
        return True

    def append_last(self, payload: bytes, keep: int = 0) -> int:
        """Append a fact and take no more but by this. May use the tail, but for `keep` bytes."""
        self._limit = 0  # first: others append without a lock, and nothing is to come after it
        return self.append(payload, self._capacity - keep)

    def shut(self) -> None:
        """Take no more facts but by `append_last`."""
        self._limit = 0

    def flush(self) -> None:
        """Hand all to the system. Raises OSError if it does not take it."""

    def seal(self) -> None:
        """Close the file, trimmed to what is in it."""
        self._limit = 0
        used, self._at = self._at, _SEALED  # in one piece: nothing is appended between the two
        self.abandon()
        try:
            os.truncate(self.path, used)
        except OSError:
            pass  # it stays longer than it had to, or it was removed

    def abandon(self) -> None:
        """Let go of the file and change nothing in it."""
        self._limit = 0
        self._at = _SEALED
        self._words.release()
        self._map.close()


class WrittenSegment:
    """A segment that is written by system calls, for all that waits at once."""

    is_mapped = False

    def __init__(self, path: str, size: int, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._file = identity(fd)
        self._at = 0
        self._capacity = size
        self._limit = size - TAIL
        self._on_disk = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._is_writing = False

    @property
    def unwritten(self) -> int:
        return len(self._pending)

    def append(self, payload: bytes) -> int:
        added = frame(payload)
        if self._at + len(added) > self._limit:
            return 0
        if self._pending_bytes > _PENDING_MAX:
            try:
                self.flush()
            except OSError:
                return 0
        self._pending.append(added)
        self._pending_bytes += len(added)
        self._at = end = self._at + len(added)
        return end

    def grow(self, size: int) -> bool:
        if identity(self.path) != self._file:
            return False
        self._capacity = size
        self._limit = size - TAIL
        return True

    def append_last(self, payload: bytes, keep: int = 0) -> int:
        self._limit = self._capacity - keep
        try:
            return self.append(payload)
        finally:
            self._limit = 0

    def shut(self) -> None:
        self._limit = 0

    def flush(self) -> None:
        if self._is_writing or not self._pending:
            return  # called by a signal's handler within `flush`, which goes on and writes that too
        if identity(self._fd) != self._file:
            raise OSError(errno.EBADF, "the program closed the journal's descriptor")
        self._is_writing = True
        try:
            while self._pending:
                # Always from the place that the first pending frame has: if an exception comes after the write and
                # before the count, the same bytes are written again to the same place.
                os.lseek(self._fd, self._on_disk, os.SEEK_SET)
                if not self._count(os.write(self._fd, b"".join(self._pending))):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # not even one frame was taken whole
        finally:
            self._is_writing = False

    def _count(self, written: int) -> int:
        whole = 0
        left = written
        for added in self._pending:
            if len(added) > left:
                break
            left -= len(added)
            whole += 1
        self._on_disk += written - left
        self._pending_bytes -= written - left
        del self._pending[:whole]
        return whole

    def seal(self) -> None:
        try:
            self.flush()
        except OSError:
            pass  # `unwritten` tells how many
        self.abandon()

    def abandon(self) -> None:
        self._limit = 0
        if identity(self._fd) == self._file:
            os.close(self._fd)


class NoSegment:
    """Where no segment is open: there is never room."""

    path = ""
    is_mapped = True
    unwritten = 0

    def append(self, payload: bytes) -> int:
        return 0

    def grow(self, size: int) -> bool:
        return False

    def append_last(self, payload: bytes, keep: int = 0) -> int:
        return 0

    def shut(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def seal(self) -> None:
        pass

    def abandon(self) -> None:
        pass


Segment = MappedSegment | WrittenSegment | NoSegment
NO_SEGMENT: Final = NoSegment()
