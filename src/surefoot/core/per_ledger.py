"""What a process opens once for each ledger that its settings name, and keeps as long as it lives.

Or until the home goes, as that of a test does: then all of it is let go of.

May import: core.settings, core.os.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from surefoot.core import settings
from surefoot.core.os.forks import after_fork_in_child

__all__ = ["PerLedger", "let_go_of", "when_let_go"]

T = TypeVar("T")
_actions: Final[list[Callable[[str], None]]] = []


def when_let_go(action: Callable[[str], None]) -> Callable[[str], None]:
    """Have `action` called with each home that is let go of, before those that were named earlier. A decorator."""
    _actions.append(action)
    return action


def let_go_of(home: str) -> None:
    """Close what this process has opened for a home that is about to go."""
    for action in reversed(_actions):
        action(home)


class PerLedger(Generic[T]):
    """One object for each ledger, made when it is first asked for. To be made once, where a module begins.

    >>> boxes = PerLedger(list, list.clear)
    >>> boxes.here() is boxes.here()
    True

    Args:
        make: makes one for the ledger that the settings name then.
        close: lets go of files and connections; it may be opened again by a thread that still has it.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self._make = make
        self._close = close
        self._made: dict[tuple[str, str | None], T] = {}
        self._making = threading.Lock()
        after_fork_in_child(self._forget)
        when_let_go(self._let_go_of)

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

    def _let_go_of(self, home: str) -> None:
        with self._making:
            gone = [self._made.pop(place) for place in list(self._made) if place[0] == home]
        for each in gone:
            self._close(each)

    def _forget(self) -> None:
        self._making = threading.Lock()
        self._made.clear()  # connections are the parent's
