"""Tasks: called, submitted, mapped; retried, timed, hooked, named; what they return and what they refuse."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import State, exponential_backoff, flow, tags, task, unmapped
from surefoot.core.clock import SystemClock, set_clock
from surefoot.exceptions import BadInput, TaskRunTimeoutError, TemplateError
from surefoot.states import Cancelled, Completed, Failed
from tests.recorded import record

never = threading.Event()


def linger() -> None:
    """Take longer than any limit here, in steps that can be interrupted."""
    for _ in range(3000):
        never.wait(0.01)


class JumpingClock(SystemClock):
    """A clock on which all pauses take no time, and are remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._passed_us = 0

    def mono_us(self) -> int:
        return super().mono_us() + self._passed_us

    def sleep(self, seconds: float) -> None:
        self.wait_s(seconds)

    def wait_s(self, seconds: float) -> float:
        self.pauses.append(round(seconds, 3))
        self._passed_us += int(seconds * 1e6)
        return 0.0


@pytest.fixture
def clock() -> Iterator[JumpingClock]:
    clock = JumpingClock()
    before = set_clock(clock)
    yield clock
    set_clock(before)


class Flaky:
    """Fails so many times, then gives how often it was called."""

    def __init__(self, failures: int, error: Callable[[], Any] = lambda: ValueError("not yet")) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    def __call__(self) -> Any:
        self.calls += 1
        if self.calls <= self._failures:
            error = self._error()
            if isinstance(error, State):
                return error
            raise error
        return self.calls


def ways_of(decorated: Any) -> dict[str, Callable[[], Any]]:
    """The same task in every way in which a task can run."""

    @flow
    def directly() -> Any:
        return decorated()

    @flow
    def submitted() -> Any:
        return decorated.submit().result()

    @flow
    async def within_a_loop() -> Any:
        return decorated.submit()

    return {
        "alone": decorated,
        "directly": directly,
        "submitted": submitted,
        "loop": lambda: asyncio.run(within_a_loop()),
    }


WAYS = ["alone", "directly", "submitted", "loop"]


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_task_gives_its_value_in_every_way(way: str, home: Path) -> None:
    assert ways_of(task(Flaky(0)))[way]() == 1
    run = record(home).task_run()
    assert run.names == ["Pending", "Running", "Completed"]
    assert (run.created.flow_run_id is None) is (way == "alone")  # type: ignore[union-attr]


@pytest.mark.parametrize("way", WAYS)
def test_a_task_raises_the_very_exception_that_its_function_raised(way: str, home: Path) -> None:
    error = ValueError("no disk")

    @task
    def broken() -> None:
        raise error

    with pytest.raises(ValueError, match="no disk") as caught:
        ways_of(broken)[way]()
    assert caught.value is error
    last = record(home).task_run().last
    assert (last.state_type.value, last.state_name, last.message) == ("FAILED", "Failed", "ValueError: no disk")
    assert last.traceback is not None
    assert "in broken" in last.traceback
    assert "surefoot/engine" not in last.traceback, "of our own frames none is shown"


def test_an_asynchronous_task_in_every_mix(home: Path) -> None:
    @task
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @task
    def plain(a: int) -> int:
        return a + 1

    @flow
    async def from_async() -> Any:
        futures = add.map([1, 2], unmapped(10))
        return await add(1, 2), plain(3), await add.submit(4, 5), [await future for future in futures], plain.submit(6)

    @flow
    def from_sync() -> Any:
        return add.submit(1, 2).result(), add(3, 4), asyncio.run(add(5, 6)), plain(7)

    assert asyncio.run(from_async()) == (3, 4, 9, [11, 12], 7)
    sum_of_three = from_sync()
    assert sum_of_three[0] == 3
    assert sum_of_three[2:] == (11, 8)
    sum_of_three[1].close()  # a coroutine, since nobody awaited it
    assert asyncio.run(add(1, 1)) == 2
    assert asyncio.run(add(1, 1, return_state=True)).name == "Completed"


def test_a_task_in_a_task_belongs_to_it(home: Path) -> None:
    @task
    def inner(n: int) -> int:
        return n

    @task
    def outer(n: int) -> Any:
        return inner(n), inner.submit(n).result(), inner.map([n]).result()

    @flow
    def main() -> Any:
        return outer(3)

    assert main() == (3, 3, [3])
    found = record(home)
    outer_id = found.task_run("outer").created.run_id
    parents = {run.created.parent_task_run_id for run in found.task_runs if run.of == "inner"}
    assert parents == {outer_id}


def test_return_state_gives_the_state_and_does_not_raise() -> None:
    broken, good = task(Flaky(1)), task(Flaky(0))

    @flow
    def main() -> None:
        assert broken(return_state=True).name == "Failed"
        assert broken.submit(return_state=True).result() == 2

    main()
    assert good(return_state=True).result() == 1


