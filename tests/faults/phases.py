"""The phases of a run's life in which a signal may come: a program for each, and how its runs end then."""

from __future__ import annotations

from typing import Final, NamedTuple

from surefoot.core.states import StateType

__all__ = ["PHASES", "Phase"]

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED


class Phase(NamedTuple):
    """Where a program is when it says "on", and how its runs end when a signal comes there."""

    text: str
    ends: dict[str, StateType]


PHASES: Final = {
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
            say("on"); doze()
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
            say("on"); doze()
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
            say("on"); doze()
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
            say("on"); doze()
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
                say("on"); doze()
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
            say("on"); doze()
        @flow(retries=1, retry_condition_fn=condition)
        def f(): raise ValueError
        f()
        """,
        {"f": CRASHED},
    ),
    "a hook before the call": Phase(
        """
        def hook(*_):
            say("on"); doze()
        @flow(on_running=[hook])
        def f(): pass
        f()
        """,
        {"f": CRASHED},
    ),
    "a hook after the end": Phase(
        """
        def hook(*_):
            say("on"); doze()
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
            say("on"); doze()
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
            say("on"); doze()
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
            say("on"); doze()
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
            say("on"); doze()
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
