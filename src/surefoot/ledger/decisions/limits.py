"""Limits, set and deleted. To be called in transactions that write. May import: core, tables, dialects, slots."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from surefoot.core.errors import AlreadyExists, NotFound
from surefoot.core.limits import LimitKey, Turn
from surefoot.ledger.decisions.slots import WAITS, Limit, Proof, limits_of, look_after
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, limit_places, limit_rates, limits

__all__ = ["delete_limit", "set_limit"]

_TOLD_MAX: Final = 1000  # of those who wait: whoever is not told looks within a second


def set_limit(
    tx: Connection,
    name: str,
    proof: Proof,
    *,
    slots: int | None,
    interval_us: int | None,
    is_active: bool | None,
    is_new: bool = False,
    keeps_rate: bool = False,
) -> tuple[Turn, ...]:
    """Make a limit, or change it. Answers for whom something has changed. Raises NotFound, without slots.

    Args:
        tx: in a transaction that writes.
        name: which.
        proof: whether a process lives.
        slots: how many; None leaves as many as there are.
        interval_us: for a limit on how often: after how long one more may; else None. Of no account without slots.
        is_active: whether it limits anything; None leaves it as it is.
        is_new: one that is there is an error, AlreadyExists.
        keeps_rate: one that is there keeps its interval, if it has any.
    """
    now_us = dialect_of(tx).now_us(tx)
    c = limits.c
    before = limits_of(tx, [name]).get(name)
    if is_new and before is not None:
        raise AlreadyExists(f"There is a limit {name!r} already.", do=f"See it: surefoot gcl inspect {name}")
    if before is None:
        if slots is None:
            raise NotFound(f"There is no limit {name!r}.", do=f"Make it: surefoot limit set {name} 3")
        after = Limit(name, slots, interval_us, is_active is not False, in_code=False)
        tx.execute(
            insert(limits),
            {
                "workspace_id": WORKSPACE,
                **after._asdict(),
                "is_active": int(after.is_active),
                "in_code": 0,
                "created_us": now_us,
                "updated_us": now_us,
            },
        )
    else:
        after = before._replace(in_code=False)
        if slots is not None:
            after = after._replace(slots=slots, interval_us=before.interval_us if keeps_rate else interval_us)
        if is_active is not None:
            after = after._replace(is_active=is_active)
        tx.execute(
            update(limits)
            .where(c.workspace_id == WORKSPACE, c.name == name)
            .values(
                slots=after.slots,
                interval_us=after.interval_us,
                is_active=int(after.is_active),
                in_code=0,
                updated_us=now_us,
            )
        )
    if before is not None and before.interval_us != after.interval_us:
        _forget_rates(tx, name)  # what was taken before was by another rate
    if after.interval_us is not None:
        return _put_out(tx, name)  # who waits for slots asks again, and is told that there are none
    return look_after(tx, _waited_for(tx, name), proof)


def delete_limit(tx: Connection, name: str) -> tuple[Turn, ...]:
    """Delete a limit. Whoever waits for it goes on. Raises NotFound."""
    c = limits.c
    gone = tx.execute(delete(limits).where(c.workspace_id == WORKSPACE, c.name == name)).rowcount
    if not gone:
        raise NotFound(f"There is no limit {name!r}.", do="See which there are: surefoot limit ls")
    turns = _put_out(tx, name)
    p = limit_places.c
    tx.execute(delete(limit_places).where(p.workspace_id == WORKSPACE, p.name == name))
    _forget_rates(tx, name)
    return turns


def _waited_for(tx: Connection, name: str) -> list[LimitKey]:
    p = limit_places.c
    query = select(p.key).where(p.workspace_id == WORKSPACE, p.name == name, p.state == WAITS).distinct()
    return [LimitKey(name, key) for key in tx.execute(query).scalars()]


def _put_out(tx: Connection, name: str) -> tuple[Turn, ...]:
    """Strike whoever waits for a limit out of all lines: each asks again, and keeps its number."""
    p = limit_places.c
    waits = p.workspace_id == WORKSPACE, p.name == name, p.state == WAITS
    told = tx.execute(select(p.number, p.owner, p.origin).where(*waits).order_by(p.number).limit(_TOLD_MAX)).all()
    numbers = select(p.number).where(*waits)
    tx.execute(delete(limit_places).where(p.workspace_id == WORKSPACE, p.number.in_(numbers)))
    return tuple(Turn(*row, "out") for row in told)


def _forget_rates(tx: Connection, name: str) -> None:
    r = limit_rates.c
    tx.execute(delete(limit_rates).where(r.workspace_id == WORKSPACE, r.name == name))