# -- generators --------------------------------------------------------------------------------------------------------


def test_a_generator_task_streams_its_values(home: Path) -> None:
    taken: list[int] = []

    @task
    def count(n: int) -> Iterator[int]:
        for i in range(n):
            taken.append(i)
            yield i

    numbers = count(3)
    assert taken == []
    assert next(numbers) == 0
    assert taken == [0]
    assert list(numbers) == [1, 2]
    assert record(home).task_run().names == ["Pending", "Running", "Completed"]


def test_a_submitted_generator_gives_the_list_of_its_values() -> None:
    @task
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @task
    async def count_later(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @flow
    def main() -> Any:
        return count.submit(3), count_later.submit(2)

    assert main() == ([0, 1, 2], [0, 1])


def test_an_asynchronous_generator_task_streams_too() -> None:
    @task
    async def count(n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def take() -> list[int]:
        return [i async for i in count(3)]

    assert asyncio.run(take()) == [0, 1, 2]


# -- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [lambda: ValueError("not yet"), lambda: Failed(message="not yet")])
def test_a_failed_task_is_repeated_as_often_as_asked(way: str, error: Callable[[], Any], home: Path) -> None:
    flaky = Flaky(2, error)
    assert ways_of(task(retries=2)(flaky))[way]() == 3
    run = record(home).task_run()
    assert run.names == ["Pending", "Running", "Retrying", "Retrying", "Completed"]
    assert [state.run_count for state in run.entered] == [1, 2, 3, 3]
    assert run.created.retries == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("delay", "pauses"), [(10, [10, 10]), ([1, 20], [1, 20]), (exponential_backoff(3), [3, 6]), ([0, 5], [5])]
)
def test_delays_are_waited_and_announced(
    way: str, delay: Any, pauses: list[int], clock: JumpingClock, home: Path
) -> None:
    flaky = Flaky(2)
    assert ways_of(task(retries=2, retry_delay_seconds=delay)(flaky))[way]() == 3
    entered = record(home).task_run().entered
    waits = [state for state in entered if state.state_name == "AwaitingRetry"]
    assert [round((state.until_us or 0) - state.at_us, -6) / 1e6 for state in waits] == pauses
    assert [state.message for state in waits] == ["ValueError: not yet"] * len(pauses)
    # Not the pauses themselves: what passes before a pause begins, on a busy machine, is taken off it.
    ends = [entered[entered.index(state) + 1].mono_us for state in waits]
    assert all(end_us - state.mono_us >= s * 990_000 for state, end_us, s in zip(waits, ends, pauses, strict=True))


def test_jitter_spreads_the_delays_upwards(clock: JumpingClock, home: Path) -> None:
    task(retries=8, retry_delay_seconds=10, retry_jitter_factor=0.5)(Flaky(8))()
    assert len(set(clock.pauses)) > 1
    assert all(10 <= pause <= 15 for pause in clock.pauses)


def test_without_retries_of_its_own_a_task_takes_the_settings(
    home: Path, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_TASKS_DEFAULT_RETRIES", "3")
    monkeypatch.setenv("SUREFOOT_TASKS_DEFAULT_RETRY_DELAY_SECONDS", "1,10,100")
    assert task(Flaky(3))() == 4
    assert clock.pauses == [1, 10, 100]
    with pytest.raises(ValueError, match="not yet"):
        task(retries=0)(Flaky(1))()


def is_first(task: Any, task_run: Any, state: State) -> bool:
    return bool(task_run.run_count == 1 and isinstance(state.data, ValueError))


async def is_first_later(task: Any, task_run: Any, state: State) -> bool:
    await asyncio.sleep(0)
    return is_first(task, task_run, state)


class IsFirst:
    def __call__(self, task: Any, task_run: Any, state: State) -> bool:
        return is_first(task, task_run, state)


def given_first(_: Any, task: Any, task_run: Any, state: State) -> bool:
    return is_first(task, task_run, state)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "condition",
    [is_first, is_first_later, IsFirst(), functools.partial(given_first, 0), lambda *it: is_first(*it)],
    ids=["function", "async function", "instance", "partial", "lambda"],
)
def test_a_condition_of_any_callable_decides_over_each_repetition(way: str, condition: Any, home: Path) -> None:
    flaky = Flaky(9)
    with pytest.raises(ValueError, match="not yet"):
        ways_of(task(retries=9, retry_condition_fn=condition)(flaky))[way]()
    assert flaky.calls == 2


def test_a_condition_that_raises_counts_as_no_and_is_told(home: Path) -> None:
    flaky = Flaky(9)

    def broken(task: Any, task_run: Any, state: State) -> bool:
        raise RuntimeError("in the condition")

    with pytest.raises(ValueError, match="not yet"):
        task(retries=9, retry_condition_fn=broken)(flaky)()
    assert flaky.calls == 1
    assert any("retry_condition_fn raised" in line and "in the condition" in line for line in record(home).messages(40))


def test_a_task_that_returns_cancelled_is_not_repeated() -> None:
    flaky = Flaky(9, Cancelled)
    assert task(retries=9)(flaky)(return_state=True).name == "Cancelled"
    assert flaky.calls == 1


# -- timeouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_takes_too_long_fails_as_timed_out(way: str, home: Path) -> None:
    with pytest.raises(TaskRunTimeoutError, match="took longer than its 30 ms") as caught:
        ways_of(task(timeout_seconds=0.03)(linger))[way]()
    assert isinstance(caught.value, TimeoutError)
    assert record(home).task_run().end[1] == "TimedOut"


def test_an_asynchronous_task_that_takes_too_long_is_cancelled() -> None:
    seen: list[str] = []

    @task(timeout_seconds=0.03)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    with pytest.raises(TaskRunTimeoutError):
        asyncio.run(slow())
    assert seen == ["cleaned up"]


def test_each_attempt_has_the_whole_time() -> None:
    attempts: list[int] = []

    @task(timeout_seconds=0.03, retries=1)
    def slow_once() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            linger()
        return "done"

    assert slow_once() == "done"


@pytest.mark.parametrize("limit", [None, 0, 0.0, float("inf")])
def test_no_limit_is_no_limit(limit: float | None) -> None:
    assert task(timeout_seconds=limit)(Flaky(0))() == 1


# -- hooks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_hooks_are_called_in_order_with_task_run_and_state(way: str) -> None:
    seen: list[tuple[Any, ...]] = []

    def hook(kind: str) -> Callable[..., None]:
        def call(task: Any, task_run: Any, state: State) -> None:
            seen.append((kind, task.name, task_run.run_count, state.name, task_run.state.name))

        return call

    async def later(task: Any, task_run: Any, state: State) -> None:
        await asyncio.sleep(0)
        seen.append(("later", state.result(raise_on_failure=False)))

    @task(retries=1, on_running=[hook("running")], on_failure=[hook("failure")], on_completion=[hook("one"), later])
    def flaky() -> int:
        if len(seen) < 2:
            raise ValueError
        return 3

    assert ways_of(flaky)[way]() == 3
    assert seen == [
        ("running", "flaky", 1, "Running", "Running"),
        ("running", "flaky", 2, "Retrying", "Retrying"),
        ("one", "flaky", 2, "Completed", "Completed"),
        ("later", 3),
    ]


def test_hooks_can_be_added_as_decorators_and_a_broken_one_changes_nothing(home: Path) -> None:
    seen: list[str] = []

    @task
    def work() -> int:
        return 3

    @work.on_completion
    def broken(task: Any, task_run: Any, state: State) -> None:
        raise RuntimeError("in the hook")

    @work.on_completion
    def good(task: Any, task_run: Any, state: State) -> None:
        seen.append(state.name)

    assert work() == 3
    assert seen == ["Completed"]
    assert callable(broken)
    (line,) = record(home).messages(40)
    assert "its on_completion hook 'broken' raised" in line
    assert "in the hook" in line


# -- names and tags ----------------------------------------------------------------------------------------------------


def test_run_names_come_from_templates_and_functions(home: Path) -> None:
    def by_parameters(parameters: dict[str, Any]) -> str:
        return f"day {parameters['day']}"

    for template in ("load-{day}", lambda: "now", by_parameters, "{day:>3}", "{day.real}"):
        task(task_run_name=template)(lambda day: day)(5)
    task(lambda day: day)(5)
    *named, plain = [run.name for run in record(home).task_runs]
    assert named == ["load-5", "now", "day 5", "  5", "5"]
    assert plain.startswith("unknown-lambda-")


def test_a_run_name_over_a_future_waits_for_it(home: Path) -> None:
    @task
    def one() -> int:
        return 1

    @task(task_run_name="use-{n}")
    def use(n: int) -> int:
        return n

    @flow
    def main() -> Any:
        return use.submit(one.submit())

    assert main() == 1
    assert record(home).task_run("use").name == "use-1"


@pytest.mark.parametrize("template", ["{nowhere}", "{}", "{0}", "{day"])
def test_a_template_that_cannot_be_filled_in_is_refused_at_the_decorator(template: str) -> None:
    with pytest.raises(TemplateError, match="task_run_name") as caught:
        task(task_run_name=template)(lambda day: day)
    assert caught.value.do


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput, match="task_run_name of 'unknown-lambda' returned 3"):
        task(task_run_name=lambda: 3)(lambda: None)()  # type: ignore[arg-type, return-value]


