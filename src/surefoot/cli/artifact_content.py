"""What an artifact shows, as lines for a terminal, and as a file for other programs.

Its text is a stranger's: what could steer the terminal is made visible, markup of web pages stays text, and on a
terminal no more than a few pages are shown. May import: click, rich, core, the parts of cli.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click
import msgspec

from surefoot.cli.sizes import bytes_as_text
from surefoot.cli.table import hint, screen_width, table, visible
from surefoot.core.artifacts import ENDINGS, JSON, LINK, MARKDOWN, PROGRESS, TABLE, TEXT, URL, decoded
from surefoot.core.errors import BadInput
from surefoot.core.wire import Artifact

__all__ = ["FORMATS", "as_file", "ending_of", "shown", "table_of"]

FORMATS: Final = ("csv", "json", "md", "txt")
_CHARS_MAX: Final = 64_000  # of a text that is rendered: a second on a slow machine, whatever is in it
_ROWS_MAX: Final = 200
_BAR: Final = 40


def shown(artifact: Artifact, content: bytes) -> list[str]:
    """The lines that show an artifact."""
    data = decoded(artifact.media_type, content)
    if artifact.media_type == TEXT:
        return _text_lines(data, artifact)
    if artifact.media_type == URL:
        return [visible(data)]
    if artifact.media_type != JSON:
        return [f"{artifact.media_type}, {bytes_as_text(artifact.size)}: {visible(artifact.place or '')}"]
    if artifact.type == TABLE and (found := table_of(data)) is not None:
        return _table_lines(*found, artifact)
    if artifact.type == PROGRESS and isinstance(data, (int, float)):
        done = round(min(max(data, 0), 100) / 100 * _BAR)
        return [f"[{'#' * done}{'-' * (_BAR - done)}] {data:g} %"]
    if artifact.type == LINK and isinstance(data, dict):
        text = data.get("link_text")
        return [visible(f"{text}: {data.get('link')}" if text else f"{data.get('link')}")]
    return _cut(visible_lines(_json(content)), artifact)


def _json(content: bytes) -> str:
    try:
        content = msgspec.json.format(content, indent=2)
    except msgspec.DecodeError:
        pass  # it is damaged, and shown as it is
    return content.decode(errors="replace")


def visible_lines(text: str) -> list[str]:
    """The lines of a text, with all else that could steer a terminal made visible."""
    return [visible(line.expandtabs(4)) for line in text.split("\n")]


def _text_lines(text: str, artifact: Artifact) -> list[str]:
    width = screen_width()
    if width is None:
        return visible_lines(text)
    head = text[:_CHARS_MAX]
    lines = _rendered("\n".join(visible_lines(head)), width) if artifact.type == MARKDOWN else visible_lines(head)
    return lines if len(head) == len(text) else [*lines, _more(artifact)]


def _rendered(text: str, width: int) -> list[str]:
    """Markdown as a terminal shows it."""
    from markdown_it import MarkdownIt  # a door: a tenth of a second, for texts on a terminal alone
    from rich.console import Console
    from rich.markdown import Markdown

    page = Markdown("", hyperlinks=False)  # a link shows where it leads
    page.markup = text
    page.parsed = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table").parse(text)
    out = io.StringIO()
    plain = click.get_current_context().color is False
    Console(file=out, width=width, force_terminal=True, no_color=plain, highlight=False).print(page)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def table_of(data: Any) -> tuple[list[str], list[list[Any]]] | None:
    """The head and the rows of a table, however it was passed; None if the data is none.

    >>> table_of({"a": [1, 2]}), table_of([{"a": 1}, {"b": 2}]), table_of([[1, 2]])
    ((['a'], [[1], [2]]), (['a', 'b'], [[1, None], [None, 2]]), (['0', '1'], [[1, 2]]))
    """
    if isinstance(data, dict) and all(isinstance(column, list) for column in data.values()):
        return list(data), [list(row) for row in zip(*data.values(), strict=False)]
    if not isinstance(data, list):
        return None
    if all(isinstance(row, dict) for row in data):
        head = list(dict.fromkeys(name for row in data for name in row))
        return head, [[row.get(name) for name in head] for row in data]
    if all(isinstance(row, list) for row in data):
        return [str(n) for n in range(max(map(len, data), default=0))], data
    return None


def _table_lines(head: Sequence[str], rows: Sequence[Sequence[Any]], artifact: Artifact) -> list[str]:
    width = screen_width()
    if not head:
        return ["an empty table"]
    few = rows if width is None else rows[:_ROWS_MAX]
    lines = table(head, [[_cell(value) for value in row] for row in few], width=width)
    left = len(rows) - len(few)
    more = hint(f"... and {left:,} more rows: surefoot artifact export {name_of(artifact)}")
    return [*lines, more] if left else lines


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _cut(lines: list[str], artifact: Artifact) -> list[str]:
    if screen_width() is None or len(lines) <= _ROWS_MAX:
        return lines
    return [*lines[:_ROWS_MAX], _more(artifact)]


def _more(artifact: Artifact) -> str:
    return hint(f"... {bytes_as_text(artifact.size)} in all: surefoot artifact export {name_of(artifact)}")


def name_of(artifact: Artifact) -> str:
    """What it is called by in a command."""
    return artifact.key or artifact.id


# --- as a file --------------------------------------------------------------------------------------------------------


def ending_of(artifact: Artifact) -> str:
    """What its file ends with, if nothing else was asked for."""
    if artifact.media_type == JSON:
        return {TABLE: "csv", LINK: "md"}.get(artifact.type, "json")
    return ENDINGS.get(artifact.media_type, "bin")


def as_file(artifact: Artifact, content: bytes, format: str) -> bytes:
    """The bytes of its file. Raises BadInput for a format that it has not."""
    if format == ENDINGS.get(artifact.media_type) or (format == "txt" and artifact.media_type in (TEXT, URL)):
        return content
    data = decoded(artifact.media_type, content)
    if artifact.type == TABLE and format in ("csv", "md", "txt") and (found := table_of(data)) is not None:
        return (_csv(*found) if format == "csv" else _markdown_table(*found)).encode()
    if artifact.type == LINK and format in ("md", "txt") and isinstance(data, dict):
        text, address = data.get("link_text"), str(data.get("link"))
        return f"{address if format == 'txt' else f'[{text or address}]({address})'}\n".encode()
    if format == "json" and data is not None:
        return msgspec.json.encode(data)
    if format == ending_of(artifact):
        return content
    raise BadInput(
        f"The {artifact.type} artifact {name_of(artifact)!r} is {artifact.media_type}, and does not become {format}.",
        do="Leave --format out, and the ending of FILE: it is written as suits it.",
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"

    lines = [line(head), f"|{'---|' * len(head)}", *(line(map(_cell, row)) for row in rows)]
    return "\n".join(lines) + "\n"
