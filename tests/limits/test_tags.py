"""Limits of tags: tasks that carry them wait before they run, hold no thread meanwhile, and say what they wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, tags, task
from surefoot.client import get_client
from surefoot.concurrency import concurrency
from surefoot.core.errors import WouldDeadlock
from surefoot.core.wire import Explanation, TaskRun
from surefoot.states import State
from surefoot.task_runners import ThreadPoolTaskRunner
from tests.limits.processes import set_limit, shown, until_waiting
from tests.locking.watching import until


class Count:
    """How many are in a block at once, at most."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1


def task_runs(name: str) -> list[TaskRun]:
    client = get_client()
    try:
        return [run for run in client.task_runs().results if run.task_name == name]
    finally:
        client.close()


def why(reference: str) -> Explanation:
    client = get_client()
    try:
        return client.why(reference)
    finally:
        client.close()


def names_of_states(run_id: str) -> list[str]:
    client = get_client()
    try:
        return [state.name for state in client.states(run_id)]
    finally:
        client.close()


def test_at_most_so_many_tasks_with_the_tag_run_at_once() -> None:
    set_limit("tag:gpu", 2)
    count = Count()

    @task(tags={"gpu"})
    def use(_: int) -> None:
        with count.one():
            threading.Event().wait(0.01)

    @task
    async def others(_: int) -> int:
        return 1

    @flow
    def main() -> int:
        used = use.map(range(8))
        free = others.map(range(3))
        used.wait()
        return sum(free.result())

    assert main() == 3
    assert (count.all, count.most <= 2) == (8, True)
    assert shown("tag:gpu").active_slots == 0


def test_a_task_that_waits_for_a_slot_holds_no_thread() -> None:
    set_limit("tag:gpu", 1)
    done: list[str] = []

    @task(tags={"gpu"})
    def waits() -> None:
        done.append("waited")

    @task
    def goes_on() -> None:
        done.append("went on")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        with concurrency("tag:gpu"):
            waiting = [waits.submit() for _ in range(3)]
            until_waiting("tag:gpu", 3)
            goes_on.submit().result()
        for each in waiting:
            each.result()

    main()
    assert done == ["went on", "waited", "waited", "waited"]


@pytest.mark.parametrize("call", ["called", "submitted", "awaited", "awaited in a pool"])
def test_it_is_told_what_a_task_waits_for(call: str) -> None:
    set_limit("tag:gpu", 1)

    @task(tags={"gpu"})
    def work() -> str:
        return "done"

    @task(tags={"gpu"}, name="work")
    async def work_async() -> str:
        return "done"

    @flow
    def main() -> str:
        return work() if call == "called" else work.submit().result()

    @flow
    async def main_async() -> str:
        return await work_async() if call == "awaited" else await work_async.submit()

    run: Callable[[], Any] = main if call in ("called", "submitted") else lambda: asyncio.run(main_async())
    ended: list[Any] = []
    running = threading.Thread(target=lambda: ended.append(run()))
    with concurrency("tag:gpu", holder="the other"):
        running.start()
        until(lambda: [run.state_name for run in task_runs("work")] == ["AwaitingConcurrencySlot"])
        (waiting,) = task_runs("work")
        assert waiting.state.message == "waits for limit tag:gpu 1/1, held by the other; place 1 in line"
        told = why(waiting.id)
        assert "for limit tag:gpu 1/1, held by the other; place 1 in line" in told.summary
        assert any(cause.startswith("the other holds tag:gpu since ") for cause in told.causes)
        assert told.do[0] == "surefoot limit holders tag:gpu"
    running.join(timeout=60)
    assert ended == ["done"]
    assert names_of_states(waiting.id) == ["Pending", "AwaitingConcurrencySlot", "Running", "Completed"]
    assert shown("tag:gpu").active_slots == 0


def test_a_run_that_waits_in_its_code_is_explained_too() -> None:
    set_limit("db", 1)

    @flow(flow_run_name="the-waiter")
    def main() -> None:
        with concurrency("db"):
            pass

    running = threading.Thread(target=main)
    with concurrency("db", holder="the other"):
        running.start()
        until_waiting("db", 1)
        causes = why("the-waiter").causes
        assert causes[0] == "it waits for limit db 1/1, held by the other; place 1 in line"
    running.join(timeout=60)


def test_of_a_flow_run_whose_task_waits_in_its_code_the_limit_is_told_too() -> None:
    set_limit("db", 1)

    @task(task_run_name="the-waiter")
    def waits() -> None:
        with concurrency("db"):
            pass

    @flow(flow_run_name="around")
    def main() -> None:
        waits.submit().wait()

    running = threading.Thread(target=main)
    with concurrency("db", holder="the other"):
        running.start()
        until_waiting("db", 1)
        told = why("around")
        at = told.causes.index("the-waiter is Running")
        assert told.causes[at + 1] == "the-waiter waits for limit db 1/1, held by the other; place 1 in line"
        assert told.causes[at + 2].startswith("the other holds db since ")
        assert told.do[0] == "surefoot limit holders db"
    running.join(timeout=60)


