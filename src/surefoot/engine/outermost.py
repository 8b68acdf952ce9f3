"""What surrounds a run that nothing of ours surrounds: signals are taken over while it is on, and given back.

They wait at the main thread's gate until they may stop the run. What they do in the end is what they would have done
without us: KeyboardInterrupt goes on to the program, SIGTERM ends the process. The last line that is printed names the
command that goes on. Keeps promise 6. May import: core, execution, forking.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Coroutine
from signal import SIGINT
from typing import Any, Final, TypeVar

from surefoot.core.errors import TerminationSignal
from surefoot.core.os.finalizers import watch
from surefoot.core.os.signals import GATE, die_of
from surefoot.core.os.threads import LOOP, SHUT, THIS_THREAD, ThreadGate
from surefoot.core.os.wakeups import Wakeup
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FINAL
from surefoot.core.typed import as_typed
from surefoot.engine import losses
from surefoot.engine.calling import STOP_GRACE_S
from surefoot.engine.commands import listen
from surefoot.engine.execution import Execution
from surefoot.engine.forking import is_inherited
from surefoot.engine.spans import flush
from surefoot.engine.telling import stop_of

__all__ = ["await_surrounded", "call_step", "call_surrounded", "is_surrounded"]

T = TypeVar("T")


def is_surrounded(execution: Execution) -> bool:
    """Whether this run is called by another, on a thread whose gate is in our hands."""
    return execution.parent is not None and THIS_THREAD.gate is not None


def call_surrounded(execution: Execution, live: Callable[[Execution], T]) -> T:
    """Live a run, or a step of it, on this thread."""
    __tracebackhide__ = True
    if not _is_main():
        gate = THIS_THREAD.gate
        if gate is None:
            THIS_THREAD.gate = ThreadGate()
            watch()
        try:
            listen(execution)
            return live(execution)
        finally:
            THIS_THREAD.gate = gate
            _tell_end(execution)
    GATE.install()
    try:
        listen(execution)
        value = live(execution)
    except BaseException as error:
        late = _conclude(execution, error)
        if late is not None:
            raise late from None
        raise
    late = _conclude(execution)
    if late is not None:
        raise late
    return value


def call_step(execution: Execution, live: Callable[[Execution], T]) -> T:
    """Live a step of a run whose generator the program holds. Its code is ours: what comes waits."""
    gate = THIS_THREAD.gate
    if gate is None or execution.parent is None:
        return call_surrounded(execution, live)
    opened = gate.shut()
    try:
        return live(execution)
    finally:
        if opened:
            gate.open(opened)


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _conclude(execution: Execution, failure: BaseException | None = None) -> BaseException | None:
    """A run on the main thread has ended. The answer is a signal's exception that came too late to stop it: it goes on,
    as in Python, whatever else the run has raised, its last value's StopIteration included.
    """
    _tell_end(execution)
    late = GATE.uninstall()
    if GATE.terminated is not None and not GATE.is_installed:
        _die(execution, GATE.terminated)
    return None if isinstance(failure, KeyboardInterrupt) else late


def _die(execution: Execution, error: TerminationSignal) -> None:
    """SIGTERM ended the run: now it ends the process as it would have done without us, the journal closed in order."""
    if execution.state_type not in FINAL:  # between two values of a generator
        execution.stop = stop_of(error)
        execution.abandon()
        _tell_end(execution)
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        pass  # there is no stdout, or it was closed
    execution.session.recorder.close()
    flush(execution)
    losses.wait()
    die_of(error.signal)


def _tell_end(execution: Execution) -> None:
    kind = execution.state_type
    if kind not in FINAL or execution.parent is not None or is_inherited(execution):
        return
    if (
        execution.flow is not None
        and execution.flow.resuming is not None
        and execution.flow.resuming.replay is not None
    ):
        return  # nothing of it is there to be looked at
    if not execution.is_task:
        execution.session.recorder.flow_ended()
    if kind in (CANCELLED, CRASHED) or not (execution.is_task or kind is COMPLETED):
        _name_the_next_step(_next_step(execution))


def _next_step(execution: Execution) -> str:
    line = f"To see why: surefoot why {execution.run_name}"
    if not execution.is_task and execution.flow is not None and execution.flow.can_be_started_again:
        line += f"   To go on: surefoot flow-run retry {execution.run_name}"
    return f"{as_typed(line)}\n"


_last_line = ""


def _name_the_next_step(line: str) -> None:
    global _last_line
    if isinstance(GATE.arrived, KeyboardInterrupt) and _is_main() and not hasattr(sys, "ps1"):
        # Python is about to print a traceback, and what is to be read comes after it.
        if not _last_line:
            atexit.register(lambda: _write(_last_line))
        _last_line = line
    else:
        _write(line)


def _write(line: str) -> None:
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass  # there is no stderr, or it was closed


# -- in an event loop

_wakeup: Final = Wakeup()  # held as long as any run lives in a loop that nothing surrounds
_living: Final[set[Any]] = set()  # the asyncio tasks of the main thread in which runs live


async def await_surrounded(execution: Execution, live: Callable[[Execution], Coroutine[Any, Any, T]]) -> T:
    """Live a run, or a step of it, in this event loop. On the main thread a signal that comes while the loop waits
    cancels it.
    """
    __tracebackhide__ = True
    if not _is_main():
        try:
            listen(execution)
            return await live(execution)
        finally:
            _tell_end(execution)
    import asyncio

    task = asyncio.current_task()
    is_first = task not in _living  # a task awaits its runs one within the other
    _living.add(task)
    try:
        if execution.parent is None:
            return await _await_outermost(execution, live)
        return await _await_shut(execution, live)
    finally:
        if is_first:
            _living.discard(task)


async def _await_shut(execution: Execution, live: Callable[[Execution], Coroutine[Any, Any, T]]) -> T:
    from asyncio import CancelledError

    __tracebackhide__ = True
    gate = THIS_THREAD.gate
    opened = SHUT if gate is None else gate.shut()
    try:
        listen(execution)
        return await live(execution)
    except KeyboardInterrupt:
        # It would leave the event loop here and now, and all else that lives in it where it stands.
        if gate is GATE and GATE.leave_to_runner():
            raise CancelledError from None
        raise
    finally:
        if gate is not None and opened:
            gate.open(opened)


async def _await_outermost(execution: Execution, live: Callable[[Execution], Coroutine[Any, Any, T]]) -> T:
    import asyncio

    __tracebackhide__ = True
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    asked = told = over = False

    def ask() -> bool:
        nonlocal asked
        asked = loop.is_running()
        if asked:
            loop.call_soon_threadsafe(tell)
        return asked

    def tell() -> None:
        nonlocal told
        if not over:
            told = True
            task.cancel()

    is_first = not GATE.is_installed
    failure: BaseException | None = None
    GATE.install(LOOP)
    try:  # as soon as the loop goes on, Ctrl-C for the second time is raised wherever it comes
        GATE.cancels.append(ask)
        if is_first:
            GATE.open(LOOP)
        _wakeup.begin(loop)
        value = await _await_shut(execution, live)
    except BaseException as error:  # raised again below, when the signals are given back
        failure = error
    opened, GATE.opened = (
        GATE.opened,
        SHUT,
    )  # not by `shut`: at the start of a function a signal would be let in once more
    over = True
    if ask in GATE.cancels:
        GATE.cancels.remove(ask)
    if GATE.terminated is not None:
        await _end_others(task)
    is_ours = asked and GATE.runner(SIGINT) is None and isinstance(GATE.arrived, KeyboardInterrupt)
    if isinstance(GATE.pending, KeyboardInterrupt) and GATE.leave_to_runner():
        GATE.drop(GATE.pending)
    if GATE.is_last:
        _wakeup.end()
    late = _conclude(execution, failure)
    if GATE.is_installed:
        GATE.open(opened)
    if is_ours and (not told or isinstance(failure, asyncio.CancelledError)):
        # A loop without `asyncio.run`, whose KeyboardInterrupt it would be.
        if told:
            task.uncancel()
        raise KeyboardInterrupt
    last = late or failure
    if last is not None:
        raise last
    return value


async def _end_others(own: Any) -> None:
    """SIGTERM: with the last run that nothing of ours surrounds the process ends. What else lives here ends before."""
    import asyncio

    for ask in GATE.cancels:
        ask()
    if GATE.cancels:
        return
    loop = asyncio.get_running_loop()
    others = [task for task in _living if task is not own and task.get_loop() is loop]
    for task in others:
        task.cancel()
    end_s = loop.time() + STOP_GRACE_S
    while not all(task.done() for task in others) and loop.time() < end_s:
        try:
            await asyncio.wait(others, timeout=end_s - loop.time())
        except asyncio.CancelledError:
            continue  # whoever waits for this run was cancelled itself
