"""Folding artifacts: its creation tells what an artifact is, and the newest of all that was told, what it shows.

So it is the same in whatever order creation and changes arrive. May import: core, tables, dialects, fold_runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from surefoot.core.facts import ArtifactWritten
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_runs import deleted_among, in_chunks, short
from surefoot.ledger.tables import WORKSPACE, artifacts

__all__ = ["fold_artifacts"]

_CHANGING: Final = "progress"  # the type of artifacts that may be changed

Row = dict[str, Any]


def fold_artifacts(connection: Connection, facts: Sequence[ArtifactWritten]) -> None:
    """Fold what was told of artifacts."""
    told_of = {run_id for fact in facts for run_id in _ids_in(fact)}
    deleted = deleted_among(connection, told_of)
    kept = [fact for fact in facts if deleted.isdisjoint(_ids_in(fact))]
    before = _load(connection, list({fact.artifact_id for fact in kept}))
    rows: dict[bytes, Row] = dict(before)
    for fact in kept:
        row = rows.get(fact.artifact_id)
        told = _told(fact)
        rows[fact.artifact_id] = told if row is None else _merged(row, told)
    dialect_of(connection).upsert(connection, artifacts, [row for key, row in rows.items() if before.get(key) != row])


def _ids_in(fact: ArtifactWritten) -> list[bytes]:
    return [each for each in (fact.artifact_id, fact.flow_run_id, fact.task_run_id) if each is not None]


def _load(connection: Connection, ids: list[bytes]) -> dict[bytes, Row]:
    found: dict[bytes, Row] = {}
    among = dialect_of(connection).among
    for chunk in in_chunks(ids):
        query = select(artifacts).where(artifacts.c.workspace_id == WORKSPACE, among(artifacts.c.id, chunk))
        found |= {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    return found


def _told(fact: ArtifactWritten) -> Row:
    return {
        "workspace_id": WORKSPACE,
        "id": fact.artifact_id,
        "key": None if fact.is_change or fact.key is None else short(fact.key),
        "type": fact.type,
        "created_us": None if fact.is_change else fact.at_us,
        "changed_us": fact.at_us,
        "description": fact.description,
        "described_us": None if fact.description is None else fact.at_us,
        "media_type": fact.media_type,
        "place": fact.place,
        "size": fact.size,
        "crc32": fact.crc32,
        "gone_before": 0,
        "flow_run_id": fact.flow_run_id,
        "task_run_id": fact.task_run_id,
        "data": fact.data,
    }


_SHOWN: Final = "changed_us media_type place size crc32 data".split()
_MADE: Final = "key type created_us gone_before flow_run_id task_run_id".split()


def _merged(a: Row, b: Row) -> Row:
    """What both tell of one artifact."""
    made = a if a["created_us"] is not None else b
    if made["created_us"] is None:
        made = min(a, b, key=_order)
    may_change = made["created_us"] is None or made["type"] == _CHANGING
    shown = max(a, b, key=_order) if may_change else made
    described = max(a, b, key=lambda row: (row["described_us"] or -1, row["description"] or "")) if may_change else made
    return (
        a
        | {name: made[name] for name in _MADE}
        | {name: shown[name] for name in _SHOWN}
        | {name: described[name] for name in ("description", "described_us")}
    )


def _order(row: Row) -> tuple[Any, ...]:
    return row["changed_us"], row["data"] or b"", row["place"] or ""
