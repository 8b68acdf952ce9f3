"""Running executions to their ends, whichever kind they are. What the decorated functions call.

May import: outermost, blocking, streams; awaiting by a late door, since asyncio takes 30 ms to import.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from surefoot.engine.blocking import drive
from surefoot.engine.execution import Execution
from surefoot.engine.outermost import await_surrounded, call_surrounded, is_surrounded

__all__ = ["coroutine", "exhaust", "run", "stream"]


def run(execution: Execution, return_state: bool) -> Any:
    """Live a whole run on this thread, and give what its caller gets."""
    __tracebackhide__ = True  # here as in all that lies between two functions of the user's
    if is_surrounded(execution):
        drive(execution)
    else:
        call_surrounded(execution, drive)
    return execution.outcome_value(return_state)


def coroutine(make: Callable[[], Execution], return_state: bool) -> Coroutine[Any, Any, Any]:
    """A coroutine that lives a whole run in its event loop. The run is made when the coroutine is first awaited."""
    from surefoot.engine.awaiting import drive as drive_async

    async def live() -> Any:
        __tracebackhide__ = True
        execution = make()
        await await_surrounded(execution, drive_async)
        return execution.outcome_value(return_state)

    return live()


def stream(execution: Execution) -> Any:
    """A generator over the values of a run whose function yields."""
    if execution.definition.isasync:
        from surefoot.engine.async_streams import AsyncRunGenerator

        return AsyncRunGenerator(execution)
    from surefoot.engine.streams import RunGenerator

    return RunGenerator(execution)


def exhaust(values: Any) -> None:
    """Take all values of a generator run, asynchronous or not, and let them go. Raises what the run raises."""
    if not hasattr(values, "__aiter__"):
        for _ in values:
            pass
        return
    import asyncio

    async def take_all() -> None:
        async for _ in values:
            pass

    asyncio.run(take_all())
