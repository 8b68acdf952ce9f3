"""Waiters: how a thread, or an asyncio task, waits to be woken; and the two ways to take the steps of one generator.

Such a generator yields how many seconds it wants to wait at most, and goes on when that is over or it was woken. So
what acquiring a lock means is told once. May import: engine.interrupts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

from surefoot.core.clock import get_clock
from surefoot.engine.interrupts import Shelter

__all__ = ["Steps", "Waiter", "block_on", "elsewhere", "step_through"]

T = TypeVar("T")
Steps = Generator[float | None, None, T]


class Waiter(Protocol):
    """Somebody who waits."""

    def wake(self) -> None:
        """Have it look. From any thread; once more changes nothing."""
        ...


class ThreadWaiter:
    """A thread that waits. It can be interrupted there like anywhere in the user's code."""

    __slots__ = ("_is_woken", "_shelter")

    def __init__(self) -> None:
        self._is_woken = False
        self._shelter: Shelter | None = None

    def wake(self) -> None:
        self._is_woken = True
        shelter = self._shelter
        if shelter is not None:
            shelter.ring()

    def wait(self, seconds: float | None) -> None:
        with Shelter() as shelter:
            self._shelter = shelter
            shelter.wait(lambda: self._is_woken, seconds)
        self._shelter = None
        self._is_woken = False


class LoopWaiter:
    """An asyncio task that waits, in the loop that runs here."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        import asyncio  # a door: who awaits has loaded it

        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits there

    async def wait(self, seconds: float | None) -> None:
        import asyncio

        try:
            await asyncio.wait_for(self._event.wait(), None if seconds is None else get_clock().wait_s(seconds))
        except TimeoutError:
            return
        finally:
            self._event.clear()


def block_on(make: Callable[[Waiter], Steps[T]]) -> T:
    """Take all steps here and now, on this thread."""
    waiter = ThreadWaiter()
    steps = make(waiter)
    try:
        while True:
            waiter.wait(next(steps))
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()  # whatever ended the waiting: what it had begun is taken back


async def step_through(make: Callable[[Waiter], Steps[T]], *, is_slow: bool) -> T:
    """Take all steps without blocking the event loop. `is_slow`: the steps themselves go to a thread."""
    waiter = LoopWaiter()
    steps = make(waiter)
    take: Callable[[Callable[[], Any]], Any] = elsewhere if is_slow else _here
    try:
        while True:
            is_over, value = await take(lambda: _step(steps))
            if is_over:
                return value  # type: ignore[no-any-return]
            await waiter.wait(value)
    except BaseException:
        await take(steps.close)
        raise


def _step(steps: Steps[Any]) -> tuple[bool, Any]:
    try:
        return False, next(steps)
    except StopIteration as end:  # a thread's future cannot hand this on
        return True, end.value


async def _here(step: Callable[[], Any]) -> Any:
    return step()


async def elsewhere(step: Callable[[], T]) -> T:
    """Call it in a thread. It is not left alone there: who is cancelled meanwhile waits for its end."""
    import asyncio

    call = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise
