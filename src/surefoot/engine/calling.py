"""Calling the user's function on this thread: in the run's own context, for at most so long, stopped where that is
possible.

The one place where user code is entered from blocking code, and where a thread's gate is opened. Keeps promise 6.
May import: core, execution.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import CoroutineType, GeneratorType
from typing import Any, Final

from surefoot.core.errors import FlowRunTimeoutError, TaskRunTimeoutError
from surefoot.core.os.threads import SHUT, THIS_THREAD, Deadline, Gate, OutOfTime, ThreadGate
from surefoot.engine import telling
from surefoot.engine.effects import Outcome, Raised, Returned, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.forking import is_inherited
from surefoot.engine.interrupts import Reach
from surefoot.engine.reaching import heeded
from surefoot.engine.telling import stop_of, took
from surefoot.engine.timers import call_later

__all__ = ["cut_below_users_code", "guarded", "guarded_by", "out_of_time", "run_coroutine", "stopped_by"]


_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def guarded(
    execution: Execution, timeout_s: float | None, fn: Callable[..., Any], *args: Any, **kwargs: Any
) -> Outcome:
    """Call `fn` in the run's context, and put whatever happens into an outcome."""
    __tracebackhide__ = True
    return guarded_by(execution.context.run, execution, timeout_s, fn, *args, **kwargs)


def guarded_by(
    run: Callable[..., Any],
    execution: Execution,
    timeout_s: float | None,
    fn: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Outcome:
    """The same, called by `run`: in another context, or in that which the code is in already."""
    __tracebackhide__ = True
    limit = None if timeout_s is None else _Limit(execution, timeout_s)
    gate = THIS_THREAD.gate
    before = SHUT if gate is None else gate.opened
    outcome: Outcome = None
    try:
        try:
            if gate is not None:
                gate.open()
            value = run(fn, *args, **kwargs)
            if type(value) is CoroutineType:
                value = run_coroutine(execution, value)
            elif type(value) is GeneratorType:  # nobody is there to take its values one by one
                value = run(list, value)
            outcome = Returned(value)
        except Exception as error:
            outcome = Raised(error)
            if is_inherited(execution):
                raise
        except BaseException as error:
            outcome = stopped_by(gate, error)
            if is_inherited(execution):
                raise
        if gate is not None:
            gate.opened = before
            if gate.sent:
                gate.settle()
    except BaseException as error:  # it came after the end of the call, before the gate was shut
        if gate is None or is_inherited(execution):
            raise
        gate.opened = before
        if gate.sent:
            gate.settle()
        outcome = stopped_by(gate, error)
    if limit is not None:
        outcome = limit.over(outcome)
    return outcome if execution.stop is None else heeded(execution, outcome)


def stopped_by(gate: Gate | None, error: BaseException) -> Stopped:
    """What it means that something ended the user's code which is no failure."""
    if not cut_below_users_code(error):
        error.__traceback__ = None
    return stop_of(error if gate is None else gate.met(error))


def cut_below_users_code(error: BaseException) -> bool:
    """Below the user's code are the steps in which what ended it was let in, where there is nothing to be seen.

    False if there is none of the user's, and nothing was changed.
    """
    innermost, trace = None, error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            innermost = trace
        trace = trace.tb_next
    if innermost is None:
        return False
    innermost.tb_next = None
    return True


class _Limit:
    """The time limit of one call.

    On the main thread the alarm clock ends the call, also a sleep or a system call; in other threads an exception that
    arrives at the next step of Python code. What cannot be ended so holds its thread: a submitted run goes on without
    that, any other is told as too late when it comes back.
    """

    __slots__ = ("_deadline", "_execution", "_gate", "_is_own", "_seconds", "_timers")

    def __init__(self, execution: Execution, seconds: float) -> None:
        gate = THIS_THREAD.gate
        self._is_own = gate is None
        if gate is None:
            gate = THIS_THREAD.gate = ThreadGate()
        self._execution = execution
        self._seconds = seconds
        self._gate = gate
        self._deadline = deadline = Deadline(seconds, execution)
        rings = gate.add(deadline)
        first = call_later(seconds + LATE_GRACE_S, self._too_late) if rings else call_later(seconds, self._ring)
        self._timers = [first]

    def _ring(self) -> None:
        self._gate.ring(self._deadline)
        self._timers.append(call_later(LATE_GRACE_S, self._too_late))

    def _too_late(self) -> None:
        """It was interrupted, and is on all the same."""
        execution, reach = self._execution, self._execution.reach
        if execution.sealed or not any(other is self._deadline for other in self._gate.deadlines):
            return  # it has just ended; or it is another process's, which kills this one
        outcome = out_of_time(
            execution, self._seconds, how="; the call that it is in goes on, since nothing can interrupt it"
        )
        is_left = (
            isinstance(reach, Reach) and execution.slot is not None and execution.slot.leave(execution, reach, outcome)
        )
        telling.not_stopped(execution, self._seconds, is_left)

    def over(self, outcome: Outcome) -> Outcome:
        """The call has ended, like this: what that means. The gate is shut."""
        self._gate.remove(self._deadline)
        for timer in self._timers:
            timer.cancel()
        if self._is_own:
            THIS_THREAD.gate = None
        if type(outcome) is Stopped:
            error = outcome.error
            is_ours = type(error) is OutOfTime and error.owner is self._execution
            return out_of_time(self._execution, self._seconds) if is_ours else outcome
        if not self._deadline.is_over():
            return outcome
        return out_of_time(self._execution, self._seconds, outcome.error if type(outcome) is Raised else None)


def out_of_time(
    execution: Execution, timeout_s: float | None, cause: Exception | None = None, *, how: str = ""
) -> Raised:
    """What a call that took too long amounts to. `cause`: what it made of being stopped; `how`: in words."""
    kind = TaskRunTimeoutError if execution.is_task else FlowRunTimeoutError
    what = "Task" if execution.is_task else "Flow"
    error = kind(f"{what} run {execution.run_name!r} took longer than its {took(timeout_s or 0)}{how}.")
    error.__cause__ = cause
    return Raised(error, timed_out=True)


def run_coroutine(execution: Execution | None, coroutine: Any) -> Any:
    """Run a coroutine to its end from blocking code;
    in a thread of its own where this one has a running loop already.
    """
    import asyncio

    tasks: list[tuple[Any, Any]] = []

    async def whole() -> Any:
        tasks.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    def call() -> Any:
        return asyncio.run(whole())

    context = None if execution is None else execution.context.copy()
    run = call if context is None else lambda: context.run(call)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    box: list[Outcome] = []

    def elsewhere() -> None:
        try:
            box.append(Returned(run()))
        except BaseException as error:  # handed to the caller, who raises it
            box.append(stop_of(error))

    thread = threading.Thread(target=elsewhere, name="surefoot-coroutine", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        for loop, task in tasks:
            loop.call_soon_threadsafe(task.cancel)
        thread.join(STOP_GRACE_S)
        raise
    outcome = box[0]
    if type(outcome) is Stopped:
        raise outcome.error
    assert type(outcome) is Returned
    return outcome.value


LATE_GRACE_S: Final = 1.0  # how long a call has whose time is up, to tidy up and come to its end
STOP_GRACE_S: Final = 5.0  # how long what was told to stop is waited for
