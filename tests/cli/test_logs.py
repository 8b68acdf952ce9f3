"""`logs` and `watch`: lines in order, the first, the last, those to come; progress until the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from surefoot.core.clock import get_clock
from surefoot.core.wire import FlowRun, Log
from surefoot.journal.home import Home
from surefoot.journal.recorder import Recorder
from tests.cli.conftest import Process, Surefoot
from tests.client.builders import a_flow_run, a_line, a_task_run, recorded


@pytest.fixture
def spoken(home: Path) -> Path:
    """A flow run that logged ten lines and a warning, and a task of it that logged an error."""
    run = a_flow_run()
    task = a_task_run(run)
    lines = [a_line(run, f"line {n}", after_s=n) for n in range(10)]
    recorded(
        home,
        run,
        task,
        *lines,
        a_line(run, "careful", level=30, after_s=10),
        a_line(task, "broken", level=40, after_s=11),
    )
    return home


@pytest.fixture
def recorder(home: Path) -> Iterator[Recorder]:
    recorder = Recorder(Home(str(home)))
    yield recorder
    recorder.close()


def test_lines_say_when_how_grave_where_and_what(surefoot: Surefoot, spoken: Path) -> None:
    lines = surefoot("flow-run", "logs", "brave-otter").stdout.splitlines()
    assert len(lines) == 12
    assert lines[0].split()[2:] == ["INFO", "brave-otter", "line", "0"]
    assert lines[-2].split()[2:] == ["WARNING", "brave-otter", "careful"]
    assert lines[-1].split()[2:] == ["ERROR", "upload-0", "broken"]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--head", "2"], ["line 0", "line 1"]),
        (["--tail", "2"], ["careful", "broken"]),
        (["--level", "WARNING"], ["careful", "broken"]),
        (["--level", "error"], ["broken"]),
        (["--level", "35"], ["broken"]),
        (["--level", "WARNING", "--head", "1"], ["careful"]),
        (["--head", "0"], []),
        (["--tail", "0"], []),
    ],
)
def test_lines_are_chosen(surefoot: Surefoot, spoken: Path, options: list[str], messages: list[str]) -> None:
    result = surefoot("flow-run", "logs", "brave-otter", "-o", "json", *options)
    assert [line.message for line in msgspec.json.decode(result.stdout, type=list[Log])] == messages
    jsonl = surefoot("flow-run", "logs", "brave-otter", "-o", "jsonl", *options)
    assert [json.loads(line)["message"] for line in jsonl.stdout.splitlines()] == messages


def test_a_task_run_has_its_own_lines(surefoot: Surefoot, spoken: Path) -> None:
    (line,) = surefoot("task-run", "logs", "upload-0").stdout.splitlines()
    assert line.endswith("broken")


def test_a_line_of_several_lines_stays_together_and_cannot_steer_the_terminal(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run()
    recorded(home, run, a_line(run, "first\nsecond\x1b[2J\rthird \x1b[31mred\x1b[0m"))
    lines = surefoot("flow-run", "logs", "brave-otter").stdout.splitlines()
    assert lines[0].endswith("first")
    assert lines[1].strip() == "second\\x1b[2J\\x0dthird red"
    assert lines[1].index("second") == lines[0].index("first")


def test_a_run_that_said_nothing(surefoot: Surefoot, home: Path) -> None:
    recorded(home, a_flow_run())
    result = surefoot("flow-run", "logs", "brave-otter")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Nothing was logged.\n")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--level", "LOUD"], "There is no log level 'LOUD'."),
        (["--head", "1", "--tail", "1"], "--head does not go with --tail"),
        (["--head", "1", "--follow"], "--head does not go with"),
        (["--follow", "-o", "json"], "Use -o jsonl."),
        (["--head", "-1"], "--head"),
    ],
)
def test_what_does_not_go_together_is_refused(surefoot: Surefoot, spoken: Path, options: list[str], text: str) -> None:
    result = surefoot("flow-run", "logs", "brave-otter", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_following_ends_with_the_run_and_loses_no_line(home: Path, recorder: Recorder, process: Process) -> None:
    created, running, ended = run = a_flow_run(began_us=get_clock().now_us())
    recorder.run(created)
    recorder.run(running)
    recorder.log(a_line(run, "line 0", after_s=0))

    def go_on() -> None:
        for number in range(1, 200):
            recorder.log(a_line(run, f"line {number}", after_s=number / 1000))
        recorder.run(ended)

    writer = threading.Timer(0.3, go_on)
    writer.start()
    done = process("flow-run", "logs", "brave-otter", "--follow", "-o", "jsonl")
    writer.join()
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == [f"line {n}" for n in range(200)]


def test_following_a_tail_starts_where_the_tail_does(surefoot: Surefoot, spoken: Path) -> None:
    result = surefoot("flow-run", "logs", "brave-otter", "--tail", "1", "--follow", "-o", "jsonl")
    assert [json.loads(line)["message"] for line in result.stdout.splitlines()] == ["broken"]


def test_watching_ends_with_the_run(home: Path, recorder: Recorder, process: Process) -> None:
    created, running, ended = run = a_flow_run(began_us=get_clock().now_us(), state="Failed", why="no")
    for fact in [created, running, *a_task_run(run)]:
        recorder.run(fact)
    writer = threading.Timer(0.3, recorder.run, [ended])
    writer.start()
    done = process("flow-run", "watch", "brave-otter", "-o", "json")
    writer.join()
    assert done.returncode == 1
    assert msgspec.json.decode(done.stdout, type=FlowRun).state_name == "Failed"
    assert done.stderr.splitlines()[-1] == "brave-otter   Failed"


def test_watching_a_run_that_completed_is_done_at_once(surefoot: Surefoot, spoken: Path) -> None:
    result = surefoot("flow-run", "watch", "brave-otter")
    assert result.exit_code == 0
    assert result.stdout.split()[:2] == ["brave-otter", "Completed"]


def test_watching_stops_in_time_and_says_how_to_go_on(home: Path, recorder: Recorder, surefoot: Surefoot) -> None:
    for fact in a_flow_run(state="Running"):
        recorder.run(fact)
    result = surefoot("flow-run", "watch", "brave-otter", "--timeout", "0")
    assert result.exit_code == 1
    assert "Running" in result.stdout
    assert "surefoot flow-run watch brave-otter" in result.stderr


def test_where_lines_were_deleted_because_of_their_age_that_is_said(surefoot: Surefoot, home: Path) -> None:
    days = 86_400_000_000
    recorded(home, a_flow_run("old-otter", began_us=get_clock().now_us() - 15 * days), a_flow_run("young-otter"))
    assert "lines are kept for 14 days" in surefoot("flow-run", "logs", "old-otter").stderr
    assert surefoot("flow-run", "logs", "young-otter").stderr == "Nothing was logged.\n"
