"""Sizes as people say them. May import: the standard library."""

from __future__ import annotations

from typing import Final

__all__ = ["bytes_as_text"]

_UNITS: Final = ("kB", "MB", "GB", "TB")


def bytes_as_text(size: int) -> str:
    """A number of bytes in the unit that suits, to three digits.

    >>> [bytes_as_text(n) for n in (0, 999, 1500, 262_144, 10_400_000, 1_073_741_824)]
    ['0 B', '999 B', '1.5 kB', '262 kB', '10.4 MB', '1.07 GB']
    """
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, 0
    while value >= 999.5 and unit + 1 < len(_UNITS):
        value /= 1000
        unit += 1
    return f"{value:.3g} {_UNITS[unit]}"
