"""Promise 5: resume works with no setting, finds tasks by their inputs and not by position, and says why."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, TaskRunFilter
from surefoot.exceptions import HashError
from surefoot.futures import wait
from surefoot.task_runners import ThreadPoolTaskRunner
from surefoot.transactions import transaction

COMPLETED, FAILED = StateType.COMPLETED, StateType.FAILED


class Broken:
    """What is wrong with the world until it is mended."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = set(numbers)

    def check(self, number: int) -> None:
        if number in self.numbers:
            raise ValueError(f"{number} is broken")


def the_run() -> FlowRun:
    with closing(get_client()) as client:
        while (page := client.flow_runs()).behind:
            pass  # a slow machine takes in a large run in several goes
        (run,) = page.results
        return run


def counts(run: FlowRun) -> dict[str, int]:
    with closing(get_client()) as client:
        return client.task_run_counts(TaskRunFilter(flow_run_id=[run.id])).by_name


def why(reference: str) -> str:
    with closing(get_client()) as client:
        told = client.why(reference)
        return " ".join([told.summary, *told.causes])


def one_after_another(broken: Broken, called: list[int], total: int) -> Callable[[], Any]:
    @task
    def work(number: int, before: int) -> int:
        called.append(number)
        broken.check(number)
        return before + number

    @flow
    def chain() -> int:
        done = 0
        for number in range(1, total + 1):
            done = work(number, done)
        return done

    return chain


def test_of_a_hundred_tasks_that_failed_at_the_73rd_exactly_28_run_again(home: Path) -> None:
    broken, called = Broken(73), list[int]()
    chain: Any = one_after_another(broken, called, 100)
    with pytest.raises(ValueError, match="73 is broken"):
        chain()
    assert called == list(range(1, 74))

    broken.numbers.clear()
    called.clear()
    run = the_run()
    assert chain.retry(run.id) == 5050
    assert called == list(range(73, 101))
    assert the_run().id == run.id
    assert (the_run().state_type, the_run().epoch) == (COMPLETED, 1)
    assert counts(run) == {"Cached": 72, "Completed": 28}
    assert "72 task runs had completed already" in why(run.id)


@pytest.mark.parametrize("seed", range(3))
def test_a_fan_out_in_random_order_takes_over_every_task_that_finished(seed: int, home: Path) -> None:
    fan_out_in_random_order(seed, 60)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_large_fan_out_in_random_order_takes_over_every_task_that_finished(seed: int, home: Path) -> None:
    fan_out_in_random_order(seed, 2000)


def fan_out_in_random_order(seed: int, total: int) -> None:
    order = random.Random(seed)
    broken = Broken(*order.sample(range(total), total // 10))
    called: list[int] = []

    @task
    def fetch(number: int) -> int:
        called.append(number)
        broken.check(number)
        return number * 2

    @task
    def double(number: int) -> int:
        called.append(-number)
        return number * 2

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def fan_out() -> int:
        numbers = list(range(total))
        order.shuffle(numbers)
        futures = [double.submit(fetch.submit(number)) for number in numbers]
        wait(futures)
        return sum(future.result() for future in futures)

    with pytest.raises(Exception, match="is broken"):
        fan_out()
    bad = set(broken.numbers)
    broken.numbers.clear()
    called.clear()
    assert fan_out.retry(the_run().id) == 4 * sum(range(total))
    assert sorted(called) == sorted([*bad, *[-2 * number for number in bad]])
    assert the_run().state_type is COMPLETED


def test_a_task_that_is_called_twice_runs_twice(home: Path) -> None:
    broken, called = Broken(2), list[int]()

    @task
    def work(number: int) -> int:
        called.append(number)
        return len(called)

    @flow
    def twice() -> list[int]:
        found = [work(1), work(1)]
        broken.check(2)
        return found

    with pytest.raises(ValueError, match="2 is broken"):
        twice()
    assert called == [1, 1]
    broken.numbers.clear()
    assert twice.retry(the_run().id) == [1, 2]  # each of the two is found as itself
    assert called == [1, 1]


def test_an_input_that_cannot_be_compared_makes_its_task_run_again_and_why_says_so(home: Path) -> None:
    broken, called = Broken(1), list[str]()

    @task
    def reads(source: Any) -> str:
        called.append("reads")
        return "read"

    @task
    def uses(text: str) -> None:
        called.append("uses")

    @flow
    def program() -> None:
        uses(reads.submit(number for number in [1, 2]))  # type: ignore[call-overload]
        broken.check(1)

    with pytest.raises(ValueError, match="1 is broken"):
        program()
    broken.numbers.clear()
    called.clear()
    program.retry(the_run().id)
    assert called == ["reads", "uses"]
    with closing(get_client()) as client:
        runs = {run.task_name: run.id for run in client.task_runs().results}
        assert len(runs) == 2
    assert "its input 'source' cannot be compared" in why(runs["reads"])
    assert "what it is made from was made anew" in why(runs["uses"])


# --- caches and transactions ------------------------------------------------------------------------------------------


def test_caching_happens_only_when_asked_and_each_hit_and_miss_says_why(home: Path) -> None:
    called: list[str] = []

    @task
    def plain(number: int) -> int:
        called.append("plain")
        return number

    @task(cache_policy=INPUTS)
    def cached(number: int) -> int:
        called.append("cached")
        return number

    @flow(flow_run_name="run-{turn}")
    def program(turn: int, number: int) -> int:
        return plain(1) + cached(number)

    assert (program(1, 1), program(2, 1), program(3, 2)) == (2, 2, 3)
    assert called == ["plain", "cached", "plain", "plain", "cached"]
    with closing(get_client()) as client:
        runs = {run.name: run.id for run in client.flow_runs().results}
        found = {
            name: run
            for name, flow_run in runs.items()
            for run in client.task_runs(TaskRunFilter(flow_run_id=[flow_run])).results
            if run.task_name == "cached"
        }
    assert [found[f"run-{turn}"].state_name for turn in (1, 2, 3)] == ["Completed", "Cached", "Completed"]
    for turn, word in ((1, "not"), (2, found["run-1"].id), (3, "not")):
        assert word in why(found[f"run-{turn}"].id), why(found[f"run-{turn}"].id)


def test_an_input_without_a_hash_is_an_error_that_names_it_where_a_cache_was_asked_for(home: Path) -> None:
    @task(cache_policy=INPUTS)
    def cached(source: Any) -> None: ...

    @flow
    def program() -> None:
        cached(threading.Lock())

    with pytest.raises(HashError, match="source"):
        program()
    assert "source" in why(the_run().id)


def test_what_a_transaction_rolled_back_runs_again_and_what_it_committed_does_not(home: Path) -> None:
    broken, called = Broken(3), list[str]()

    @task(on_rollback=[lambda _: called.append("undone")])
    def step(name: str) -> str:
        called.append(name)
        return name

    @flow
    def program() -> list[str]:
        with transaction():
            first = step("committed")
        with transaction():
            second = step("rolled back")
            broken.check(3)
        return [first, second]

    with pytest.raises(ValueError, match="3 is broken"):
        program()
    assert called == ["committed", "rolled back", "undone"]
    broken.numbers.clear()
    called.clear()
    run = the_run()
    assert program.retry(run.id) == ["committed", "rolled back"]
    assert called == ["rolled back"]
    with closing(get_client()) as client:
        again = [it for it in client.task_runs().results if it.epoch == 1 and it.state_name == "Completed"]
    assert "rolled back" in " ".join(why(it.id) for it in again)
