"""The first line of a function, where a debugger is opened; also of one that is asynchronous, or a generator.

May import: nothing of ours.
"""

from __future__ import annotations

import inspect
import pdb
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any

__all__ = ["at_first_line"]


def at_first_line(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function, the debugger open at its first line; of an asynchronous one, give a coroutine that does so.

    What a generator yields is given as a list.
    """
    debugger = pdb.Pdb()
    if inspect.iscoroutinefunction(fn):
        return _stepped(fn(*args, **kwargs), debugger)
    if inspect.isasyncgenfunction(fn):
        return _values_stepped(fn(*args, **kwargs), debugger)
    if inspect.isgeneratorfunction(fn):
        return debugger.runcall(list, fn(*args, **kwargs))  # its frame is the first
    return debugger.runcall(fn, *args, **kwargs)


async def _stepped(wrapped: Coroutine[Any, Any, Any], debugger: pdb.Pdb) -> Any:
    debugger.reset()
    return await _steps(wrapped, debugger)


async def _values_stepped(generator: AsyncGenerator[Any, Any], debugger: pdb.Pdb) -> list[Any]:
    debugger.reset()
    values = []
    try:
        while True:
            values.append(await _steps(generator.__anext__(), debugger))
    except StopAsyncIteration:
        return values


@coroutine
def _steps(wrapped: Coroutine[Any, Any, Any], debugger: pdb.Pdb) -> Generator[Any, Any, Any]:
    """Await a coroutine, the debugger watching it alone: not the event loop, nor what else runs there."""
    step: Callable[[], Any] = partial(wrapped.send, None)
    while True:
        sys.settrace(debugger.trace_dispatch)
        try:
            awaited = step()
        except StopIteration as done:
            return done.value
        finally:
            sys.settrace(None)
        try:
            step = partial(wrapped.send, (yield awaited))
        except BaseException as error:  # thrown in: a cancellation
            step = partial(wrapped.throw, error)
