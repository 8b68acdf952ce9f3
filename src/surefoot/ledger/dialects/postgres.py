"""PostgreSQL: the engine on a server, and the few statements that other databases write otherwise. May import: tables.

Transactions that write come one after another here too: each takes an advisory lock when it begins, so folding may read
a row, merge, and write it, from however many machines. Many rows go by COPY into a staging table and from there by one
statement; measured, that takes a quarter of the time of a statement a row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
import psycopg
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import (
    URL,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UpdateBase,
    any_,
    cast,
    create_engine,
    event,
    literal,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.visitors import replacement_traverse

from surefoot.ledger.tables import meta

__all__ = [
    "LOCK",
    "after_much",
    "among",
    "deciding",
    "engine_for",
    "free_bytes",
    "give_back",
    "has_all",
    "insert_missing",
    "insert_new",
    "make_durable",
    "make_tables",
    "reading",
    "size",
    "table_bytes",
    "table_names",
    "tell_planner",
    "upsert",
    "vacuum",
    "write_many",
    "writing",
]

Rows = Sequence[Mapping[str, Any]]

LOCK: Final = (0x5F00, 1)  # the advisory lock of whoever writes; the first number stands for Surefoot
_WRITES: Final = "surefoot_writes"
_USED: Final = "surefoot_staging"  # the staging tables that this transaction has used
_FEW: Final = 8  # rows up to which a statement a row is quicker than staging them
_STOPPED_S: Final = 60  # a writer that does nothing for so long in a transaction is stopped, or its machine is gone
_NUL: Final = "␀"  # what stands for the one character that PostgreSQL's text cannot hold
_DIALECT: Final = psycopg_dialect()  # type: ignore[no-untyped-call]


def engine_for(url: URL, busy_s: float, options: Mapping[str, Any]) -> Engine:
    """An engine on the server that `url` names, which waits up to `busy_s` seconds for others that write.

    `options` go to psycopg, for what the URL does not say.
    """
    told = {name: value for name, value in options.items() if name not in url.query}
    # No prepared statements: plans are made for the values asked for, and a pooler between may give a transaction any
    # session. A connection is tried before it is used again: the server may have been restarted.
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={**told, "prepare_threshold": None},
        pool_pre_ping=True,
        use_native_hstore=False,
    )
    busy_ms = max(1, min(round(busy_s * 1000), 2**31 - 1))  # 0 would be for ever
    lasting = (
        f"SET LOCAL lock_timeout = {busy_ms}; SET LOCAL idle_in_transaction_session_timeout = '{_STOPPED_S}s';"
        f" SELECT pg_advisory_xact_lock({LOCK[0]}, {LOCK[1]})"
    )
    prologues = {"lasting": lasting, "hasty": f"SET LOCAL synchronous_commit = off; {lasting}"}

    def begin(connection: Connection) -> None:
        connection.info[_USED] = set()
        way = connection.get_execution_options().get(_WRITES)
        if way is not None:
            connection.exec_driver_sql(prologues[way])

    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", begin)
    return engine


class _TextDumper(StrDumperUnknown):
    """Text as a parameter, NUL made visible: what was stored so is found so."""

    def dump(self, obj: str) -> Any:
        return super().dump(_visible(obj))


def _visible(text: str) -> str:
    return text.replace("\0", _NUL) if "\0" in text else text


def _connected(connection: Any, _: Any) -> None:
    connection.adapters.register_dumper(str, _TextDumper)


# What a role or a database may have been set to that does without: all else is at least as careful.
_LASTING: Final = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)


def reading(connection: Connection) -> Connection:
    """The connection, for transactions whose queries all see one moment."""
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(connection: Connection) -> Connection:
    """The connection, for transactions that write.

    They commit without waiting for the disk, in order: a crash of the server may cost the newest of them, whose facts
    are still in the journal. Before those are deleted, `make_durable` is called.
    """
    return _writing(connection, "hasty")


def insert_new(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert whole rows whose keys are not there."""
    if len(rows) <= _FEW:
        _one_by_one(connection, _text_of(insert(table)), rows)
    else:
        _copy(connection, _insert_missing(table).direct, rows)


def deciding(connection: Connection) -> Connection:
    """The connection, for transactions that write what no journal has: their commits last as the server's do."""
    return _writing(connection, "lasting")


