"""Opening a ledger: made if it is not there, refused if it is newer than this version, upgraded if it is older.

A new one is created from the tables and stamped with the newest revision, so that Alembic is imported for upgrades
only. May import: core, tables, dialects, migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchTableError, OperationalError

from surefoot._version import __version__
from surefoot.core.errors import BadInput, HomeUnwritable, LedgerTooNew
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.indexes import metadata
from surefoot.ledger.migrate import copy_of, upgrade
from surefoot.ledger.tables import HEAD, WORKSPACE, alembic_version, meta, workspaces

__all__ = ["Standing", "empty", "open_engine", "path_of", "standing_of"]


def path_of(where: str | Path) -> Path:
    """The file that a path or an `sqlite:///` URL means. Raises BadInput for any other database.

    >>> path_of("sqlite:////var/lib/surefoot/ledger.db").as_posix()
    '/var/lib/surefoot/ledger.db'
    """
    if isinstance(where, Path) or "://" not in where:
        return Path(where).absolute()
    try:
        url = make_url(where)
    except ArgumentError:
        raise BadInput(f"{where!r} is not the URL of a database.", do="Use sqlite:///PATH.") from None
    if url.get_backend_name() != "sqlite" or not url.database:
        raise BadInput(f"A ledger cannot be kept in {url.render_as_string()}.", do="Use sqlite:///PATH.")
    return Path(url.database).absolute()


def open_engine(path: Path, busy_s: float) -> Engine:
    """An engine on the ledger at `path`, which has the tables of this version."""
    if not path.parent.is_dir():
        raise HomeUnwritable(f"The folder {path.parent} of the ledger is not there.", do=f"Run: mkdir -p {path.parent}")
    engine = sqlite.engine_for(path, busy_s)
    try:
        with engine.connect() as connection:
            revision = _revision(connection, path)
        if revision is None:
            revision = _create(engine, path)
        if revision != HEAD:
            _refuse_newer(engine, path, revision)
            upgrade(engine, path)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, DatabaseError) and sqlite.is_foreign(error):
            raise _not_ours(path) from None
        raise
    return engine


def _revision(connection: Connection, path: Path) -> str | None:
    """The revision of the tables that are there; None if the file is empty."""
    try:
        return connection.execute(select(alembic_version.c.version_num)).scalar() or ""
    except OperationalError as error:
        if "no such table" not in str(error.orig):
            raise
        if inspect(connection).get_table_names():
            raise _not_ours(path) from None
        return None


def _not_ours(path: Path) -> BadInput:
    return BadInput(f"{path} is there, but is not a ledger of Surefoot.", do="Move it away, or name another file.")


def _create(engine: Engine, path: Path) -> str:
    """Make the tables, unless another process was first. Returns the revision that is there then."""
    with engine.connect() as connection:
        # Parameters and logs are for their owner's eyes. By path, since to open and close the file besides SQLite would
        # drop the locks that this process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
        path.chmod(0o600)
        sqlite.keep_a_log(connection)
        with sqlite.writing(connection).begin():
            revision = _revision(connection, path)
            if revision is None:
                _make_tables(connection)
                revision = HEAD
    return revision


def _make_tables(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    sqlite.tell_planner(connection, metadata)
    connection.execute(insert(alembic_version), {"version_num": HEAD})
    connection.execute(insert(workspaces), {"id": WORKSPACE, "name": "default"})
    connection.execute(insert(meta), [{"key": "surefoot", "value": __version__}])


def empty(connection: Connection) -> None:
    """Make all tables anew, within the caller's transaction. Whoever has the ledger open goes on with the new ones."""
    metadata.drop_all(connection)
    _make_tables(connection)


class Standing(NamedTuple):
    """At which revision a ledger is, and what an upgrade would do."""

    revision: str | None  # None: there is none yet
    head: str  # of this version
    copy: Path  # where the ledger is copied to before it is upgraded

    @property
    def is_old(self) -> bool:
        """Whether an upgrade has something to do."""
        return self.revision is not None and self.revision != self.head


def standing_of(where: str | Path) -> Standing:
    """How a ledger stands; nothing is made or changed. Raises as `open_engine` does."""
    path = path_of(where)
    revision = None
    if path.exists():
        engine = sqlite.engine_for(path, 1.0)
        try:
            with engine.connect() as connection:
                revision = _revision(connection, path)
            if revision is not None:
                _refuse_newer(engine, path, revision)
        except DatabaseError as error:
            if sqlite.is_foreign(error):
                raise _not_ours(path) from None
            raise
        finally:
            engine.dispose()
    return Standing(revision, HEAD, copy_of(path))


def _refuse_newer(engine: Engine, path: Path, revision: str) -> None:
    if revision.isdecimal() and int(revision) <= int(HEAD):
        return
    try:
        with engine.connect() as connection:
            needed = connection.execute(select(meta.c.value).where(meta.c.key == "surefoot")).scalar()
    except (OperationalError, NoSuchTableError):
        needed = None
    by = f"Surefoot {needed}" if needed else "a newer Surefoot"
    raise LedgerTooNew(
        f"The ledger {path} was written by {by} (revision {revision}); "
        f"this is Surefoot {__version__} (revision {HEAD}).",
        do=f"Run: pip install 'surefoot>={needed}'" if needed else "Run: pip install --upgrade surefoot",
    )
