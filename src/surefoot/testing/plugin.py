"""Fixtures for pytest: `surefoot_harness`, `surefoot_clock`. With `surefoot_isolate = true` every test has a harness.

pytest loads this wherever Surefoot is installed, so nothing else is loaded here. May import: pytest; testing late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from surefoot.testing.clock import Clock
    from surefoot.testing.harness import Harness

__all__ = ["pytest_addoption", "surefoot_clock", "surefoot_harness"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """One line for an ini file."""
    parser.addini("surefoot_isolate", "Run every test within surefoot_harness.", type="bool", default=False)


@pytest.fixture
def surefoot_harness() -> Iterator[Harness]:
    """A home of the test's own: `surefoot_harness.flow_runs()`, `.client`, `.home`."""
    from surefoot.testing.harness import test_harness

    with test_harness() as harness:
        yield harness


@pytest.fixture
def surefoot_clock(surefoot_harness: Harness) -> Iterator[Clock]:
    """A clock by which pauses between retries take no time: `surefoot_clock.pauses`, `.advance(hours=1)`."""
    from surefoot.testing.clock import Clock

    with Clock() as clock:
        surefoot_harness.clock = clock
        yield clock


@pytest.fixture(autouse=True)
def _surefoot_isolated(request: pytest.FixtureRequest) -> None:
    if request.config.getini("surefoot_isolate"):
        request.getfixturevalue("surefoot_harness")
