"""Rows of artifacts that go: which of them may, and what then has to be noted of those that stay.

The versions of a key keep their numbers: each row says how many are gone before it. May import: core, tables, dialects.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, or_, select, update

from surefoot.ledger.tables import WORKSPACE, artifacts

__all__ = ["has_newer", "remove_artifacts", "some_artifacts"]


def has_newer() -> ColumnElement[bool]:
    """Whether it is not the newest of its key, which outlives its run; true of one without a key."""
    c, n = artifacts.c, artifacts.alias("newer").c
    newer = exists().where(n.workspace_id == WORKSPACE, n.key.is_not(None), n.key == c.key, n.id > c.id)
    return or_(c.key.is_(None), newer)


def some_artifacts(connection: Connection, *which: ColumnElement[bool], limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """At most `limit` of those that fit, to be removed."""
    c = artifacts.c
    query = select(c.id, c.key, c.gone_before, c.place).where(c.workspace_id == WORKSPACE, *which)
    return connection.execute(query.limit(limit)).all()


def remove_artifacts(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[str]:
    """Remove these rows of `some_artifacts`. Where the data of some lies, for whoever may remove that."""
    c = artifacts.c
    connection.execute(delete(artifacts).where(c.workspace_id == WORKSPACE, c.id.in_([row.id for row in rows])))
    keyed = sorted((row for row in rows if row.key is not None), key=lambda row: (row.key, row.id))
    for key, versions in groupby(keyed, key=lambda row: row.key):
        for row in versions:
            _note_gone(connection, key, row.id, 1 + row.gone_before)
    return [row.place for row in rows if row.place is not None]


def _note_gone(connection: Connection, key: str, artifact_id: bytes, count: int) -> None:
    c = artifacts.c
    its = c.workspace_id == WORKSPACE, c.key.is_not(None), c.key == key, c.id > artifact_id
    next_id = connection.execute(select(c.id).where(*its).order_by(c.id).limit(1)).scalar()
    if next_id is not None:
        connection.execute(
            update(artifacts)
            .where(c.workspace_id == WORKSPACE, c.id == next_id)
            .values(gone_before=c.gone_before + count)
        )
