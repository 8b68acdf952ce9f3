"""The ledger: facts become tables here, and are read from here. SQL stands nowhere else.

A synchronous library over SQLAlchemy Core.

    with Ledger.open(path) as ledger:
        ledger.fold(batches)
        with ledger.read() as connection:
            page = queries.list_flow_runs(connection)

May import: core.
"""

from surefoot.ledger.batches import Batch, Folded, Writer
from surefoot.ledger.contents import Contents
from surefoot.ledger.copying import LedgerCopy
from surefoot.ledger.ledger import Ledger
from surefoot.ledger.opening import Standing
from surefoot.ledger.removal import Removed
from surefoot.ledger.retention import Cutoffs

__all__ = ["Batch", "Contents", "Cutoffs", "Folded", "Ledger", "LedgerCopy", "Removed", "Standing", "Writer"]
