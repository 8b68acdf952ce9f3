"""Ids: UUIDv7, made by whoever writes, 16 bytes inside and `uuid.UUID` for people.

An id sorts by the time it was made, so tables can be partitioned and paged by it. Layout (RFC 9562, section 5.7, with
method 3 for the 12 bits after the version): 48 bits of Unix milliseconds, 12 bits of the fraction of that millisecond,
62 bits that are unique.
May import: core.os.
"""

from __future__ import annotations

import itertools
import os
import time
from struct import Struct
from uuid import UUID

from surefoot.core.os.forks import after_fork_in_child

__all__ = ["id_at", "instant_us", "new_id", "state_id", "to_text", "to_uuid"]

_pack = Struct(">QQ").pack
_MASK_62 = (1 << 62) - 1
# An odd number near 2**62 / golden ratio: multiples of it walk all of the 62 bits, so neighbours look unlike each
# other.
_STRIDE = 0x278DDE6E5FD29E4B | 1


class _Unique:
    """The 62 unique bits: a random start for each process, then a walk that repeats only after 2**62 steps.

    Not `random`: a user's `random.seed(1)` must not make two processes write the same ids.
    """

    __slots__ = ("counter", "start")

    def __init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        self.start = int.from_bytes(os.urandom(8), "big") & _MASK_62
        self.counter = itertools.count()  # `next` on it is atomic, with and without the GIL


_unique = _Unique()
after_fork_in_child(_unique.reseed)


def new_id() -> bytes:
    """A new UUIDv7 as 16 bytes.

    >>> a, b = new_id(), new_id()
    >>> len(a), a != b, to_uuid(a).version
    (16, True, 7)
    """
    now_ns = time.time_ns()  # an id's time is a label, not a reading of the run's clock
    ms = now_ns // 1_000_000
    fraction = (now_ns - ms * 1_000_000) * 4096 // 1_000_000
    tail = (_unique.start + next(_unique.counter) * _STRIDE) & _MASK_62
    return _pack(ms << 16 | 0x7000 | fraction, 0b10 << 62 | tail)


def state_id(run_id: bytes, epoch: int, n: int) -> bytes:
    """The id of a run's nth state in an epoch: derived, so that writer and reader agree without sending it (UUIDv8).

    >>> state_id(bytes(16), 0, 1) == state_id(bytes(16), 0, 1) != state_id(bytes(16), 0, 2)
    True
    """
    from hashlib import blake2b  # a door: loading OpenSSL takes 3 ms, and whoever only records needs none of it

    raw = bytearray(blake2b(b"%b/%d/%d" % (run_id, epoch, n), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def to_uuid(raw: bytes) -> UUID:
    """The `uuid.UUID` of 16 bytes."""
    return UUID(bytes=raw)


def to_text(raw: bytes) -> str:
    """The usual text of an id, 36 characters."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def instant_us(raw: bytes) -> int:
    """The instant that a UUIDv7 carries, in microseconds since 1970 (UTC).

    >>> abs(instant_us(new_id()) - time.time_ns() // 1000) < 1_000_000
    True
    """
    fraction = int.from_bytes(raw[6:8], "big") & 0x0FFF
    return int.from_bytes(raw[:6], "big") * 1000 + fraction * 1000 // 4096


def id_at(us: int) -> bytes:
    """The least id of the millisecond of an instant: what was made before sorts before it.

    >>> id_at(0).hex(), id_at(1_700_000_000_000_000) < new_id()
    ('00000000000070008000000000000000', True)
    """
    return ((us // 1000) << 80 | 0x7 << 76 | 0b10 << 62).to_bytes(16, "big")
