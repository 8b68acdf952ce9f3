"""Promise 4, embedded: an acknowledged fact is never lost. Whoever takes in the journal is killed, again and again, and
the ledger equals the journal; a disk budget that is too small cuts log lines, counted and shown, and no states.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client.embedded import EmbeddedClient
from surefoot.core.states import StateType
from surefoot.core.wire import TaskRunFilter
from tests.faults.kept import assert_ledger_equals, every_line, every_run
from tests.faults.program import program

WORKS = Path(__file__).parents[1] / "faults" / "works.py"
TAKES_IN = """
import os
from surefoot.client import get_client
client = get_client()
os.write(1, b"on\\n")
while True: client.flow_runs(limit=1)
"""


@pytest.mark.parametrize(("rounds", "kills"), [(40, 6), pytest.param(1_000, 40, marks=pytest.mark.long)])
def test_whoever_takes_in_is_killed_again_and_again_and_the_ledger_equals_the_journal(
    rounds: int, kills: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_JOURNAL_SEGMENT_BYTES", str(1 << 16))
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "INFO")
    side = tmp_path / "side"
    side.mkdir()
    never = threading.Event()
    with subprocess.Popen([sys.executable, WORKS, side, str(rounds)], stderr=subprocess.DEVNULL) as writer:
        for _ in range(kills):
            with subprocess.Popen([sys.executable, "-c", TAKES_IN], stdout=subprocess.PIPE) as reader:
                assert reader.stdout is not None
                assert reader.stdout.readline() == b"on\n"
                never.wait(random.uniform(0.0, 0.05))
                reader.kill()
        assert writer.wait() == 0
    assert_ledger_equals(side, home)


LOGS = """
from surefoot import get_run_logger
@task
def step(number):
    print(f"line {number} " + "x" * 1000)
@flow(log_prints=True)
def talks():
    for number in range(int(sys.argv[1])): step(number)
talks()
"""


@pytest.mark.parametrize("count", [1_500, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_budget_that_is_too_small_cuts_lines_which_are_counted_and_shown_and_no_states(
    count: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_JOURNAL_LOGS_BUDGET_BYTES", str(1 << 20))
    monkeypatch.setenv("SUREFOOT_JOURNAL_SEGMENT_BYTES", str(1 << 18))
    with program(LOGS, home, str(count)) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    with closing(EmbeddedClient(home, wait_s=60)) as client:
        runs = list(every_run(client))
        lines = every_line(client)
    assert len(runs) == count + 1
    assert {run.state_type for run in runs} == {StateType.COMPLETED}
    kept = [line for line in lines if line.startswith("line ")]
    cut = [int(line.split()[0]) for line in lines if "lines are missing here" in line]
    assert cut, "what is missing is shown"
    own = len(lines) - len(kept) - len(cut)  # what the engine says itself, as far as that was kept
    assert count <= len(kept) + sum(cut) <= count + 2 - own
    assert 300 < len(kept) < count


def test_where_even_states_find_no_room_that_is_said_and_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_JOURNAL_RUNS_BUDGET_BYTES", str(1 << 20))
    text = """
    @task
    def step(number): return number
    @flow
    def large():
        for number in range(4_000): step(number)
    large()
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == 0
    assert "not all of them is recorded" in end.stderr
    assert "Raise SUREFOOT_JOURNAL_RUNS_BUDGET_BYTES" in end.stderr
    with closing(EmbeddedClient(home, wait_s=60)) as client:
        (run,) = client.flow_runs().results
        assert run.state_name == "Abandoned"
        assert "how it ended is not recorded: the journal had no room for" in (run.state.message or "")
        assert 100 < client.task_run_counts(TaskRunFilter()).total < 4_000
