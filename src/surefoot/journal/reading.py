"""Reading: what writers left, and what they are writing now. Nothing here changes a living writer's files.

Ask in this order: `is_alive`, then `segments`, then `read_segment`. What a writer that was not alive left is then all
there is, and what a segment that was sealed holds is all it ever will. May import: journal, core.
"""

from __future__ import annotations

import os
import re
from io import FileIO
from typing import Final, NamedTuple

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.errors import Refused
from surefoot.core.facts import FORMAT, Fact, SegmentOpened, Unknown, decode
from surefoot.core.os import space
from surefoot.core.os.files import move, remove
from surefoot.journal.commands import COMMANDS
from surefoot.journal.frames import split
from surefoot.journal.home import Home
from surefoot.journal.pulse import BORN, PULSE, is_beating, proof_of_life

__all__ = [
    "Batch",
    "SegmentFile",
    "WriterFolder",
    "read_segment",
    "remove_segment",
    "remove_writer",
    "sweep",
    "writer",
    "writers",
]

_GOING: Final = ".going-"  # prefix of a folder that is being removed
_WRITER: Final = re.compile(r"[0-9a-f]{32}")
_SEGMENT: Final = re.compile(r"(runs|logs)-([0-9]{6,})\.seg")
_BLOCK: Final = 64 << 10
_HEADER_MAX: Final = 4096
_LEFT_BEHIND_US: Final = 3_600_000_000


class SegmentFile(NamedTuple):
    """A segment as it lay there when its writer's folder was listed."""

    stream: str  # "runs" or "logs"
    number: int
    path: str
    sealed: bool  # nothing is appended to it any more


class Batch(NamedTuple):
    """What one call of `read_segment` read."""

    facts: list[Fact | Unknown]
    offsets: list[int]  # for each fact: where the next begins. Go on from any of these
    end: int  # the last of them, or where the reading began if there is none
    header: SegmentOpened | None  # the segment's first fact; None if it was never written
    torn: bool  # behind `end` are bytes that are no frame: not written yet if the writer lives, else damage


class WriterFolder:
    """A writer as its folder shows it."""

    __slots__ = ("_is_local", "path", "writer_id")

    def __init__(self, path: str, *, is_local: bool) -> None:
        self.path = path
        self.writer_id = bytes.fromhex(os.path.basename(path))
        self._is_local = is_local

    def __repr__(self) -> str:
        return f"WriterFolder({self.path!r})"

    def is_alive(self) -> bool:
        """Whether the writer may append more. False is certain; where it cannot be told (another machine), True."""
        return self.proof() is not False

    def proof(self) -> bool | None:
        """True if it certainly lives, False if it is certainly no more, None where neither can be told."""
        return proof_of_life(self.path, is_local=self._is_local)

    def segments(self) -> list[SegmentFile]:
        """Its segments, each stream in order. None if the folder is gone."""
        names = _names(self.path)
        found = sorted((match[1], int(match[2]), name) for name in names if (match := _SEGMENT.fullmatch(name)))
        last = {stream: number for stream, number, _ in found}
        has_ended = PULSE not in names
        return [
            SegmentFile(stream, number, os.path.join(self.path, name), has_ended or number < last[stream])
            for stream, number, name in found
        ]


def writer(home: Home, writer_id: bytes) -> WriterFolder:
    """One writer of `home`, whose folder may be gone."""
    is_local = space.file_system(home.writers_path) in space.LOCAL
    return WriterFolder(os.path.join(home.writers_path, writer_id.hex()), is_local=is_local)


def writers(home: Home) -> list[WriterFolder]:
    """The writers that have a folder in `home`, the oldest first."""
    try:
        names = os.listdir(home.writers_path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    is_local = space.file_system(home.writers_path) in space.LOCAL
    return [
        WriterFolder(os.path.join(home.writers_path, name), is_local=is_local)
        for name in sorted(names)
        if _WRITER.fullmatch(name)
    ]


def read_segment(path: str, offset: int = 0, limit_bytes: int = 4 << 20) -> Batch:
    """The facts of a segment from `offset` on, until about `limit_bytes` were read or no whole frame follows.

    Damage ends the reading and is told as `torn`; it raises nothing. A file that is gone (another reader had folded it)
    reads as empty. So does a segment whose header names a newer format than this version knows.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return _read(file, offset, limit_bytes)
    except FileNotFoundError:
        return Batch([], [], offset, None, False)


def _read(file: FileIO, offset: int, limit_bytes: int) -> Batch:
    header = _header(file.read(_HEADER_MAX))
    if header is not None and header.format > FORMAT:
        return Batch([], [], offset, header, False)
    facts: list[Fact | Unknown] = []
    offsets: list[int] = []
    end, step = offset, _BLOCK
    while True:
        size = os.fstat(file.fileno()).st_size  # each time: a segment is trimmed when it is sealed
        file.seek(end)
        block = file.read(min(step, max(size - end, 0)))
        spans, used, stop, needed = split(block)
        for begin, after in spans:
            facts.append(_decode(block[begin:after]))
            offsets.append(end + (after + 3 & -4))
        end += used
        if stop == "torn" or (stop == "short" and end + needed > size):
            return Batch(facts, offsets, end, header, True)
        is_read = stop == "end" and used < len(block)  # a length of zero
        if is_read or end >= size or end - offset >= limit_bytes:
            return Batch(facts, offsets, end, header, False)
        step = max(_BLOCK, needed)


def _header(start: bytes) -> SegmentOpened | None:
    spans, *_ = split(start)
    first = _decode(start[spans[0][0] : spans[0][1]]) if spans else None
    return first if isinstance(first, SegmentOpened) else None


def _decode(payload: bytes) -> Fact | Unknown:
    try:
        return decode(payload)
    except msgspec.MsgspecError:
        # The checksum holds, so a writer meant it: a value that only a newer version knows. What follows counts.
        return Unknown(payload)


def remove_segment(segment: SegmentFile) -> None:
    """Remove a sealed segment that is folded."""
    if not segment.sealed:
        raise Refused(f"Segment {segment.path!r} is not sealed: its writer may append to it.")
    remove(segment.path)  # if another reader has it open, and that keeps it, it goes the next time


def remove_writer(folder: WriterFolder) -> None:
    """Remove the folder of a dead writer, all of whose segments are folded. It goes at once or not at all."""
    if folder.is_alive():
        raise Refused(f"Writer {folder.writer_id.hex()} is alive: its folder stays.")
    parent, name = os.path.split(folder.path)
    going = os.path.join(parent, _GOING + name)
    if move(folder.path, going):
        _remove_tree(going)


def sweep(home: Home) -> int:
    """Remove folders that a killed process left half removed, or half made an hour ago or earlier. Returns how many."""
    swept = 0
    now_us = get_clock().now_us()
    for name in _names(home.writers_path):
        path = os.path.join(home.writers_path, name)
        is_left = name.startswith(BORN) and now_us - _changed_us(path) >= _LEFT_BEHIND_US
        if name.startswith(_GOING) or (is_left and not is_beating(path, is_local=True)):
            _remove_tree(path)
            swept += 1
    return swept


def _changed_us(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns // 1000
    except FileNotFoundError:
        return 1 << 62


def _remove_tree(folder: str) -> None:
    try:
        for name in _names(folder):
            path = os.path.join(folder, name)
            if name == COMMANDS:
                _remove_tree(path)
            else:
                remove(path)
        os.rmdir(folder)
    except OSError:
        pass  # another process removes it too, or `sweep` will


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
