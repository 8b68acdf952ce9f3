"""Folding lines of logs, so that those of one writer keep the order in which it wrote them, whatever its clock did.

A line's `order_us` is the greatest instant of all lines up to it in its writer's journal: the same whichever batch
comes first. May import: core, tables, dialects, batches, fold_runs.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, select, tuple_, update

from surefoot.core.facts import LogsCut, LogWritten
from surefoot.ledger.batches import Batch
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.fold_runs import deleted_among
from surefoot.ledger.tables import WORKSPACE, logs

__all__ = ["fold_lines"]

_WARNING: Final = 30  # as in `logging`


def fold_lines(connection: Connection, batch: Batch, lines: list[tuple[int, LogWritten | LogsCut]]) -> None:
    """Fold the lines of one batch, each with its offset."""
    order_us = _order_before(connection, batch, lines[0][0])
    deleted = deleted_among(
        connection, (run_id for _, line in lines for run_id in _runs_of(line) if run_id is not None)
    )
    rows: list[dict[str, Any]] = []
    for offset, line in lines:
        order_us = max(order_us, line.at_us)
        if deleted and not deleted.isdisjoint(_runs_of(line)):
            continue
        row = {
            "workspace_id": WORKSPACE,
            "writer_id": batch.writer_id,
            "segment": batch.segment,
            "offset": offset,
            "at_us": line.at_us,
            "order_us": order_us,
            "flow_run_id": line.flow_run_id,
            "task_run_id": None,
        }
        if isinstance(line, LogWritten):
            row |= {"level": line.level, "logger": line.logger, "message": line.message, "cut": line.cut}
            row["task_run_id"] = line.task_run_id
        else:
            message = f"{line.count} lines are missing here: the disk budget for logs was full"
            row |= {"level": _WARNING, "logger": "surefoot", "message": message, "cut": 0}
        rows.append(row)
    dialect_of(connection).insert_missing(connection, logs, rows)
    _lift_after(connection, batch, lines[-1][0], order_us)


def _runs_of(line: LogWritten | LogsCut) -> tuple[bytes | None, ...]:
    return (line.flow_run_id, line.task_run_id) if isinstance(line, LogWritten) else (line.flow_run_id,)


def _order_before(connection: Connection, batch: Batch, offset: int) -> int:
    query = (
        select(logs.c.order_us)
        .where(logs.c.workspace_id == WORKSPACE, logs.c.writer_id == batch.writer_id)
        .where(tuple_(logs.c.segment, logs.c.offset) < tuple_(batch.segment, offset))
        .order_by(logs.c.segment.desc(), logs.c.offset.desc())
        .limit(1)
    )
    return connection.execute(query).scalar() or 0


def _lift_after(connection: Connection, batch: Batch, offset: int, order_us: int) -> None:
    """Lines that came before those that precede them: rare, since a journal is read from its start."""
    connection.execute(
        update(logs)
        .where(logs.c.workspace_id == WORKSPACE, logs.c.writer_id == batch.writer_id)
        .where(tuple_(logs.c.segment, logs.c.offset) > tuple_(batch.segment, offset), logs.c.order_us < order_us)
        .values(order_us=order_us)
    )
