"""The two outputs: text for people, JSON for programs. What a program reads is the API's own records, alone on stdout.

`-o json` is one document, `-o jsonl` one object a line, as it comes; notes, progress and errors go to stderr in all.
May import: click, msgspec, core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, TypeVar

import click
import msgspec

from surefoot.core.typed import as_typed
from surefoot.core.wire import Page

__all__ = ["Output", "note", "output_option", "say", "walk", "write_array", "write_object"]

Output = Literal["table", "json", "jsonl"]
PAGE: Final = 1000  # how many records a long walk asks for at once

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def output_option(function: F) -> F:
    """The option `--output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "jsonl"]),
        default="table",
        show_default=True,
        help="Text for people, one JSON document, or one JSON object a line.",
    )(function)


def say(lines: Iterable[str]) -> None:
    """Text for people on stdout, in one piece: a line at a time would flush each."""
    text = "\n".join(lines)
    if text:
        click.echo(text)


def note(text: str) -> None:
    """A word aside, on stderr, so that stdout holds only what was asked for."""
    click.echo(click.style(as_typed(text), fg="bright_black"), err=True)


def write_object(value: Any, output: Output) -> None:
    """One record, or a value of a user's, as a JSON document."""
    raw = msgspec.json.encode(value)
    stream = sys.stdout.buffer
    stream.write((msgspec.json.format(raw, indent=2) if output == "json" else raw) + b"\n")
    stream.flush()


def write_array(pages: Iterable[list[T]], output: Output) -> None:
    """Records as one JSON array, or one object a line; each page is written when it is there."""
    stream = sys.stdout.buffer
    array = output == "json"
    first = True
    for records in pages:
        for record in records:
            if array:
                stream.write(b"[" if first else b",\n ")
            first = False
            stream.write(msgspec.json.encode(record))
            if not array:
                stream.write(b"\n")
        stream.flush()
    if array:
        stream.write(b"[]\n" if first else b"]\n")
    stream.flush()


def walk(
    fetch: Callable[[int, str | None], Page[T]], *, limit: int | None = None, after: str | None = None
) -> Iterator[Page[T]]:
    """The pages of a list, until `limit` records (None: all of them).

    >>> pages = {None: Page(results=[1, 2], after="b"), "b": Page(results=[3])}
    >>> [page.results for page in walk(lambda limit, after: pages[after])]
    [[1, 2], [3]]
    """
    left = limit
    while left != 0:
        page = fetch(PAGE if left is None else min(left, PAGE), after)
        yield page
        after = page.after
        if after is None:
            return
        if left is not None:
            left -= len(page.results)
