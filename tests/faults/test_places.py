"""Homes in bad places: a full disk, a folder that may only be read, one without locks, a file, names nobody expects.

Runs go on; what can be recorded is; what is recorded can be read; and each says what to do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from surefoot.client import get_client
from surefoot.core.facts import LogWritten
from tests.faults.places import read_only, small_disk, without_locks
from tests.faults.program import program
from tests.recorded import facts

# A flow of so many tasks, each with lines of so many characters.
WORK = """
import sys
from surefoot import flow, task
@task
def step(number):
    print(number, "x" * int(sys.argv[2]))
    return number
@flow(log_prints=True)
def work():
    for number in range(int(sys.argv[1])):
        step(number)
work()
"""


def run(prefix: Sequence[str], code: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program, or with empty code the command, in some place."""
    command = [sys.executable, *(["-c", dedent(code)] if code else ["-m", "surefoot"]), *args]
    env = {**os.environ, "SUREFOOT_LOGGING_LEVEL": "INFO", "NO_COLOR": "1", "COLUMNS": "200", **env}
    return subprocess.run([*prefix, *command], capture_output=True, text=True, check=False, env=env, timeout=100)


# Tells as JSON what each step gave: all in one process tree, since the disk is gone with it.
STEPS = """
import json, os, subprocess, sys
disk, work = sys.argv[1:]
told = {}
def step(name, *command):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    told[name] = [done.returncode, done.stdout, done.stderr]
def ls(name): step(name, "-m", "surefoot", "flow-run", "ls", "-o", "json")
def fill():
    with open(f"{disk}/filled", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)): pass
        except OSError: pass
def free(): os.unlink(f"{disk}/filled")
"""
FULL = f"""{STEPS}
step("first", "-c", work, "3", "1"); ls("first-ls")
fill()
step("full", "-c", work, "3", "1"); ls("full-ls")
free()
step("freed", "-c", work, "3", "1"); ls("freed-ls")
step("tight", "-c", work, "1000", "3000"); ls("tight-ls")
run = json.loads(told["tight-ls"][1])[0]["name"]
step("tight-logs", "-m", "surefoot", "flow-run", "logs", run)
step("tight-tasks", "-m", "surefoot", "task-run", "ls", "-o", "json", "--limit", "0")
print(json.dumps(told))
"""


