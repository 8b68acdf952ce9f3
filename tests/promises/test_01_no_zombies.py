"""Promise 1, on one host: no run says Running when nothing runs it; and a run whose process only sleeps is not dead."""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from surefoot.client.embedded import EmbeddedClient
from surefoot.core.states import StateType
from tests.faults.kept import every_run
from tests.faults.program import Program, program

RUNNING, CRASHED = StateType.RUNNING, StateType.CRASHED

# Flow, subflow and submitted task, all Running, until a signal comes; or it dies by itself.
WAITS = """
@task
def waits(process):
    say("on")
    signal.pause() if threading.current_thread() is threading.main_thread() else spin()
@flow
def inner(process): waits.submit(process).result()
@flow
def outer(process): inner(process)
def end(*_):
    if sys.argv[2] == "_exit": os._exit(9)
    if sys.argv[2] == "segfault":
        import ctypes
        ctypes.string_at(0)
signal.signal(signal.SIGUSR1, end)
outer(int(sys.argv[1]))
"""
DEATHS = ["SIGKILL", "_exit", "segfault", "SIGTERM", "SIGINT", "SIGSTOP"]
SENDS = {"_exit": signal.SIGUSR1, "segfault": signal.SIGUSR1}


def states(home: Path) -> dict[int, set[StateType]]:
    """The states that the runs of each process are in."""
    found: dict[int, set[StateType]] = {}
    with closing(EmbeddedClient(home, wait_s=60)) as client:
        numbers: dict[str | None, int] = {}
        for run in every_run(client):
            number = run.parameters["process"] if hasattr(run, "parameters") else numbers[run.flow_run_id]
            numbers[run.id] = number
            found.setdefault(number, set()).add(run.state_type)
    return found


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the system has no such signals")
@pytest.mark.parametrize("count", [6, pytest.param(120, marks=pytest.mark.long)])
def test_however_processes_end_no_run_says_running_when_nothing_runs_it(count: int, home: Path) -> None:
    for low in range(0, count, 6):
        one_crew(home, list(range(low, min(low + 6, count))))


def one_crew(home: Path, numbers: list[int]) -> None:
    with ExitStack() as stack:
        living: dict[int, Program] = {}
        for number in numbers:
            how = DEATHS[number % len(DEATHS)]
            living[number] = stack.enter_context(program(WAITS, home, str(number), how))
        for running in living.values():
            running.wait_for("on")
        assert {number: found for number, found in states(home).items() if number in living} == {
            number: {RUNNING} for number in living
        }
        dead = [number for number in states(home) if number not in living]
        for number in random.sample(numbers, len(numbers)):
            how = DEATHS[number % len(DEATHS)]
            running = living[number]
            running.send(SENDS.get(how) or signal.Signals[how])
            if how == "SIGSTOP":
                running.wait_until_stopped()
                assert states(home)[number] == {RUNNING}, "it may be woken, and go on"
                running.send(signal.SIGKILL)
            running.end()
            del living[number]
            dead.append(number)
            found = states(home)
            assert all(found[each] == {CRASHED} for each in dead), found
            assert all(found[each] == {RUNNING} for each in living), found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_run_whose_process_dies_while_a_child_of_it_lives_on_is_dead(home: Path) -> None:
    text = """
    @flow
    def outer(process):
        child = os.fork()
        if not child:
            say(f"child {os.getpid()}")
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
    outer(1)
    """
    with program(text, home) as running:
        child = running.wait_for_number("child")
        try:
            os.waitpid(running.pid, 0)
            assert states(home) == {1: {CRASHED}}
        finally:
            os.kill(child, signal.SIGKILL)
