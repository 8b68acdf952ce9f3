"""Generator runs, on threads and in event loops: exhausted, closed, dropped, raising, thrown at, out of time."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import closing
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.states import COMPLETED, CRASHED, FAILED
from surefoot.exceptions import TaskRunTimeoutError
from tests.engine.concurrency import (  # noqa: F401  # two are fixtures
    SOON,
    ManualClock,
    add,
    manual_clock,
    no_thread_is_left,
    on,
    until,
)
from tests.recorded import RecordedRun, record
from tests.reference.rows import row

Kind = Callable[..., Callable[..., Any]]  # `flow` or `task`
KINDS = pytest.mark.parametrize("kind", [flow, task], ids=["flow", "task"])


def the_run(home: Path) -> RecordedRun:
    """The one run that there is."""
    found = record(home)
    (run,) = [*found.flow_runs, *found.task_runs]
    return run


# --- how they end -----------------------------------------------------------------------------------------------------


@row("1.49")
@KINDS
def test_a_generator_that_is_exhausted_completes_and_gives_its_return_value(row: str, kind: Kind, home: Path) -> None:
    @kind
    def counts(n: int) -> Generator[int, None, str]:
        yield from range(n)
        return "end"

    stream = counts(3)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(StopIteration) as stopped:
        next(stream)
    assert stopped.value.value == "end"
    assert list(stream) == []  # it stays exhausted
    assert the_run(home).names == ["Pending", "Running", "Completed"]


@row("1.49")
@KINDS
def test_a_generator_that_is_closed_completes_after_it_cleaned_up(row: str, kind: Kind, home: Path) -> None:
    cleaned = []

    @kind
    def counts() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(True)

    stream = counts()
    assert next(stream) == 1
    stream.close()
    stream.close()
    assert cleaned == [True]
    assert list(stream) == []
    assert the_run(home).end == (COMPLETED, "Completed")


@KINDS
@pytest.mark.parametrize("way", ["dropped", "left in a loop", "collected in a circle"])
def test_a_generator_that_is_dropped_is_abandoned_after_it_cleaned_up(kind: Kind, way: str, home: Path) -> None:
    order: list[str] = []

    @kind(on_completion=[lambda *_: order.append("hook")])
    def counts() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            order.append("cleaned")

    if way == "dropped":
        stream = counts()
        next(stream)
        del stream
    elif way == "left in a loop":
        for _ in counts():
            break
    else:
        circle: list[Any] = [counts()]
        next(circle[0])
        circle.append(circle)
        del circle
        gc.collect()
    assert order == ["cleaned"]
    run = the_run(home)
    assert run.end == (CRASHED, "Abandoned")
    assert "dropped before it was exhausted or closed" in (run.last.message or "")


@KINDS
def test_a_generator_that_was_never_begun_leaves_no_trace(kind: Kind, home: Path) -> None:
    @kind
    def counts() -> Iterator[int]:
        yield 1

    counts()
    counts().close()
    with pytest.raises(KeyError):
        counts().throw(KeyError("mine"))
    found = record(home)
    assert [*found.flow_runs, *found.task_runs] == []


@KINDS
def test_a_generator_that_raises_fails_with_that_very_exception(kind: Kind, home: Path) -> None:
    error = OSError("no disk")

    @kind
    def breaks() -> Iterator[int]:
        yield 1
        raise error

    stream = breaks()
    next(stream)
    with pytest.raises(OSError, match="no disk") as caught:
        next(stream)
    assert caught.value is error
    assert list(stream) == []
    assert the_run(home).end == (FAILED, "Failed")


def test_a_generator_that_cannot_be_closed_fails(home: Path) -> None:
    @task
    def stubborn() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            yield 2

    stream = stubborn()
    next(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()
    assert the_run(home).end == (FAILED, "Failed")


def test_an_abandoned_flow_lets_its_running_tasks_end_and_holds_up_nobody_meanwhile(home: Path) -> None:
    gate, begun = threading.Event(), threading.Event()

    @task
    def runs() -> bool:
        begun.set()
        return gate.wait(SOON)

    @on(1)
    def program() -> Iterator[int]:
        runs.submit()
        runs.submit().add_done_callback(lambda _: gate.set())  # cancelled while the first still runs
        yield 1

    stream = program()
    next(stream)
    assert begun.wait(SOON)
    del stream
    until(lambda: gate.is_set() and not any(thread.name.endswith("-abandoned") for thread in threading.enumerate()))
    found = record(home)
    assert found.flow_run().end == (CRASHED, "Abandoned")
    assert [run.end[1] for run in found.task_runs] == ["Completed", "Cancelled"]


# --- what goes in -----------------------------------------------------------------------------------------------------


LEFT_TO_THE_END = """
import atexit, gc
gc.disable()
atexit.register(gc.enable)  # the last of all
import asyncio
from surefoot import flow, task

