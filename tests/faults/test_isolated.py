"""Tasks in processes of their own that hang, are stopped or are left alone: what is told of it, and nobody is left."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.states import StateType
from tests.faults.program import assert_all_ended, program, runs_in
from tests.faults.test_children import HANGS, are_gone

CANCELLED, CRASHED, FAILED = StateType.CANCELLED, StateType.CRASHED, StateType.FAILED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")

# Who hangs has started one process in its own group, and one in another session.
HANGING = """
from surefoot.engine import remote_calls
remote_calls.STOP_GRACE_S, remote_calls.LATE_GRACE_S = 1.0, 0.3
def hook(flow, run, state): say(f"hook {state.name}")
@task(isolation="process", timeout_seconds=%(limit)s, retries=%(retries)s)
%(kind)sdef hangs():
    child = subprocess.Popen(["sleep", "1000"])
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(f"hangs {os.getpid()}")
    say(f"started {child.pid}")
    say(f"started {other.pid}")
    %(how)s
@flow(on_cancellation=[hook], on_failure=[hook], on_crashed=[hook])
def f():
    %(call)s
try: f()
except Exception: say("went on")
"""
CALLS = {
    "called": "hangs()",
    "submitted": "hangs.submit().result()",
    "awaited": "asyncio.run(hangs())",
    "submitted, asynchronous": "hangs.submit().result()",
}


def text_of(call: str, how: str, limit: float | None = None, retries: int = 0) -> str:
    kind = "async " if call in ("awaited", "submitted, asynchronous") else ""
    return HANGING % {"limit": limit, "retries": retries, "kind": kind, "how": HANGS[how], "call": CALLS[call]}


def cases(*quick: tuple[str, str]) -> list[object]:
    """All ways to be called and to hang; only some of them are tried always."""
    every = [(call, how) for call in CALLS for how in HANGS]
    return [pytest.param(*case, marks=() if case in quick else pytest.mark.long) for case in every]


@pytest.mark.parametrize(
    ("call", "how"),
    cases(("called", "C code"), ("called", "stubborn"), ("submitted", "C code"), ("awaited", "stubborn")),
)
def test_a_call_whose_time_is_up_is_killed_with_all_that_it_started(call: str, how: str, home: Path) -> None:
    with program(text_of(call, how, limit=0.3), home) as running:
        pids = [running.wait_for_number(word) for word in ("hangs", "started", "started")]
        running.wait_for("hook TimedOut")
        running.wait_for("went on")
        are_gone(pids)
        assert "nothing here can stop it" not in running.end().stderr
    assert {run.of: run.end for run in runs_in(home)} == {"f": (FAILED, "TimedOut"), "hangs": (FAILED, "TimedOut")}


def test_each_retry_has_a_time_limit_and_a_process_of_its_own(home: Path) -> None:
    with program(text_of("called", "C code", limit=0.3, retries=2), home) as running:
        pids = [running.wait_for_number("hangs") for _ in range(3)]
        running.end()
    assert len(set(pids)) == 3
    are_gone(pids)
    names = next(run.names for run in runs_in(home) if run.of == "hangs")
    assert names == ["Pending", "Running", "Retrying", "Retrying", "TimedOut"]


@pytest.mark.parametrize(
    ("call", "how"), cases(("called", "sleep"), ("called", "C code"), ("awaited", "C code"), ("submitted", "stubborn"))
)
def test_a_cancelled_flow_ends_it_with_all_that_it_started(call: str, how: str, home: Path) -> None:
    with program(text_of(call, how), home) as running:
        pids = [running.wait_for_number(word) for word in ("hangs", "started", "started")]
        with closing(get_client()) as client:
            (run,) = client.flow_runs().results
            client.cancel_flow_run(run.id)
        running.wait_for("hook Cancelled")
        running.wait_for("went on")
        are_gone(pids)
        running.end()
    assert {run.of: run.end[0] for run in runs_in(home)} == {"f": CANCELLED, "hangs": CANCELLED}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("call", "how"), cases(("called", "C code"), ("submitted", "sleep"), ("awaited", "sleep"), ("called", "stubborn"))
)
def test_a_signal_to_the_owner_ends_it(call: str, how: str, number: signal.Signals, home: Path) -> None:
    with program(text_of(call, how), home) as running:
        pids = [running.wait_for_number(word) for word in ("hangs", "started", "started")]
        running.send(number)
        running.wait_for("hook Crashed")
        running.end()
    are_gone(pids)
    assert_all_ended(home)
    assert {run.of: run.end[0] for run in runs_in(home)} == {"f": CRASHED, "hangs": CRASHED}


@pytest.mark.parametrize("how", ["sleep", "C code"])
def test_it_does_not_outlive_an_owner_that_is_killed(how: str, home: Path) -> None:
    with program(text_of("called", how), home) as running:
        pids = [running.wait_for_number(word) for word in ("hangs", "started", "started")]
        running.send(signal.SIGKILL)
        running.end()
    are_gone(pids)


def test_what_it_leaves_behind_when_it_returns_is_killed(home: Path) -> None:
    text = """
    @task(isolation="process")
    def leaves(): return subprocess.Popen(["sleep", "1000"]).pid
    @flow
    def f(): say(f"left {leaves()}"); sys.stdin.read(); spin()
    f()
    """
    with program(text, home) as running:
        are_gone([running.wait_for_number("left")])
        running.send(signal.SIGKILL)
        running.end()


def test_the_end_of_the_program_waits_for_what_is_done_at_the_end_of_the_process(home: Path) -> None:
    text = """
    import atexit
    @task(isolation="process")
    def ends(): atexit.register(say, "ended in order")
    ends()
    """
    with program(text, home) as running:
        assert "ended in order" in running.end().stdout


@pytest.mark.parametrize("runs", ['@task(isolation="process")', "@task"])
def test_a_process_that_is_forked_there_has_nothing_of_its_runs(runs: str, home: Path) -> None:
    text = f"""
    from surefoot.task_runners import ProcessPoolTaskRunner
    {runs}
    def forks():
        pid = os.fork()
        if not pid: os._exit(0)
        return os.waitpid(pid, 0)[1]
    @flow(task_runner=ProcessPoolTaskRunner(1))
    def f(): say(f"status {{forks.submit().result()}}")
    f()
    """
    with program(text, home) as running:
        assert running.wait_for_number("status") == 0
        assert "Exception ignored" not in running.end().stderr


@pytest.mark.parametrize("holds", ["tag", "concurrency"])
def test_a_task_in_a_process_of_its_own_that_is_killed_frees_its_slot(holds: str, home: Path) -> None:
    text = """
from surefoot.client import get_client
from surefoot.concurrency.sync import concurrency
@task(isolation="process", tags=["db"] if HOLDS == "tag" else [])
def dies():
    if HOLDS == "tag":
        os.kill(os.getpid(), signal.SIGKILL)
    with concurrency("pool"):
        os.kill(os.getpid(), signal.SIGKILL)
@task(isolation="process", tags=["db"] if HOLDS == "tag" else [])
def comes_next():
    if HOLDS == "tag":
        return
    with concurrency("pool", timeout_seconds=30):
        pass
@flow
def f():
    state = dies(return_state=True)
    say(f"it {state.name}")
    comes_next()
    with concurrency("pool", timeout_seconds=30):
        say("free")
f()
"""
    for name in ("pool", "tag:db"):
        with closing(get_client()) as client:
            client.set_limit(name, 1)
    with program(f"HOLDS = {holds!r}\n{text}", home) as running:
        end = running.end()
    assert (end.status, end.stdout) == (0, "it Crashed\nfree\n"), end.stderr
    assert_all_ended(home)
