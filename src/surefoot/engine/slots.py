"""Slots: how many submitted tasks of a flow run may be called at once, and in which order they get their turn.

What waits for other tasks lends its slot, and has it back before tasks that have not begun.
May import: core, crew, waiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import TooDeep
from surefoot.engine.crew import Crew
from surefoot.engine.waiting import HERE

if TYPE_CHECKING:
    from surefoot.engine.effects import Outcome
    from surefoot.engine.execution import Execution
    from surefoot.engine.interrupts import Reach
    from surefoot.engine.pool import Pool

__all__ = ["BLOCKED_MAX", "CALLED", "GONE", "HELD", "PARKED", "READY", "HeldLoop", "Slot", "Slots"]

BLOCKED_MAX: Final = 2_000  # threads that may wait for other tasks at once; each costs its stack

# Where the life of a submitted task is. Changed with the lock held: of several who could go on with it, one does.
HELD: Final = 0  # somebody goes on with it
READY: Final = 1  # in line for a slot
PARKED: Final = 2  # waits for inputs, for futures that it returned, or for its retry
CALLED: Final = 3  # in the user's code
GONE: Final = 4  # ended from outside, while it was called; what comes back from there is dropped

Step = Callable[[], Any]


class Slot:
    """The right to run of one task, lent while it waits for others.

    Many threads and coroutines of the task may wait at once.
    """

    __slots__ = ("_slots", "claim", "is_frozen", "is_held", "is_left", "is_over", "lent", "on_thread", "wake")

    def __init__(self, slots: Slots, on_thread: bool) -> None:
        self._slots = slots
        self.on_thread = on_thread
        self.is_held = True
        self.is_frozen = False  # its event loop is held, so that it is of no use now
        self.is_over = False
        self.is_left = False  # its task goes on without the thread that holds it
        self.lent = 0  # how many threads and coroutines of its task wait
        self.claim: Claim | None = None  # by which it is wanted back
        self.wake: Step | None = None  # how to tell whoever waits to have it back

    def lend(self) -> None:
        """Let others run meanwhile. Raises TooDeep if too many threads wait already."""
        self._slots.lend(self)

    def want_back(self, wake: Step) -> bool:
        """Have it back. True: it is there, or not needed; False: `wake` will be called when it is."""
        return self._slots.want_back(self, wake)

    def seize(self, was_wanted: bool) -> None:
        """Have it back at once, beyond the limit if need be."""
        self._slots.seize(self, 0 if was_wanted else 1)

    def leave(self, execution: Execution, reach: Reach, outcome: Outcome) -> bool:
        """Have the task go on, as if that call of it had come to this outcome, without the thread that is in the call.

        False: the call has just ended, or is not what the thread was given the slot for.
        """
        return self.on_thread and self._slots.pool.leave(execution, reach, outcome)

    def of_a_guest(self) -> Guest:
        """This slot as a thread that is not one of ours lends it."""
        return Guest(self)


class Guest:
    """A slot lent by a thread that is not one of ours: it has it back at once."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def lend(self) -> None:
        """As of the slot."""
        self._slot.lend()

    def want_back(self, wake: Step) -> bool:
        """As of the slot, but for the limit."""
        self._slot.seize(was_wanted=False)
        return True

    def seize(self, was_wanted: bool) -> None:
        """As of the slot."""
        if not was_wanted:
            self._slot.seize(was_wanted)


class HeldLoop:
    """All slots on an event loop that somebody holds to wait: of no use to their tasks, they are lent together."""

    def __init__(self, slots: Slots, all_of_them: list[Slot]) -> None:
        self._slots = slots
        self._all = all_of_them

        self._lent: list[Slot] = []

    def lend(self) -> None:
        """Let others run meanwhile."""
        self._lent = self._slots.freeze(self._all)

    def want_back(self, wake: Step) -> bool:
        """Have them back. True: they are there; False: `wake` will be called when they are."""
        return self._slots.thaw(self._all, self._lent, wake)

    def seize(self, was_wanted: bool) -> None:
        """Nobody cancels a thread."""


class Claim:
    """Slots that are wanted back together."""

    __slots__ = ("missing", "slots", "wake")

    def __init__(self, slots: list[Slot], wake: Step | None = None) -> None:
        self.slots = slots
        self.missing = len(slots)
        self.wake = wake


