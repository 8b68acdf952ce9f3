"""What an explanation rests on: a run, the chain of its causes, its history, and how the runs around it fared.

May import: core, tables, history, and the parts that queries share. Every list is bounded, however large a run's map
is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, func, select

from surefoot.core.errors import NotFound
from surefoot.core.states import CANCELLED, FINAL, HAD_COMPLETED, SKIPPED
from surefoot.core.wire import FailureGroups, FlowRun, Request, TaskRun
from surefoot.ledger.fold_writers import load_writers
from surefoot.ledger.history import Entry, unpack
from surefoot.ledger.indexes import uneven
from surefoot.ledger.queries.causes import NODE_COLUMNS, Node, chains, node_of, pids_of
from surefoot.ledger.queries.failures import failures_in, of_newest_epoch
from surefoot.ledger.queries.find import find_run
from surefoot.ledger.queries.limits import Standing, standings_of_run
from surefoot.ledger.queries.reasons import Pids
from surefoot.ledger.queries.requests import request_of
from surefoot.ledger.queries.rows import id_bytes
from surefoot.ledger.queries.states import entries_of
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs
from surefoot.ledger.unindexed import check_no_run_is_lost

__all__ = ["Evidence", "gather"]

_SHOWN: Final = 10
_READ_MAX: Final = 5000


class Evidence(NamedTuple):
    """All that is known about why a run is as it is."""

    run: FlowRun | TaskRun
    node: Node
    chain: Sequence[Node]  # its cause, that one's cause, down to the root
    states: Sequence[Entry]
    traceback: str | None
    pids: Pids
    host: str | None  # where its process ran
    failures: FailureGroups = FailureGroups()  # of a flow run: what failed in it
    blocked: Sequence[Node] = ()  # task runs that did not run because of it
    unstarted: int = 0  # task runs of a flow run that were cancelled
    active: Sequence[Node] = ()  # task runs of a flow run that run or wait for a retry
    recovered: Sequence[Node] = ()  # task runs of a flow run that completed after retries
    longest: tuple[Node, int] | None = (
        None  # the task run of a flow run that ran longest, and how long, in microseconds
    )

    asked: Request | None = None  # what was asked of it, or of the flow run around it
    skipped: int = 0  # task runs of a flow run
    taken_over: int | None = None  # task runs of a flow run that had completed in an earlier epoch; None in the first

    waits: Sequence[Standing] = ()  # for slots of limits, now
    active_waits: Mapping[bytes, Sequence[Standing]] = {}  # the same of those of its runs that are shown as active

    @property
    def root(self) -> Node:
        """The root of the matter: the run itself if no other is to blame."""
        return self.chain[-1] if self.chain else self.node


def gather(connection: Connection, reference: str) -> Evidence:
    """The evidence on the run that goes by `reference`. Raises NotFound or Ambiguous."""
    run = find_run(connection, reference)
    runs = task_runs if isinstance(run, TaskRun) else flow_runs
    run_id = id_bytes(run.id)
    row = _row(connection, runs.name, run_id)
    node = node_of(row)
    chain = chains(connection, [node])[run_id]
    history = unpack(row.history)
    writer = load_writers(connection, [node.writer_id]).get(node.writer_id)
    told = Evidence(
        run,
        node,
        chain,
        entries_of(connection, history),
        _traceback(connection, chain, history),
        pids_of(connection, [node, *chain]),
        writer["host"] if writer else None,
        asked=_asked(connection, run),
        waits=() if node.state_type in FINAL else standings_of_run(connection, run_id),
    )
    if isinstance(run, TaskRun):
        if run.flow_run_id is None or node.state_type not in FINAL:
            return told
        find = _skipped if node.state_name == SKIPPED else _not_ready
        return told._replace(blocked=_blocked_by(find(connection, id_bytes(run.flow_run_id)), run_id))
    active = _nodes(
        connection, run_id, task_runs.c.state_type.in_(["RUNNING", "SCHEDULED", "PAUSED"]), uneven(task_runs)
    )
    return told._replace(
        failures=failures_in(connection, run_id),
        blocked=_not_ready(connection, run_id),
        unstarted=_count(connection, run_id, "CANCELLED"),
        skipped=_named(connection, run_id, SKIPPED, run.epoch),
        active=active,
        active_waits={node.id: standings_of_run(connection, node.id) for node in active[:_SHOWN]},
        recovered=_nodes(connection, run_id, task_runs.c.state_type == "COMPLETED", task_runs.c.run_count > 1),
        longest=_longest(connection, run_id),
        taken_over=_named(connection, run_id, "Cached", run.epoch) if run.epoch else None,
    )


def _asked(connection: Connection, run: FlowRun | TaskRun) -> Request | None:
    """What was asked of a run; of one that was cancelled with others, what was asked of the flow run around it."""
    own = request_of(connection, id_bytes(run.id))
    outer = run.flow_run_id if isinstance(run, TaskRun) else run.parent_flow_run_id
    if own is not None or outer is None or run.state_type is not CANCELLED:
        return own
    return request_of(connection, id_bytes(outer))


def _row(connection: Connection, kind: str, run_id: bytes) -> Row[*tuple[Any, ...]]:
    runs = task_runs if kind == task_runs.name else flow_runs
    query = select(*NODE_COLUMNS[kind], runs.c.history).where(runs.c.workspace_id == WORKSPACE, runs.c.id == run_id)
    row: Row[*tuple[Any, ...]] | None = connection.execute(query).first()
    if row is None:
        check_no_run_is_lost(connection, run_id, runs)
        raise NotFound(f"The run {run_id.hex()} was deleted a moment ago.")
    return row


def _traceback(connection: Connection, chain: Sequence[Node], history: Sequence[Entry]) -> str | None:
    """The traceback of the root, else the run's own."""
    if chain:
        root = chain[-1]
        kind = task_runs.name if root.is_task else flow_runs.name
        found = unpack(_row(connection, kind, root.id).history)[-1].traceback
        if found is not None:
            return found
    return history[-1].traceback


