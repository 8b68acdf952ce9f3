"""Time limits: on the main thread, in others, in event loops; within each other; and when the call has just ended."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, quote, task
from surefoot.core.states import StateType
from surefoot.exceptions import CancelledRun, FlowRunTimeoutError, TaskRunTimeoutError
from surefoot.futures import Future
from surefoot.states import State
from tests.recorded import record

CANCELLED, COMPLETED, CRASHED, FAILED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED, StateType.FAILED
SOON = 0.02  # a limit that is waited for
WHILE = 0.5  # long enough for what is within to begin, on a machine that is busy with other things
NEVER = 1000.0  # one that nothing here reaches
NOBODY = threading.Event()  # sets this


def turn() -> None:
    """Keep the interpreter busy for ever."""
    while True:
        pass


def rest() -> None:
    """Wait for ever."""
    NOBODY.wait()


def sleep() -> None:
    """Sleep for ever."""
    time.sleep(NEVER)  # house: skip sleep: it is what is to be ended


def read() -> None:
    """Be in a system call for ever."""
    os.read(os.pipe()[0], 1)


def in_thread(call: Callable[[], Any]) -> Any:
    """Call in a thread of its own, and give what it gave."""
    box: list[Any] = []
    thread = threading.Thread(target=lambda: box.append(call()))
    thread.start()
    thread.join()
    return box[0]


def ends(home: Path) -> dict[str, tuple[StateType, str, str | None]]:
    """How the runs ended: by the name of their flow or task."""
    found = record(home)
    return {run.of: (*run.end, run.last.message) for run in [*found.flow_runs, *found.task_runs]}


@pytest.fixture(autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    """After each test: no alarm is set, and no exception is under way that would hit what comes next."""
    # Python passes over what is raised in these (others than ours have put them in), as in any finalizer.
    gc.collect()  # so are callbacks of weak references to what other tests left
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    for _ in range(1000):
        pass


# -- on the main thread


@pytest.mark.parametrize("blocks", [turn, rest, read, sleep])
@pytest.mark.parametrize("kind", ["flow", "task"])
def test_on_the_main_thread_whatever_takes_too_long_is_ended(blocks: Callable[[], None], kind: str, home: Path) -> None:
    run = (flow if kind == "flow" else task)(timeout_seconds=SOON, name="late")(lambda: blocks())
    error = FlowRunTimeoutError if kind == "flow" else TaskRunTimeoutError
    with pytest.raises(error, match=rf"^{kind.capitalize()} run '.*' took longer than its 20 ms\.$") as caught:
        run()
    assert isinstance(caught.value, TimeoutError)
    state = run(return_state=True)
    assert (state.type, state.name) == (FAILED, "TimedOut")
    assert {run.end for run in [*record(home).flow_runs, *record(home).task_runs]} == {(FAILED, "TimedOut")}


def test_waiting_for_a_future_is_ended_too_and_so_is_the_task(home: Path) -> None:
    @task
    def goes_on() -> None:
        while True:
            NOBODY.wait(0.001)

    @task
    def waits(value: None) -> None: ...

    @flow(timeout_seconds=WHILE)
    def program() -> None:
        waits.submit(goes_on.submit()).result()

    with pytest.raises(FlowRunTimeoutError):
        program()
    assert ends(home)["program"][:2] == (FAILED, "TimedOut")
    assert ends(home)["goes_on"] == (CANCELLED, "Cancelled", "its flow run ran out of time")
    assert ends(home)["waits"] == (CANCELLED, "Cancelled", "its flow run ran out of time, before it started")


@pytest.mark.parametrize("limit", [None, 0, 0.0])
def test_zero_and_none_are_no_limit(limit: float | None, home: Path) -> None:
    @task(timeout_seconds=limit)
    def inner() -> int:
        return 1

    @flow(timeout_seconds=limit)
    def program() -> Any:
        return inner()

    assert program() == 1


def test_a_call_in_time_is_not_touched(home: Path) -> None:
    @task(timeout_seconds=NEVER)
    def inner() -> int:
        return 1

    @flow(timeout_seconds=NEVER)
    def program() -> Any:
        first, *_ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < first <= NEVER
        return inner() + inner.submit().result()

    assert program() == 2


def test_a_timeout_error_of_the_users_own_reads_the_same_with_its_own_words(home: Path) -> None:
    @task(timeout_seconds=NEVER)
    def asks() -> None:
        raise TimeoutError("the server did not answer")

    with pytest.raises(TimeoutError, match=r"^the server did not answer$") as caught:
        asks()
    assert type(caught.value) is TimeoutError
    assert ends(home)["asks"] == (FAILED, "TimedOut", "TimeoutError: the server did not answer")


def test_a_timed_out_task_is_retried(home: Path) -> None:
    tries = []

    @task(timeout_seconds=SOON, retries=2)
    def slow_at_first() -> int:
        tries.append(1)
        if len(tries) < 3:
            turn()
        return len(tries)

    assert slow_at_first() == 3
    (run,) = record(home).task_runs
    assert run.names == ["Pending", "Running", "Retrying", "Retrying", "Completed"]


# -- what the user's code makes of it


def test_except_exception_does_not_catch_it(home: Path) -> None:
    cleaned = []

    @task(timeout_seconds=SOON)
    def stubborn() -> str:
        while True:
            try:
                turn()
            except Exception:
                continue
            finally:
                cleaned.append(1)

    with pytest.raises(TaskRunTimeoutError):
        stubborn()
    assert cleaned == [1]


def swallows() -> str:
    try:
        turn()
    except BaseException:
        pass
    return "too late"


def turns_it_into_another() -> str:
    try:
        turn()
    except BaseException:
        raise ValueError("half done") from None
    return ""


@pytest.mark.parametrize("call", [lambda state: state(), in_thread], ids=["main", "thread"])
def test_what_a_call_makes_of_its_end_changes_nothing(call: Callable[[Callable[[], State]], State], home: Path) -> None:
    stubborn = task(timeout_seconds=SOON)(swallows)
    assert call(lambda: stubborn(return_state=True)).name == "TimedOut"
    other = task(timeout_seconds=SOON)(turns_it_into_another)
    state = call(lambda: other(return_state=True))
    assert state.name == "TimedOut"
    assert isinstance(state.data, TaskRunTimeoutError)
    assert isinstance(state.data.__cause__, ValueError)


# -- within each other


def test_the_outer_limit_ends_the_inner_run_as_cancelled(home: Path) -> None:
    @task(timeout_seconds=NEVER)
    def innermost() -> None:
        turn()

    @flow
    def between() -> None:
        innermost()

    @flow(timeout_seconds=WHILE, flow_run_name="outer")
    def program() -> None:
        between()

    with pytest.raises(FlowRunTimeoutError, match=r"^Flow run 'outer'"):
        program()
    told = "the flow or task that called it ran out of time"
    assert ends(home) == {
        "program": (FAILED, "TimedOut", ends(home)["program"][2]),
        "between": (CANCELLED, "Cancelled", told),
        "innermost": (CANCELLED, "Cancelled", told),
    }


def test_the_inner_limit_ends_the_inner_run_alone(home: Path) -> None:
    @task(timeout_seconds=SOON)
    def inner() -> None:
        turn()

    @flow(timeout_seconds=NEVER)
    def program() -> str:
        state: State = inner(return_state=True)
        return state.name

    assert program() == "TimedOut"


def test_of_equal_limits_one_is_told_and_nothing_is_left_open(home: Path) -> None:
    @task(timeout_seconds=WHILE)
    def inner() -> None:
        turn()

    @flow(timeout_seconds=WHILE)
    def program() -> None:
        inner()

    with pytest.raises(TimeoutError):
        program()
    assert ends(home)["program"][:2] == (FAILED, "TimedOut")
    assert ends(home)["inner"][:2] in [(FAILED, "TimedOut"), (CANCELLED, "Cancelled")]


def test_code_that_swallows_the_outer_limit_within_the_inner_call_ends_both(home: Path) -> None:
    @task(timeout_seconds=2 * WHILE)
    def inner() -> str:
        swallows()  # the flow's
        turn()
        return ""

    @flow(timeout_seconds=WHILE)
    def program() -> None:
        inner()

    with pytest.raises(FlowRunTimeoutError):
        program()
    assert ends(home)["program"][:2] == (FAILED, "TimedOut")
    assert ends(home)["inner"][0] == CANCELLED


# -- in other threads


@pytest.mark.parametrize("kind", ["flow", "task"])
def test_in_a_thread_a_busy_loop_is_ended(kind: str, home: Path) -> None:
    run = (flow if kind == "flow" else task)(timeout_seconds=SOON)(turn)
    assert in_thread(lambda: run(return_state=True)).name == "TimedOut"


def test_a_submitted_task_that_is_busy_is_ended(home: Path) -> None:
    late = task(timeout_seconds=SOON)(turn)

    @flow
    def program() -> str:
        return late.submit(return_state=True).name

    assert program() == "TimedOut"


def test_a_submitted_task_that_waits_for_another_is_ended(home: Path) -> None:
    over = threading.Event()

    @task
    def long() -> None:
        over.wait()

    @task(timeout_seconds=SOON)
    def waits(future: Any) -> None:
        future.result()

    @flow
    def program() -> str:
        future = long.submit()
        state: State = waits.submit(quote(future), return_state=True)
        over.set()
        return state.name

    assert program() == "TimedOut"


def test_limits_within_each_other_in_a_thread(home: Path) -> None:
    @task(timeout_seconds=NEVER)
    def inner() -> None:
        turn()

    @task(timeout_seconds=SOON)
    def outer() -> None:
        inner()

    @flow
    def program() -> str:
        return outer.submit(return_state=True).name

    assert program() == "TimedOut"
    assert ends(home)["inner"][:2] == (CANCELLED, "Cancelled")


# -- in event loops


async def pause() -> None:
    await asyncio.Event().wait()


async def nothing() -> None: ...


@pytest.mark.parametrize("kind", ["flow", "task"])
def test_an_asynchronous_call_is_ended_and_its_loop_goes_on(kind: str, home: Path) -> None:
    run = (flow if kind == "flow" else task)(timeout_seconds=SOON)(pause)

    async def program() -> tuple[str, int]:
        state = await run(return_state=True)
        own = asyncio.current_task()
        assert own is not None
        async with asyncio.timeout(NEVER):
            await asyncio.wait([asyncio.ensure_future(nothing())])
        return state.name, own.cancelling()

    assert asyncio.run(program()) == ("TimedOut", 0)


def test_a_timeout_of_the_programs_own_stays_its_own(home: Path) -> None:
    limited = task(timeout_seconds=NEVER)(pause)

    async def program() -> None:
        async with asyncio.timeout(SOON):
            await limited()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(program())
    assert not isinstance(caught.value, TaskRunTimeoutError)
    assert ends(home)["pause"] == (CRASHED, "Crashed", "cancelled by the event loop")


def test_both_limits_at_once_are_two(home: Path) -> None:
    limited = task(timeout_seconds=SOON)(pause)

    async def program() -> str:
        async with asyncio.timeout(NEVER):
            try:
                await limited()
            except TaskRunTimeoutError:
                await asyncio.wait([asyncio.ensure_future(nothing())])
                return "ours"
        return ""

    assert asyncio.run(program()) == "ours"


def test_an_outer_flow_that_is_asynchronous_ends_its_tasks(home: Path) -> None:
    inner = task(timeout_seconds=NEVER)(pause)

    @flow(timeout_seconds=0.05)
    async def program() -> None:
        await asyncio.gather(inner(), inner.submit())

    with pytest.raises(FlowRunTimeoutError):
        asyncio.run(program())
    found = record(home)
    assert found.flow_run("program").end == (FAILED, "TimedOut")
    assert {run.end[0] for run in found.task_runs} <= {CANCELLED, CRASHED}


def test_a_blocking_call_in_a_coroutine_is_told_as_late(home: Path) -> None:
    @task(timeout_seconds=SOON)
    async def blocks() -> int:
        NOBODY.wait(3 * SOON)
        return 1

    async def program() -> str:
        state: State = await blocks(return_state=True)
        return state.name

    assert asyncio.run(program()) == "TimedOut"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="only there a signal ends a call from another thread")
@pytest.mark.parametrize("kind", ["flow", "task"])
@pytest.mark.parametrize("blocks", [turn, rest, sleep, read])
def test_what_holds_the_event_loop_of_the_main_thread_is_ended(
    blocks: Callable[[], None], kind: str, home: Path
) -> None:
    tidied: list[int] = []

    async def holds() -> None:
        try:
            blocks()
        finally:
            await asyncio.sleep(0)
            tidied.append(1)

    limited = (flow if kind == "flow" else task)(timeout_seconds=WHILE, retries=1)(holds)

    @flow
    async def main() -> tuple[str | None, int]:
        state = await limited(return_state=True)
        await asyncio.sleep(0)
        return state.name, len(tidied)

    assert asyncio.run(main()) == ("TimedOut", 2)
    assert record(home).flow_run("main").end == (COMPLETED, "Completed")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="only there a signal ends a call from another thread")
def test_a_future_waited_for_in_a_coroutine_of_the_main_thread_is_left_when_the_time_is_up(home: Path) -> None:
    @task
    def busy() -> None:
        turn()

    @flow(timeout_seconds=WHILE)
    async def main() -> None:
        busy.submit().result()

    with pytest.raises(FlowRunTimeoutError):
        asyncio.run(main())
    assert record(home).task_run("busy").end == (CANCELLED, "Cancelled")


def test_a_coroutine_that_swallows_its_cancellation_is_told_as_late(home: Path) -> None:
    @task(timeout_seconds=SOON)
    async def stubborn() -> int:
        try:
            await pause()
        except asyncio.CancelledError:
            pass
        return 1

    async def program() -> tuple[str, int]:
        state: State = await stubborn(return_state=True)
        own = asyncio.current_task()
        assert own is not None
        return state.name, own.cancelling()

    assert asyncio.run(program()) == ("TimedOut", 0)


# -- beside an alarm of the program's own


def test_an_alarm_of_the_programs_own_rings_and_ours_is_kept_by_other_means(home: Path) -> None:
    rang: list[int] = []
    late = task(timeout_seconds=SOON)(turn)

    @task(timeout_seconds=NEVER)
    def waits_for_it() -> int:
        while not rang:
            pass
        return len(rang)

    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 2 * SOON)
        assert late(return_state=True).name == "TimedOut"
        assert waits_for_it() == 1
        assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_that_the_call_itself_puts_in_stays(home: Path) -> None:
    rang = threading.Event()

    def own(*_: object) -> None:
        rang.set()

    @task(timeout_seconds=NEVER)
    def uses_the_alarm() -> None:
        signal.signal(signal.SIGALRM, own)
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    try:
        uses_the_alarm()
        assert signal.getsignal(signal.SIGALRM) is own
        assert rang.wait(30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


# -- when the call has just ended


@pytest.mark.parametrize("thread", [False, True], ids=["main", "thread"])
def test_a_limit_that_is_reached_as_the_call_ends_hits_nothing_else(thread: bool, home: Path) -> None:
    limit_s = 0.001

    @task(timeout_seconds=limit_s)
    def near(end: float) -> None:
        while time.monotonic() < end:
            pass

    @task(timeout_seconds=limit_s)
    def around(end: float) -> None:
        near(end)

    def hammer() -> set[str]:
        names = set()
        for number in range(300):
            run = around if number % 3 else near
            state = run(time.monotonic() + limit_s * (0.9 + number % 100 / 500), return_state=True)
            names.add(state.name)
            for _ in range(20):  # where an exception that came too late would arrive
                pass
        gc.collect()
        return names

    program = flow(hammer)
    names = in_thread(program) if thread else program()
    assert names <= {"Completed", "TimedOut"}
    found = record(home)
    assert {run.end for run in found.task_runs} <= {
        (COMPLETED, "Completed"),
        (FAILED, "TimedOut"),
        (CANCELLED, "Cancelled"),
    }
    assert found.flow_run().end == (COMPLETED, "Completed")


def test_the_error_of_a_cancelled_inner_run_says_so(home: Path) -> None:
    futures: list[Future[None]] = []

    @task
    def goes_on() -> None:
        while True:
            NOBODY.wait(0.001)

    @flow(timeout_seconds=0.1)
    def program() -> None:
        futures.append(goes_on.submit())
        futures[0].wait()

    with pytest.raises(FlowRunTimeoutError):
        program()
    with pytest.raises(CancelledRun, match="ran out of time"):
        futures[0].result()
