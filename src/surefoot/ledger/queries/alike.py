"""When two messages tell of the same thing: they differ only in numbers, ids, times and quoted values. Pure.

May import: nothing of ours.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Alike", "Words", "words_of"]

READ_MAX: Final = 500  # characters of a message that are compared
_VARIES: Final = re.compile(
    r"""
      (?<!\w)[bru]?'[^'\n]*'(?!\w)                                    # quoted; not what stands between two apostrophes
    | (?<!\w)[bru]?"[^"\n]*"(?!\w)
    | \b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b        # a UUID
    | \b0[xX][0-9a-fA-F]+\b                                           # an address
    | \b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?   # a date, or a time
    | \b(?=[a-fA-F]{0,63}\d)(?=\d{0,63}[a-fA-F])[0-9a-fA-F]{8,64}\b   # a hash
    | \b(?=[A-Za-z]{0,40}\d{1,40}[A-Za-z]{1,40}\d)[A-Za-z0-9]{6,64}\b # letters and digits mixed
    | \d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?                                # a number, also within a word
    """,
    re.VERBOSE,
)
_GAP: Final = "…"


Words = tuple[str, ...]


def words_of(message: str) -> tuple[Words, list[str]]:
    """A message in two parts: the words, which tell what happened, and the values between them, which tell to what.

    >>> words_of("no row 17 in 'a.csv'")
    (('no row ', ' in ', ''), ['17', "'a.csv'"])
    """
    line = message[:READ_MAX]
    return tuple(_VARIES.split(line)), _VARIES.findall(line)


class Alike:
    """Messages of the same words, of which only what they have in common is kept.

    >>> words, values = words_of("row 17 of 20: no key")
    >>> messages = Alike(words, values)
    >>> messages.add(["4", "20"])
    >>> messages.text
    'row … of 20: no key'
    """

    __slots__ = ("_values", "_words")

    def __init__(self, words: Words, values: list[str]) -> None:
        self._words = words
        self._values = values

    def add(self, values: list[str]) -> None:
        """One more of them, with these values."""
        if values != self._values:
            self._values = [mine if mine == other else _GAP for mine, other in zip(self._values, values, strict=True)]

    @property
    def text(self) -> str:
        """The message, with a gap for each value that is not the same in all of them."""
        pairs = zip([*self._values, ""], (*self._words[1:], ""), strict=True)
        return self._words[0] + "".join([value + word for value, word in pairs])