class Slots:
    """The slots of one pool, and who is in line for one.

    What is done with the lock held returns steps, which are to be done without it.
    """

    def __init__(self, limit: int, name: str, pool: Pool) -> None:
        self.limit = limit
        self.name = name
        self.lock = threading.Lock()
        self.pool = pool
        self.for_loops = True  # whether asynchronous tasks run on event loops here, not on threads
        # Some of those in line may have been taken out of turn; they are not READY any more.
        self._for_threads: deque[Execution] = deque()
        self._for_loops: deque[Execution] = deque()
        self._claims: deque[Claim] = deque()  # first come, first served
        self._taken = 0  # slots that are held, by threads and by tasks on event loops, or kept for the first claim
        self._blocked = 0  # threads that have lent theirs
        self.crew = Crew(self, name)

    # -- the line

    def put(self, execution: Execution, place: int = HELD) -> None:
        """Let a task have its turn, if it is still in that place."""
        with self.lock:
            if execution.place != place:
                return
            execution.place = READY
            on_loop = execution.definition.isasync and (self.for_loops or not execution.is_task)
            (self._for_loops if on_loop else self._for_threads).append(execution)
            steps = self.employ()
        if steps:
            _do(steps)

    def take_out(self, execution: Execution, *places: int) -> bool:
        """Take a life out of one of these places, to go on with it. False if it is elsewhere."""
        with self.lock:
            if execution.place not in places:
                return False
            execution.place = HELD
            return True

    def employ(self) -> list[Step]:
        """Give free slots to the first in line. With the lock held."""
        crew = self.crew
        if crew.is_full() and not self._for_loops:  # as nearly always, while many tasks wait
            return []
        steps: list[Step] = []
        while self._taken < self.limit:
            threaded, looped = self.first_for_threads(), _first(self._for_loops)
            if threaded is not None and not crew.may_come(len(self._for_threads)):
                threaded = None
                steps += crew.watched()
            if looped is not None and (threaded is None or looped.run_id < threaded.run_id):
                self._for_loops.popleft()
                looped.place = HELD
                self._taken += 1
                steps.append(self._begin_step(looped))
            elif threaded is not None:
                self._taken += 1
                steps.append(crew.comes())
            else:
                break
        return steps

    def _begin_step(self, execution: Execution) -> Step:
        return lambda: self.pool.begin_in_lane(execution)

    def first_for_threads(self) -> Execution | None:
        """The first in line of those that need a thread. With the lock held."""
        return _first(self._for_threads)

    def take_first(self) -> Execution | None:
        """The first in line, for a thread that has a slot, unless that is for somebody else. With the lock held."""
        if self._claims:
            return None
        threaded = _first(self._for_threads)
        looped = _first(self._for_loops) if self._for_loops else None
        if threaded is None or (looped is not None and looped.run_id < threaded.run_id):
            return None
        self._for_threads.popleft()
        threaded.place = HELD
        return threaded

    def call(self, execution: Execution) -> Slot:
        """Live on with a task, on this thread and in its slot, which is to be marked as over."""
        slot = HERE.slot = execution.slot = Slot(self, on_thread=True)
        self.pool.go_on(execution)
        HERE.slot = None
        if slot.lent and not slot.is_left:
            # Something that the task left behind waits on; this thread needs the slot for other tasks.
            self.seize(slot, slot.lent)
        return slot

    def leave(self, slot: Slot) -> list[Step]:
        """The thread that has it does not come back to give it up. With the lock held."""
        slot.is_left = slot.is_over = True
        if slot.claim is not None:
            self._unmake(slot.claim)
        if not slot.is_held:
            self._blocked -= 1
            return []
        self.crew.working -= 1
        return self.pass_on()

    # -- slots

    def pass_on(self) -> list[Step]:
        """A slot was given up: whoever wants theirs back gets it, else the first in line. With the lock held."""
        if not self._claims or self._taken > self.limit:  # which happens when some had been seized
            self._taken -= 1
            return self.employ()
        claim = self._claims[0]
        claim.missing -= 1
        if claim.missing:
            return []
        self._claims.popleft()
        return self._grant(claim)

    def _grant(self, claim: Claim) -> list[Step]:
        steps = [] if claim.wake is None else [claim.wake]
        for slot in claim.slots:
            slot.is_held = True
            slot.claim = None
            if slot.on_thread:
                self._blocked -= 1
                self.crew.working += 1
            if slot.wake is not None:
                steps.append(slot.wake)
                slot.wake = None
        return steps

    def _make(self, claim: Claim) -> list[Step] | None:
        """Take what is free for a claim. None: not all is, and it has to wait."""
        beyond = max(claim.missing - self.limit, 0)  # of some that had been seized: there never are as many
        self._taken += beyond
        claim.missing -= beyond
        free = min(self.limit - self._taken, claim.missing)
        if free > 0:  # then nobody else waits
            self._taken += free
            claim.missing -= free
        if not claim.missing:
            return self._grant(claim)
        for slot in claim.slots:
            slot.claim = claim
        self._claims.append(claim)
        return None

    def _unmake(self, claim: Claim) -> None:
        self._claims.remove(claim)
        for slot in claim.slots:
            slot.claim = None

    def lend(self, slot: Slot) -> None:
        """See `Slot.lend`."""
        steps: list[Step] = []
        with self.lock:
            if slot.is_over:
                return
            if slot.is_held:
                if slot.on_thread and self._blocked >= BLOCKED_MAX:
                    raise TooDeep(
                        f"{self._blocked} tasks of {self.name!r} wait for other tasks, each on a thread of its own.",
                        do="Return futures, or pass them on as inputs, instead of waiting for them inside tasks.",
                    )
                slot.is_held = False
                if slot.on_thread:
                    self._blocked += 1
                    self.crew.working -= 1
                steps = self.pass_on()
            elif slot.wake is not None:  # another part of the task was about to have it back: it goes on without
                if slot.claim is not None:
                    self._unmake(slot.claim)
                steps, slot.wake = [slot.wake], None
            slot.lent += 1
        _do(steps)

    def want_back(self, slot: Slot, wake: Step) -> bool:
        """Have a slot back. True: it is there, or not needed; False: `wake` will be called when it is."""
        with self.lock:
            if slot.is_over:
                return True
            slot.lent -= 1
            if slot.lent or slot.is_held:
                return True
            if slot.is_frozen:  # it comes back with the others of its loop
                slot.wake = wake
                return False
            if self._make(Claim([slot])) is not None:
                return True
            slot.wake = wake
            return False

    def seize(self, slot: Slot, lent: int) -> None:
        """Have a slot back at once, for one that has `lent` it so many times more than it got it back."""
        with self.lock:
            if slot.is_over:
                return
            slot.lent -= lent
            if slot.lent or slot.is_held:
                return
            slot.wake = None
            if slot.is_frozen:
                return
            if slot.claim is not None:
                self._unmake(slot.claim)
            self._taken += 1
            self._grant(Claim([slot]))

    def freeze(self, slots: list[Slot]) -> list[Slot]:
        """The event loop of these slots is held: until it goes on, others have those that are held,
        which are returned.
        """
        steps: list[Step] = []
        with self.lock:
            held = [slot for slot in slots if slot.is_held]
            for slot in slots:
                slot.is_frozen, slot.is_held = True, False
                if slot.claim is not None:
                    self._unmake(slot.claim)
            for _ in held:
                steps += self.pass_on()
        _do(steps)
        return held

    def thaw(self, slots: list[Slot], held: list[Slot], wake: Step) -> bool:
        """The event loop wants to go on, with those slots held.

        True: it may at once; False: `wake` will be called when it may.
        """
        with self.lock:
            first = self._make(Claim([slot for slot in held if not (slot.lent or slot.is_over)], wake))
            steps = [] if first is None else first[1:]  # without `wake`
            for slot in slots:
                slot.is_frozen = False
                if slot.wake is not None and slot.claim is None and not slot.is_over:
                    steps += self._make(Claim([slot])) or []
        _do(steps)
        return first is not None

    def release(self, slot: Slot) -> None:
        """The task is over, or parked."""
        with self.lock:
            if slot.is_over:
                return
            slot.is_over = True
            if slot.claim is not None:
                self._unmake(slot.claim)
            steps = self.pass_on() if slot.is_held else []
        _do(steps)

    def has_free(self) -> bool:
        """Whether a task could begin now, had it a thread. With the lock held."""
        return self._taken < self.limit

    def give_back(self) -> None:
        """A thread did not come that was to hold a slot. With the lock held."""
        self._taken -= 1


def _first(line: deque[Execution]) -> Execution | None:
    while line and line[0].place != READY:
        line.popleft()
    return line[0] if line else None


def _do(steps: list[Step]) -> None:
    for step in steps:
        step()
