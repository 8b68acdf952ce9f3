"""Limits, who holds slots of them, and who waits. May import: core, tables, decisions.slots, the parts of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, literal, or_, select

from surefoot.core.errors import NotFound
from surefoot.core.ids import to_text
from surefoot.core.limits import TAG, LimitKey, Rate, rate_text
from surefoot.core.wire import Limit, LimitPlace, Page
from surefoot.ledger.decisions.slots import HOLDS, LOST, WAITS
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.queries.paging import Order, page_rows
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.tables import WORKSPACE, limit_places, limits

__all__ = [
    "Standing",
    "find_limit",
    "granted_since",
    "limited_tags",
    "lines_in_use",
    "list_limit_places",
    "list_limits",
    "standing_of",
    "standings_of_run",
    "told_holder",
    "told_standing",
    "waiting_of",
    "watched_in",
]

_l = limits.c
_p = limit_places.c
_BY_NAME: Final = Order((_l.name,), (str,))
_BY_GRANT: Final = Order((_p.number,), (int,))
_BY_PLACE: Final = Order((_p.rank, _p.number), (int, int))
_TOLD_MAX: Final = 5
_HOLDERS_TOLD: Final = 3
_COUNTED_MAX: Final = 1000
_LINES_MAX: Final = 10_000
_STATES: Final[dict[int, Literal["waiting", "held", "lost"]]] = {WAITS: "waiting", HOLDS: "held", LOST: "lost"}


class Standing(NamedTuple):
    """How it stands for somebody who waits, in the line that holds it up."""

    name: str
    key: str
    slots: int
    used: int
    weight: int
    place: int  # in the line: 1 is next
    holders: tuple[LimitPlace, ...]  # the first few
    more_holders: int


def list_limits(connection: Connection, *, limit: int = 200, after: str | None = None) -> Page[Limit]:
    """A page of limits, by name."""
    query = select(limits).where(_l.workspace_id == WORKSPACE)
    rows, cursor = page_rows(connection, query, "limits", "NAME_ASC", _BY_NAME, limit, after)
    counts = _counts(connection, [row.name for row in rows])
    return Page(results=[_limit_of(row, counts) for row in rows], after=cursor)


def find_limit(connection: Connection, name: str) -> Limit:
    """The limit of that name. Raises NotFound."""
    row = connection.execute(select(limits).where(_l.workspace_id == WORKSPACE, _l.name == name)).first()
    if row is None:
        raise NotFound(f"There is no limit {name!r}.", do="See which there are: surefoot limit ls")
    return _limit_of(row, _counts(connection, [name]))


def list_limit_places(
    connection: Connection, name: str, *, waiting: bool, limit: int = 200, after: str | None = None
) -> Page[LimitPlace]:
    """A page of those who hold slots of a limit, the longest first, or of those who wait, the next first."""
    find_limit(connection, name)
    its = _p.workspace_id == WORKSPACE, _p.name == name
    query = select(limit_places).where(*its, _p.state == WAITS if waiting else _p.state.in_((HOLDS, LOST)))
    sort = "PLACE_ASC" if waiting else "NUMBER_ASC"
    order = _BY_PLACE if waiting else _BY_GRANT
    rows, cursor = page_rows(connection, query, "limit places", sort, order, limit, after)
    return Page(results=[_place_of(row, _in_line(connection, row) if waiting else None) for row in rows], after=cursor)


def standing_of(connection: Connection, number: int) -> Standing | None:
    """How it stands for somebody who waits; None for who does not."""
    mine = connection.execute(
        select(limit_places).where(_p.workspace_id == WORKSPACE, _p.number == number, _p.state == WAITS)
    ).all()
    found = [_standing(connection, row) for row in mine]
    if not found:
        return None
    held_up = [each for each in found if each.place > 1 or each.used + each.weight > each.slots]
    return max(held_up or found, key=lambda each: each.place)


def standings_of_run(connection: Connection, run_id: bytes) -> list[Standing]:
    """How it stands for a run that waits for slots; nothing if it waits for none."""
    query = select(limit_places).where(_p.workspace_id == WORKSPACE, _p.run_id == run_id, _p.state == WAITS)
    return [_standing(connection, row) for row in connection.execute(query.order_by(_p.number).limit(_TOLD_MAX))]


def _standing(connection: Connection, row: Row[Any]) -> Standing:
    line = _p.workspace_id == WORKSPACE, _p.name == row.name, _p.key == row.key, _p.state == HOLDS
    slots = connection.execute(select(_l.slots).where(_l.workspace_id == WORKSPACE, _l.name == row.name)).scalar()
    used, count = connection.execute(select(func.coalesce(func.sum(_p.weight), 0), func.count()).where(*line)).one()
    holders = connection.execute(select(limit_places).where(*line).order_by(_p.number).limit(_TOLD_MAX)).all()
    return Standing(
        row.name,
        row.key,
        slots or 0,
        int(used),
        row.weight,
        _in_line(connection, row),
        tuple(_place_of(each, None) for each in holders),
        max(count - len(holders), 0),
    )


def _in_line(connection: Connection, row: Row[Any]) -> int:
    """Its place in its line. Those before it are counted up to a thousand."""
    before = or_(_p.rank < row.rank, and_(_p.rank == row.rank, _p.number < row.number))
    line = _p.workspace_id == WORKSPACE, _p.name == row.name, _p.key == row.key, _p.state == WAITS
    some = select(_p.number).where(*line, before).limit(_COUNTED_MAX).subquery()
    return 1 + (connection.execute(select(func.count()).select_from(some)).scalar() or 0)


def granted_since(connection: Connection, owner: str, origin: str, since_us: int) -> list[tuple[int, int]]:
    """Which places of a process were given slots since then, and when; the last ones last."""
    mine = _p.workspace_id == WORKSPACE, _p.owner == owner, _p.origin == origin
    query = select(_p.number, _p.granted_us).where(*mine, _p.state == HOLDS, _p.granted_us >= since_us)
    return [(row.number, row.granted_us) for row in connection.execute(query.distinct().order_by(_p.granted_us))]


def waiting_of(connection: Connection, owner: str, origin: str) -> frozenset[int]:
    """The places of a process that wait."""
    mine = _p.workspace_id == WORKSPACE, _p.owner == owner, _p.origin == origin, _p.state == WAITS
    return frozenset(connection.execute(select(_p.number).where(*mine)).scalars())


def watched_in(connection: Connection, keys: Sequence[LimitKey]) -> tuple[frozenset[tuple[str, str]], bool]:
    """The processes whose end would concern those who wait in these lines, which are those that hold slots and those
    that stand first; and whether the lease of one of them has run out.
    """
    now_us = dialect_of(connection).now_us(connection)
    rows: list[Row[*tuple[Any, ...]]] = []
    for key in keys:
        line = _p.workspace_id == WORKSPACE, _p.name == key.name, _p.key == key.key
        who = select(_p.owner, _p.origin, func.min(_p.lease_us).label("lease_us")).where(*line, _p.state == HOLDS)
        rows += connection.execute(who.group_by(_p.owner, _p.origin)).all()
        first = select(_p.owner, _p.origin, _p.lease_us).where(*line, _p.state == WAITS)
        rows += connection.execute(first.order_by(_p.rank, _p.number).limit(1)).all()
    return frozenset((row.owner, row.origin) for row in rows), any(row.lease_us <= now_us for row in rows)


def lines_in_use(connection: Connection, name: str | None) -> list[LimitKey]:
    """The lines of a limit, or of all, in which somebody stands or holds slots."""
    query = select(_p.name, _p.key).distinct().where(_p.workspace_id == WORKSPACE)
    if name is not None:
        query = query.where(_p.name == name)
    return [LimitKey(*row) for row in connection.execute(query.limit(_LINES_MAX))]


def limited_tags(connection: Connection) -> list[str]:
    """The tags that are limited."""
    query = select(_l.name).where(_l.workspace_id == WORKSPACE, _l.name.startswith(TAG), _l.is_active == 1)
    return [name.removeprefix(TAG) for name in connection.execute(query.order_by(_l.name)).scalars()]


class _Counts(NamedTuple):
    used: int
    over: int
    holders: int
    waiters: int


_NONE: Final = _Counts(0, 0, 0, 0)


def _counts(connection: Connection, names: Sequence[str]) -> dict[str, _Counts]:
    def so_many(what: ColumnElement[Any], state: int) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((_p.state == state, what), else_=0)), 0)

    by_key = (
        select(
            _p.name.label("name"),
            so_many(_p.weight, HOLDS).label("used"),
            so_many(literal(1), HOLDS).label("holders"),
            so_many(literal(1), WAITS).label("waiters"),
            _l.slots.label("slots"),
        )
        .join(limits, and_(_l.workspace_id == _p.workspace_id, _l.name == _p.name))
        .where(_p.workspace_id == WORKSPACE, _p.name.in_(names))
        .group_by(_p.name, _p.key, _l.slots)
    )
    found: dict[str, _Counts] = {}
    for row in connection.execute(by_key):
        before = found.get(row.name, _NONE)
        used, holders, waiters = int(row.used), int(row.holders), int(row.waiters)
        over = max(used - row.slots, 0)
        found[row.name] = _Counts(
            before.used + used, before.over + over, before.holders + holders, before.waiters + waiters
        )
    return found


def _limit_of(row: Row[Any], counts: dict[str, _Counts]) -> Limit:
    own = counts.get(row.name, _NONE)
    rate = None if row.interval_us is None else Rate(row.slots, row.interval_us)
    return Limit(
        name=row.name,
        limit=row.slots,
        rate=None if rate is None else rate_text(rate),
        slot_decay_per_second=0.0 if rate is None else round(1e6 / rate.interval_us, 6),
        active=bool(row.is_active),
        in_code=bool(row.in_code),
        active_slots=own.used,
        over_limit=own.over if row.is_active else 0,
        holders=own.holders,
        waiters=own.waiters,
        created=instant(row.created_us),
        updated=instant(row.updated_us),
    )


def _place_of(row: Row[Any], place: int | None) -> LimitPlace:
    return LimitPlace(
        limit=row.name,
        key=row.key or None,
        slots=row.weight,
        holder=row.holder,
        run_id=None if row.run_id is None else to_text(row.run_id),
        run_type=None if row.run_id is None else "task-run" if row.is_task else "flow-run",
        priority=-row.rank,
        place=place,
        asked=instant(row.asked_us),
        granted=None if row.granted_us is None else instant(row.granted_us),
        state=_STATES[row.state],
        lease_expires=instant(row.lease_us),
    )


def told_standing(standing: Standing) -> str:
    """How it stands for somebody who waits, in one line."""
    key = f" of {standing.key}" if standing.key else ""
    holders = [told_holder(each) for each in standing.holders[:_HOLDERS_TOLD]]
    more = len(standing.holders) - len(holders) + standing.more_holders
    if more:
        holders.append(f"{more} more")
    by = f", held by {', '.join(holders)}" if holders else ""
    return f"limit {standing.name}{key} {standing.used}/{standing.slots}{by}; place {standing.place} in line"


def told_holder(place: LimitPlace) -> str:
    """Who holds slots."""
    return place.holder if place.slots == 1 else f"{place.holder} ({place.slots})"
