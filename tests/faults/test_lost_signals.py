"""A signal that CPython did not see in time: it comes between the last look for one and the system call of a sleep."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.states import StateType
from tests.faults.program import assert_all_ended, program, runs_in

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back here")

# `sigwait` takes the first signal away, as if Python had not seen it. What threads inherit does not take it instead.
TEXT = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.{number}])
@flow{options}
def f():
    say("on")
    signal.sigwait([signal.{number}])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.{number}])
    time.sleep(1000)
f(return_state=True)
"""


def test_a_time_limit_whose_alarm_was_not_seen_rings_again(home: Path) -> None:
    with program(TEXT.format(number="SIGALRM", options="(timeout_seconds=0.2)"), home) as running:
        assert running.end().status == 0
    assert_all_ended(home)
    assert [run.last.state_name for run in runs_in(home)] == ["TimedOut"]


def test_a_cancel_whose_call_was_not_seen_is_sent_again(home: Path) -> None:
    with program(TEXT.format(number="SIGURG", options=""), home) as running:
        running.wait_for("on")
        with closing(get_client()) as client:
            (run,) = client.flow_runs().results
            client.cancel_flow_run(run.id)
        running.end()
    assert_all_ended(home)
    assert [run.last.state_type for run in runs_in(home)] == [StateType.CANCELLED]