@task
def one():
    return 1

class Circle:
    pass

def numbers_in_threads():
    one.submit()
    yield 1

def numbers():
    yield 1

async def numbers_in_a_loop():
    yield 1

def dropped():
    circle = Circle()
    circle.itself, circle.generator = circle, flow({name})()
    return next(circle.generator)

async def dropped_in_a_loop():
    circle = Circle()
    circle.itself, circle.generator = circle, flow({name})()
    return await anext(circle.generator)

asyncio.run(dropped_in_a_loop()) if "loop" in "{name}" else dropped()
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("numbers", "its generator was dropped before it was exhausted or closed"),
        ("numbers_in_a_loop", "its generator was dropped before it was exhausted or closed"),
        ("numbers_in_threads", "its process ended without ending it"),  # its threads go on no more
    ],
)
def test_a_generator_that_is_found_dropped_as_the_interpreter_ends_holds_nothing_up(
    name: str, why: str, home: Path
) -> None:
    program = subprocess.run([sys.executable, "-c", LEFT_TO_THE_END.replace("{name}", name)], timeout=60, check=False)
    assert program.returncode == 0
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
    assert (run.state_name, run.reason) == ("Abandoned", why)


@KINDS
def test_what_is_sent_and_thrown_arrives_in_the_users_generator(kind: Kind, home: Path) -> None:
    @kind
    def echoes() -> Generator[Any, Any, None]:
        got: Any = "first"
        while got != "stop":
            try:
                got = yield got
            except KeyError as error:
                got = f"caught {error}"

    stream = echoes()
    assert next(stream) == "first"
    assert stream.send("one") == "one"
    assert stream.throw(KeyError("two")) == "caught 'two'"
    assert stream.throw(KeyError) == "caught "
    with pytest.raises(StopIteration):
        stream.send("stop")
    assert the_run(home).end == (COMPLETED, "Completed")


def test_a_generator_keeps_to_the_rules_of_pythons_own() -> None:
    def rules(make: Any) -> list[str]:
        told = []
        box: list[Any] = []

        def body() -> Iterator[int]:
            try:
                next(box[0])
            except ValueError as error:
                told.append(str(error))
            yield 1

        stream = make(body)()
        box.append(stream)
        try:
            stream.send(1)
        except TypeError as error:
            told.append(str(error))
        told.append(str(next(stream)))
        stream.close()
        box.clear()
        return told

    assert rules(task) == rules(lambda fn: fn)


def test_yield_from_a_run_passes_everything_on() -> None:
    @task
    def inner() -> Generator[int, int, int]:
        got = yield 1
        return got * 2

    @flow
    def outer() -> Generator[int, int, int]:
        end: int = yield from inner()
        return end

    stream = outer()
    assert next(stream) == 1
    with pytest.raises(StopIteration) as stopped:
        stream.send(21)
    assert stopped.value.value == 42


# --- retries ----------------------------------------------------------------------------------------------------------


@KINDS
def test_a_generator_is_repeated_only_before_its_first_value(kind: Kind, home: Path) -> None:
    attempts = []

    @kind(retries=2)
    def flaky() -> Iterator[int]:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("at first")
        yield 1
        raise OSError("after a value")

    stream = flaky()
    assert next(stream) == 1
    with pytest.raises(OSError, match="after a value"):
        next(stream)
    assert the_run(home).names == ["Pending", "Running", "Retrying", "Failed"]


