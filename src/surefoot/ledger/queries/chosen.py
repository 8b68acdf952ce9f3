"""Chosen runs: which runs of a flow run are to be called again, since a task of it was named.

May import: core, tables.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy import Connection, select

from surefoot.core.errors import NotFound
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs

__all__ = ["above", "asked_again"]

_SHOWN: Final = 10
_PREFIX_MIN: Final = 8  # hex digits of an id


def asked_again(connection: Connection, flow_run_id: bytes, run_name: str, name: str) -> dict[bytes, str]:
    """The runs below a flow run that are to be called again, each with the reason: those of the task that is named,
    those that they were called within, and those that were called within them.

    Raises NotFound, with the nearest name, if no run there is of a task `name`, nor goes by that name or id.
    """
    parents: dict[bytes, bytes] = {}  # the run that each was called within
    tasks: list[Any] = []
    left = [flow_run_id]
    while left:
        flow = left.pop()
        c, f = task_runs.c, flow_runs.c
        query = select(c.id, c.name, c.task_name, c.parent_task_run_id).where(
            c.workspace_id == WORKSPACE, c.flow_run_id == flow
        )
        found = connection.execute(query).all()
        tasks += found
        parents.update((bytes(row.id), bytes(row.parent_task_run_id or flow)) for row in found)
        inner = select(f.id, f.parent_task_run_id).where(f.workspace_id == WORKSPACE, f.parent_flow_run_id == flow)
        for row in connection.execute(inner):
            left.append(bytes(row.id))
            parents[bytes(row.id)] = bytes(row.parent_task_run_id or flow)
    chosen = _named(tasks, name)
    if not chosen:
        raise _unknown(tasks, run_name, name)
    return _with_surroundings(chosen, parents, f"asked for by --from-task {name}")


def above(connection: Connection, task_run_id: bytes) -> tuple[bytes, frozenset[bytes]]:
    """The outermost flow run that a task run is part of, and the runs between the two."""
    c, f = task_runs.c, flow_runs.c
    between: list[bytes] = []
    task, flow = bytes(task_run_id), b""
    while True:
        query = select(c.parent_task_run_id, c.flow_run_id).where(c.workspace_id == WORKSPACE, c.id == task)
        row = connection.execute(query).one()
        flow = bytes(row.flow_run_id)
        if row.parent_task_run_id is not None:
            task = bytes(row.parent_task_run_id)
            between.append(task)
            continue
        while True:
            up = select(f.parent_flow_run_id, f.parent_task_run_id).where(f.workspace_id == WORKSPACE, f.id == flow)
            over = connection.execute(up).one()
            if over.parent_flow_run_id is None:
                return flow, frozenset(between)
            between.append(flow)
            flow = bytes(over.parent_flow_run_id)
            if over.parent_task_run_id is not None:
                task = bytes(over.parent_task_run_id)
                between.append(task)
                break


def _named(tasks: list[Any], name: str) -> set[bytes]:
    digits = name.replace("-", "").lower()
    ways: list[Callable[[Any], bool]] = [
        lambda row: row.task_name == name,
        lambda row: row.name == name,
        lambda row: len(digits) >= _PREFIX_MIN and bytes(row.id).hex().startswith(digits),
    ]
    for fits in ways:
        found = {bytes(row.id) for row in tasks if fits(row)}
        if found:
            return found
    return set()


def _with_surroundings(chosen: set[bytes], parents: dict[bytes, bytes], why: str) -> dict[bytes, str]:
    again: dict[bytes, str] = {}
    for run in chosen:
        around = parents.get(run)
        while around in parents and around not in again:
            again[around] = f"a task that is called within it was {why}"
            around = parents.get(around)
    inner: dict[bytes, list[bytes]] = {}
    for run, parent in parents.items():
        inner.setdefault(parent, []).append(run)
    left = list(chosen)
    while left:
        for run in inner.get(left.pop(), ()):
            again[run] = f"the task that calls it was {why}"
            left.append(run)
    return again | dict.fromkeys(chosen, why)


def _unknown(tasks: list[Any], run_name: str, name: str) -> NotFound:
    names = list(dict.fromkeys(row.task_name for row in tasks))
    near = get_close_matches(name, [*names, *(row.name for row in tasks[:500])], n=1)
    more = ", ..." if len(names) > _SHOWN else ""
    there = f"Its tasks: {', '.join(names[:_SHOWN])}{more}." if names else "It has called none."
    return NotFound(
        f"Flow run {run_name!r} has no task {name!r}, and no run of one by that name or id.",
        do=f"Did you mean {near[0]!r}? {there}" if near else there,
    )