def test_the_slot_is_free_between_attempts() -> None:
    set_limit("tag:gpu", 1)
    used: list[int] = []

    @task(tags={"gpu"}, retries=1, retry_delay_seconds=0.01)
    def fails_once() -> None:
        used.append(shown("tag:gpu").active_slots)
        if len(used) == 1:
            raise ConnectionError("refused")

    def seen(*_: Any) -> bool:
        used.append(shown("tag:gpu").active_slots)
        return True

    fails_once.with_options(retry_condition_fn=seen)()
    assert used == [1, 0, 1]
    assert shown("tag:gpu").active_slots == 0


def test_all_tags_of_a_task_are_needed() -> None:
    set_limit("tag:a", 1)
    set_limit("tag:b", 1)

    @task(tags={"a"})
    def work() -> int:
        return shown("tag:a").active_slots + shown("tag:b").active_slots

    with tags("b", "unlimited"):
        assert work() == 2


def test_a_limit_that_comes_late_counts_within_a_second() -> None:
    @task(tags={"gpu"})
    def work() -> str:
        return "".join(f"{client_limit.active_slots}" for client_limit in _limits())

    assert work() == ""
    set_limit("tag:gpu", 3)
    until(lambda: work() == "1")


def _limits() -> list[Any]:
    client = get_client()
    try:
        return client.limits().results
    finally:
        client.close()


def test_a_cancelled_run_leaves_the_line(home: Path) -> None:
    set_limit("tag:gpu", 1)

    @task(tags={"gpu"})
    def work() -> None:
        pass

    @flow
    def main() -> State:
        work.submit().wait()
        return work(return_state=True)

    with concurrency("tag:gpu"):
        running = threading.Thread(target=lambda: main(return_state=True))
        running.start()
        until_waiting("tag:gpu", 1)
        (waiting,) = task_runs("work")
        client = get_client()
        client.cancel_task_run(waiting.id)
        client.close()
        until_waiting("tag:gpu", 1)  # the second call of it
        until(lambda: {run.state_name for run in task_runs("work")} == {"Cancelled", "AwaitingConcurrencySlot"})
    running.join(timeout=60)
    assert shown("tag:gpu").waiters == 0
    assert shown("tag:gpu").active_slots == 0


def test_a_task_within_a_task_that_holds_the_only_slot_is_refused_at_once() -> None:
    set_limit("tag:db", 1)

    @task
    def inner() -> None:
        pass

    @task
    def outer() -> None:
        inner()

    @flow
    def main() -> None:
        with tags("db"):
            outer()

    with pytest.raises(WouldDeadlock, match="by the runs that called it"):
        main()
    assert shown("tag:db").active_slots == 0


@pytest.mark.parametrize("max_workers", [1, 3])
def test_a_task_that_its_caller_submits_and_waits_for_is_refused_too(max_workers: int) -> None:
    set_limit("tag:db", 1)

    @task
    def inner() -> None:
        pass

    @task
    def outer() -> None:
        inner.submit().result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=max_workers))
    def main() -> None:
        with tags("db"):
            outer.submit().result()

    with pytest.raises(WouldDeadlock, match="by the runs that called it"):
        main()
    assert shown("tag:db").active_slots == 0


def test_a_task_that_its_caller_submits_and_does_not_wait_for_has_its_turn() -> None:
    set_limit("tag:db", 1)
    done: list[str] = []

    @task
    def inner() -> None:
        done.append("inner")

    @task
    def outer() -> None:
        inner.submit()
        until_waiting("tag:db", 1)
        done.append("outer")

    @flow
    def main() -> None:
        with tags("db"):
            outer.submit()

    main()
    assert done == ["outer", "inner"]


def test_generators_hold_their_slot_until_they_end() -> None:
    set_limit("tag:gpu", 1)

    @task(tags={"gpu"})
    def numbers() -> Iterator[int]:
        yield shown("tag:gpu").active_slots
        yield shown("tag:gpu").active_slots

    assert list(numbers()) == [1, 1]
    assert shown("tag:gpu").active_slots == 0


def test_tasks_whose_tags_have_no_limit_load_nothing_of_limits(home: Path) -> None:
    code = (
        "import sys\n"
        "from surefoot import flow, task\n"
        "@task(tags={'cheap'})\n"
        "def work(): return 1\n"
        "@flow\n"
        "def main(): return work()\n"
        "main()\n"
        "loaded = {name for name in sys.modules if name.startswith(('surefoot.limits', 'sqlalchemy'))}\n"
        "assert not loaded, loaded\n"
    )
    set_limit("tag:gpu", 1)
    subprocess.run([sys.executable, "-c", code], check=True)
