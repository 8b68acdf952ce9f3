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
from sqlalchemy import insert, inspect

import surefoot
from surefoot.core.errors import BadInput, HomeUnwritable, LedgerBusy, LedgerTooNew, Unavailable
from surefoot.core.ids import new_id
from surefoot.core.states import COMPLETED, RUNNING
from surefoot.ledger import Folded, Ledger, queries
from surefoot.ledger.dialects.choice import place_of
from surefoot.ledger.indexes import metadata
from surefoot.ledger.migrate import run_migrations, upgrade
from surefoot.ledger.tables import HEAD, writers
from tests.ledger.builders import Pen, a_flow_run, a_task_run, dump
from tests.places import Ledgers


def _schema(where: str) -> dict[str, Any]:
    """What there is, without the order in which columns came to be."""
    place = place_of(where, 1.0)
    with place.engine.connect() as connection:
        if place.engine.name == "sqlite":
            query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
            rows = connection.exec_driver_sql(query).all()
            found = {row.name: sorted(re.split(r",\s+(?![^(]*\))", row.sql)) for row in rows if row.sql}
        else:
            shown = inspect(connection)
            found = {
                name: sorted(map(str, shown.get_columns(name))) + sorted(map(str, shown.get_check_constraints(name)))
                for name in shown.get_table_names()
            }
            query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
            found |= {row.indexname: row.indexdef for row in connection.exec_driver_sql(query)}
    place.engine.dispose()
    return found


def _ours_and(folder: Path, name: str, more: str) -> Path:
    """The project's migrations, and one more that follows the last of them."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    for own in (Path(surefoot.__file__).parent / "ledger" / "migrations" / "versions").glob("r*.py"):
        (versions / own.name).write_text(own.read_text())
    (versions / f"r{NEXT}_{name}.py").write_text(
        f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '{NEXT}'\ndown_revision = '{HEAD}'\n"
        f"def upgrade() -> None:\n    op.add_column('flow_runs', sa.Column('labels', sa.Text()))\n    {more}\n"
    )
    return versions.parent


NEXT = f"{int(HEAD) + 1:04}"


def test_a_ledger_of_the_first_revision_is_brought_to_what_a_new_one_is(ledgers: Ledgers, bare: str) -> None:
    new = ledgers.new()
    Ledger.open(new).close()
    place = place_of(bare, 1.0)
    writer_id = new_id()
    with place.engine.connect() as connection, place.dialect.writing(connection).begin():
        run_migrations(connection, "0001")
        connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('surefoot', '0.1.0')")
        connection.exec_driver_sql("INSERT INTO workspaces (id, name) VALUES (0, 'default')")
        writer = {"workspace_id": 0, "id": writer_id, "heard_us": 1, "received_us": 1, "lost": 0, "host": "box"}
        connection.execute(insert(writers).values(writer))
    place.engine.dispose()
    with Ledger.open(bare) as ledger:  # which upgrades it
        found = ledger.writer(writer_id)
        assert found is not None
        assert found.host == "box"
        pen = Pen()
        a_flow_run(pen)
        assert ledger.fold(pen.batches()).count == 2
    migrated = _schema(bare)
    assert migrated == _schema(new)
    assert len(migrated) > 20


def test_a_new_ledger_does_not_import_alembic_nor_the_orm(tmp_path: Path) -> None:
    code = (
        "import sys; from surefoot.ledger import Ledger, queries; Ledger.open(sys.argv[1]).close();"
        "print({'alembic', 'sqlalchemy.orm', 'sqlalchemy.dialects.postgresql'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ledger.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


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


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hush@box/db",
        "sqlite://",
        "nonsense://me:hush@box",
        "postgresql+asyncpg://me:hush@box/db",
        "postgresql://me:hush@box:port/db",
        "://hush@",
    ],
)
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="sqlite:///PATH, or postgresql://USER") as caught:
        Ledger.open(url)
    assert "hush" not in caught.value.what


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


def test_a_newer_ledger_is_refused_with_the_version_it_needs(bare: str) -> None:
    with Ledger.open(bare) as ledger:
        with ledger._write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
            connection.exec_driver_sql("UPDATE meta SET value = '7.1.0' WHERE key = 'surefoot'")
        with pytest.raises(LedgerTooNew) as caught:
            Ledger.open(bare)
        assert "Surefoot 7.1.0 (revision 0999)" in caught.value.what
        assert caught.value.do == "Run: pip install 'surefoot>=7.1.0'"


def test_an_older_ledger_is_upgraded_after_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    pen = Pen()
    run = a_flow_run(pen)
    with Ledger.open(path) as ledger:
        ledger.fold(pen.batches())
    migrations = _ours_and(tmp_path, "labels", "")
    place = place_of(path, 1.0)
    copy = upgrade(place, head=NEXT, migrations=migrations)
    assert copy == tmp_path / f"ledger.db.before-{NEXT}"
    assert upgrade(place, head=NEXT, migrations=migrations) is None
    place.engine.dispose()
    assert "labels" in str(_schema(str(path))["flow_runs"])
    with Ledger.open(copy) as ledger, ledger.read() as connection:
        assert queries.find_flow_run(connection, run.name)
    with pytest.raises(LedgerTooNew):
        Ledger.open(path)


def test_an_upgrade_that_fails_changes_nothing(bare: str, tmp_path: Path) -> None:
    Ledger.open(bare).close()
    before = _schema(bare)
    place = place_of(bare, 1.0)
    with pytest.raises(ZeroDivisionError):
        upgrade(place, head=NEXT, migrations=_ours_and(tmp_path, "broken", "1 / 0"))
    place.engine.dispose()
    assert _schema(bare) == before
    Ledger.open(bare).close()


_HOLD = """
import sys
from surefoot.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
with ledger._write():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_busy_ledger_names_its_holder(ledgers: Ledgers) -> None:
    path = ledgers.new()
    pen = Pen()
    a_flow_run(pen)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Ledger.open(path, busy_s=0.1) as ledger:
            with pytest.raises(LedgerBusy, match=rf"is held by process {holder.pid} on .*; waited 0\.1 s"):
                ledger.fold(pen.batches())
            with ledger.read() as connection:  # who reads does not wait
                assert queries.list_flow_runs(connection).results == []
            holder.communicate()
            assert ledger.fold(pen.batches()).count == 2