def test_on_a_full_disk_runs_go_on_and_what_is_there_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = run(small_disk(disk, "3m"), FULL, str(disk), WORK, SUREFOOT_HOME=str(disk / "home"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    def states(name: str) -> list[str]:
        status, out, err = told[name]
        assert status == 0, err
        return [run["state_name"] for run in json.loads(out)]

    assert states("first-ls") == ["Completed"]
    status, _, err = told["full"]
    assert status == 0
    assert err.count("surefoot: ") == 1
    assert "No space left on device. Free disk space" in err
    assert states("full-ls") == ["Completed"]
    assert "read from a copy" in told["full-ls"][2]
    assert states("freed-ls") == ["Completed", "Completed"], "what comes after space was freed is recorded"
    assert told["freed-ls"][2] == ""
    assert told["tight"][0] == 0
    assert states("tight-ls") == ["Completed"] * 3, "facts about runs are complete"
    tasks = json.loads(told["tight-tasks"][1])
    assert [run["state_name"] for run in tasks] == ["Completed"] * 1006
    assert "lines are missing here: the disk budget for logs was full" in told["tight-logs"][1], "logs went first"


def test_on_a_disk_that_is_full_before_the_first_look_the_journal_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = FULL.replace('"3", "1"); ls("first-ls")\n', '"3", "1")\n').partition("free()\nstep")[0]
    done = run(
        small_disk(disk, "3m"), script + "print(json.dumps(told))", str(disk), WORK, SUREFOOT_HOME=str(disk / "home")
    )
    assert done.returncode == 0, done.stderr
    status, out, err = json.loads(done.stdout)["full-ls"]
    assert status == 0, err
    assert [one["state_name"] for one in json.loads(out)] == ["Completed"]
    assert "database or disk is full. Make room there" in err


# A flow whose disk fills up in two steps: until no room is left that log lines may take, then wholly.
GIVES_UP = """
import os, sys
from surefoot import flow, task
disk = sys.argv[1]
def fill(leaves):
    with open(f"{disk}/filled", "ab", buffering=0) as file:
        try:
            while (there := os.statvfs(disk)).f_bavail * there.f_frsize > leaves: file.write(bytes(4096))
        except OSError: pass
@task
def early(number): pass
@task
def late(number): pass
@flow(log_prints=True)
def gives_up():
    print("the first line")
    fill(900 << 10)
    for number in range(200): print(number, "x" * 3000)
    for number in range(1500): early(number)
    os.write(1, b"log lines were given up\\n")
    fill(0)
    for number in range(6000): late(number)
    os.write(1, b"run facts were given up\\n")
gives_up()
"""
ORDER = f"""{STEPS}
step("continue", "-c", work, disk)
free()
ls("continue-ls")
run = json.loads(told["continue-ls"][1])[0]["name"]
step("logs", "-m", "surefoot", "flow-run", "logs", run)
step("tasks", "-m", "surefoot", "task-run", "ls", "-o", "json", "--limit", "0")
os.environ["SUREFOOT_JOURNAL_ON_FULL"] = "fail"
step("fail", "-c", work, disk)
free()
step("again", "-c", "from surefoot import flow; flow(lambda: 1, name='again')()")
ls("again-ls")
print(json.dumps(told))
"""


def test_a_full_disk_costs_log_lines_first_then_run_facts_and_the_run_only_if_that_is_wanted(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    env = {"SUREFOOT_HOME": str(disk / "home"), "SUREFOOT_LEDGER_FOLD_WAIT_SECONDS": "60"}
    done = run(small_disk(disk, "10m"), ORDER, str(disk), GIVES_UP, **env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    status, out, err = told["continue"]
    assert status == 0, "a run does not fail for want of room"
    assert "run facts were given up" in out
    assert err.count("surefoot: ") == 1
    assert "surefoot: runs go on, but from here on not all of them is recorded." in err
    assert "No space left on device. Free disk space" in err

    logs = told["logs"][1]
    assert "the first line" in logs
    lines, said = (len(re.findall(r" \d+ xxx| completed in ", text)) for text in (logs, err))
    missing = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) lines? (?:are|is) missing here", logs)]
    assert 0 < lines < 200, "lines were written until the reserve began"
    assert lines + sum(missing) == said, f"all others are counted: {missing}"
    assert len(missing) <= 10, "and not each by itself"

    tasks = json.loads(told["tasks"][1])
    early = [task["state_name"] for task in tasks if task["task_name"] == "early"]
    late = [task["state_name"] for task in tasks if task["task_name"] == "late"]
    assert early == ["Completed"] * 1500, "in the reserve no fact is lost, though log lines are"
    assert 0 < len(late) < 6000
    assert late.count("Completed") >= len(late) - 1, "what is recorded is whole, up to where room ended"
    (ended,) = json.loads(told["continue-ls"][1])
    assert ended["state_name"] == "Abandoned"
    assert "the journal had no room for" in ended["state"]["message"]

    status, out, err = told["fail"]
    assert status == 1
    assert "log lines were given up" in out, "log lines fail no run"
    assert "run facts were given up" not in out
    assert "HomeUnwritable: The journal in" in err
    assert "has no room for run facts: No space left on device" in err
    newest = json.loads(told["again-ls"][1])
    assert [run["flow_name"] for run in newest if run["state_name"] == "Completed"] == ["again"]


def test_in_one_process_recording_begins_again_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    text = """
    import os, sys
    from surefoot import flow
    from surefoot.client import get_client
    @flow
    def work(): pass
    filled = sys.argv[1] + "/filled"
    with open(filled, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)): pass
        except OSError: pass
    work(); work()
    os.unlink(filled)
    work(); work()
    print(len(get_client().flow_runs().results))
    """
    done = run(small_disk(disk, "2m"), text, str(disk), SUREFOOT_HOME=str(disk / "home"))
    assert done.stdout == "2\n", done.stderr
    assert done.stderr.count("nothing of them is recorded") == 1


def test_a_home_that_may_only_be_read_is_read_and_runs_go_on_unrecorded(home: Path) -> None:
    assert run((), WORK, "2", "1").returncode == 0
    assert run((), "", "flow-run", "ls").returncode == 0  # the first is in the ledger, the second in its journal
    assert run((), WORK, "3", "1").returncode == 0
    place = read_only(home)
    before = sorted(str(path) for path in home.rglob("*"))
    listed = run(place, "", "flow-run", "ls", "-o", "json")
    assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Completed", "Completed"]
    assert "cannot be written" in listed.stderr
    assert "read from a copy" in listed.stderr
    worked = run(place, WORK, "2", "1")
    assert worked.returncode == 0
    assert worked.stderr.count("surefoot: ") == 1
    assert "Set SUREFOOT_HOME to a folder that you may write." in worked.stderr
    failed = run(place, WORK, "2", "1", SUREFOOT_JOURNAL_ON_FULL="fail")
    assert failed.returncode == 1
    assert "HomeUnwritable" in failed.stderr
    assert sorted(str(path) for path in home.rglob("*")) == before
    assert len(json.loads(run((), "", "flow-run", "ls", "-o", "json").stdout)) == 2


def test_a_home_that_may_only_be_read_and_has_no_ledger_yet_is_read_from_its_journal(home: Path) -> None:
    assert run((), WORK, "2", "1").returncode == 0
    listed = run(read_only(home), "", "flow-run", "ls", "-o", "json")
    assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Completed"], listed.stderr


def test_without_locks_runs_are_recorded_and_nobody_alive_is_taken_for_dead(home: Path, tmp_path: Path) -> None:
    env = without_locks(tmp_path)
    for _ in range(2):
        worked = run((), WORK, "3", "1", **env)
        assert worked.returncode == 0, worked.stderr
    text = """
    import json, os, subprocess, sys
    from surefoot import flow, task
    @flow
    def outer():
        listed = subprocess.run([sys.executable, "-m", "surefoot", "flow-run", "ls", "-o", "json"], stdout=-1)
        print(json.dumps(sorted(run["state_name"] for run in json.loads(listed.stdout))))
    outer()
    """
    seen = run((), text, **env)
    assert json.loads(seen.stdout) == ["Completed", "Completed", "Running"], seen.stderr
    listed = run((), "", "flow-run", "ls", "-o", "json", **env)
    assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Completed"] * 3, listed.stderr


def test_without_locks_a_killed_process_is_found_dead_by_its_number(home: Path, tmp_path: Path) -> None:
    text = """
    import os, signal
    from surefoot import flow
    @flow
    def outer():
        os.kill(os.getpid(), signal.SIGKILL)
    outer()
    """
    env = without_locks(tmp_path)
    assert run((), text, **env).returncode == -signal.SIGKILL
    listed = run((), "", "flow-run", "ls", "-o", "json", **env)
    assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Crashed"], listed.stderr


def test_a_home_that_is_a_file_is_named_and_runs_go_on(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "below"):
        worked = run((), WORK, "1", "1", SUREFOOT_HOME=str(place))
        assert worked.returncode == 0
        assert f"{str(file)!r} is a file" in worked.stderr or f"{file} is a file" in worked.stderr, worked.stderr
        listed = run((), "", "flow-run", "ls", SUREFOOT_HOME=str(place))
        assert listed.returncode == 5
        assert "is a file. Set SUREFOOT_HOME" in listed.stderr
    assert file.read_text() == "mine"


ODD = [
    "with space",
    "ünï-çödé-家",
    "percent%20and?query#hash",
    "quotes'\"and`ticks`",
    "back\\slash",
    "line\nbreak",
    "-starts-with-a-dash",
    "semi;colon&and|pipe $HOME",
    "x" * 200,
]


@pytest.mark.parametrize("name", ODD)
def test_homes_with_odd_names_work(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    worked = run((), WORK, "2", "1", SUREFOOT_HOME=str(place))
    assert "surefoot: " not in worked.stderr, worked.stderr
    listed = run((), "", "flow-run", "ls", "-o", "json", SUREFOOT_HOME=str(place))
    assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Completed"], listed.stderr
    assert (place / "ledger.db").is_file()


@pytest.mark.parametrize("length", [800, 3000, 5000])
def test_a_home_with_a_very_long_path_works_or_is_refused(length: int, tmp_path: Path) -> None:
    place = tmp_path
    while len(str(place)) < length:
        place = place / ("d" * 150)
    worked = run((), WORK, "2", "1", SUREFOOT_HOME=str(place))
    assert worked.returncode == 0, worked.stderr
    listed = run((), "", "flow-run", "ls", "-o", "json", SUREFOOT_HOME=str(place))
    if "surefoot: " in worked.stderr:  # the system takes no path of that length
        assert "nothing of them is recorded" in worked.stderr
        assert listed.returncode == 5
        assert "Set SUREFOOT_HOME" in listed.stderr
    else:
        assert listed.returncode == 0, listed.stderr
        assert [run["state_name"] for run in json.loads(listed.stdout)] == ["Completed"]


def test_a_home_that_is_removed_while_a_flow_runs_is_made_again_and_the_flow_ends(home: Path) -> None:
    text = """
    @task
    def step(number):
        print("line", number)
    @flow(log_prints=True)
    def work():
        step(1)
        say("on")
        while os.path.exists(os.environ["SUREFOOT_HOME"]): time.sleep(0.001)
        for number in range(3000): step(number)
    @flow
    def after(): pass
    work()
    after()
    """
    with program(text, home) as running:
        running.wait_for("on")
        shutil.rmtree(home)
        end = running.end()
    assert end.status == 0, end.stderr
    with closing(get_client()) as client:
        found = {run.flow_name: run.state_name for run in client.flow_runs().results}
    assert found.get("after", "Completed") == "Completed"
    assert len([fact for fact in facts(home) if isinstance(fact, LogWritten)]) <= 3001
