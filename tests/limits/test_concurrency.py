"""`concurrency` and `limit`: what is granted, refused and told, in threads, event loops and runs of one process."""

from __future__ import annotations

import asyncio
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.concurrency import asyncio as limits_async
from surefoot.concurrency import concurrency, limit
from surefoot.concurrency import sync as limits_sync
from surefoot.core.errors import (
    AcquireConcurrencySlotTimeoutError,
    BadInput,
    ConcurrencySlotAcquisitionError,
    WouldDeadlock,
)
from tests.limits.processes import holders, set_limit, shown, until_waiting


def test_a_slot_is_held_in_the_block_and_free_after_it() -> None:
    set_limit("db", 2)
    with concurrency("db"):
        assert shown("db").active_slots == 1
    assert shown("db").active_slots == 0


def test_a_slot_comes_back_when_the_block_fails() -> None:
    set_limit("db", 1)
    with pytest.raises(KeyError), concurrency("db"):
        raise KeyError("x")
    with concurrency("db", timeout_seconds=0):
        pass


def test_threads_take_turns_in_their_order() -> None:
    set_limit("db", 1)
    order: list[int] = []

    def use(number: int) -> None:
        with concurrency("db"):
            order.append(number)

    with ThreadPoolExecutor(5) as threads, concurrency("db"):
        for number in range(5):
            threads.submit(use, number)
            until_waiting("db", number + 1)
    assert order == [0, 1, 2, 3, 4]


def test_tasks_of_an_event_loop_take_turns_and_hold_none_up() -> None:
    set_limit("db", 2)
    now, most = 0, 0

    async def use() -> None:
        nonlocal now, most
        async with concurrency("db"):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    async def all_of_them() -> None:
        await asyncio.gather(*(use() for _ in range(12)))

    asyncio.run(all_of_them())
    assert most <= 2
    assert shown("db").active_slots == 0


def test_who_needs_many_is_not_overtaken_by_who_needs_few() -> None:
    set_limit("db", 3)
    order: list[str] = []

    def use(name: str, occupy: int) -> None:
        with concurrency("db", occupy):
            order.append(name)

    with ThreadPoolExecutor(2) as threads, concurrency("db"):
        threads.submit(use, "three", 3)
        until_waiting("db", 1)
        threads.submit(use, "one", 1)
        until_waiting("db", 2)
    assert order == ["three", "one"]


def test_several_limits_are_had_together_or_not_at_all() -> None:
    set_limit("a", 1)
    set_limit("b", 1)
    with concurrency("a"), ThreadPoolExecutor(1) as threads:
        both = threads.submit(lambda: concurrency(["a", "b"], timeout_seconds=0.05).__enter__())
        with pytest.raises(AcquireConcurrencySlotTimeoutError):
            both.result()
        with concurrency("b", timeout_seconds=0):
            pass


def test_programs_that_need_the_same_two_limits_in_any_order_never_block_each_other() -> None:
    set_limit("a", 1)
    set_limit("b", 1)

    def use(names: list[str]) -> None:
        for _ in range(10):
            with concurrency(names):
                pass

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(use, names) for names in (["a", "b"], ["b", "a"], ["a"], ["b"])]
        for each in done:
            each.result(timeout=60)


def test_a_timeout_says_who_holds_the_slots() -> None:
    set_limit("db", 1)
    with concurrency("db", holder="the backup"), ThreadPoolExecutor(1) as threads:
        failed = threads.submit(lambda: concurrency("db", timeout_seconds=0.01).__enter__())
        with pytest.raises(TimeoutError, match="limit db 1/1, held by the backup; place 1 in line") as caught:
            failed.result()
    assert isinstance(caught.value, limits_sync.AcquireConcurrencySlotTimeoutError)
    assert shown("db").waiters == 0


def test_without_retries_a_slot_that_is_not_free_is_an_error_at_once() -> None:
    set_limit("db", 1)
    with concurrency("db"), ThreadPoolExecutor(1) as threads:
        failed = threads.submit(lambda: concurrency("db", max_retries=0).__enter__())
        with pytest.raises(ConcurrencySlotAcquisitionError, match="No slot is free"):
            failed.result()


