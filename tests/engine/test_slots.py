"""Slots and threads: never more calls at once than allowed, as many threads as are of use, and no wake-up is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from surefoot import Future, task
from surefoot.engine.crew import Look
from tests.engine.concurrency import SOON, Meter, add, no_thread_is_left, on, task_threads, until  # noqa: F401

# --- the limit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_never_more_tasks_are_called_at_once_than_workers_and_no_fewer_if_there_are_enough(workers: int) -> None:
    meter, full = Meter(), threading.Barrier(workers)

    @task
    def on_thread() -> None:
        with meter:
            full.wait(SOON)

    @on(workers)
    def program() -> None:
        for _ in range(workers * 4):
            on_thread.submit()

    program()
    assert meter.most == workers


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_tasks_on_threads_and_on_event_loops_share_the_workers(workers: int) -> None:
    meter = Meter()

    @task
    def on_thread() -> None:
        with meter:
            threading.Event().wait(0.001)

    @task
    async def on_loop() -> None:
        with meter:
            await asyncio.sleep(0.001)  # house: skip sleep: what the task does is to let others run

    @on(workers)
    def program() -> None:
        for _ in range(20):
            on_thread.submit()
            on_loop.submit()

    program()
    assert 1 <= meter.most <= workers


def test_an_asynchronous_task_that_awaits_a_task_lends_its_slot_and_takes_it_back() -> None:
    meter = Meter()

    @task
    async def leaf() -> None:
        with meter:
            await asyncio.sleep(0)

    @task
    async def parent() -> None:
        for _ in range(5):
            with meter:
                await asyncio.sleep(0)
            await leaf.submit()
            with meter:
                await asyncio.sleep(0)

    @on(2)
    def program() -> None:
        for _ in range(10):
            parent.submit()

    program()
    assert meter.most <= 2


def test_coroutines_of_one_task_that_wait_at_once_lend_one_slot() -> None:
    @task
    async def parent(n: int) -> int:
        values = await asyncio.gather(*[add.submit(i) for i in range(n)])
        return sum(values) + await asyncio.to_thread(lambda: add.submit(0).result())

    @on(1)
    def program() -> int:
        return sum(future.result() for future in [parent.submit(n) for n in range(4)])

    assert program() == sum(sum(range(n)) + n + 1 for n in range(4))


def test_tasks_get_their_turn_in_the_order_in_which_they_were_submitted_whatever_their_kind() -> None:
    order: list[int] = []
    gate, begun = threading.Event(), threading.Event()

    @task
    def first() -> None:
        begun.set()
        assert gate.wait(SOON)

    @task
    def on_thread(n: int) -> None:
        order.append(n)

    @task
    async def on_loop(n: int) -> None:
        order.append(n)

    @on(1)
    def program() -> None:
        first.submit()
        assert begun.wait(SOON)
        for n in range(40):
            (on_loop if n % 3 else on_thread).submit(n)
        gate.set()

    program()
    assert order == list(range(40))


def test_who_waited_for_another_task_goes_on_before_tasks_that_have_not_begun() -> None:
    order: list[str] = []
    gate, begun = threading.Event(), threading.Event()

    @task
    def child() -> None:
        begun.set()
        assert gate.wait(SOON)
        order.append("child")

    @task
    def parent() -> None:
        child.submit().result(timeout=SOON)
        order.append("parent")

    @task
    def later() -> None:
        order.append("later")

    @on(1)
    def program() -> None:
        parent.submit()
        assert begun.wait(SOON)
        for _ in range(3):
            later.submit()
        gate.set()

    program()
    assert order == ["child", "parent", "later", "later", "later"]


# --- no wake-up is lost -----------------------------------------------------------------------------------------------


def hammer(workers: int | None, tasks: int, rounds: int) -> None:
    """Tasks that lend their slot and take it back again and again, by all ways, beside others that come and go."""
    meter = Meter()

    @task
    def leaf(n: int) -> int:
        with meter:
            return n

    @task
    async def async_leaf(n: int) -> int:
        with meter:
            return n

    @task
    def lends(seed: int) -> int:
        total = 0
        for n in range(rounds):
            future: Future[Any] = (async_leaf if (seed + n) % 3 == 0 else leaf).submit(n)
            total += future.result(timeout=SOON) if n % 2 else future.result()
            with meter:
                total += 1
        return total

    @task
    async def async_lends(seed: int) -> int:
        total = 0
        for n in range(rounds):
            total += await (async_leaf if (seed + n) % 3 == 0 else leaf).submit(n)
            with meter:
                total += 1
        return total

    @on(workers)
    def program() -> list[int]:
        futures = [(async_lends if seed % 2 else lends).submit(seed) for seed in range(tasks)]
        return [future.result() for future in futures]

    assert program() == [sum(range(rounds)) + rounds] * tasks
    assert workers is None or meter.most <= workers


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_many_tasks_that_lend_and_take_back_all_end(workers: int | None) -> None:
    hammer(workers, 24, 10)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 20, None])
def test_very_many_tasks_that_lend_and_take_back_all_end(workers: int | None) -> None:
    for _ in range(10):
        hammer(workers, 100, 50)


def test_submits_from_many_threads_at_once_are_all_run() -> None:
    from contextvars import copy_context

    @on(3)
    def program() -> int:
        start = threading.Barrier(8)
        found: list[Future[int]] = []

        def submits() -> None:
            start.wait(SOON)
            for n in range(100):
                found.append(add.submit(n))

        threads = [threading.Thread(target=copy_context().run, args=(submits,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(future.result() for future in found)

    assert program() == 8 * sum(range(1, 101))


# --- growth -----------------------------------------------------------------------------------------------------------


class Gathering:
    """Is over when so many have come together."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)

        @task
        def comes() -> None:
            self.barrier.wait(SOON)

        self.comes = comes


