"""Hashes of contents: equal where values are, the same in every process, whole however large."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import subprocess
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.engine.contents import content_hash
from surefoot.engine.hashing import NoHash
from surefoot.exceptions import HashError
from surefoot.states import Completed
from surefoot.utilities.hashing import hash_objects


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    tags: set[str]


class Model(pydantic.BaseModel):
    a: int
    b: dict[str, int] = {}


def half(x: float) -> float:
    return x / 2


def values() -> dict[str, Any]:
    """One of each kind that is promised to hash, made anew."""
    return {
        "plain": [1, 1.5, "ü", b"x", None, True, 2**80, -0.0, float("inf"), "\ud800"],
        "nested": {"a": {"b": [(1, 2), {3, 4}]}, "c": frozenset("abcdefgh")},
        "set of texts": {f"text {number}" for number in range(100)},
        "large text": "x" * 10_000,
        "large bytes": bytes(10_000),
        "array": array("d", [1.0, 2.0]),
        "dates": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 1), dt.timedelta(1)],
        "others": [decimal.Decimal("1.5"), PurePosixPath("/a"), Colour.RED, Point, 1 + 2j, range(3)],
        "dataclass": Point(1, {"a", "b", "c"}),
        "model": Model(a=1),
        "function": half,
        "partial": partial(half, 3),
        "numpy": np.arange(1000.0).reshape(10, 100),
        "numpy of texts": np.array(["a", "bb"]),
        "numpy of objects": np.array(["a", 1, None], dtype=object),
        "numpy scalar": np.float32(1.5),
        "frame": pd.DataFrame({"n": [1, 2], "t": ["a", "b"], "d": pd.to_datetime(["2026-01-01", "2026-01-02"])}),
        "series": pd.Series([1.0, None], name="s"),
        "categories": pd.Series(["a", "b", "a"], dtype="category"),
        "state": Completed(data=[1]),
    }


def hashes() -> dict[str, str]:
    return {name: content_hash(value).hex() for name, value in values().items()}


def test_the_hash_is_the_same_in_every_process() -> None:
    root = Path(__file__).parents[2]
    code = "import json; from tests.engine.test_contents import hashes; print(json.dumps(hashes()))"
    found = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == hashes()
    assert len(set(found[0].values())) == len(found[0])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
    ),
    max_leaves=20,
)


def kinds(value: Any) -> Any:
    """A value as JSON-like text that tells apart what Python's == does not: 1, 1.0 and True, tuple and list."""
    if isinstance(value, dict):
        return sorted((kinds(key), kinds(part)) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}{[kinds(part) for part in value]}"
    return f"{type(value).__name__} {value!r}"


def test_the_order_of_keys_does_not_count_wherever_tuples_stand() -> None:
    assert content_hash({"a": (1,), "b": [1]}) == content_hash({"b": [1], "a": (1,)})
    assert content_hash({"a": (1,), "b": [1]}) != content_hash({"b": (1,), "a": [1]})
    assert content_hash([{"b": 1, "a": 2}]) == content_hash([{"a": 2, "b": 1}]) != content_hash([{"a": 1, "b": 2}])


@given(plain, plain)
def test_hashes_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    assert (content_hash(one) == content_hash(other)) == (repr(kinds(one)) == repr(kinds(other)))


@given(st.dictionaries(st.text() | st.integers(), plain))
def test_the_order_of_keys_does_not_count(value: dict[Any, Any]) -> None:
    assert content_hash(dict(reversed(value.items()))) == content_hash(value)


def test_one_part_of_a_large_value_makes_another_hash() -> None:
    rows = [{"n": number, "t": "x" * 50} for number in range(2000)]
    before = content_hash(rows)
    rows[1234]["n"] = -1
    assert content_hash(rows) != before
    numbers = np.zeros(3_000_000)
    before = content_hash(numbers)
    numbers[1_234_567] = 1
    assert content_hash(numbers) != before
    assert content_hash(list(range(300_000))) != content_hash(list(range(300_001)))


def test_how_a_value_came_to_be_does_not_count() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    built = pd.DataFrame({"a": [1, 2]})
    built["b"] = [3, 4]
    frame.describe()
    assert content_hash(frame) == content_hash(built)
    assert content_hash(pd.concat([frame.iloc[:1], frame.iloc[1:]])) == content_hash(frame.set_index(pd.Index([0, 1])))
    assert content_hash(Model(a=1)) == content_hash(Model(a=1, b={}))
    assert content_hash(np.arange(10)[::2]) == content_hash(np.arange(0, 10, 2))
    assert content_hash(np.asfortranarray(np.eye(3, 4))) == content_hash(np.eye(3, 4))
    wide = pd.DataFrame(np.zeros((2, 700)))
    wide[3].sum()
    assert content_hash(wide) == content_hash(pd.DataFrame(np.zeros((2, 700))))


def test_frames_of_polars_are_hashed_by_their_values() -> None:
    pl = pytest.importorskip("polars", reason="polars is not among what the tests install")

    def made() -> Any:
        return pl.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None], "l": [[1], [2, 3], []]})

    frame = made()
    assert content_hash(pl.concat([frame[:1], frame[1:]], rechunk=False)) == content_hash(made())
    assert content_hash(frame.filter(pl.col("n") > 1)["t"]) == content_hash(pl.Series("t", ["b", None]))
    assert content_hash(frame) != content_hash(frame.with_columns(n=pl.lit(1)))
    assert content_hash(pl.Series("n", [1, None])) != content_hash(pl.Series("n", [1, 0]))


def test_what_differs_has_another_hash() -> None:
    different = [
        {"a": 1},
        OrderedDict(a=1),
        [("a", 1)],
        Point(1, set()),
        Model(a=1),
        Model(a=2),
        np.zeros(3),
        np.zeros(3, dtype="f4"),
        np.zeros((3, 1)),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"b": [1]}),
        pd.DataFrame({"a": [1]}, index=[1]),
        pd.Series([1], name="a"),
    ]
    assert len({content_hash(value) for value in different}) == len(different)


@pytest.mark.parametrize(
    "make",
    [threading.Lock, lambda: [threading.Lock()], lambda: {"a": (letter for letter in "ab")}, lambda: threading.local()],
)
def test_what_cannot_be_hashed_says_why(make: Callable[[], Any]) -> None:
    value = make()
    with pytest.raises(NoHash, match="cannot be compared: TypeError: cannot pickle"):
        content_hash(value)
    assert hash_objects(1, x=value) is None
    with pytest.raises(HashError, match=r"The x, a \w+, cannot be"):
        hash_objects(1, x=value, raise_on_failure=True)


def test_a_value_that_holds_itself_has_a_hash_and_one_too_deep_has_none() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert content_hash(loop) == content_hash(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NoHash, match="nested too deeply"):
        content_hash(deep)


def test_hash_objects_tells_arguments_apart() -> None:
    assert hash_objects(1, 2) != hash_objects([1, 2])
    assert hash_objects(1, a=2) != hash_objects(1, b=2)
    assert hash_objects(a=1, b=2) == hash_objects(b=2, a=1)
