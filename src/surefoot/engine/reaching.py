"""Reaching: the runs that are on in this process, found by their ids, and an interruption sent to where each is.

A run is on from the first step of its life to its final state. It is reached through the gate of its thread, or through
the task of its event loop; what has not arrived by the end of it is taken back. Submitted tasks are found in their
pools. Keeps promise 6. May import: core, effects, scope, timers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.os.signals import GATE
from surefoot.core.states import FINAL
from surefoot.engine.effects import Outcome, Stopped
from surefoot.engine.scope import current
from surefoot.engine.timers import call_later

if TYPE_CHECKING:
    from surefoot.core.os.threads import Gate
    from surefoot.engine.execution import Execution

__all__ = [
    "ON",
    "REACHED",
    "Interrupted",
    "heeded",
    "interrupt_holder",
    "is_any_on",
    "runs_on",
    "send",
    "stop_over",
    "strays",
    "withdraw",
    "within",
]

HELD_S: Final = 0.03  # an event loop that does not turn for so long is held by a call: that one is interrupted

ON: Final[dict[bytes, Execution]] = {}  # by run id; submitted ones are not here
# Held while a run is told to stop, and by the run while it enters states after that: a few instructions at a time.
REACHED = RLock()


class Interrupted(BaseException):
    """Raised in the code of a run that was told to stop. Not an Exception: `except Exception` must not swallow it.

    `owner` is the run that it is for; None for all that a pool runs.
    """

    def __init__(self, stop: Stopped, owner: Execution | None = None) -> None:
        self.__surefoot_why__ = stop.why
        self.asked = stop.asked
        self.late = stop.late
        self.owner = owner
        super().__init__(stop.why)

    def is_here(self) -> bool:
        """Whether it may be raised in the code that the main thread is in now."""
        return True


class _Here(Interrupted):
    """For a run in an event loop, which may be busy with others: let in only where this run itself is at work."""

    def is_here(self) -> bool:
        execution = current()
        return execution is not None and within(execution, self.owner)


def is_any_on() -> bool:
    """Whether commands may come."""
    return bool(ON)


def send(execution: Execution, stop: Stopped) -> None:
    """Interrupt a run that is on, wherever it is. With `REACHED` held. Returns at once."""
    gate = execution.gate
    if execution.awaits is not None:
        _cancel_awaiting(execution, stop, *execution.awaits)
    elif gate is not None:
        error = Interrupted(stop, execution)
        gate.interrupt(error, execution.level)
        if gate is GATE:
            call_later(HELD_S, partial(_send_again, error))
    # else it is the turn of a generator's consumer: its next step ends the run


def _send_again(error: Interrupted) -> None:
    with REACHED:  # the run has not ended while it holds, if this has not arrived
        GATE.interrupt_again(error)


def _cancel_awaiting(execution: Execution, stop: Stopped, loop: Any, task: Any) -> None:
    before = execution.told

    def tell() -> None:
        if execution.state_type not in FINAL and execution.awaits is not None:
            execution.told += 1
            task.cancel()

    def insist() -> None:
        with REACHED:
            if execution.told == before and execution.state_type not in FINAL and execution.gate is GATE:
                GATE.interrupt(_Here(stop, execution))

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        return  # the loop was closed: whatever is left of the run ends with it
    if execution.gate is GATE:
        call_later(HELD_S, insist)


def interrupt_holder(execution: Execution, stop: Stopped) -> BaseException | None:
    """Interrupt the call of a run that holds the event loop of the main thread. What was sent; None: nothing can be.

    With `REACHED` held, as `send`.
    """
    if execution.gate is not GATE or execution.state_type in FINAL:
        return None
    error = _Here(stop, execution)
    GATE.interrupt(error)
    return error


def within(execution: Execution, outer: Execution | None) -> bool:
    """Whether a run is that other one, or was called or submitted by it, or by what that called, and so on."""
    found: Execution | None = execution
    while found is not None:
        if found is outer:
            return True
        found = found.parent
    return False


def runs_on(gate: Gate, outer: Execution) -> list[Execution]:
    """The runs that another one called on the thread of this gate, the innermost first."""
    found = [each for each in list(ON.values()) if each.gate is gate and each is not outer and within(each, outer)]
    return found[::-1]


def strays(outer: Execution) -> Iterator[Execution]:
    """The runs within another that are on threads of the program's own: what stops that one does not reach them."""
    for execution in list(ON.values()):
        if execution.gate is None or execution.awaits is not None or execution.gate is outer.gate:
            continue
        above = execution.parent
        while above is not None and above is not outer:
            if above.gate is execution.gate or getattr(above, "slot", None) is not None:
                break  # that one is the stray, or belongs to a pool
            above = above.parent
        if above is outer:
            yield execution


def stop_over(execution: Execution) -> Stopped | None:
    """What stops a run: what it was told itself, or else the nearest of those around it."""
    found: Execution | None = execution
    while found is not None:
        if found.stop is not None:
            return found.stop
        found = found.parent
    return None


def heeded(execution: Execution, outcome: Outcome) -> Outcome:
    """What an effect amounts to if the run was told to stop meanwhile, whatever its code made of that."""
    stop = execution.stop
    if stop is None or not stop.ends_here or outcome is stop or execution.state_type in FINAL:
        return outcome
    if type(outcome) is Stopped and getattr(outcome.error, "owner", None) is not execution:
        return Stopped(
            outcome.error, stop.why, asked=True
        )  # Ctrl-C, or the end of a run around it: it goes on outwards
    return stop


def withdraw(execution: Execution) -> None:
    """A run is over, or suspended: what was sent and has not arrived is not to hit what comes next on its thread."""
    with REACHED:
        gate, execution.gate = execution.gate, None
        if gate is None:
            return
        gate.disown(execution)
        outer = execution.parent
        while outer is not None:  # what was meant for those around it may have had to stand back for that
            if outer.gate is gate and outer.awaits is None and outer.stop is not None and outer.stop.ends_here:
                send(outer, outer.stop)
            outer = outer.parent


@after_fork_in_child
def _forget_all() -> None:
    global REACHED
    REACHED = RLock()
    ON.clear()
