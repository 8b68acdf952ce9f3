"""What the parts of the client of scripts have in common: the client that is open, and lists of which a part is wanted.

May import: client, core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

from surefoot.client.protocol import Client
from surefoot.core.errors import BadInput, MissingContextError

__all__ = ["PAGE", "Asking", "Id", "all_of", "id_text", "part_of"]

R = TypeVar("R")
Id = UUID | str
PAGE: Final = 200  # records read at a time; also what a list gives that is asked for no other number


class LimitError(BadInput, ValueError):
    """`limit` or `offset` is negative."""


class Asking:
    """Asks a client that is open."""

    _opened: Client | None = None

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise MissingContextError(
                "A client was asked that is not open.", do="Use it in a `with`: with get_client(...) as client:"
            )
        return self._opened


def all_of(page_of: Callable[[str | None], Any]) -> Iterator[Any]:
    """The records of a list, page by page; `page_of` takes the cursor of the page before."""
    after = None
    while True:
        page = page_of(after)
        yield from page.results
        after = page.after
        if after is None:
            return


def part_of(found: Iterator[R], limit: int | None, offset: int) -> list[R]:
    """So many records of a list, without the first ones. Raises ValueError for a number below 0."""
    if offset < 0 or (limit is not None and limit < 0):
        raise LimitError(f"limit is {limit}, offset is {offset}.", do="Pass numbers of at least 0.")
    return list(islice(found, offset, offset + (PAGE if limit is None else limit)))


def id_text(given: Id) -> str:
    """An id as text. Raises BadInput for what is none, such as a name."""
    try:
        return str(given if isinstance(given, UUID) else UUID(given))
    except (ValueError, AttributeError, TypeError):
        raise BadInput(
            f"{given!r} is not an id.", do="Pass the id of a run, or find the run by a filter on its name."
        ) from None
