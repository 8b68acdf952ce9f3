"""Lines: first come, first served; the dead and the late lose their place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.lines import Line, Place


def test_the_next_in_line_gets_the_lock_when_it_is_released() -> None:
    line = Line([])
    assert [line.ask(Place(ticket, ticket), 0).is_done for ticket in "abc"] == [True, False, False]
    assert line.release("a", 1)
    assert line.holder == "b"
    assert [place.ticket for place in line.called] == ["b"]
    assert line.ask(Place("b", "b"), 2).is_done


def test_who_holds_a_lock_gets_it_again() -> None:
    line = Line([])
    line.ask(Place("1", "ann"), 0)
    assert line.ask(Place("2", "ann"), 0).is_done
    assert len(line.places) == 1


def test_a_lock_held_too_long_goes_to_the_next_whose_own_time_begins_then() -> None:
    line = Line([])
    line.ask(Place("1", "ann", hold_us=10), 0)
    assert line.ask(Place("2", "ben", hold_us=10), 5) == (False, 10)
    assert line.ask(Place("2", "ben", hold_us=10), 12).is_done
    assert not line.release("ann", 12)
    assert line.ask(Place("3", "cleo"), 12).until_us == 22


def test_the_dead_are_passed_over_wherever_they_stand() -> None:
    line = Line([])
    for ticket in "abcd":
        line.ask(Place(ticket, ticket, owner=ticket), 0)
    line = Line(line.places, 1, lambda place: place.owner in "abc")
    assert line.holder == "d"
    assert [place.ticket for place in line.called] == ["d"]
    assert [place.ticket for place in line.places] == ["d"]


def test_who_watches_is_told_of_that_end_and_of_no_other() -> None:
    line = Line([])
    assert line.watch(Place("w", ""), 0).is_done
    line.ask(Place("1", "ann"), 0)
    line.ask(Place("2", "ben"), 0)
    watcher = Place("w", "")
    assert not line.watch(watcher, 0).is_done
    line.release("ann", 1)
    assert {place.ticket for place in line.called} == {"2", "w"}
    assert line.watch(watcher, 1).is_done
    assert line.holder == "ben"


_STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "leave", "release", "die", "late"]), st.integers(0, 5)), min_size=1, max_size=60
)


@given(_STEPS)
def test_at_most_one_has_the_lock_and_it_is_the_first_that_lives(steps: list[tuple[str, int]]) -> None:
    dead: set[str] = set()
    places: list[Place] = []
    waiting: list[str] = []  # the model: in the order in which they came, the first has the lock
    for now_us, (verb, number) in enumerate(steps):
        name = str(number)
        line = Line(places, now_us, lambda place: place.owner in dead)
        waiting = [it for it in waiting if it not in dead]
        if verb == "ask" and name not in dead:
            line.ask(Place(name, name, owner=name), now_us)
            if name not in waiting:
                waiting.append(name)
        elif verb == "leave":
            line.leave(name, now_us)
            waiting = [it for it in waiting if it != name]
        elif verb == "release":
            had_it = bool(waiting) and waiting[0] == name
            assert line.release(name, now_us) == had_it
            waiting = waiting[had_it:]
        elif verb == "die":
            dead.add(name)
            line = Line(line.places, now_us, lambda place: place.owner in dead)
            waiting = [it for it in waiting if it not in dead]
        places = line.places
        assert line.holder == (waiting[0] if waiting else None)
        assert sum(place.has_it for place in places) <= 1
        assert [it.ticket for it in places if it.owner not in dead] == waiting
