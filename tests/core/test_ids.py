"""Ids: in order of time, unique whoever makes them, whatever the program does with its own random numbers."""

import os
import random
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.ids import instant_us, new_id, state_id, to_text, to_uuid


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(100):
        uuid = to_uuid(new_id())
        assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")


def test_an_id_carries_the_instant_at_which_it_was_made() -> None:
    before_us = time.time_ns() // 1000
    raw = new_id()
    assert before_us - 1 <= instant_us(raw) <= time.time_ns() // 1000


def test_ids_sort_by_the_time_at_which_they_were_made() -> None:
    made = [new_id() for _ in range(2000)]
    instants = [instant_us(raw) for raw in made]
    assert instants == sorted(instants)
    assert all(a < b for (a, b), (t, u) in zip(pairwise(made), pairwise(instants), strict=True) if t < u)


def test_threads_never_make_the_same_id() -> None:
    made: list[list[bytes]] = [[] for _ in range(8)]
    start = threading.Barrier(len(made))

    def make(mine: list[bytes]) -> None:
        start.wait()
        mine.extend([new_id() for _ in range(5000)])

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({raw for mine in made for raw in mine}) == 40_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_makes_ids_of_its_own() -> None:
    def make() -> list[bytes]:
        return [new_id()[8:] for _ in range(500)]  # the unique bits alone: the instants may be the same

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"".join(make()))
        os._exit(0)
    os.close(writer)
    own = make()
    with open(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    childs = [raw[i : i + 8] for i in range(0, len(raw), 8)]
    assert len({*own, *childs}) == 1000


def test_the_programs_own_random_seed_has_no_say() -> None:
    random.seed(1)
    first = [new_id()[8:] for _ in range(10)]
    random.seed(1)
    assert not {*first} & {new_id()[8:] for _ in range(10)}
    assert random.random() == random.Random(1).random()  # nor do ids use up the program's numbers


@given(st.binary(min_size=16, max_size=16))
def test_the_text_of_an_id_is_that_of_its_uuid(raw: bytes) -> None:
    assert to_text(raw) == str(to_uuid(raw))


@given(
    st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 1000), st.integers(0, 10**6)),
        unique=True,
        max_size=50,
    )
)
def test_a_states_id_follows_from_run_epoch_and_number_alone(places: list[tuple[bytes, int, int]]) -> None:
    ids = [state_id(*place) for place in places]
    assert ids == [state_id(*place) for place in places]
    assert len(set(ids)) == len(places)
    assert {to_uuid(raw).version for raw in ids} <= {8}
