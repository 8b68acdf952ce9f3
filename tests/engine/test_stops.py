"""Stops from outside: Ctrl-C and SIGTERM in every phase of a run, `sys.exit`,
and what becomes of the program's own handlers.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

import surefoot
from surefoot.core.states import StateType
from tests.faults.program import End, assert_all_ended, has_closed, program, runs_in

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED
OURS = os.path.dirname(surefoot.__file__)
WORDS = {signal.SIGINT: "interrupted (Ctrl-C)", signal.SIGTERM: "terminated (signal 15)"}

both_signals = pytest.mark.parametrize("number", list(WORDS), ids=["ctrl-c", "sigterm"])


class Phase(NamedTuple):
    """Where a program is when it says "on", and how its runs end when a signal comes there."""

    text: str
    ends: dict[str, StateType]


PHASES = {
    "a loop in the flow": Phase(
        """
        @flow
        def f():
            say("on")
            while True: pass
        f()
        """,
        {"f": CRASHED},
    ),
    "a sleep in the flow": Phase(
        """
        @flow
        def f():
            say("on"); time.sleep(1000)
        f()
        """,
        {"f": CRASHED},
    ),
    "a call into C in the flow": Phase(
        """
        @flow
        def f():
            say("on"); os.read(os.pipe()[0], 1)
        f()
        """,
        {"f": CRASHED},
    ),
    "validating": Phase(
        """
        from typing import Annotated
        from pydantic import BeforeValidator
        def slow(value):
            say("on"); time.sleep(1000)
        @flow
        def f(x: Annotated[int, BeforeValidator(slow)]): pass
        f("1")
        """,
        {"f": CRASHED},
    ),
    "a task called directly": Phase(
        """
        @task
        def t():
            say("on"); time.sleep(1000)
        @flow
        def f(): t()
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a task outside of any flow": Phase(
        """
        @task
        def t():
            say("on"); time.sleep(1000)
        t()
        """,
        {"t": CRASHED},
    ),
    "between tasks": Phase(
        """
        @task
        def t(): pass
        @flow
        def f():
            t()
            say("on")
            while True: pass
        f()
        """,
        {"f": CRASHED, "t": COMPLETED},
    ),
    "future.result()": Phase(
        """
        both = threading.Event()
        @task
        def t():
            both.wait()
            say("on"); spin()
        @task
        def later(x): pass
        @flow
        def f():
            future = later.submit(t.submit())
            both.set()
            future.result()
        f()
        """,
        {"f": CRASHED, "t": CRASHED, "later": CANCELLED},
    ),
    "futures.wait()": Phase(
        """
        @task
        def t():
            say("on"); spin()
        @flow
        def f(): wait([t.submit()])
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "as_completed": Phase(
        """
        @task
        def t():
            say("on"); spin()
        @flow
        def f(): list(as_completed([t.submit()]))
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a task in a submitted task": Phase(
        """
        @task
        def inner():
            say("on"); spin()
        @task
        def outer(): inner()
        @flow
        def f(): outer.submit().result()
        f()
        """,
        {"f": CRASHED, "outer": CRASHED, "inner": CRASHED},
    ),
    "submitted tasks at the flow's end": Phase(
        """
        @task
        def t():
            say("on"); spin()
        @flow
        def f(): t.submit()
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a direct task that waits for its retry": Phase(
        """
        from surefoot.core import clock
        class Clock(clock.SystemClock):
            def sleep(self, seconds):
                say("on"); time.sleep(seconds)
        clock.set_clock(Clock())
        @task(retries=1, retry_delay_seconds=1000)
        def t(): raise ValueError
        @flow
        def f(): t()
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a submitted task that waits for its retry": Phase(
        """
        @task(retries=1, retry_delay_seconds=1000)
        def t(): raise ValueError
        @flow
        def f():
            future = t.submit()
            while not future.state.is_scheduled(): pass
            say("on")
            future.result()
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a retry condition": Phase(
        """
        def condition(*_):
            say("on"); time.sleep(1000)
        @flow(retries=1, retry_condition_fn=condition)
        def f(): raise ValueError
        f()
        """,
        {"f": CRASHED},
    ),
    "a hook before the call": Phase(
        """
        def hook(*_):
            say("on"); time.sleep(1000)
        @flow(on_running=[hook])
        def f(): pass
        f()
        """,
        {"f": CRASHED},
    ),
    "a hook after the end": Phase(
        """
        def hook(*_):
            say("on"); time.sleep(1000)
        @flow(on_failure=[hook])
        def f(): raise ValueError("no")
        f()
        """,
        {"f": FAILED},
    ),
    "a subflow": Phase(
        """
        @flow
        def inner():
            say("on"); time.sleep(1000)
        @flow
        def f(): inner()
        f()
        """,
        {"f": CRASHED, "inner": CRASHED},
    ),
    "a generator flow": Phase(
        """
        @flow
        def f():
            yield 1
            say("on"); time.sleep(1000)
        for _ in f(): pass
        """,
        {"f": CRASHED},
    ),
    "await in an asynchronous flow": Phase(
        """
        @flow
        async def f():
            say("on"); await asyncio.sleep(1000)
        asyncio.run(f())
        """,
        {"f": CRASHED},
    ),
    "gather in an asynchronous flow": Phase(
        """
        @task
        async def t(number):
            if number == 1: say("on")
            await asyncio.sleep(1000)
        @flow
        async def f(): await asyncio.gather(t(0), t(1))
        asyncio.run(f())
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a blocking task in an asynchronous flow": Phase(
        """
        @task
        def t():
            say("on"); time.sleep(1000)
        @flow
        async def f(): t()
        asyncio.run(f())
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "a blocking task beside others in an asynchronous flow": Phase(
        """
        @task
        async def waits(): await asyncio.sleep(1000)
        @task
        async def blocks():
            await asyncio.sleep(0)
            t()
        @task
        def t():
            say("on"); time.sleep(1000)
        @flow
        async def f(): await asyncio.gather(waits(), blocks())
        asyncio.run(f())
        """,
        {"f": CRASHED, "waits": CRASHED, "blocks": CRASHED, "t": CRASHED},
    ),
    "a submitted asynchronous task": Phase(
        """
        @task
        async def t():
            say("on"); await asyncio.sleep(1000)
        @flow
        async def f(): await t.submit()
        asyncio.run(f())
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "two asynchronous flows at once": Phase(
        """
        @flow
        async def f(): await asyncio.sleep(1000)
        @flow
        async def g():
            say("on"); await asyncio.sleep(1000)
        async def main(): await asyncio.gather(f(), g())
        asyncio.run(main())
        """,
        {"f": CRASHED, "g": CRASHED},
    ),
    "an event loop of the program's own": Phase(
        """
        @flow
        async def f():
            say("on"); await asyncio.sleep(1000)
        loop = asyncio.new_event_loop()
        try: loop.run_until_complete(f())
        finally: loop.close()
        """,
        {"f": CRASHED},
    ),
    "an event loop in a flow": Phase(
        """
        @task
        async def t():
            say("on"); await asyncio.sleep(1000)
        @flow
        def f():
            async def main(): await t()
            asyncio.run(main())
        f()
        """,
        {"f": CRASHED, "t": CRASHED},
    ),
    "an asynchronous generator flow": Phase(
        """
        @flow
        async def f():
            yield 1
            say("on"); await asyncio.sleep(1000)
        async def main():
            async for _ in f(): pass
        asyncio.run(main())
        """,
        {"f": CRASHED},
    ),
}


