"""An interruption that lands where Python cannot raise it, in a finalizer or a callback of the garbage collector."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from textwrap import dedent
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.context import FlowRunContext
from surefoot.core.states import StateType
from surefoot.task_runners import ThreadPoolTaskRunner

FAR_S = 60.0  # a run that is not interrupted goes on for so long


class Trap:
    """Code that cannot raise, and waits there until it is interrupted."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.left = threading.Event()
        self.survived = False

    def wait(self) -> None:
        self.entered.set()
        try:
            spin()
        finally:
            self.left.set()


def spin() -> None:
    """Take steps until interrupted."""
    never = threading.Event()
    for _ in range(int(FAR_S * 100)):
        never.wait(0.01)


class Finalized:
    def __init__(self, trap: Trap) -> None:
        self.trap = trap

    def __del__(self) -> None:
        self.trap.wait()


def in_finalizer(trap: Trap) -> None:
    Finalized(trap)


def in_weak_callback(trap: Trap) -> None:
    held = Trap()
    reference = weakref.ref(held, lambda _: trap.wait())
    del held
    assert reference() is None


def in_collection(trap: Trap) -> None:
    def collecting(phase: str, _: dict[str, int]) -> None:
        gc.callbacks.remove(collecting)
        trap.wait()

    gc.callbacks.append(collecting)
    gc.collect()


PLACES = [in_finalizer, in_weak_callback, in_collection]


@pytest.fixture(autouse=True)
def nothing_is_told() -> Iterator[list[Any]]:
    """What reaches the hook that was there before; none of it is an interruption."""
    told: list[Any] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: told.append(unraisable.exc_value)
    mine = sys.unraisablehook
    try:
        yield told
        assert sys.unraisablehook is mine
        assert not [error for error in told if not isinstance(error, Exception)]
    finally:
        sys.unraisablehook = before


def falls_into(trap: Trap, place: Callable[[Trap], None]) -> None:
    place(trap)
    spin()
    trap.survived = True


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("is_submitted", [False, True])
def test_a_time_limit_that_ends_in_it_ends_the_run(place: Callable[[Trap], None], is_submitted: bool) -> None:
    trap = Trap()

    @task(timeout_seconds=0.2)
    def work() -> None:
        falls_into(trap, place)

    @flow(task_runner=ThreadPoolTaskRunner(1))
    def program() -> Any:
        return work.submit() if is_submitted else work(return_state=True)

    state = program(return_state=True)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert trap.left.is_set()
    assert not trap.survived


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("is_submitted", [False, True])
def test_a_cancel_that_ends_in_it_ends_the_run(place: Callable[[Trap], None], is_submitted: bool) -> None:
    trap = Trap()
    ids: list[str] = []

    @task
    def work() -> None:
        falls_into(trap, place)

    @flow(task_runner=ThreadPoolTaskRunner(1))
    def program() -> None:
        context = FlowRunContext.get()
        assert context is not None
        ids.append(str(context.flow_run.id))
        if is_submitted:
            work.submit().wait()
        else:
            falls_into(trap, place)

    def cancel() -> None:
        trap.entered.wait(FAR_S)
        with closing(get_client()) as client:
            client.cancel_flow_run(ids[0])

    canceller = threading.Thread(target=cancel)
    canceller.start()
    state = program(return_state=True)
    canceller.join()
    assert state.type is StateType.CANCELLED
    assert trap.left.is_set()
    assert not trap.survived


def test_what_else_a_finalizer_raises_goes_to_the_hook_that_was_there(nothing_is_told: list[Any]) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    @flow
    def program() -> None:
        Broken()

    program()
    (error,) = nothing_is_told
    assert isinstance(error, ValueError)


def test_a_hook_that_the_program_puts_in_meanwhile_stays_and_nothing_is_told_twice() -> None:
    first = sys.unraisablehook
    told = []

    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    @flow
    def program() -> None:
        ours = sys.unraisablehook

        def theirs(unraisable: Any) -> None:
            told.append(unraisable.exc_value)
            ours(unraisable)

        sys.unraisablehook = theirs
        inner()
        Broken()

    @flow
    def inner() -> None:
        Broken()

    program()
    assert sys.unraisablehook is not first
    assert len(told) == 2
    sys.unraisablehook = first


PROGRAM = """
import os, signal, sys, threading
from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner

class Finalized:
    def __init__(self, number): self.number = number
    def __del__(self):
        if self.number: signal.raise_signal(self.number)
        for _ in range(6000): threading.Event().wait(0.01)
        print("not interrupted", flush=True)

def body(number):
    Finalized(number)
    print("after it", flush=True)
    for _ in range(6000): threading.Event().wait(0.01)
    print("survived", flush=True)

@task(timeout_seconds=0.3)
def late():
    body(0)

@flow(task_runner=ProcessPoolTaskRunner(1))
def program(number: int):
    if number:
        body(number)
    else:
        late.submit().wait()

program(int(sys.argv[1]))
"""


def run_program(number: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", dedent(PROGRAM), str(number)],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there signals come otherwise")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_ends_in_it_ends_the_process(number: signal.Signals) -> None:
    ended = run_program(number)
    assert ended.stdout == "after it\n"
    assert ended.returncode == -number
    assert "Exception ignored" not in ended.stderr


def test_a_time_limit_that_ends_in_it_ends_a_task_in_a_process() -> None:
    ended = run_program(0)
    assert ended.stdout == "after it\n"
    assert "timed out" in ended.stderr
    assert "Exception ignored" not in ended.stderr
