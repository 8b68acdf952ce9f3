"""A program that stops its runs at one instant after another. Run by test_instants.py, not imported.

`instants.py WHAT every STRIDE [COUNT]` raises Ctrl-C at every STRIDE-th step of the main thread, a function's call or
return; at the first COUNT of these only, if that is told.
`instants.py WHAT twice STRIDE AFTER` does so again when a few steps more have passed, AFTER at most.
`instants.py WHAT random COUNT SHOTS` sends Ctrl-C from another thread after so many random delays, SHOTS times each.
`instants.py WHAT killed COUNT SHOTS` sends SIGTERM likewise, each time to a process of its own.
`instants.py WHAT cancelled STRIDE` has the outermost run cancelled at every STRIDE-th step of the main thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

from surefoot import flow, task
from surefoot.core.os.signals import GATE
from surefoot.engine import async_streams, streams
from surefoot.engine.commands import cancel
from surefoot.engine.reaching import ON
from surefoot.exceptions import CancelledRun


@task
def add(number: int) -> int:
    return number + 1


@task(retries=1, retry_delay_seconds=0.001)
def fails() -> None:
    raise ValueError


@task
async def awaited(number: int) -> int:
    await asyncio.sleep(0)
    return number


@task(timeout_seconds=1000)
def limited(number: int) -> int:
    value: int = add(number)
    return value


@flow
def inner() -> int:
    value: int = limited(1)
    return value


@flow
def direct() -> None:
    for number in range(3):
        add(number)
    inner()
    try:
        fails()
    except ValueError:
        pass


@flow
def submitted() -> list[int]:
    futures = add.map([add.submit(number) for number in range(3)])
    fails.submit().wait()
    values: list[int] = futures.result()
    return values


@flow
def generated() -> Iterator[int]:
    for number in range(3):
        yield add(number)


@flow
async def gathered() -> None:
    await asyncio.gather(*[awaited(number) for number in range(3)])
    add(1)
    await awaited.submit(2)


@flow
async def generated_in_a_loop() -> AsyncIterator[int]:
    for number in range(3):
        yield await awaited(number)


async def take_all() -> None:
    async for _ in generated_in_a_loop():
        pass


@flow
def failing() -> None:
    raise ValueError


def fail() -> None:
    with suppress(ValueError):
        failing()


@flow
async def failing_in_a_loop() -> None:
    await awaited(1)
    raise ValueError


async def fail_in_a_loop() -> None:
    with suppress(ValueError):
        await failing_in_a_loop()


CALLS: dict[str, Callable[[], Any]] = {
    "direct": direct,
    "submitted": submitted,
    "generated": lambda: list(generated()),
    "failing": fail,
    "failing-in-a-loop": lambda: asyncio.run(fail_in_a_loop()),
    "gathered": lambda: asyncio.run(gathered()),
    "generated-in-a-loop": lambda: asyncio.run(take_all()),
}


class Flag:
    """An event, which a signal in the midst of `raise_it` leaves in order; it does not leave one of `threading` so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def raise_it(self) -> None:
        if self._lock.locked():
            self._lock.release()

    def wait(self, seconds: float = -1) -> bool:
        return self._lock.acquire(timeout=seconds)


LOST = "Ctrl-C came while a run was on, and the program went on\n"
LEFT_BEHIND = "asyncio lost a step\n"  # said for each run that asyncio left for good: it ends with its process
took_s = 0.0  # how long the call takes that is to be stopped
came_to_a_shut_gate = False  # how the gate stood when the last signal was raised at a step
came_within_a_run = False  # a signal was raised at a step since the call began, while a run was on
is_thrice = False  # whether a third one may, which ends asyncio's own end
comes_twice = False  # whether a second signal may come while asyncio is at what the first one asked for
was_pressed_again = Flag()  # see `press_again`


def shoot(shots: int, number: int, begins: Flag, is_over: Flag) -> None:
    """Send signals to the main thread, after random delays."""
    main = threading.main_thread().ident
    assert main is not None
    begins.wait()
    for shot in range(shots):
        if is_over.wait(random.uniform(0, took_s / (4 if shot else 1))):
            return
        signal.pthread_kill(main, number)


def stop_at_random(call: Callable[[], Any], count: int, shots: int) -> None:
    for _ in range(count):
        begins, is_over = Flag(), Flag()
        args = (shots, signal.SIGINT, begins, is_over)
        shooter = threading.Thread(target=shoot, args=args, daemon=True)
        signal.signal(signal.SIGINT, passed_over)  # one that came in a finalizer comes again, a moment later
        shooter.start()
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            begins.raise_it()
            checked(call)
            signal.signal(signal.SIGINT, passed_over)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, passed_over)  # it came before the call, or after it
        is_over.raise_it()
        shooter.join()


