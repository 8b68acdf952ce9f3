"""One home, several versions: two builds write and read at once, and neither stops the other from recording.

The newer one upgrades the ledger at its first command, after a copy; the older one goes on recording, and its reading
commands say which version is needed. What a version does not know it leaves as it is for the one that does.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from surefoot.cli.mistakes import Exit
from surefoot.core.facts import SegmentOpened, StateEntered, Unknown
from surefoot.core.states import StateType
from surefoot.journal.home import Home
from surefoot.journal.reading import read_segment, writers
from surefoot.ledger.tables import HEAD
from tests.faults.builds import NEWER, Build, newer_build, this_build
from tests.recorded import facts

COMPLETED = StateType.COMPLETED

# Runs a flow whenever it is told to, and says how many it has run.
RECORDS = """if True:
    import sys
    from surefoot import flow, task
    @task
    def double(n): return 2 * n
    @flow(log_prints=True)
    def made(n):
        print(f"run {n}")
        return double(n)
    count = 0
    for line in sys.stdin if sys.argv[1] == "asked" else iter(lambda: "go", ""):
        count += 1
        made(count)
        print(count, flush=True)
"""
ONCE = """if True:
    from surefoot import flow, task
    import sys, surefoot
    @task
    def double(n): return 2 * n
    @flow
    def once(): return double(3)
    once()
    print(surefoot.__version__)
"""
REMARKS = """if True:
    from surefoot import flow
    from surefoot.core.clock import get_clock
    from surefoot.core.facts import Remark
    from surefoot.engine.scope import current
    from surefoot.journal.recorder import get_recorder
    @flow
    def remarks(): return current().run_id
    run_id = remarks()
    get_recorder().log(Remark(get_clock().now_us(), "a fine day", run_id))
    remarks()
"""
RESUMED = """
from surefoot import flow, task
import os
@task
def first():
    return {"made": 1}
@task
def second(value):
    if not os.path.exists("mended"): raise ValueError("not yet")
    return value
@flow
def resumed(): return second(first())
if __name__ == "__main__":
    resumed()
"""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A later version with another revision of the tables; what it writes into segments, this one can read."""
    return newer_build(tmp_path_factory.mktemp("newer"), with_tables=True)


