"""Sizes in bytes, as people write and read them: "2GiB", "500 MB". May import: errors."""

from __future__ import annotations

from typing import Final

from surefoot.core.errors import BadInput

__all__ = ["parsed_size", "told_size"]

_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_WAY: Final = 'Pass a text as "2GiB" or "500MB", or a whole number of bytes.'


class SizeTypeError(BadInput, TypeError):
    """A size is neither a text nor a whole number."""


class SizeValueError(BadInput, ValueError):
    """A size is not above 0, or its unit is unknown."""


def parsed_size(value: str | int, what: str) -> int:
    """The bytes that a text or a number stands for. `what`: whose it is, for the error.

    Units: B, KB, MB, GB, TB (thousands), KiB, MiB, GiB, TiB (1,024s), in capitals or not.

    Raises TypeError and ValueError that name the value.

    >>> parsed_size("2GiB", "memory_limit"), parsed_size("1.5 MB", "memory_limit"), parsed_size(4096, "memory_limit")
    (2147483648, 1500000, 4096)
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise SizeTypeError(f"{what} is {value!r}.", do=_WAY)
    if isinstance(value, int):
        found: float = value
    else:
        text = value.strip()
        number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
        unit = _UNITS.get(text[len(number) :].strip().lower())
        try:
            if unit is None or not number.isascii() or "_" in number:
                raise ValueError
            found = float(number) * unit
            found = int(found)
        except (ValueError, OverflowError):
            raise SizeValueError(f"{what} is {value!r}, which is no size.", do=_WAY) from None
    if found <= 0:
        raise SizeValueError(f"{what} is {value!r}, which is not above 0.", do=_WAY)
    return int(found)


def told_size(count: int) -> str:
    """A number of bytes as people read it.

    >>> told_size(2 << 30), told_size(1_500_000), told_size(12)
    ('2 GiB', '1.43 MiB', '12 bytes')
    """
    for name, unit in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"
    return f"{count} bytes"
