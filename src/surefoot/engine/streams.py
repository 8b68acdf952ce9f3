"""Generator runs: flows and tasks whose function yields. The consumer takes the values; the life goes on with each of
its calls.

A run ends Completed when exhausted or closed, Crashed (Abandoned) when dropped. Each step runs in the run's own
context, and nothing (no time limit, no context) spans a yield to the consumer. May import: core, blocking.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Generator
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.os.threads import THIS_THREAD, can_start
from surefoot.core.states import COMPLETED
from surefoot.engine.blocking import perform
from surefoot.engine.calling import guarded, out_of_time
from surefoot.engine.effects import Call, Closed, Next, Outcome, Raised, Returned, Stopped, Yielded
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.lifecycle import Life
from surefoot.engine.outermost import call_step
from surefoot.engine.reaching import ON, heeded, withdraw
from surefoot.engine.telling import stop_of
from surefoot.engine.timers import call_later
from surefoot.states import State

__all__ = ["RunGenerator", "Stream", "come_again"]


AGAIN_S: Final = 0.01


class Stream:
    """What blocking and asynchronous generator runs have in common."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._steps: Any = None  # the user's generator
        self._has_begun = False
        self._at_yield = False
        self._is_over = False
        self._used_s = 0.0  # in this attempt

    @property
    def state(self) -> State:
        """The state of the run now."""
        return self._execution.state

    def _open(self) -> Any:
        """A new generator of the user's."""
        args, kwargs = self._execution.call_arguments()
        self._used_s = 0.0
        return self._execution.definition.fn(*args, **kwargs)

    def _time_left(self) -> float | None:
        limit_s = self._limit_s()
        return None if limit_s is None else max(limit_s - self._used_s, 0.001)

    def _limit_s(self) -> float | None:
        return self._execution.definition.timeout_seconds

    def _stepped(self, start_us: int, outcome: Outcome) -> Outcome:
        """What a step of the user's generator amounts to."""
        self._used_s += (get_clock().mono_us() - start_us) / 1e6
        if type(outcome) is Raised and outcome.timed_out:  # told is the whole of its time, not what was left of it
            cause = outcome.error.__cause__
            return out_of_time(self._execution, self._limit_s(), cause if isinstance(cause, Exception) else None)
        if type(outcome) is not Returned:
            return outcome
        is_done, value = outcome.value
        if is_done:
            return Returned(value)
        execution = self._execution
        if execution.is_task and execution.flow is not None:
            execution.flow.links.add(value, execution.run_id)
            if execution.flow.lineage is not None:
                execution.flow.lineage.gave(execution, value)
        return Yielded(value)

    def _begin_turn(self) -> bool:
        """The consumer's turn is over. False: it was ours already."""
        if self._has_begun and not self._at_yield:
            return False
        self._has_begun = True
        self._at_yield = False
        self._comes_on()
        _suspended.discard(self._execution.life)
        return True

    def _comes_on(self) -> None:
        """From here on the run is reached on this thread."""
        execution = self._execution
        ON[execution.run_id] = execution
        execution.gate = gate = THIS_THREAD.gate
        execution.level = 0 if gate is None else gate.level

    def _told_meanwhile(self, name: str | None) -> bool:
        """Whether the run was told to stop at the consumer's turn, who wants to go on."""
        stop = self._execution.stop
        return stop is not None and stop.ends_here and name is not None and not name.endswith("close")

    def _hand_out(self, outcome: Any) -> Any:
        """It is the consumer's turn."""
        withdraw(self._execution)
        self._at_yield = True
        _suspended.add(self._execution.life)
        assert type(outcome) is Yielded
        return outcome.value

    def _conclude(self, stop: Stopped | None) -> Any:
        """The life has ended: what the consumer's generator would have returned, or raised."""
        self._is_over = True
        self._steps = None
        execution = self._execution
        ON.pop(execution.run_id, None)
        execution.finished()
        if stop is not None:
            raise stop.error
        return execution.data if execution.state_type is COMPLETED else execution.state.result()

    def _abandon(self, close: Callable[[], None] | None) -> None:
        """The consumer let go without a word. Called by the garbage collector, perhaps in the midst of our own code."""
        if self._is_over or not self._at_yield:
            return
        execution = self._execution
        ON.pop(execution.run_id, None)
        if isinstance(execution, FlowExecution) and execution.pool is not None:
            # Its tasks have to end first: that takes locks, and time. A thread starts no other while it holds a lock of
            # `threading`, as whoever collects garbage may do. Where none can be started any more, whoever reads next
            # ends the run.
            self._is_over = True
            if can_start():
                _thread.start_new_thread(_end_in_a_thread, (execution, close))
            return
        call_step(execution, lambda _: self._end_abandoned(close))

    def _end_abandoned(self, close: Callable[[], None] | None) -> None:
        self._is_over = True
        _end_abandoned(self._execution, close)


