"""Signals at every instant: whenever one comes, every run ends, no state is missing, and nothing of ours breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client.embedded import EmbeddedClient
from surefoot.core.states import FINAL, StateType
from tests.faults.instants import LEFT_BEHIND, LOST
from tests.faults.program import assert_all_ended, runs_in

PROGRAM = Path(__file__).with_name("instants.py")
WHAT = ["direct", "submitted", "generated", "gathered", "generated-in-a-loop"]
FAILING = ["failing", "failing-in-a-loop"]  # caught by the program, which Ctrl-C ends all the same


def stop(home: Path, what: str, *how: str) -> None:
    """Run the program to its end, which is in order; its runs are what is to be looked at."""
    done = subprocess.run(
        [sys.executable, PROGRAM, what, *how],
        env={**os.environ, "SUREFOOT_LOGGING_LEVEL": "CRITICAL"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # What else stands there, Python says itself: of an exception in a finalizer, which it passes over.
    assert "It came where nothing may come" not in done.stderr, done.stderr
    assert LOST not in done.stderr, done.stderr
    # It may have come at the consumer's turn, which is the program's own. And for the second time it is raised wherever
    # Python is: in what closes a generator, or in asyncio, which then leaves a step or a generator for good. Such a run
    # ends with the process: the next reader says so.
    is_left = (
        LEFT_BEHIND in done.stderr
        or (what.startswith("generated") and (how[0] in ("killed", "twice") or (how[0] == "random" and how[2] != "1")))
        or (what == "gathered" and how[0] == "random" and how[2] != "1")
    )
    if is_left:
        with closing(EmbeddedClient(home, wait_s=600)) as client:  # thousands of runs may have to be taken in
            page = client.flow_runs(limit=10_000)
            assert not page.behind
            ends = {run.state_type for run in page.results}
        assert ends <= FINAL
    else:
        ends = {run.last.state_type for run in runs_in(home)}
        assert_all_ended(home)
    assert (StateType.CANCELLED if how[0] == "cancelled" else StateType.CRASHED) in ends


@pytest.mark.parametrize("what", [*WHAT, *FAILING])
def test_ctrl_c_at_any_step_leaves_no_run_open(what: str, home: Path) -> None:
    stop(home, what, "every", "17")


@pytest.mark.parametrize("what", WHAT)
def test_ctrl_c_at_each_of_the_first_steps_of_a_run_leaves_none_open(what: str, home: Path) -> None:
    stop(home, what, "every", "1", "80")


@pytest.mark.parametrize("what", ["direct", "submitted", "generated"])
def test_ctrl_c_once_more_some_steps_later_leaves_no_run_open(what: str, home: Path) -> None:
    stop(home, what, "twice", "23", "150")


@pytest.mark.parametrize("what", WHAT)
def test_a_cancel_at_any_step_leaves_no_run_open(what: str, home: Path) -> None:
    stop(home, what, "cancelled", "29")


@pytest.mark.parametrize("what", WHAT)
def test_ctrl_c_twice_at_any_time_leaves_no_run_open(what: str, home: Path) -> None:
    stop(home, what, "random", "40", "2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks to be killed many times")
@pytest.mark.parametrize("what", WHAT)
def test_sigterm_at_any_time_leaves_no_run_open(what: str, home: Path) -> None:
    stop(home, what, "killed", "20", "1")


@pytest.mark.long
@pytest.mark.parametrize(
    "how", ["every 1", "cancelled 1", "random 2000 1", "random 2000 3", "killed 500 1", "killed 500 2"]
)
@pytest.mark.parametrize("what", WHAT)
def test_signals_in_full(what: str, how: str, home: Path) -> None:
    stop(home, what, *how.split())


@pytest.mark.long
@pytest.mark.parametrize("what", ["direct", "submitted", "generated"])
def test_signals_twice_in_full(what: str, home: Path) -> None:
    stop(home, what, "twice", "1", "150")