# --- contexts ---------------------------------------------------------------------------------------------------------

variable: ContextVar[str] = ContextVar("variable", default="of the consumer")


@KINDS
def test_what_a_generator_sets_in_its_context_stays_there(kind: Kind) -> None:
    @kind
    def sets() -> Iterator[str]:
        variable.set("of the run")
        yield variable.get()
        yield variable.get()

    stream = sets()
    assert [next(stream), variable.get()] == ["of the run", "of the consumer"]
    token = variable.set("changed meanwhile")
    assert next(stream) == "of the run"
    variable.reset(token)
    assert copy_context().run(lambda: list(stream)) == []


def test_two_generators_taken_in_turn_each_know_their_own_run() -> None:
    from surefoot.context import TaskRunContext

    def name() -> str:
        context = TaskRunContext.get()
        return "none" if context is None else str(context.parameters["label"])

    @task
    def who(label: str) -> Generator[str, None, None]:
        while True:
            yield name()

    one, two = who("one"), who("two")
    assert [next(one), next(two), name(), next(one), next(two)] == ["one", "two", "none", "one", "two"]
    one.close()
    two.close()


def test_what_a_generator_prints_is_its_runs_line(home: Path) -> None:
    @task(log_prints=True)
    def prints() -> Iterator[int]:
        print("a line")  # noqa: T201
        yield 1

    assert list(prints()) == [1]
    (line,) = [line for line in record(home).lines if line.message == "a line"]
    assert line.task_run_id == the_run(home).created.run_id


# --- time -------------------------------------------------------------------------------------------------------------


def test_the_time_that_the_consumer_takes_does_not_count(manual_clock: ManualClock, home: Path) -> None:  # noqa: F811
    @task(timeout_seconds=5)
    def counts() -> Iterator[int]:
        yield 1
        yield 2

    stream = counts()
    assert next(stream) == 1
    manual_clock.advance(100)
    assert list(stream) == [2]
    assert the_run(home).end == (COMPLETED, "Completed")


@pytest.mark.parametrize("in_a_thread", [False, True])
def test_a_step_that_takes_too_long_is_ended(in_a_thread: bool, home: Path) -> None:
    told: list[str] = []

    @task(timeout_seconds=0.1)
    def slow() -> Iterator[int]:
        yield 1
        until(lambda: False)

    def consume() -> None:
        stream = slow()
        next(stream)
        with pytest.raises(TaskRunTimeoutError) as caught:
            next(stream)
        told.append(str(caught.value))

    if in_a_thread:
        thread = threading.Thread(target=consume)
        thread.start()
        thread.join(SOON)
    else:
        consume()
    assert "longer than its 100 ms" in told[0]
    assert the_run(home).end == (FAILED, "TimedOut")


def test_each_attempt_has_the_whole_time_again(manual_clock: ManualClock) -> None:  # noqa: F811
    lefts: list[float] = []

    @task(timeout_seconds=10, retries=1)
    def flaky() -> Iterator[int]:
        manual_clock.advance(9)
        lefts.append(1)
        if len(lefts) == 1:
            raise OSError
        yield 1
        yield 2

    assert list(flaky()) == [1, 2]


# --- submitted and in flows -------------------------------------------------------------------------------------------


def test_a_submitted_generator_gives_the_list_of_its_values_under_one_time_limit(home: Path) -> None:
    @task(timeout_seconds=0.2)
    def endless() -> Iterator[int]:
        while True:
            yield 1

    @task
    def three() -> Iterator[int]:
        yield from range(3)

    @task
    async def three_too() -> AsyncGenerator[int, None]:
        for n in range(3):
            yield n

    @on(2)
    def program() -> tuple[Any, Any, str]:
        late = endless.submit()
        late.wait()
        return three.submit().result(), three_too.submit().result(), late.state.name

    assert program() == ([0, 1, 2], [0, 1, 2], "TimedOut")


