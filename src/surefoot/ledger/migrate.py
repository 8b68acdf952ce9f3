"""Upgrading an older ledger, after a copy of it where it is a file: the only place that imports Alembic.

May import: core, tables, indexes, dialects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from surefoot._version import __version__
from surefoot.ledger.dialects.choice import Place
from surefoot.ledger.indexes import metadata
from surefoot.ledger.tables import HEAD, alembic_version, meta

__all__ = ["run_migrations", "upgrade"]

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(place: Place, *, head: str = HEAD, migrations: Path = _MIGRATIONS) -> Path | None:
    """Bring the ledger to revision `head`. Returns the copy of it as it was, if one was made by this call.

    Nobody else writes meanwhile, and nothing is changed should it fail.
    """
    dialect = place.dialect
    with place.engine.connect() as connection, dialect.writing(connection).begin():
        if connection.execute(select(alembic_version.c.version_num)).scalar() == head:
            return None
        copy = place.keep_copy(head)
        run_migrations(connection, head, migrations)
        dialect.tell_planner(connection, metadata)
        dialect.upsert(connection, meta, [{"key": "surefoot", "value": __version__}])
    return copy


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
