"""Timers: calls made in their order, when they are due, whatever the others do."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import weakref
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.clock import set_clock
from surefoot.engine import timers
from surefoot.engine.timers import call_later
from tests.engine.concurrency import SOON, ManualClock, manual_clock, until  # noqa: F401  # one is a fixture


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "surefoot-timers"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=15))
def test_calls_are_made_in_the_order_of_their_time_and_none_that_was_cancelled(plan: list[tuple[int, bool]]) -> None:
    called: list[tuple[int, int]] = []
    over = threading.Event()
    clock = ManualClock()
    before = set_clock(clock)
    try:
        entries = [(delay, number) for number, (delay, _) in enumerate(plan)]
        made = [call_later(1 + entry[0] / 1000, partial(called.append, entry)) for entry in entries]
        call_later(2, over.set)
        cancelled = [entry for entry in entries if plan[entry[1]][1]]
        for _, number in cancelled:
            made[number].cancel()
        clock.advance(2)
        assert over.wait(SOON)
    finally:
        set_clock(before)
    assert called == sorted(set(entries) - set(cancelled))


def test_a_call_is_made_when_the_clock_says_so(manual_clock: ManualClock) -> None:  # noqa: F811
    called = threading.Event()
    call_later(3600, called.set)
    manual_clock.advance(3599)
    assert not called.wait(0.02)
    manual_clock.advance(1)
    assert called.wait(SOON)


def test_a_sooner_call_does_not_wait_for_a_later_one() -> None:
    called = threading.Event()
    later = call_later(SOON * 2, called.clear)
    call_later(0.001, called.set)
    assert called.wait(SOON)
    later.cancel()


def test_a_call_that_raises_is_told_and_holds_up_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    called = threading.Event()

    def breaks() -> None:
        raise OSError("no disk")

    call_later(0, breaks)
    call_later(0.001, called.set)
    assert called.wait(SOON)
    assert "OSError: no disk" in capsys.readouterr().err


def test_a_cancelled_call_keeps_nothing_alive_and_many_of_them_take_no_room() -> None:
    class Thing:
        def ring(self) -> None:
            raise AssertionError("it was cancelled")

    first = call_later(3600, lambda: None)
    things = weakref.WeakSet[Thing]()
    made = []
    for _ in range(5_000):
        thing = Thing()
        things.add(thing)
        made.append(call_later(1800, thing.ring))
    del thing
    for timer in made:
        timer.cancel()
        timer.cancel()
    gc.collect()
    assert not things
    del made, timer
    until(lambda: sum(isinstance(found, timers.Timer) for found in gc.get_objects()) < 300)
    first.cancel()


# Raises at one step of asking after another, as Ctrl-C does where no run is on, and one thread in another.
INTERRUPTED = """
import itertools, signal, sys, threading
from surefoot.engine import timers
class Interruption(BaseException): pass
def interrupt(*_): raise Interruption
signal.signal(signal.SIGUSR1, interrupt)
for step in itertools.count(1):
    own, left = timers._Timers(), step
    own.call_later(0, int)  # starts the thread
    later = own.call_later(0.01, int)
    def look(frame, event, arg):
        global left
        if event == "c_call": return  # CPython lets nothing in there
        left -= 1
        if not left:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)
    try:
        try:
            sys.setprofile(look)
            own.call_later(0.01, int) if sys.argv[1] == "call_later" else later.cancel()
        finally:
            sys.setprofile(None)
    except Interruption:
        pass
    called = threading.Event()
    own.call_later(0, called.set)
    assert called.wait(20), f"after an exception at step {step} nothing is called any more"
    if left > 0: break
print("all is called")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no such signal")
@pytest.mark.parametrize("what", ["call_later", "cancel"])
def test_an_exception_at_any_step_of_asking_leaves_the_timers_working(what: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "all is called\n", done.stderr


def test_a_finalizer_that_the_collector_calls_may_ask_in_the_midst_of_asking() -> None:
    made = []

    class Dropped:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            later = call_later(SOON, lambda: None)
            made.append(later)
            later.cancel()

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(300):
            Dropped()
            call_later(SOON, lambda: None).cancel()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(made) == 300
    called = threading.Event()
    call_later(0, called.set)
    assert called.wait(SOON)


def test_many_threads_ask_at_once_and_each_call_is_made_once() -> None:
    called: list[int] = []
    over = threading.Event()

    def ask(first: int) -> None:
        for number in range(first, first + 250):
            call_later(number % 5 / 1000, partial(called.append, number))

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(0, 2000, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call_later(0.02, over.set)
    assert over.wait(SOON)
    until(lambda: sorted(called) == list(range(2000)))


def test_all_calls_are_made_by_one_thread_which_goes_when_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timers, "IDLE_S", 0.01)
    threads: set[str] = set()
    for _ in range(3):
        called = threading.Event()

        def rings(called: threading.Event = called) -> None:
            threads.add(threading.current_thread().name)
            called.set()

        call_later(0.001, rings)
        assert called.wait(SOON)
        until(lambda: not timer_threads())
    assert threads == {"surefoot-timers"}
