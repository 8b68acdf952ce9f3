"""The revision of the tables, looked at in each transaction that folds: another version may have upgraded them.

May import: core, tables.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from surefoot._version import __version__
from surefoot.core.errors import LedgerTooNew
from surefoot.ledger.tables import HEAD, alembic_version, meta

__all__ = ["check_revision"]


def check_revision(connection: Connection) -> None:
    """Raise LedgerTooNew if the tables are no longer those of this version, so that nothing is folded into them.

    Whoever opens a ledger learns that then. This is for a process that has had one open for long.
    """
    revision = connection.execute(select(alembic_version.c.version_num)).scalar()
    if revision == HEAD:
        return
    needed = connection.execute(select(meta.c.value).where(meta.c.key == "surefoot")).scalar()
    raise LedgerTooNew(
        f"The ledger was upgraded by Surefoot {needed} (revision {revision}) meanwhile; "
        f"this is Surefoot {__version__} (revision {HEAD}).",
        do=f"Run: pip install 'surefoot>={needed}'",
    )
