"""The ledger that a home's journal is folded into: a file in the home, or a database that homes may share.

May import: ledger, journal, core.
"""

from __future__ import annotations

from surefoot.core.settings import Settings, ledger_url
from surefoot.journal.home import Home
from surefoot.ledger import Ledger

__all__ = ["ledger_name", "ledger_of", "ledger_place"]


def ledger_of(home: Home, url: str | None, *, busy_s: float = 30.0) -> Ledger:
    """The ledger of a home, which has to be there, opened; `url` as in the setting `ledger.url`."""
    if url is None:
        return Ledger.open(home.ledger_path, busy_s=busy_s)
    return Ledger.open(url, busy_s=busy_s, home_id=home.id())


def ledger_place(settings: Settings) -> str:
    """Where the ledger is that settings name: a path, or a URL, which may hold a password."""
    return ledger_url(settings) or Home(settings.home).ledger_path


def ledger_name(settings: Settings) -> str:
    """The same, for people: without a password."""
    return Ledger.name_of(ledger_place(settings))
