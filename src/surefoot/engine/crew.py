"""Crews: the threads of a pool, started when they are of use.

At once for the first few tasks; then while those at work are found to wait for something else than this process's own
computing. May import: core, timers, waiting.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.clock import SystemClock
from surefoot.core.os.forks import THIS_PROCESS
from surefoot.engine.timers import call_later
from surefoot.engine.waiting import HERE

if TYPE_CHECKING:
    from surefoot.engine.slots import Slot, Slots

__all__ = ["Crew", "Look"]

IDLE_MAX: Final = 32  # threads kept for more work; others end when they have none
JOIN_S: Final = 1.0  # they have nothing to do but to end; not to hang if one cannot
LOOK_S: Final = 0.005  # how often it is asked whether more threads are of use, while tasks wait for one
STALLED_S: Final = 0.05  # nothing began or ended for so long: those at work wait, or are long
BUSY: Final = 0.8  # of one core; above it more threads would only get in each other's way

Step = Callable[[], Any]


class Crew:
    """The threads of one pool, under the lock of its slots."""

    def __init__(self, slots: Slots, name: str) -> None:
        self._slots = slots
        self._name = name
        self.working = 0  # threads that hold a slot
        self._coming = 0  # those among them that are on their way to their first task
        self._idle: list[threading.Lock] = []  # the bells of threads without work
        self._threads: set[threading.Thread] = set()
        self._numbers = 0
        self.useful = max(4, os.cpu_count() or 1)  # so many threads at work may be of use
        self._begun = 0
        self._ended = 0
        self._is_watched = False
        self._closed = threading.Event()

    # -- with the lock held

    def may_come(self, waiting: int) -> bool:
        """Whether one more thread is of use, when so many tasks wait for one."""
        return self._coming < waiting and self.working < self.useful

    def is_full(self) -> bool:
        """Whether as many threads are at work as are of use now, and it is looked after whether more would be."""
        return self._is_watched and self.working >= self.useful

    def comes(self) -> Step:
        """Have a thread come for a task. It holds a slot from now on."""
        self.working += 1
        self._coming += 1
        return self._idle.pop().release if self._idle else self._start_worker

    def watched(self) -> list[Step]:
        """Have it looked after whether more threads are of use."""
        if self._is_watched or self.working < self.useful:
            return []
        self._is_watched = True
        return [self._start_watch]

    # -- threads

    def _start_worker(self) -> None:
        try:
            self._start(self._work)
        except RuntimeError:  # the system has no more now: those that there are do the work
            with self._slots.lock:
                self._slots.give_back()
                self.working -= 1
                self._coming -= 1
                self.useful = max(self.working, 1)
            call_later(LOOK_S, self._try_again)

    def _start(self, target: Callable[[], None]) -> None:
        with self._slots.lock:
            self._numbers += 1
            thread = threading.Thread(target=target, name=f"{self._name}-{self._numbers}", daemon=True)
            if not self._numbers % IDLE_MAX:
                self._threads = {each for each in self._threads if each.ident is None or each.is_alive()}
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._slots.lock:
                self._threads.discard(thread)
            raise

    def _try_again(self) -> None:
        with self._slots.lock:
            steps = self._slots.employ()
        _do(steps)

    def _work(self) -> None:
        """What a thread does: task after task, as long as it has a slot."""
        slots = self._slots
        HERE.pool = slots.pool
        bell = threading.Lock()
        bell.acquire()
        arrives = True
        process = THIS_PROCESS.mark
        slot: Slot | None = None  # of the task that this thread has just called
        while True:
            with slots.lock:
                if slot is not None:
                    slot.is_over = True
                    slot = None
                    self._ended += 1
                self._coming -= arrives
                arrives = False
                execution = slots.take_first()
                if execution is not None:
                    self._begun += 1
                    steps = slots.employ()
                else:
                    self.working -= 1
                    stays = not self._closed.is_set() and len(self._idle) < IDLE_MAX
                    if stays:
                        self._idle.append(bell)
                    steps = slots.pass_on()
            if steps:
                _do(steps)
            if execution is not None:
                slot = slots.call(execution)
                if slot.is_left or THIS_PROCESS.mark is not process:
                    return  # left behind; or a task has forked, and the child ends with it: what waits is the parent's
                del execution, steps  # nothing is to be kept alive while there is no work
            elif not stays:
                return
            else:
                bell.acquire()
                if self._closed.is_set():
                    return
                arrives = True

    def leave_behind(self, thread_id: int | None) -> None:
        """Do not wait for this thread at the end: it is in a call that does not come back."""
        with self._slots.lock:
            self._threads = {thread for thread in self._threads if thread.ident != thread_id}

    def close(self) -> None:
        """Let the threads go. All tasks have ended."""
        self._closed.set()
        with self._slots.lock:
            bells, self._idle = self._idle, []
            threads = list(self._threads)
        for bell in bells:
            bell.release()
        for thread in threads:
            if thread.ident is not None:  # else it is being started, and will find that it is not needed
                thread.join(JOIN_S)

    # -- how many are of use

    def _start_watch(self) -> None:
        try:
            self._start(self._watch)
        except RuntimeError:
            self._is_watched = False

    def _watch(self) -> None:
        """While tasks wait for a thread: double the threads as long as that is of use."""
        slots, look = self._slots, Look(self._begun, self._ended)
        while not self._closed.wait(LOOK_S):
            with slots.lock:
                if not slots.has_free() or slots.first_for_threads() is None:
                    self._is_watched = False
                    return
                if not look.more_are_of_use(self._begun, self._ended):
                    continue
                self.useful = min(max(self.useful, self.working) * 2, slots.limit)
                steps = slots.employ()
            _do(steps)


class Look:
    """What was seen at the last look at a pool whose tasks wait for threads."""

    def __init__(self, begun: int, ended: int) -> None:
        self._clock = SystemClock()
        self._at_us = self._clock.mono_us()
        self._cpu_s = time.process_time()
        self._begun = begun
        self._ended = ended
        self._stalled_us = 0

    def more_are_of_use(self, begun: int, ended: int) -> bool:
        """Whether more threads would get more done, to judge by the tasks that began and ended since the last look."""
        at_us, cpu_s = self._clock.mono_us(), time.process_time()
        passed_us, used_s = at_us - self._at_us, cpu_s - self._cpu_s
        # A look that comes late had to wait for the interpreter itself, as the tasks have to.
        is_idle = used_s < BUSY * passed_us / 1e6 and passed_us < 2e6 * LOOK_S
        begins_only = begun > self._begun and ended == self._ended
        self._stalled_us = self._stalled_us + passed_us if begun == self._begun and ended == self._ended else 0
        self._at_us, self._cpu_s, self._begun, self._ended = at_us, cpu_s, begun, ended
        if not (is_idle or begins_only or self._stalled_us > STALLED_S * 1e6):
            return False
        self._stalled_us = 0
        return True


def _do(steps: list[Step]) -> None:
    for step in steps:
        step()
