"""How rows get into tables of PostgreSQL: many by COPY, straight into their table where they are new, else through a
staging table and by one statement from there. Measured, that takes a quarter of the time of a statement a row.

May import: the parameters beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple
from zlib import crc32

import psycopg
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    UpdateBase,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.visitors import replacement_traverse

from surefoot.ledger.dialects.postgres_parameters import visible

__all__ = ["begun", "insert_missing", "insert_new", "quoted", "upsert", "write_many"]

Rows = Sequence[Mapping[str, Any]]

_USED: Final = "surefoot_staging"  # the staging tables that this transaction has used
_FEW: Final = 8  # rows up to which a statement a row is quicker than staging them
_DIALECT: Final = psycopg_dialect()  # type: ignore[no-untyped-call]


def begun(connection: Connection) -> None:
    """To be called when a transaction begins: all staging tables are empty."""
    connection.info[_USED] = set()


def insert_new(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert whole rows whose keys are not there."""
    if len(rows) <= _FEW:
        _one_by_one(connection, _text_of(insert(table)), rows)
    else:
        _copy(connection, _insert_missing(table).direct, rows)


def upsert(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert whole rows of different keys; one whose key is there replaces the row that bears it."""
    _insert(connection, _upsert(table), rows)


def insert_missing(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows; one whose key is there changes nothing."""
    _insert(connection, _insert_missing(table), rows)


def write_many(connection: Connection, statement: UpdateBase, rows: Rows) -> None:
    """Run an update once for each row, all of which have the same keys: those of the statement's parameters."""
    if len(rows) <= _FEW:
        _one_by_one(connection, _text_of(statement), rows)
        return
    staged, joined = _joined(statement)
    _stage(connection, staged, rows)
    # The planner takes a staging table for what it is not, and would rather walk through all of history than look up
    # each row by its key.
    connection.exec_driver_sql("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
    connection.exec_driver_sql(joined)
    connection.exec_driver_sql("SET LOCAL enable_hashjoin = DEFAULT; SET LOCAL enable_mergejoin = DEFAULT")


class _Insert(NamedTuple):
    """How rows get into a table."""

    one: str  # with parameters
    many: str  # from the staging table
    staged: _Staged
    direct: _Copy


class _Copy(NamedTuple):
    """How rows are copied into a table."""

    text: str
    types: list[str]
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    texts: Callable[[Mapping[str, Any]], tuple[Any, ...]]  # those values of a row that are text


class _Staged(NamedTuple):
    """A temporary table that rows are copied into, of which a session has one of each kind."""

    name: str
    make: str
    copy: _Copy


def _insert(connection: Connection, how: _Insert, rows: Rows) -> None:
    if len(rows) <= _FEW:
        _one_by_one(connection, how.one, rows)
        return
    _stage(connection, how.staged, rows)
    connection.exec_driver_sql(how.many)


def _one_by_one(connection: Connection, text: str, rows: Rows) -> None:
    if rows:
        connection.exec_driver_sql(text, [dict(row) for row in rows])


@cache
def _upsert(table: Table) -> _Insert:
    keys = [column.name for column in table.primary_key.columns]
    changed = ", ".join(
        f"{quoted(column.name)} = excluded.{quoted(column.name)}" for column in table.columns if column.name not in keys
    )
    return _how(table, f"ON CONFLICT ({', '.join(map(quoted, keys))}) DO UPDATE SET {changed}")


@cache
def _insert_missing(table: Table) -> _Insert:
    return _how(table, "ON CONFLICT DO NOTHING")


def _how(table: Table, conflict: str) -> _Insert:
    staged = _staging(table.name, table.columns.values())
    names = ", ".join(quoted(column.name) for column in table.columns)
    many = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {staged.name} {conflict}"
    direct = _copying(table.name, table.columns.values())
    return _Insert(f"{_text_of(insert(table))} {conflict}", many, staged, direct)


@cache
def _text_of(statement: UpdateBase) -> str:
    return str(statement.compile(dialect=_DIALECT))


@cache
def _joined(statement: UpdateBase) -> tuple[_Staged, str]:
    """An update with parameters as one from a staging table, of which each parameter is a column."""
    kinds = {name: bind.type for name, bind in statement.compile(dialect=_DIALECT).binds.items()}
    columns = [Column(name, kind) for name, kind in kinds.items()]
    updated: Any = statement.table
    staged = _staging(f"{updated.name}_changes", columns)
    table = Table(staged.name, MetaData(), *columns)

    def replace(element: Any, **_: Any) -> Any:
        return table.c[element.key] if isinstance(element, BindParameter) else None

    return staged, _text_of(replacement_traverse(statement, {}, replace))


def _staging(name: str, columns: Iterable[Column[Any]]) -> _Staged:
    own = [Column(column.name, column.type) for column in columns]
    # Named by its columns too: a session that a pooler hands on may have one of an older version.
    shape = crc32(repr([(column.name, _kind(column)) for column in own]).encode())
    table = Table(f"surefoot_{name}_{shape:08x}", MetaData(), *own, prefixes=["TEMPORARY"])
    make = str(CreateTable(table, if_not_exists=True).compile(dialect=_DIALECT)).strip()
    return _Staged(table.name, f"{make} ON COMMIT DELETE ROWS", _copying(table.name, own))


def _copying(name: str, columns: Sequence[Column[Any]]) -> _Copy:
    kinds = [_kind(column) for column in columns]
    names = [column.name for column in columns]
    texts = [name for name, kind in zip(names, kinds, strict=True) if kind == "text"]
    return _Copy(
        f"COPY {name} ({', '.join(map(quoted, names))}) FROM STDIN (FORMAT BINARY)",
        kinds,
        itemgetter(*names),
        # Twice the first, so that it gives a tuple of one, too.
        itemgetter(texts[0], *texts) if texts else lambda row: (),
    )


_KINDS: Final = {SmallInteger: "int2", BigInteger: "int8", Integer: "int4", LargeBinary: "bytea"}


def _kind(column: Column[Any]) -> str:
    return next((kind for cls, kind in _KINDS.items() if isinstance(column.type, cls)), "text")


def quoted(name: str) -> str:
    """A name as it stands in SQL: `offset` is a word of its own there."""
    return f'"{name}"'


def _stage(connection: Connection, staged: _Staged, rows: Rows) -> None:
    used = connection.info[_USED]
    if staged.name in used:
        connection.exec_driver_sql(f"DELETE FROM {staged.name}")
    else:
        connection.exec_driver_sql(staged.make)
        used.add(staged.name)
    _copy(connection, staged.copy, rows)


def _copy(connection: Connection, how: _Copy, rows: Rows) -> None:
    pick, texts = how.pick, how.texts
    driver: Any = connection.connection.driver_connection
    with _errors_as_ever(connection, how.text), driver.cursor() as cursor, cursor.copy(how.text) as copy:
        copy.set_types(how.types)
        for row in rows:
            values = pick(row)
            if "\0" in "".join([text for text in texts(row) if text]):
                values = tuple(visible(value) if isinstance(value, str) else value for value in values)
            copy.write_row(values)


@contextmanager
def _errors_as_ever(connection: Connection, text: str) -> Iterator[None]:
    """Errors of the driver, which is used without SQLAlchemy here, as SQLAlchemy raises them."""
    try:
        yield
    except psycopg.Error as error:
        driver: Any = connection.connection.driver_connection
        lost = bool(driver.closed)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            text, None, error, psycopg.Error, connection_invalidated=lost, dialect=connection.dialect
        ) from error
