"""Tables as JSON: lists of dicts or lists, dicts of lists, and data frames of libraries that have some.

What a table cannot show is refused, with the column and the row. May import: core, writing (its errors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec

from surefoot.artifacts.writing import ArtifactTypeError, ArtifactValueError

__all__ = ["json_bytes", "table_bytes"]

_DEPTH_MAX: Final = 20
_AS_IT_IS: Final = frozenset({str, bool, type(None)})
_NOTHING: Final = frozenset({"NaTType", "NAType"})  # of pandas, which is not asked for by import
_WAYS: Final = "a list of dicts, a dict of lists, a list of lists, or a data frame"
_INTEGER_MAX: Final = 1 << 63  # what JSON readers take for a whole number

_encode = msgspec.json.Encoder().encode


def table_bytes(table: Any) -> bytes:
    """The JSON of a table. Raises ArtifactTypeError and ArtifactValueError, which name what it cannot show."""
    rows = _plain(table)
    if isinstance(rows, Mapping):
        return _encoded(_of_columns(rows))
    if not isinstance(rows, Sequence) or isinstance(rows, (str, bytes, bytearray, memoryview)):
        raise ArtifactTypeError(f"table is of type {type(table).__name__}.", do=f"Pass {_WAYS}.")
    return _encoded(_of_rows(rows))


def json_bytes(value: Any, what: str) -> bytes:
    """The JSON of a value of any shape. Raises as `table_bytes`."""
    return _encoded(_cell(value, (what,)))


def _plain(table: Any) -> Any:
    """A data frame as its rows; anything else as it is."""
    library = type(table).__module__.partition(".")[0]
    if library == "pandas" and hasattr(table, "columns"):
        index = table.index
        if index.name is not None or getattr(index, "nlevels", 1) > 1:
            table = table.reset_index()
        names = _unique([_column_name(name) for name in table.columns])
        return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]
    for method in ("to_dicts", "to_pylist"):  # polars; arrow
        if library in ("polars", "pyarrow") and hasattr(table, method):
            return getattr(table, method)()
    if library == "polars" and hasattr(table, "collect"):
        raise ArtifactTypeError("table is a LazyFrame, which has no rows yet.", do="Pass table.collect().")
    if library == "numpy" and getattr(table, "ndim", 0) == 2:
        return table.tolist()
    return table


def _column_name(name: Any) -> str:
    return " ".join(str(part) for part in name if str(part)) if isinstance(name, tuple) else str(name)


def _unique(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ArtifactValueError(f"Two columns of the table are called {name!r}.", do="Rename one.")
    return names


def _of_columns(columns: Mapping[Any, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, values in columns.items():
        name = _column_name(key)
        if name in found:
            raise ArtifactValueError(f"Two columns of the table are called {name!r}.", do="Rename one.")
        listed = (
            values.tolist() if hasattr(values, "tolist") else values.to_list() if hasattr(values, "to_list") else values
        )
        if not isinstance(listed, (list, tuple)):
            raise ArtifactTypeError(
                f"The column {name!r} of the table is of type {type(values).__name__}.", do=f"Pass {_WAYS}."
            )
        found[name] = [
            value if type(value) in _AS_IT_IS else _cell(value, ("column %r, row %d", name, number))
            for number, value in enumerate(listed)
        ]
    first = next(iter(found), "")
    for name, cells in found.items():
        if len(cells) != len(found[first]):
            raise ArtifactValueError(
                f"The column {name!r} of the table has {len(cells):,} rows, and {first!r} has {len(found[first]):,}.",
                do="Make all columns equally long: None stands for what is missing.",
            )
    return found


def _of_rows(rows: Sequence[Any]) -> list[Any]:
    if not rows:
        return []
    if isinstance(rows[0], Mapping):
        return [_named(row, number) for number, row in enumerate(rows)]
    width = len(rows[0]) if isinstance(rows[0], (list, tuple)) else 0
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)):
            raise _wrong_row(row, number)
        if len(row) != width:
            raise ArtifactValueError(
                f"Row {number} of the table has {len(row)} cells, and row 0 has {width}.",
                do="Make all rows equally long: None stands for what is missing.",
            )
        found.append(
            [
                value if type(value) in _AS_IT_IS else _cell(value, ("column %d, row %d", at, number))
                for at, value in enumerate(row)
            ]
        )
    return found


def _named(row: Any, number: int) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise _wrong_row(row, number)
    return {
        str(name): value if type(value) in _AS_IT_IS else _cell(value, ("column %r, row %d", str(name), number))
        for name, value in row.items()
    }


def _wrong_row(row: Any, number: int) -> ArtifactTypeError:
    return ArtifactTypeError(f"Row {number} of the table is of type {type(row).__name__}.", do=f"Pass {_WAYS}.")


def _cell(value: Any, where: tuple[Any, ...], depth: int = 0) -> Any:
    """What stands for a value in JSON. Raises for what has nothing; `where` that is: a template and its values."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        return value if -_INTEGER_MAX <= value < _INTEGER_MAX else str(value)
    if kind is float or isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return _cell(value.value, where, depth)
    if isinstance(value, int):
        return int(value) if -_INTEGER_MAX <= value < _INTEGER_MAX else str(value)
    if kind.__name__ in _NOTHING:
        return None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (str, Decimal, UUID, PurePath, timedelta)):
        return str(value)
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        return _cell(value.tolist(), where, depth + 1)
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return {str(name): _cell(each, where, depth + 1) for name, each in value.items()}
    if depth < _DEPTH_MAX and isinstance(value, (list, tuple, set, frozenset)):
        return [_cell(each, where, depth + 1) for each in value]
    what = "is nested too deep" if depth >= _DEPTH_MAX else f"is of type {kind.__name__}, which JSON has not"
    raise ArtifactTypeError(
        f"What stands in {where[0] % where[1:]} {what}.", do="Pass it as a text or a number: str(value)."
    )


def _encoded(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a text that is no Unicode: the name of a file in another encoding
        return _encode(_readable(value))


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_readable(name): _readable(each) for name, each in value.items()}
    return [_readable(each) for each in value] if isinstance(value, list) else value
