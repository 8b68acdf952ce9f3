"""A ledger of the test's own, of each kind in turn."""

from collections.abc import Iterator

import pytest

from surefoot.ledger import Ledger
from tests.places import Ledgers


@pytest.fixture
def ledger(ledgers: Ledgers) -> Iterator[Ledger]:
    with ledgers.opened() as opened:
        yield opened
