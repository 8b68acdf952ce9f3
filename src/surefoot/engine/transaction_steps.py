"""The steps of transactions, taken: on this thread, or in this event loop. Knows how, never whether.

What interrupts the code around waits meanwhile, but for hooks and other waits: these end, and the next step is taken.
May import: core, transacting, calling, scope.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from surefoot.core.os.threads import SHUT, THIS_THREAD
from surefoot.engine import scope
from surefoot.engine.blocking import HOOK_S
from surefoot.engine.calling import guarded_by, run_coroutine
from surefoot.engine.effects import Outcome, Raised, Returned, Stopped
from surefoot.engine.lifecycle import reason
from surefoot.engine.reaching import stop_over
from surefoot.engine.telling import stop_of
from surefoot.engine.transacting import CallHook, Erase, Lock, Look, Settled, Step, Unlock, Wait, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from surefoot.engine.execution import Execution

__all__ = ["Interruption", "await_on", "block_on", "here", "in_this_loop", "limit_s"]

T = TypeVar("T")


class Interruption(BaseException):
    """A hook, or a wait, was interrupted: what that means for the run."""

    def __init__(self, stop: Stopped) -> None:
        super().__init__()
        self.stop = stop


def here(steps: Generator[Step, Any, T]) -> T:
    """Take the steps on this thread, in the midst of the user's code. What interrupts it waits, but for its hooks."""
    gate = THIS_THREAD.gate
    opened, aside = SHUT, None
    if gate is not None:
        opened = gate.shut()
        aside = gate.set_aside()  # what ended the block may be on its way yet: it has nothing to do with the hooks
    try:
        return block_on(steps, scope.current())
    finally:
        if gate is not None:
            gate.put_back(aside)
            if opened:
                gate.open(opened)


def block_on(steps: Generator[Step, Any, T], execution: Execution | None) -> T:
    """Take the steps on this thread, whose gate is shut. `execution`: the run that this is in."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value
        work = _work_of(step)
        answer = _at_once(step) if work is None else _answer(step, _called(execution, step, work))


def _called(execution: Execution | None, step: Step, work: Callable[[], Any]) -> Outcome:
    run = _run_of(step)
    if execution is not None:
        return guarded_by(run, execution, limit_s(execution), work)
    try:
        value = run(work)
        return Returned(run_coroutine(None, value) if hasattr(value, "__await__") else value)
    except Exception as error:
        return Raised(error)
    except BaseException as error:  # told as the answer: the steps go on, and it is raised after the last
        return stop_of(error)


def limit_s(execution: Execution) -> float | None:
    """How long a hook may take, in seconds, at the end of what this run does."""
    return HOOK_S if stop_over(execution) is not None else None  # whoever asked for the end is waiting for it


def _run_of(step: Step) -> Callable[..., Any]:
    unit: Any = step.unit
    context = unit.context_of_hooks() if isinstance(step, CallHook) else None
    return _directly if context is None else context.run


def _work_of(step: Step) -> Callable[[], Any] | None:
    """What is to be called for a step that may take long; None for one that is done at once."""
    unit: Any = step.unit
    if isinstance(step, CallHook):
        hook = step.hook
        return lambda: hook(unit)
    if isinstance(step, Lock):
        return lambda: unit.store.acquire_lock(unit.key, unit.holder)
    if isinstance(step, Wait):
        futures = unit.futures
        return (lambda: [future.wait() for future in futures]) if futures else None
    return None


def _at_once(step: Step) -> Any:
    unit: Any = step.unit
    try:
        if isinstance(step, Look):
            return unit.store.exists(unit.key)
        if isinstance(step, Write):
            unit.write()
        elif isinstance(step, Erase):
            unit.erase()
        elif isinstance(step, Settled):
            unit.settled()
        elif isinstance(step, Unlock):
            unit.store.release_lock(unit.key, unit.holder)
    except Exception as error:
        if isinstance(step, (Erase, Settled, Unlock)):  # no answer is heeded: it is told instead
            unit._say(logging.ERROR, f"At the end of a transaction{unit._named()}: {reason(error)}")
        return error
    return None


def _answer(step: Step, outcome: Any) -> BaseException | None:
    if type(outcome) is Returned:
        return None
    if type(outcome) is Stopped:
        return Interruption(outcome)
    error = outcome.error
    if isinstance(step, CallHook):
        unit: Any = step.unit
        unit.tell_of_hook(step, error)
    return error  # type: ignore[no-any-return]


async def in_this_loop(steps: Generator[Step, Any, T]) -> T:
    """Take the steps in this event loop, in the midst of the user's code."""
    execution = scope.current()

    async def call(work: Coroutine[Any, Any, Any]) -> Any:
        import asyncio

        try:
            async with asyncio.timeout(None if execution is None else limit_s(execution)):
                return Returned(await work)
        except Exception as error:
            return Raised(error)
        except BaseException as error:  # told as the answer: the steps go on, and it is raised after the last
            return stop_of(error)

    return await await_on(steps, call)


async def await_on(steps: Generator[Step, Any, T], call: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]) -> T:
    """Take the steps in this event loop. `call` awaits what may take long, and says what came of it."""
    answer: Any = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value
        work = _work_of(step)
        answer = _at_once(step) if work is None else _answer(step, await call(_awaited(step, work)))


async def _awaited(step: Step, work: Callable[[], Any]) -> Any:
    import asyncio
    from inspect import iscoroutinefunction

    unit: Any = step.unit
    if isinstance(step, Lock):
        return await unit.store.aacquire_lock(unit.key, unit.holder)
    if isinstance(step, Wait):
        for future in unit.futures:
            await future.ended()
        return None
    assert isinstance(step, CallHook)
    context = unit.context_of_hooks()
    if iscoroutinefunction(step.hook):
        if context is None:
            return await step.hook(unit)
        return await asyncio.get_running_loop().create_task(step.hook(unit), context=context)
    value = await _in_a_thread(_directly if context is None else context.run, work)
    return await value if hasattr(value, "__await__") else value


async def _in_a_thread(run: Callable[..., Any], work: Callable[[], Any]) -> Any:
    """Call a hook in a thread. Whoever is cancelled meanwhile waits for its end: a hook is not left half-way."""
    import asyncio

    call = asyncio.ensure_future(asyncio.to_thread(run, work))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise


def _directly(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)
