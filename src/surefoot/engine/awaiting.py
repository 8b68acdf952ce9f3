"""The awaiting driver: performs a life's effects in an event loop. Differs from blocking.py only where something is
awaited.

May import: core, lifecycle, blocking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context, copy_context
from typing import Any, TypeVar

from surefoot.core.clock import get_clock
from surefoot.core.os.signals import GATE
from surefoot.core.os.threads import STEP, THIS_THREAD, Gate, OutOfTime
from surefoot.core.states import COMPLETED
from surefoot.engine import apart, telling
from surefoot.engine.blocking import HOOK_S
from surefoot.engine.blocking import perform as perform_blocking
from surefoot.engine.calling import LATE_GRACE_S, cut_below_users_code, out_of_time, stopped_by
from surefoot.engine.effects import (
    AskRetry,
    AwaitSlots,
    Call,
    CallApart,
    Conclude,
    Effect,
    FindCached,
    Finish,
    GiveSlotsBack,
    Hook,
    Keep,
    LookUp,
    NotReady,
    Outcome,
    Queued,
    Raised,
    Resolve,
    Returned,
    Settle,
    Skipped,
    Sleep,
    Stopped,
    TakeSlots,
    Undo,
    Verdict,
)
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.inputs import PLAIN, pending_in
from surefoot.engine.kept import keep
from surefoot.engine.reaching import HELD_S, ON, REACHED, heeded, interrupt_holder, stop_over
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.telling import stop_of
from surefoot.engine.timers import call_later

T = TypeVar("T")

_SWALLOWED = f", and went on when it was cancelled, so it was closed {LATE_GRACE_S:.0f} s later"

__all__ = ["comes_on", "drive", "drive_on", "far", "guarded_await", "perform"]


async def drive(execution: Execution) -> None:
    """Live the whole life of a run in this event loop. Raises what stopped it, the same object."""
    __tracebackhide__ = True
    comes_on(execution)
    try:
        stop = await drive_on(execution, None)
        execution.finished()
    finally:
        ON.pop(execution.run_id, None)
    if stop is not None:
        raise stop.error


def comes_on(execution: Execution) -> None:
    """From here on the run is reached through the task that this is."""
    execution.awaits = asyncio.get_running_loop(), asyncio.current_task()
    execution.gate = THIS_THREAD.gate
    ON[execution.run_id] = execution


async def drive_on(execution: Execution, outcome: Any) -> Stopped | None:
    """Live on to the end. The first outcome is that of the effect at which the life was parked, None for a new life."""
    send = execution.life.send
    while True:
        try:
            effect = send(outcome)
        except StopIteration as end:
            stop: Stopped | None = end.value
            return stop
        kind = type(effect)
        performer = perform.get(kind) or (far.get(kind) if execution.persistence.is_far else None)
        if performer is None:
            outcome = perform_blocking[kind](execution, effect)
        else:
            outcome = await performer(execution, effect)


async def guarded_await(execution: Execution, awaitable: Awaitable[Any], timeout_s: float | None = None) -> Outcome:
    """Await in the run's context, for at most so long, and put whatever happens into an outcome."""
    __tracebackhide__ = True
    steps = InContext(awaitable, execution.context)
    alarm = _Alarm(execution, timeout_s, steps) if timeout_s is not None else None
    outcome: Outcome
    try:
        if alarm is not None:
            alarm.start()
        outcome = Returned(await steps)
    except asyncio.CancelledError as error:
        cut_below_users_code(error)
        stop = stop_over(execution)
        if stop is None:
            outcome = stop_of(error)
        elif execution.told and _take_back(execution):
            outcome = stop
        else:
            outcome = Stopped(error, stop.why, stop.asked, late=stop.late)
    except Exception as error:
        outcome = Raised(error)
    except BaseException as error:
        outcome = stopped_by(THIS_THREAD.gate, error)
    if execution.told:
        _take_back(execution)  # its code made something else of it
    if alarm is not None and alarm.ended(outcome):
        cause = outcome.error if type(outcome) is Raised else None
        outcome = out_of_time(execution, timeout_s, cause, how=_SWALLOWED if steps.is_ended else "")
    return outcome if execution.stop is None else heeded(execution, outcome)


