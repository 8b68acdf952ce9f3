"""Whether a flow is being drawn here instead of run: then its tasks and flows are noted down by a sketcher, not called.

A context variable, so that a drawing in one thread or event loop changes nothing elsewhere. May import: definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition

__all__ = ["Sketcher", "drawing_with", "sketcher"]


class Sketcher(Protocol):
    """What calls of tasks and flows go to while a flow is drawn. Each answers with something to go on with."""

    def called(
        self, what: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
    ) -> Any: ...

    def submitted(
        self, what: Definition, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, return_state: bool
    ) -> Any: ...

    def mapped(
        self,
        what: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        return_state: bool,
        rows: Callable[[tuple[Any, ...], dict[str, Any]], list[tuple[tuple[Any, ...], dict[str, Any]]]],
    ) -> Any: ...


_sketcher: ContextVar[Sketcher | None] = ContextVar("surefoot_sketcher", default=None)

sketcher = _sketcher.get  # bound once: asked for at every call of a task


@contextmanager
def drawing_with(one: Sketcher) -> Iterator[None]:
    """Have all calls of tasks and flows in here go to that sketcher."""
    token = _sketcher.set(one)
    try:
        yield
    finally:
        _sketcher.reset(token)