def test_tags_come_from_the_task_and_from_around_the_call(home: Path) -> None:
    @task(tags=["own"])
    def work() -> None: ...

    @flow(tags=["flow"])
    def main() -> None:
        with tags("inside"):
            work()
            work.submit().wait()

    with tags("outside"):
        main()
    found = record(home)
    assert found.flow_run().created.tags == ("flow", "outside")
    assert {run.created.tags for run in found.task_runs} == {("inside", "outside", "own")}


def test_a_task_run_knows_itself(home: Path) -> None:
    seen: list[Any] = []

    @task(version="1.2", description="Works.")
    def work(a: int, b: int = 2) -> None: ...

    @work.on_completion
    def look(task: Any, task_run: Any, state: State) -> None:
        seen.append(
            (
                task_run.parameters,
                task_run.task_name,
                task_run.total_run_time >= 0,
                task_run.end_time >= task_run.start_time,
            )
        )
        assert str(task_run.id)

    work(1)
    assert seen == [({"a": 1, "b": 2}, "work", True, True)]
    assert work.description == "Works."
    created = record(home).task_run().created
    assert created.task_version == "1.2"  # type: ignore[union-attr]
    assert created.task_key.endswith("work")  # type: ignore[union-attr]


# -- maps --------------------------------------------------------------------------------------------------------------