def assert_stopped(end: End, home: Path, number: signal.Signals, ends: dict[str, StateType]) -> None:
    """The process ended as Python does, the runs ended for the reason that was,
    and the last line tells how to go on.
    """
    assert end.status == -number, end.stderr
    assert_all_ended(home)
    assert has_closed(home)
    runs = runs_in(home)
    assert {run.of: run.last.state_type for run in runs} == ends
    for run in runs:
        if run.last.state_type in (CRASHED, CANCELLED):
            assert run.last.message is not None
            assert run.last.message.startswith(WORDS[number]), run
    assert not end.innermost_file.startswith(f"{OURS}/core"), end.stderr
    assert "TerminationSignal" not in end.stderr
    assert ("\nKeyboardInterrupt\n" in end.stderr) == (number == signal.SIGINT), end.stderr
    outermost = [run for run in runs if getattr(run.created, "parent_flow_run_id", None) is None]
    assert end.last_line in {f"To see why: surefoot why {run.name}" for run in outermost}, end.stderr
    assert f"crashed: {WORDS[number]}" in end.stderr or FAILED in ends.values()


@both_signals
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_all_runs_and_then_the_process(phase: str, number: signal.Signals, home: Path) -> None:
    text, ends = PHASES[phase]
    with program(text, home) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert_stopped(end, home, number, ends)


@both_signals
def test_a_signal_before_the_first_run_does_what_it_did_without_us(number: signal.Signals, home: Path) -> None:
    text = """
    @flow
    def f(): pass
    say("on")
    time.sleep(1000)
    f()
    """
    with program(text, home) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert end.status == -number
    assert "surefoot" not in end.stderr
    assert not home.exists()
