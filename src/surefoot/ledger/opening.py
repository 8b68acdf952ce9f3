"""Opening a ledger: made if it is not there, refused if it is newer than this version, upgraded if it is older.

A new one is created from the tables and stamped with the newest revision, so that Alembic is imported for upgrades
only. May import: core, tables, dialects, migrate.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchTableError, OperationalError

from surefoot._version import __version__
from surefoot.core.errors import BadInput, HomeUnwritable, LedgerTooNew
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.indexes import metadata
from surefoot.ledger.migrate import upgrade
from surefoot.ledger.tables import HEAD, WORKSPACE, alembic_version, meta, workspaces

__all__ = ["open_engine", "path_of", "way_out"]


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
    return BadInput(f"{path} is there, but is not a ledger of Surefoot, or no longer.", do=way_out(path))


def way_out(path: Path) -> str:
    """What to do about a file that is no ledger any more, honestly: what is in no journal now is in that file alone."""
    aside = shlex.quote(str(path.parent / "damaged"))
    move = f"mkdir -p {aside} && mv {shlex.quote(str(path))}* {aside}/"
    return f"Restore it from a copy; or have a new one made, of the journals that are left: {move}"


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
                metadata.create_all(connection, checkfirst=False)
                sqlite.tell_planner(connection, metadata)
                connection.execute(insert(alembic_version), {"version_num": HEAD})
                connection.execute(insert(workspaces), {"id": WORKSPACE, "name": "default"})
                connection.execute(insert(meta), [{"key": "surefoot", "value": __version__}])
                revision = HEAD
    return revision


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
