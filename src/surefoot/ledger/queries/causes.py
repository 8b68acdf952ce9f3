"""From a run to the root of its trouble: each state names the run because of which it was entered.

However many runs a page has, a step down costs two queries for all of them together. May import: core, tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Table, literal, select

from surefoot.core.states import FINAL, StateType
from surefoot.ledger.fold_runs import in_chunks
from surefoot.ledger.fold_writers import load_writers
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs

__all__ = ["NODE_COLUMNS", "Known", "Node", "chains", "load_nodes", "node_of", "pids_of"]

DEPTH_MAX: Final = 32  # causes of causes that are followed


class Node(NamedTuple):
    """A run, as far as telling causes needs it."""

    id: bytes
    of: str  # the name of its task or flow
    is_task: bool
    name: str
    state_type: StateType
    state_name: str
    message: str | None
    cause_id: bytes | None
    run_count: int
    retries: int
    until_us: int | None
    unended: bool
    writer_id: bytes

    @property
    def has_died(self) -> bool:
        """Whether its process ended and left it without an end."""
        return self.unended and self.state_type in FINAL


_SHARED: Final = "name state_type state_name message cause_id run_count retries until_us unended writer_id".split()


def _columns(runs: Table) -> list[ColumnElement[Any]]:
    of = runs.c.task_name if runs is task_runs else runs.c.flow_name
    return [runs.c.id, of.label("of"), literal(runs is task_runs).label("is_task"), *(runs.c[name] for name in _SHARED)]


NODE_COLUMNS: Final = {runs.name: _columns(runs) for runs in (flow_runs, task_runs)}


def node_of(row: Row[*tuple[Any, ...]]) -> Node:
    """The node of a run's row, whichever columns it was read with."""
    values = row._mapping
    is_task = "task_name" in values or bool(values.get("is_task"))
    of = values["of"] if "of" in values else values["task_name" if is_task else "flow_name"]
    return Node(
        row.id,
        of,
        is_task,
        row.name,
        StateType(row.state_type),
        row.state_name,
        row.message,
        row.cause_id,
        row.run_count,
        row.retries,
        row.until_us,
        bool(row.unended),
        row.writer_id,
    )


Known = dict[bytes, Node]


def load_nodes(connection: Connection, ids: Collection[bytes]) -> Known:
    """These runs, of either kind, those that there are."""
    known: Known = {}
    for runs in (task_runs, flow_runs):
        for chunk in in_chunks([run_id for run_id in ids if run_id not in known]):
            query = select(*NODE_COLUMNS[runs.name]).where(runs.c.workspace_id == WORKSPACE, runs.c.id.in_(chunk))
            known |= {row.id: node_of(row) for row in connection.execute(query)}
    return known


def chains(connection: Connection, nodes: Iterable[Node]) -> dict[bytes, list[Node]]:
    """For each run, the runs because of which it is as it is: its cause, that one's cause, and so on to the root."""
    nodes = list(nodes)
    known: Known = {node.id: node for node in nodes}
    pending = {node.cause_id for node in nodes if node.cause_id is not None} - known.keys()
    for _ in range(DEPTH_MAX):
        if not pending:
            break
        found = load_nodes(connection, pending)
        known |= found
        pending = {node.cause_id for node in found.values() if node.cause_id is not None} - known.keys()
    return {node.id: _chain(node, known) for node in nodes}


def _chain(node: Node, known: Known) -> list[Node]:
    chain: list[Node] = []
    seen = {node.id}
    while node.cause_id is not None and node.cause_id in known and node.cause_id not in seen:
        node = known[node.cause_id]
        seen.add(node.id)
        chain.append(node)
    return chain


def pids_of(connection: Connection, nodes: Iterable[Node]) -> dict[bytes, int]:
    """The processes of those runs that were left without an end, by writer."""
    dead = {node.writer_id for node in nodes if node.has_died}
    rows = load_writers(connection, dead) if dead else {}
    return {writer_id: row["pid"] for writer_id, row in rows.items() if row["pid"] is not None}
