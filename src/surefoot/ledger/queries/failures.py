"""What failed in a flow run, by what went wrong: each kind of failure once, with its count and a few runs to look at.

The work has a limit, however large a map is. May import: core, tables, alike.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, select

from surefoot.core.ids import to_text
from surefoot.core.wire import FailedRun, FailureGroup, FailureGroups
from surefoot.ledger.fold_runs import in_chunks
from surefoot.ledger.indexes import uneven
from surefoot.ledger.queries.alike import Alike, Words, words_of
from surefoot.ledger.queries.rows import id_bytes
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs

__all__ = ["failures_in", "list_failures", "of_newest_epoch"]

_READ_MAX: Final = 200_000  # failed task runs that are looked at
_APART_MAX: Final = 5_000  # kinds of failure that are told apart while reading
_GROUPS_MAX: Final = 100
_EXAMPLES: Final = 3

_Key = tuple[str, str, Words]


class _Group:
    """Failures alike, as far as they were read."""

    __slots__ = ("alike", "count", "first")

    def __init__(self, alike: Alike) -> None:
        self.alike = alike
        self.count = 0
        self.first: list[Row[*tuple[Any, ...]]] = []


def list_failures(connection: Connection, flow_run_id: str) -> FailureGroups:
    """What failed in the flow run of that id."""
    return failures_in(connection, id_bytes(flow_run_id))


def failures_in(connection: Connection, flow_run_id: bytes) -> FailureGroups:
    """What failed in a flow run. Task runs that did not run because of others are no failures of their own."""
    c = task_runs.c
    of_run = c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id, of_newest_epoch(flow_run_id)
    failed = *of_run, uneven(task_runs), c.state_type.in_(["FAILED", "CRASHED"]), c.state_name != "NotReady"
    query = select(c.id, c.name, c.task_name, c.state_name, c.message, c.call_index, c.map_id).where(*failed)
    found: dict[_Key, _Group] = {}
    read = rest = 0
    for row in connection.execute(query.order_by(c.id).limit(_READ_MAX).execution_options(yield_per=2000)):
        read += 1
        words, values = words_of(row.message or row.state_name)
        key = row.task_name, row.state_name, words
        group = found.get(key)
        if group is None:
            if len(found) == _APART_MAX:
                rest += 1
                continue
            group = found[key] = _Group(Alike(words, values))
        group.count += 1
        group.alike.add(values)
        if len(group.first) < _EXAMPLES:
            group.first.append(row)
    if read == _READ_MAX:
        rest += connection.execute(select(func.count()).where(*failed)).scalar_one() - read
    largest = sorted(found.items(), key=lambda each: -each[1].count)
    shown = largest[:_GROUPS_MAX]
    rest += sum(group.count for _, group in largest[_GROUPS_MAX:])
    maps = {row.map_id for _, group in shown for row in group.first if row.map_id is not None}
    starts = _starts(connection, of_run, maps)
    return FailureGroups(
        groups=[
            FailureGroup(
                task_name=task_name,
                state_name=state_name,
                message=group.alike.text,
                count=group.count,
                examples=[_example(row, starts) for row in group.first],
            )
            for (task_name, state_name, _), group in shown
        ],
        rest=rest,
    )


def of_newest_epoch(flow_run_id: bytes) -> ColumnElement[bool]:
    """The task runs of a flow run that it came to when it was started last: others tell nothing of its end."""
    c = flow_runs.c
    newest = select(c.epoch).where(c.workspace_id == WORKSPACE, c.id == flow_run_id).scalar_subquery()
    return task_runs.c.epoch >= newest


def _starts(
    connection: Connection, of_run: tuple[ColumnElement[bool], ...], maps: Collection[bytes]
) -> dict[bytes, int]:
    """How-manieth call of its task the first run of each of these maps was."""
    c = task_runs.c
    starts: dict[bytes, int] = {}
    for chunk in in_chunks(sorted(maps)):
        query = (
            select(c.map_id, func.min(c.call_index).label("start"))
            .where(*of_run, c.map_id.in_(chunk))
            .group_by(c.map_id)
        )
        starts |= {row.map_id: row.start for row in connection.execute(query)}
    return starts


def _example(row: Row[*tuple[Any, ...]], starts: dict[bytes, int]) -> FailedRun:
    item = None if row.map_id is None else row.call_index - starts[row.map_id]
    return FailedRun(id=to_text(row.id), name=row.name, item=item)
