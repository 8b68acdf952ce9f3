"""Contents: bytes that are stored as they are, with an ending that other programs know: images and plots of artifacts.

Length and checksum stand where the place does, in the fact. May import: core, objects, places.
"""

from __future__ import annotations

from zlib import crc32

from surefoot.core.errors import MissingResult
from surefoot.results import places
from surefoot.results.objects import object_path

__all__ = ["read", "write"]


def write(storage: str, key: str, content: bytes) -> tuple[str, int]:
    """Store bytes in a storage. Their address and checksum. Raises OSError of the disk or store."""
    path = object_path(storage, key)
    places.put(path, content)
    return path, crc32(content)


def read(place: str, size: int, crc: int) -> bytes:
    """The bytes that lie there. Raises MissingResult, which says why they are not to be had."""
    try:
        content = places.get(place)
    except FileNotFoundError:
        raise _missing(place, "it was removed") from None
    except OSError as error:
        raise _missing(place, f"it cannot be read: {error.strerror or error}") from error
    if len(content) != size or crc32(content) != crc:
        raise _missing(place, "it is damaged: its length or checksum is wrong")
    return content


def _missing(place: str, why: str) -> MissingResult:
    return MissingResult(f"The data in {place} is not to be had: {why}.", do="Run what made it again.")