def test_200_tasks_that_wait_for_each_other_outside_of_surefoot_all_run_at_once() -> None:
    gathering = Gathering(200)

    @on(None)
    def program() -> None:
        for _ in range(200):
            gathering.comes.submit()

    program()
    assert not gathering.barrier.broken


def test_they_do_in_two_bursts_and_while_the_flow_itself_computes() -> None:
    gathering = Gathering(100)

    @on(None)
    def program() -> None:
        for _ in range(50):
            gathering.comes.submit()
        until(lambda: gathering.barrier.n_waiting == 50)
        for _ in range(50):
            gathering.comes.submit()
        while gathering.barrier.n_waiting:
            pass

    program()
    assert not gathering.barrier.broken


def test_they_do_when_they_are_submitted_by_tasks() -> None:
    gathering = Gathering(120)

    @task
    def submits() -> None:
        for _ in range(20):
            gathering.comes.submit()
        until(lambda: not gathering.barrier.n_waiting)

    @on(None)
    def program() -> None:
        for _ in range(6):
            submits.submit()

    program()
    assert not gathering.barrier.broken


def test_trivial_tasks_are_no_reason_for_many_threads() -> None:
    seen: set[int] = set()

    @task
    def trivial() -> None:
        seen.add(threading.get_ident())

    @on(None)
    def program() -> None:
        for _ in range(5_000):
            trivial.submit()

    def threads() -> int:
        seen.clear()
        program()
        return len(seen)

    # What others do on the machine meanwhile may look like a gain, but not each time.
    assert min(threads() for _ in range(4)) < 100


def test_threads_without_work_end_but_for_a_few() -> None:
    gathering = Gathering(120)

    @on(None)
    def program() -> int:
        for future in [gathering.comes.submit() for _ in range(120)]:
            future.wait()
        until(lambda: len(task_threads()) < 60)
        return add.submit(1).result()

    assert program() == 2


class TestLook:
    """When more threads are of use."""

    @pytest.fixture
    def look(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Asks whether more are of use, `wall_ms` later, of which this process computed `cpu_ms`."""
        now = {"us": 0, "cpu_s": 0.0}
        monkeypatch.setattr("surefoot.engine.crew.SystemClock.mono_us", lambda _: now["us"])
        monkeypatch.setattr("surefoot.engine.crew.time.process_time", lambda: now["cpu_s"])
        looked = Look(0, 0)

        def ask(begun: int, ended: int, wall_ms: float, cpu_ms: float) -> bool:
            now["us"] += int(wall_ms * 1000)
            now["cpu_s"] += cpu_ms / 1000
            return looked.more_are_of_use(begun, ended)

        return ask

    def test_they_are_while_this_process_computes_little(self, look: Any) -> None:
        assert look(50, 50, 5, 1)
        assert look(60, 60, 5, 3.9)

    def test_they_are_not_while_it_computes_all_the_time_or_waits_for_the_interpreter(self, look: Any) -> None:
        assert not look(50, 50, 5, 4.9)
        assert not look(60, 60, 15, 1)

    def test_they_are_when_tasks_begin_and_none_ends(self, look: Any) -> None:
        assert look(4, 0, 5, 5)

    def test_they_are_when_nothing_has_moved_for_long(self, look: Any) -> None:
        assert [look(0, 0, 9, 9) for _ in range(12)] == [False] * 5 + [True] + [False] * 5 + [True]
