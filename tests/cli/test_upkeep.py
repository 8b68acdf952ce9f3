"""The commands that look after a home: what they show, what they ask, and what they leave."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.cli.mistakes import Exit
from surefoot.client.upkeep import alone
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from surefoot.ledger.tables import HEAD
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_line, a_task_run, recorded


@pytest.fixture
def seeded(home: Path) -> Path:
    run = a_flow_run("brave-otter")
    recorded(home, run, a_task_run(run), a_line(run, "a line"))
    return home


@pytest.fixture
def recorder(home: Path) -> Iterator[Recorder]:
    recorder = Recorder(Home(str(home)))
    yield recorder
    recorder.close()


def test_stats_tell_what_is_there_and_what_is_not_folded(surefoot: Surefoot, seeded: Path, recorder: Recorder) -> None:
    for fact in a_flow_run("calm-heron"):
        recorder.run(fact)
    told = json.loads(surefoot("db", "stats", "-o", "json").stdout)
    rows = {table["name"]: table["rows"] for table in told["tables"]}
    assert (rows["flow_runs"], rows["task_runs"], rows["logs"]) == (1, 1, 1)
    journal = {each["stream"]: each for each in told["journal"]}
    assert journal["runs"]["segments"] == 1
    assert journal["runs"]["unfolded_bytes"] > 0
    assert journal["logs"]["segments"] == 0
    page = surefoot("db", "stats").stdout
    assert "last upkeep  never" in page
    assert "flow_runs" in page


def test_fold_says_what_it_took_in_and_that_another_is_at_it(
    surefoot: Surefoot, home: Path, recorder: Recorder
) -> None:
    for fact in a_flow_run("calm-heron"):
        recorder.run(fact)
    recorder.close()
    with alone(Home(str(home)), wait=False):
        refused = surefoot("db", "fold")
    assert refused.exit_code == Exit.REFUSED
    assert "surefoot db fold --wait" in refused.stderr
    assert surefoot("db", "fold", "--wait").stdout == "Took in 5 facts.\nNothing was too old.\n"
    assert "last upkeep  never" not in surefoot("db", "stats").stdout


def test_upgrade_says_from_where_to_where_and_keeps_a_copy(surefoot: Surefoot, seeded: Path) -> None:
    assert "nothing to upgrade" in surefoot("db", "upgrade").stdout
    ledger = seeded / "ledger.db"
    ledger.unlink()
    make_old(ledger)
    copy = seeded / f"ledger.db.before-{HEAD}"
    dry = json.loads(surefoot("db", "upgrade", "--dry-run", "-o", "json").stdout)
    assert dry == {"path": str(ledger), "revision": "0001", "head": HEAD, "copy": str(copy), "upgraded": False}
    assert not copy.exists()
    assert surefoot("db", "upgrade").exit_code == Exit.BAD_INPUT
    done = surefoot("db", "upgrade", "--yes")
    assert done.stdout == f"Upgraded {ledger} from revision 0001 to {HEAD}; the copy: {copy}\n"
    assert copy.exists()
    assert json.loads(surefoot("db", "upgrade", "-o", "json").stdout)["revision"] == HEAD


def make_old(path: Path) -> None:
    """A ledger as the first revision had it."""
    code = (
        "import sys; from pathlib import Path; from surefoot.ledger.dialects import sqlite;"
        "from surefoot.ledger.migrate import run_migrations; engine = sqlite.engine_for(Path(sys.argv[1]), 1.0)\n"
        "with engine.connect() as c, sqlite.writing(c).begin(): run_migrations(c, '0001')"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60)


def test_reset_empties_the_ledger_and_folds_what_journals_still_hold(
    surefoot: Surefoot, seeded: Path, recorder: Recorder
) -> None:
    for fact in a_flow_run("calm-heron"):
        recorder.run(fact)
    assert len(json.loads(surefoot("flow-run", "ls", "-o", "json").stdout)) == 2
    asked = surefoot("db", "reset")
    assert (asked.exit_code, "2 flow runs" in asked.stderr) == (Exit.BAD_INPUT, True)
    assert "variables" not in asked.stderr
    surefoot("variable", "set", "region", "eu")
    assert "Its limits (0) and variables (1) will not." in surefoot("db", "reset").stderr
    assert surefoot("db", "reset", "--yes").stdout == f"{seeded / 'ledger.db'} is empty.\n"
    (left,) = json.loads(surefoot("flow-run", "ls", "-o", "json").stdout)
    assert left["name"] == "calm-heron"


@pytest.mark.parametrize("damage", ["no database", "torn"])
def test_reset_puts_a_damaged_ledger_aside(surefoot: Surefoot, seeded: Path, damage: str) -> None:
    ledger = seeded / "ledger.db"
    raw = ledger.read_bytes()
    ledger.write_bytes(b"no database at all" * 1000 if damage == "no database" else raw[:100] + bytes(len(raw) - 100))
    assert surefoot("flow-run", "ls").exit_code != Exit.DONE
    done = surefoot("db", "reset", "--yes")
    assert done.exit_code == Exit.DONE, done.stderr
    (kept,) = (seeded / "damaged").glob("ledger.db.*")
    assert str(kept) in done.stdout
    assert surefoot("flow-run", "ls").exit_code == Exit.DONE


def test_vacuum_says_how_large_the_ledger_was_and_is(surefoot: Surefoot, seeded: Path) -> None:
    with closing(sqlite3.connect(seeded / "ledger.db")) as connection:
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(1000000) AS x")
        connection.execute("DROP TABLE filler")
        connection.commit()
    told = json.loads(surefoot("db", "vacuum", "-o", "json").stdout)
    assert told["bytes"] < told["bytes_before"] - 900_000


def test_home_tells_what_lies_where(surefoot: Surefoot, seeded: Path, recorder: Recorder) -> None:
    for fact in a_flow_run("calm-heron"):
        recorder.run(fact)
    (seeded / "damaged").mkdir()
    (seeded / "damaged" / "piece").write_text("12345")
    (seeded / "mine.txt").write_text("1")
    told = json.loads(surefoot("home", "-o", "json").stdout)
    parts = {part["name"]: part for part in told["parts"]}
    assert parts.keys() == {"journal", "ledger", "aside", "mine.txt"}
    assert parts["aside"]["bytes"] == 5
    assert parts["mine.txt"]["about"] == "not Surefoot's"
    assert (told["writers_living"], told["writers_dead"]) == (1, 0)
    assert told["bytes"] == sum(part["bytes"] for part in told["parts"])
    assert "1 living" in surefoot("home").stdout


def test_home_remove_shows_what_goes_and_leaves_what_is_not_ours(surefoot: Surefoot, seeded: Path) -> None:
    (seeded / "mine.txt").write_text("1")
    asked = surefoot("home", "remove")
    assert (asked.exit_code, "runs, states and log lines" in asked.stderr) == (Exit.BAD_INPUT, True)
    assert (seeded / "ledger.db").exists()
    done = surefoot("home", "remove", "--yes")
    assert f"stay: {seeded / 'mine.txt'}" in done.stdout
    assert os.listdir(seeded) == ["mine.txt"]
    (seeded / "mine.txt").unlink()
    assert surefoot("home", "remove", "--yes").exit_code == Exit.NOT_FOUND


def test_home_remove_is_refused_while_somebody_writes(surefoot: Surefoot, seeded: Path, recorder: Recorder) -> None:
    recorder.open()
    refused = surefoot("home", "remove", "--yes")
    assert (refused.exit_code, "1 process writes in" in refused.stderr) == (Exit.REFUSED, True)
    recorder.close()
    assert surefoot("home", "remove", "--yes", "-o", "json").exit_code == Exit.DONE
    assert not seeded.exists()
