"""What the tests of the concurrent half share: flows on so many workers, a meter, a clock that stands still,
waiting for a condition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.core.clock import SystemClock, set_clock
from surefoot.task_runners import ThreadPoolTaskRunner

__all__ = [
    "SOON",
    "ManualClock",
    "Meter",
    "add",
    "fails",
    "manual_clock",
    "no_thread_is_left",
    "on",
    "task_threads",
    "until",
]

SOON = 30.0  # seconds that nothing here takes, on however busy a machine
_KEPT = ("surefoot-timers", "surefoot-commands", "surefoot-flush", "surefoot-sync", "surefoot-fold")


def on(workers: int | None, **options: Any) -> Callable[..., Any]:
    """A flow decorator with that many workers."""
    return flow(task_runner=ThreadPoolTaskRunner(max_workers=workers), **options)


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
def fails(text: str = "no disk") -> int:
    raise OSError(text)


class Meter:
    """Counts who is in, and the most that ever were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition that no event tells of."""
    never = threading.Event()
    for _ in range(int(SOON * 500)):
        if condition():
            return
        never.wait(0.002)
    raise AssertionError("it did not come to that")


def task_threads() -> set[threading.Thread]:
    """The threads that run tasks, or are left over by something."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith(_KEPT)}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """After a flow its threads are gone, at once."""
    before = task_threads()
    yield
    assert task_threads() <= before


class ManualClock(SystemClock):
    """Time passes only when told."""

    def __init__(self) -> None:
        self._passed_us = 0

    @property
    def passed_s(self) -> float:
        return self._passed_us / 1e6

    def advance(self, seconds: float) -> None:
        self._passed_us += int(seconds * 1e6)

    def now_us(self) -> int:
        return 1_800_000_000_000_000 + self._passed_us

    def mono_us(self) -> int:
        return self._passed_us

    def wait_s(self, seconds: float) -> float:
        return 0.002  # whoever waits looks again then


@pytest.fixture
def manual_clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    before = set_clock(clock)
    yield clock
    set_clock(before)