def _writing(connection: Connection, way: str) -> Connection:
    # Said though it is the default: a role may be set to another, and then what was committed while waiting for the lock
    # would not be seen.
    return connection.execution_options(
        **{_WRITES: way, "isolation_level": "READ COMMITTED", "postgresql_readonly": False}
    )


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
    texts: tuple[int, ...]  # which of its columns are text
    pick: Any


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
        f"{_quoted(column.name)} = excluded.{_quoted(column.name)}"
        for column in table.columns
        if column.name not in keys
    )
    return _how(table, f"ON CONFLICT ({', '.join(map(_quoted, keys))}) DO UPDATE SET {changed}")


@cache
def _insert_missing(table: Table) -> _Insert:
    return _how(table, "ON CONFLICT DO NOTHING")


def _how(table: Table, conflict: str) -> _Insert:
    staged = _staging(table.name, table.columns.values())
    names = ", ".join(_quoted(column.name) for column in table.columns)
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
    return _Copy(
        f"COPY {name} ({', '.join(_quoted(column.name) for column in columns)}) FROM STDIN (FORMAT BINARY)",
        kinds,
        tuple(number for number, kind in enumerate(kinds) if kind == "text"),
        itemgetter(*(column.name for column in columns)),
    )


_KINDS: Final = {SmallInteger: "int2", BigInteger: "int8", Integer: "int4", LargeBinary: "bytea"}


def _kind(column: Column[Any]) -> str:
    return next((kind for cls, kind in _KINDS.items() if isinstance(column.type, cls)), "text")


def _quoted(name: str) -> str:
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
            if any("\0" in (values[number] or "") for number in texts):
                values = tuple(_visible(value) if isinstance(value, str) else value for value in values)
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


def among(column: Column[bytes], ids: Collection[bytes]) -> ColumnElement[bool]:
    """Whether a column of ids has one of these, which may be many: they go as one parameter."""
    return column == any_(literal(list(ids), ARRAY(LargeBinary)))


def has_all(column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column of JSON text, a list of strings, has each of `values`."""
    wanted = msgspec.json.encode([_visible(value) for value in values]).decode()
    return cast(column, JSONB).op("@>", is_comparison=True)(cast(literal(wanted, Text), JSONB)) & true()


def table_names(connection: Connection) -> frozenset[str]:
    """The tables that there are in the schema where tables are made."""
    query = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
    return frozenset(connection.exec_driver_sql(query).scalars())


def make_tables(connection: Connection, metadata: MetaData) -> None:
    """Make all tables and indexes."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.info.get("where")
    metadata.create_all(connection, checkfirst=False)


def tell_planner(connection: Connection, metadata: MetaData) -> None:
    """Nothing: the server looks at its tables by itself, once there is something in them."""


def after_much(engine: Engine) -> None:
    """Let the planner look at tables that it has never seen but empty.

    The server would do so by itself within a minute or two. Until then it takes a workspace for a handful of rows, and
    sorts all of history for a page.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        query = (
            "SELECT relname FROM pg_catalog.pg_class WHERE relkind = 'r' AND reltuples <= 0"
            " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        )
        unseen = sorted(connection.exec_driver_sql(query).scalars())
        if unseen:
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(map(_quoted, unseen))}")


def make_durable(connection: Connection, at_us: int) -> None:
    """Make all that was committed survive a power loss. Called outside of a transaction."""
    # A commit that waits for the log to reach the disk takes everything before it along. It has to change something.
    with deciding(connection).begin():
        connection.exec_driver_sql(_LASTING)
        upsert(connection, meta, [{"key": "durable_us", "value": str(at_us)}])


def vacuum(engine: Engine) -> None:
    """Let the room of what was deleted be used again, and the planner know what is there. Stops nobody."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in sorted(table_names(connection)):
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {_quoted(name)}")


def size(connection: Connection) -> int:
    """How many bytes the tables and their indexes take."""
    query = (
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_catalog.pg_class"
        " WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
    )
    return int(connection.exec_driver_sql(query).scalar_one())


def free_bytes(connection: Connection) -> int:
    """Nothing that could be told without reading all of it."""
    return 0


def table_bytes(connection: Connection, metadata: MetaData) -> dict[str, int]:
    """How many bytes each table has, with its indexes."""
    found = {}
    for name in metadata.tables:
        query = f"SELECT pg_total_relation_size(pg_catalog.to_regclass('{_quoted(name)}'))"
        found[str(name)] = int(connection.exec_driver_sql(query).scalar() or 0)
    return found


def give_back(connection: Connection) -> bool:
    """Nothing: the server's own vacuum makes room for new rows, and gives back what is free at a table's end."""
    return False
