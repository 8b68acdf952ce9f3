"""Variables in the ledger: what processes ask of it. The embedded way: straight on the ledger of the home.

May import: ledger, journal, core.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from surefoot.client.ledgers import ledger_of
from surefoot.core import settings
from surefoot.core.errors import NotFound
from surefoot.core.ids import new_id
from surefoot.core.variables import By, checked_name, checked_tags, json_of, value_of
from surefoot.core.wire import Variable
from surefoot.journal.home import Home
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions.variables import set_variable, unset_variable

__all__ = ["EmbeddedVariables", "set_in", "unset_in"]


class EmbeddedVariables:
    """`Variables` on the ledger of a home, or on that at `url`."""

    def __init__(self, home: str, url: str | None = None, *, busy_s: float = 30.0) -> None:
        where = Home(home)
        where.ensure()
        self._ledger = ledger_of(where, url, busy_s=busy_s)

    @classmethod
    def open(cls) -> Self:
        """Those of the settings in force."""
        current = settings.refresh()
        return cls(current.home, settings.ledger_url(current), busy_s=current.ledger.busy_timeout_seconds)

    def values(self, names: Collection[str]) -> Mapping[str, Any]:
        with self._ledger.read() as tx:
            found = queries.variable_values(tx, names)
        return {name: value_of(text) for name, text in found.items()}

    def missing(self, name: str) -> NotFound:
        with self._ledger.read() as tx:
            return queries.no_variable(tx, name)

    def set(self, name: str, value: Any, tags: Sequence[str] | None, by: By, *, overwrite: bool) -> Variable:
        return set_in(self._ledger, name, value, tags, by, overwrite=overwrite)

    def unset(self, name: str, by: By) -> bool:
        return unset_in(self._ledger, name, by)

    def close(self) -> None:
        self._ledger.close()


def set_in(ledger: Ledger, name: str, value: Any, tags: Collection[str] | None, by: By, *, overwrite: bool) -> Variable:
    """Set a variable in a ledger. Raises BadInput for what it cannot be, and AlreadyExists."""
    text = json_of(checked_name(name), value)
    labels = None if tags is None else checked_tags(tags)
    with ledger.decide() as tx:
        set_variable(tx, name, text, labels, by, new_id(), overwrite=overwrite)
        return queries.find_variable(tx, name)


def unset_in(ledger: Ledger, name: str, by: By) -> bool:
    """Remove a variable from a ledger. Raises BadInput for what can be no name."""
    name = checked_name(name)
    with ledger.decide() as tx:
        return unset_variable(tx, name, by)
