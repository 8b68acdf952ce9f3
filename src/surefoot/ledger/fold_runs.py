"""Folding what happened to runs: a run's history is read, merged with the news, and its row told anew from all of it.

May import: core, tables, dialects, history, fold_writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Table, Text, Update, bindparam, delete, func, select, update

from surefoot.core.facts import FlowRunCreated, TaskRunCreated
from surefoot.core.states import PAUSED
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_writers import WriterRow, end_of, load_writers
from surefoot.ledger.history import Entry, merge, pack, settle, unpack
from surefoot.ledger.indexes import is_unended
from surefoot.ledger.tables import WORKSPACE, early_states, flow_runs, flows, tombstones

__all__ = ["RunNews", "deleted_among", "flow_id_of", "fold_runs", "in_chunks", "settle_runs_of", "short"]

_MANY: Final = 1000  # ids in one query
_NAME_MAX: Final = 500
_NUL: Final = {0: "␀"}  # within JSON PostgreSQL can read NUL not even as an escape

_json = msgspec.json.Encoder().encode


class RunNews:
    """What a piece of the journal tells of one run."""

    __slots__ = ("created", "entries")

    def __init__(self) -> None:
        self.created: FlowRunCreated | TaskRunCreated | None = None
        self.entries: list[Entry] = []

    def create(self, fact: FlowRunCreated | TaskRunCreated) -> None:
        """The run's creation. Of several epochs the oldest tells what the run is."""
        if self.created is None or fact.epoch < self.created.epoch:
            self.created = fact


def fold_runs(connection: Connection, table: Table, news: dict[bytes, RunNews], writers: dict[bytes, WriterRow]) -> int:
    """Fold the news of runs of `table`. Returns how many transitions are newly known to be illegal."""
    _drop_deleted(connection, news)
    rows = _load_rows(connection, table, news)
    early = _load_early(connection, [run_id for run_id in news if run_id not in rows])
    histories = {}
    for run_id, told in news.items():
        row = rows.get(run_id)
        kept = row.history if row is not None else early.get(run_id)
        histories[run_id] = merge(unpack(kept) if kept else (), told.entries)
    _load_owners(connection, histories.values(), writers)

    new: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    standing, waiting = [], []
    illegal = 0
    for run_id, told in news.items():
        row, history, created = rows.get(run_id), histories[run_id], told.created
        packed = pack(history)
        if row is None and created is None:
            waiting.append({"workspace_id": WORKSPACE, "run_id": run_id, "history": packed})
            continue
        now = _standing(history, packed, writers)
        illegal += max(0, now["illegal"] - (0 if row is None else row.illegal))
        if created is not None and (row is None or created.epoch < row.created_epoch):
            name = short(now.pop("run_name") or created.name)
            (new if row is None else whole).append({"name": name} | _creation(created) | now)
        elif row is not None and packed != row.history:
            standing.append(_change(run_id, now))
    dialect_of(connection).insert_new(connection, table, new)
    _write(connection, table, whole, standing, waiting)
    _delete_early(connection, [run_id for run_id in early if news[run_id].created is not None])
    if table is flow_runs:
        _fold_flows(connection, news.values())
    return illegal


def settle_runs_of(connection: Connection, table: Table, writer: WriterRow, limit: int | None = None) -> int:
    """Bring the open runs of a writer that has ended to the end that it left them to. Returns how many are ended so.

    With a `limit`, so many at most, of those that stand as if it lived.
    """
    c = table.c
    query = select(c.id, c.history).where(c.workspace_id == WORKSPACE, c.writer_id == writer["id"], is_unended(table))
    if limit is not None:
        query = query.where(c.end_us.is_(None), c.state_type != PAUSED.value).limit(limit)
    ended = 0
    for chunk in in_chunks(connection.execute(query).all()):
        standing = []
        for row in chunk:
            now = _standing(unpack(row.history), row.history, {writer["id"]: writer})
            standing.append(_change(row.id, now))
            ended += now["end_us"] is not None
        _write(connection, table, [], standing, [])
    return ended


