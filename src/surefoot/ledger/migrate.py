"""Upgrading an older ledger, after a copy of it: the only place that imports Alembic.

May import: core, tables, indexes, dialects.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError

from surefoot._version import __version__
from surefoot.core.errors import Unavailable
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.indexes import metadata
from surefoot.ledger.tables import HEAD, alembic_version, meta

__all__ = ["copy_of", "run_migrations", "upgrade"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(engine: Engine, path: Path, *, head: str = HEAD, migrations: Path = _MIGRATIONS) -> Path | None:
    """Bring the ledger to revision `head`, keeping a copy of it as it was. Returns the copy; None if another was first.

    Nobody else writes meanwhile, and nothing is changed should it fail.
    """
    copy = copy_of(path, head)
    with engine.connect() as connection, sqlite.writing(connection).begin():
        if _is_at(connection, head):
            return None
        try:
            _copy(path, copy)
        except sqlite3.Error as error:
            raise Unavailable(
                f"The ledger {path} has to be upgraded, but could not be copied to {copy}: {error}.",
                do="Make room on that disk.",
            ) from error
        run_migrations(connection, head, migrations)
        sqlite.tell_planner(connection, metadata)
        sqlite.upsert(connection, meta, [{"key": "surefoot", "value": __version__}])
    return copy


def copy_of(path: Path, head: str = HEAD) -> Path:
    """Where the ledger is kept as it was before an upgrade to `head`."""
    return path.with_name(f"{path.name}.before-{head}")


def _is_at(connection: Connection, head: str) -> bool:
    try:
        return connection.execute(select(alembic_version.c.version_num)).scalar() == head
    except OperationalError:
        return False


def _copy(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def run_migrations(connection: Connection, head: str = HEAD, migrations: Path = _MIGRATIONS) -> None:
    """Run every migration that is missing, within the caller's transaction."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(migrations))
    with EnvironmentContext(Config(), script, destination_rev=head) as environment:
        environment.configure(
            connection=connection,
            fn=lambda revision, _: script._upgrade_revs(head, revision),
            transactional_ddl=True,  # SQLite can, once the driver leaves transactions alone: see dialects/sqlite.py
        )
        environment.run_migrations()