@contextmanager
def recording(build: Build, home: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this build that runs flows."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDS, way],
        env=build.environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_next(process: subprocess.Popen[str]) -> int:
    """Have it run the flow once more. Returns how many times it has."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return told(process)


def told(process: subprocess.Popen[str]) -> int:
    """The next number that it says, when that run has ended."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().isdecimal():
            return int(line)
    raise AssertionError(f"it ended: {process.communicate()}")


def states_of(runs: list[dict[str, object]]) -> set[object]:
    """The types of the states that the runs are in."""
    return {run["state_type"] for run in runs}


def revision(ledger: Path) -> str:
    with closing(sqlite3.connect(ledger)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_the_newer_upgrades_after_a_copy_while_the_older_records_and_is_told_what_it_needs(
    newer: Build, home: Path
) -> None:
    older = this_build()
    with recording(older, home, "asked") as process:
        assert run_next(process) == 1
        assert len(older.flow_runs(home)) == 1
        assert revision(home / "ledger.db") == HEAD

        assert run_next(process) == 2
        found = newer.flow_runs(home)  # older segments are read, and the tables upgraded
        assert [run["state_type"] for run in found] == ["COMPLETED", "COMPLETED"]
        assert revision(home / "ledger.db") == "9999"
        copies = [path for path in home.glob("ledger.db.before-*") if not path.name.endswith(("-wal", "-shm"))]
        assert [revision(copy) for copy in copies] == [HEAD]

        assert run_next(process) == 3  # it never noticed
        refused = older.command(home, "flow-run", "ls")
        assert refused.returncode == Exit.UNAVAILABLE
        assert f"Surefoot {NEWER} (revision 9999)" in refused.stderr
        assert f"pip install 'surefoot>={NEWER}'" in refused.stderr
        assert not refused.stdout
        assert older.python(home, ONCE).returncode == 0  # nor does a new process of it
        assert run_next(process) == 4
    found = newer.flow_runs(home)
    assert [run["flow_name"] for run in found].count("made") == 4
    assert [run["flow_name"] for run in found].count("once") == 1
    assert states_of(found) == {"COMPLETED"}
    assert newer.command(home, "flow-run", "logs", str(found[2]["id"])).stdout.count("run 3") == 1


def test_an_upgrade_in_the_midst_of_recording_loses_nothing(newer: Build, home: Path) -> None:
    older = this_build()
    with recording(older, home, "on and on") as process:
        told(process)
        assert older.flow_runs(home)
        count = 0
        for _ in range(3):
            count = told(process)
            assert len(newer.flow_runs(home)) >= count
        process.kill()
        assert process.stdout is not None
        count = int([str(count), *process.stdout.read().split()][-1])
    found = newer.flow_runs(home)
    ended = [run for run in found if run["state_type"] == "COMPLETED"]
    assert count <= len(ended) <= len(found) <= count + 2
    assert states_of(found) <= {"COMPLETED", "CRASHED"}  # the last of them may have been on when it was killed


def test_a_reader_that_has_the_ledger_open_folds_nothing_into_upgraded_tables(newer: Build, home: Path) -> None:
    older = this_build()
    watches = """if True:
        import sys
        from surefoot.client import get_client
        from surefoot.exceptions import LedgerTooNew
        client = get_client()
        print(len(client.flow_runs().results), flush=True)
        sys.stdin.readline()
        try:
            print(len(client.flow_runs().results))
        except LedgerTooNew as error:
            print(error)
    """
    assert older.python(home, ONCE).stdout.strip() == older.version
    process = subprocess.Popen(
        [sys.executable, "-c", watches],
        env=older.environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert len(newer.flow_runs(home)) == 1
        assert older.python(home, ONCE).returncode == 0
        said, _ = process.communicate("go on\n")
    assert f"upgraded by Surefoot {NEWER} (revision 9999) meanwhile" in said
    assert f"pip install 'surefoot>={NEWER}'" in said
    assert len(newer.flow_runs(home)) == 2


def test_segments_of_a_newer_format_are_left_alone_by_the_older(home: Path, tmp_path: Path) -> None:
    older, newest = this_build(), newer_build(tmp_path / "newest", with_format=True)
    assert newest.python(home, ONCE).stdout.strip() == NEWER
    assert older.python(home, ONCE).stdout.strip() == older.version

    def files() -> dict[str, bytes]:
        found = (home / "writers").rglob("*.seg")
        return {str(path): path.read_bytes() for path in found if f"{NEWER}".encode() in path.read_bytes()}

    before = files()
    assert before
    listed = older.command(home, "flow-run", "ls", "-o", "json")
    assert listed.returncode == 0
    assert [run["flow_name"] for run in json.loads(listed.stdout)] == ["once"]  # its own
    assert f"needs Surefoot {NEWER} to be read" in listed.stderr
    assert files() == before
    refused = older.command(home, "flow-run", "retry", "--last")  # whether there is one may be told in these
    assert refused.returncode == 4
    assert f"needs Surefoot {NEWER} to be read" in refused.stderr
    found = newest.flow_runs(home)
    assert len(found) == 2
    assert states_of(found) == {"COMPLETED"}
    assert not files()  # and now it is in the ledger


def test_facts_and_fields_that_the_older_does_not_know_are_kept_and_folded_after_an_upgrade(
    home: Path, tmp_path: Path
) -> None:
    older, newest = this_build(), newer_build(tmp_path / "newest")
    done = newest.python(home, REMARKS)
    assert done.returncode == 0, done.stderr
    unknown = [
        fact
        for folder in writers(Home(str(home)))
        for segment in folder.segments()
        for fact in read_segment(segment.path).facts
        if isinstance(fact, Unknown)
    ]
    assert len(unknown) == 1
    assert {fact.surefoot for fact in facts(home) if isinstance(fact, SegmentOpened)} == {NEWER}
    states = [fact for fact in facts(home) if isinstance(fact, StateEntered)]
    assert [state.state_type for state in states].count(COMPLETED) == 2  # with a field more than this version knows

    found = older.flow_runs(home)
    assert states_of(found) == {"COMPLETED"}
    assert not list((home / "writers").glob("*/*.seg"))  # all is in the ledger, the unknown fact as it is
    assert "a fine day" not in older.command(home, "flow-run", "logs", str(found[0]["id"])).stdout
    assert newest.command(home, "flow-run", "logs", str(found[0]["id"])).stdout.count("a fine day") == 1
    assert states_of(older.flow_runs(home)) == {"COMPLETED"}


def test_several_that_upgrade_at_once_do_it_once(newer: Build, home: Path) -> None:
    older = this_build()
    assert older.python(home, ONCE).returncode == 0
    assert len(older.flow_runs(home)) == 1
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "surefoot", "flow-run", "ls", "-o", "json"],
            env=newer.environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for command in commands:
        out, err = command.communicate()
        assert command.returncode == 0, err
        assert len(json.loads(out)) == 1
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        assert connection.execute("SELECT count(*) FROM novelties").fetchone() == (0,)


@pytest.mark.parametrize("is_downgrade", [False, True])
def test_a_run_is_gone_on_with_by_another_build_which_reads_the_packs_that_it_knows(
    is_downgrade: bool, home: Path, tmp_path: Path
) -> None:
    """The newer one takes up what the older one kept; the older one runs again what the newer one did, and says why."""
    newest = newer_build(tmp_path / "newest", with_pack_format=True)
    before, after = (newest, this_build()) if is_downgrade else (this_build(), newest)
    place = tmp_path / "work"
    place.mkdir()
    (place / "resumed.py").write_text(RESUMED)
    failed = before.script(home, place / "resumed.py")
    assert failed.returncode == 1, failed.stderr
    (place / "mended").touch()
    retried = after.command(home, "flow-run", "retry", "--last")
    assert retried.returncode == 0, retried.stderr
    assert states_of(after.flow_runs(home)) == {"COMPLETED"}
    tasks = json.loads(after.command(home, "task-run", "ls", "-o", "json").stdout)
    (first,) = [run for run in tasks if run["task_name"] == "first"]
    assert first["run_count"] == (2 if is_downgrade else 1)
    why = after.command(home, "why", str(first["id"])).stdout
    assert ("a newer version of Surefoot wrote it, in format 91; this one reads 1" in why) == is_downgrade
