"""Rows of the ledger as records of the wire: ids as text, instants as `datetime`, durations as seconds.

May import: core, tables, history.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Row, Table

from surefoot.core.errors import BadInput
from surefoot.core.ids import state_id, to_text
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRun, Request, State, TaskInput, TaskRun
from surefoot.ledger.history import Entry
from surefoot.ledger.tables import flow_runs, task_runs

__all__ = [
    "FLOW_RUN_COLUMNS",
    "TASK_RUN_COLUMNS",
    "flow_run_of",
    "id_bytes",
    "ids_bytes",
    "instant",
    "micros",
    "state_of",
    "task_run_of",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


_NOT_SHOWN: Final = frozenset({"workspace_id", "history", "created_epoch", "key", "result", "parameters_at"})


def _columns(runs: Table) -> list[ColumnElement[Any]]:
    return [column for column in runs.columns if column.name not in _NOT_SHOWN]


FLOW_RUN_COLUMNS: Final = _columns(flow_runs)
TASK_RUN_COLUMNS: Final = _columns(task_runs)


def instant(us: int) -> datetime:
    """Microseconds since 1970 as a `datetime` in UTC, exactly.

    >>> instant(1_700_000_000_000_001).isoformat()
    '2023-11-14T22:13:20.000001+00:00'
    """
    if type(us) is not int:  # SQLite keeps any type of value in any column, and a bit tells which it is
        raise ValueError(f"{us!r} is no instant")
    return _EPOCH + timedelta(microseconds=us)


def _maybe(us: int | None) -> datetime | None:
    return None if us is None else instant(us)


def micros(when: datetime) -> int:
    """A `datetime` as microseconds since 1970; one without a time zone is taken as local.

    >>> micros(instant(1_700_000_000_000_001))
    1700000000000001
    """
    return (when.astimezone(UTC) - _EPOCH) // _MICROSECOND


def id_bytes(text: str) -> bytes:
    """An id from its text. Raises BadInput if it is none.

    >>> id_bytes("0191d9a0-0000-7000-8000-000000000000").hex()
    '0191d9a0000070008000000000000000'
    """
    try:
        return UUID(text).bytes
    except ValueError:
        raise BadInput(
            f"{text!r} is not an id.", do="Pass all 36 characters of an id, or find the run by its name."
        ) from None


def ids_bytes(texts: Collection[str]) -> list[bytes]:
    """Several ids from their texts."""
    return [id_bytes(text) for text in texts]


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else to_text(raw)


def flow_run_of(
    row: Row[*tuple[Any, ...]], reason: str | None, entry: Entry | None = None, request: Request | None = None
) -> FlowRun:
    """A flow run from its row; `entry` is the newest of its history, where the whole of its state is wanted."""
    return FlowRun(
        flow_id=to_text(row.flow_id),
        flow_name=row.flow_name,
        flow_version=row.flow_version,
        parameters=_mapping(row.parameters),
        parent_flow_run_id=_text(row.parent_flow_run_id),
        start=None if row.start is None else _mapping(row.start),
        **_shared(row, reason, entry, is_task=False),
        request=request,
    )


def task_run_of(
    row: Row[*tuple[Any, ...]], reason: str | None, entry: Entry | None = None, request: Request | None = None
) -> TaskRun:
    """A task run from its row; `entry` as in `flow_run_of`."""
    inputs: dict[str, list[str]] = _mapping(row.inputs)
    return TaskRun(
        flow_run_id=_text(row.flow_run_id),
        task_key=row.task_key,
        task_name=row.task_name,
        dynamic_key=str(row.call_index),
        task_version=row.task_version,
        task_inputs={name: [TaskInput(id=str(UUID(run))) for run in runs] for name, runs in inputs.items()},
        map_id=_text(row.map_id),
        **_shared(row, reason, entry, is_task=True),
        request=request,
    )


def _shared(row: Row[*tuple[Any, ...]], reason: str | None, entry: Entry | None, *, is_task: bool) -> dict[str, Any]:
    now = Entry(
        row.epoch,
        row.n,
        row.writer_id,
        row.state_us,
        0,
        StateType(row.state_type),
        row.state_name,
        row.message,
        cause_id=row.cause_id,
        until_us=row.until_us,
        traceback=None if entry is None or (entry.epoch, entry.n) != (row.epoch, row.n) else entry.traceback,
    )
    state = state_of(row.id, now, is_task=is_task)
    if row.unended and state.type in FINAL:
        state.state_details["presumed"] = True  # its process told of no end: it is the last instant heard of it
    return {
        "id": to_text(row.id),
        "name": row.name,
        "tags": _list(row.tags),
        "parent_task_run_id": _text(row.parent_task_run_id),
        "state_id": state.id,
        "state_type": state.type,
        "state_name": state.name,
        "state": state,
        "reason": reason,
        "epoch": row.epoch,
        "run_count": row.run_count,
        "expected_start_time": instant(row.expected_us),
        "next_scheduled_start_time": _maybe(row.until_us),
        "start_time": _maybe(row.start_us),
        "end_time": _maybe(row.end_us),
        "total_run_time": row.ran_us / 1e6,
        "created": instant(row.created_us),
        "updated": instant(max(row.state_us, row.created_us)),
        "writer_id": to_text(row.writer_id),
    }


def state_of(run_id: bytes, entry: Entry, *, is_task: bool, illegal: bool = False) -> State:
    """A state of a run's history."""
    details: dict[str, Any] = {
        "task_run_id" if is_task else "flow_run_id": to_text(run_id),
        "epoch": entry.epoch,
        "n": entry.n,
    }
    if entry.until_us is not None:
        details["scheduled_time"] = instant(entry.until_us)
    if entry.cause_id is not None:
        details["cause"] = to_text(entry.cause_id)
    if entry.traceback is not None:
        details["traceback"] = entry.traceback
    if illegal:
        details["illegal"] = True
    return State(
        id=to_text(state_id(run_id, entry.epoch, entry.n)),
        type=entry.state_type,
        name=entry.state_name,
        timestamp=instant(entry.at_us),
        message=entry.message,
        state_details=details,
    )


def _mapping(text: str) -> dict[str, Any]:
    """A JSON object; what a broken writer put in its place reads as empty, so that the run can still be looked at."""
    if text == "{}":
        return {}
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(text: str) -> list[str]:
    return [] if text == "[]" else msgspec.json.decode(text, type=list[str])
