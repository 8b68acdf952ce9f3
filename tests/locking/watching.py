"""Waiting for a condition, in tests of locks."""

from __future__ import annotations

import threading
from collections.abc import Callable

_NEVER = threading.Event()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when it holds. Fails after so long."""
    for _ in range(int(seconds * 200)):
        if condition():
            return
        _NEVER.wait(0.005)
    raise AssertionError("it never came to hold")
