"""A home that is the test's own, and recorders in it of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from surefoot.journal.home import Home
from surefoot.journal.recorder import Budgets, Recorder

Opener = Callable[..., Recorder]


@pytest.fixture
def place(home: Path) -> Home:
    return Home(str(home))


@pytest.fixture(params=[True, False], ids=["mapped", "written"])
def may_map(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def opener(place: Home, may_map: bool) -> Iterator[Opener]:
    """Opens recorders in the test's home, with budgets given by name; closes them at last."""
    opened: list[Recorder] = []

    def a_recorder(**budgets: object) -> Recorder:
        recorder = Recorder(place, Budgets(**budgets), may_map=may_map)  # type: ignore[arg-type]
        opened.append(recorder)
        recorder.open()
        return recorder

    yield a_recorder
    for recorder in opened:
        recorder.close()


@pytest.fixture
def recorder(opener: Opener) -> Recorder:
    return opener()
