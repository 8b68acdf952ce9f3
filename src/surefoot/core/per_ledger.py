"""What a process opens once for each ledger that its settings name, and keeps as long as it lives.

May import: core.settings, core.os.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from surefoot.core import settings
from surefoot.core.os.forks import after_fork_in_child

__all__ = ["PerLedger"]

T = TypeVar("T")


class PerLedger(Generic[T]):
    """One object for each ledger, made when it is first asked for. To be made once, where a module begins.

    >>> boxes = PerLedger(list)
    >>> boxes.here() is boxes.here()
    True
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[str, str | None], T] = {}
        self._making = threading.Lock()
        after_fork_in_child(self._forget)

    def here(self) -> T:
        """That of the ledger which the settings in force name."""
        current = settings.refresh()
        place = current.home, settings.ledger_url(current)
        found = self._made.get(place)
        if found is None:
            with self._making:
                found = self._made.get(place)
                if found is None:
                    found = self._made[place] = self._make()
        return found

    def _forget(self) -> None:
        self._making = threading.Lock()
        self._made.clear()  # connections are the parent's
