"""Contents: bytes that are stored as they are, with an ending that other programs know: images and plots of artifacts.

Length and checksum stand where the place does, in the fact. May import: core, objects, places.
"""

from __future__ import annotations

import os
import re
from typing import Final
from zlib import crc32

from surefoot.core.errors import MissingResult
from surefoot.results import places
from surefoot.results.objects import object_path

__all__ = ["ARTIFACTS", "is_content", "read", "remove", "write"]

ARTIFACTS: Final = "artifacts"  # the folder within a storage


_NAME: Final = re.compile(ARTIFACTS + r"/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[a-z]+")


def is_content(name: str) -> bool:
    """Whether what has this name in a storage is no object of a result, but the data of an artifact.

    >>> is_content("artifacts/01a22a92-34db-77bc-b5fa-19cb5cc0f3dc.png"), is_content("artifacts/monday")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


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


def remove(place: str) -> int | None:
    """Remove what lies there: how many bytes it had; None if there was nothing. Raises OSError.

    What has not the name of an artifact's data is left alone: a ledger that many write into may name any file.
    """
    name = "/".join(place.replace(os.sep, "/").split("/")[-2:])
    return places.remove(place) if is_content(name) else None


def _missing(place: str, why: str) -> MissingResult:
    return MissingResult(f"The data in {place} is not to be had: {why}.", do="Run what made it again.")
