"""Sizes as people write them: what is a size, and what they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.sizes import parsed_size, told_size

UNITS = {"": 1, "B": 1, "KB": 10**3, "kb": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 1 << 10, "mib": 1 << 20, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_a_number_with_a_unit_is_so_many_of_it(number: int, unit: str, space: str) -> None:
    assert parsed_size(f"{number}{space}{unit}", "limit") == number * UNITS[unit]


@given(st.integers(1, 10**15))
def test_a_number_is_so_many_bytes(number: int) -> None:
    assert parsed_size(number, "limit") == number


@given(st.text(max_size=12))
def test_any_text_is_a_size_above_0_or_refused_with_its_name(text: str) -> None:
    found = 1
    try:
        found = parsed_size(text, "my limit")
    except ValueError as error:
        told = str(error)
    else:
        told = "my limit is "
    assert found > 0
    assert told.startswith("my limit is ")


@pytest.mark.parametrize("value", [0, -1, "0", "0.1B", "-2GiB", "2 G", "nanMB", "1e400GB", "1_0", "GiB", "2GiB2"])
def test_what_is_no_size_is_a_value_error(value: str | int) -> None:
    with pytest.raises(ValueError, match="my limit is "):
        parsed_size(value, "my limit")


@pytest.mark.parametrize("value", [True, 1.5, None, b"2GiB"])
def test_what_is_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="my limit is "):
        parsed_size(value, "my limit")  # type: ignore[arg-type]


@given(st.integers(0, 1 << 60))
def test_every_number_of_bytes_can_be_told(count: int) -> None:
    assert told_size(count)
