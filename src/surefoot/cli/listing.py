"""What every `ls` has in common: its options, its table, what it says when there is nothing, and how it goes on.

May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

import click

from surefoot.cli.output import Output, note, output_option, say, walk, write_array
from surefoot.cli.table import Cell, screen_width, table
from surefoot.core.errors import BadInput
from surefoot.core.states import NAMES, StateType
from surefoot.core.wire import Page

__all__ = ["Listing", "ls_options", "print_list", "state_options", "states_wanted"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Listing(NamedTuple):
    """How much of a list is wanted, from where, and in what shape."""

    limit: int
    after: str | None
    output: Output


def ls_options(function: F) -> F:
    """The options `--limit`, `--after` and `--output`."""
    function = output_option(function)
    function = click.option("--after", metavar="CURSOR", help="Go on behind the page that named this cursor.")(function)
    return click.option(
        "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="At most so many; 0 means all."
    )(function)


def state_options(function: F) -> F:
    """The options `--state` and `--state-type`."""
    function = click.option(
        "--state-type",
        "state_types",
        type=click.Choice([kind.value for kind in StateType], case_sensitive=False),
        multiple=True,
        help="Only runs in a state of this type. May be repeated.",
    )(function)
    return click.option(
        "--state",
        "states",
        metavar="NAME",
        multiple=True,
        help="Only runs in the state of this name; in capitals, of this type. May be repeated.",
    )(function)


def states_wanted(states: Sequence[str], state_types: Sequence[str]) -> tuple[list[StateType] | None, list[str] | None]:
    """The types and names that `--state` and `--state-type` ask for.

    >>> states_wanted(["failed", "TimedOut"], [])
    (None, ['Failed', 'TimedOut'])
    >>> states_wanted(["FAILED"], [])
    ([<StateType.FAILED: 'FAILED'>], None)
    """
    types = [StateType(name.upper()) for name in state_types]
    in_capitals = [name for name in states if name in StateType.__members__]
    names = [_known_name(name) for name in states if name not in StateType.__members__]
    if in_capitals and names:
        raise BadInput(
            f"--state got the type {in_capitals[0]} and the name {names[0]!r}.",
            do=f"Ask for one kind at a time: --state-type {in_capitals[0]}, or --state {names[0]}.",
        )
    return [*types, *(StateType(name) for name in in_capitals)] or None, names or None


_KNOWN = {name.lower(): name for names in NAMES.values() for name in names}


def _known_name(name: str) -> str:
    return _KNOWN.get(name.lower(), name)


def print_list(
    fetch: Callable[[int, str | None], Page[T]],
    listing: Listing,
    head: Sequence[str],
    row: Callable[[T], Sequence[str | Cell]],
    *,
    nothing: Callable[[], str],
) -> None:
    """Print the records that `fetch` gives, page by page."""
    cursor = None

    def pages() -> Iterator[list[T]]:
        nonlocal cursor
        for page in walk(fetch, limit=listing.limit or None, after=listing.after):
            cursor = page.after
            yield page.results

    if listing.output == "table":
        rows = [row(record) for records in pages() for record in records]
        if rows:
            say(table(head, rows, width=screen_width()))
        else:
            note(nothing())
    else:
        write_array(pages(), listing.output)
    if cursor is not None:
        note(f"There are more: add `--after {cursor}`, or `--limit 0` for all.")


def no_such_state(states: Sequence[str]) -> str:
    """A hint where a state's name is nearly one that Surefoot gives; empty otherwise."""
    for name in states:
        if name.lower() not in _KNOWN and (near := get_close_matches(name.lower(), _KNOWN, n=1)):
            return f" Did you mean --state {_KNOWN[near[0]]}?"
    return ""
