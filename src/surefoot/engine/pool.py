"""The pool: the lives of the submitted tasks of one flow run, and of the flow runs that it submitted.

Only a call holds a thread. A life that waits for its inputs, for futures that it returned, or for its retry is parked:
a callback or a timer puts it in line again. A worker that waits for a future runs that task itself if nobody has begun
it, else lends its slot. So no program that waits through Surefoot deadlocks, even with one thread. May import: core,
blocking, slots, timers; lanes by a late door.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.errors import CancelledRun, MissingContextError
from surefoot.core.os.forks import THIS_PROCESS
from surefoot.core.os.threads import THIS_THREAD, OutOfTime, ThreadGate, leave
from surefoot.core.states import CRASHED, FAILED, FINAL
from surefoot.engine.blocking import perform
from surefoot.engine.calling import LATE_GRACE_S
from surefoot.engine.effects import (
    AskRetry,
    AwaitSlots,
    Call,
    CallApart,
    Effect,
    Enter,
    FindCached,
    Finish,
    Hook,
    NotReady,
    Outcome,
    Prepare,
    Raised,
    Resolve,
    Settle,
    Skipped,
    Sleep,
    Stopped,
    Verdict,
)
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.inputs import PLAIN, pending_in
from surefoot.engine.interrupts import Reach, Undisturbed
from surefoot.engine.latches import Countdown, Drained
from surefoot.engine.lifecycle import reason
from surefoot.engine.reaching import Interrupted, runs_on, within
from surefoot.engine.scope import current
from surefoot.engine.slots import CALLED, GONE, HELD, PARKED, READY, Slot, Slots
from surefoot.engine.telling import stop_of
from surefoot.engine.timers import Timer, call_later
from surefoot.engine.tracebacks import tied_as_before
from surefoot.engine.waiting import HERE, circle_of, ended, refuse_inherited, wait_for

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition
    from surefoot.engine.lanes import Lanes

__all__ = ["AWAY", "PARKING", "Pool"]

STOP_GRACE_S: Final = 5.0  # how long running tasks get to end once they were told to
# A task is run on the stack of one that waits for it only if that leaves it about as much as a thread of its own.
INLINE_FRAMES_MAX: Final = 120
_TOLD: Final = "its flow run ended first"

PARKING: Final = frozenset({AwaitSlots, Resolve, Settle, Sleep})  # effects at which a life may be parked
AWAY: Final = object()  # instead of an outcome: the life is in other hands now
_CALLING: Final = frozenset({Call, CallApart, Hook, AskRetry, FindCached, Prepare})  # effects that call the user's code


class Pool:
    """Runs the submitted tasks of one flow run.

    Args:
        max_workers: how many of them may be called at once.
        name: prefix of the threads' names.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self.max_workers = max_workers
        self.name = name
        self.slots = Slots(max_workers, name, self)
        self._lock = self.slots.lock
        self._outstanding: dict[Execution, None] = {}
        self._timers: dict[Execution, Timer] = {}
        self._awaited: list[Drained] = []
        self._lanes: Lanes | None = None
        self._stop: Stopped | None = None
        self._is_closed = False
        self.process = THIS_PROCESS.mark  # a forked child has none of its threads

    # -- lives

    def check(self, definition: Definition, rows: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        """Raise an error if a task cannot be called here with one of these sets of arguments."""
        if definition.isolation is not None:
            from surefoot.engine.pickling import check_rows

            check_rows(definition, rows)

    def submit(self, execution: Execution) -> None:
        """Begin a life. Returns at once; the life goes on when its inputs are there and a slot is free."""
        refuse_inherited(execution)
        with Undisturbed():
            with self._lock:
                if self._is_closed:
                    raise MissingContextError(
                        f"Task {execution.definition.name!r} was submitted after its flow run {self.name!r} had ended.",
                        do="Submit it while the flow's function runs.",
                    )
                self._outstanding[execution] = None
                execution.stop = self._stop
            broken = self._live(execution, None)
        if broken is not None:
            raise broken

    def go_on(self, execution: Execution) -> None:
        """Live on, in a thread that holds a slot."""
        execution.thread = threading.get_ident()
        self._live(execution, None)

    def _live(self, execution: Execution, outcome: Any) -> BaseException | None:
        """Live on until the life parks or ends. Any thread may take the next step.

        Returns what went wrong with us, if anything.
        """
        send = execution.life.send
        try:
            if outcome is None and execution.resume is not None:
                outcome = self.resumed(execution)
            while True:
                effect = send(outcome)
                if type(effect) is Enter:
                    execution.enter(effect)
                    outcome = None
                    continue
                kind = type(effect)
                if kind in _CALLING:
                    outcome = self._call(execution, effect)
                elif kind in PARKING:
                    outcome = self.park(execution, effect)
                elif kind is Finish:
                    outcome = self._finish(execution, effect)
                else:
                    outcome = perform[kind](execution, effect)
                if outcome is AWAY:
                    return None
        except StopIteration:
            self.end(execution)
        except BaseException as error:
            self.broke(execution, error)
            return error
        return None

    def resumed(self, execution: Execution) -> Any:
        """The outcome of the effect at which a life was parked; None for a new life."""
        resume, execution.resume = execution.resume, None
        return None if resume is None else resume()

    def _call(self, execution: Execution, effect: Effect) -> Any:
        """Call the user's code, and let others interrupt it."""
        reach = Reach()
        execution.gate = THIS_THREAD.gate
        if not self.enters_call(execution, reach):
            # The hooks of a run that was told to stop are what is left of its life.
            return perform[Hook](execution, effect) if _is_last_hook(execution, effect) else execution.stop
        outcome = perform[type(effect)](execution, effect)
        reach.over()
        if not self.leaves_call(execution, reach):
            return AWAY
        if type(outcome) is Stopped and type(outcome.error) is Interrupted:
            return execution.stop or outcome
        return outcome

    def _finish(self, execution: Execution, effect: Effect) -> Any:
        """Bring what a submitted flow run has submitted itself to its end, whatever stops that run meanwhile."""
        assert isinstance(execution, FlowExecution)
        assert isinstance(effect, Finish)
        if type(effect.stop) is not Stopped:
            outcome = self._call(execution, effect)
            if outcome is AWAY or execution.pool is None:
                return outcome
            effect = Finish(execution.stop or effect.stop)  # it was told to stop just before
        perform[Finish](execution, effect)
        return execution.stop

    def enters_call(self, execution: Execution, reach: Reach | None = None) -> bool:
        """Whether the user's code may be called: not if the run was told to stop."""
        if execution.stop is not None:
            return False
        execution.reach = reach  # without the lock: CPython lets nobody in between the look and these two
        execution.place = CALLED
        return True

    def leaves_call(self, execution: Execution, reach: Reach | None) -> bool:
        """Whether the life still waits for what the call gave: not if it has been ended, or gone on without it."""
        if execution.reach is not reach or execution.place == GONE:
            return False
        execution.reach = None
        execution.place = HELD
        return True

    def leave(self, execution: Execution, reach: Reach, outcome: Outcome) -> bool:
        """Go on with a life without the thread that is in this call of it. False: that has just ended, or cannot be."""
        slot, gate, thread = execution.slot, execution.gate, execution.thread
        context = execution.context.copy()  # that thread is in the other one
        with self._lock:
            if execution.reach is not reach or execution.place != CALLED or slot is None or gate is None or gate.level:
                return False  # from this look to the last of these stores CPython lets nobody in
            execution.context = context
            execution.reach = None
            execution.resume = lambda: execution.stop or outcome
            execution.thread = None
            execution.place = PARKED
            steps = self.slots.leave(slot)
        assert isinstance(gate, ThreadGate)
        leave(gate)
        self.slots.crew.leave_behind(thread)
        try:
            for inner in runs_on(gate, execution):
                inner.stop = stop_of(OutOfTime())
                inner.abandon()
                if isinstance(inner, FlowExecution) and inner.pool is not None:
                    threading.Thread(target=inner.pool.finish, args=(inner.stop,), daemon=True).start()
        finally:  # also if that could not be recorded
            for step in steps:
                step()
            self.slots.put(execution, PARKED)
        return True

    def end(self, execution: Execution) -> None:
        """A life is over."""
        try:
            execution.finished()
        finally:
            execution.resume = None
            self._outstanding.pop(execution, None)
            if not self._outstanding:  # whoever is to be told is there before it looks itself
                with self._lock:
                    drained, self._awaited = self._awaited, []
                for each in drained:
                    each.set()

    def broke(self, execution: Execution, error: BaseException) -> None:
        """A life cannot go on for a reason that is not the user's, for example that it cannot be recorded:
        it ends all the same.
        """
        if execution.state_type not in FINAL:
            try:
                execution.enter(Enter(CRASHED, "Crashed", reason(error), error))
            except Exception:  # the very thing that went wrong: the state has been entered, if not recorded
                pass
        self.end(execution)

    # -- parking

    def park(self, execution: Execution, effect: Effect) -> Any:
        """Let a life wait without a thread. Its outcome if there is nothing to wait for, else AWAY."""
        if type(effect) is Sleep:
            return self._park_asleep(execution, effect.seconds)
        if type(effect) is AwaitSlots:
            return self._park_for_slots(execution)
        if type(effect) is Settle:
            if type(effect.value) in PLAIN:
                return perform[Settle](execution, effect)
            found = execution.awaited_in(effect)
            waiting = pending_in(found)
            if not waiting:
                return execution.settle(effect, found)
            settled = effect
            execution.references = found
            circle = circle_of(execution, waiting)
            if circle is not None:
                return Verdict(FAILED, "Failed", reason(circle), circle)
            return self._park_until(execution, waiting, lambda: execution.stop or execution.settle(settled, found))
        if execution.stop is not None:
            return execution.stop
        if execution.references is None:
            self.slots.put(execution)
            return AWAY
        return self._park_until(execution, execution.unfinished(), lambda: execution.stop or self.inputs_of(execution))

    def inputs_of(self, execution: Execution) -> NotReady | Skipped | Raised | None:
        """All upstreams have ended: put their values in place, or say what is in the way."""
        return execution.take_inputs()

    def _park_until(self, execution: Execution, waiting: list[Any], resume: Callable[[], Any]) -> Any:
        with self._lock:
            if execution.stop is not None:
                return execution.stop
            execution.resume = resume
            execution.thread = None
            execution.place = PARKED
        if not waiting:
            self.slots.put(execution, PARKED)
            return AWAY
        countdown = Countdown(len(waiting), lambda: self.slots.put(execution, PARKED))
        for future in waiting:
            future.add_done_callback(countdown)
        return AWAY

    def _park_asleep(self, execution: Execution, seconds: float) -> Any:
        with self._lock:
            if execution.stop is not None:
                return execution.stop
            execution.resume = lambda: execution.stop
            execution.thread = None
            execution.place = PARKED
            self._timers[execution] = call_later(get_clock().pause_s(seconds), lambda: self._woke(execution))
        return AWAY

    def _park_for_slots(self, execution: Any) -> Any:
        with self._lock:
            if execution.stop is not None:
                return execution.stop
            execution.resume = lambda: execution.stop
            execution.thread = None
            execution.place = PARKED
        execution.limits.when_new(lambda: self.slots.put(execution, PARKED))
        return AWAY

    def _woke(self, execution: Execution) -> None:
        with self._lock:
            self._timers.pop(execution, None)
        self.slots.put(execution, PARKED)

    # -- waiting inside a worker

    def run_here(self, execution: Execution) -> bool:
        """Run a task, for which this worker waits, on its own thread, if that is ready and nobody has begun it."""
        slot = HERE.slot
        if slot is None or not slot.is_held or execution.definition.isasync or not _may_run_inline():
            return False
        if not execution.is_task or execution.definition.timeout_seconds is not None:
            return False  # a thread that waits cannot be left to a call that does not end
        with Undisturbed():
            if execution not in self._outstanding or not self.slots.take_out(execution, READY):
                return False
            execution.slot = slot
            gate = THIS_THREAD.gate
            assert isinstance(gate, ThreadGate)
            gate.cover()  # what comes for the tasks on this stack is not for the one that is run on top of them
            self.go_on(execution)
            gate.uncover()
        return True

    def begin_in_lane(self, execution: Execution) -> None:
        """Begin, or go on with, the life of an asynchronous task that was given a slot."""
        from surefoot.engine.lanes import Lanes  # a door: asyncio takes 30 ms to import

        slot = execution.slot = Slot(self.slots, on_thread=False)
        try:
            with self._lock:
                if self._lanes is None:
                    self._lanes = Lanes(self)
            self._lanes.begin(execution, slot)
        except BaseException as error:
            self.slots.release(slot)
            self.broke(execution, error)

    # -- the end

    def finish(self, stop: Stopped | bool) -> None:
        """Wait until every task has ended.

        With `stop`, those not started are cancelled; with a `Stopped`, the others interrupted.
        """
        with tied_as_before(stop.error if isinstance(stop, Stopped) else None):
            for seconds in self._waits(stop):
                wait_for(self._all(), seconds)

    async def finish_async(self, stop: Stopped | bool) -> None:
        """`finish` for an event loop, which goes on meanwhile."""
        with tied_as_before(stop.error if isinstance(stop, Stopped) else None):
            for seconds in self._waits(stop):
                await ended(self._all(), seconds)

    def _waits(self, stop: Stopped | bool) -> Iterator[float | None]:
        """How long to wait for all tasks, one wait after another, and what is done in between."""
        self._tell(stop)
        if not isinstance(stop, Stopped):
            yield None
            return
        if stop.late:  # who waits for them is out of time itself
            yield LATE_GRACE_S
            self._give_up(on_threads=True)
        yield STOP_GRACE_S
        if self._give_up():
            yield STOP_GRACE_S

    def _all(self) -> Drained:
        drained = Drained(self._outstanding)
        with self._lock:
            if self._outstanding:
                self._awaited.append(drained)
                return drained
        drained.set()
        return drained

    def _tell(self, stop: Stopped | bool) -> None:
        with Undisturbed():
            if isinstance(stop, Stopped):
                # The flow run's own error stays its own, so that none of its tasks is taken for the cause of its end.
                error = CancelledRun(f"It was stopped: {stop.why}.") if stop.ends_here else stop.error
                told = Stopped(error, stop.why, stop.asked, late=stop.late)
                self._cancel_unstarted(told)
                self._interrupt(told)
            elif stop:
                self._cancel_unstarted(Stopped(CancelledRun(f"It was not started: {_TOLD}."), _TOLD, asked=True))

    def _cancel_unstarted(self, told: Stopped) -> None:
        for execution in list(self._outstanding):
            if execution.n == 0 and self.slots.take_out(execution, READY, PARKED):
                execution.stop = told
                self._live(execution, told)

    def _interrupt(self, stop: Stopped) -> None:
        """Tell all tasks to end; those that are submitted from now on too."""
        with self._lock:
            self._stop = stop
            told = list(self._outstanding)
            for execution in told:
                execution.stop = stop
        for execution in told:
            self._reach(execution, stop)
        if self._lanes is not None:
            self._lanes.interrupt(told)

    def _reach(self, execution: Execution, stop: Stopped, again: bool = False) -> None:
        """Have a task notice that it was told to stop, unless it is on an event loop."""
        with self._lock:
            timer = self._timers.pop(execution, None)
        if timer is not None:
            timer.cancel()
        if self.slots.take_out(execution, READY, PARKED):
            self._live(execution, stop)
        elif (reach := execution.reach) is not None:
            reach.interrupt(Interrupted(stop), again=again)

    def find(self, run_id: bytes) -> Execution | None:
        """A run that was submitted and has not ended: here, or in a flow run that was."""
        outstanding = list(self._outstanding)
        for each in outstanding:
            if each.run_id == run_id:
                return each
        inner = [each.pool for each in outstanding if isinstance(each, FlowExecution)]
        return next((found for pool in inner if pool is not None and (found := pool.find(run_id)) is not None), None)

    def submitted_within(self, outer: Execution) -> list[Execution]:
        """The tasks that another run submitted, or what that called; those have not ended."""
        return [each for each in list(self._outstanding) if each.parent is not None and within(each.parent, outer)]

    def cancel(self, execution: Execution, stop: Stopped) -> None:
        """Stop one task, and no other. Asked again, it is interrupted again."""
        with Undisturbed():
            with self._lock:
                if execution not in self._outstanding or execution.place == GONE:
                    return
                again = execution.stop is not None
                if not again:
                    execution.stop = stop
                stop = execution.stop or stop
            self._reach(execution, stop, again)
            if self._lanes is not None:
                self._lanes.interrupt([execution])

    def _give_up(self, *, on_threads: bool = False) -> bool:
        """End the runs of tasks that did not end when they were told to. Whether there are any.

        With `on_threads` those alone that are called here: what is in a process is killed soon, and ends by that.
        """
        left = [each for each in self._outstanding.copy() if not on_threads or type(each.reach) in _HERE]
        for execution in left:
            with self._lock:
                if execution.place != CALLED:
                    continue  # it is on its way
                execution.place = GONE
            if isinstance(execution, FlowExecution) and execution.pool is not None:
                execution.pool.finish(execution.stop or True)
            self.slots.crew.leave_behind(execution.thread)
            execution.abandon()
            self.end(execution)
        return bool(left)

    def close(self) -> None:
        """Let the threads go. All tasks have ended."""
        with self._lock:
            self._is_closed = True
        self._tell(True)  # nothing, but for what a thread of the user's submitted at the very last moment
        self.slots.crew.close()
        if self._lanes is not None:
            self._lanes.close()


_HERE: Final = (Reach, type(None))  # not the call in a process, which can be killed


def _is_last_hook(execution: Execution, effect: Effect) -> bool:
    return type(effect) is Hook and execution.state_type in FINAL


def _may_run_inline() -> bool:
    """Whether a task run on this stack has about as much room as on a thread of its own,
    and nothing interrupts it but its own limits.
    """
    try:
        sys._getframe(INLINE_FRAMES_MAX)
    except ValueError:
        execution: Any = current()
        while execution is not None and execution.definition.timeout_seconds is None:
            if execution.slot is not None:
                return True
            execution = execution.parent
    return False
