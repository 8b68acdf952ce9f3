"""Delays before an attempt is repeated: what may be asked for, what is refused, what comes out."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.delays import DELAYS_MAX, Delays, delays_of, exponential_backoff
from surefoot.core.errors import BadInput

seconds = st.floats(0, 1e6) | st.integers(0, 10**6)
draws = st.floats(0, 1, exclude_max=True)


def never() -> float:
    raise AssertionError("no jitter was asked for")


def test_without_a_delay_the_next_attempt_follows_at_once() -> None:
    assert delays_of(None, 3).delay_s(1, never) == 0
    assert delays_of(0, 3).delay_s(3, never) == 0
    assert delays_of([], 3).delay_s(3, never) == 0


@given(seconds, st.integers(1, 100))
def test_a_number_is_waited_before_each_attempt(delay: float, attempt: int) -> None:
    assert delays_of(delay, 3).delay_s(attempt, never) == delay


@given(st.lists(seconds, min_size=1, max_size=DELAYS_MAX), st.integers(1, 100))
def test_of_a_list_the_last_delay_repeats(delays: list[float], attempt: int) -> None:
    asked = delays_of(delays, 3).delay_s(attempt, never)
    assert asked == (delays[attempt - 1] if attempt <= len(delays) else delays[-1])


@given(seconds, st.floats(0, 100), draws)
def test_jitter_only_adds_and_at_most_its_factor(delay: float, factor: float, draw: float) -> None:
    waited = delays_of(delay, 3, factor).delay_s(1, lambda: draw)
    assert delay <= waited <= delay * (1 + factor) * (1 + 1e-9)


@given(st.floats(0.001, 1000), st.integers(0, 60))
def test_backoff_doubles_as_often_as_there_are_retries_up_to_a_limit(factor: float, retries: int) -> None:
    delays = delays_of(exponential_backoff(factor), retries).seconds
    assert len(delays) == min(retries, DELAYS_MAX)
    assert all(later == 2 * earlier for earlier, later in pairwise(delays))
    assert not delays or delays[0] == factor


def test_a_function_of_the_number_of_retries_makes_the_list() -> None:
    assert delays_of(lambda retries: [float(n) for n in range(retries)], 3).seconds == (0.0, 1.0, 2.0)
    assert delays_of(lambda retries: [1.0] * retries, -1).seconds == ()


@pytest.mark.parametrize("spec", ["x", b"x", ["1"], [None], [True], True, {"a": 1}, object(), lambda retries: "x", 1j])
def test_what_is_no_delay_is_a_type_error_that_shows_it(spec: Any) -> None:
    with pytest.raises(TypeError, match="retry_delay_seconds is") as caught:
        delays_of(spec, 2)
    assert isinstance(caught.value, BadInput)
    assert "Pass a number of seconds" in caught.value.do


@pytest.mark.parametrize("spec", [-1, [1, -0.5], math.inf, [math.nan], [1.0] * (DELAYS_MAX + 1)])
def test_a_delay_out_of_range_is_a_value_error_with_a_way_out(spec: Any) -> None:
    with pytest.raises(ValueError, match="retry_delay_seconds") as caught:
        delays_of(spec, 2)
    assert isinstance(caught.value, BadInput)
    assert caught.value.do


@pytest.mark.parametrize("factor", [-1, "x", True, math.inf, math.nan, -0.001])
def test_a_jitter_factor_out_of_range_is_a_value_error(factor: Any) -> None:
    with pytest.raises(ValueError, match="retry_jitter_factor is") as caught:
        delays_of(1, 2, factor)
    assert isinstance(caught.value, BadInput)


@pytest.mark.parametrize("factor", [-1, "x", None, True, math.inf, math.nan])
def test_a_backoff_factor_out_of_range_is_refused_where_it_stands(factor: Any) -> None:
    with pytest.raises(BadInput, match="exponential_backoff got"):
        exponential_backoff(factor)


def test_the_owner_of_a_bad_delay_is_named() -> None:
    with pytest.raises(TypeError, match=r"^tasks\.default_retry_delay_seconds is 'x'"):
        delays_of("x", 1, owner="tasks.default_retry_delay_seconds")  # type: ignore[arg-type]


def test_delays_ready_to_be_asked_cost_no_check() -> None:
    assert Delays((2.0,), None).delay_s(9, never) == 2.0
