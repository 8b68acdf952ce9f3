"""The ledger of a test's home: a file in it, or a database of a server, in turn."""

from pathlib import Path

import pytest

from tests.places import Ledgers


@pytest.fixture
def each_ledger(home: Path, ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test once with the home's own ledger, and once with one on PostgreSQL."""
    if ledgers.on_a_server:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", ledgers.new())
