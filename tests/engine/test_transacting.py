"""The rules of transactions, against a model: random trees of them, with failures anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.transactions import CommitMode, IsolationLevel, TransactionState
from surefoot.engine.transacting import (
    CallHook,
    Erase,
    Lock,
    Look,
    Settled,
    Step,
    Unit,
    Unlock,
    Write,
    begin,
    commit,
    leave,
    roll_back,
)

COMMITTED, ROLLED_BACK, STAGED = TransactionState.COMMITTED, TransactionState.ROLLED_BACK, TransactionState.STAGED


class Broken(Exception):
    """What a hook or the writing of a record raises here."""


@dataclass
class World:
    """Takes the steps, notes them down, and has some of them fail."""

    failing: set[tuple[str, str]] = field(default_factory=set)
    records: set[str] = field(default_factory=set)
    done: list[tuple[str, str]] = field(default_factory=list)

    def take(self, steps: Generator[Step, Any, Any]) -> Any:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._answer(step)

    def _answer(self, step: Step) -> Any:
        name: str = step.unit.name  # type: ignore[attr-defined]
        if isinstance(step, Look):
            return name in self.records
        kind = step.kind if isinstance(step, CallHook) else type(step).__name__.lower()
        self.done.append((kind, name))
        if (kind, name) in self.failing:
            return Broken(f"{kind} of {name}")
        if isinstance(step, Write):
            self.records.add(name)
        elif isinstance(step, Erase):
            self.records.discard(name)
        return None

    def names(self, kind: str) -> list[str]:
        return [name for each, name in self.done if each == kind]


def hook(_: Any) -> None:
    """A hook. What comes of it says the world."""


def unit(name: str, mode: CommitMode | None = None) -> Unit:
    made = Unit(mode)
    made.name = name  # type: ignore[attr-defined]
    made.on_commit_hooks, made.on_rollback_hooks = [hook], [hook]
    return made


@dataclass
class Node:
    """A block: what is in it, and how it ends."""

    mode: CommitMode | None
    ends: str  # "well", "raises", "commits" or "rolls back" by hand before its end
    caught: bool  # an exception goes no further than this block
    within: list[Node]


def nodes(depth: int) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        st.sampled_from([None, None, None, CommitMode.LAZY, CommitMode.EAGER, CommitMode.OFF]),
        st.sampled_from(["well", "well", "well", "raises", "commits", "rolls back"]),
        st.booleans(),
        st.lists(nodes(depth - 1), max_size=3) if depth else st.just([]),
    )


def run(world: World, node: Node, parent: Unit | None, units: list[Unit], by_hand: set[str]) -> bool:
    """Live through a block. Whether an exception leaves it."""
    made = unit(str(len(units)), node.mode)
    units.append(made)
    world.take(begin(made, parent, overwrite=True, has_key=False))
    raised = False
    for inner in node.within:
        raised = run(world, inner, made, units, by_hand)
        if raised:
            break
    if not raised and node.ends == "raises":
        raised = True
    elif not raised and node.ends == "commits":
        by_hand.add(made.name)  # type: ignore[attr-defined]
        raised = world.take(commit(made)) is not None
    elif not raised and node.ends == "rolls back":
        world.take(roll_back(made, "by hand"))
    error = world.take(leave(made, "it raised" if raised else None))
    return (raised or error is not None) and not node.caught


@given(nodes(3), st.sets(st.tuples(st.sampled_from(["commit", "write", "rollback"]), st.integers(0, 12)), max_size=3))
def test_all_is_committed_once_or_rolled_back_once_in_reverse(root: Node, failing: set[tuple[str, int]]) -> None:
    world = World({(kind, str(number)) for kind, number in failing})
    units: list[Unit] = []
    by_hand: set[str] = set()
    run(world, root, None, units, by_hand)
    assert all(each.state in (COMMITTED, ROLLED_BACK) for each in units), "nothing is left undecided"
    assert max(Counter(world.done).values(), default=0) <= 1, "no hook is called twice, and no record written twice"
    for each in units:
        name: str = each.name  # type: ignore[attr-defined]
        if each.state is COMMITTED:
            assert ("commit", name) in world.done
            assert ("rollback", name) not in world.done
            assert name in world.records
        else:
            assert ("rollback", name) in world.done, "one that fails does not stop the others"
            assert name not in world.records
    for each in units:
        if each.parent is not None and each.state is not each.parent.state:
            by_itself = each.commit_mode is CommitMode.EAGER or each.name in by_hand  # type: ignore[attr-defined]
            assert each.state is COMMITTED, "nothing is committed around what is rolled back"
            assert by_itself, "nor within it, unless it was before"
    assert len(world.names("settled")) == len(units)
    for each in units:
        if each.state is COMMITTED and each.parent is not None and each.parent.state is COMMITTED:
            assert order_of(world, "commit", each) < order_of(world, "commit", each.parent)


def order_of(world: World, kind: str, each: Unit) -> int:
    return world.done.index((kind, each.name))  # type: ignore[attr-defined]


def chain(world: World, *names: str) -> list[Unit]:
    """Transactions that have ended well within one that is open, which comes first."""
    outer = unit("outer")
    world.take(begin(outer, None, overwrite=True, has_key=False))
    made = [outer]
    for name in names:
        inner = unit(name)
        world.take(begin(inner, outer, overwrite=True, has_key=False))
        world.take(leave(inner, None))
        made.append(inner)
    return made


def test_what_is_within_commits_first_hooks_before_records() -> None:
    world = World()
    outer, *_ = chain(world, "a", "b")
    assert world.take(leave(outer, None)) is None
    asked = [step for step in world.done if step[0] in ("commit", "write")]
    assert asked == [(kind, name) for kind in ("commit", "write") for name in ("a", "b", "outer")]


def test_rollback_runs_backwards_the_own_hooks_first() -> None:
    world = World()
    outer, *_ = chain(world, "a", "b")
    outer.on_rollback_hooks.append(hook)
    world.take(leave(outer, "it raised"))
    assert world.names("rollback") == ["outer", "outer", "b", "a"]


def test_a_rollback_hook_that_fails_stops_no_other() -> None:
    world = World({("rollback", "b"), ("rollback", "outer")})
    outer, *_ = chain(world, "a", "b", "c")
    assert world.take(leave(outer, "it raised")) is None
    assert world.names("rollback") == ["outer", "c", "b", "a"]
    assert outer.state is ROLLED_BACK


def test_a_commit_that_fails_takes_back_what_was_written_and_is_told() -> None:
    world = World({("write", "b")})
    outer, a, b = chain(world, "a", "b")
    error = world.take(leave(outer, None))
    assert isinstance(error, Broken)
    assert world.records == set()
    assert world.names("rollback") == ["outer", "b", "a"]
    assert [each.state for each in (outer, a, b)] == [ROLLED_BACK] * 3
    assert "write of b" in (outer.why_not or "")


def test_what_fails_within_rolls_back_what_is_around_it_at_its_end() -> None:
    world = World()
    outer, a = chain(world, "a")
    failed = unit("failed")
    world.take(begin(failed, outer, overwrite=True, has_key=False))
    world.take(leave(failed, "it failed"))
    assert a.state is STAGED
    world.take(leave(outer, None))
    assert a.state is ROLLED_BACK
    assert outer.why_not == "it failed"
    assert not world.take(commit(outer))


def test_what_ends_after_the_rollback_of_what_is_around_it_is_rolled_back_too() -> None:
    world = World()
    outer, _ = chain(world, "a")
    late = unit("late")
    world.take(begin(late, outer, overwrite=True, has_key=False))
    world.take(leave(outer, "it raised"))
    world.take(leave(late, None))
    assert late.state is ROLLED_BACK
    assert world.names("rollback") == ["outer", "a", "late"]


def test_what_ends_after_the_commit_of_what_is_around_it_commits_alone() -> None:
    world = World()
    outer, _ = chain(world, "a")
    late = unit("late")
    world.take(begin(late, outer, overwrite=True, has_key=False))
    world.take(leave(outer, None))
    world.take(leave(late, None))
    assert late.state is COMMITTED


def test_off_commits_only_by_hand() -> None:
    world = World()
    off, by_hand = unit("off", CommitMode.OFF), unit("by hand", CommitMode.OFF)
    world.take(begin(off, None, overwrite=True, has_key=False))
    world.take(leave(off, None))
    assert off.state is ROLLED_BACK
    world.take(begin(by_hand, None, overwrite=True, has_key=False))
    world.take(commit(by_hand))
    world.take(leave(by_hand, None))
    assert by_hand.state is COMMITTED
    world.take(leave(by_hand, "it raised after that"))
    assert by_hand.state is COMMITTED


def test_modes_are_taken_over_from_around() -> None:
    def mode_within(mode: CommitMode | None) -> CommitMode | None:
        outer, inner = unit("outer", mode), unit("inner")
        World().take(begin(outer, None, overwrite=True, has_key=False))
        World().take(begin(inner, outer, overwrite=True, has_key=False))
        return inner.commit_mode

    assert mode_within(None) is CommitMode.LAZY
    assert [mode_within(mode) for mode in CommitMode] == list(CommitMode)


def with_key(world: World, name: str, *, overwrite: bool = False) -> Unit:
    made = unit(name)
    made.isolation_level = IsolationLevel.SERIALIZABLE
    world.take(begin(made, None, overwrite=overwrite, has_key=True))
    return made


FAILURES: list[set[tuple[str, str]]] = [set(), {("write", "k")}, {("commit", "k")}, {("rollback", "k")}]
ENDS: list[Callable[[World, Unit], Any]] = [
    lambda world, made: world.take(leave(made, None)),
    lambda world, made: world.take(leave(made, "it raised")),
    lambda world, made: (world.take(commit(made)), world.take(leave(made, None))),
    lambda world, made: (world.take(roll_back(made, "by hand")), world.take(leave(made, None))),
]


def test_a_lock_is_given_back_once_whatever_comes() -> None:
    for end in ENDS:
        for records in ([], ["k"]):
            for failing in FAILURES:
                world = World(failing, set(records))
                made = with_key(world, "k")
                end(world, made)
                locks = [kind for kind, _ in world.done if kind in ("lock", "unlock")]
                assert locks == ["lock", "unlock"], (records, failing)


def test_a_record_that_is_there_is_left_as_it_is() -> None:
    world = World(records={"k"})
    made = with_key(world, "k")
    assert made.state is COMMITTED
    world.take(leave(made, None))
    assert world.names("commit") == world.names("write") == []
    world = World(records={"k"})
    made = with_key(world, "k", overwrite=True)
    assert made.state is TransactionState.ACTIVE
    world.take(leave(made, None))
    assert world.names("write") == ["k"]


def test_what_is_within_one_that_was_committed_before_is_committed_all_the_same() -> None:
    world = World(records={"k"})
    made = with_key(world, "k")
    inner = unit("inner")
    world.take(begin(inner, made, overwrite=True, has_key=False))
    world.take(leave(inner, None))
    assert inner.state is STAGED
    world.take(leave(made, None))
    assert inner.state is COMMITTED
    assert world.names("commit") == ["inner"]


def test_a_lock_that_is_not_had_ends_the_beginning() -> None:
    world = World({("lock", "k")})
    made = unit("k")
    made.isolation_level = IsolationLevel.SERIALIZABLE
    assert isinstance(world.take(begin(made, None, overwrite=False, has_key=True)), Broken)
    assert [step for step in (Lock, Unlock, Settled) if step.__name__.lower() in dict(world.done)] == [Lock]
