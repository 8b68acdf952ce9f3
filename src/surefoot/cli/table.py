"""Plain tables for people, as wide as the terminal: a printer of our own, since rich would take a tenth of `ls`'s time.

Cells hold text of users (names, messages), so what could steer the terminal is made visible. When the output is no
terminal nothing is cut, so that a pipe sees all of it. May import: click, core.
"""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import click

from surefoot.core import settings
from surefoot.core.colours import STATE_COLOURS
from surefoot.core.states import StateType
from surefoot.core.typed import as_typed
from surefoot.core.wire import FlowRun, TaskRun

__all__ = [
    "Cell",
    "cut",
    "dim",
    "fitted",
    "heading",
    "hint",
    "one_line",
    "padded",
    "paint",
    "screen_width",
    "state_cell",
    "state_of",
    "table",
    "visible",
    "width_of",
]

_GAP: Final = "   "
_NARROWEST: Final = 12  # a column that has to give way keeps this much
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Cell(NamedTuple):
    """Text with a colour. Colour is dropped where the output takes none."""

    text: str
    colour: str | None = None


def table(head: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, width: int | None = None) -> list[str]:
    """The lines of a table. The last column takes what is left of `width` and is cut there; None cuts nothing.

    >>> for line in table(["NAME", "STATE"], [["brave-otter", "Completed"], ["calm-heron", "Failed"]]):
    ...     click.echo(line)
    NAME          STATE
    brave-otter   Completed
    calm-heron    Failed
    """
    body = [[_cell(value) for value in row] for row in rows]
    cells = [[_cell(name) for name in head], *body]  # of a table of users, the head is theirs too
    widths = [max(width_of(row[n].text) for row in cells) for n in range(len(head))]
    if width is not None:
        widths = fitted(widths, width - len(_GAP) * (len(head) - 1))
    return [_line(row, widths, bold=number == 0) for number, row in enumerate(cells)]


def fitted(widths: Sequence[int], room: int) -> list[int]:
    """The widths of columns so that they fit: the widest gives way first, none below what is still of use.

    >>> fitted([10, 8, 60], 40)
    [10, 8, 22]
    """
    if sum(widths) <= room:
        return list(widths)
    most = max(room, _NARROWEST)
    while most > _NARROWEST and sum(min(width, most) for width in widths) > room:
        most -= 1
    fit = [min(width, most) for width in widths]
    spare = max(room - sum(fit), 0)
    for n in reversed(range(len(fit))):  # what rounding left goes to the last columns: they hold the reasons
        more = min(spare, widths[n] - fit[n])
        fit[n] += more
        spare -= more
    return fit


def _cell(value: str | Cell) -> Cell:
    return Cell(one_line(value)) if isinstance(value, str) else Cell(one_line(value.text), value.colour)


def _line(row: Sequence[Cell], widths: Sequence[int], bold: bool) -> str:
    end = max((n for n, cell in enumerate(row) if cell.text), default=-1)  # what is empty at the end takes no spaces
    parts = []
    for n, (cell, width) in enumerate(zip(row[: end + 1], widths, strict=False)):
        text = cut(cell.text, width) if n == end else padded(cell.text, width)
        parts.append(text if bold else paint(text, cell.colour))
    line = _GAP.join(parts)
    return heading(line) if bold else line


def padded(text: str, width: int) -> str:
    """`text` in exactly `width` columns."""
    text = cut(text, width)
    return text + " " * (width - width_of(text))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, with a mark where it was cut.

    >>> cut("connection refused", 10)
    'connectio…'
    """
    if width_of(text) <= width:
        return text
    kept, taken = [], 0
    for char in text:
        taken += _width_of_char(char)
        if taken > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def width_of(text: str) -> int:
    """How many columns of a terminal `text` takes: two for a wide character, none for a combining mark.

    >>> width_of("naïve"), width_of("日本")
    (5, 4)
    """
    return len(text) if text.isascii() else sum(map(_width_of_char, text))


def _width_of_char(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def one_line(text: str) -> str:
    r"""`text` on one line, with all that could steer a terminal made visible.

    >>> print(one_line("first\n  second \x1b[2J"))
    first second \x1b[2J
    """
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """`text` with all that could steer a terminal made visible."""
    return _CONTROL.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def state_of(run: FlowRun | TaskRun) -> Cell:
    """The state that a run is in, in its colour; beside it, that somebody asked it to stop."""
    cell = state_cell(run.state_type, run.state_name)
    if run.request is None or run.state_type is StateType.CANCELLING:
        return cell
    return Cell(f"{cell.text} (Cancelling)", STATE_COLOURS[StateType.CANCELLING].terminal)


def state_cell(state_type: StateType, state_name: str) -> Cell:
    """A state's name in its colour."""
    return Cell(state_name, STATE_COLOURS[state_type].terminal)


def paint(text: str, colour: str | None) -> str:
    """`text` in a colour, if there is one."""
    return click.style(text, fg=colour) if colour else text


def heading(text: str) -> str:
    """A line that opens a part of a page."""
    return click.style(text, bold=True)


def dim(text: str) -> str:
    """What is said aside."""
    return click.style(text, fg="bright_black")


def hint(text: str) -> str:
    """Commands to type next, said aside, with the profile that this command was given."""
    return dim(as_typed(text))


def screen_width() -> int | None:
    """How many columns there are; None where nothing need be cut: the output is no terminal, or that was asked for."""
    if not sys.stdout.isatty() or not settings.refresh().cli.wrap_lines:
        return None
    return shutil.get_terminal_size().columns
