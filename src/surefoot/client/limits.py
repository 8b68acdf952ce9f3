"""Limits in the ledger: what processes that need slots ask of it. The embedded way: straight on the ledger of the home.

May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import msgspec

from surefoot.client.ledgers import ledger_of
from surefoot.core import settings
from surefoot.core.limits import Answer, Asked, LimitKey, Rate, Reserved, Turn
from surefoot.core.os import space
from surefoot.core.os.bells import ring
from surefoot.core.os.files import write_bytes
from surefoot.core.ports import Watched
from surefoot.journal.home import Home
from surefoot.journal.pulse import proof_of_life
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions import rates, slots
from surefoot.ledger.decisions.limits import delete_limit, set_limit

__all__ = ["EmbeddedLimits", "LimitsHere"]


class EmbeddedLimits:
    """`Limits` on the ledger of a home, or on that at `url`."""

    def __init__(self, home: str, url: str | None = None, *, busy_s: float = 30.0) -> None:
        where = Home(home)
        where.ensure()
        self._ledger = ledger_of(where, url, busy_s=busy_s)
        self.processes = os.path.join(where.path, "locks")
        self.origin = origin_of(self._ledger)
        self._proof = proofs_in(self.processes, self.origin)

    @classmethod
    def open(cls) -> Self:
        """Those of the settings in force."""
        current = settings.refresh()
        return cls(current.home, settings.ledger_url(current), busy_s=current.ledger.busy_timeout_seconds)

    def ask(self, asked: Asked, known: Callable[[int], None]) -> Answer:
        with self._ledger.decide() as tx:
            return slots.ask(tx, asked, known, self._proof)

    def give_back(self, number: int, owner: str, keys: Sequence[LimitKey]) -> Sequence[Turn]:
        with self._ledger.decide() as tx:
            return slots.give_back(tx, number, owner, self.origin, keys, self._proof)

    def granted(self, owner: str, since_us: int) -> Sequence[tuple[int, int]]:
        with self._ledger.read() as tx:
            return queries.granted_since(tx, owner, self.origin, since_us)

    def waiting(self, owner: str) -> frozenset[int]:
        with self._ledger.read() as tx:
            return queries.waiting_of(tx, owner, self.origin)

    def watched(self, keys: Sequence[LimitKey]) -> Watched:
        with self._ledger.read() as tx:
            return Watched(*queries.watched_in(tx, keys))

    def look_after(self, keys: Sequence[LimitKey]) -> Sequence[Turn]:
        with self._ledger.decide() as tx:
            return slots.look_after(tx, keys, self._proof)

    def renew(self, owner: str) -> tuple[int, Sequence[int]]:
        with self._ledger.decide() as tx:
            return slots.renew(tx, owner, self.origin)

    def reserve(
        self,
        keys: Sequence[LimitKey],
        weight: int,
        told: Mapping[str, Rate],
        within_us: int | None,
        strict: bool,
        declares: bool,
    ) -> Reserved:
        with self._ledger.decide() as tx:
            return rates.reserve(tx, keys, weight, told, within_us, strict, declares)

    def tags(self) -> Sequence[str]:
        with self._ledger.read() as tx:
            return queries.limited_tags(tx)

    def waits_for(self, number: int) -> str | None:
        with self._ledger.read() as tx:
            standing = queries.standing_of(tx, number)
        return None if standing is None else queries.told_standing(standing)

    def close(self) -> None:
        self._ledger.close()


class LimitsHere:
    """Limits as people look at them and set them, on the ledger of a home.

    Args:
        home: the home.
        ledger: opened.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self._processes = os.path.join(home.path, "locks")
        self._origin = origin_of(ledger)
        self._proof = proofs_in(self._processes, self._origin)

    def tidy(self, name: str | None = None) -> None:
        """Take slots from whoever is no more, so that what is shown is so."""
        with self._ledger.read() as tx:
            keys = queries.lines_in_use(tx, name)
        if keys:
            with self._ledger.decide() as tx:
                turns = slots.look_after(tx, keys, self._proof)
            self._ring(turns)

    def set(
        self,
        name: str,
        slots: int | None,
        interval_us: int | None,
        is_active: bool | None,
        *,
        is_new: bool = False,
        keeps_rate: bool = False,
    ) -> None:
        """Make a limit, or change it. Raises NotFound for one that is not there, if no slots are told."""
        with self._ledger.decide() as tx:
            turns = set_limit(
                tx,
                name,
                self._proof,
                slots=slots,
                interval_us=interval_us,
                is_active=is_active,
                is_new=is_new,
                keeps_rate=keeps_rate,
            )
            self._write_tags(tx)
        self._ring(turns)

    def delete(self, name: str) -> None:
        """Delete a limit. Whoever waits for it goes on. Raises NotFound."""
        with self._ledger.decide() as tx:
            turns = delete_limit(tx, name)
            self._write_tags(tx)
        self._ring(turns)

    def _write_tags(self, tx: Any) -> None:
        """Tell processes that run tasks which tags are limited: they look at a file, not into the ledger.

        Within the transaction, so that whoever comes later writes later.
        """
        if self._origin:
            return  # several homes share the ledger: they ask it
        tags = queries.limited_tags(tx)
        if tags or os.path.exists(self._home.tag_limits_path):
            write_bytes(self._home.tag_limits_path, msgspec.json.encode(tags), sync=False)

    def _ring(self, turns: Sequence[Turn]) -> None:
        for owner in {turn.owner for turn in turns if turn.origin == self._origin}:
            ring(os.path.join(self._processes, owner))


def origin_of(ledger: Ledger) -> str:
    """What tells the home of this ledger's processes from others that share it; nothing if none does."""
    return "" if ledger.home_id is None else ledger.home_id.hex()


def proofs_in(processes: str, origin: str) -> Callable[[str, str], bool | None]:
    """Looks whether processes of this home live."""
    is_local: bool | None = None

    def proof(owner: str, its_origin: str) -> bool | None:
        nonlocal is_local
        if its_origin != origin:
            return None
        if is_local is None:
            is_local = space.file_system(processes) in space.LOCAL
        return proof_of_life(os.path.join(processes, owner), is_local=is_local)

    return proof
