"""Rows 13.01 to 13.20 of the reference, and its lines of Appendix A: concurrency and rate limits."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.concurrency import asyncio as limits_async
from surefoot.concurrency import limit
from surefoot.concurrency.sync import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    concurrency,
    rate_limit,
)
from surefoot.core.errors import BadInput, WouldDeadlock
from surefoot.core.limits import Rate
from surefoot.testing import Clock
from tests.limits.processes import child, ended, said, set_limit, shown, until_waiting
from tests.reference.rows import row


def in_a_thread(call: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call).result(timeout=60)


@row("13.01")
def test_a_limit_tells_what_it_is(row: str) -> None:
    set_limit("db", 3)
    with concurrency("db", occupy=2):
        found = shown("db")
    assert (found.name, found.limit, found.active, found.active_slots, found.slot_decay_per_second) == (
        "db", 3, True, 2, 0.0,
    )  # fmt: skip
    set_limit("db", 4)  # the same name again is the same limit
    assert shown("db").limit == 4


@row("13.02")
def test_the_arguments_are_those_that_users_know(row: str) -> None:
    known = "names occupy timeout_seconds max_retries lease_duration strict holder raise_on_lease_renewal_failure"
    for each in (concurrency, limits_async.concurrency):
        assert list(inspect.signature(each).parameters)[:8] == known.split()

    async def held() -> int:
        async with limits_async.concurrency(["a", "b"], occupy=1):
            return shown("a").active_slots + shown("b").active_slots

    set_limit("a", 1)
    set_limit("b", 1)
    assert asyncio.run(held()) == 2


@row("A:a limit that is not there", "13.03")
def test_names_that_are_not_there_are_no_limits(row: str) -> None:
    with pytest.warns(UserWarning, match=f"surefoot limit set missing-{row[:2]}"), concurrency(f"missing-{row[:2]}"):
        pass
    with pytest.raises(ConcurrencySlotAcquisitionError), concurrency("missing", strict=True):
        pass


@row("A:a block within a block that holds all, mended", "13.04")
def test_a_wait_for_what_is_held_further_out_is_refused(row: str) -> None:
    set_limit("g1", 1)
    with concurrency("g1"), pytest.raises(WouldDeadlock), concurrency("g1", timeout_seconds=1):
        pass


@row("13.05", "13.11")
def test_who_asks_first_is_served_first_and_an_inactive_limit_serves_all(row: str) -> None:
    set_limit("db", 1)
    order: list[int] = []

    def use(number: int) -> None:
        with concurrency("db"):
            order.append(number)

    with ThreadPoolExecutor(3) as threads, concurrency("db"):
        for number in range(3):
            threads.submit(use, number)
            until_waiting("db", number + 1)
        if row == "13.11":
            set_limit("db", 1, active=False)
            until_waiting("db", 0)
    assert sorted(order) == [0, 1, 2]
    if row == "13.05":
        assert order == [0, 1, 2]


@row("13.06", "A:a lease of 5 s, mended")
def test_leases_last_from_a_minute_to_a_day(row: str) -> None:
    for seconds in (5, 59, 86_401):
        with pytest.raises(BadInput, match="lease_duration"):
            concurrency("db", lease_duration=seconds)
    set_limit("db", 2)
    with concurrency("db", lease_duration=60), concurrency("db", lease_duration=86_400):
        assert shown("db").active_slots == 2


@row("13.07")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_crash_releases_at_once(row: str) -> None:
    set_limit("db", 1)
    holder = child("hold", "db")
    assert said(holder) == "held"
    holder.kill()
    ended(holder)
    with concurrency("db", timeout_seconds=60):
        pass


@row("13.08", "A:a rate that is none")
def test_a_rate_has_to_be_one(row: str) -> None:
    assert list(inspect.signature(rate_limit).parameters)[:4] == ["names", "occupy", "timeout_seconds", "strict"]
    set_limit("db", 1)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="not on how often"):
        rate_limit("db")


@row("13.09")
def test_nothing_of_a_rate_is_lost(row: str) -> None:
    rate, now_us, full_us, granted = Rate(9, 2_000_000), 1_000_000_000, None, 0
    for _ in range(100):  # one each 1.9 s, where one each 2 s comes back
        at_us = rate.reserve(full_us, 1, now_us)
        if at_us == now_us:
            full_us = rate.taken(full_us, 1, now_us)
            granted += 1
        now_us += 1_900_000
    assert granted == 100  # the nine that there were at first last for so long


@row("13.10")
def test_a_burst_goes_at_once(row: str) -> None:
    set_limit("api", 5, interval_us=1_000_000)
    with Clock() as clock:
        for _ in range(5):
            rate_limit("api")
        assert clock.pauses == []
        rate_limit("api")
    assert len(clock.pauses) == 1


@row("13.12")
def test_tags_are_limited(row: str) -> None:
    set_limit("tag:TAG", 1)

    @task(tags={"TAG"})
    def work() -> int:
        return shown("tag:TAG").active_slots

    assert flow(lambda: work())() == 1


@row("A:the limit of a tag is 0, mended")
def test_a_limit_of_nothing_is_refused_where_it_is_set(row: str) -> None:
    command = [sys.executable, "-m", "surefoot", "concurrency-limit", "create", "gpu", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "A limit of 0 is none." in done.stderr) == (2, True)


@row("13.19")
def test_a_map_is_limited_by_a_key(row: str) -> None:
    most = [0]

    @task
    def work(_: int) -> None:
        with limit("per-map", 2, key="this map"):
            most[0] = max(most[0], shown("per-map").active_slots)

    @flow
    def main() -> None:
        work.map(range(6)).wait()

    main()
    assert 1 <= most[0] <= 2


@row("13.20")
def test_all_runs_of_a_flow_are_limited_in_its_code(row: str) -> None:
    @flow
    def main() -> int:
        with limit("runs of main", 1):
            return shown("runs of main").active_slots

    assert main() == 1
    client = get_client()
    assert [each.name for each in client.limits().results] == ["runs of main"]
    client.close()


@row("A:more slots than there are")
def test_more_than_there_are_is_an_error(row: str) -> None:
    set_limit("db", 1)
    with pytest.raises(ConcurrencySlotAcquisitionError), concurrency("db", occupy=2):
        pass


@row("A:no retries when full")
def test_without_retries_nothing_waits(row: str) -> None:
    set_limit("db", 1)

    def use() -> None:
        with concurrency("db", max_retries=0):
            pass

    with concurrency("db"), pytest.raises(ConcurrencySlotAcquisitionError) as caught:
        in_a_thread(use)
    assert not isinstance(caught.value, AcquireConcurrencySlotTimeoutError)
