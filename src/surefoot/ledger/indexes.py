"""By which ways rows are found: every index, and the expressions that some of them are on, for queries to use the same.

Whoever makes the tables takes `metadata` from here, so that it has the indexes. May import: tables.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Index, Table, func, literal_column

from surefoot.ledger.tables import (
    artifacts,
    asset_edges,
    asset_events,
    assets,
    flow_runs,
    flows,
    limit_places,
    limit_rates,
    logs,
    metadata,
    task_runs,
    variable_changes,
)

__all__ = ["end_order", "is_unended", "metadata", "next_order", "start_order", "uneven"]


def start_order(runs: Table) -> ColumnElement[int]:
    """What sorting by start goes by: a run that has not started stands where it is expected to."""
    return func.coalesce(runs.c.start_us, runs.c.expected_us)


def end_order(runs: Table) -> ColumnElement[int]:
    """What sorting by end goes by: a run that has not ended comes last when the newest is first."""
    return func.coalesce(runs.c.end_us, literal_column("0"))


def next_order(runs: Table) -> ColumnElement[int]:
    """What sorting by the next start goes by: a run that waits for no time comes last."""
    return func.coalesce(runs.c.until_us, literal_column("9223372036854775807"))


def uneven(runs: Table) -> ColumnElement[bool]:
    """All runs but the many that completed: a query for any of these says so, to find them by a small index."""
    return runs.c.state_type != literal_column("'COMPLETED'")


def is_unended(runs: Table) -> ColumnElement[bool]:
    """The runs that no fact has ended."""
    return runs.c.unended == literal_column("1")


def _index(
    name: str, *parts: Any, typical: tuple[int, ...], where: ColumnElement[bool] | None = None, unique: bool = False
) -> None:
    """An index on columns or expressions of one table, only of the rows `where` says.

    `typical` tells a planner that has no statistics of its own what to expect in a large ledger: how many rows there
    are, then how many share the first column, the first two, and so on. Without it SQLite takes a workspace for a
    handful of rows, and walks all of history in the order wanted rather than to sort the few runs asked for. `where`
    stands in `info` too: another dialect takes it from there (naming it here would import all of it).
    """
    info = {"typical": typical, "where": where}
    if where is None:
        Index(name, *parts, unique=unique, info=info)
    else:
        Index(name, *parts, unique=unique, sqlite_where=where, info=info)


def _index_runs(runs: Table, count: int) -> None:
    """The indexes that flow runs and task runs share. Each costs 1 µs a run; those with a condition next to nothing."""
    name, c = runs.name, runs.c
    runs.info["typical"] = (count, count, 1)
    _index(f"{name}_by_name", c.workspace_id, c.name, c.id, typical=(count, count, 10, 1))
    _index(f"{name}_by_expected", c.workspace_id, c.expected_us, c.id, typical=(count, count, 2, 1))
    _index(f"{name}_by_end", c.workspace_id, end_order(runs), c.id, typical=(count, count, 2, 1))
    _index(f"{name}_by_next", c.workspace_id, next_order(runs), c.id, typical=(count, count, count // 2, 1))
    few = count // 50
    _index(f"{name}_by_state", c.workspace_id, c.state_type, c.id, typical=(few, few, few // 4, 1), where=uneven(runs))
    # The end stands in it so that those which a dead writer left open are told from those already ended.
    open_runs = few // 10
    _index(
        f"{name}_of_writer",
        c.workspace_id,
        c.writer_id,
        c.end_us,
        typical=(open_runs, open_runs, 10, 5),
        where=is_unended(runs),
    )


def _index_flow_runs(count: int) -> None:
    c = flow_runs.c
    _index_runs(flow_runs, count)
    _index("flow_runs_by_start", c.workspace_id, start_order(flow_runs), c.id, typical=(count, count, 2, 1))
    _index("flow_runs_of_flow", c.workspace_id, c.flow_id, c.id, typical=(count, count, count // 100, 1))
    called = c.parent_flow_run_id.is_not(None)
    _index(
        "flow_runs_of_parent",
        c.workspace_id,
        c.parent_flow_run_id,
        c.id,
        typical=(count // 5, count // 5, 10, 1),
        where=called,
    )


def _index_task_runs(count: int) -> None:
    c = task_runs.c
    _index_runs(task_runs, count)
    # The state's name stands in it so that counting a map's states reads the index alone.
    _index(
        "task_runs_of_flow_run",
        c.workspace_id,
        c.flow_run_id,
        c.id,
        c.state_name,
        typical=(count, count, 200, 1, 1),
    )
    few = count // 50
    _index(
        "task_runs_of_flow_run_by_state",
        c.workspace_id,
        c.flow_run_id,
        c.state_type,
        c.id,
        typical=(few, few, 10, 5, 1),
        where=uneven(task_runs),
    )


def _index_logs(count: int) -> None:
    c = logs.c
    order = (c.order_us, c.writer_id, c.segment, c.offset)
    logs.info["typical"] = (count, count, count // 1000, count // 2000, 1)
    _index("logs_by_time", c.workspace_id, *order, typical=(count, count, 2, 1, 1, 1))
    _index("logs_of_flow_run", c.workspace_id, c.flow_run_id, *order, typical=(count, count, 1000, 2, 1, 1, 1))
    of_task = c.task_run_id.is_not(None)
    _index(
        "logs_of_task_run", c.workspace_id, c.task_run_id, *order, typical=(count, count, 10, 1, 1, 1, 1), where=of_task
    )


def _index_limits(count: int) -> None:
    c = limit_places.c
    limit_places.info["typical"] = (count, count, 1, 1)
    # The weight stands in it so that adding up what is held reads the index alone.
    line = (c.workspace_id, c.name, c.key, c.state, c.rank, c.number, c.weight)
    _index("limit_places_in_line", *line, typical=(count, count, 500, 500, 250, 100, 1, 1))
    owned = (c.workspace_id, c.owner, c.origin, c.state, c.granted_us)
    _index("limit_places_of_process", *owned, typical=(count, count, 50, 50, 25, 1))
    limit_rates.info["typical"] = (count, count, 100, 1)
    _index(
        "limit_rates_by_end",
        limit_rates.c.workspace_id,
        limit_rates.c.full_us,
        typical=(count, count, 1),
    )


def _index_artifacts(count: int) -> None:
    c = artifacts.c
    artifacts.info["typical"] = (count, count, 1)
    # What is missing before a version stands in it, so that numbering versions reads the index alone.
    keyed = count // 2
    _index(
        "artifacts_of_key",
        c.workspace_id,
        c.key,
        c.id,
        c.gone_before,
        typical=(keyed, keyed, 200, 1, 1),
        where=c.key.is_not(None),
    )
    for name, run in (("artifacts_of_flow_run", c.flow_run_id), ("artifacts_of_task_run", c.task_run_id)):
        _index(name, c.workspace_id, run, c.id, typical=(count, count, 5, 1), where=run.is_not(None))


def _index_assets(count: int) -> None:
    c = asset_events.c
    asset_events.info["typical"] = (count, count, 100, 1, 1)
    newest = (c.workspace_id, c.asset_id, c.at_us, c.run_id, c.epoch)
    _index("asset_events_by_time", *newest, typical=(count, count, 100, 2, 1, 1))
    _index("asset_events_by_age", c.workspace_id, c.at_us, typical=(count, count, 2))
    _index("asset_events_of_run", c.workspace_id, c.run_id, typical=(count, count, 1))
    few = max(count // 100, 1)
    assets.info["typical"] = (few, few, 1)
    _index("assets_by_key", assets.c.workspace_id, assets.c.key, typical=(few, few, 1), unique=True)
    c = asset_edges.c
    asset_edges.info["typical"] = (few, few, 3, 1)
    _index("asset_edges_down", c.workspace_id, c.upstream_id, c.asset_id, typical=(few, few, 3, 1))


_index_flow_runs(100_000)
_index_task_runs(1_000_000)
_index_logs(10_000_000)
_index_limits(1000)
_index_artifacts(100_000)
_index_assets(100_000)
variable_changes.info["typical"] = (10_000, 10_000, 50, 1)
_index("flows_by_name", flows.c.workspace_id, flows.c.name, typical=(100, 100, 1), unique=True)