def test_more_slots_than_there_are_is_an_error_at_once() -> None:
    set_limit("db", 2)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="3 slots of the limit 'db' are asked for, which has 2"):
        concurrency("db", 3).__enter__()


def test_a_rate_cannot_be_held() -> None:
    set_limit("api", 60, interval_us=1_000_000)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="how often"):
        concurrency("api").__enter__()


def test_a_limit_that_is_not_there_is_told_once_and_holds_nobody_up() -> None:
    with pytest.warns(UserWarning, match="surefoot limit set not-there 3") as told, concurrency("not-there"):
        pass
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with concurrency(["not-there", "not-there"]):
            pass
    with pytest.raises(ConcurrencySlotAcquisitionError, match="no limit 'not-there'"):
        concurrency("not-there", strict=True).__enter__()


def test_names_that_are_there_count_though_others_are_not() -> None:
    set_limit("there", 1)
    with pytest.warns(UserWarning, match="absent"), concurrency(["there", "absent"]):
        assert shown("there").active_slots == 1
    assert shown("there").active_slots == 0


def test_an_inactive_limit_holds_nobody_up() -> None:
    set_limit("db", 1)
    set_limit("db", 1, active=False)
    with concurrency("db", 1), concurrency("db", 1):
        assert shown("db").active_slots == 2


def test_a_block_within_a_block_that_holds_all_is_refused_at_once() -> None:
    set_limit("db", 1)
    with concurrency("db"), pytest.raises(WouldDeadlock, match="within a block that holds 1 of them"):
        concurrency("db").__enter__()
    assert shown("db").active_slots == 0


def test_a_block_within_a_block_is_served_before_those_that_wait_for_it() -> None:
    set_limit("db", 2)

    def use_both() -> None:
        with concurrency("db", 2):
            pass

    with ThreadPoolExecutor(1) as threads:
        with concurrency("db"):
            waiting = threads.submit(use_both)
            until_waiting("db", 1)
            with concurrency("db", timeout_seconds=30):
                assert shown("db").active_slots == 2
        waiting.result(timeout=60)


def test_a_run_within_a_run_that_holds_all_is_refused_at_once() -> None:
    set_limit("db", 1)

    @task
    def inner() -> None:
        with concurrency("db"):
            pass

    @flow
    def outer() -> None:
        with concurrency("db"):
            inner()

    with pytest.raises(WouldDeadlock):
        outer()
    assert shown("db").active_slots == 0


def test_a_run_that_is_submitted_and_waited_for_in_a_block_that_holds_all_is_refused() -> None:
    set_limit("db", 1)

    @task
    def inner() -> None:
        with concurrency("db"):
            pass

    @flow
    def outer() -> None:
        with concurrency("db"):
            inner.submit().result()

    with pytest.raises(WouldDeadlock):
        outer()
    assert shown("db").active_slots == 0


def test_a_run_that_is_submitted_in_a_block_and_not_waited_for_there_has_its_turn() -> None:
    set_limit("db", 1)
    done: list[str] = []

    @task
    def inner() -> None:
        with concurrency("db"):
            done.append("inner")

    @flow
    def outer() -> None:
        with concurrency("db"):
            submitted = inner.submit()
            until_waiting("db", 1)
            done.append("outer")
        submitted.wait()

    outer()
    assert done == ["outer", "inner"]


def test_runs_hold_slots_under_their_names() -> None:
    set_limit("db", 2)
    found: list[Any] = []

    @flow(flow_run_name="nightly-1")
    def nightly() -> None:
        with concurrency("db"):
            found.extend(holders("db"))

    nightly()
    assert [(place.holder, place.run_type, place.state) for place in found] == [("nightly-1", "flow-run", "held")]


