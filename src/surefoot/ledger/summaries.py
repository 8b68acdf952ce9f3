"""Summaries: what stays of runs that retention deleted, a row for each flow, day and state. Keeps part of promise 8.

May import: core, tables, dialects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select

from surefoot.core.states import NAMES, StateType
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, summaries

__all__ = ["NO_FLOW", "add_to_summaries", "summed_runs"]

NO_FLOW: Final = bytes(16)
_DAY_US: Final = 86_400_000_000

Key = tuple[bytes, int, str]  # flow, day, name of the state


def add_to_summaries(connection: Connection, rows: Sequence[Any], flows: Sequence[bytes], *, is_task: bool) -> None:
    """Count the rows of runs that are about to be deleted, each under the flow at the same place in `flows`.

    A row needs `created_us`, `state_type`, `state_name` and `ran_us`.
    """
    runs: Counter[Key] = Counter()
    ran_us: Counter[Key] = Counter()
    for row, flow_id in zip(rows, flows, strict=True):
        key = flow_id, row.created_us // _DAY_US, _known(row.state_type, row.state_name)
        runs[key] += 1
        ran_us[key] += row.ran_us
    c = summaries.c
    days = {day for _, day, _ in runs}
    query = select(summaries).where(
        c.workspace_id == WORKSPACE, c.flow_id.in_(set(flows)), c.day.in_(days), c.is_task == int(is_task)
    )
    for old in connection.execute(query.with_for_update()):
        key = old.flow_id, old.day, old.state_name
        if key in runs:
            runs[key] += old.runs
            ran_us[key] += old.ran_us
    told = [
        {
            "workspace_id": WORKSPACE,
            "flow_id": flow_id,
            "day": day,
            "is_task": int(is_task),
            "state_name": name,
            "runs": count,
            "ran_us": ran_us[flow_id, day, name],
        }
        for (flow_id, day, name), count in runs.items()
    ]
    dialect_of(connection).upsert(connection, summaries, told)


def _known(state_type: str, name: str) -> str:
    names = NAMES[StateType(state_type)]
    return name if name in names else names[0]


def summed_runs(connection: Connection, flow_ids: Collection[bytes]) -> dict[bytes, int]:
    """How many flow runs of each of these flows were deleted because of their age."""
    c = summaries.c
    query = (
        select(c.flow_id, func.sum(c.runs))
        .where(c.workspace_id == WORKSPACE, c.flow_id.in_(flow_ids), c.is_task == 0)
        .group_by(c.flow_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}
