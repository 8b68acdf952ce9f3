"""Asynchronous generator runs. Differs from streams.py only where something is awaited.

May import: streams, awaiting.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from surefoot.core.clock import get_clock
from surefoot.engine.awaiting import comes_on, guarded_await
from surefoot.engine.awaiting import perform as perform_awaiting
from surefoot.engine.blocking import perform
from surefoot.engine.calling import guarded
from surefoot.engine.effects import Call, Closed, Next, Outcome, Returned
from surefoot.engine.outermost import await_surrounded
from surefoot.engine.streams import Stream, come_again

__all__ = ["AsyncRunGenerator"]


class AsyncRunGenerator(Stream, AsyncGenerator[Any, Any]):
    """An asynchronous generator run, taken value by value."""

    async def asend(self, value: Any) -> Any:
        """Go on to the next value."""
        if self._is_over:
            raise StopAsyncIteration
        if self._has_begun:
            return await self._turn("asend", value)
        if value is not None:
            raise TypeError("can't send non-None value to a just-started async generator")
        return await self._turn(None)

    async def athrow(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise in the user's generator, at the place where it yielded."""
        error = value if value is not None else kind
        if isinstance(error, type):
            error = error()
        if self._is_over or not self._has_begun:
            self._is_over = True
            raise error
        return await self._turn("athrow", error)

    async def aclose(self) -> None:
        """The consumer has enough."""
        if self._is_over or not self._has_begun:
            self._is_over = True
            return
        try:
            await self._turn("aclose")
        except StopAsyncIteration:
            return

    def __del__(self) -> None:
        try:
            self._abandon(None)  # the event loop closes the user's generator
        except KeyboardInterrupt:
            try:
                self._abandon(None)
            finally:
                come_again()

    def _comes_on(self) -> None:
        comes_on(self._execution)

    def _hand_out(self, outcome: Any) -> Any:
        self._execution.awaits = None
        return super()._hand_out(outcome)

    async def _turn(self, name: str | None, *args: Any) -> Any:
        """Live from one yield to the next."""

        async def live(_: Any) -> Any:
            if not self._begin_turn():
                raise RuntimeError("asynchronous generator is already running")
            if self._told_meanwhile(name):
                await guarded_await(self._execution, self._steps.aclose())
                return await self._live(self._execution.stop)
            return await self._live(None if name is None else await self._step(name, *args))

        return await await_surrounded(self._execution, live)

    async def _live(self, outcome: Any) -> Any:
        execution = self._execution
        while True:
            try:
                effect = execution.life.send(outcome)
            except StopIteration as end:
                self._conclude(end.value)
                raise StopAsyncIteration from None
            kind = type(effect)
            if kind is Next:
                return self._hand_out(outcome)
            if kind is Call:
                opened = guarded(execution, None, lambda: [self._open()])
                if type(opened) is not Returned:
                    outcome = opened
                    continue
                self._steps = opened.value[0]
                outcome = await self._step("asend", None)
            elif kind in perform_awaiting:
                outcome = await perform_awaiting[kind](execution, effect)
            else:
                outcome = perform[kind](execution, effect)

    async def _step(self, name: str, *args: Any) -> Outcome:
        start_us = get_clock().mono_us()
        step = _boxed(getattr(self._steps, name), args)
        outcome = self._stepped(start_us, await guarded_await(self._execution, step, self._time_left()))
        return Closed(abandoned=False) if name == "aclose" and type(outcome) is Returned else outcome


async def _boxed(step: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """A step of a generator: whether it is exhausted or closed, and the value that it yielded."""
    try:
        value = await step(*args)
    except StopAsyncIteration:
        return True, None
    return step.__name__ == "aclose", value
