"""Cards: what a notebook shows of a run, a state, a future, a flow. HTML: text escaped, no script, no style sheet.

May import: core.colours, core.states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from surefoot.core.states import StateType

__all__ = ["card", "cut", "state_mark"]

TEXT_MAX: Final = 200  # characters of a text in a card or a `repr`


def cut(text: str, length: int = TEXT_MAX) -> str:
    """A text in one line of at most so many characters.

    >>> cut("first\\n  second"), cut("abcdef", 4)
    ('first second', 'abc…')
    """
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length and len(text) <= 4 * length else line[: length - 1] + "…"


def state_mark(kind: StateType, name: str) -> str:
    """A state as HTML: a dot in its colour, and its name."""
    from surefoot.core.colours import STATE_COLOURS

    return f'<span style="color:{STATE_COLOURS[kind].light}">&#9679;</span>&nbsp;{_escaped(name)}'


def card(title: str, marks: Iterable[str] = (), facts: Mapping[str, str | None] | None = None) -> str:
    """The HTML of a card.

    Args:
        title: what it is; escaped here.
        marks: HTML to stand beside the title, from `state_mark`.
        facts: names and values below it, escaped here; those without a value are left out.

    >>> card("Flow <x>", [], {"Tags": "a & b", "Parameters": None})
    '<div><b>Flow &lt;x&gt;</b><br><small>Tags: a &amp; b</small></div>'
    """
    head = " &nbsp; ".join([f"<b>{_escaped(title)}</b>", *marks])
    lines = [f"<small>{_escaped(name)}: {_escaped(value)}</small>" for name, value in (facts or {}).items() if value]
    return f"<div>{'<br>'.join([head, *lines])}</div>"


def _escaped(text: str) -> str:
    text = cut(text)  # before the signs get longer: an entity must not be cut in two
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(sign, entity)
    return text
