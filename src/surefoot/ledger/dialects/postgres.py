"""PostgreSQL: the engine on a server, and the few statements that other databases write otherwise.

Transactions that write come one after another here too: each takes an advisory lock when it begins, so folding may read
a row, merge, and write it, from however many machines. May import: tables, postgres_parameters, postgres_rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Table,
    Text,
    any_,
    cast,
    create_engine,
    event,
    literal,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from surefoot.ledger.dialects.postgres_parameters import IdArray, Ids, register, visible
from surefoot.ledger.dialects.postgres_rows import begun, insert_missing, insert_new, quoted, upsert, write_many
from surefoot.ledger.tables import meta

__all__ = [
    "LOCK",
    "after_much",
    "among",
    "compact",
    "deciding",
    "engine_for",
    "give_back",
    "has_all",
    "insert_missing",
    "insert_new",
    "make_durable",
    "make_tables",
    "name_of_unindexed",
    "now_us",
    "reading",
    "space_of",
    "table_bytes",
    "table_names",
    "tell_planner",
    "upsert",
    "write_many",
    "writing",
]

LOCK: Final = (0x5F00, 1)  # the advisory lock of whoever writes; the first number stands for Surefoot
_WRITES: Final = "surefoot_writes"
_BUSY_MS: Final = "surefoot_busy_ms"
_STOPPED_S: Final = 60  # a writer that does nothing for so long in a transaction is stopped, or its machine is gone


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
        begun(connection)
        way = connection.get_execution_options().get(_WRITES)
        if way is not None:
            connection.exec_driver_sql(prologues[way])

    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", begin)
    engine.update_execution_options(**{_BUSY_MS: busy_ms})
    return engine


def _connected(connection: Any, _: Any) -> None:
    register(connection)


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


def deciding(connection: Connection) -> Connection:
    """The connection, for transactions that write what no journal has: their commits last as the server's do."""
    return _writing(connection, "lasting")


def _writing(connection: Connection, way: str) -> Connection:
    # Said though it is the default: a role may be set to another, and then what was committed while this waited for
    # the lock would not be seen.
    return connection.execution_options(
        **{_WRITES: way, "isolation_level": "READ COMMITTED", "postgresql_readonly": False}
    )


def among(column: Column[bytes], ids: Collection[bytes]) -> ColumnElement[bool]:
    """Whether a column of ids has one of these, which may be many: they go as one parameter."""
    return column == any_(literal(Ids(ids), IdArray()))


def name_of_unindexed(connection: Connection, runs: Table, ranges: Collection[tuple[str, Any, Any]]) -> str | None:
    """None: a server's pages have checksums, and it repairs its indexes itself."""
    return None


def has_all(column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column of JSON text, a list of strings, has each of `values`."""
    wanted = msgspec.json.encode([visible(value) for value in values]).decode()
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
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(map(quoted, unseen))}")


def now_us(connection: Connection) -> int:
    """The server's clock as it is now, not when the transaction began: that may have waited for its turn since."""
    query = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
    return int(connection.exec_driver_sql(query).scalar_one())


def make_durable(connection: Connection, at_us: int) -> None:
    """Make all that was committed survive a power loss. Called outside of a transaction."""
    # A commit that waits for the log to reach the disk takes everything before it along. It has to change something.
    with deciding(connection).begin():
        connection.exec_driver_sql(_LASTING)
        upsert(connection, meta, [{"key": "durable_us", "value": str(at_us)}])


def space_of(connection: Connection) -> tuple[int, int]:
    """How many bytes the ledger has. How many of them are free cannot be told without reading it all: none is told."""
    return sum(_bytes_by_table(connection).values()), 0


def table_bytes(connection: Connection, metadata: MetaData) -> dict[str, int]:
    """How many bytes each table has, with its indexes."""
    return {name: size for name, size in _bytes_by_table(connection).items() if name in metadata.tables}


def _bytes_by_table(connection: Connection) -> dict[str, int]:
    query = (
        "SELECT relname, pg_total_relation_size(oid) FROM pg_catalog.pg_class"
        " WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
    )
    return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def give_back(connection: Connection) -> bool:
    """Nothing: the server's own housekeeping (autovacuum) does."""
    return False


def compact(connection: Connection) -> None:
    """Write the tables anew, without gaps, one after another. Nobody else uses the one whose turn it is."""
    names = sorted(table_names(connection))
    connection.rollback()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    busy_ms = connection.get_execution_options()[_BUSY_MS]
    connection.exec_driver_sql(f"SET lock_timeout = {busy_ms}")
    try:
        for name in names:
            connection.exec_driver_sql(f"VACUUM (FULL) {quoted(name)}")
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {quoted(name)}")  # which the first leaves undone
    finally:
        connection.exec_driver_sql("RESET lock_timeout")
