"""Frames: how one fact after another stands in a segment, and how as many as are whole are read back.

    length   4 bytes, little-endian: of the payload alone; 0 is the end of what was written
    crc32    4 bytes, little-endian: of the payload
    payload  the fact, as core.facts encodes it
    0 bytes  to the next multiple of 4, so that a length never crosses a boundary and is stored in one piece

A writer stores the length last. Whoever reads at the same time, or after the writer was killed between two stores,
finds either no frame or all of it; the checksum holds where stores may be seen out of order, and after a loss of power.
May import: nothing of ours.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal
from zlib import crc32

__all__ = ["FRAME_MAX", "HEAD", "Stop", "frame", "frame_bytes", "split"]

HEAD: Final = 8
FRAME_MAX: Final = 64 << 20  # the longest payload that is taken or believed; a length beyond it is damage

# Why reading stopped: nothing more was written, or the block ends where a frame does; the block ends within a frame;
# these bytes are no frame.
Stop = Literal["end", "short", "torn"]

_head = Struct("<II")


def frame_bytes(payload_bytes: int) -> int:
    """How long the frame of such a payload is.

    >>> frame_bytes(1), frame_bytes(4), frame_bytes(5)
    (12, 12, 16)
    """
    return payload_bytes + 11 & -4


def frame(payload: bytes) -> bytes:
    """The whole frame around `payload`."""
    size = len(payload)
    return _head.pack(size, crc32(payload)) + payload + bytes(-size & 3)


def split(block: bytes) -> tuple[list[tuple[int, int]], int, Stop, int]:
    """Find the whole frames at the start of `block`.

    Returns where each payload lies (from, to), where the last frame ends, why there are no more, and, where the block
    is too short for the next frame, how many bytes that one has.

    >>> split(frame(b"abc") + frame(b"defgh"))
    ([(8, 11), (20, 25)], 28, 'end', 0)
    >>> split(frame(b"abc") + frame(b"defgh")[:-4])
    ([(8, 11)], 12, 'short', 16)
    """
    spans: list[tuple[int, int]] = []
    at, size = 0, len(block)
    view = memoryview(block)
    while True:
        begin = at + HEAD
        if begin > size:
            if block[at:].strip(b"\0"):
                return spans, at, "short", HEAD
            return spans, at, "end", 0
        length, crc = _head.unpack_from(block, at)
        end = begin + length
        if length == 0:
            return spans, at, "end", 0
        if length > FRAME_MAX:
            return spans, at, "torn", 0
        after = at + (length + 11 & -4)
        if after > size:
            return spans, at, "short", after - at
        if crc32(view[begin:end]) != crc:
            return spans, at, "torn", 0
        spans.append((begin, end))
        at = after
