"""Twins: the same function for code that awaits, and an id that may be awaited where none has to be.

May import: the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

__all__ = ["ArtifactId", "awaited", "id_here"]

P = ParamSpec("P")
T = TypeVar("T")


def awaited(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A coroutine function that calls another in a thread, so that the event loop goes on while something is stored."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    call.__name__ = f"a{function.__name__}"
    call.__qualname__ = f"a{function.__qualname__}"
    return call


class ArtifactId(UUID):
    """The id of an artifact that was made in an event loop: code that is used to awaiting there may await it."""

    def __await__(self) -> Generator[Any, None, UUID]:
        return UUID(bytes=self.bytes)
        yield  # makes it a generator, which ends at once


def id_here(found: UUID) -> UUID:
    """The id as it is given to code that may be in an event loop."""
    asyncio: Any = sys.modules.get("asyncio")  # where it is not loaded, nothing is asynchronous
    in_loop = asyncio is not None and asyncio._get_running_loop() is not None
    return ArtifactId(bytes=found.bytes) if in_loop else found
