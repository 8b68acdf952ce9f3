"""The rule of limits, without a ledger: who is given slots, in which order, and who is not."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.limits import LimitKey, Waiting, settle

A, B = LimitKey("a"), LimitKey("b")


@dataclass
class Book:
    """Lines in memory."""

    there: dict[LimitKey, int | None]
    waiting: list[Waiting] = field(default_factory=list)
    held: list[Waiting] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def slots(self, key: LimitKey) -> int | None:
        return self.there[key]

    def used(self, key: LimitKey) -> int:
        return sum(each.weight for each in self.held if key in each.keys)

    def first(self, key: LimitKey) -> Waiting | None:
        return min((each for each in self.waiting if key in each.keys), key=_order, default=None)

    def is_gone(self, waiting: Waiting) -> bool:
        return waiting.number in self.gone

    def grant(self, waiting: Waiting) -> None:
        self.waiting.remove(waiting)
        self.held.append(waiting)

    def drop(self, waiting: Waiting) -> None:
        self.waiting.remove(waiting)


def _order(each: Waiting) -> tuple[int, int]:
    return each.rank, each.number


def granted(book: Book, *keys: LimitKey) -> list[int]:
    return [each.number for each in settle(book, keys or (A, B)).granted]


def test_slots_go_to_the_first_as_far_as_they_reach() -> None:
    book = Book({A: 2}, [Waiting(number, 0, 1, (A,)) for number in range(4)])
    assert granted(book, A) == [0, 1]
    assert [each.number for each in settle(book, (A,)).heads] == [2]


def test_who_needs_more_is_not_overtaken() -> None:
    book = Book({A: 3}, [Waiting(1, 0, 2, (A,)), Waiting(2, 0, 2, (A,)), Waiting(3, 0, 1, (A,))])
    assert granted(book, A) == [1]


def test_the_urgent_come_first() -> None:
    book = Book({A: 1}, [Waiting(1, 0, 1, (A,)), Waiting(2, -5, 1, (A,))])
    assert granted(book, A) == [2]


def test_all_lines_are_had_at_once_or_none() -> None:
    book = Book({A: 1, B: 1}, [Waiting(2, 0, 1, (A, B)), Waiting(3, 0, 1, (B,))], [Waiting(1, 0, 1, (A,))])
    assert granted(book) == []
    book.held.clear()
    assert granted(book) == [2]
    book.held.clear()
    assert granted(book) == [3]


def test_the_gone_are_passed_over_in_every_line() -> None:
    book = Book({A: 1, B: 1}, [Waiting(1, 0, 1, (A, B)), Waiting(2, 0, 1, (B,)), Waiting(3, 0, 1, (A,))], gone={1})
    assert sorted(granted(book, A)) == [2, 3]


def test_who_needs_more_than_there_is_holds_nobody_up() -> None:
    book = Book({A: 1}, [Waiting(1, 0, 2, (A,)), Waiting(2, 0, 1, (A,))])
    settled = settle(book, (A,))
    assert ([each.number for each in settled.refused], [each.number for each in settled.granted]) == ([1], [2])


def test_without_a_limit_nobody_waits() -> None:
    book = Book({A: None}, [Waiting(number, 0, 1, (A,)) for number in range(3)])
    assert granted(book, A) == [0, 1, 2]


_PLACES = st.lists(
    st.tuples(st.integers(-1, 1), st.integers(1, 3), st.sampled_from([(A,), (B,), (A, B), (B, A)])), max_size=12
)


@given(_PLACES, st.integers(1, 3), st.integers(1, 3), st.sets(st.integers(0, 11)))
def test_nothing_is_exceeded_and_nobody_waits_without_need(
    places: list[tuple[int, int, tuple[LimitKey, ...]]], a: int, b: int, gone: set[int]
) -> None:
    waiting = [Waiting(number, *place) for number, place in enumerate(places)]
    book = Book({A: a, B: b}, list(waiting), gone=gone)
    settle(book, (A, B))
    assert book.used(A) <= a
    assert book.used(B) <= b
    assert not gone.intersection(each.number for each in book.held)
    left = sorted(book.waiting, key=_order)
    if left:  # the very first of all does not fit
        first = left[0]
        assert any(book.used(key) + first.weight > (a if key == A else b) for key in first.keys)
    for each in book.held:  # nobody was overtaken in a line
        for key in each.keys:
            before = [other for other in book.waiting if key in other.keys and _order(other) < _order(each)]
            assert not before