@row("1.49")
def test_a_value_that_a_generator_task_yielded_links_to_it(row: str, home: Path) -> None:
    @task
    def rows() -> Iterator[list[int]]:
        yield [1, 2]
        yield [3, 4]

    @task
    def takes(row: list[int]) -> int:
        return sum(row)

    @on(1)
    def program() -> int:
        found: int = sum(takes.submit(row).result() for row in rows())
        return found

    assert program() == 10
    found = record(home)
    source = found.task_run("rows").created.run_id
    assert [run.created.inputs for run in found.task_runs if run.of == "takes"] == [(("row", (source,)),)] * 2


def test_a_generator_flow_may_submit_and_hand_out_results() -> None:
    @on(1)
    def program() -> Iterator[int]:
        for future in add.map(range(3)):
            yield future.result()

    assert list(program()) == [1, 2, 3]


# --- asynchronous -----------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("way", ["exhausted", "closed", "dropped", "raising", "cancelled"])
def test_an_asynchronous_generator_ends_in_all_these_ways(kind: Kind, way: str, home: Path) -> None:
    cleaned: list[bool] = []

    @kind
    async def counts() -> AsyncGenerator[int, None]:
        try:
            yield 1
            if way == "raising":
                raise OSError("no disk")
            if way == "cancelled":
                await asyncio.Event().wait()
            yield 2
        finally:
            cleaned.append(True)

    async def consume() -> None:
        stream = counts()
        assert await anext(stream) == 1
        if way == "exhausted":
            assert [n async for n in stream] == [2]
        elif way == "closed":
            await stream.aclose()
            await stream.aclose()
        elif way == "raising":
            with pytest.raises(OSError, match="no disk"):
                await anext(stream)
        elif way == "cancelled":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(stream)
        if way != "dropped":
            assert [n async for n in stream] == []

    asyncio.run(consume())
    gc.collect()
    ends = {
        "exhausted": (COMPLETED, "Completed"),
        "closed": (COMPLETED, "Completed"),
        "dropped": (CRASHED, "Abandoned"),
        "raising": (FAILED, "Failed"),
        "cancelled": (CRASHED, "Crashed"),
    }
    assert cleaned == [True]
    assert the_run(home).end == ends[way]


def test_what_is_sent_to_an_asynchronous_generator_and_thrown_arrives() -> None:
    @task
    async def echoes() -> AsyncGenerator[Any, Any]:
        variable.set("of the run")
        got: Any = "first"
        while got != "stop":
            try:
                got = yield got
            except KeyError as error:
                got = f"caught {error}"

    async def consume() -> list[Any]:
        stream = echoes()
        with pytest.raises(TypeError, match="just-started"):
            await stream.asend(1)
        found = [await anext(stream), await stream.asend("one"), await stream.athrow(KeyError("two"))]
        assert variable.get() == "of the consumer"
        with pytest.raises(StopAsyncIteration):
            await stream.asend("stop")
        return found

    assert asyncio.run(consume()) == ["first", "one", "caught 'two'"]


def test_an_asynchronous_generator_is_repeated_before_its_first_value_and_timed_in_its_own_steps(home: Path) -> None:
    attempts: list[int] = []

    @task(retries=1, timeout_seconds=0.2)
    async def flaky() -> AsyncGenerator[int, None]:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError
        yield 1
        await asyncio.Event().wait()

    async def consume() -> None:
        stream = flaky()
        assert await anext(stream) == 1
        with pytest.raises(TaskRunTimeoutError):
            await anext(stream)

    asyncio.run(consume())
    assert the_run(home).names == ["Pending", "Running", "Retrying", "TimedOut"]


def test_an_asynchronous_generator_that_is_asked_twice_at_once_says_so() -> None:
    @task
    async def waits() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 1

    async def consume() -> Any:
        stream = waits()
        found = await asyncio.gather(anext(stream), anext(stream), return_exceptions=True)
        await stream.aclose()
        return found

    first, second = asyncio.run(consume())
    assert first == 1
    assert isinstance(second, RuntimeError)
    assert "already running" in str(second)