def _standing(history: Sequence[Entry], packed: bytes, writers: dict[bytes, WriterRow]) -> dict[str, Any]:
    now = settle(history, end_of(writers.get(history[-1].writer_id)))
    now["history"] = packed
    now["state_name"] = short(now["state_name"])
    return now


def _change(run_id: bytes, now: dict[str, Any]) -> dict[str, Any]:
    if now["run_name"] is not None:
        now["run_name"] = short(now["run_name"])
    return now | {"workspace": WORKSPACE, "run_id": run_id}


def short(name: str) -> str:
    """A name as it can stand in an index, whose rows have 2,704 bytes at most on PostgreSQL. Cut, it stays unique."""
    if len(name) <= _NAME_MAX:
        return name
    return f"{name[: _NAME_MAX - 9]}…{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _drop_deleted(connection: Connection, news: dict[bytes, RunNews]) -> None:
    """Forget what concerns a run that was deleted, or that a flow run called which was."""
    called_by = {run_id: _caller(told.created) for run_id, told in news.items() if told.created is not None}
    deleted = deleted_among(connection, {*news, *filter(None, called_by.values())})
    if deleted:
        for run_id in list(news):
            if run_id in deleted or called_by.get(run_id) in deleted:
                del news[run_id]


def _caller(created: FlowRunCreated | TaskRunCreated) -> bytes | None:
    return created.flow_run_id if isinstance(created, TaskRunCreated) else created.parent_flow_run_id


def deleted_among(connection: Connection, ids: Iterable[bytes]) -> set[bytes]:
    """Those of some runs that somebody deleted."""
    c = tombstones.c
    if connection.execute(select(c.run_id).where(c.workspace_id == WORKSPACE).limit(1)).first() is None:
        return set()
    found: set[bytes] = set()
    among = dialect_of(connection).among
    for chunk in in_chunks(list(set(ids))):
        query = select(c.run_id).where(c.workspace_id == WORKSPACE, among(c.run_id, chunk))
        found.update(connection.execute(query).scalars())
    return found


def _load_rows(connection: Connection, table: Table, ids: Iterable[bytes]) -> dict[bytes, Row[*tuple[Any, ...]]]:
    c = table.c
    found: dict[bytes, Row[*tuple[Any, ...]]] = {}
    among = dialect_of(connection).among
    wanted = select(c.id, c.history, c.created_epoch, c.illegal)
    for chunk in in_chunks(list(ids)):
        query = wanted.where(c.workspace_id == WORKSPACE, among(c.id, chunk))
        found |= {row.id: row for row in connection.execute(query)}
    return found


def _load_early(connection: Connection, ids: list[bytes]) -> dict[bytes, bytes]:
    c = early_states.c
    found: dict[bytes, bytes] = {}
    if connection.execute(select(c.run_id).where(c.workspace_id == WORKSPACE).limit(1)).first() is None:
        return found
    among = dialect_of(connection).among
    for chunk in in_chunks(ids):
        query = select(c.run_id, c.history).where(c.workspace_id == WORKSPACE, among(c.run_id, chunk))
        found |= {row.run_id: row.history for row in connection.execute(query)}
    return found


def _load_owners(connection: Connection, histories: Iterable[list[Entry]], writers: dict[bytes, WriterRow]) -> None:
    """The writers of these runs that the piece itself is not from: one may be known to have ended."""
    owners = {history[-1].writer_id for history in histories} - writers.keys()
    if owners:
        writers |= load_writers(connection, owners)


def _write(
    connection: Connection,
    table: Table,
    whole: list[dict[str, Any]],
    standing: list[dict[str, Any]],
    waiting: list[dict[str, Any]],
) -> None:
    dialect = dialect_of(connection)
    dialect.upsert(connection, table, whole)
    dialect.write_many(connection, _update(table), standing)
    dialect.upsert(connection, early_states, waiting)


