"""Keys: a value hashes alike in every process, another one otherwise; what has no hash is said with the reason."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import task
from surefoot.engine.hashing import NoHash, hash_of
from surefoot.engine.keys import source_hash

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(st.text(max_size=4) | st.integers(), max_size=4)
    ),
    max_leaves=12,
)


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name
        self.parts = {"b", "a", "c"}


@given(PLAIN)
def test_a_copy_hashes_as_the_value_itself(value: Any) -> None:
    import copy

    assert hash_of(copy.deepcopy(value)) == hash_of(value)


@given(PLAIN, PLAIN)
def test_values_that_differ_hash_differently(one: Any, other: Any) -> None:
    if repr(one) != repr(other) and one != other:
        assert hash_of(one) != hash_of(other)


LIKE_ANOTHER = [
    1,
    True,
    1.0,
    "1",
    b"1",
    [1],
    (1,),
    {1},
    frozenset({1}),
    {1: 1},
    [[1]],
    None,
    "None",
    1j,
    Decimal(1),
    ...,
]


def test_values_that_python_takes_for_equal_are_told_apart_by_their_types() -> None:
    assert len({hash_of(value) for value in LIKE_ANOTHER}) == len(LIKE_ANOTHER)


IN_ANY_PROCESS = """
import sys, datetime, decimal, pathlib, uuid
import numpy, pandas
sys.path.insert(0, sys.argv[1])
import tests.engine.test_keys as here
for value in here.SAMPLES:
    print(here.hash_of(value).hex())
"""


def _adds(number: int, more: int = 2) -> int:
    return number + more


SAMPLES: list[Any] = [
    {"b", "a", "c"},
    {"x": [1, 2.5, {"y", "z"}]},
    Point(1, {"q", "w", "e"}),
    Thing("one"),
    Colour.RED,
    datetime(2026, 1, 2, tzinfo=UTC),
    date(2026, 1, 2),
    Decimal("1.50"),
    Path("/tmp/x"),
    UUID(int=7),
    np.arange(12).reshape(3, 4),
    np.array(["a", "b"]),
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    _adds,
    functools.partial(_adds, more=3),
    Thing,
    os.path.join,
    len,
    range(3),
    "é\udce9",
    1 << 200,
]


def test_every_process_hashes_alike_whatever_its_hash_seed() -> None:
    root = str(Path(__file__).parents[2])
    found = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", IN_ANY_PROCESS, root], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found[0] == found[1]
    assert len(set(found[0])) == len(SAMPLES)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (threading.Lock(), "cannot be compared: TypeError"),
        ((number for number in [1]), "cannot be compared: TypeError"),
        (b"x" * (1 << 20) + b"x", "is larger than 1 MiB"),
        (list(range(1 << 19)), "is larger than 1 MiB"),
        (np.zeros(1 << 20), "is larger than 1 MiB"),
        (pd.DataFrame({"a": range(1 << 18)}), "is larger than 1 MiB"),
        (["y" * 1000 for _ in range(2000)], "is larger than 1 MiB"),
    ],
    ids=["lock", "generator", "bytes", "items", "array", "frame", "texts"],
)
def test_what_has_no_hash_is_said_with_the_reason(value: Any, why: str) -> None:
    with pytest.raises(NoHash, match=why):
        hash_of(value)
    with pytest.raises(NoHash, match=why):
        hash_of({"inside": [value]})


def test_a_container_may_hold_itself() -> None:
    def holds_itself(first: int) -> list[Any]:
        value: list[Any] = [first]
        value.append({"me": value})
        return value

    assert hash_of(holds_itself(1)) == hash_of(holds_itself(1)) != hash_of(holds_itself(2))


def test_what_is_nested_too_deeply_has_no_hash() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(NoHash, match="nested too deeply"):
        hash_of(deep)


def _made(text: str) -> Callable[..., Any]:
    space: dict[str, Any] = {}
    exec(text, space)  # the code to compare is the point
    found: Callable[..., Any] = space["f"]
    return found


def test_a_functions_code_counts_and_not_how_it_is_written() -> None:
    first = _made("def f(x):\n    return x + 1\n")
    assert source_hash(first) == source_hash(_made("\n\n# a remark\ndef f(x):\n\n    return (x   + 1)  # more\n"))
    others = [
        "def f(x):\n    return x + 2\n",
        "def f(x, y=1):\n    return x + 1\n",
        "def f(x):\n    return g(x) + 1\n",
        "async def f(x):\n    return x + 1\n",
        "def f(x):\n    return [y + 1 for y in x]\n",
        "def f(x):\n    return [y + 2 for y in x]\n",
        "def f(x):\n    return x in {'a', 'b'}\n",
    ]
    assert len({source_hash(_made(text)) for text in others} | {source_hash(first)}) == len(others) + 1
    assert source_hash(_made("def f(x=1):\n    return x\n")) != source_hash(_made("def f(x=2):\n    return x\n"))


def test_what_a_closure_holds_counts_where_it_is_an_input() -> None:
    def adder(more: int) -> Callable[[int], int]:
        return lambda number: number + more

    assert hash_of(adder(1)) == hash_of(adder(1)) != hash_of(adder(2))


def test_a_task_given_as_an_input_counts_by_its_name_and_code() -> None:
    assert hash_of(task(_adds)) == hash_of(task(_adds)) != hash_of(task(name="other")(_adds))
