"""`surefoot replay`: the task of one recorded run is called again, with its inputs, and nothing is recorded."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from surefoot.client import get_client
from tests.cli.test_retry import start, surefoot

PROGRAM = """
import asyncio, pathlib, sys, threading
from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner

BROKEN = pathlib.Path(__file__).with_name("broken").exists()

@task
def load(n):
    print("load", n, flush=True)
    return [n]

@task(retries=2, on_failure=[lambda *_: print("hook", flush=True)])
def save(rows, extra):
    print("save", rows, extra, flush=True)
    if BROKEN:
        raise ValueError("broken")
    return rows[0] + extra

@task
async def send(rows):
    print("send", rows, flush=True)
    return "sent"

@task
async def pages(rows):
    for row in rows:
        await asyncio.sleep(0)
        total = row * 10
        yield total

@task
def hold(rows):
    print("hold", flush=True)
    return threading.Lock()

@task
def use(held):
    return held.locked()

@task
def within(n):
    print("within", flush=True)
    return save(load(n), 5)

@flow
def inner(n):
    print("inner", flush=True)
    return within(n)

@flow
def direct(n=1):
    print("body", flush=True)
    total = save(load(n), 2)
    print("after", flush=True)
    return total

@flow
def submitted(n=1):
    rows = load.submit(n)
    runs = [save.submit(rows, extra) for extra in (7, 8)]
    return [run.result() for run in runs]

@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def processes(n=1):
    return save.submit(load.submit(n), 2).result()

@flow
async def asynchronous(n=1):
    await send(load(n))
    print("after", flush=True)

@flow
async def paged(n=1):
    return [page async for page in pages(load(n))]

@flow
def nested(n=1):
    inner(n)
    print("after", flush=True)

@flow
def unkept(n=1):
    return use(hold(load(n)))

@task
def bad():
    raise KeyError("bad")

@task
def gen(n):
    yield from range(n)

@task
def last(n):
    return n

@flow
def obstructed(n=1):
    bad.submit().wait()
    list(gen(3))
    return last(5)

if __name__ == "__main__":
    ran = globals()[sys.argv[1]]
    try:
        asyncio.run(ran()) if ran.isasync else ran()
    except ValueError:
        pass
