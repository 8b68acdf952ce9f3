"""Slots as the ledger decides on them, against a model: whatever is asked, given back, renewed, set, or dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from surefoot.core.errors import ConcurrencySlotAcquisitionError
from surefoot.core.limits import WAIT_LEASE_US, Asked, LimitKey
from surefoot.ledger import Ledger
from surefoot.ledger.decisions.limits import set_limit
from surefoot.ledger.decisions.slots import HOLDS, LOST, WAITS, ask, give_back, look_after, renew
from surefoot.ledger.tables import limit_places, limits

LINES = (LimitKey("a"), LimitKey("b"), LimitKey("c", "x"), LimitKey("c", "y"))
OWNERS = ("p", "q", "r", "s")
LEASE_US = 60_000_000
DAY_US = 86_400_000_000


@dataclass
class Someone:
    """One who waits or holds, in the model."""

    number: int
    keys: tuple[LimitKey, ...]
    weight: int
    rank: int
    owner: str
    stops: bool
    state: int = WAITS
    left_us: int = WAIT_LEASE_US


@dataclass
class Model:
    """All of it, told in the plainest way: who can be served is, in the order of rank and number."""

    slots: dict[str, int]
    off: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    all: list[Someone] = field(default_factory=list)

    def used(self, key: LimitKey) -> int:
        return sum(each.weight for each in self.all if key in each.keys and each.state == HOLDS)

    def settle(self) -> None:
        for each in list(self.all):
            is_over = each.left_us <= 0
            forgotten = each.left_us <= -DAY_US
            if each.owner in self.dead or forgotten or (each.state == WAITS and is_over):
                self.all.remove(each)
            elif each.state == HOLDS and is_over:
                each.state = LOST
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        in_line: set[LimitKey] = set()
        for each in sorted(self.all, key=lambda each: (each.rank, each.number)):
            if each.state != WAITS:
                continue
            if any(key.name not in self.off and each.weight > self.slots[key.name] for key in each.keys):
                if not in_line.intersection(each.keys):
                    self.all.remove(each)
                    return True
            elif not in_line.intersection(each.keys) and all(
                key.name in self.off or self.used(key) + each.weight <= self.slots[key.name] for key in each.keys
            ):
                each.state, each.left_us = HOLDS, LEASE_US
                return True
            in_line.update(each.keys)
        return False


class Both:
    """The ledger and the model, told the same."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.model = Model({})
        with ledger.decide() as tx:
            tx.execute(delete(limit_places))
            tx.execute(delete(limits))
        for name, slots in (("a", 2), ("b", 3), ("c", 1)):
            self.set(name, slots, True)

    def proof(self, owner: str, origin: str) -> bool | None:
        return False if owner in self.model.dead else None

    def ask(self, lines: list[int], weight: int, rank: int, owner: int, stops: bool) -> None:
        keys = tuple(dict.fromkeys(LINES[line] for line in lines))
        keys = tuple({key.name: key for key in keys}.values())
        who = OWNERS[owner]
        self.model.dead.discard(who)  # another process goes by that name now
        asked = Asked(keys, weight, rank, LEASE_US, who, "", "someone", stops=stops)
        too_many = any(key.name not in self.model.off and weight > self.model.slots[key.name] for key in keys)
        known: list[int] = []
        try:
            with self.ledger.decide() as tx:
                answer = ask(tx, asked, known.append, self.proof)
        except ConcurrencySlotAcquisitionError:
            assert too_many
            return
        assert not too_many
        assert answer.number == known[0]
        assert answer.number is not None
        someone = Someone(answer.number, keys, weight, rank, who, stops)
        self.model.all.append(someone)
        self.model.settle()
        assert answer.is_granted == (someone.state == HOLDS)

    def leave(self, which: int) -> None:
        if self.model.all:
            one = self.model.all.pop(which % len(self.model.all))
            with self.ledger.decide() as tx:
                give_back(tx, one.number, one.owner, "", one.keys, self.proof)

    def die(self, owner: int) -> None:
        self.model.dead.add(OWNERS[owner])

    def renew(self, owner: int) -> None:
        who = OWNERS[owner]
        if who in self.model.dead:
            return
        with self.ledger.decide() as tx:
            renewed = renew(tx, who, "")
        lost = []
        for each in self.model.all:
            if each.owner != who:
                continue
            if each.state == LOST and each.stops:
                lost.append(each.number)
            else:
                each.state = HOLDS if each.state == LOST else each.state
                each.left_us = LEASE_US if each.state == HOLDS else WAIT_LEASE_US
        assert sorted(renewed.lost) == sorted(lost)

    def age(self, seconds: int) -> None:
        with self.ledger.decide() as tx:
            tx.execute(update(limit_places).values(lease_us=limit_places.c.lease_us - seconds * 1_000_000))
        for each in self.model.all:
            each.left_us -= seconds * 1_000_000

    def set(self, name: str, slots: int, is_active: bool) -> None:
        self.model.slots[name] = slots
        (self.model.off.discard if is_active else self.model.off.add)(name)
        with self.ledger.decide() as tx:
            set_limit(tx, name, self.proof, slots=slots, interval_us=None, is_active=is_active)

    def compare(self) -> None:
        with self.ledger.decide() as tx:
            look_after(tx, LINES, self.proof)
        self.model.settle()
        with self.ledger.read() as tx:
            c = limit_places.c
            found = {
                (row.number, row.name, row.key, row.state, row.weight)
                for row in tx.execute(select(c.number, c.name, c.key, c.state, c.weight))
            }
        told = {(each.number, *key, each.state, each.weight) for each in self.model.all for key in each.keys}
        assert found == told


_STEP: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(
        st.just("ask"),
        st.lists(st.integers(0, 3), min_size=1, max_size=3),
        st.integers(1, 3),
        st.integers(-1, 1),
        st.integers(0, 3),
        st.booleans(),
    ),
    st.tuples(st.just("leave"), st.integers(0, 50)),
    st.tuples(st.just("die"), st.integers(0, 3)),
    st.tuples(st.just("renew"), st.integers(0, 3)),
    st.tuples(st.just("age"), st.sampled_from([10, 25, 45, 100_000])),
    st.tuples(st.just("set"), st.sampled_from("abc"), st.integers(1, 3), st.sampled_from([True, True, True, False])),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_STEP, max_size=40))
@example([("ask", [0, 1], 1, 0, 0, False), ("age", 100_000)])
def test_slots_are_granted_as_the_model_says(ledger: Ledger, steps: list[tuple[Any, ...]]) -> None:
    both = Both(ledger)
    for verb, *arguments in steps:
        getattr(both, verb)(*arguments)
        both.compare()