_STANDING: Final = (
    "writer_id epoch n state_type state_name state_us message cause_id until_us run_count expected_us start_us end_us "
    "ran_us result unkept unended illegal history"
).split()


@cache
def _update(table: Table) -> Update:
    values: dict[str, Any] = {name: bindparam(name) for name in _STANDING}
    values["name"] = func.coalesce(bindparam("run_name", type_=Text()), table.c.name)
    key = table.c.workspace_id == bindparam("workspace"), table.c.id == bindparam("run_id")
    return update(table).where(*key).values(values)


def _delete_early(connection: Connection, ids: list[bytes]) -> None:
    c = early_states.c
    for chunk in in_chunks(ids):
        connection.execute(delete(early_states).where(c.workspace_id == WORKSPACE, c.run_id.in_(chunk)))


def _creation(fact: FlowRunCreated | TaskRunCreated) -> dict[str, Any]:
    """The columns that a run's creation tells, but for its name."""
    shared = {
        "workspace_id": WORKSPACE,
        "id": fact.run_id,
        "parent_task_run_id": fact.parent_task_run_id,
        "tags": _json(sorted(tag.translate(_NUL) for tag in fact.tags)).decode() if fact.tags else "[]",
        "inputs": _json({name: [run.hex() for run in runs] for name, runs in fact.inputs}).decode()
        if fact.inputs
        else "{}",
        "retries": fact.retries,
        "created_us": fact.at_us,
        "created_epoch": fact.epoch,
        "key": fact.key,
    }
    if type(fact) is TaskRunCreated:
        return shared | {
            "flow_run_id": fact.flow_run_id,
            "task_key": fact.task_key,
            "task_name": fact.task_name,
            "task_version": fact.task_version,
            "call_index": fact.index,
            "map_id": fact.map_id,
            "unkeyed": fact.unkeyed,
        }
    assert type(fact) is FlowRunCreated
    return shared | {
        "flow_id": flow_id_of(fact.flow_name),
        "flow_name": short(fact.flow_name),
        "flow_version": fact.flow_version,
        "parameters": fact.parameters.decode(errors="replace"),
        "parent_flow_run_id": fact.parent_flow_run_id,
        "start": None if fact.start is None else _json(msgspec.structs.asdict(fact.start)).decode(),
        "parameters_at": None if fact.parameters_at is None else pack(fact.parameters_at),
        "unkept_parameters": _json(dict(fact.unkept)).decode() if fact.unkept else None,
    }


def flow_id_of(name: str) -> bytes:
    """A flow's id: derived from its name, so that whoever hears of it first gives it the same one (UUIDv8)."""
    raw = bytearray(blake2b(b"%d/%b" % (WORKSPACE, name.encode()), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def _fold_flows(connection: Connection, news: Iterable[RunNews]) -> None:
    found: dict[bytes, dict[str, Any]] = {}
    for told in news:
        fact = told.created
        if type(fact) is FlowRunCreated:
            row: dict[str, Any] = {
                "workspace_id": WORKSPACE,
                "id": flow_id_of(fact.flow_name),
                "name": short(fact.flow_name),
                "created_us": fact.at_us,
                "updated_us": fact.at_us,
                "newest_run_id": fact.run_id,
                "description": fact.description,
            }
            found[row["id"]] = _newer(found[row["id"]], row) if row["id"] in found else row
    for chunk in in_chunks(list(found)):
        query = select(flows).where(flows.c.workspace_id == WORKSPACE, flows.c.id.in_(chunk))
        for old in connection.execute(query).mappings():
            found[old["id"]] = _newer(dict(old), found[old["id"]])
    dialect_of(connection).upsert(connection, flows, list(found.values()))


def _newer(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    newest = max(a, b, key=lambda row: row["newest_run_id"])
    return newest | {
        "created_us": min(a["created_us"], b["created_us"]),
        "updated_us": max(a["updated_us"], b["updated_us"]),
    }


def in_chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`items`, in pieces that fit into one query."""
    for low in range(0, len(items), _MANY):
        yield items[low : low + _MANY]
