"""Wills: what a writer leaves in its folder for whoever finds it dead. What it says is other rooms' business.

May import: core.
"""

from __future__ import annotations

import os
from typing import Final

from surefoot.core.os import files

__all__ = ["leave_will", "read_will"]

_NAME: Final = "will"
_BYTES_MAX: Final = 1 << 20


def leave_will(folder: str, will: bytes) -> None:
    """Put it there, readable by the owner alone. Where that cannot be done nothing is left."""
    try:
        files.write_bytes(os.path.join(folder, _NAME), will, sync=False)
    except OSError:
        pass  # no room: the run goes on, and whoever finds it dead goes by its own settings


def read_will(folder: str) -> bytes | None:
    """What a writer left; None if nothing."""
    try:
        with open(os.path.join(folder, _NAME), "rb") as file:
            return file.read(_BYTES_MAX)
    except OSError:
        return None
