"""Chapter 2.3 of the reference: futures."""

from __future__ import annotations

import pytest

from surefoot import flow, task
from tests.reference.rows import row


@row("2.72")
def test_result_gives_the_value_or_the_exception(row: str) -> None:
    @task
    def half(number: int) -> float:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number / 2

    @flow
    def halves() -> None:
        assert half.submit(4).result() == 2
        assert isinstance(half.submit(3).result(raise_on_failure=False), ValueError)
        with pytest.raises(ValueError, match="odd"):
            half.submit(3).result()

    halves()
