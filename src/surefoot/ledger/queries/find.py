"""Finding a run by what a person types: its id, its name, or a prefix of its id.

May import: core, tables, lists of runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, NoReturn, TypeVar

from sqlalchemy import Connection, Table, select

from surefoot.core.errors import Ambiguous, NotFound
from surefoot.core.ids import to_text
from surefoot.core.wire import FlowRun, TaskRun
from surefoot.ledger.queries.flow_runs import whole_flow_run
from surefoot.ledger.queries.task_runs import whole_task_run
from surefoot.ledger.tables import WORKSPACE, flow_runs, task_runs
from surefoot.ledger.unindexed import check_not_lost

__all__ = ["digits_of", "find_flow_run", "find_run", "find_task_run", "flow_run_id_of", "range_of"]

_PREFIX: Final = re.compile(r"[0-9a-f]{4,32}")
_SHOWN: Final = 5
_RECENT: Final = 500  # names among which the nearest is looked for

R = TypeVar("R", FlowRun, TaskRun)


def flow_run_id_of(connection: Connection, reference: str) -> bytes:
    """The id of the flow run that goes by `reference`, as in `find_flow_run`."""
    return bytes.fromhex(find_flow_run(connection, reference).id.replace("-", ""))


def find_flow_run(connection: Connection, reference: str) -> FlowRun:
    """The flow run that goes by an id, a name (of several the newest), or a prefix of an id, in this order.

    Raises NotFound, which names the nearest, or Ambiguous for a prefix of several ids.
    """
    return _found(connection, flow_runs, reference, whole_flow_run) or _nowhere(
        connection, reference, "flow run", flow_runs
    )


def find_task_run(connection: Connection, reference: str) -> TaskRun:
    """The task run that goes by `reference`, as in `find_flow_run`."""
    return _found(connection, task_runs, reference, whole_task_run) or _nowhere(
        connection, reference, "task run", task_runs
    )


def find_run(connection: Connection, reference: str) -> FlowRun | TaskRun:
    """The flow run that goes by `reference`, or else the task run."""
    return (
        _found(connection, flow_runs, reference, whole_flow_run)
        or _found(connection, task_runs, reference, whole_task_run)
        or _nowhere(connection, reference, "run", flow_runs, task_runs)
    )


def _found(
    connection: Connection, runs: Table, reference: str, read: Callable[[Connection, bytes], R | None]
) -> R | None:
    reference = reference.strip()
    digits = digits_of(reference)
    if digits is not None and len(digits) == 32:
        run = read(connection, bytes.fromhex(digits))
        if run is not None:
            return run
    c = runs.c
    named = select(c.id).where(c.workspace_id == WORKSPACE, c.name == reference).order_by(c.id.desc()).limit(1)
    run_id = connection.execute(named).scalar()
    if run_id is None and digits is not None:
        run_id = _by_prefix(connection, runs, reference, digits)
    return None if run_id is None else read(connection, run_id)


def _by_prefix(connection: Connection, runs: Table, reference: str, digits: str) -> bytes | None:
    c = runs.c
    low, high = range_of(digits)
    query = select(c.id, c.name).where(c.workspace_id == WORKSPACE, c.id.between(low, high)).order_by(c.id.desc())
    rows = connection.execute(query.limit(_SHOWN + 1)).all()
    if len(rows) > 1:
        shown = [f"{to_text(row.id)} ({row.name})" for row in rows[:_SHOWN]]
        more = ", and more" if len(rows) > _SHOWN else ""
        raise Ambiguous(
            f"The ids of several runs begin with {reference!r}: {', '.join(shown)}{more}.",
            do="Use more of the id, or a name.",
        )
    return rows[0].id if rows else None


def digits_of(reference: str) -> str | None:
    """The digits of an id, or of the beginning of one; None if it is neither."""
    digits = reference.replace("-", "").lower()
    return digits if _PREFIX.fullmatch(digits) is not None else None


def range_of(digits: str) -> tuple[bytes, bytes]:
    """The least and the greatest id that begin so."""
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def _check_not_lost(connection: Connection, reference: str, tables: tuple[Table, ...]) -> None:
    digits = digits_of(reference)
    by_id = [] if digits is None else [("id", *range_of(digits))]
    check_not_lost(connection, tables, [("name", reference, reference), *by_id])


def _nowhere(connection: Connection, reference: str, noun: str, *tables: Table) -> NoReturn:
    _check_not_lost(connection, reference.strip(), tables)
    names: dict[str, None] = {}
    for runs in tables:
        query = select(runs.c.name).where(runs.c.workspace_id == WORKSPACE).order_by(runs.c.id.desc()).limit(_RECENT)
        names |= dict.fromkeys(connection.execute(query).scalars())
    near = get_close_matches(reference, names, n=3)
    noun_of_list = "task-run" if noun == "task run" else "flow-run"
    raise NotFound(
        f"No {noun} goes by {reference!r}." + (f" Near to it: {', '.join(near)}." if near else ""),
        do=f"See those that there are: surefoot {noun_of_list} ls",
    )
