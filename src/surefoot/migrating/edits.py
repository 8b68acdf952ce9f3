"""What rewriting a text comes to: the new text, and what needs a look. May import: the standard library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

__all__ = ["OLD_TEMPLATE", "Edit", "Look", "Rewritten", "apply", "in_order", "line_at"]

# A place in a template that a variable's value goes to: `{{ prefect.variables.region }}`.
OLD_TEMPLATE: Final = re.compile(r"(?<=\{\{)\s*(?P<old>prefect)(?=\.variables\.)")


class Look(NamedTuple):
    """One thing that a person has to look at: the line that it stands on, and a sentence."""

    line: int
    what: str


class Rewritten(NamedTuple):
    """A text after rewriting, or one that was left alone since nobody could read it."""

    text: str
    looks: list[Look]
    left_alone: bool = False


class Edit(NamedTuple):
    """What stands from one place of a text on, and what shall."""

    old: str
    new: str


def apply(text: str, edits: Mapping[int, Edit]) -> str:
    """The text with these edits, by where they start. All else stays as it is.

    >>> apply("from prefect import flow", {5: Edit("prefect", "surefoot")})
    'from surefoot import flow'
    """
    parts, done = [], 0
    for start in sorted(edits):
        edit = edits[start]
        parts += [text[done:start], edit.new]
        done = start + len(edit.old)
    return "".join([*parts, text[done:]])


def line_at(text: str, offset: int) -> int:
    """The number of the line that a place of a text is on, from 1."""
    return text.count("\n", 0, offset) + 1


def in_order(looks: Iterable[Look]) -> list[Look]:
    """Each thing to look at once, by line."""
    return sorted(set(looks))