def come_again() -> None:
    """Nothing can be raised out of a finalizer: Ctrl-C comes once more, when it is over."""
    call_later(AGAIN_S, _thread.interrupt_main)


# The lives of the generators whose consumers' turn it is: kept here, so that the garbage collector, when it finds
# consumer and run in one circle, does not end the life before the run. A life holds but the last value of the user's.
_suspended: Final[set[Life]] = set()


def _end_in_a_thread(execution: Execution, close: Callable[[], None] | None) -> None:
    name = f"{execution.run_name}-abandoned"
    threading.Thread(target=_end_abandoned, args=(execution, close), name=name, daemon=True).start()


def _end_abandoned(execution: Execution, close: Callable[[], None] | None) -> None:
    _suspended.discard(execution.life)
    closed = None if close is None else guarded(execution, None, close)
    outcome: Any = Closed(abandoned=True)
    try:
        while True:
            effect = execution.life.send(outcome)
            outcome = perform[type(effect)](execution, effect)
    except StopIteration:
        execution.finished()
    if type(closed) is Raised:
        raise closed.error  # Python prints it, as for a generator of its own


class RunGenerator(Stream, Generator[Any, Any, Any]):
    """A generator run, taken value by value."""

    def send(self, value: Any) -> Any:
        """Go on to the next value."""
        if self._is_over:
            raise StopIteration
        if self._has_begun:
            return self._turn("send", value)
        if value is not None:
            raise TypeError("can't send non-None value to a just-started generator")
        return self._turn(None)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise in the user's generator, at the place where it yielded."""
        error = value if value is not None else kind
        if isinstance(error, type):
            error = error()
        if self._is_over or not self._has_begun:
            self._is_over = True
            raise error
        return self._turn("throw", error)

    def close(self) -> None:
        """The consumer has enough."""
        if self._is_over or not self._has_begun:
            self._is_over = True
            return
        try:
            self._turn("close")
        except StopIteration:
            return

    def __del__(self) -> None:
        close = None if self._steps is None else self._steps.close
        try:
            self._abandon(close)
        except KeyboardInterrupt:
            try:
                self._abandon(close)
            finally:
                come_again()

    def _turn(self, name: str | None, *args: Any) -> Any:
        """Live from one yield to the next."""
        return call_step(self._execution, lambda _: self._take_turn(name, args))

    def _take_turn(self, name: str | None, args: tuple[Any, ...]) -> Any:
        if not self._begin_turn():
            raise ValueError("generator already executing")
        if self._told_meanwhile(name):
            guarded(self._execution, None, self._steps.close)
            return self._live(self._execution.stop)
        return self._live(None if name is None else self._step(name, *args))

    def _live(self, outcome: Any) -> Any:
        execution = self._execution
        while True:
            try:
                effect = execution.life.send(outcome)
            except StopIteration as end:
                raise StopIteration(self._conclude(end.value)) from None
            kind = type(effect)
            if kind is Next:
                late = None if THIS_THREAD.gate is None else THIS_THREAD.gate.take()
                if late is not None:
                    self._steps.close()
                    outcome = heeded(execution, stop_of(late))
                    continue
                return self._hand_out(outcome)
            if kind is Call:
                opened = guarded(execution, None, lambda: [self._open()])
                if type(opened) is not Returned:
                    outcome = opened
                    continue
                self._steps = opened.value[0]
                outcome = self._step("send", None)
            else:
                outcome = perform[kind](execution, effect)

    def _step(self, name: str, *args: Any) -> Outcome:
        start_us = get_clock().mono_us()
        outcome = self._stepped(
            start_us, guarded(self._execution, self._time_left(), _boxed, getattr(self._steps, name), args)
        )
        return Closed(abandoned=False) if name == "close" and type(outcome) is Returned else outcome


def _boxed(step: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """A step of a generator: whether it is exhausted or closed, and the value that it yielded or returned."""
    try:
        value = step(*args)
    except StopIteration as end:
        return True, end.value
    return step.__name__ == "close", value
