"""Rows of the reference, by their numbers: each test here says which rows it holds, and its id says it too."""

from __future__ import annotations

from typing import Any

import pytest


def row(*numbers: str) -> pytest.MarkDecorator:
    """Mark a test as that of these rows: it runs once for each, with the number in its id, and takes it as `row`."""
    return pytest.mark.parametrize("row", numbers)


def at(number: str, *values: Any) -> Any:
    """A line of a table of cases (`pytest.mark.parametrize`) that holds that row."""
    return pytest.param(*values, id=number)
