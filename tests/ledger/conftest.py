"""A ledger of the test's own, of each kind in turn, and how to read it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot.ledger import Ledger
from tests.places import Ledgers


@pytest.fixture
def ledger(ledgers: Ledgers) -> Iterator[Ledger]:
    with ledgers.opened() as opened:
        yield opened


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in a file alone, for what only a file does."""
    with Ledger.open(tmp_path / "only.db") as opened:
        yield opened


@pytest.fixture
def ask(ledger: Ledger) -> Callable[..., Any]:
    """Calls a query on the ledger: `ask(queries.list_flow_runs, sort="NAME_ASC")`."""

    def call(query: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with ledger.read() as connection:
            return query(connection, *args, **options)

    return call