def test_each_key_has_slots_of_its_own() -> None:
    with limit("api", 1, key="acme"), limit("api", 1, key="ajax"), limit("api", 1, key="k" * 1000):
        assert shown("api").active_slots == 3
        with pytest.raises(WouldDeadlock):
            limit("api", 1, key="acme").__enter__()


def test_a_limit_in_code_counts_until_somebody_sets_it() -> None:
    with limit("db", 2):
        assert (shown("db").limit, shown("db").in_code) == (2, True)
    with limit("db", 4):
        assert shown("db").limit == 4
    set_limit("db", 1)
    with limit("db", 9):
        assert (shown("db").limit, shown("db").in_code) == (1, False)


def test_one_object_serves_many_threads_and_both_kinds_of_with() -> None:
    db = limit("db", 2)

    def use() -> None:
        for _ in range(5):
            with db:
                pass

    async def use_async() -> None:
        for _ in range(5):
            async with db:
                pass

    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(use), threads.submit(use), threads.submit(asyncio.run, use_async())]
        for each in done:
            each.result(timeout=60)
    assert shown("db").active_slots == 0


def test_a_cancelled_wait_leaves_the_line() -> None:
    set_limit("db", 1)

    async def main() -> None:
        async def wait() -> None:
            async with concurrency("db"):
                pass

        async with concurrency("db"):
            waiting = asyncio.create_task(wait())
            await asyncio.to_thread(until_waiting, "db", 1)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert shown("db").waiters == 0

    asyncio.run(main())


def test_nothing_is_held_while_a_flow_is_drawn() -> None:
    drawn: list[str] = []

    @flow
    def drawable() -> None:
        with concurrency("not-made"), limit("not-made", 1):
            drawn.append("inside")

    drawable.visualize()
    assert drawn == ["inside"]


def test_no_names_are_no_limits() -> None:
    with concurrency([]):
        pass


def test_the_names_that_users_know_are_one_and_the_same() -> None:
    assert limits_sync.concurrency is limits_async.concurrency is concurrency


@pytest.mark.parametrize(
    "arguments",
    [
        {"names": 7},
        {"names": [""]},
        {"names": "a\nb"},
        {"names": "x" * 201},
        {"names": "db", "occupy": 0},
        {"names": "db", "occupy": True},
        {"names": "db", "occupy": 1.5},
        {"names": "db", "timeout_seconds": -1},
        {"names": "db", "timeout_seconds": float("nan")},
        {"names": "db", "lease_duration": 59},
        {"names": "db", "lease_duration": 86_401},
        {"names": "db", "max_retries": -1},
        {"names": "db", "priority": 0.5},
        {"names": "db", "key": 3},
        {"names": "db", "holder": " "},
    ],
)
def test_what_a_limit_cannot_have_is_refused_before_anything_happens(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        concurrency(**arguments)


@pytest.mark.parametrize("slots", [0, -1, 1.5, True])
def test_a_limit_of_nothing_is_refused(slots: Any) -> None:
    with pytest.raises(BadInput):
        limit("db", slots)
    with pytest.raises(BadInput):
        limit("db", 2, occupy=3)


def test_the_thread_that_tends_goes_when_nobody_waits_or_holds() -> None:
    set_limit("db", 1)
    with concurrency("db"):
        tending = [thread for thread in threading.enumerate() if thread.name == "surefoot-limits"]
        assert tending
    for thread in tending:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_a_thread_that_its_run_went_on_without_holds_its_slot_until_it_leaves_the_block() -> None:
    let_go = threading.Lock()
    let_go.acquire()

    @task(timeout_seconds=1)
    def stuck() -> None:
        with limit("db", 1):
            let_go.acquire()  # nothing interrupts that

    @flow
    def main() -> str:
        with limit("db", 1):
            pass  # what it needs is loaded
        run = stuck.submit()
        run.wait()
        with pytest.raises(ConcurrencySlotAcquisitionError), limit("db", 1, max_retries=0):
            pass
        let_go.release()
        with limit("db", 1, timeout_seconds=20):
            return str(run.state.name)

    assert main() == "TimedOut"
    assert shown("db").active_slots == 0