def passed_over(_number: int, _frame: FrameType | None) -> None:
    """What a signal does that comes after the call: nothing."""
    is_here.raise_it()


is_here = Flag()
comes_again: list[bool] = []  # a signal that came in a finalizer is under way once more
come_again = streams.come_again


def noted() -> None:
    comes_again.append(True)
    come_again()


for module in (streams, async_streams):
    vars(module)["come_again"] = noted


def take_what_comes_again() -> None:
    """Have nothing under way any more that was meant for the call before."""
    signal.signal(signal.SIGINT, passed_over)
    if comes_again:
        is_here.wait(20 * streams.AGAIN_S)  # if it did not come within the call
    comes_again.clear()


def checked(call: Callable[[], Any]) -> None:
    """Call, and look at what comes out."""
    global came_within_a_run
    handlers: tuple[Any, ...] = ()
    left_open = is_held = came_within_a_run = False
    try:
        try:
            call()
        finally:
            handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        if came_within_a_run and not comes_again:
            sys.stderr.write(LOST)
    except KeyboardInterrupt as error:
        frames = traceback.extract_tb(error.__traceback__)
        is_ours = "/surefoot/core/" in frames[-1].filename or "/surefoot/journal/" in frames[-1].filename
        if frames[-1].name == "look":  # raised before a step that is about to be taken, or after one that was
            frames.pop()
            # The pure rooms of core leave nothing half done; and a gate that is about to be shut is open still.
            is_ours = came_to_a_shut_gate or "/surefoot/journal/" in frames[-1].filename
        # Until signals are taken over, and when they are given back, it is raised where it comes.
        is_on = any(frame.filename.endswith("/engine/outermost.py") for frame in frames)
        if is_ours and is_on and not {"install", "uninstall"} & {frame.name for frame in frames}:
            sys.stderr.write("It came where nothing may come:\n")
            traceback.print_exc()
        left_open = was_pressed_again.wait(0)  # asyncio left a run behind, which ends when the process does
        # What left the loop in the midst of a step has that step in its hands until it is let go itself.
        is_held = comes_twice and has_left_a_loop(error)
        if not is_held:
            assert_given_back(handlers)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's stays if it is hit at the very end
    except (RuntimeError, AttributeError, asyncio.CancelledError) as error:
        # asyncio breaks if it is hit in the midst before a run, or after it; or it tells its own cancellation.
        frames = traceback.extract_tb(error.__traceback__)
        # Or it cancels what has not taken its first step, and then sets its count of interruptions to none.
        has_begun = any(frame.filename.endswith("/engine/outermost.py") for frame in frames)
        is_asyncios = "/asyncio/" in frames[-1].filename or (frames[-1].name == "live" and not has_begun)
        if not is_asyncios and any("/surefoot/" in frame.filename for frame in frames):
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    if left_open:
        GATE.forget()
    if is_held:
        if is_thrice and GATE.is_installed:  # the third did what `press_again` does: see there
            sys.stderr.write(LEFT_BEHIND)
            GATE.forget()
        assert_given_back((signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)))
        signal.signal(signal.SIGINT, signal.default_int_handler)


def has_left_a_loop(error: BaseException | None) -> bool:
    """Whether it was raised in the midst of a loop; or, for the third time, where asyncio was tidying up after that."""
    while error is not None:
        if any(frame.name == "run_forever" for frame in traceback.extract_tb(error.__traceback__)):
            return True
        error = error.__context__
    return False


def assert_given_back(handlers: tuple[Any, ...]) -> None:
    for handler in handlers:
        assert "surefoot" not in type(getattr(handler, "__self__", None)).__module__, handlers


def stop_at_every_step(call: Callable[[], Any], stride: int, count: int = sys.maxsize, after: int = 0) -> None:
    step, came = 0, True
    while came and step < stride * count:
        step += stride
        left, has_begun, came = step, False, False
        again = 1 + step % after if after else 0  # so many steps later it comes for the second time

        def look(frame: FrameType, event: str, _arg: Any) -> None:
            nonlocal left, has_begun, came, again
            global came_to_a_shut_gate, came_within_a_run
            if event == "c_call":
                return  # CPython lets nothing in there
            # What comes before a run is the business of Python, and of asyncio, which breaks if it is hit after one.
            file = frame.f_code.co_filename
            has_begun = has_begun or file.endswith("/surefoot/engine/outermost.py")
            left -= has_begun and (GATE.is_installed or "/asyncio/" not in file)
            if not left:
                left, again, came = again, 0, True
                if not left:
                    sys.setprofile(None)
                came_to_a_shut_gate = GATE.is_installed and not GATE.opened
                came_within_a_run = came_within_a_run or GATE.is_installed
                signal.raise_signal(signal.SIGINT)

        def watched() -> None:
            sys.setprofile(look)
            try:
                call()
            finally:
                sys.setprofile(None)

        try:
            checked(watched)
            take_what_comes_again()
        except KeyboardInterrupt:
            if not comes_again:
                raise
            comes_again.clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_twice(call: Callable[[], Any], stride: int, after: int) -> None:
    stop_at_every_step(call, stride, after=after)


