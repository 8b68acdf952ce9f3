"""Latches: the end of several things, made out of the ends of each. May import: waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from surefoot.engine.waiting import Needs

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["Countdown", "Drained"]


class Countdown:
    """Calls `fn` when it has been called so often itself."""

    __slots__ = ("fn", "left", "lock")

    def __init__(self, count: int, fn: Callable[[], None]) -> None:
        self.left = count
        self.fn = fn
        self.lock = threading.Lock()

    def __call__(self, _: Any) -> None:
        with self.lock:
            self.left -= 1
            last = not self.left
        if last:
            self.fn()


class Drained:
    """The end of all tasks, to be waited for as a future is."""

    execution = None

    def __init__(self, outstanding: dict[Execution, None]) -> None:
        self._outstanding = outstanding
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Any], None]] = []
        self._is_set = False

    def done(self) -> bool:
        return self._is_set

    def needs(self) -> Needs:
        return Needs(self._outstanding)

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        with self._lock:
            if not self._is_set:
                self._callbacks.append(fn)
                return
        fn(self)

    def remove_done_callback(self, fn: Callable[[Any], None]) -> None:
        with self._lock:
            if fn in self._callbacks:
                self._callbacks.remove(fn)

    def set(self) -> None:
        """Tell those who wait."""
        with self._lock:
            self._is_set = True
            callbacks, self._callbacks = self._callbacks, []
        for fn in callbacks:
            fn(self)