@task
def pair(a: Any, b: Any = "default") -> Any:
    return a, b


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (([1, 2],), [(1, "default"), (2, "default")]),
        (([1, 2], [3, 4]), [(1, 3), (2, 4)]),
        (([1, 2], "text"), [(1, "text"), (2, "text")]),
        (([1, 2], b"raw"), [(1, b"raw"), (2, b"raw")]),
        (([1, 2], 7), [(1, 7), (2, 7)]),
        (([1, 2], unmapped([3])), [(1, [3]), (2, [3])]),
        ((range(2),), [(0, "default"), (1, "default")]),
        (({"a": 1, "b": 2},), [("a", "default"), ("b", "default")]),
        (({5},), [(5, "default")]),
        (((n for n in range(2)),), [(0, "default"), (1, "default")]),
        (([],), []),
    ],
)
def test_map_runs_once_for_each_element(arguments: tuple[Any, ...], wanted: list[Any], home: Path) -> None:
    @flow
    def main() -> Any:
        futures = pair.map(*arguments)
        assert len(futures) == len(wanted)
        return futures.result()

    assert main() == wanted
    runs = record(home).task_runs
    assert len({run.created.map_id for run in runs}) == (1 if runs else 0)  # type: ignore[union-attr]


def test_map_takes_futures_for_iterables_and_elements_by_name() -> None:
    @task
    def numbers() -> list[int]:
        return [1, 2]

    @flow
    def main() -> Any:
        future = numbers.submit()
        return pair.map(a=future, b=[numbers.submit(), numbers.submit()]).result()

    assert main() == [(1, [1, 2]), (2, [1, 2])]


def test_map_shares_what_is_unmapped_and_maps_over_maps() -> None:
    shared = object()

    @flow
    def main() -> Any:
        first = pair.map([1, 2], unmapped(shared))
        return pair.map(first, [3, 4]).result()

    got = main()
    assert [second for _, second in got] == [3, 4]
    assert all(one[1] is shared for one, _ in got)


def test_map_gives_states_where_they_are_asked_for() -> None:
    @task
    def odd_fails(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n

    @flow
    def main() -> list[str]:
        states = odd_fails.map(range(4), return_state=True)
        return [state.name for state in states]

    assert main() == ["Completed", "Failed", "Completed", "Failed"]


def test_a_map_over_nothing_at_all_completes() -> None:
    @flow
    def main() -> Any:
        return pair.map([])

    assert main() == []
    assert main(return_state=True).is_completed()


def test_a_completed_state_as_an_element_is_its_data() -> None:
    @flow
    def main() -> Any:
        return pair.map([Completed(data=1)], [Completed(data=2)]).result()

    assert main() == [(1, 2)]


def test_one_exception_object_that_two_tasks_raise_is_not_told_as_the_failure_of_the_first(home: Path) -> None:
    shared = ValueError("always the same object")

    @task(name="first")
    def first() -> None:
        raise shared

    @task(name="second")
    def second() -> None:
        raise shared

    @flow
    def both() -> None:
        first(return_state=True)
        second()

    with pytest.raises(ValueError, match="same object"):
        both()
    found = record(home)
    runs = {run.of: run for run in found.task_runs}
    assert runs["second"].last.cause_id is None
    assert found.flow_run().last.cause_id == runs["second"].created.run_id
