"""Damage: of a segment as much is read as is whole; of a ledger it is said what is the matter, with a way out."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot import flow, task
from surefoot.cli.app import app
from surefoot.client.embedded import EmbeddedClient
from surefoot.core.errors import LedgerDamaged, SurefootError
from surefoot.core.facts import Fact, SegmentOpened, WriterEnded, encode
from surefoot.core.ids import new_id
from surefoot.core.wire import TaskRunFilter
from surefoot.journal.frames import frame
from surefoot.journal.recorder import get_recorder
from tests.client.builders import a_flow_run, spoilt

NAMES = [f"run-{number}" for number in range(12)]
FACTS: list[Fact] = [fact for name in NAMES for fact in a_flow_run(name)]
HEADER = SegmentOpened(bytes(16), "runs", 0, 1, 1, "here", "boot", 1, "0")
FRAMES = [frame(encode(fact)) for fact in [HEADER, *FACTS]]
WHOLE = b"".join(FRAMES)
CREATED = [sum(map(len, FRAMES[: number + 2])) for number in range(0, len(FACTS), 3)]  # where each run's creation ends


def left_by_a_dead_writer(home: Path, content: bytes) -> None:
    """A home in which a writer that ended in order left this one segment."""
    folder = home / "writers" / new_id().hex()
    folder.mkdir(parents=True)
    (folder / "runs-000000.seg").write_bytes(content)


def names_in(home: Path) -> tuple[list[str], list[str]]:
    """The runs that are read, and what is said of what is not."""
    with closing(EmbeddedClient(home, wait_s=60)) as client:  # however slow the machine is, it is to read all
        found = [run.name for run in client.flow_runs(limit=100, sort="NAME_ASC").results]
        return found, list(client.troubles)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_wherever_a_bit_flips_what_stands_before_is_read_and_the_rest_is_kept_aside(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    raw = bytearray(WHOLE)
    raw[place] ^= 1 << bit
    home = tmp_path_factory.mktemp("home")
    left_by_a_dead_writer(home, bytes(raw))
    found, troubles = names_in(home)
    assert set(found) <= set(NAMES)
    if len(found) < len(NAMES):
        assert "is damaged" in troubles[0]
        assert bytes(raw) in {kept.read_bytes() for kept in (home / "damaged").iterdir()}
    assert not list((home / "writers").iterdir())


@pytest.mark.long
def test_wherever_a_bit_flips_in_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    check = test_wherever_a_bit_flips_what_stands_before_is_read_and_the_rest_is_kept_aside.hypothesis.inner_test  # type: ignore[attr-defined]
    for place in range(0, len(WHOLE), 7):
        check(tmp_path_factory, place, place % 8)


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7])
def test_of_a_segment_whose_end_is_gone_the_start_is_read(home: Path, keep: float, zeros: bool) -> None:
    whole = int(len(WHOLE) * keep)
    left_by_a_dead_writer(home, WHOLE[:whole] + bytes(len(WHOLE) - whole if zeros else 0))
    found, _ = names_in(home)
    assert len(found) == sum(end <= whole for end in CREATED)


@task
def step(number: int) -> int:
    return number


@flow
def nightly() -> None:
    for number in range(20):
        step(number)


@pytest.fixture
def recorded(home: Path) -> Path:
    """A home with a ledger that has taken in one run, and a run that is in its journal alone."""
    nightly()
    get_recorder().close()
    with closing(EmbeddedClient(home)) as client:
        assert len(client.flow_runs().results) == 1
    nightly()
    get_recorder().close()
    return home


def damaged(raw: bytes, how: str) -> bytes:
    """The content of a ledger, damaged."""
    pages = [raw[at : at + 4096] for at in range(0, len(raw), 4096)]
    if how == "a header that is gone":
        return b"\xff" * 100 + raw[100:]
    if how == "pages in the middle":
        return b"".join(page if number < 2 else b"\xff" * 200 + page[200:] for number, page in enumerate(pages))
    if how == "half of it":
        return raw[: len(raw) // 2]
    return b"Dear diary,\n" * 1000


@pytest.mark.parametrize("how", ["a header that is gone", "pages in the middle", "half of it", "another file"])
def test_a_ledger_that_is_damaged_is_said_to_be_and_the_way_out_works(recorded: Path, how: str) -> None:
    ledger = recorded / "ledger.db"
    spoilt_bytes = damaged(ledger.read_bytes(), how)
    ledger.write_bytes(spoilt_bytes)
    told = CliRunner().invoke(app, ["flow-run", "ls"])
    assert told.exit_code in (2, 5)
    assert str(ledger) in told.stderr
    assert ledger.read_bytes() == spoilt_bytes, "it is left as it was: somebody may save more of it"
    nightly()  # goes on, and is recorded
    get_recorder().close()
    _, _, step_to_type = told.stderr.rpartition("that are left: ")
    command, _, slug = step_to_type.strip().rpartition(" ")
    assert slug in ("[ledger-damaged]", "[bad-input]")
    subprocess.run(command, shell=True, check=True)
    assert (recorded / "damaged" / "ledger.db").read_bytes() == spoilt_bytes
    with closing(EmbeddedClient(recorded)) as client:
        assert [run.state_name for run in client.flow_runs().results] == ["Completed", "Completed"]
        assert len(client.task_runs().results) == 40


@pytest.mark.parametrize(("name", "garbled"), [("created_epoch", "creatad_epoch"), ("TABLE logs", "TABLE logz")])
def test_a_ledger_whose_tables_have_other_names_is_said_to_be_damaged(recorded: Path, name: str, garbled: str) -> None:
    ledger = recorded / "ledger.db"
    raw = ledger.read_bytes()
    assert name.encode() in raw
    ledger.write_bytes(raw.replace(name.encode(), garbled.encode()))
    with pytest.raises(LedgerDamaged, match="is damaged: "), closing(EmbeddedClient(recorded)) as client:
        everything_of(client)


def test_an_empty_file_becomes_a_ledger(recorded: Path) -> None:
    (recorded / "ledger.db").write_bytes(b"")
    assert len(names_in(recorded)[0]) == 1


def everything_of(client: EmbeddedClient) -> None:
    """Ask all that can be asked."""
    ids = [run.id for run in client.flow_runs().results] + [run.id for run in client.task_runs().results]
    for run_id in ids:
        client.states(run_id)
        client.why(run_id)
    client.flows()
    client.logs()
    client.task_run_counts(TaskRunFilter())


@pytest.mark.parametrize("count", [25, pytest.param(1_000, marks=pytest.mark.long)])
def test_whatever_is_wrong_in_a_ledger_an_answer_or_an_error_of_ours_comes(recorded: Path, count: int) -> None:
    chance = random.Random(count)
    raw = (recorded / "ledger.db").read_bytes()
    refused = 0
    for number in range(count):
        copy = recorded.with_name(f"copy-{number}")
        shutil.copytree(recorded, copy)
        content = bytearray(raw)
        for _ in range(chance.choice([1, 50, 500])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (copy / "ledger.db").write_bytes(content)
        try:
            with closing(EmbeddedClient(copy, wait_s=60)) as client:
                everything_of(client)
        except SurefootError as error:
            refused += 1
            if not isinstance(error, LedgerDamaged) and "is not a ledger" not in error.what:
                raise
        shutil.rmtree(copy)
    assert 0 < refused < count


def test_a_damaged_piece_of_the_journal_is_told_on_the_command_line(home: Path) -> None:
    nightly()
    get_recorder().close()
    spoilt(home, 30)
    told = CliRunner().invoke(app, ["flow-run", "ls"])
    assert told.exit_code == 0
    assert "A piece of the journal is damaged" in told.stderr
    assert "Crashed" in told.stdout or "Abandoned" in told.stdout


@pytest.mark.parametrize("closes", [True, False])
def test_of_a_run_whose_end_was_damaged_that_is_told_as_long_as_it_is_there(home: Path, closes: bool) -> None:
    """Whether all the rest is gone with it, or a later piece tells that the process closed its journal."""
    nightly()
    get_recorder().close()
    damaged = spoilt(home, 30)
    if closes:
        header = SegmentOpened(bytes.fromhex(damaged.parent.name), "runs", 1, 1, 1, "here", "boot", 1, "0")
        after = damaged.with_name("runs-000001.seg")
        after.write_bytes(frame(encode(header)) + frame(encode(WriterEnded(2, 2))))
        after.chmod(0o400)
    assert "is damaged" in CliRunner().invoke(app, ["flow-run", "ls"]).stderr
    with closing(EmbeddedClient(home)) as client:
        assert not client.troubles
        (run,) = client.flow_runs().results
        assert run.state_name == "Abandoned" if closes else "Crashed"
        told = "a piece of the journal of its process is damaged, and how it ended may have stood there"
        assert run.state.message == run.reason == told
        assert told in client.why(run.id).summary
    for command in ("why", "flow-run inspect"):
        assert "is damaged" in " ".join(CliRunner().invoke(app, [*command.split(), run.name]).stdout.split())


def test_a_row_whose_id_is_no_longer_what_it_was_is_damage(recorded: Path) -> None:
    with closing(sqlite3.connect(recorded / "ledger.db")) as driver:
        driver.execute("UPDATE flows SET id = randomblob(16)")
        driver.commit()
    with pytest.raises(LedgerDamaged, match="UNIQUE constraint failed"), closing(EmbeddedClient(recorded)) as client:
        client.flow_runs()


@pytest.mark.parametrize("column", ["state_us", "expected_us", "created_us"])
def test_an_instant_that_is_no_number_is_damage(column: str, recorded: Path) -> None:
    with closing(sqlite3.connect(recorded / "ledger.db")) as driver:
        driver.execute(f"UPDATE task_runs SET {column} = x'00'")
        driver.commit()
    with pytest.raises(LedgerDamaged, match="is no instant"), closing(EmbeddedClient(recorded)) as client:
        client.task_runs()


def test_a_rule_that_no_longer_says_what_it_said_is_damage(recorded: Path) -> None:
    ledger = recorded / "ledger.db"
    raw = ledger.read_bytes()
    assert b"'closed'" in raw
    ledger.write_bytes(raw.replace(b"ended IN ('closed'", b"ended IN ('clased'"))
    with pytest.raises(LedgerDamaged, match="CHECK constraint failed"), closing(EmbeddedClient(recorded)) as client:
        client.flow_runs()


@pytest.mark.parametrize("runs", ["flow_runs", "task_runs"])
@pytest.mark.parametrize("ask", ["id", "part of an id", "name", "states", "delete", "cancel"])
def test_a_run_that_an_index_does_not_lead_to_is_damage_and_not_a_run_that_is_not_there(
    recorded: Path, ask: str, runs: str
) -> None:
    with closing(EmbeddedClient(recorded)) as client:
        is_task = runs == "task_runs"
        run = (client.task_runs() if is_task else client.flow_runs()).results[0]
    left_by_no_index(recorded / "ledger.db", runs)
    with closing(EmbeddedClient(recorded)) as client:
        find = client.find_task_run if is_task else client.find_flow_run
        asks: dict[str, Callable[[], Any]] = {
            "id": lambda: find(run.id),
            "part of an id": lambda: find(run.id[:-3]),
            "name": lambda: find(run.name),
            "states": lambda: client.states(run.id),
            "delete": lambda: (client.delete_task_runs if is_task else client.delete_flow_runs)([run.id]),
            "cancel": lambda: (client.cancel_task_run if is_task else client.cancel_flow_run)(run.id),
        }
        with pytest.raises(LedgerDamaged, match=f"run {run.name!r} is in it"):
            asks[ask]()


def left_by_no_index(ledger: Path, runs: str) -> None:
    """Have SQLite take the indexes of a table for empty ones: each gets the page at which another begins."""
    with closing(sqlite3.connect(ledger)) as driver:
        query = "SELECT name FROM sqlite_master WHERE tbl_name = ? AND type = 'index'"
        names = [name for (name,) in driver.execute(query, (runs,))]
        driver.execute("CREATE TABLE blank (id INTEGER)")
        for name in names:
            driver.execute(f"CREATE INDEX blank_{name} ON blank (id)")
        page = dict(driver.execute("SELECT name, rootpage FROM sqlite_master"))
        driver.execute("PRAGMA writable_schema=1")
        for one, other in [(name, f"blank_{name}") for name in names]:
            driver.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (page[other], one))
            driver.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (page[one], other))
        driver.commit()
