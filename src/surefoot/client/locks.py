"""Locks in the ledger: what lock managers ask of it. The embedded way: straight on the ledger of the home.

May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self, TypeVar

from surefoot.client.ledgers import ledger_of
from surefoot.core import settings
from surefoot.core.lines import Line, Place
from surefoot.journal.home import Home
from surefoot.ledger.decisions.lines import LEASE_S, change_line, renew_places

__all__ = ["EmbeddedLines"]

T = TypeVar("T")


class EmbeddedLines:
    """`Lines` on the ledger of a home, or on that at `url`."""

    lease_s = LEASE_S

    def __init__(self, home: str, url: str | None = None) -> None:
        where = Home(home)
        where.ensure()
        self._ledger = ledger_of(where, url)
        self.processes = os.path.join(where.path, "locks")
        self.origin = "" if self._ledger.home_id is None else self._ledger.home_id.hex()

    @classmethod
    def open(cls) -> Self:
        """Those of the settings in force."""
        current = settings.refresh()
        return cls(current.home, settings.ledger_url(current))

    def change(
        self, key: str, step: Callable[[Line, int], T], proof: Callable[[Place], bool | None]
    ) -> tuple[T, list[Place]]:
        with self._ledger.decide() as tx:
            return change_line(tx, key, step, proof)

    def renew(self, owner: str) -> bool:
        with self._ledger.decide() as tx:
            return renew_places(tx, owner, self.origin)

    def close(self) -> None:
        self._ledger.close()
