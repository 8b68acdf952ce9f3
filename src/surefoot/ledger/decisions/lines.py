"""Lines of locks: who holds one and who waits for it, changed in one short transaction. The rule is core/lines.py's.

A place lives while there is proof that its process does, or none that it does not and its lease has not run out, by the
ledger's clock. May import: core, tables, dialects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, delete, select, update

from surefoot.core.lines import Line, Place
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, lock_places

__all__ = ["LEASE_S", "change_line", "renew_places"]

LEASE_S: Final = 30.0

T = TypeVar("T")


def change_line(
    connection: Connection,
    key: str,
    step: Callable[[Line, int], T],
    proof: Callable[[Place], bool | None],
    lease_s: float = LEASE_S,
) -> tuple[T, list[Place]]:
    """Do a step with the line of that key. Answers what it gave, and who is to be woken.

    To be called in a transaction that writes.

    Args:
        connection: in it.
        key: of the lock.
        step: what to do, given the line and the time.
        proof: whether the process of a place lives (True), is no more (False), or neither can be told (None).
        lease_s: how long a new place lasts without being renewed, in seconds.
    """
    dialect = dialect_of(connection)
    now_us = dialect.now_us(connection)
    c = lock_places.c
    mine = c.workspace_id == WORKSPACE, c.key == key
    rows = connection.execute(select(lock_places).where(*mine).order_by(c.number)).all()
    numbers = {row.ticket: row.number for row in rows}
    before = {row.ticket: _place_of(row) for row in rows}

    def is_dead(place: Place) -> bool:
        lives = proof(place)
        return lives is False or (lives is None and place.lease_us is not None and place.lease_us <= now_us)

    line = Line([_place_of(row) for row in rows], now_us, is_dead)
    value = step(line, now_us)
    next_number = max(numbers.values(), default=0) + 1
    left = {place.ticket for place in line.places if place.lease_us is not None}
    gone = [number for ticket, number in numbers.items() if ticket not in left]
    if gone:
        connection.execute(delete(lock_places).where(*mine, c.number.in_(gone)))
    changed: list[dict[str, Any]] = []
    for place in line.places:
        if place.lease_us is None:  # it is new, or was given up and has come again
            place.lease_us = now_us + int(lease_s * 1e6)
            numbers[place.ticket], next_number = next_number, next_number + 1
        elif place == before[place.ticket]:
            continue
        changed.append(_row_of(key, numbers[place.ticket], place))
    dialect.upsert(connection, lock_places, changed)
    return value, line.called


def renew_places(connection: Connection, owner: str, origin: str, lease_s: float = LEASE_S) -> bool:
    """Let all places of a process last longer. False if it has none. To be called in a transaction that writes."""
    c = lock_places.c
    until_us = dialect_of(connection).now_us(connection) + int(lease_s * 1e6)
    mine = c.workspace_id == WORKSPACE, c.owner == owner, c.origin == origin
    return bool(connection.execute(update(lock_places).where(*mine).values(lease_us=until_us)).rowcount)


def _place_of(row: Any) -> Place:
    return Place(
        ticket=row.ticket,
        holder=row.holder,
        owner=row.owner,
        hold_us=row.hold_us,
        until_us=row.until_us,
        has_it=bool(row.has_it),
        watches=row.watches,
        lease_us=row.lease_us,
        origin=row.origin,
    )


def _row_of(key: str, number: int, place: Place) -> dict[str, Any]:
    return {
        "workspace_id": WORKSPACE,
        "key": key,
        "number": number,
        "ticket": place.ticket,
        "holder": place.holder,
        "owner": place.owner,
        "origin": place.origin,
        "lease_us": place.lease_us,
        "hold_us": place.hold_us,
        "until_us": place.until_us,
        "has_it": int(place.has_it),
        "watches": place.watches,
    }
