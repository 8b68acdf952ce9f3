"""Limits on how often: an instant at which something may be done is reserved. The rule is core/limits.py's.

To be called in transactions that write. May import: core, tables, dialects, slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, select, tuple_

from surefoot.core.errors import ConcurrencySlotAcquisitionError
from surefoot.core.limits import LimitKey, Rate, Reserved
from surefoot.ledger.decisions.slots import Limit, declare, limits_of
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, limit_rates

__all__ = ["reserve"]

_SWEPT: Final = 10  # rows that say nothing any more go with each call, so that keys that never come again do not stay


_r = limit_rates.c
_FULL: Final = select(_r.full_us).where(
    and_(_r.workspace_id == WORKSPACE, _r.name == bindparam("name"), _r.key == bindparam("key"))
)


def reserve(
    tx: Connection,
    keys: Sequence[LimitKey],
    weight: int,
    rates: Mapping[str, Rate],
    within_us: int | None,
    strict: bool,
    declares: bool = False,
) -> Reserved:
    """Take so many of each of these limits, at the first instant at which all of them can be had.

    Args:
        tx: in a transaction that writes.
        keys: the limits.
        weight: how many.
        rates: what whoever asks says of limits; what somebody has set counts before that.
        within_us: nothing is reserved if it would take longer than this.
        strict: whether a limit that is not there is an error.
        declares: whether limits that are not there are made of `rates`.
    """
    dialect = dialect_of(tx)
    now_us = dialect.now_us(tx)
    found = limits_of(tx, [key.name for key in keys])
    if declares:
        for name, rate in rates.items():
            declare(tx, Limit(name, rate.slots, rate.interval_us, True, True), found, now_us)
    known = {name: _rate(limit, weight) for name, limit in found.items()}
    unknown = tuple(key.name for key in keys if key.name not in found and key.name not in rates)
    if unknown and strict:
        raise ConcurrencySlotAcquisitionError(
            f"There is no limit {unknown[0]!r}.", do=f"Make it: surefoot limit set {unknown[0]} 60/minute"
        )
    taken: list[tuple[LimitKey, Rate, int | None]] = []
    at_us = now_us
    for key in keys:
        limited = known.get(key.name) if key.name in found else rates.get(key.name)
        if limited is None:
            continue
        full_us = tx.execute(_FULL, {"name": key.name, "key": key.key}).scalar()
        taken.append((key, limited, full_us))
        at_us = max(at_us, limited.reserve(full_us, weight, now_us))
    if within_us is not None and at_us - now_us > within_us:
        return Reserved(at_us - now_us, unknown, False)
    rows = [
        {"workspace_id": WORKSPACE, "name": key.name, "key": key.key, "full_us": rate.taken(full_us, weight, at_us)}
        for key, rate, full_us in taken
    ]
    dialect.upsert(tx, limit_rates, rows)
    _sweep(tx, now_us)
    return Reserved(at_us - now_us, unknown)


def _rate(limit: Limit, weight: int) -> Rate | None:
    if limit.interval_us is None:
        raise ConcurrencySlotAcquisitionError(
            f"The limit {limit.name!r} is on how much goes on at once, not on how often.",
            do=f"Hold it: with concurrency({limit.name!r}), or set a rate: surefoot limit set {limit.name} 60/minute",
        )
    if not limit.is_active:
        return None
    if weight > limit.slots:
        raise ConcurrencySlotAcquisitionError(
            f"{weight} of the limit {limit.name!r} are asked for at once, which gives {limit.slots}.",
            do="Ask for fewer at a time.",
        )
    return Rate(limit.slots, limit.interval_us)


def _sweep(tx: Connection, now_us: int) -> None:
    past = select(_r.name, _r.key).where(_r.workspace_id == WORKSPACE, _r.full_us <= now_us)
    rows = tx.execute(past.order_by(_r.full_us).limit(_SWEPT)).all()
    if rows:
        keys = [tuple(row) for row in rows]
        tx.execute(delete(limit_rates).where(_r.workspace_id == WORKSPACE, tuple_(_r.name, _r.key).in_(keys)))