def cancel_at_every_step(call: Callable[[], Any], stride: int) -> None:
    main_thread = threading.main_thread()

    def cancel_outermost() -> None:
        for execution in list(ON.values()):
            if execution.parent is None:
                cancel(execution.run_id, "asked by the test")

    left, step = 0, 0
    while left <= 0:
        step += stride
        left = step
        others: list[threading.Thread] = []

        def look(frame: FrameType, event: str, _arg: Any, others: list[threading.Thread] = others) -> None:
            nonlocal left
            if event == "c_call" or not ON:
                return
            left -= 1
            if not left:
                sys.setprofile(None)
                others.append(threading.Thread(target=cancel_outermost))
                others[0].start()
                others[0].join(0.05)  # where a step holds what it needs, it comes a little later

        assert threading.current_thread() is main_thread
        sys.setprofile(look)
        try:
            call()
        except CancelledRun:
            pass
        finally:
            sys.setprofile(None)
        for other in others:
            other.join()
        assert not ON, ON
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGURG):
            assert "surefoot" not in type(getattr(signal.getsignal(number), "__self__", None)).__module__
        gc.collect()


def be_killed(call: Callable[[], Any], count: int, shots: int) -> None:
    global took_s
    tries: list[float] = []
    for _ in range(5):  # the machine may have been at something else meanwhile
        began = time.perf_counter()
        child = os.fork()
        if not child:
            call()
            os._exit(0)
        os.waitpid(child, 0)
        tries.append(time.perf_counter() - began)
    took_s = min(tries)  # the first run of a process takes longer
    for _ in range(count):
        child = os.fork()
        if not child:
            try:
                begins, never = Flag(), Flag()
                threading.Thread(target=shoot, args=(shots, signal.SIGTERM, begins, never), daemon=True).start()
                begins.raise_it()
                call()
                signal.pause()
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), status
        assert os.WTERMSIG(status) == signal.SIGTERM, status


def press_again() -> None:
    """Send Ctrl-C for the third time, as whoever sits there would, where asyncio waits for ever.

    Ctrl-C for the second time is raised by asyncio wherever it comes, perhaps when the loop has taken a task's step out
    of its queue and not taken the step. Then `asyncio.run` waits, at its end, for a task that nothing wakes.
    """
    ident = threading.main_thread().ident
    assert ident is not None
    before: set[int] = set()
    while True:
        stuck = _stuck_in(sys._current_frames()[ident])
        if stuck & before:
            sys.stderr.write(LEFT_BEHIND)
            was_pressed_again.raise_it()
            signal.pthread_kill(ident, signal.SIGINT)
        before = stuck
        Flag().wait(0.5)


def _stuck_in(frame: FrameType | None) -> set[int]:
    """The tasks that asyncio waits for at its end, which wait for nothing, and for which nothing is to be done."""
    while frame is not None and frame.f_code.co_name != "_cancel_all_tasks":
        frame = frame.f_back
    if frame is None or "to_cancel" not in frame.f_locals:
        return set()
    loop: Any = frame.f_locals["loop"]
    tasks: set[Any] = frame.f_locals["to_cancel"]
    if loop._ready or loop._scheduled:
        return set()
    return {id(task) for task in tasks if not task.done() and _is_over(task._fut_waiter)}


def _is_over(awaited: Any) -> bool:
    """Whether what a task awaits has ended, or all that it is gathered of."""
    children = getattr(awaited, "_children", None)
    return awaited is None or awaited.done() or bool(children and all(child.done() for child in children))


def main(what: str, how: str, *numbers: str) -> None:
    sys.setswitchinterval(0.000_1)  # else whole runs pass before the thread that is to stop them gets its turn
    call = CALLS[what]
    call()  # what is imported is imported
    global took_s
    began = time.perf_counter()
    call()
    took_s = time.perf_counter() - began
    global comes_twice, is_thrice
    is_thrice = how == "random" and numbers[1] == "3"
    comes_twice = how == "twice" or (how == "random" and numbers[1] != "1")
    if comes_twice:
        threading.Thread(target=press_again, daemon=True).start()
    stops: dict[str, Callable[..., None]]
    stops = {
        "every": stop_at_every_step,
        "twice": stop_twice,
        "random": stop_at_random,
        "killed": be_killed,
        "cancelled": cancel_at_every_step,
    }
    stops[how](call, *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