def _take_back(execution: Execution) -> bool:
    """The task was cancelled for this run, and lives on with its caller. Whether nobody else has cancelled it."""
    task = asyncio.current_task()
    assert task is not None
    left = 0
    while execution.told:
        execution.told -= 1
        left = task.uncancel()
    return not left


class _Alarm:
    """Cancels the task that it was started in when the time is up, and knows its own cancellation from others'.

    What goes on all the same is ended, where it awaits something; what holds the loop cannot be ended, which is told.
    """

    def __init__(self, execution: Execution, seconds: float, steps: InContext) -> None:
        self._execution = execution
        self._seconds = seconds
        self._steps = steps
        self._rings = 0
        self._has_turned = False  # the loop has come to the alarm
        self._is_over = False
        self._holder: BaseException | None = None  # what was sent to what holds the loop

    def start(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + get_clock().wait_s(self._seconds)
        self._timer = loop.call_at(self._due, self._ring)
        self._watches = [
            call_later(self._seconds + HELD_S, self._interrupt),
            call_later(self._seconds + LATE_GRACE_S, self._look),
        ]

    def _ring(self) -> None:
        self._has_turned = True
        self._timer = asyncio.get_running_loop().call_later(LATE_GRACE_S, self._insist)
        with REACHED:
            if self._holder is not None:
                if not GATE.holds(self._holder):
                    return  # it was interrupted, and tidies up
                GATE.disown(self._execution)
                self._holder = None
            self._rings += 1
        self._task.cancel()

    def _insist(self) -> None:
        self._rings += 1
        self._steps.ends = True
        self._task.cancel()

    def _interrupt(self) -> None:
        """From a thread: have what holds the loop of the main thread come to its end."""
        with REACHED:
            if not self._has_turned and not self._is_over and not self._execution.sealed:
                self._holder = interrupt_holder(self._execution, stop_of(OutOfTime()))

    def _look(self) -> None:
        """From a thread: whether the loop has not even come to the alarm."""
        if not self._has_turned and not self._execution.sealed:
            telling.not_stopped(self._execution, self._seconds, is_left=False)

    def ended(self, outcome: Outcome) -> bool:
        """The call has ended, like this. Whether because its time was up: a cancellation by others goes on outwards."""
        self._timer.cancel()
        for watch in self._watches:
            watch.cancel()
        with REACHED:
            self._is_over = True
            if self._holder is not None and self._execution.stop is None:
                GATE.disown(self._execution)  # it is not to hit the next attempt
        is_alone = not self._rings
        for _ in range(self._rings):
            is_alone = self._task.uncancel() <= self._before
        if type(outcome) is Stopped and outcome.error is self._holder:
            return True
        if type(outcome) is Stopped and not (self._rings and isinstance(outcome.error, asyncio.CancelledError)):
            return False
        return is_alone and (bool(self._rings) or asyncio.get_running_loop().time() >= self._due)


class InContext:
    """An awaitable every step of which runs in a given context, as a task's own would, without a task of its own."""

    __slots__ = ("_awaitable", "_context", "ends", "is_ended")

    def __init__(self, awaitable: Awaitable[Any], context: Context) -> None:
        self.ends = False  # the next exception that comes is not for the user's coroutine: that is closed
        self.is_ended = False
        self._awaitable = awaitable
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        __tracebackhide__ = True
        run = self._context.run
        steps: Any = self._awaitable if hasattr(self._awaitable, "send") else self._awaitable.__await__()
        step: Callable[..., Any] = steps.send
        sent: Any = None
        gate = THIS_THREAD.gate or _NO_GATE
        while True:
            try:
                gate.open(STEP)
                yielded = run(step, sent)
                gate.open(gate.base)
            except StopIteration as end:
                gate.close()
                return end.value
            except BaseException as error:
                gate.close()
                if not _is_suspended(steps):
                    raise
                step, sent = steps.throw, error  # it was let in at the gate, not raised by a step
                continue
            try:
                sent = yield yielded
                gate.close()
                step = steps.send
            except GeneratorExit:
                gate.close()
                run(steps.close)
                raise
            except BaseException as error:  # handed on to the user's coroutine, whose own business it is
                gate.close()
                if self.ends:
                    self._end(run, steps)
                    raise
                step, sent = steps.throw, error

    def _end(self, run: Callable[..., Any], steps: Any) -> None:
        self.is_ended = True
        try:
            run(steps.close)
        except Exception:
            pass  # it awaits again what it is not to await any more: it is let go of as it is


def _is_suspended(steps: Any) -> bool:
    return getattr(steps, "cr_frame", None) is not None


_NO_GATE = Gate()  # where there is none: it lets in what never comes


async def _resolve(execution: Execution, _effect: Resolve) -> NotReady | Skipped | Raised | Stopped | None:
    if execution.references is None:
        return None
    outcome = await _await_all(execution, execution.unfinished())
    return outcome if type(outcome) is Stopped else execution.take_inputs()


async def _await_all(execution: Execution, futures: list[Any]) -> Outcome:
    if not futures:
        return None

    async def all_ended() -> None:
        for future in futures:
            await future.ended()

    return await guarded_await(execution, all_ended())


async def _look_up(execution: Execution, _effect: LookUp) -> Verdict | str | None:
    return await _elsewhere(execution, execution.look_up)


async def _find_cached(execution: Execution, _effect: FindCached) -> Any:
    assert isinstance(execution, TaskExecution)
    outcome = await guarded_await(execution, asyncio.to_thread(execution.find_cached))
    return outcome.value if type(outcome) is Returned else outcome


async def _keep(execution: Execution, effect: Keep) -> Verdict:
    return await _elsewhere(execution, lambda: keep(execution, effect))


async def _elsewhere(execution: Execution, act: Callable[[], T]) -> T:
    """Do on a thread what may take the time of a network, and is never stopped, so that the loop goes on meanwhile."""
    task = asyncio.current_task()
    assert task is not None
    acting = asyncio.get_running_loop().run_in_executor(None, copy_context().run, act)
    held_back: list[asyncio.CancelledError] = []
    while not acting.done():
        try:
            await asyncio.wait([acting])
        except asyncio.CancelledError as error:  # not now: it is let in at the next step that may be stopped
            held_back.append(error)
    for cancelled in held_back:
        task.uncancel()
        task.cancel(*cancelled.args)
    return acting.result()


async def _call(execution: Execution, effect: Call) -> Outcome:
    args, kwargs = execution.call_arguments()
    return await guarded_await(execution, _called(execution.definition.body, args, kwargs), effect.timeout_s)


async def _call_apart(execution: Execution, effect: CallApart) -> Outcome:
    call = apart.begun(execution, effect)
    if not isinstance(call, apart.CallOn):
        return call
    outcome = await guarded_await(execution, _over(call))
    if type(outcome) is not Stopped:
        return call.outcome
    call.interrupt(outcome.error)
    await _elsewhere(execution, call.ended.wait)
    return outcome


async def _over(call: apart.CallOn) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(over.set)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits any more

    call.when_over(tell)
    await over.wait()


async def _called(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    __tracebackhide__ = True
    value = fn(*args, **kwargs)
    if hasattr(value, "__aiter__"):  # submitted: nobody takes its values one by one
        return [item async for item in value]
    return await value


async def _settle(execution: Execution, effect: Settle) -> Verdict | Stopped:
    if type(effect.value) in PLAIN:
        return Verdict(COMPLETED, "Completed", None, effect.value)
    found = execution.awaited_in(effect)
    outcome = await _await_all(execution, pending_in(found))
    return outcome if type(outcome) is Stopped else execution.settle(effect, found)


async def _take_slots(execution: Any, _effect: TakeSlots) -> Queued | Raised | Stopped | None:
    taken: Queued | Raised | Stopped | None = await _elsewhere(execution, execution.limits.take)
    return taken


async def _await_slots(execution: Any, _effect: AwaitSlots) -> Stopped | None:
    outcome = await guarded_await(execution, execution.limits.wait_in_loop())
    return outcome if type(outcome) is Stopped else None


async def _give_slots_back(execution: Any, _effect: GiveSlotsBack) -> None:
    await _elsewhere(execution, execution.limits.give_back)


async def _conclude(execution: Any, effect: Conclude) -> Verdict | Stopped:
    concluded: Verdict | Stopped = await execution.transaction.conclude_in_loop(
        effect.stop, effect.verdict, guarded_await
    )
    return concluded


async def _undo(execution: Any, effect: Undo) -> Stopped | None:
    stop: Stopped | None = await execution.transaction.undo_in_loop(effect.why, guarded_await)
    return stop


async def _sleep(execution: Execution, effect: Sleep) -> Stopped | None:
    clock = get_clock()
    outcome = await guarded_await(execution, asyncio.sleep(clock.wait_s(clock.pause_s(effect.seconds))))
    return outcome if type(outcome) is Stopped else None


async def _finish(execution: Execution, effect: Finish) -> Stopped | None:
    assert isinstance(execution, FlowExecution)
    pool = execution.pool
    if pool is None:
        return None
    outcome = await guarded_await(execution, pool.finish_async(effect.stop))
    if type(outcome) is Stopped:
        await guarded_await(execution, pool.finish_async(outcome))
    execution.close_pool()
    return outcome if type(outcome) is Stopped else None


async def _hook(execution: Execution, effect: Hook) -> Stopped | None:
    limit_s = HOOK_S if execution.stop is not None else None
    for fn in execution.definition.hooks[effect.kind]:
        outcome = await guarded_await(execution, _called_hook(execution, fn), limit_s)
        if type(outcome) is Stopped:
            return outcome
        telling.hook_ended(execution, effect.kind, fn, outcome)
    return None


async def _called_hook(execution: Execution, fn: Callable[..., Any]) -> None:
    value = fn(execution.definition, execution.run, execution.state)
    if hasattr(value, "__await__"):
        await value


async def _ask_retry(execution: Execution, effect: AskRetry) -> bool | Stopped:
    outcome = await guarded_await(execution, _asked_retry(execution, effect))
    if type(outcome) is Stopped:
        return outcome
    if type(outcome) is Returned:
        return bool(outcome.value)
    telling.condition_failed(execution, outcome)
    return False


async def _asked_retry(execution: Execution, effect: AskRetry) -> Any:
    assert execution.definition.retry_condition_fn is not None
    value = execution.definition.retry_condition_fn(
        execution.definition, execution.run, execution.verdict_state(effect.verdict)
    )
    return await value if hasattr(value, "__await__") else value


perform: dict[type[Effect], Callable[[Any, Any], Awaitable[Any]]] = {
    Resolve: _resolve,
    Call: _call,
    CallApart: _call_apart,
    TakeSlots: _take_slots,
    AwaitSlots: _await_slots,
    GiveSlotsBack: _give_slots_back,
    Settle: _settle,
    Conclude: _conclude,
    Undo: _undo,
    AskRetry: _ask_retry,
    Sleep: _sleep,
    Hook: _hook,
    Finish: _finish,
}

# What is performed in the loop, without waiting, unless results are stored behind a network.
far: dict[type[Effect], Callable[[Any, Any], Awaitable[Any]]] = {
    LookUp: _look_up,
    FindCached: _find_cached,
    Keep: _keep,
}
