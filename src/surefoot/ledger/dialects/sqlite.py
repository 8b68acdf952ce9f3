"""SQLite: the engine on a file, and the few statements that other databases write otherwise. May import:
core, tables.

One process writes at a time. A transaction that is to write takes the lock when it begins (`BEGIN IMMEDIATE`), so it
never finds out half-way that another one was first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Table,
    UpdateBase,
    and_,
    create_engine,
    event,
    exists,
    func,
    select,
    true,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.pysqlite import dialect as pysqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from surefoot.core.clock import get_clock
from surefoot.core.os.space import FSYNC_REACHES_DISK
from surefoot.ledger.tables import WORKSPACE, meta

__all__ = [
    "after_much",
    "among",
    "compact",
    "deciding",
    "engine_for",
    "give_back",
    "has_all",
    "insert_missing",
    "insert_new",
    "is_busy",
    "is_damaged",
    "is_foreign",
    "is_unwritable",
    "keep_a_log",
    "lacks_a_name",
    "make_durable",
    "make_tables",
    "name_of_unindexed",
    "now_us",
    "reading",
    "revision_of",
    "space_of",
    "table_bytes",
    "table_names",
    "tell_planner",
    "upsert",
    "write_many",
    "writing",
]

Rows = Sequence[Mapping[str, Any]]

_WRITES: Final = "surefoot_writes"
_DIALECT: Final = pysqlite()


def engine_for(path: Path, busy_s: float) -> Engine:
    """An engine on the file at `path`, which waits up to `busy_s` seconds for another writer."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_s})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begin)
    return engine


