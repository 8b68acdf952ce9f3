"""The table of trigger rules: what each says, by property, and that nothing else is accepted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from surefoot.core.errors import BadInput
from surefoot.core.triggers import ALIASES, DEFAULT, RULES, Answer, Ends, answer_of, check_trigger_name

RUN, NOT_READY, SKIP, UNWANTED = Answer.RUN, Answer.NOT_READY, Answer.SKIP, Answer.UNWANTED
counts = st.integers(0, 4)


@st.composite
def all_ends(draw: st.DrawFn) -> Ends:
    succeeded, failed, skipped = draw(counts), draw(counts), draw(counts)
    return Ends(succeeded, failed, skipped, draw(st.integers(0, failed)), draw(st.integers(0, skipped)))


@st.composite
def without_allowances(draw: st.DrawFn) -> Ends:
    return Ends(draw(counts), draw(counts), draw(counts))


# What runs, written down a second time on purpose: as a sentence about lists of ends, not about counts.
RUNS: dict[str, Callable[[list[str]], bool]] = {
    "all_success": lambda ends: all(end == "succeeded" for end in ends),
    "all_done": lambda ends: True,
    "all_failed": lambda ends: all(end == "failed" for end in ends),
    "all_skipped": lambda ends: all(end == "skipped" for end in ends),
    "one_success": lambda ends: "succeeded" in ends,
    "one_failed": lambda ends: "failed" in ends,
    "one_done": lambda ends: "succeeded" in ends or "failed" in ends,
    "none_failed": lambda ends: "failed" not in ends,
    "none_skipped": lambda ends: "skipped" not in ends,
    "none_failed_min_one_success": lambda ends: "failed" not in ends and "succeeded" in ends,
}


def test_every_rule_is_told_twice() -> None:
    assert set(RUNS) == set(RULES)
    assert set(ALIASES.values()) <= set(RULES)
    assert not set(ALIASES) & set(RULES)
    assert DEFAULT == "all_success"


@pytest.mark.parametrize("name", RULES)
@given(ends=without_allowances())
def test_a_rule_runs_as_its_sentence_says(name: str, ends: Ends) -> None:
    listed = ["succeeded"] * ends.succeeded + ["failed"] * ends.failed + ["skipped"] * ends.skipped
    assert (answer_of(name, ends) is RUN) == (not listed or RUNS[name](listed))


@pytest.mark.parametrize("name", RULES)
def test_a_run_without_upstreams_runs_whatever_its_rule(name: str) -> None:
    assert answer_of(name, Ends()) is RUN


@pytest.mark.parametrize("name", RULES)
@given(ends=all_ends())
def test_there_is_somebody_to_blame_for_each_answer(name: str, ends: Ends) -> None:
    answer = answer_of(name, ends)
    assert answer is not NOT_READY or ends.failed
    assert answer is not SKIP or ends.skipped
    assert answer is not UNWANTED or (ends.succeeded or ends.failed or ends.skipped)


@pytest.mark.parametrize("name", RULES)
@given(ends=all_ends())
def test_only_what_waits_for_an_end_other_than_success_is_unwanted(name: str, ends: Ends) -> None:
    assert answer_of(name, ends) is not UNWANTED or name in ("all_failed", "one_failed", "all_skipped")


@pytest.mark.parametrize("name", RULES)
@given(ends=all_ends())
def test_an_allowance_never_stops_a_run(name: str, ends: Ends) -> None:
    strict = replace(ends, allowed_failed=0, allowed_skipped=0)
    assert answer_of(name, strict) is not RUN or answer_of(name, ends) is RUN


@given(ends=all_ends())
def test_with_all_allowed_the_default_runs(ends: Ends) -> None:
    assert answer_of("all_success", replace(ends, allowed_failed=ends.failed, allowed_skipped=ends.skipped)) is RUN


@given(ends=all_ends())
def test_a_failure_that_is_not_allowed_comes_before_a_skip(ends: Ends) -> None:
    if ends.stop_by_failing:
        for name in ("all_success", "none_failed", "none_failed_min_one_success"):
            assert answer_of(name, ends) is NOT_READY


@pytest.mark.parametrize("alias", ALIASES)
@given(ends=all_ends())
def test_an_alias_is_the_rule_that_it_stands_for(alias: str, ends: Ends) -> None:
    assert answer_of(alias, ends) is answer_of(ALIASES[alias], ends)
    assert check_trigger_name(alias, "task 'x'") == alias


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("all_succes", "Did you mean 'all_success'?"),
        ("ALWAYS", "Did you mean 'always'?"),
        ("zzz", "Use one of all_suc"),
    ],
)
def test_an_unknown_rule_is_refused_with_the_nearest(wrong: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"trigger of task 'x' is '{wrong}'") as caught:
        check_trigger_name(wrong, "task 'x'")
    assert isinstance(caught.value, BadInput)
    assert told in caught.value.do
