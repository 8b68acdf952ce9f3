"""Slots of limits: who holds some and who waits, decided in short transactions. The rule is core/limits.py's.

A place counts while nothing proves that its process is no more, and its lease has not run out by the ledger's clock.
Each statement looks at those that hold slots and at the first who waits, never at all who wait.
To be called in transactions that write. May import: core, tables, dialects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, UpdateBase, and_, bindparam, delete, func, insert, literal, select, update

from surefoot.core.errors import ConcurrencySlotAcquisitionError
from surefoot.core.limits import GONE_AFTER_US, WAIT_LEASE_US, Answer, Asked, LimitKey, Settled, Turn, Waiting, settle
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, limit_places, limits

__all__ = [
    "HOLDS",
    "LOST",
    "WAITS",
    "Limit",
    "Proof",
    "Renewed",
    "ask",
    "give_back",
    "limits_of",
    "look_after",
    "renew",
]

Proof = Callable[[str, str], bool | None]  # whether the process that goes by (owner, origin) lives; None: who knows

WAITS: Final = 0
HOLDS: Final = 1
LOST: Final = 2


class Limit(NamedTuple):
    """A limit as it is set."""

    name: str
    slots: int
    interval_us: int | None
    is_active: bool
    in_code: bool


class Renewed(NamedTuple):
    """What became of the places of a process."""

    places: int
    lost: tuple[int, ...]  # whose slots were lost, and whose holders are to stop


_p = limit_places.c
_b = bindparam
_here = _p.workspace_id == WORKSPACE
_line = and_(_here, _p.name == _b("name"), _p.key == _b("key"))
# Made once: their texts are then compiled once too.
_l = limits.c
_LIMIT: Final = select(_l.name, _l.slots, _l.interval_us, _l.is_active, _l.in_code).where(
    _l.workspace_id == WORKSPACE, _l.name == _b("name")
)
_USED: Final = select(func.coalesce(func.sum(_p.weight), 0)).where(_line, _p.state == HOLDS)
_FIRST: Final = (
    select(_p.number, _p.rank, _p.weight, _p.lines, _p.owner, _p.origin, _p.lease_us)
    .where(_line, _p.state == WAITS)
    .order_by(_p.rank, _p.number)
    .limit(1)
)
# Of one line, all that asking needs to know where nobody waits, in one statement; a row even if there is no limit.
_STANDING: Final = select(
    _l.slots,
    _l.interval_us,
    _l.is_active,
    _l.in_code,
    _USED.scalar_subquery().label("used"),
    select(_p.number).where(_line, _p.state == WAITS).limit(1).scalar_subquery().label("waits"),
    select(func.max(_p.number)).where(_here).scalar_subquery().label("last"),
).select_from(
    select(literal(WORKSPACE).label("id"))
    .subquery()
    .outerjoin(limits, and_(_l.workspace_id == WORKSPACE, _l.name == _b("name")))
)
_KEYS: Final = select(_p.name, _p.key).where(_here, _p.number == _b("number"))
_OWN: Final = select(_p.state).where(_here, _p.number == _b("number"), _p.owner == _b("its_owner")).limit(1)
_GRANT: Final = (
    update(limit_places)
    .where(_here, _p.number == _b("its_number"))
    .values(state=HOLDS, granted_us=_b("now_us"), lease_us=_p.lasts_us + _b("now_us"))
)
_DROP: Final = delete(limit_places).where(_here, _p.number == _b("its_number"))
_DROP_OWN: Final = _DROP.where(_p.owner == _b("its_owner"), _p.origin == _b("its_origin"))
_HOLDERS: Final = select(_p.number, _p.state, _p.owner, _p.origin, _p.lease_us, _p.lines, _p.key, _p.name).where(
    _line, _p.state.in_((HOLDS, LOST))
)
_LOSE: Final = update(limit_places).where(_here, _p.number == _b("its_number")).values(state=LOST)


class _Book:
    """The lines, as rows."""

    def __init__(self, tx: Connection, known: dict[str, Limit], proof: Proof, now_us: int) -> None:
        self._tx = tx
        self._known = known
        self._proof = proof
        self._proofs: dict[tuple[str, str], bool | None] = {}
        self.now_us = now_us
        self._places: dict[int, tuple[str, str, int]] = {}  # of those seen first: owner, origin, lease
        self._used: dict[LimitKey, int] = {}

    def slots(self, key: LimitKey) -> int | None:
        limit = self._known.get(key.name)
        if limit is None and key.name not in self._known:
            self._known.update(limits_of(self._tx, [key.name]))
            limit = self._known.get(key.name)
        return None if limit is None or not limit.is_active else limit.slots

    def used(self, key: LimitKey) -> int:
        if key not in self._used:
            self._used[key] = int(self._tx.execute(_USED, {"name": key.name, "key": key.key}).scalar_one())
        return self._used[key]

    def has_read(self, key: LimitKey, used: int) -> None:
        """So many are used in that line."""
        self._used[key] = used

    def first(self, key: LimitKey) -> Waiting | None:
        row = self._tx.execute(_FIRST, {"name": key.name, "key": key.key}).first()
        if row is None:
            return None
        self._places[row.number] = row.owner, row.origin, row.lease_us
        keys = (key,) if row.lines == 1 else self._keys_of(row.number)
        return Waiting(row.number, row.rank, row.weight, keys)

    def is_gone(self, waiting: Waiting) -> bool:
        owner, origin, lease_us = self._places[waiting.number]
        return lease_us <= self.now_us or self.is_dead(owner, origin)

    def is_dead(self, owner: str, origin: str) -> bool:
        who = owner, origin
        if who not in self._proofs:
            self._proofs[who] = self._proof(owner, origin)
        return self._proofs[who] is False

    def grant(self, waiting: Waiting) -> None:
        self._tx.execute(_GRANT, {"its_number": waiting.number, "now_us": self.now_us})
        for key in waiting.keys:
            if key in self._used:
                self._used[key] += waiting.weight

    def drop(self, waiting: Waiting) -> None:
        self._tx.execute(_DROP, {"its_number": waiting.number})

    def _keys_of(self, number: int) -> tuple[LimitKey, ...]:
        return tuple(LimitKey(*row) for row in self._tx.execute(_KEYS, {"number": number}))

    def reap(self, keys: Iterable[LimitKey]) -> list[LimitKey]:
        """Take slots from whoever is no more, or was not heard of in time. The lines that have changed by that."""
        changed: list[LimitKey] = []
        for key in keys:
            for row in self._tx.execute(_HOLDERS, {"name": key.name, "key": key.key}).all():
                is_over = row.lease_us <= self.now_us
                if self.is_dead(row.owner, row.origin) or row.lease_us + GONE_AFTER_US <= self.now_us:
                    statement: UpdateBase = _DROP
                elif is_over and row.state == HOLDS:
                    statement = _LOSE
                else:
                    continue
                its_keys = [key] if row.lines == 1 else list(self._keys_of(row.number))
                self._tx.execute(statement, {"its_number": row.number})
                changed += its_keys
                for each in its_keys:
                    self._used.pop(each, None)
        return changed

    def turns(self, settled: Settled) -> tuple[Turn, ...]:
        """Whose turn it is, or may soon be."""
        concerned: tuple[tuple[Literal["granted", "out", "next"], list[Waiting]], ...] = (
            ("granted", settled.granted),
            ("out", settled.refused),
            ("next", settled.heads),
        )
        found = [
            Turn(each.number, *self._places[each.number][:2], what) for what, several in concerned for each in several
        ]
        return tuple(dict.fromkeys(found))


def limits_of(tx: Connection, names: Sequence[str]) -> dict[str, Limit]:
    """The limits of these names, as far as they are there."""
    found: dict[str, Limit] = {}
    for name in names:
        row = tx.execute(_LIMIT, {"name": name}).first()
        if row is not None:
            found[name] = Limit(row.name, row.slots, row.interval_us, bool(row.is_active), bool(row.in_code))
    return found


def ask(tx: Connection, asked: Asked, known: Callable[[int], None], proof: Proof) -> Answer:
    """Get slots of all these limits, or a place in the line of each.

    Raises ConcurrencySlotAcquisitionError for limits of which these slots can never be had.

    Args:
        tx: in a transaction that writes.
        asked: what for.
        known: told the number of the place before anybody else can know it.
        proof: whether a process lives.
    """
    now_us = dialect_of(tx).now_us(tx)
    found: dict[str, Limit] = {}
    book = _Book(tx, found, proof, now_us)
    last, is_free = 0, True
    for key in asked.keys:
        row = tx.execute(_STANDING, {"name": key.name, "key": key.key}).one()
        last = row.last or 0
        if row.slots is not None:
            limit = found[key.name] = Limit(
                key.name, row.slots, row.interval_us, bool(row.is_active), bool(row.in_code)
            )
            book.has_read(key, int(row.used))
            is_free &= not limit.is_active or (row.waits is None and row.used + asked.weight <= row.slots)
    if asked.declared is not None and _declare(tx, asked, found, now_us):
        is_free = False  # as far as is known: what there is now was not looked at
    for limit in found.values():
        _check(limit, asked)
    unknown = tuple(key.name for key in asked.keys if key.name not in found)
    if unknown and asked.strict:
        raise ConcurrencySlotAcquisitionError(
            f"There is no limit {unknown[0]!r}.", do=f"Make it: surefoot limit set {unknown[0]} 3"
        )
    keys = tuple(key for key in asked.keys if key.name in found)
    if not keys:
        return Answer(None, True, unknown)
    slots = tuple((key, found[key.name].slots) for key in keys if found[key.name].is_active)
    number = asked.number
    if number is not None and (mine := tx.execute(_OWN, {"number": number, "its_owner": asked.owner}).first()):
        return Answer(number, mine.state != WAITS, unknown, (), slots)
    if number is None:
        number = max(now_us, last + 1)
    known(number)
    rows = [_row(asked, key, number, len(keys), now_us, is_free) for key in keys]
    tx.execute(_INSERT, rows)
    if is_free:
        return Answer(number, True, unknown, (), slots)
    settled = settle(book, [*book.reap(keys), *keys])
    return Answer(
        number,
        any(each.number == number for each in settled.granted),
        unknown,
        tuple(turn for turn in book.turns(settled) if turn.number != number),
        slots,
    )


_INSERT: Final = insert(limit_places)


def _declare(tx: Connection, asked: Asked, found: dict[str, Limit], now_us: int) -> bool:
    """Make limits that code has slots for; those that somebody has set stay as they are. Whether one has changed."""
    assert asked.declared is not None
    has_changed = False
    for key in asked.keys:
        has_changed |= declare(tx, Limit(key.name, asked.declared, None, True, True), found, now_us)
    return has_changed


def declare(tx: Connection, limit: Limit, found: dict[str, Limit], now_us: int) -> bool:
    """Make a limit as code has it, unless somebody has set it, or it is of the other kind. Whether it has changed."""
    before = found.get(limit.name)
    if before is not None and (
        not before.in_code or before == limit or (before.interval_us is None) != (limit.interval_us is None)
    ):
        return False
    row = {
        "workspace_id": WORKSPACE,
        **limit._asdict(),
        "is_active": 1,
        "in_code": 1,
        "created_us": now_us,
        "updated_us": now_us,
    }
    dialect_of(tx).upsert(tx, limits, [row])
    found[limit.name] = limit
    return True


def _check(limit: Limit, asked: Asked) -> None:
    if limit.interval_us is not None:
        raise ConcurrencySlotAcquisitionError(
            f"The limit {limit.name!r} is on how often something is done, and cannot be held.",
            do=f"Call rate_limit({limit.name!r}), or set it anew: surefoot limit set {limit.name} {limit.slots}",
        )
    if limit.is_active and asked.weight > limit.slots:
        raise ConcurrencySlotAcquisitionError(
            f"{asked.weight} slots of the limit {limit.name!r} are asked for, which has {limit.slots}.",
            do=f"Ask for fewer, or set more: surefoot limit set {limit.name} {asked.weight}",
        )


def _row(asked: Asked, key: LimitKey, number: int, lines: int, now_us: int, is_granted: bool) -> dict[str, Any]:
    return {
        "workspace_id": WORKSPACE,
        "number": number,
        "name": key.name,
        "key": key.key,
        "state": HOLDS if is_granted else WAITS,
        "rank": asked.rank,
        "weight": asked.weight,
        "lines": lines,
        "stops": int(asked.stops),
        "owner": asked.owner,
        "origin": asked.origin,
        "lease_us": now_us + (asked.lease_us if is_granted else WAIT_LEASE_US),
        "lasts_us": asked.lease_us,
        "asked_us": now_us,
        "granted_us": now_us if is_granted else None,
        "run_id": asked.run_id,
        "is_task": int(asked.is_task),
        "holder": asked.holder,
    }


def give_back(
    tx: Connection, number: int, owner: str, origin: str, keys: Sequence[LimitKey], proof: Proof
) -> tuple[Turn, ...]:
    """Give back slots, or a place in the lines. Answers for whom something has changed.

    Args:
        tx: in a transaction that writes.
        number: of the place.
        owner, origin: whose it is.
        keys: the lines that it was in.
        proof: whether a process lives.
    """
    tx.execute(_DROP_OWN, {"its_number": number, "its_owner": owner, "its_origin": origin})
    return settle_lines(tx, keys, proof)


def settle_lines(tx: Connection, keys: Iterable[LimitKey], proof: Proof) -> tuple[Turn, ...]:
    """Give slots to whoever can have them in these lines."""
    book = _Book(tx, {}, proof, dialect_of(tx).now_us(tx))
    return book.turns(settle(book, keys))


def look_after(tx: Connection, keys: Sequence[LimitKey], proof: Proof) -> tuple[Turn, ...]:
    """Take slots in these lines from whoever is no more, and give them to the next."""
    book = _Book(tx, {}, proof, dialect_of(tx).now_us(tx))
    changed = book.reap(keys)
    return book.turns(settle(book, [*changed, *keys]))


def renew(tx: Connection, owner: str, origin: str) -> Renewed:
    """Let the places of a process last longer.

    Slots that were lost meanwhile are held again, over the limit; those whose holders are to stop instead are told.
    """
    now_us = dialect_of(tx).now_us(tx)
    mine = _here, _p.owner == owner, _p.origin == origin
    lost = tx.execute(select(_p.number).where(*mine, _p.state == LOST, _p.stops == 1).distinct()).scalars().all()
    again = update(limit_places).where(*mine, _p.state == LOST, _p.stops == 0)
    tx.execute(again.values(state=HOLDS))
    holding = update(limit_places).where(*mine, _p.state == HOLDS).values(lease_us=_p.lasts_us + now_us)
    waiting = update(limit_places).where(*mine, _p.state == WAITS).values(lease_us=now_us + WAIT_LEASE_US)
    count = tx.execute(holding).rowcount + tx.execute(waiting).rowcount
    return Renewed(count, tuple(lost))
