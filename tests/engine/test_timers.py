"""Timers: calls made in their order, when they are due, whatever the others do."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.engine import timers
from surefoot.engine.timers import call_later
from tests.engine.concurrency import SOON, ManualClock, manual_clock, until  # noqa: F401  # one is a fixture


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "surefoot-timers"]


@pytest.fixture(autouse=True)
def no_timer_is_left() -> Iterator[None]:
    yield
    timers._timers._heap.clear()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=15))
def test_calls_are_made_in_the_order_of_their_time_and_none_that_was_cancelled(plan: list[tuple[int, bool]]) -> None:
    called: list[tuple[int, int]] = []
    over = threading.Event()
    entries = [(delay, number) for number, (delay, _) in enumerate(plan)]
    made = [call_later(entry[0] / 1000, partial(called.append, entry)) for entry in entries]
    cancelled = [entry for entry in entries if plan[entry[1]][1]]
    for _, number in cancelled:
        made[number].cancel()
    raced = {entry for entry in called if entry in cancelled}  # it was called before it was cancelled
    call_later(0.03, over.set)
    assert over.wait(SOON)
    # By when each was due: a busy machine may let time pass between two of them being made.
    assert called == sorted(called, key=lambda entry: made[entry[1]])
    assert set(called) - raced == set(entries) - set(cancelled)


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
    assert len(timers._timers._heap) < 300
    first.cancel()


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
