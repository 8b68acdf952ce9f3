"""`rate_limit`: never more than the rate says, nothing lost, and no wait that is longer than was asked for."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import flow, task
from surefoot.concurrency import asyncio as limits_async
from surefoot.concurrency import limit, rate_limit
from surefoot.concurrency import sync as limits_sync
from surefoot.core.errors import (
    AcquireConcurrencySlotTimeoutError,
    BadInput,
    ConcurrencySlotAcquisitionError,
    MissingContextError,
)
from surefoot.core.limits import Rate, rate_of, rate_text
from surefoot.testing import Clock
from tests.limits.processes import set_limit, shown


def test_a_burst_goes_at_once_and_then_one_after_each_interval() -> None:
    set_limit("api", 3, interval_us=10_000_000)
    with Clock() as clock:
        for _ in range(5):
            rate_limit("api")
    assert [round(pause) for pause in clock.pauses] == [10, 10]


def test_what_was_not_used_is_there_again_after_a_while() -> None:
    with Clock() as clock:
        for _ in range(2):
            rate_limit("api", rate="2/minute")
        clock.advance(minutes=1)
        for _ in range(2):
            rate_limit("api", rate="2/minute")
        assert clock.pauses == []
        rate_limit("api", rate="2/minute")
    assert 29 < clock.paused_s <= 30


def test_in_an_event_loop_it_is_awaited() -> None:
    async def main() -> None:
        for _ in range(3):
            await limits_async.rate_limit("api", rate="1/minute")
        waited = rate_limit("api", rate="1/minute")
        assert waited is not None
        await waited

    with Clock() as clock:
        asyncio.run(main())
    assert [round(pause) for pause in clock.pauses] == [60, 60, 60]


def test_a_wait_that_would_be_too_long_is_refused_at_once_and_takes_nothing() -> None:
    with Clock() as clock:
        rate_limit("api", rate="1/minute")
        for _ in range(3):
            with pytest.raises(AcquireConcurrencySlotTimeoutError, match=r"has room in .* s, and timeout_seconds is 1"):
                limits_sync.rate_limit("api", rate="1/minute", timeout_seconds=1)
        rate_limit("api", rate="1/minute")
    assert [round(pause) for pause in clock.pauses] == [60]


def test_a_rate_without_a_name_belongs_to_the_task_that_asks() -> None:
    @task
    def call() -> None:
        rate_limit("1/hour")

    @task
    def another() -> None:
        rate_limit("1/hour")

    @flow
    def main() -> None:
        call()
        another()
        rate_limit("1/hour")
        call()

    with Clock() as clock:
        main()
    assert [round(pause) for pause in clock.pauses] == [3600]
    with pytest.raises(MissingContextError, match='rate_limit\\("api", rate="60/minute"\\)'):
        rate_limit("60/minute")


def test_a_rate_in_code_counts_until_somebody_sets_it() -> None:
    with Clock() as clock:
        rate_limit("api", rate="1/hour")
        assert (shown("api").rate, shown("api").in_code) == ("1/hour", True)
        set_limit("api", 1, interval_us=60_000_000)
        rate_limit("api", rate="1/hour")
        assert (shown("api").rate, shown("api").in_code) == ("1/minute", False)
        rate_limit("api", rate="1/hour")
    assert [round(pause) for pause in clock.pauses] == [60]
    with pytest.raises(ConcurrencySlotAcquisitionError, match="cannot be held"), limit("api", 3):
        pass


def test_each_key_has_a_rate_of_its_own() -> None:
    with Clock() as clock:
        for key in ("acme", "ajax", "acme"):
            rate_limit("api", rate="1/minute", key=key)
    assert len(clock.pauses) == 1


def test_a_limit_on_how_much_at_once_is_no_rate() -> None:
    set_limit("db", 3)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="not on how often"):
        rate_limit("db")


def test_more_at_once_than_a_rate_gives_is_refused() -> None:
    set_limit("api", 3, interval_us=1_000_000)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="which gives 3"):
        rate_limit("api", 4)
    with pytest.raises(BadInput, match="which gives 3"):
        rate_limit("other", 4, rate="3/s")


def test_a_rate_that_is_not_there_holds_nobody_up_unless_it_is_to_be() -> None:
    with pytest.warns(UserWarning, match="surefoot limit set no-rate 60/minute"):
        rate_limit("no-rate")
    with pytest.raises(ConcurrencySlotAcquisitionError):
        rate_limit("no-rate", strict=True)


def test_an_inactive_rate_holds_nobody_up() -> None:
    set_limit("api", 1, interval_us=60_000_000)
    set_limit("api", 1, interval_us=60_000_000, active=False)
    with Clock() as clock:
        for _ in range(3):
            rate_limit("api")
    assert clock.pauses == []


@pytest.mark.parametrize("rate", ["", "often", "0/s", "5/fortnight", "5/0 s", "1/999 days", 7])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    with pytest.raises(BadInput):
        rate_limit("api", rate=rate)


@pytest.mark.parametrize("text", ["60/minute", "10/second", "100/hour", "7/second", "3/day"])
def test_a_rate_is_shown_as_it_was_written(text: str) -> None:
    rate = rate_of(text)
    assert rate is not None
    assert rate_text(rate) == text


@given(
    st.integers(1, 20), st.integers(1, 5_000_000), st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(1, 20)))
)
def test_no_stretch_of_time_holds_more_than_the_rate_says(
    slots: int, interval_us: int, steps: list[tuple[int, int]]
) -> None:
    rate, now_us, full_us = Rate(slots, interval_us), 1_000_000_000, None
    taken: list[tuple[int, int]] = []
    for pause_us, weight in steps:
        now_us += pause_us
        weight = min(weight, slots)
        at_us = rate.reserve(full_us, weight, now_us)
        full_us = rate.taken(full_us, weight, at_us)
        taken.append((at_us, weight))
    assert all(before[0] <= after[0] for before, after in pairwise(taken))
    for first, (start_us, _) in enumerate(taken):
        total = 0
        for at_us, weight in taken[first:]:
            total += weight
            assert total <= slots + (at_us - start_us) // interval_us
