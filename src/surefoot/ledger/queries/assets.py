"""Assets: what runs make, what became of each attempt, and what rests on what. May import: core, tables, fold_assets,
the parts of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from surefoot.core.errors import Ambiguous, NotFound
from surefoot.core.ids import to_text
from surefoot.core.states import COMPLETED as RUN_COMPLETED
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import Asset, AssetCheck, AssetEdge, Lineage, Materialization, Page
from surefoot.ledger.fold_assets import COMPLETED, asset_id_of
from surefoot.ledger.queries.paging import Order, page_rows
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.tables import WORKSPACE, asset_edges, asset_events, assets, task_runs

__all__ = ["asset_id", "find_asset", "lineage_of", "list_assets", "list_materializations"]

_a = assets.c
_e = asset_events.c
_g = asset_edges.c
_BY_KEY: Final = Order((_a.key,), (str,))
_NEWEST: Final = Order((_e.at_us, _e.run_id, _e.epoch), (int, bytes, int), descending=True)
_FOUND_MAX: Final = 6
_NODES_MAX: Final = 1_000  # of one lineage
_EDGES_MAX: Final = 1_000  # of one asset, one way

_texts: Final = msgspec.json.Decoder(dict[str, Any]).decode
_checks: Final = msgspec.json.Decoder(list[AssetCheck]).decode


def list_assets(
    connection: Connection, *, like: str | None = None, limit: int = 200, after: str | None = None
) -> Page[Asset]:
    """A page of assets, by key; `like`: those whose key contains this."""
    query = select(assets).where(_a.workspace_id == WORKSPACE)
    if like:
        query = query.where(_a.key.icontains(like, autoescape=True))
    rows, cursor = page_rows(connection, query, "assets", "KEY_ASC", _BY_KEY, limit, after)
    return Page(results=[_asset_of(connection, row) for row in rows], after=cursor)


def find_asset(connection: Connection, reference: str) -> Asset:
    """The asset of that key, or the only one whose key contains it. Raises NotFound and Ambiguous."""
    return _asset_of(connection, _row_of(connection, reference))


def asset_id(connection: Connection, key: str) -> bytes:
    """The id of the asset of exactly that key. Raises NotFound."""
    found = asset_id_of(key)
    if not _rows(connection, [found]):
        raise NotFound(f"There is no asset {key!r}.", do="See which there are: surefoot asset ls")
    return found


def list_materializations(
    connection: Connection, reference: str, *, limit: int = 200, after: str | None = None
) -> Page[Materialization]:
    """A page of what became of the attempts to make an asset, the newest first. Raises as `find_asset`."""
    asset = _row_of(connection, reference)
    query = select(asset_events).where(_e.workspace_id == WORKSPACE, _e.asset_id == asset.id)
    rows, cursor = page_rows(connection, query, "materializations", "TIMESTAMP_DESC", _NEWEST, limit, after)
    return Page(results=[_materialization(connection, asset.key, row) for row in rows], after=cursor)


def lineage_of(
    connection: Connection, reference: str, *, up: int | None = None, down: int | None = None, earlier: bool = False
) -> Lineage:
    """What an asset rests on, and what rests on it. Raises as `find_asset`.

    Args:
        connection: to the ledger.
        reference: the asset.
        up: how many steps are followed up; None: all.
        down: the same down.
        earlier: also what only runs before the last told.
    """
    start = _row_of(connection, reference)
    walk = _Walk(connection, earlier)
    edges = {**walk.follow(start.id, up, is_up=True), **walk.follow(start.id, down, is_up=False)}
    ids = dict.fromkeys([start.id, *(one for pair in edges for one in pair)])
    rows = {row.id: row for row in _rows(connection, list(ids))}
    told = [
        AssetEdge(
            asset=rows[edge.asset_id].key,
            upstream=rows[edge.upstream_id].key,
            how=edge.how,
            told=instant(edge.told_us),
            current=is_current,
        )
        for edge, is_current in edges.values()
        if edge.asset_id in rows and edge.upstream_id in rows
    ]
    return Lineage(
        key=start.key,
        assets=sorted([_asset_of(connection, row) for row in rows.values()], key=lambda asset: asset.key),
        edges=sorted(told, key=lambda edge: (edge.asset, edge.upstream)),
        more=walk.is_cut,
    )


class _Walk:
    """Follows edges from asset to asset, level by level."""

    def __init__(self, connection: Connection, earlier: bool) -> None:
        self.is_cut = False
        self._connection = connection
        self._earlier = earlier
        self._makers: dict[bytes, frozenset[bytes]] = {}

    def follow(
        self, start: bytes, steps: int | None, *, is_up: bool
    ) -> dict[tuple[bytes, bytes], tuple[Row[Any], bool]]:
        found: dict[tuple[bytes, bytes], tuple[Row[Any], bool]] = {}
        seen, level = {start}, [start]
        while level and steps != 0:
            further: list[bytes] = []
            for asset_id in level:
                for edge in self._edges(asset_id, is_up=is_up):
                    is_current = (edge.flow_run_id or edge.run_id) in self._makers_of(edge.asset_id)
                    other = edge.upstream_id if is_up else edge.asset_id
                    if not is_current and not self._earlier:
                        continue
                    if other not in seen:
                        if len(seen) == _NODES_MAX:
                            self.is_cut = True
                            continue
                        seen.add(other)
                        further.append(other)
                    found[edge.asset_id, edge.upstream_id] = edge, is_current
            level = further
            steps = None if steps is None else steps - 1
        return found

    def _edges(self, asset_id: bytes, *, is_up: bool) -> Sequence[Row[Any]]:
        here, other = (_g.asset_id, _g.upstream_id) if is_up else (_g.upstream_id, _g.asset_id)
        query = select(asset_edges).where(_g.workspace_id == WORKSPACE, here == asset_id).order_by(other)
        rows = self._connection.execute(query.limit(_EDGES_MAX + 1)).all()
        self.is_cut = self.is_cut or len(rows) > _EDGES_MAX
        return rows[:_EDGES_MAX]

    def _makers_of(self, asset_id: bytes) -> frozenset[bytes]:
        """The flow runs (or task runs outside of any) that made it last, or tried to."""
        found = self._makers.get(asset_id)
        if found is None:
            of = select(_e.flow_run_id, _e.run_id).where(_e.workspace_id == WORKSPACE, _e.asset_id == asset_id)
            completed_us = select(_a.completed_us).where(_a.workspace_id == WORKSPACE, _a.id == asset_id)
            made = of.where(_e.at_us == completed_us.scalar_subquery(), _e.outcome == COMPLETED)
            newest = of.order_by(*(key.desc() for key in _NEWEST.keys)).limit(1)
            rows = [*self._connection.execute(made), *self._connection.execute(newest)]
            found = self._makers[asset_id] = frozenset(row.flow_run_id or row.run_id for row in rows)
        return found


def _rows(connection: Connection, ids: list[bytes]) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    for low in range(0, len(ids), _NODES_MAX):
        query = select(assets).where(_a.workspace_id == WORKSPACE, _a.id.in_(ids[low : low + _NODES_MAX]))
        found += connection.execute(query).all()
    return found


def _row_of(connection: Connection, reference: str) -> Row[Any]:
    exact = _rows(connection, [asset_id_of(reference)])
    if exact:
        return exact[0]
    query = select(assets).where(_a.workspace_id == WORKSPACE, _a.key.icontains(reference, autoescape=True))
    rows = connection.execute(query.order_by(_a.key).limit(_FOUND_MAX)).all() if reference else []
    if not rows:
        raise NotFound(f"There is no asset {reference!r}.", do="See which there are: surefoot asset ls")
    if len(rows) > 1:
        some = ", ".join(row.key for row in rows[: _FOUND_MAX - 1]) + (", ..." if len(rows) == _FOUND_MAX else "")
        raise Ambiguous(f"{reference!r} is in the keys of several assets: {some}.", do="Type the whole key.")
    return rows[0]


def _asset_of(connection: Connection, row: Row[Any]) -> Asset:
    told = _texts(row.properties)
    owners = told.get("owners")
    newest = select(asset_events).where(_e.workspace_id == WORKSPACE, _e.asset_id == row.id)
    last = connection.execute(newest.order_by(*(key.desc() for key in _NEWEST.keys)).limit(1)).first()
    return Asset(
        key=row.key,
        name=_text(told.get("name")),
        url=_text(told.get("url")),
        description=_text(told.get("description")),
        owners=[str(owner) for owner in owners] if isinstance(owners, list) else [],
        created=instant(row.created_us),
        completed=None if row.completed_us is None else instant(row.completed_us),
        last=None if last is None else _materialization(connection, row.key, last),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


class _End(NamedTuple):
    outcome: str
    message: str | None = None
    at_us: int | None = None


def _materialization(connection: Connection, key: str, row: Row[Any]) -> Materialization:
    end = _End(row.outcome, row.message)
    if row.outcome == "begun":
        end = _became(connection, row)
    return Materialization(
        asset=key,
        outcome=end.outcome,
        timestamp=instant(row.at_us if end.at_us is None else end.at_us),
        task_run_id=to_text(row.run_id),
        task_run_name=row.run_name,
        task_name=row.task_name,
        flow_run_id=None if row.flow_run_id is None else to_text(row.flow_run_id),
        epoch=row.epoch,
        by=row.made_by,
        message=end.message,
        metadata=_texts(row.details),
        checks=_checks(row.checks),
    )


def _became(connection: Connection, row: Row[Any]) -> _End:
    """What became of an attempt whose end nobody told: its run goes on, or its process died."""
    c = task_runs.c
    query = select(c.epoch, c.state_type, c.state_name, c.state_us, c.message)
    run = connection.execute(query.where(c.workspace_id == WORKSPACE, c.id == row.run_id)).first()
    if run is None:
        return _End("crashed", "its run was deleted before it told how it ended")
    if run.epoch > row.epoch:
        return _End("crashed", "its process died; its flow run was started again since")
    kind = StateType(run.state_type)
    if kind not in FINAL:
        return _End("running")
    if kind is RUN_COMPLETED:
        return _End("staged" if run.state_name == "Staged" else COMPLETED, run.message, run.state_us)
    return _End(kind.value.lower(), run.message, run.state_us)
