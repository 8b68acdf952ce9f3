"""Interrupts: an exception for a call in another thread arrives in that call, or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from surefoot.core.os.threads import OPEN, THIS_THREAD, ThreadGate
from surefoot.engine.interrupts import Reach, Shelter, Undisturbed, check_room, shelter_of
from tests.engine.concurrency import SOON, until


class Halt(BaseException):
    """What is raised from outside."""


class Worker:
    """A thread that does something under a gate of its own, and can be reached in it."""

    def __init__(self, work: Any) -> None:
        self.ready = threading.Event()
        self.reach: Reach | None = None
        self.result: Any = None
        self._work = work
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.ready.wait(SOON)

    def _run(self) -> None:
        self.gate = THIS_THREAD.gate = ThreadGate()
        self.reach = Reach()
        try:
            self.result = self._work(self)
        except BaseException as error:
            self.result = self.gate.met(error)
        THIS_THREAD.gate = None

    def call(self, fn: Any) -> Any:
        """Call the user's code, as the engine does."""
        try:
            self.gate.open(OPEN)
            return fn()
        finally:
            self.gate.shut()

    def end(self) -> Any:
        self.thread.join(SOON)
        assert not self.thread.is_alive()
        return self.result


def interrupt(worker: Worker, error: BaseException) -> None:
    assert worker.reach is not None
    worker.reach.interrupt(error)


def test_an_exception_arrives_in_the_call() -> None:
    error = Halt()

    def work(worker: Worker) -> None:
        def goes_on() -> None:
            worker.ready.set()
            until(lambda: False)

        worker.call(goes_on)

    worker = Worker(work)
    interrupt(worker, error)
    interrupt(worker, Halt())  # one a call
    assert worker.end() is error


def test_a_wait_is_woken_and_raises_on_its_way_out() -> None:
    order: list[str] = []

    def work(worker: Worker) -> None:
        def waits() -> None:
            with Shelter() as shelter:
                worker.ready.set()
                shelter.wait(lambda: False, None)
                order.append("left the wait")

        worker.call(waits)

    worker = Worker(work)
    until(lambda: shelter_of(worker.thread.ident or 0) is not None)
    error = Halt()
    interrupt(worker, error)
    assert worker.end() is error
    assert order == ["left the wait"]
    assert shelter_of(worker.thread.ident or 0) is None


def test_nothing_arrives_in_steps_of_ours_but_after_them() -> None:
    order: list[str] = []
    sent = threading.Event()

    def work(worker: Worker) -> None:
        def calls() -> None:
            with Undisturbed():
                worker.ready.set()
                assert sent.wait(SOON)
                order.append("ours is done")
            order.append("the user's goes on")

        worker.call(calls)

    worker = Worker(work)
    error = Halt()
    interrupt(worker, error)
    sent.set()
    assert worker.end() is error
    assert order == ["ours is done"]


def test_nothing_arrives_after_the_call() -> None:
    order: list[str] = []
    sent = threading.Event()

    def work(worker: Worker) -> str:
        worker.call(lambda: None)
        worker.ready.set()
        assert sent.wait(SOON)
        assert worker.reach is not None
        worker.reach.over()
        worker.call(lambda: order.append("the next call"))
        return "came to its end"

    worker = Worker(work)
    interrupt(worker, Halt())
    sent.set()
    assert worker.end() == "came to its end"
    interrupt(worker, Halt())
    assert order == ["the next call"]


def test_a_wait_ends_in_time_or_when_it_is_rung_and_done() -> None:
    with Shelter() as shelter:
        shelter.wait(lambda: False, 0.001)
        shelter.wait(lambda: True, None)
        shelter.ring()
        shelter.ring()  # twice is once
        looks = []

        def third() -> bool:
            shelter.ring()
            looks.append(1)
            return len(looks) == 3

        shelter.wait(third, None)


def test_waits_within_each_other_are_seen_from_the_inside() -> None:
    mine = threading.get_ident()
    with Shelter() as outer:
        with Shelter() as inner:
            assert shelter_of(mine) is inner
        assert shelter_of(mine) is outer
    assert shelter_of(mine) is None


def test_a_check_that_refuses_leaves_nothing_behind() -> None:
    def refuses() -> None:
        raise Halt

    with pytest.raises(Halt), Shelter(check=refuses):
        pass
    assert shelter_of(threading.get_ident()) is None


def test_room_is_checked_before_the_stack_ends() -> None:
    def deep() -> int:
        try:
            return deep() + 1
        except RecursionError:
            with pytest.raises(RecursionError, match="too little of the stack is left"):
                check_room()
            raise StopAsyncIteration from None

    check_room()
    with pytest.raises((StopAsyncIteration, RecursionError)):
        deep()
