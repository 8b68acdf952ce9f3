"""Who may start a run again, whatever several who want to do when: whoever is at it has it for himself alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.core.errors import Refused
from surefoot.core.states import FAILED, RUNNING
from surefoot.ledger import Ledger
from surefoot.ledger.decisions.epochs import give_up_epoch, keep_epoch, next_epoch, open_epoch
from surefoot.ledger.decisions.leases import Holder, lease_of
from tests.ledger.builders import Pen, a_flow_run

LASTS, LAPSED = 1000.0, -1.0  # seconds


@dataclass
class One:
    """One who wants to start the run again."""

    pen: Pen
    proof: bool | None = None  # what others can tell of his life
    target: int | None = None  # the epoch that he was told he might open
    opened: int | None = None
    superseded: bool = False
    has_ended: bool = False

    @property
    def holder(self) -> Holder:
        return Holder(writer_id=self.pen.id, home_id=b"h" * 16, host="box", boot_id="boot-1", pid=self.pen.pid, mark="")

    @property
    def is_at_it(self) -> bool:
        """He goes on with the run, as far as he knows."""
        return self.opened is not None and not self.has_ended and not self.superseded and self.proof is not False


class Scene:
    """A run that failed, three who want to go on with it, and what the ledger should say."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        pen = Pen()
        self.run = a_flow_run(pen).enter(RUNNING).enter(FAILED)
        ledger.fold(pen.batches())
        self.all = [One(Pen(pid=pid)) for pid in (1, 2, 3)]
        self.by_pen = {one.pen.id: one for one in self.all}
        self.known = 0
        self.is_final = True
        self.lapsed = False

    def proof(self, holder: Holder) -> bool | None:
        return self.by_pen[holder.writer_id].proof

    @property
    def held_by(self) -> One | None:
        """Who has the run, though the ledger does not know of it yet."""
        holders = [one for one in self.all if one.opened == self.newest and self.newest > self.known]
        if not holders or holders[0].proof is False or (holders[0].proof is None and self.lapsed):
            return None
        return holders[0]

    @property
    def newest(self) -> int:
        return max((one.opened or 0 for one in self.all), default=0)

    def look(self, one: One, _: bool) -> None:
        try:
            with self.ledger.read() as tx:
                one.target = next_epoch(tx, self.run.id, self.proof)
        except Refused:
            assert self.held_by is not None
        else:
            assert self.held_by is None
            assert one.target == max(self.known, self.newest) + 1

    def open(self, one: One, lapses: bool) -> None:
        if one.target is None or one.opened is not None or one.proof is False:
            return
        may = self.held_by is None and self.is_final and one.target == max(self.known, self.newest) + 1
        others = [other for other in self.all if other is not one and other.is_at_it]
        lease_s = LAPSED if lapses else LASTS
        try:
            with self.ledger.decide() as tx:
                open_epoch(tx, self.run.id, one.target, one.holder, self.proof, why="retry", lease_s=lease_s)
        except Refused:
            assert not may
            return
        assert may
        # Nobody is at it of whom it could be known; who was frozen or cut off for too long has lost it.
        assert all(other.proof is None for other in others)
        for other in others:
            other.superseded = True
        one.opened, self.lapsed = one.target, lapses

    def tell(self, one: One, _: bool) -> None:
        """His first fact is folded, with that of his end if he has ended."""
        if one.opened is None or one.proof is False:
            return
        pen = Pen(pid=one.pen.pid)
        self.run.epoch = one.opened - 1
        run = self.run.next_epoch(pen).enter(RUNNING)
        if one.has_ended:
            run.enter(FAILED)
        self.ledger.fold(pen.batches())
        if one.opened >= self.known:
            self.known, self.is_final = one.opened, one.has_ended

    def end(self, one: One, _: bool) -> None:
        if one.is_at_it:
            one.has_ended = True

    def keep(self, one: One, lapses: bool) -> None:
        if one.opened is None or one.proof is False:
            return
        with self.ledger.decide() as tx:
            answer = keep_epoch(tx, self.run.id, one.opened, lease_s=LAPSED if lapses else LASTS)
        if one.opened < self.newest:
            assert isinstance(answer, str)
        else:
            assert answer is (self.known >= one.opened)
            if answer is False:
                self.lapsed = lapses

    def die(self, one: One, is_seen: bool) -> None:
        one.proof = False if is_seen else None

    def be_seen(self, one: One, _: bool) -> None:
        one.proof = True if one.proof is None else one.proof


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["look", "open", "tell", "keep", "end", "die", "be_seen"]),
        st.sampled_from([0, 1, 2]),
        st.booleans(),
    ),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(steps=STEPS)
def test_nobody_goes_on_with_a_run_while_another_may_be_at_it(
    ledger: Ledger, steps: list[tuple[str, int, bool]]
) -> None:
    scene = Scene(ledger)
    for step, who, flag in steps:
        getattr(scene, step)(scene.all[who], flag)
        assert sum(one.is_at_it and one.proof is True for one in scene.all) <= 1


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def refusal(scene: Scene, proof: Any = None) -> Refused:
    with scene.ledger.read() as tx, pytest.raises(Refused) as caught:
        next_epoch(tx, scene.run.id, lambda _: proof)
    return caught.value


def test_who_has_a_run_is_told_with_since_when_and_until_when(scene: Scene) -> None:
    one = scene.all[0]
    scene.look(one, False)
    scene.open(one, False)
    told = str(refusal(scene))
    for part in ("is being started again by pid 1 on box since ", " UTC (", "nobody else may", "flow-run watch run-"):
        assert part in told
    assert "end that process" in str(refusal(scene, proof=True))


def test_a_run_that_was_opened_and_not_begun_is_free_at_once(scene: Scene) -> None:
    one = scene.all[0]
    scene.look(one, False)
    scene.open(one, False)
    refusal(scene)
    with scene.ledger.decide() as tx:
        give_up_epoch(tx, scene.run.id, 1)
    with scene.ledger.read() as tx:
        assert next_epoch(tx, scene.run.id, lambda _: True) == 2
        assert lease_of(tx, scene.run.id) is None


def test_what_is_given_up_late_takes_nothing_from_whoever_has_it_now(scene: Scene) -> None:
    first, second, _ = scene.all
    scene.look(first, False)
    scene.open(first, True)
    scene.look(second, False)
    scene.open(second, False)
    with scene.ledger.decide() as tx:
        give_up_epoch(tx, scene.run.id, 1)
    assert "pid 2 on box" in str(refusal(scene))


def test_a_run_that_was_deleted_needs_no_lease(scene: Scene) -> None:
    one = scene.all[0]
    scene.look(one, False)
    scene.open(one, True)
    scene.ledger.delete_flow_runs([scene.run.id])
    with scene.ledger.decide() as tx:
        assert lease_of(tx, scene.run.id) is None
        assert keep_epoch(tx, scene.run.id, 1) is True
        with pytest.raises(Refused, match="was deleted meanwhile"):
            open_epoch(tx, scene.run.id, 2, one.holder, scene.proof, why="retry")


def test_a_run_that_is_just_being_started_again_is_not_deleted(scene: Scene) -> None:
    one = scene.all[0]
    scene.look(one, False)
    scene.open(one, False)
    with pytest.raises(Refused, match="just being started again"):
        scene.ledger.delete_flow_runs([scene.run.id])
    one.has_ended = True
    scene.tell(one, False)
    assert scene.ledger.delete_flow_runs([scene.run.id]).removed.flow_runs == 1
