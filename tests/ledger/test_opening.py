"""A ledger is made, opened, upgraded after a copy, or refused with the reason; and shared with other processes."""

from __future__ import annotations

import multiprocessing
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import surefoot
from surefoot.core.errors import BadInput, HomeUnwritable, LedgerBusy, LedgerTooNew, Unavailable
from surefoot.core.ids import new_id
from surefoot.core.states import COMPLETED, RUNNING
from surefoot.ledger import Folded, Ledger, queries
from surefoot.ledger.dialects import sqlite
from surefoot.ledger.indexes import metadata
from surefoot.ledger.migrate import run_migrations, upgrade
from tests.ledger.builders import Pen, a_flow_run, a_task_run, dump


def _schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        return {name: "\n".join(sorted(re.split(r",\s+(?![^(]*\))", sql))) for name, sql in rows if sql}


def test_migrating_from_nothing_makes_the_same_tables_as_a_new_ledger(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "new.db").close()
    engine = sqlite.engine_for(tmp_path / "migrated.db", 1.0)
    with engine.connect() as connection, sqlite.writing(connection).begin():
        run_migrations(connection)
    engine.dispose()
    migrated = _schema(tmp_path / "migrated.db")
    assert migrated == _schema(tmp_path / "new.db")
    assert len(migrated) > 20
    Ledger.open(tmp_path / "migrated.db").close()  # it is stamped, too