_HOLD_BESIDES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_holds_is_not_told_as_held_by_a_process_of_ours_that_has_ended(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "ledger.db")
    pen = Pen()
    a_flow_run(pen)
    ours = subprocess.run([sys.executable, "-c", _HOLD, path], input="", capture_output=True, check=True, text=True)
    assert ours.stdout == "held\n"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_BESIDES, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with Ledger.open(path, busy_s=0.1) as ledger:
            with pytest.raises(
                LedgerBusy, match=r"is held by a program that is not Surefoot's \(the last .*ended"
            ) as told:
                ledger.fold(pen.batches())
            assert told.value.do == f"Try again, or end what has it open: lsof {path}"
            holder.communicate()
            assert ledger.fold(pen.batches()).count == 2


def _fold_much(path: str, barrier: Any, pens: list[Pen]) -> None:
    barrier.wait()
    with Ledger.open(path) as ledger:
        for pen in pens:
            for batch in pen.batches(5):
                ledger.fold([batch])


def test_processes_that_create_and_fold_at_the_same_time_lose_nothing(bare: str, ledgers: Ledgers) -> None:
    pens = []
    for _ in range(4):
        pen = Pen()
        run = a_flow_run(pen).enter(RUNNING)
        for _ in range(25):
            a_task_run(pen, run).enter(RUNNING).enter(COMPLETED)
        pens.append(pen)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    folders = [context.Process(target=_fold_much, args=(bare, barrier, pens)) for _ in range(3)]
    for process in folders:
        process.start()
    for process in folders:
        process.join(60)
        assert process.exitcode == 0
    with Ledger.open(bare) as together, ledgers.opened() as alone:
        alone.fold([batch for pen in pens for batch in pen.batches()])
        assert dump(together) == dump(alone)


def test_make_durable_can_be_called_at_any_time(ledger: Ledger) -> None:
    ledger.make_durable()
    ledger.fold(Pen().batches())
    ledger.make_durable()


def test_a_file_is_not_synchronised_at_each_commit(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.make_durable()
        ledger.fold(Pen().batches())
        ledger.make_durable()
        with ledger.read() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_reader_sees_one_moment(ledger: Ledger) -> None:
    pen = Pen()
    a_flow_run(pen, "first")
    ledger.fold(pen.batches())
    with ledger.read() as connection:
        assert len(queries.list_flow_runs(connection).results) == 1
        a_flow_run(pen, "second")
        ledger.fold(pen.batches())
        assert len(queries.list_flow_runs(connection).results) == 1
    with ledger.read() as connection:
        assert len(queries.list_flow_runs(connection).results) == 2


def test_nothing_to_fold_is_fine(ledger: Ledger) -> None:
    assert ledger.fold([]) == Folded(0, 0, 0)
    assert ledger.positions(new_id()) == {}
    assert ledger.open_writers() == []


def test_room_that_deleted_rows_took_is_given_back(ledger: Ledger) -> None:
    pen = Pen()
    for number in range(500):
        a_flow_run(pen, f"run-{number}", parameters=b'{"x": "%b"}' % os.urandom(500).hex().encode())
    ledger.fold(pen.batches())
    full = ledger.contents()
    assert full.rows["flow_runs"] == 500
    with ledger._write() as connection:
        connection.exec_driver_sql("DELETE FROM flow_runs")
    ledger.compact()
    now = ledger.contents()
    assert 0 < now.bytes < full.bytes
    assert now.table_bytes.get("flow_runs", 0) <= full.table_bytes.get("flow_runs", 0)


def test_writers_of_other_homes_are_left_to_these(ledgers: Ledgers) -> None:
    mine, other = Pen(), Pen()
    where = ledgers.new()
    with Ledger.open(where) as ledger, Ledger.open(where, home_id=b"m" * 16) as shared:
        shared.fold(mine.batches())
        ledger.fold(other.batches())
        assert [writer.id for writer in shared.open_writers()] == [mine.id]
        assert [writer.id for writer in ledger.open_writers()] == sorted([mine.id, other.id])
