"""Packs: files of pickled values, one row of them for each writer and flow run, in `results/<flow run>/` of the home.

    results/<flow run id>/<writer id>-<number>.pack

A pack is frames, as in the journal (journal.frames). The first says what file this is, in a form that no later version
changes: `MAGIC`, the format as two bytes, the flow run's id, the writer's id. Each other frame holds one pickled value;
a fact says where it lies. A pack that takes no more is read-only, which is how anybody sees that it is complete.
May import: journal, core.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import BinaryIO, Final
from zlib import crc32

from surefoot.core.errors import MissingResult
from surefoot.core.facts import ResultAt
from surefoot.journal.frames import HEAD, frame, frame_bytes

__all__ = [
    "ENDING",
    "FORMAT",
    "RESULTS",
    "HeadedFile",
    "head",
    "header",
    "header_bytes",
    "is_pack",
    "make_read_only",
    "missing",
    "new_pack",
    "open_pack",
    "read_value",
    "run_folder",
    "writer_of_pack",
]

FORMAT: Final = 1  # the version of packs that this build writes
MAGIC: Final = b"surefoot pack\0"
RESULTS: Final = "results"  # the folder in the home
ENDING: Final = ".pack"

_header = Struct("<14sH16s16s")  # MAGIC, FORMAT, flow run, writer
_head = Struct("<II")  # length and checksum, as in journal.frames
header_bytes: Final = frame_bytes(_header.size)


def run_folder(flow_run_id: bytes) -> str:
    """The folder of a flow run's packs, relative to the home, in the form that facts carry.

    >>> run_folder(bytes(16))
    'results/00000000000000000000000000000000'
    """
    return f"{RESULTS}/{flow_run_id.hex()}"


def is_pack(place: str) -> bool:
    """Whether a place is in a pack of the home; else it is the address of an object."""
    return place.startswith(f"{RESULTS}/") or not (os.path.isabs(place) or "://" in place)


def writer_of_pack(place: str) -> bytes | None:
    """The id of the writer that made the pack at that place; None if the place tells none.

    >>> writer_of_pack(f"results/{'0' * 32}/{'01' * 16}-7.pack") == bytes([1]) * 16
    True
    """
    try:
        return bytes.fromhex(place.rpartition("/")[2].partition("-")[0])
    except ValueError:
        return None


def header(flow_run_id: bytes, writer_id: bytes) -> bytes:
    """What the first frame of a pack holds."""
    return _header.pack(MAGIC, FORMAT, flow_run_id, writer_id)


def head(length: int, crc: int) -> bytes:
    """The head of the frame of a payload with that length and checksum."""
    return _head.pack(length, crc)


def make_read_only(path: str) -> None:
    """Mark a pack as complete."""
    try:
        os.chmod(path, 0o400)
    except OSError:
        pass  # it counts as one that may grow, as long as its writer lives


def new_pack(home_path: str, flow_run_id: bytes, writer_id: bytes, number: int) -> tuple[str, str]:
    """The place and the path of a writer's pack with this number; makes the folder."""
    folder = run_folder(flow_run_id)
    path = os.path.join(home_path, *folder.split("/"))
    os.makedirs(path, 0o700, exist_ok=True)
    name = f"{writer_id.hex()}-{number}{ENDING}"
    return f"{folder}/{name}", os.path.join(path, name)


class HeadedFile:
    """A pack for one value that is too large for memory's sake: written by system calls, the frame's head last.

    `write` is what a pickler asks of a file. Raises OSError where the disk takes no more.
    """

    def __init__(self, path: str, flow_run_id: bytes, writer_id: bytes) -> None:
        self.path = path
        self._file = open(path, "xb", buffering=0, opener=_private)  # noqa: SIM115 - closed by `end` and `drop`
        self._length = 0
        self._crc = 0
        try:
            self._put(frame(header(flow_run_id, writer_id)) + bytes(HEAD))
        except BaseException:
            self.drop()
            raise

    def write(self, chunk: bytes | memoryview) -> int:
        """Take the next bytes of the value."""
        self._put(chunk)
        self._length += len(chunk)
        self._crc = crc32(chunk, self._crc)
        return len(chunk)

    def end(self) -> int:
        """Write what makes it whole. Returns the value's length."""
        self._put(bytes(-self._length & 3))
        self._file.seek(header_bytes)
        self._put(head(self._length, self._crc))
        self._file.close()
        make_read_only(self.path)
        return self._length

    def drop(self) -> None:
        """Take the file away."""
        self._file.close()
        try:
            os.unlink(self.path)
        except OSError:
            pass  # no fact names it: it goes with its flow run

    def _put(self, chunk: bytes | memoryview) -> None:
        left = memoryview(chunk)
        while left:
            left = left[self._file.write(left) or 0 :]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


# --- reading ----------------------------------------------------------------------------------------------------------


def open_pack(home_path: str, place: str) -> BinaryIO:
    """A pack, open for `read_value`. Raises MissingResult if it is gone, or no pack that this version reads."""
    parts = place.split("/")
    if len(parts) != 3 or parts[0] != RESULTS or not all(map(_is_name, parts)):
        raise missing(place, "that is no place of a pack")
    path = os.path.join(home_path, *parts)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise missing(place, "it was removed, or lies in another home") from None
    except OSError as error:
        raise missing(place, f"it cannot be read: {error.strerror}") from error
    try:
        _check_header(file, place, parts[1])
    except BaseException:
        file.close()
        raise
    return file


def _check_header(file: BinaryIO, place: str, flow_run: str) -> None:
    try:
        first = file.read(header_bytes)
    except OSError as error:
        raise missing(place, f"it cannot be read: {error.strerror}") from error
    if len(first) != header_bytes:
        raise missing(place, "it is damaged: too short to be a pack")
    length, crc = _head.unpack_from(first)
    magic, version, run_id, _ = _header.unpack_from(first, HEAD)
    if magic == MAGIC and version > FORMAT:
        raise missing(place, f"a newer version of Surefoot wrote it, in format {version}; this one reads {FORMAT}")
    if length != _header.size or crc != crc32(first[HEAD : HEAD + length]) or magic != MAGIC or version < 1:
        raise missing(place, "it is damaged: this is not how a pack begins")
    if run_id.hex() != flow_run:
        raise missing(place, f"it is a pack of another flow run, {run_id.hex()}")


def read_value(file: BinaryIO, at: ResultAt) -> bytes:
    """The bytes of the value at that place of an open pack. Raises MissingResult if they are not what was written."""
    try:
        file.seek(at.offset)
        raw = file.read(HEAD + at.length)
    except (OSError, ValueError, OverflowError) as error:
        raise missing(at.place, f"it cannot be read: {error}") from error
    while len(raw) < HEAD + at.length:
        more = file.read(HEAD + at.length - len(raw))
        if not more:
            raise missing(at.place, "it is damaged: it ends before the value does")
        raw += more
    length, crc = _head.unpack_from(raw)
    payload = raw[HEAD:]
    if at.length < 1 or length != at.length or crc32(payload) != crc:
        raise missing(at.place, f"it is damaged at byte {at.offset}: the value's checksum is wrong")
    return payload


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\\" not in part and "\0" not in part and ":" not in part


def missing(place: str, why: str) -> MissingResult:
    """The error that says why the value at `place` does not come back."""
    return MissingResult(f"The result in {place} is not to be had: {why}.", do="Run it again.")
