"""Tables: every shape becomes JSON that says the same, and what none can show is refused by its place."""

from __future__ import annotations

import decimal
import enum
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.artifacts.tables import table_bytes
from surefoot.cli.artifact_content import table_of
from surefoot.exceptions import BadInput


def read(table: Any) -> Any:
    return json.loads(table_bytes(table))


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ({"a": [1, 2], "b": ("x", None)}, {"a": [1, 2], "b": ["x", None]}),
        ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
        ([[1, "x"], (2, None)], [[1, "x"], [2, None]]),
        ([], []),
        ({}, {}),
        ([[]], [[]]),
        ({1: [2], "n": np.array([3])}, {"1": [2], "n": [3]}),
        ({"s": pd.Series([1.5, None])}, {"s": [1.5, None]}),
        ({"s": pl.Series([1, None])}, {"s": [1, None]}),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.DataFrame({"a": [1, 2], "b": [None, pd.NaT]}), [{"a": 1, "b": None}, {"a": 2, "b": None}]),
        (pd.DataFrame({"a": [1]}, index=pd.Index([7], name="id")), [{"id": 7, "a": 1}]),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("x", "a"), ("y", "")])), [{"x a": 1, "y": 2}]),
        (
            pl.DataFrame({"a": [1, None], "d": [date(2025, 3, 5), None]}),
            [{"a": 1, "d": "2025-03-05"}, {"a": None, "d": None}],
        ),
    ],
)
def test_each_shape_is_taken(table: Any, rows: Any) -> None:
    assert read(table) == rows
    assert table_of(read(table)) is not None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float64("nan"), None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2025-03-05T07:00"), "2025-03-05T07:00:00"),
        (np.datetime64("2025-03-05"), "2025-03-05"),
        (datetime(2025, 3, 5, 7, tzinfo=UTC), "2025-03-05T07:00:00+00:00"),
        (time(7, 30), "07:30:00"),
        (timedelta(hours=30), "1 day, 6:00:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (PurePosixPath("/srv/a"), "/srv/a"),
        (Colour.RED, "red"),
        (1 << 70, str(1 << 70)),
        (-5, -5),
        ({"k": (1, {2})}, {"k": [1, [2]]}),
        ("\ud800", "\\ud800"),
    ],
)
def test_each_value_shows_as_what_it_says(value: Any, shown: Any) -> None:
    assert read([[value]]) == [[shown]]
    assert read([{"a": value}]) == [{"a": shown}]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def itself() -> list[Any]:
    rows: list[Any] = []
    rows.append(rows)
    return [rows]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"a": [1, 2], "b": [1]}, "The column 'b' of the table has 1 rows, and 'a' has 2."),
        ({"a": 5}, "The column 'a' of the table is of type int."),
        ({"a": "text"}, "The column 'a' of the table is of type str."),
        ({1: [1], "1": [2]}, "Two columns of the table are called '1'."),
        ([[1, 2], [3]], "Row 1 of the table has 1 cells, and row 0 has 2."),
        ([{"a": 1}, [2]], "Row 1 of the table is of type list."),
        ([[1], {"a": 1}], "Row 1 of the table is of type dict."),
        ([1, 2], "Row 0 of the table is of type int."),
        ("a,b", "table is of type str."),
        (b"a,b", "table is of type bytes."),
        (None, "table is of type NoneType."),
        ({1, 2}, "table is of type set."),
        ((row for row in [[1]]), "table is of type generator."),
        (pl.LazyFrame({"a": [1]}), "table is a LazyFrame, which has no rows yet. Pass table.collect()."),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Two columns of the table are called 'a'."),
        ([{"a": 1}, {"a": object()}], "What stands in column 'a', row 1 is of type object, which JSON has not."),
        ({"a": [b"raw"]}, "What stands in column 'a', row 0 is of type bytes, which JSON has not."),
        ([[1, 1j]], "What stands in column 1, row 0 is of type complex, which JSON has not."),
        ([[nested(50)]], "What stands in column 0, row 0 is nested too deep."),
        (itself(), "What stands in column 0, row 0 is nested too deep."),
    ],
)
def test_what_no_table_can_show_is_refused_by_its_place(table: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        table_bytes(table)
    assert told in str(refused.value)
    assert isinstance(refused.value, (TypeError, ValueError))


cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.decimals(allow_nan=False)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6)))
def test_rows_dicts_and_columns_of_the_same_cells_show_the_same(rows: list[list[Any]]) -> None:
    names = [f"c{n}" for n in range(len(rows[0]) if rows else 0)]
    dicts = [dict(zip(names, row, strict=True)) for row in rows]
    columns = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    found = [table_of(read(shape)) for shape in (rows, dicts, columns)]
    assert all(each is not None and each[1] == found[0][1] for each in found if found[0])