"""


def run(folder: Path, flow: str) -> Path:
    file = folder / "job.py"
    file.write_text(dedent(PROGRAM))
    done = start(folder, "job.py", flow)
    assert done.returncode == 0, done.stderr
    return file


def runs_of(task: str) -> list[str]:
    with closing(get_client()) as client:
        return [run.id for run in reversed(client.task_runs().results) if run.task_name == task]


def rows(home: Path) -> dict[str, list[Any]]:
    """All that the ledger holds of runs, and the names and sizes of the journals and results."""
    (database,) = home.glob("*.db")
    with closing(sqlite3.connect(database)) as ledger:
        tables = ("flow_runs", "task_runs", "epochs", "logs")
        found = {table: ledger.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall() for table in tables}
    for folder in ("writers", "results"):
        files = (path for path in home.glob(f"{folder}/**/*") if path.is_file())
        found[folder] = sorted((str(path), path.stat().st_size) for path in files)
    return found


def replay(folder: Path, *args: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return start(folder, "-m", "surefoot", "replay", *args, text=text)


@pytest.mark.parametrize(
    ("flow", "task", "nth", "printed"),
    [
        ("direct", "load", 0, "body\nload 1\n[1]\n"),
        ("direct", "save", 0, "body\nsave [1] 2\n3\n"),
        ("submitted", "save", 1, "save [1] 8\n9\n"),
        ("processes", "save", 0, "save [1] 2\n3\n"),
        ("asynchronous", "send", 0, "send [1]\n'sent'\n"),
        ("paged", "pages", 0, "[10]\n"),
        ("nested", "within", 0, "inner\nwithin\n6\n"),
        ("nested", "save", 0, "inner\nwithin\nsave [1] 5\n6\n"),
    ],
)
def test_only_that_task_is_called_and_nothing_is_recorded(
    flow: str, task: str, nth: int, printed: str, home: Path, tmp_path: Path
) -> None:
    run(tmp_path, flow)
    chosen = runs_of(task)[nth]
    before = rows(home)
    again = replay(tmp_path, chosen)
    assert (again.returncode, again.stdout) == (0, printed), again.stderr
    assert "nothing is recorded" in again.stderr
    assert "was cancelled" not in again.stderr, "the flows around it are not what was asked for"
    runs_of(task)  # whatever a journal holds is taken in
    assert rows(home) == before


def test_a_task_that_fails_again_shows_its_traceback_once_without_retries_and_hooks(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    run(tmp_path, "direct")
    again = replay(tmp_path, runs_of("save")[0])
    assert (again.returncode, again.stdout) == (1, "body\nsave [1] 2\n")
    assert again.stderr.rstrip().endswith("ValueError: broken")
    (tmp_path / "broken").unlink()
    mended = replay(tmp_path, runs_of("save")[0])
    assert (mended.returncode, mended.stdout) == (0, "body\nsave [1] 2\n3\n")


def test_the_debugger_opens_where_the_task_fails(home: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    run(tmp_path, "direct")
    again = replay(tmp_path, runs_of("save")[0], "--pdb", text="p ('seen', extra)\nq\n")
    assert again.returncode == 1
    assert "('seen', 2)" in again.stdout


def test_the_debugger_opens_at_the_first_line(home: Path, tmp_path: Path) -> None:
    run(tmp_path, "direct")
    again = replay(tmp_path, runs_of("save")[0], "--break", text="rows = [40]\nc\n")
    assert again.returncode == 0, again.stderr
    assert again.stdout.rstrip().endswith("42")


def test_the_debugger_opens_at_the_first_line_of_an_asynchronous_task_and_stays_over_an_await(
    home: Path, tmp_path: Path
) -> None:
    run(tmp_path, "asynchronous")
    again = replay(tmp_path, runs_of("send")[0], "--break", text="p ('seen', rows)\nc\n")
    assert (again.returncode, "('seen', [1])" in again.stdout) == (0, True), again.stderr
    assert again.stdout.rstrip().endswith("'sent'")
    run(tmp_path, "paged")
    again = replay(tmp_path, runs_of("pages")[0], "--break", text="p ('seen', rows)\nn\nn\nc\n")
    assert (again.returncode, "('seen', [1])" in again.stdout) == (0, True), again.stderr
    assert again.stdout.rstrip().endswith("[10]")


def test_one_document_tells_what_came_of_it(home: Path, tmp_path: Path) -> None:
    run(tmp_path, "direct")
    save = runs_of("save")[0]
    again = replay(tmp_path, save, "-o", "json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["duration"] >= 0
    assert {
        name: told[name] for name in ("task_run_id", "flow_name", "state_type", "result", "result_repr", "error")
    } == {
        "task_run_id": save,
        "flow_name": "direct",
        "state_type": "COMPLETED",
        "result": 3,
        "result_repr": "3",
        "error": None,
    }
    assert "body\nsave [1] 2\n" in again.stderr  # what the code prints
    (tmp_path / "broken").touch()
    again = replay(tmp_path, save, "-o", "jsonl")
    assert (again.returncode, again.stdout.count("\n")) == (1, 1)
    told = json.loads(again.stdout)
    assert (told["state_type"], told["result"], told["error"]["type"], told["error"]["message"]) == (
        "FAILED",
        None,
        "ValueError",
        "broken",
    )
    assert told["error"]["traceback"].endswith("ValueError: broken")


def test_a_value_that_json_cannot_hold_is_told_as_python_shows_it(home: Path, tmp_path: Path) -> None:
    run(tmp_path, "unkept")
    again = replay(tmp_path, runs_of("hold")[0], "-o", "json")
    told = json.loads(again.stdout)
    assert (told["state_type"], told["result"]) == ("COMPLETED", None)
    assert told["result_repr"].startswith("<unlocked _thread.lock")
    again = replay(tmp_path, runs_of("use")[0], "-o", "json")
    assert (again.returncode, again.stdout) == (3, "")


def test_an_input_that_was_not_kept_is_named(home: Path, tmp_path: Path) -> None:
    run(tmp_path, "unkept")
    again = replay(tmp_path, runs_of("use")[0])
    assert (again.returncode, again.stdout) == (3, "")
    assert "hold-" in again.stderr
    assert "pickle" in again.stderr


def test_what_stopped_the_flow_is_named_and_not_what_it_passed_over(home: Path, tmp_path: Path) -> None:
    run(tmp_path, "obstructed")
    again = replay(tmp_path, runs_of("last")[0])
    assert (again.returncode, again.stdout) == (3, "")
    (told,) = [line for line in again.stderr.splitlines() if "does not come to the task" in line]
    assert "gen-" in told
    assert "bad-" not in told


def test_what_is_not_there_or_has_no_file_is_refused(home: Path, tmp_path: Path) -> None:
    file = run(tmp_path, "direct")
    assert surefoot(tmp_path, "replay", "no-such-run").returncode == 4
    file.unlink()
    gone = replay(tmp_path, runs_of("save")[0])
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "is gone" in gone.stderr