def _connected(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by rules of its own
    # The log is synchronised at checkpoints, not at each commit: a power loss may cost the newest transactions, whose
    # facts are still in the journal. Before those are deleted, `make_durable` is called.
    connection.execute("PRAGMA synchronous=NORMAL")
    if not FSYNC_REACHES_DISK:
        connection.execute("PRAGMA fullfsync=1")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(connection: Connection) -> Connection:
    """The connection, for transactions that write."""
    return connection.execution_options(**{_WRITES: True})


def reading(connection: Connection) -> Connection:
    """The connection, for transactions whose queries all see one moment: here all do."""
    return connection


def deciding(connection: Connection) -> Connection:
    """The connection, for transactions that write what no journal has: what loses them here stops the whole machine."""
    return writing(connection)


def insert_new(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert whole rows whose keys are not there."""
    write_many(connection, _insert_new(table), rows)


def upsert(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert whole rows of different keys; one whose key is there replaces the row that bears it."""
    write_many(connection, _upsert(table), rows)


def insert_missing(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows; one whose key is there changes nothing."""
    write_many(connection, _insert_missing(table), rows)


def write_many(connection: Connection, statement: UpdateBase, rows: Rows) -> None:
    """Run a statement once for each row, all of which have the same keys: those of the statement's parameters.

    The text is compiled once, and the rows go to the driver as they are: going through SQLAlchemy's own processing of
    parameters took 20 of the 49 µs that folding a task run took.
    """
    if rows:
        text, pick = _compiled(statement)
        connection.exec_driver_sql(text, [pick(row) for row in rows])


@cache
def _insert_new(table: Table) -> UpdateBase:
    return insert(table)


@cache
def _upsert(table: Table) -> UpdateBase:
    statement = insert(table)
    keys = list(table.primary_key.columns)
    changed = {column.name: statement.excluded[column.name] for column in table.columns if column not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


@cache
def _insert_missing(table: Table) -> UpdateBase:
    return insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))


@cache
def _compiled(statement: UpdateBase) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    compiled = statement.compile(dialect=_DIALECT)
    return str(compiled), itemgetter(*(compiled.positiontup or ()))


def among(column: Column[bytes], ids: Collection[bytes]) -> ColumnElement[bool]:
    """Whether a column of ids has one of these, which may be many."""
    return column.in_(ids)


def has_all(column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column of JSON text, a list of strings, has each of `values`."""
    found = []
    for value in values:
        item = func.json_each(column).table_valued("value")
        found.append(exists(select(1).select_from(item).where(item.c.value == value)))
    return and_(true(), *found)


def name_of_unindexed(connection: Connection, runs: Table, ranges: Collection[tuple[str, Any, Any]]) -> str | None:
    """The name of a run that the table itself has, within one of these ranges of columns. 0.3 s for a million runs.

    Pages have no checksums, so an index may lack a row of its table and not know it.
    """
    wanted = " OR ".join(f"{column} BETWEEN ? AND ?" for column, _, _ in ranges)
    query = f"SELECT name FROM {runs.name} NOT INDEXED WHERE workspace_id = ? AND ({wanted}) LIMIT 1"
    values = tuple(value for _, low, high in ranges for value in (low, high))
    name: str | None = connection.exec_driver_sql(query, (WORKSPACE, *values)).scalar()
    return name


def is_busy(error: DBAPIError) -> bool:
    """Whether another process holds the file."""
    return _name_of(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_unwritable(error: DBAPIError) -> bool:
    """Whether the file, its folder or its disk takes nothing more."""
    return _name_of(error).startswith(_UNWRITABLE)


# The two of IOERR_SHM are what a full disk makes of the file beside a write-ahead log, without which none can be read.
_UNWRITABLE: Final = (
    "SQLITE_READONLY",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_IOERR_SHMSIZE",
    "SQLITE_IOERR_SHMOPEN",
    "SQLITE_IOERR_WRITE",
    "SQLITE_IOERR_FSYNC",
)


def is_foreign(error: DBAPIError) -> bool:
    """Whether the file is something else than a database."""
    return _name_of(error) == "SQLITE_NOTADB"


def is_damaged(error: DBAPIError) -> bool:
    """Whether the file is no longer a whole database."""
    # Text that is none any more is said by the driver: pages have no checksums. And a key that is there twice comes of
    # a row whose other key is no longer what it was (whoever writes has looked up both, and nobody comes between), a
    # value that is not allowed of a rule that no longer says what it said.
    is_so = _name_of(error).startswith(("SQLITE_CORRUPT", "SQLITE_CONSTRAINT"))
    return is_so or "Could not decode to UTF-8" in str(error.orig)


def lacks_a_name(error: DBAPIError) -> bool:
    """Whether a table or column is not there."""
    text = str(error.orig)
    return _name_of(error) == "SQLITE_ERROR" and ("no such " in text or "has no column named" in text)


def revision_of(path: Path) -> str | None:
    """The revision of a ledger's tables, asked on a connection of its own; None if even that cannot be read."""
    try:
        with closing(sqlite3.connect(path, timeout=1)) as driver:
            row = driver.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def _name_of(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", ""))


def keep_a_log(connection: Connection) -> None:
    """Make the file use a write-ahead log, for good: readers and the one writer do not wait for each other."""
    _execute(connection, "PRAGMA auto_vacuum=INCREMENTAL")  # counts only before the first table is made
    try:
        _execute(connection, "PRAGMA journal_mode=WAL")
    except OperationalError:
        # Surprising: this does not wait as other statements do. Another process is just creating the same ledger, and
        # does the same; should it die before, the file works with a rollback journal as well.
        pass


def _execute(connection: Connection, statement: str) -> None:
    """Run what cannot be run in a transaction. Its errors are those of other statements, and so told as they are."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(statement)
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


def table_names(connection: Connection) -> frozenset[str]:
    """The tables that there are."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return frozenset(connection.exec_driver_sql(query).scalars())


def make_tables(connection: Connection, metadata: MetaData) -> None:
    """Make all tables and indexes."""
    metadata.create_all(connection, checkfirst=False)


def tell_planner(connection: Connection, metadata: MetaData) -> None:
    """Tell the planner what each table and index typically holds: see `indexes.py`."""
    connection.exec_driver_sql("ANALYZE")  # makes the table for it, and looks at what is there
    rows = []
    for table in metadata.tables.values():
        key = (
            table.name if table.dialect_options["sqlite"]["with_rowid"] is False else f"sqlite_autoindex_{table.name}_1"
        )
        told = {key: table.info.get("typical")} | {
            str(index.name): index.info.get("typical") for index in table.indexes
        }
        rows += [(table.name, name, " ".join(map(str, typical))) for name, typical in told.items() if typical]
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    connection.exec_driver_sql("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", rows)
    connection.exec_driver_sql("ANALYZE sqlite_master")  # this connection has read it already


def after_much(engine: Engine) -> None:
    """Nothing: the planner was told what a large ledger is like when the tables were made."""


def now_us(connection: Connection) -> int:
    """This machine's clock: all who use the file are on it."""
    return get_clock().now_us()


def make_durable(connection: Connection, at_us: int) -> None:
    """Make all that was committed survive a power loss. Called outside of a transaction."""
    # A commit under full synchronisation makes the write-ahead log durable, and with it all commits before that stand
    # in it. It has to change something, or there is nothing to commit.
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA synchronous=FULL")
    try:
        with writing(connection).begin():
            upsert(connection, meta, [{"key": "durable_us", "value": str(at_us)}])
    finally:
        driver.execute("PRAGMA synchronous=NORMAL")


_GIVE_BACK_MIN: Final = 4 << 20  # bytes: what is free below that is kept for what comes
_GIVE_BACK_PAGES: Final = 1000  # at once: about 10 ms


def space_of(connection: Connection) -> tuple[int, int]:
    """How many bytes the ledger has, and how many of them are free for new rows."""
    size, pages, free = (_pragma(connection, name) for name in ("page_size", "page_count", "freelist_count"))
    return size * pages, size * free


def table_bytes(connection: Connection, metadata: MetaData) -> dict[str, int]:
    """How many bytes each table has, with its indexes; empty where this SQLite was built without the means to tell."""
    place = {name: table.name for table in metadata.tables.values() for name in _stored_names(table)}
    found: dict[str, int] = {}
    try:
        # One line a table or index, summed up by SQLite itself: it reads the file for that, once.
        rows = connection.exec_driver_sql("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE").all()
    except DBAPIError as error:
        if "no such table" not in str(error.orig):
            raise
        return {}
    for name, size in rows:
        if name in place:
            found[place[name]] = found.get(place[name], 0) + size
    return found


def _stored_names(table: Table) -> list[str]:
    return [table.name, f"sqlite_autoindex_{table.name}_1", *(str(index.name) for index in table.indexes)]


def give_back(connection: Connection) -> bool:
    """Give a piece of the space that is free back to the disk, within a transaction. False when that was the last.

    A ledger made before this was thought of gives nothing back before it is vacuumed.
    """
    size, free = _pragma(connection, "page_size"), _pragma(connection, "freelist_count")
    if size * free < max(_GIVE_BACK_MIN, size * _pragma(connection, "page_count") // 8):
        return False
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA incremental_vacuum({_GIVE_BACK_PAGES})").fetchall()  # it gives back as far as it is read
    return 0 < _pragma(connection, "freelist_count") < free


def compact(connection: Connection) -> None:
    """Write the whole ledger anew, without gaps. Nobody else writes meanwhile, and as much disk again is needed."""
    _execute(connection, "PRAGMA auto_vacuum=INCREMENTAL")
    _execute(connection, "VACUUM")
    _execute(connection, "PRAGMA wal_checkpoint(TRUNCATE)")  # the new pages stand in the log, and again in the file


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
