"""Refusals: why a place did not take an object, in a line for people, and the way out that fits.

May import: core, places.
"""

from __future__ import annotations

import errno
import os
from typing import Final, NamedTuple

from surefoot.core.os.files import in_the_way
from surefoot.results.places import NotSet, is_given, is_url

__all__ = ["Refusal", "refusal"]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


class Refusal(NamedTuple):
    """Why a place did not take what was to be put there, and one thing to do; both without a full stop."""

    why: str
    do: str


def refusal(error: OSError, address: str) -> Refusal:
    """What an error of a place says.

    Args:
        error: what `places.put` raised.
        address: of the object, or of the storage.

    >>> refusal(OSError(errno.ENOSPC, "No space left on device"), "/srv/reports")
    Refusal(why='/srv/reports: No space left on device', do='Free space there')
    """
    why = f"{address}: {error.strerror or error}"
    if error.errno in _FULL:
        return Refusal(why, "Free space there")
    if is_url(address):
        if is_given(address):
            do = "Let this user write there" if error.errno in _FORBIDDEN else "Look into its `write_path`"
            return Refusal(why, do)
        if isinstance(error, NotSet):
            return Refusal(why, "Set that variable")
        if error.errno == errno.EINVAL:  # before anybody was asked
            return Refusal(why, "See to what the environment says of that storage")
        return Refusal(why, "Look whether that storage answers, and takes what these credentials write")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return Refusal(f"{in_the_way(address)!r} is a file, and would have to be a folder", "Move that file away")
    if isinstance(error, IsADirectoryError):
        return Refusal(f"{address!r} is a folder", "Store it under another name")
    if error.errno == errno.EROFS:
        return Refusal(why, "Have that file system writable")
    if error.errno == errno.ENAMETOOLONG:
        return Refusal(why, "Use a shorter name")
    if isinstance(error, FileNotFoundError):
        return Refusal(f"the folder {os.path.dirname(address)!r} cannot be made: {error.strerror}", "Make that folder")
    if error.errno in _FORBIDDEN:
        return Refusal(why, "Let this user write there")
    return Refusal(why, "See to that place")
