"""What is running here: context variables that hold the innermost run, the innermost transaction, and the tags in
force.

May import: core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

from surefoot.core.errors import BadInput

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["adopt", "being_in", "check_tags", "current", "tags", "tags_in", "tags_in_force"]

_scope: ContextVar[Execution | None] = ContextVar("surefoot_run", default=None)
_tags: ContextVar[frozenset[str]] = ContextVar("surefoot_tags", default=frozenset())

_transaction: ContextVar[Any] = ContextVar("surefoot_transaction", default=None)

current = _scope.get  # bound once: asked for at every call of a task
enter = _scope.set
leave = _scope.reset
transaction = _transaction.get  # the innermost one, if there is any
transact = _transaction.set
transacted = _transaction.reset
tags_in_force = _tags.get


def tags_in(context: Context) -> frozenset[str]:
    """The tags in force in another context."""
    return context.get(_tags, frozenset())


def adopt(execution: Execution, names: frozenset[str]) -> None:
    """Be in that run, with those tags in force, from here on: in a context made for this."""
    _scope.set(execution)
    _tags.set(names)


@contextmanager
def being_in(execution: Execution | None, names: frozenset[str]) -> Iterator[None]:
    """Be in that run, with those tags in force, for the length of a `with`."""
    run, tagged = _scope.set(execution), _tags.set(names)
    try:
        yield
    finally:
        _scope.reset(run)
        _tags.reset(tagged)


class TagTypeError(BadInput, TypeError):
    """A tag is not a text."""


class EmptyTagError(BadInput, ValueError):
    """A tag is an empty text."""


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Give all runs that are made inside these tags too. Nestable.

    >>> with tags("nightly"), tags("eu") as both:
    ...     sorted(both)
    ['eu', 'nightly']
    """
    both = _tags.get() | check_tags(names, "tags()")
    token = _tags.set(both)
    try:
        yield both
    finally:
        _tags.reset(token)


def check_tags(names: Iterable[str], what: str) -> frozenset[str]:
    """Tags as a set. Raises TypeError for a single text, and for a tag that is no text."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TagTypeError(f"{what} is {names!r}.", do=f"Pass a list: tags=[{names!r}].")
    found = tuple(names)
    for name in found:
        if isinstance(name, (list, tuple, set, frozenset)):
            inner = ", ".join(repr(each) for each in name)
            raise TagTypeError(
                f"{what} contains {name!r}, which is not a text.", do=f"Pass its texts one by one: {inner}."
            )
        if not isinstance(name, str):
            raise TagTypeError(f"{what} contains {name!r}, which is not a text.", do=f"Pass {str(name)!r}.")
        if not name:
            raise EmptyTagError(f"{what} contains an empty text.", do="Leave it out, or name the tag.")
    return frozenset(found)
