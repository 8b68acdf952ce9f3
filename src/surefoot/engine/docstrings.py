"""Docstrings: what one says of each parameter, in the three ways that are common (Google, NumPy, Sphinx).

May import: nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["parameter_texts"]

# Compiled when the first schema is asked for, not when flows are imported.
_SPHINX: Final = r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)"
_GOOGLE_HEAD: Final = r"(?i)(?:args|arguments|parameters|params|keyword args|keyword arguments):\s*$"
_GOOGLE_ITEM: Final = r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)"
_NUMPY_HEAD: Final = r"(?i)(?:other )?parameters\s*$"
_NUMPY_ITEM: Final = r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$"


def parameter_texts(docstring: str | None) -> dict[str, str]:
    '''What a docstring, whose indentation is taken off, says of each parameter.

    >>> parameter_texts("""Load it.
    ...
    ... Args:
    ...     day (str): the day,
    ...         in UTC
    ...     force: whether again
    ... """)
    {'day': 'the day, in UTC', 'force': 'whether again'}
    '''
    lines = (docstring or "").splitlines()
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        found = re.match(_SPHINX, line.strip())
        if found:
            texts[found[1]] = [found[2], *_deeper(lines[number + 1 :], _indent(line), stop_at=":")]
        elif re.match(_GOOGLE_HEAD, line.strip()):
            _google(_block(lines[number + 1 :], _indent(line)), texts)
        elif re.match(_NUMPY_HEAD, line.strip()) and set("".join(lines[number + 1 : number + 2]).strip()) == {"-"}:
            _numpy(lines[number + 2 :], _indent(line), texts)
    return {name: text for name, words in texts.items() if (text := " ".join(filter(None, words)).strip())}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _deeper(lines: Iterable[str], indent: int, stop_at: str = "") -> list[str]:
    """The lines that go on with what stands at that indentation."""
    found = []
    for line in lines:
        text = line.strip()
        if not text or _indent(line) <= indent or (stop_at and text.startswith(stop_at)):
            break
        found.append(text)
    return found


def _block(lines: list[str], indent: int) -> list[str]:
    """The lines that stand deeper than a head, up to the first that does not."""
    found = []
    for line in lines:
        if line.strip() and _indent(line) <= indent:
            break
        found.append(line)
    return found


def _google(block: list[str], texts: dict[str, list[str]]) -> None:
    first = next((line for line in block if line.strip()), "")
    depth = _indent(first)
    for number, line in enumerate(block):
        item = re.match(_GOOGLE_ITEM, line.strip())
        if item and _indent(line) == depth:
            texts[item[1]] = [item[2], *_deeper(block[number + 1 :], depth)]


def _numpy(lines: list[str], indent: int, texts: dict[str, list[str]]) -> None:
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if set("".join(lines[number + 1 : number + 2]).strip()) == {"-"} or _indent(line) < indent:
            return  # the next section
        item = re.match(_NUMPY_ITEM, line.strip())
        if item and _indent(line) == indent:
            for name in item[1].split(","):
                texts[name.strip().lstrip("*")] = _deeper(lines[number + 1 :], indent)
