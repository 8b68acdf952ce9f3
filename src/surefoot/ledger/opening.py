"""Opening a ledger: made if it is not there, refused if it is newer than this version, upgraded if it is older.

A new one is created from the tables and stamped with the newest revision, so that Alembic is imported for upgrades
only. May import: core, tables, dialects, migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from surefoot._version import __version__
from surefoot.core.errors import BadInput, LedgerTooNew
from surefoot.ledger.dialects.choice import Place
from surefoot.ledger.indexes import metadata
from surefoot.ledger.migrate import upgrade
from surefoot.ledger.tables import HEAD, WORKSPACE, alembic_version, meta, workspaces

__all__ = ["Standing", "bring_up", "empty", "standing_of"]

_SIGNS = frozenset({alembic_version.name, meta.name, workspaces.name})  # what no database has but a ledger


def bring_up(place: Place) -> None:
    """See to it that the ledger at `place` has the tables of this version. Its engine is let go of if that fails."""
    try:
        with place.engine.connect() as connection:
            revision = _revision(connection, place)
        if revision is None:
            revision = _create(place)
        if revision != HEAD:
            _refuse_newer(place, revision)
            upgrade(place)
    except BaseException:
        place.engine.dispose()
        raise


def _revision(connection: Connection, place: Place) -> str | None:
    """The revision of the tables that are there; None if nothing is. Raises BadInput if others are."""
    there = place.dialect.table_names(connection)
    if not there:
        return None
    if not there >= _SIGNS:
        raise BadInput(f"{place.name} is there, but is not a ledger of Surefoot.", do=place.elsewhere)
    return connection.execute(select(alembic_version.c.version_num)).scalar() or ""


def _create(place: Place) -> str:
    """Make the tables, unless another process was first. Returns the revision that is there then."""
    with place.engine.connect() as connection:
        place.make_ready(connection)
        with place.dialect.writing(connection).begin():
            revision = _revision(connection, place)
            if revision is None:
                _make_tables(place, connection)
                revision = HEAD
    return revision


def _make_tables(place: Place, connection: Connection) -> None:
    place.dialect.make_tables(connection, metadata)
    place.dialect.tell_planner(connection, metadata)
    connection.execute(insert(alembic_version), {"version_num": HEAD})
    connection.execute(insert(workspaces), {"id": WORKSPACE, "name": "default"})
    connection.execute(insert(meta), [{"key": "surefoot", "value": __version__}])


def empty(place: Place, connection: Connection) -> None:
    """Make all tables anew, within the caller's transaction. Whoever has the ledger open goes on with the new ones."""
    metadata.drop_all(connection)
    _make_tables(place, connection)


class Standing(NamedTuple):
    """At which revision a ledger is, and what an upgrade would do."""

    revision: str | None  # None: there is none yet
    head: str  # of this version
    copy: Path | None  # where the ledger is copied to before it is upgraded; None where others keep copies

    @property
    def is_old(self) -> bool:
        """Whether an upgrade has something to do."""
        return self.revision is not None and self.revision != self.head


def standing_of(place: Place) -> Standing:
    """How a ledger stands; nothing is made or changed. Raises as `bring_up` does."""
    revision = None
    try:
        if place.is_there():
            with place.engine.connect() as connection:
                revision = _revision(connection, place)
            if revision is not None:
                _refuse_newer(place, revision)
    finally:
        place.engine.dispose()
    return Standing(revision, HEAD, place.copy_of(HEAD))


def _refuse_newer(place: Place, revision: str) -> None:
    if revision.isdecimal() and int(revision) <= int(HEAD):
        return
    with place.engine.connect() as connection:
        needed = connection.execute(select(meta.c.value).where(meta.c.key == "surefoot")).scalar()
    by = f"Surefoot {needed}" if needed else "a newer Surefoot"
    raise LedgerTooNew(
        f"The ledger {place.name} was written by {by} (revision {revision}); "
        f"this is Surefoot {__version__} (revision {HEAD}).",
        do=f"Run: pip install 'surefoot>={needed}'" if needed else "Run: pip install --upgrade surefoot",
    )
