"""Folding assets: what became of each attempt to make one, what it was made from, and what it is said to be.

Of what is told twice the newer counts (of an attempt the higher n, of the rest the later instant), in whatever order
facts arrive. May import: core, tables, dialects, fold_runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, select, tuple_

from surefoot.core.facts import AssetMaterialized, CheckTold
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_runs import deleted_among, in_chunks
from surefoot.ledger.tables import WORKSPACE, asset_edges, asset_events, assets

__all__ = ["COMPLETED", "asset_id_of", "fold_assets"]

COMPLETED: Final = "completed"

_NUL: Final = {0: "␀"}  # PostgreSQL's text cannot hold it
_MANY: Final = 200  # pairs in one question

Row = dict[str, Any]

_json = msgspec.json.Encoder().encode


def asset_id_of(key: str) -> bytes:
    """An asset's id: derived from its key, so that whoever hears of it first gives it the same one (UUIDv8)."""
    raw = bytearray(blake2b(b"%d/asset/%b" % (WORKSPACE, key.encode()), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def fold_assets(connection: Connection, facts: Sequence[AssetMaterialized]) -> None:
    """Fold what was told of assets. What a run told that somebody deleted is dropped."""
    told_of = {run_id for fact in facts for run_id in (fact.run_id, fact.flow_run_id) if run_id is not None}
    deleted = deleted_among(connection, told_of)
    kept = [fact for fact in facts if deleted.isdisjoint((fact.run_id, fact.flow_run_id))]
    _fold_events(connection, kept)
    _fold_edges(connection, kept)
    _fold_assets(connection, kept)


def _fold_events(connection: Connection, facts: Iterable[AssetMaterialized]) -> None:
    newest: dict[tuple[bytes, bytes, int], AssetMaterialized] = {}
    for fact in facts:
        key = _id_of(fact.key), fact.run_id, fact.epoch
        if key not in newest or newest[key].n < fact.n:
            newest[key] = fact
    c = asset_events.c
    there = _there(connection, asset_events, (c.asset_id, c.run_id, c.epoch), list(newest))
    rows = [_event(key[0], fact) for key, fact in newest.items() if key not in there or there[key]["n"] < fact.n]
    dialect_of(connection).upsert(connection, asset_events, rows)


def _event(asset_id: bytes, fact: AssetMaterialized) -> Row:
    return {
        "workspace_id": WORKSPACE,
        "asset_id": asset_id,
        "run_id": fact.run_id,
        "epoch": fact.epoch,
        "n": fact.n,
        "at_us": fact.at_us,
        "outcome": fact.outcome,
        "flow_run_id": fact.flow_run_id,
        "task_name": fact.task_name,
        "run_name": fact.run_name,
        "made_by": fact.by,
        "message": fact.message,
        "details": _json(_mapping(fact.metadata)).decode(),
        "checks": _json([_check(each) for each in fact.checks]).decode(),
    }


def _check(told: CheckTold) -> Row:
    return {
        "name": told.name,
        "passed": told.passed,
        "severity": told.severity,
        "message": told.message,
        "metadata": _mapping(told.metadata),
    }


def _mapping(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:  # only a broken writer makes one that is none
        return {}


def _fold_edges(connection: Connection, facts: Iterable[AssetMaterialized]) -> None:
    newest: dict[tuple[bytes, bytes], Row] = {}
    for fact in facts:
        for key, how in fact.upstream:
            row: Row = {
                "workspace_id": WORKSPACE,
                "asset_id": _id_of(fact.key),
                "upstream_id": _id_of(key),
                "how": how[:16],
                "told_us": fact.at_us,
                "run_id": fact.run_id,
                "flow_run_id": fact.flow_run_id,
            }
            pair = row["asset_id"], row["upstream_id"]
            if pair not in newest or _told(newest[pair]) < _told(row):
                newest[pair] = row
    c = asset_edges.c
    there = _there(connection, asset_edges, (c.asset_id, c.upstream_id), list(newest))
    rows = [row for pair, row in newest.items() if pair not in there or _told(there[pair]) < _told(row)]
    dialect_of(connection).upsert(connection, asset_edges, rows)


def _told(row: Row) -> tuple[Any, ...]:
    return row["told_us"], row["run_id"], row["how"]


def _fold_assets(connection: Connection, facts: Iterable[AssetMaterialized]) -> None:
    found: dict[bytes, Row] = {}
    for fact in facts:
        for row in (_asset(fact.key, fact), *(_asset(key, fact, is_upstream=True) for key, _ in fact.upstream)):
            before = found.get(row["id"])
            found[row["id"]] = row if before is None else _both(before, row)
    before_all: dict[bytes, Row] = {}
    for chunk in in_chunks(list(found)):
        query = select(assets).where(assets.c.workspace_id == WORKSPACE, assets.c.id.in_(chunk))
        before_all |= {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    rows = []
    for asset_id, row in found.items():
        before = before_all.get(asset_id)
        now = row if before is None else _both(before, row)
        if now != before:
            rows.append(now)
    dialect_of(connection).upsert(connection, assets, rows)


def _asset(key: str, fact: AssetMaterialized, *, is_upstream: bool = False) -> Row:
    properties = None if is_upstream else fact.properties
    return {
        "workspace_id": WORKSPACE,
        "id": _id_of(key),
        "key": key.translate(_NUL),
        "properties": _json({} if properties is None else _mapping(properties)).decode(),
        "described_us": None if properties is None else fact.at_us,
        "created_us": fact.at_us,
        "completed_us": fact.at_us if fact.outcome == COMPLETED and not is_upstream else None,
    }


def _both(a: Row, b: Row) -> Row:
    described = max(a, b, key=lambda row: (row["described_us"] or -1, row["properties"]))
    return a | {
        "properties": described["properties"],
        "described_us": described["described_us"],
        "created_us": min(a["created_us"], b["created_us"]),
        "completed_us": max(a["completed_us"] or 0, b["completed_us"] or 0) or None,
    }


def _id_of(key: str) -> bytes:
    return asset_id_of(key.translate(_NUL))


def _there(connection: Connection, table: Table, key: tuple[Any, ...], wanted: list[Any]) -> dict[tuple[Any, ...], Row]:
    """The rows of a table that bear some of these keys."""
    found: dict[tuple[Any, ...], Row] = {}
    for low in range(0, len(wanted), _MANY):
        query = select(table).where(table.c.workspace_id == WORKSPACE, tuple_(*key).in_(wanted[low : low + _MANY]))
        for row in connection.execute(query).mappings():
            found[tuple(row[column.name] for column in key)] = dict(row)
    return found
