"""Promise 7: the last line before the crash is in the log."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.facts import LogWritten
from surefoot.core.states import StateType
from surefoot.core.wire import LogFilter
from tests.faults.program import program
from tests.recorded import facts

LAST = 137  # the number that a program prints last

# Prints numbers, says to the test which it has printed, and dies.
COUNTS = """
def die():
    if sys.argv[1] == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "exit": os._exit(9)
    if sys.argv[1] == "segfault":
        import ctypes
        ctypes.string_at(0)
    signal.pause()
@task
def count():
    for number in range(int(sys.argv[3]) + 1):
        print("line", number)
        say(f"printed {number}")
    die()
@flow(log_prints=True)
def counts():
    if sys.argv[2] == "direct": count()
    else: count.submit().result()
counts()
"""


def lines_in(home: Path) -> list[str]:
    """The lines that the task printed, as they lie in the journal."""
    return [fact.message for fact in facts(home) if isinstance(fact, LogWritten) and fact.message.startswith("line ")]


@pytest.mark.parametrize("place", ["direct", "submitted"])
@pytest.mark.parametrize(("death", "status"), [("kill", -signal.SIGKILL), ("exit", 9), ("segfault", -signal.SIGSEGV)])
def test_every_line_printed_before_a_process_ends_itself_is_shown_in_order(
    death: str, status: int, place: str, home: Path
) -> None:
    with program(COUNTS, home, death, place, str(LAST)) as running:
        end = running.end()
    assert end.status == status, end.stderr
    wanted = [f"line {number}" for number in range(LAST + 1)]
    assert end.stdout.split("\n")[:-1] == [f"printed {number}" for number in range(LAST + 1)]
    assert lines_in(home) == wanted
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
        (count,) = client.task_runs().results
        logs = client.logs(LogFilter(flow_run_id=[run.id]), limit=1000).results
    assert [line.message for line in logs if line.message.startswith("line ")] == wanted
    assert run.state_type is StateType.CRASHED
    assert count.state_type is StateType.CRASHED


@pytest.mark.parametrize("number", [0, 1, 60, LAST])
def test_what_was_said_to_be_printed_is_shown_whenever_the_process_is_killed(number: int, home: Path) -> None:
    with program(COUNTS, home, "wait", "direct", "100000") as running:
        running.wait_for(f"printed {number}")
        running.send(signal.SIGKILL)
        end = running.end()
    assert end.status == -signal.SIGKILL
    said = number + end.stdout.count("printed")
    lines = lines_in(home)
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert len(lines) > said


@pytest.mark.long
@pytest.mark.parametrize("number", range(0, 4000, 13))
def test_what_was_said_to_be_printed_is_shown_in_full(number: int, home: Path) -> None:
    test_what_was_said_to_be_printed_is_shown_whenever_the_process_is_killed(number, home)


def test_a_line_too_long_is_cut_with_a_mark(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_MAX_LOG_SIZE", "100")
    text = """
    @flow(log_prints=True)
    def prints():
        print("line " + "x" * 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    prints()
    """
    with program(text, home) as running:
        end = running.end()
    assert end.status == -signal.SIGKILL, end.stderr
    (line,) = lines_in(home)
    assert line == "line " + "x" * 95 + " [cut: 905 characters]"
