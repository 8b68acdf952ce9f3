"""The command as a process: exit codes, what is on stdout, and what a pipe, Ctrl-C and SIGTERM do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.journal.home import Home
from surefoot.ledger import Ledger
from tests.cli.conftest import Process
from tests.client.builders import a_flow_run, a_task_run, recorded, spoilt

FLOWS = """
import asyncio
import sys
import time

from surefoot import flow, task


@task
def double(x):
    return 2 * x


@flow
def good(x: int = 1, names: list[str] = ()):
    print(f"{double(x)} {list(names)}")


@flow
def bad():
    raise ValueError("no such table")


@flow
async def waiting(x: int = 1):
    await asyncio.sleep(0)


@flow
def parts(n: int = 2):
    for part in range(n):
        yield part
    if n > 5:
        raise ValueError("too many")


@flow
async def async_parts():
    yield 1


@flow
def leaving():
    sys.exit(3)


@flow
def slow():
    print("started", flush=True)
    time.sleep(60)


number = 3
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(1)\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["flows.py:good"], 0, "good   Completed"),
        (["flows.py:waiting"], 0, "waiting   Completed"),
        (["flows.py:parts"], 0, "parts   Completed"),
        (["flows.py:async_parts"], 0, "async-parts   Completed"),
        (["flows.py:parts", "-p", "n=6"], 1, "parts   Failed   ValueError: too many"),
        (["flows.py:bad"], 1, "bad   Failed   ValueError: no such table"),
        (["flows.py:leaving"], 1, "leaving   Crashed"),
        (["flows.py:good", "-p", "x=abc"], 2, "[parameter-type]"),
        (["flows.py:good", "-p", "y=1"], 2, "[parameter-bind]"),
        (["flows.py:parts", "-p", "n=abc"], 2, "[parameter-type]"),
        (["flows.py:waiting", "-p", "y=1"], 2, "[parameter-bind]"),
        (["flows.py:goood"], 2, "Did you mean flows.py:good?"),
        (["flows.py"], 2, "[unspecified-flow]"),
        (["flows.py:number"], 2, "[entrypoint]"),
        (["flow.py:good"], 2, "Did you mean flows.py?"),
        (["leaves.py:main"], 2, "called sys.exit(1) while it was loaded"),
        (["broken.py:main"], 2, "ZeroDivisionError"),
        (["flows.py:good", "-p", "x"], 2, "has no KEY=VALUE"),
        (["flows.py:good", "--params", "[1]"], 2, "is no JSON object"),
        (["flows.py:good", "--params", "{"], 2, "is not JSON"),
        ([], 2, "Missing argument 'FILE:FLOW'"),
    ],
)
def test_a_run_ends_with_the_exit_code_of_its_outcome(process: Process, words: list[str], code: int, text: str) -> None:
    done = process("run", *words)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback (most" not in done.stderr


def test_parameters_are_json_or_text_and_stdout_is_the_flows_own(process: Process) -> None:
    done = process("run", "flows.py:good", "--params", '{"x": 1, "names": ["a"]}', "-p", "x=4")
    assert done.stdout == "8 ['a']\n"
    done = process("run", "flows.py:good", "--params", "-", stdin='{"names": ["b"]}')
    assert done.stdout == "2 ['b']\n"


def test_what_ran_is_listed_by_the_next_process(process: Process) -> None:
    process("run", "flows.py:bad")
    (run,) = json.loads(process("flow-run", "ls", "-o", "json").stdout)
    assert (run["flow_name"], run["state_name"]) == ("bad", "Failed")
    assert "no such table" in process("why", run["name"]).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_is_recorded_as_crashed(
    process: Process, tmp_path: Path, number: int, code: int, reason: str
) -> None:
    command = "from surefoot.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "run", "flows.py:slow"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "started\n"
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert running.returncode in (code, -number), errors
    assert "Traceback" not in errors
    (run,) = json.loads(process("flow-run", "ls", "-o", "json").stdout)
    assert run["state_type"] == "CRASHED"
    assert reason in run["reason"]


def test_json_is_alone_on_stdout_also_when_there_is_something_to_note(process: Process, home: Path) -> None:
    recorded(home, *(a_flow_run(f"run-{n}") for n in range(3)))
    done = process("flow-run", "ls", "--limit", "2", "-o", "json")
    assert len(json.loads(done.stdout)) == 2
    assert "--after" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(home: Path) -> None:
    recorded(home, *(a_flow_run(f"run-{n}") for n in range(3000)))
    words = "flow-run ls --limit 0 -o jsonl"
    command = (
        f"{sys.executable} -c 'from surefoot.cli import main; main()' {words} | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    record, code = done.stdout.splitlines()
    assert json.loads(record)["state_name"] == "Completed"
    assert code == "0"


def test_a_home_that_cannot_be_written_is_said_in_one_line(process: Process, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = process("flow-run", "ls", SUREFOOT_HOME=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.count("\n") == 1
    assert "[home-unwritable]" in done.stderr


def test_a_server_that_this_version_cannot_read_is_refused(process: Process) -> None:
    done = process("flow-run", "ls", SUREFOOT_API_URL="https://surefoot.example/api")
    assert done.returncode == 2
    assert "surefoot config unset api.url" in done.stderr


def test_an_unknown_profile_is_refused(process: Process) -> None:
    done = process("--profile", "nightly", "flow-run", "ls")
    assert done.returncode in (2, 4)
    assert "nightly" in done.stderr


def test_debug_shows_where_a_mistake_came_from(process: Process) -> None:
    done = process("--debug", "flow-run", "inspect", "nobody")
    assert done.returncode == 4
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_a_damaged_piece_of_the_journal_is_noted_and_the_rest_is_shown(process: Process, home: Path) -> None:
    process("run", "flows.py:good")
    spoilt(home, -1)
    done = process("flow-run", "ls", "-o", "json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 1
    assert "is damaged" in done.stderr


def test_a_busy_ledger_does_not_keep_a_reader_from_reading(process: Process, home: Path) -> None:
    recorded(home, a_flow_run())
    with Ledger.open(Home(str(home)).ledger_path) as ledger, ledger._write():
        done = process("flow-run", "ls", "-o", "json", SUREFOOT_LEDGER_FOLD_WAIT_SECONDS="0.2")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_a_terminal_of_few_letters_is_served_too(process: Process, home: Path) -> None:
    recorded(home, a_flow_run("日-otter"))
    done = process("flow-run", "inspect", "日-otter", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("?-otter")


def test_the_terminal_gets_colours_and_a_pipe_does_not(home: Path) -> None:
    recorded(home, a_flow_run())
    command = [sys.executable, "-c", "from surefoot.cli import main; main()", "flow-run", "ls"]
    assert b"\x1b[32mCompleted\x1b[0m" in on_a_terminal(command)
    assert b"\x1b[" not in on_a_terminal(command, NO_COLOR="1")
    assert b"\x1b[" not in on_a_terminal(command, SUREFOOT_CLI_COLORS="false")
    assert b"\x1b[" not in on_a_terminal([*command[:3], "--no-color", *command[3:]])


def test_a_mistake_is_coloured_on_a_terminal_only(home: Path) -> None:
    command = [sys.executable, "-c", "from surefoot.cli import main; main()"]
    wrong = ["why", "nobody"]
    assert b"\x1b[31m" in on_a_terminal([*command, *wrong], stream="stderr", code=4)
    assert b"\x1b[" not in on_a_terminal([*command, "--no-color", *wrong], stream="stderr", code=4)
    assert b"\x1b[" not in on_a_terminal([*command, "whi"], stream="stderr", code=2, NO_COLOR="1")


def test_a_terminal_is_not_overrun(home: Path) -> None:
    recorded(home, a_flow_run(state="Failed", why="x" * 300))
    command = [sys.executable, "-c", "from surefoot.cli import main; main()", "--no-color", "flow-run", "ls"]
    lines = on_a_terminal(command, COLUMNS="70").decode().splitlines()
    assert max(map(len, lines)) == 70
    lines = on_a_terminal(command, COLUMNS="70", SUREFOOT_CLI_WRAP_LINES="false").decode().splitlines()
    assert max(map(len, lines)) > 300


def test_watching_on_a_terminal_shows_one_line_that_goes_away(home: Path) -> None:
    run = a_flow_run()
    recorded(home, run, *(a_task_run(run, f"score-{n}", "score") for n in range(3)))
    command = [sys.executable, "-c", "from surefoot.cli import main; main()", "flow-run", "watch", "brave-otter"]
    text = on_a_terminal(command, stream="stderr", COLUMNS="100").decode()
    assert "brave-otter   Completed   11s   3 done" in text
    assert "\x1b[2K" in text[text.index("3 done") :], "the line is wiped"


def on_a_terminal(command: list[str], *, stream: str = "stdout", code: int = 0, **env: str) -> bytes:
    """What a command writes where its stdout, or stderr, is a terminal."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    done = subprocess.Popen(
        command,
        env={**os.environ, "TERM": "xterm", **env},
        stdout=slave if stream == "stdout" else subprocess.DEVNULL,
        stderr=slave if stream == "stderr" else subprocess.DEVNULL,
    )
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when nobody writes any more
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    assert done.wait(30) == code
    return b"".join(parts)