def _in_flow_run(flow_run_id: bytes) -> tuple[ColumnElement[bool], ...]:
    c = task_runs.c
    return c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id, of_newest_epoch(flow_run_id)


def _nodes(
    connection: Connection, flow_run_id: bytes, *conditions: ColumnElement[bool], limit: int = _SHOWN + 1
) -> list[Node]:
    query = select(*NODE_COLUMNS[task_runs.name]).where(*_in_flow_run(flow_run_id), *conditions)
    return [node_of(row) for row in connection.execute(query.order_by(task_runs.c.id).limit(limit))]


def _not_ready(connection: Connection, flow_run_id: bytes) -> list[Node]:
    c = task_runs.c
    return _nodes(
        connection,
        flow_run_id,
        c.state_type == "FAILED",
        uneven(task_runs),
        c.state_name == "NotReady",
        limit=_READ_MAX,
    )


def _skipped(connection: Connection, flow_run_id: bytes) -> list[Node]:
    c = task_runs.c
    is_because_of_others = c.cause_id.is_not(None)
    return _nodes(connection, flow_run_id, c.state_name == SKIPPED, is_because_of_others, limit=_READ_MAX)


def _blocked_by(not_ready: Sequence[Node], run_id: bytes) -> list[Node]:
    """Those that did not run because of one run, or because of others that did not run because of it."""
    stopped = {run_id}
    found: list[Node] = []
    rest = list(not_ready)
    while True:
        new = [node for node in rest if node.cause_id in stopped]
        if not new:
            return found
        found += new
        stopped |= {node.id for node in new}
        rest = [node for node in rest if node.id not in stopped]


def _count(connection: Connection, flow_run_id: bytes, state_type: str) -> int:
    query = select(func.count()).where(
        *_in_flow_run(flow_run_id), task_runs.c.state_type == state_type, uneven(task_runs)
    )
    return connection.execute(query).scalar_one()


def _named(connection: Connection, flow_run_id: bytes, state_name: str, epoch: int) -> int:
    c = task_runs.c
    query = select(func.count()).where(*_in_flow_run(flow_run_id), c.state_name == state_name, c.epoch == epoch)
    if state_name == "Cached":  # of its own earlier epochs, not from the cache
        query = query.where(c.message.startswith(HAD_COMPLETED))
    return connection.execute(query).scalar_one()


def _longest(connection: Connection, flow_run_id: bytes) -> tuple[Node, int] | None:
    c = task_runs.c
    query = select(*NODE_COLUMNS[task_runs.name], c.ran_us).where(*_in_flow_run(flow_run_id))
    row = connection.execute(query.order_by(c.ran_us.desc(), c.id).limit(1)).first()
    return None if row is None else (node_of(row), row.ran_us)
