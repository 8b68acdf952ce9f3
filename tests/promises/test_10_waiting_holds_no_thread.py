"""Promise 10: fast. Waiting tasks hold no thread, and no program that waits through Surefoot deadlocks, even with one
thread.

The figures are measured in benchmarks; here it is the shape that counts.
"""

import threading

import pytest

from surefoot import task
from surefoot.futures import as_completed
from tests.engine.concurrency import ManualClock, manual_clock, on, task_threads, until  # noqa: F401


@pytest.mark.parametrize("depth", [40, pytest.param(400, marks=pytest.mark.long)])
def test_nested_waits_end_on_one_thread(depth: int) -> None:
    @task
    def below(n: int) -> int:
        return below.submit(n - 1).result() + 1 if n else 0

    @on(1)
    def program() -> int:
        found: int = below.submit(depth).result()
        return found

    assert program() == depth


def test_tasks_that_fan_out_and_wait_end_on_one_thread() -> None:
    @task
    def fibonacci(n: int) -> int:
        if n < 2:
            return n
        return sum(future.result() for future in as_completed([fibonacci.submit(n - 1), fibonacci.submit(n - 2)]))

    @on(1)
    def program() -> int:
        found: int = fibonacci.submit(9).result()
        return found

    assert program() == 34


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_of_many_items_eight_wait_a_minute_for_their_retry_and_nothing_else_waits(
    manual_clock: ManualClock,  # noqa: F811
    count: int,
) -> None:
    late = set(range(0, count, count // 8))
    others_ended = threading.Event()
    left = count - len(late)
    lock = threading.Lock()

    @task(retries=1, retry_delay_seconds=60)
    def item(n: int) -> int:
        nonlocal left
        if n in late:
            if manual_clock.passed_s < 60:
                raise OSError("come back later")
            return n
        with lock:
            left -= 1
            if not left:
                others_ended.set()
        return n

    @on(4)
    def program() -> int:
        items = item.map(range(count))
        assert others_ended.wait(100), f"{left} items waited for eight others"
        assert len(task_threads()) < 10
        until(lambda: all(items[n].state.name == "AwaitingRetry" for n in late))
        assert sum(future.done() for future in items) == count - len(late)

        def a_minute_later() -> bool:
            manual_clock.advance(60)  # again and again: one may have begun to wait a moment after the last time
            return all(future.done() for future in items)

        until(a_minute_later)
        return sum(items.result())

    assert program() == sum(range(count))
    assert len(late) == 8
