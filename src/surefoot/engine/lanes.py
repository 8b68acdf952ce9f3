"""Lanes: event loops, each on a thread, for submitted asynchronous tasks.

All asynchronous tasks of one depth share a loop, so a thousand of them need one thread. A task that such a task submits
runs one lane further down, and none begins on a loop that is held up: code that holds its own loop to wait holds up
only what had begun there.
May import: core, awaiting, pool.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from contextvars import Context
from functools import partial
from typing import Final

from surefoot.core.states import FINAL
from surefoot.engine.awaiting import far
from surefoot.engine.awaiting import perform as perform_awaiting
from surefoot.engine.blocking import perform
from surefoot.engine.effects import Conclude, Effect, Finish, GiveSlotsBack, Hook, Stopped, TakeSlots, Undo
from surefoot.engine.execution import Execution
from surefoot.engine.interrupts import shelter_of, while_nobody_enters
from surefoot.engine.pool import AWAY, PARKING, Pool
from surefoot.engine.slots import CALLED, GONE, HeldLoop, Slot
from surefoot.engine.waiting import HERE

__all__ = ["Lane", "Lanes"]

JOIN_S: Final = 5.0  # how long what tasks left behind on a loop gets to be cancelled


# Effects that are performed whatever the run was told.
_WHOLE: Final = frozenset({Conclude, Undo, TakeSlots, GiveSlotsBack})


class Lanes:
    """The lanes of one pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lanes: dict[int, list[Lane]] = {}  # by depth
        self._lock = threading.Lock()

    def begin(self, execution: Execution, slot: Slot) -> None:
        """Take on a life that holds a slot."""
        with self._lock:
            lanes = self._lanes.setdefault(execution.depth, [])
            lane = next((lane for lane in lanes if lane.admits(execution, slot)), None)
            if lane is None:
                lane = Lane(self._pool, f"{self._pool.name}-async-{execution.depth}-{len(lanes) + 1}")
                lanes.append(lane)
                lane.admits(execution, slot)
        lane.begin(execution, slot)

    def interrupt(self, told: Collection[Execution]) -> None:
        """Cancel the calls of these. What they were told to is `execution.stop`."""
        for lane in self._all():
            lane.interrupt(told)

    def close(self) -> None:
        """Stop the loops; their tasks have ended."""
        for lane in self._all():
            lane.close()

    def _all(self) -> list[Lane]:
        with self._lock:
            return [lane for lanes in self._lanes.values() for lane in lanes]


class Lane:
    """One event loop on a thread."""

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[Execution, asyncio.Task[None]] = {}
        self._slots: dict[Execution, Slot] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        HERE.lane = self
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()  # what tasks leave behind is cancelled by the runner

    def admits(self, execution: Execution, slot: Slot) -> bool:
        """Have a life run here, unless this loop is held by somebody who waits."""
        with while_nobody_enters():
            thread = self._thread.ident
            assert thread is not None
            if shelter_of(thread) is not None:
                return False
            execution.thread = thread
            self._slots[execution] = slot
            return True

    def held(self) -> HeldLoop:
        """What whoever holds this loop lends meanwhile."""
        return HeldLoop(self._pool.slots, list(self._slots.values()))

    def begin(self, execution: Execution, slot: Slot) -> None:
        """Take on a life that was admitted."""
        self._loop.call_soon_threadsafe(self._create, execution, slot, context=Context())

    def _create(self, execution: Execution, slot: Slot) -> None:
        task = self._tasks[execution] = self._loop.create_task(self._live(execution, slot))
        task.add_done_callback(partial(self._was_never_begun, execution, slot))

    async def _live(self, execution: Execution, slot: Slot) -> None:
        pool, error, ended = self._pool, None, False
        try:
            ended = await self._go_on(execution)
        except BaseException as broken:
            error = broken
        self._tasks.pop(execution, None)
        self._leave(execution, slot)
        if error is not None:
            pool.broke(execution, error)
        elif ended:
            pool.end(execution)

    async def _go_on(self, execution: Execution) -> bool:
        """Live on until the life parks or ends. Whether it has ended."""
        pool, send = self._pool, execution.life.send
        outcome = pool.resumed(execution)
        while True:
            try:
                effect = send(outcome)
            except StopIteration:
                return True
            kind = type(effect)
            if kind in PARKING:
                outcome = pool.park(execution, effect)
                if outcome is AWAY:
                    return False
            elif kind in far and execution.persistence.is_far:
                outcome = await far[kind](execution, effect)
            elif kind not in perform_awaiting:
                outcome = perform[kind](execution, effect)
            elif kind in _WHOLE:  # whatever it was told: nothing is left half done
                outcome = await perform_awaiting[kind](execution, effect)
            elif not _is_stopped(effect) and pool.enters_call(execution):
                outcome = await perform_awaiting[kind](execution, effect)
                if not pool.leaves_call(execution, None):
                    return False
            else:
                outcome = execution.stop
                if (
                    kind is Hook and execution.state_type in FINAL
                ):  # what is left of the life of one that was told to stop
                    outcome = await perform_awaiting[kind](execution, effect)
                if isinstance(effect, Finish):  # what a submitted flow run has submitted itself ends with it
                    stop = effect.stop if outcome is None or _is_stopped(effect) else outcome
                    await perform_awaiting[kind](execution, Finish(stop))

    def _was_never_begun(self, execution: Execution, slot: Slot, task: asyncio.Task[None]) -> None:
        """Code of the user's that cancels all tasks of its loop may hit one before its first step."""
        if self._tasks.get(execution) is task:
            del self._tasks[execution]
            self._leave(execution, slot)
            self._pool.broke(execution, asyncio.CancelledError())

    def _leave(self, execution: Execution, slot: Slot) -> None:
        if self._slots.get(execution) is slot:  # else it is back already, after it was parked
            del self._slots[execution]
        self._pool.slots.release(slot)

    def interrupt(self, told: Collection[Execution]) -> None:
        """Cancel those that are called here."""

        def cancel() -> None:
            for execution in told:
                task = self._tasks.get(execution)
                if task is not None and execution.place == CALLED:
                    task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def close(self) -> None:
        """Stop the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        if all(each.place != GONE for each in list(self._tasks)):  # else a call holds it that nothing can interrupt
            self._thread.join(JOIN_S)


def _is_stopped(effect: Effect) -> bool:
    """Whether it is the end of a flow run that was stopped, which nothing stops once more."""
    return isinstance(effect, Finish) and type(effect.stop) is Stopped
