"""Deleting an asset because somebody asked: what is recorded of it goes; what it names is left alone.

May import: core, tables, removal.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, or_, select

from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.removal import delete_by_key
from surefoot.ledger.tables import WORKSPACE, asset_edges, asset_events, assets

__all__ = ["delete_some_of_asset"]

_ROWS: Final = 500  # at once


def delete_some_of_asset(connection: Connection, asset_id: bytes) -> bool:
    """Delete a bit of what is recorded of an asset. False when all is gone.

    The asset itself goes last, so that whoever comes after a process that died in between finds it and goes on.
    """
    e, g, a = asset_events.c, asset_edges.c, assets.c
    its = e.workspace_id == WORKSPACE, e.asset_id == asset_id
    query = select(*asset_events.primary_key.columns).where(*its).limit(_ROWS)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if rows:
        dialect_of(connection).write_many(connection, delete_by_key(asset_events), rows)
        return True
    ends = or_(g.asset_id == asset_id, g.upstream_id == asset_id)
    connection.execute(delete(asset_edges).where(g.workspace_id == WORKSPACE, ends))
    connection.execute(delete(assets).where(a.workspace_id == WORKSPACE, a.id == asset_id))
    return False
