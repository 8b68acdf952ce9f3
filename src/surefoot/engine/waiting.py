"""Waiting for a run's end, so that nothing else is held up: a thread that waits runs the task itself, or lends its
slot.

A wait that could never end is refused. May import: core, interrupts, scope.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from surefoot.core.clock import get_clock
from surefoot.core.errors import MissingContextError, WouldDeadlock
from surefoot.core.os.forks import THIS_PROCESS
from surefoot.engine.interrupts import GateShut, Shelter, check_room, shelter_of, while_nobody_enters
from surefoot.engine.scope import current

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution
    from surefoot.engine.lanes import Lane
    from surefoot.engine.pool import Pool
    from surefoot.engine.slots import Slot

__all__ = ["HERE", "Needs", "Waitable", "circle_of", "ended", "wait_for", "waits_for"]

LOOKED_AT_MAX: Final = (
    10_000  # runs looked at in search of a circle: behind a wait there are few, or there is no circle
)


class Needs:
    """The runs whose ends a wait waits for: all of them, or any one."""

    __slots__ = ("any_one", "executions")

    def __init__(self, executions: Iterable[Execution], any_one: bool = False) -> None:
        self.executions = executions
        self.any_one = any_one


class Waitable(Protocol):
    """A future, as the engine sees it."""

    @property
    def execution(self) -> Execution | None: ...
    def done(self) -> bool: ...
    def needs(self) -> Needs: ...
    def add_done_callback(self, fn: Callable[[Any], None], /) -> None: ...
    def remove_done_callback(self, fn: Callable[[Any], None], /) -> None: ...


class _Here(threading.local):
    """What this thread is."""

    pool: Pool | None = None  # a worker of this pool
    slot: Slot | None = None  # the slot that the worker holds
    lane: Lane | None = None  # the thread of this event loop, on which tasks of a pool run


HERE = _Here()


def wait_for(waitable: Waitable, timeout: float | None) -> None:
    """Wait until `waitable` is done, or `timeout` seconds have passed. Raises WouldDeadlock, and TooDeep."""
    pool, execution = HERE.pool, waitable.execution
    if execution is not None:
        refuse_inherited(execution)
        if pool is not None and timeout is None:
            pool.run_here(execution)
    if waitable.done():
        return
    check_room()
    lane = HERE.lane
    # Only a thread that runs tasks can be what its own wait waits for.
    check = (lambda: _refuse_circle(waitable)) if timeout is None and (HERE.slot or lane) else None
    with Shelter(waitable if timeout is None else None, check) as shelter:
        way_back = _WayBack(_slot_here() if lane is None else lane.held(), shelter.ring)
        waitable.add_done_callback(way_back.begin)
        try:
            way_back.lend()
            shelter.wait(way_back.is_over, timeout)
        finally:
            if not waitable.done():
                waitable.remove_done_callback(way_back.begin)
            way_back.begin()
            shelter.insist(way_back.is_over)


async def ended(waitable: Waitable, timeout: float | None = None) -> None:
    """Wait in an event loop until `waitable` is done, or `timeout` seconds have passed."""
    __tracebackhide__ = True
    if waitable.done():
        return
    import asyncio

    if waitable.execution is not None:
        refuse_inherited(waitable.execution)
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        try:
            woken.set_result(None)
        except asyncio.InvalidStateError:
            return  # it was woken before, or cancelled; a signal's handler may do that at any moment

    def ring() -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits any more

    way_back = _WayBack(_slot_here(), ring)
    timer = None if timeout is None else loop.call_later(get_clock().wait_s(timeout), way_back.begin)
    waitable.add_done_callback(way_back.begin)
    try:
        with GateShut():
            way_back.lend()
        await woken
    except BaseException:
        with GateShut():
            way_back.cut_short()
        raise
    finally:
        if timer is not None:
            timer.cancel()
        if not waitable.done():
            waitable.remove_done_callback(way_back.begin)


def refuse_inherited(execution: Execution) -> None:
    """Raise MissingContextError in a process forked from that of this submitted run, which does not go on here."""
    around = execution.around
    pool = None if around is None else around.pool
    if pool is not None and pool.process is not THIS_PROCESS.mark:
        raise MissingContextError(
            f"{execution.definition.kind} run {execution.run_name!r} belongs to a flow run of the process that this "
            "one was forked from.",
            do=f"Call {execution.definition.name}() directly here, or submit it, and wait for it, in that process.",
        )


class Lender(Protocol):
    """What can be lent while something waits: one slot, or all that are on an event loop."""

    def lend(self) -> None: ...
    def want_back(self, wake: Callable[[], Any]) -> bool: ...
    def seize(self, was_wanted: bool) -> None: ...


class _WayBack:
    """Lends a slot, and has it back: from when what is waited for is done,
    not only from when the waiter has noticed.
    """

    __slots__ = ("_has_begun", "_has_lent", "_is_over", "_lender", "_lock", "_ring")

    def __init__(self, lender: Lender | None, ring: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._lender = lender
        self._ring = ring
        self._has_begun = self._has_lent = self._is_over = False

    def lend(self) -> None:
        """Let others run meanwhile, unless the way back has begun already."""
        with self._lock:
            if self._lender is not None and not self._has_begun:
                self._lender.lend()
                self._has_lent = True

    def begin(self, _: Any = None) -> None:
        """Want the slot back. By the end of what is waited for, or by the waiter, who had enough: the first counts."""
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
        if self._lender is None or not self._has_lent or self._lender.want_back(self._end):
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._ring()

    def is_over(self) -> bool:
        """Whether the slot is there again."""
        return self._is_over

    def cut_short(self) -> None:
        """Have the slot back at once, beyond the limit if need be: what is being cancelled waits for nobody."""
        with self._lock:
            was_wanted, self._has_begun = self._has_begun, True
        if self._lender is not None and self._has_lent:
            self._lender.seize(was_wanted)


def _slot_here() -> Lender | None:
    """The slot in which this code runs: of the innermost submitted task around it, in whichever thread;
    else of this thread.
    """
    execution: Any = current()
    while execution is not None:
        if execution.slot is not None:
            break
        execution = execution.parent
    slot: Slot | None = HERE.slot if execution is None else execution.slot
    # Who has the slot meanwhile may be waiting for this very thread of the user's own, which so must not wait for the
    # slot.
    return slot.of_a_guest() if slot is not None and HERE.slot is None and HERE.lane is None else slot


def _refuse_circle(waitable: Waitable) -> None:
    """Raise WouldDeadlock if `waitable` waits for this very thread. Called while no thread begins or ends a wait."""
    try:
        here = threading.get_ident()
        culprit = _awaits(waitable.needs(), lambda execution: execution.thread == here, set())
    except RecursionError:
        return  # hundreds of waits for any one of several, within each other: no mistake looks like that
    if culprit is not None:
        where = "runs on the event loop that" if HERE.lane else "waits, itself or through others, for the task that"
        raise WouldDeadlock(
            f"{culprit.definition.kind} run {culprit.run_name!r} {where} this wait would hold.",
            do="Write `await future` instead of `future.result()` or `.wait()`, or pass the future on as an input.",
        )


def circle_of(execution: Execution, futures: Iterable[Waitable]) -> WouldDeadlock | None:
    """What is wrong if a run returned futures of runs that wait, themselves or through others, for this very run."""
    needed = [future.execution for future in futures if future.execution is not None]
    with while_nobody_enters():
        try:
            culprit = _awaits(Needs(needed), lambda other: other is execution, set())
        except RecursionError:
            return None
    if culprit is None:
        return None
    return WouldDeadlock(
        f"{execution.definition.kind} run {execution.run_name!r} returned a future that waits for the run itself.",
        do="Return a value, or the future of a run that does not wait for this one.",
    )


def waits_for(thread: int, runs: Container[Execution]) -> bool:
    """Whether a thread waits, with no time limit, for the end of one of these, itself or through others."""
    with while_nobody_enters():
        shelter = shelter_of(thread)
        if shelter is None or shelter.waits_for is None:
            return False
        try:
            return _awaits(shelter.waits_for.needs(), lambda other: other in runs, set()) is not None
        except RecursionError:
            return False


def _awaits(needs: Needs, is_it: Callable[[Execution], bool], seen: set[Execution]) -> Execution | None:
    """A run that is needed, and is one that cannot end before whoever asks goes on; None if there is none."""
    if needs.any_one:
        culprit = None
        for execution in needs.executions:
            culprit = _awaits(Needs([execution]), is_it, set(seen))
            if culprit is None:
                break
        return culprit
    stack = list(needs.executions)
    while stack and len(seen) < LOOKED_AT_MAX:
        execution = stack.pop()
        if execution in seen:
            continue
        seen.add(execution)
        if is_it(execution):
            return execution
        its_thread = execution.thread
        if its_thread is None:
            stack += [future.execution for future in execution.unfinished() if future.execution is not None]
            continue
        shelter = shelter_of(its_thread)
        if shelter is None or shelter.waits_for is None:
            continue
        further = shelter.waits_for.needs()
        if not further.any_one:
            stack += further.executions
        elif (culprit := _awaits(further, is_it, seen)) is not None:
            return culprit
    return None