def test_a_new_ledger_does_not_import_alembic_nor_the_orm(tmp_path: Path) -> None:
    code = (
        "import sys; from surefoot.ledger import Ledger, queries; Ledger.open(sys.argv[1]).close();"
        "print({'alembic', 'sqlalchemy.orm', 'sqlalchemy.dialects.postgresql'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ledger.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_every_table_can_be_made_on_postgresql() -> None:
    make: Any = postgresql.dialect
    dialect = make()
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "CREATE" in str(CreateIndex(index).compile(dialect=dialect))


def test_workspace_stands_first_in_every_key_and_index() -> None:
    for table in metadata.sorted_tables:
        if "workspace_id" in table.c:
            assert next(iter(table.primary_key.columns)).name == "workspace_id"
            for index in table.indexes:
                assert index.expressions[0] is table.c.workspace_id
        else:
            assert table.name in ("workspaces", "meta", "alembic_version")


def test_a_ledger_is_opened_by_path_and_by_url(tmp_path: Path) -> None:
    pen = Pen()
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.fold(pen.batches())
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert ledger.writer(pen.id) is not None
    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0 or sys.platform == "win32"


@pytest.mark.parametrize("url", ["postgresql://box/db", "sqlite://", "nonsense://"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="sqlite:///PATH"):
        Ledger.open(url)


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("these are my notes, which are longer than a header of SQLite would be" * 20)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(BadInput, match="is there, but is not a ledger"):
            Ledger.open(path)
        assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(HomeUnwritable, match="nowhere of the ledger is not there"):
        Ledger.open(tmp_path / "nowhere" / "ledger.db")


def test_a_damaged_ledger_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    data = bytearray(path.read_bytes())
    data[100 : 3 * 4096] = os.urandom(3 * 4096 - 100)
    path.write_bytes(data)
    with pytest.raises(Unavailable, match="is damaged"), Ledger.open(path) as ledger:
        ledger.fold(Pen().batches())


def test_a_newer_ledger_is_refused_with_the_version_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.execute("UPDATE meta SET value = '7.1.0' WHERE key = 'surefoot'")
        connection.commit()
    with pytest.raises(LedgerTooNew) as caught:
        Ledger.open(path)
    assert "Surefoot 7.1.0 (revision 0999)" in caught.value.what
    assert caught.value.do == "Run: pip install 'surefoot>=7.1.0'"


def test_an_older_ledger_is_upgraded_after_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    pen = Pen()
    run = a_flow_run(pen)
    with Ledger.open(path) as ledger:
        ledger.fold(pen.batches())
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    for ours in (Path(surefoot.__file__).parent / "ledger" / "migrations" / "versions").glob("r*.py"):
        (versions / ours.name).write_text(ours.read_text())
    (versions / "r0003_labels.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '0003'\ndown_revision = '0002'\n"
        "def upgrade() -> None:\n    op.add_column('flow_runs', sa.Column('labels', sa.Text()))\n"
    )
    engine = sqlite.engine_for(path, 1.0)
    copy = upgrade(engine, path, head="0003", migrations=versions.parent)
    assert copy == tmp_path / "ledger.db.before-0003"
    assert upgrade(engine, path, head="0003", migrations=versions.parent) is None
    engine.dispose()
    assert "labels" in _schema(path)["flow_runs"]
    with Ledger.open(copy) as ledger, ledger.read() as connection:
        assert queries.find_flow_run(connection, run.name)
    with pytest.raises(LedgerTooNew):
        Ledger.open(path)


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    before = _schema(path)
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    for ours in (Path(surefoot.__file__).parent / "ledger" / "migrations" / "versions").glob("r*.py"):
        (versions / ours.name).write_text(ours.read_text())
    (versions / "r0003_broken.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '0003'\ndown_revision = '0002'\n"
        "def upgrade() -> None:\n    op.add_column('flow_runs', sa.Column('labels', sa.Text()))\n    1 / 0\n"
    )
    engine = sqlite.engine_for(path, 1.0)
    with pytest.raises(ZeroDivisionError):
        upgrade(engine, path, head="0003", migrations=versions.parent)
    engine.dispose()
    assert _schema(path) == before
    Ledger.open(path).close()


_HOLD = """
import sys
from surefoot.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with ledger._write():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_busy_ledger_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    pen = Pen()
    a_flow_run(pen)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Ledger.open(path, busy_s=0.1) as ledger:
            with pytest.raises(LedgerBusy, match=f"is held by process {holder.pid} on .*; waited 0.1 s"):
                ledger.fold(pen.batches())
            with ledger.read() as connection:  # who reads does not wait
                assert queries.list_flow_runs(connection).results == []
            holder.communicate()
            assert ledger.fold(pen.batches()).count == 2


def _fold_much(path: Path, barrier: Any, pens: list[Pen]) -> None:
    barrier.wait()
    with Ledger.open(path) as ledger:
        for pen in pens:
            for batch in pen.batches(5):
                ledger.fold([batch])


def test_processes_that_create_and_fold_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    pens = []
    for _ in range(4):
        pen = Pen()
        run = a_flow_run(pen).enter(RUNNING)
        for _ in range(25):
            a_task_run(pen, run).enter(RUNNING).enter(COMPLETED)
        pens.append(pen)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    path = tmp_path / "ledger.db"
    folders = [context.Process(target=_fold_much, args=(path, barrier, pens)) for _ in range(3)]
    for process in folders:
        process.start()
    for process in folders:
        process.join(60)
        assert process.exitcode == 0
    with Ledger.open(path) as together, Ledger.open(tmp_path / "alone.db") as alone:
        alone.fold([batch for pen in pens for batch in pen.batches()])
        assert dump(together) == dump(alone)


def test_make_durable_can_be_called_at_any_time(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.make_durable()
        ledger.fold(Pen().batches())
        ledger.make_durable()
        with ledger.read() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    pen = Pen()
    a_flow_run(pen, "first")
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.fold(pen.batches())
        with ledger.read() as connection:
            assert len(queries.list_flow_runs(connection).results) == 1
            a_flow_run(pen, "second")
            ledger.fold(pen.batches())
            assert len(queries.list_flow_runs(connection).results) == 1
        with ledger.read() as connection:
            assert len(queries.list_flow_runs(connection).results) == 2


def test_nothing_to_fold_is_fine(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.fold([]) == Folded(0, 0, 0)
        assert ledger.positions(new_id()) == {}
        assert ledger.open_writers() == []
