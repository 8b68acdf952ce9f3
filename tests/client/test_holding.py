"""Two homes that share a ledger: of two machines that start one run again, one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client.embedded import EmbeddedClient
from surefoot.client.resuming import EmbeddedEarlierRuns
from surefoot.core.clock import get_clock
from surefoot.core.errors import Refused
from surefoot.core.facts import StateEntered
from surefoot.core.ids import new_id
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun
from surefoot.journal import home as journal
from surefoot.journal.recorder import Recorder
from tests.client.builders import a_flow_run, recorded
from tests.faults.program import program
from tests.places import Databases, Ledgers

SOON_S = 30.0
LONG_S = 1000.0


@pytest.fixture
def url(ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger that the homes share, of each kind in turn."""
    where = ledgers.new()
    found = where if "://" in where else f"sqlite:///{where}"
    monkeypatch.setenv("SUREFOOT_LEDGER_URL", found)
    return found


@pytest.fixture
def open_home(url: str, tmp_path: Path) -> Iterator[Any]:
    """Opens what another home sees of the shared ledger."""
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(
            closing(EmbeddedEarlierRuns(str(tmp_path / name), url, **options))
        )


@pytest.fixture
def failed(home: Path, url: str) -> str:
    recorded(home, a_flow_run("brave-otter", state="Failed"))
    return "brave-otter"


class Attempt:
    """Somebody in one home starts a run again, step by step."""

    STEPS = ("looks", "opens", "begins", "folds")

    def __init__(self, run: str, earlier: EmbeddedEarlierRuns, recorder: Recorder) -> None:
        self.run = run
        self.earlier = earlier
        self.recorder = recorder
        self.found: Any = None
        self.is_refused = self.has_opened = False

    def do(self, step: str) -> None:
        if not self.is_refused:
            try:
                getattr(self, step)()
            except Refused:
                self.is_refused = True

    def looks(self) -> None:
        self.found = self.earlier.retryable(self.run)

    def opens(self) -> None:
        self.earlier.open_epoch(self.found, self.recorder.writer_id)
        self.has_opened = True

    def begins(self) -> None:
        begun = StateEntered(self.found.run.run_id, False, self.found.epoch, 0, 1, 1, StateType.PENDING, "Pending")
        self.recorder.run(begun)

    def folds(self) -> None:
        self.earlier._fold()


def test_in_whatever_order_two_homes_take_their_steps_one_goes_on(
    home: Path, url: str, open_home: Any, tmp_path: Path
) -> None:
    homes = [(open_home(name, lease_s=LONG_S), Recorder(journal.Home(str(tmp_path / name)))) for name in ("one", "two")]
    orders = list(combinations(range(8), 4))  # the steps that are the first one's
    recorded(home, *(a_flow_run(f"run-{number}", state="Failed") for number in range(len(orders))))
    for number, firsts in enumerate(orders):
        attempts = [Attempt(f"run-{number}", *one) for one in homes]
        left = [list(Attempt.STEPS), list(Attempt.STEPS)]
        for n in range(8):
            who = 0 if n in firsts else 1
            attempts[who].do(left[who].pop(0))
        assert [one.has_opened for one in attempts].count(True) == 1, firsts
        for earlier, _ in homes:
            if earlier._holding is not None:
                earlier._holding.end()
    for _, recorder in homes:
        recorder.close()


def test_of_two_homes_that_open_at_the_same_moment_one_goes_on(home: Path, url: str, open_home: Any) -> None:
    homes = [open_home(name, lease_s=LONG_S) for name in ("one", "two")]
    for number in range(10):
        recorded(home, a_flow_run(f"run-{number}", state="Failed"))
        start, opened, refused = threading.Barrier(2), [], []

        def go_on(earlier: EmbeddedEarlierRuns, name: str = f"run-{number}") -> None:
            start.wait()  # noqa: B023
            try:
                earlier.open_epoch(earlier.retryable(name), new_id())
            except Refused as error:
                refused.append(error.what)  # noqa: B023
            else:
                opened.append(earlier)  # noqa: B023

        threads = [threading.Thread(target=go_on, args=(one,)) for one in homes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened) == len(refused) == 1
        assert f"pid {os.getpid()} on" in refused[0]
        opened[0].give_up()


FLOWS = """
import os
from surefoot import flow, task

@task
def once():
    with open(os.environ["CALLED"], "a") as file:
        file.write("called\\n")

@flow
def nightly():
    if os.path.exists(os.environ["BROKEN"]):
        raise ValueError("no such table")
    once()
"""


def test_of_two_machines_that_retry_a_run_one_goes_on(tmp_path: Path, server: Databases) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    called, broken = tmp_path / "called", tmp_path / "broken"
    env = os.environ | {"SUREFOOT_LEDGER_URL": server.taken(), "CALLED": str(called), "BROKEN": str(broken)}
    broken.touch()

    def surefoot(home: str, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "surefoot", *words],
            env=env | {"SUREFOOT_HOME": str(tmp_path / home)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    for words in (("run", "flows.py:nightly"), ("flow-run", "ls")):
        surefoot("one", *words).communicate()
    broken.unlink()
    both = [surefoot(home, "flow-run", "retry", "--last", "nightly") for home in ("one", "two")]
    told = [one.communicate()[1] for one in both]
    assert called.read_text() == "called\n"
    assert sorted(one.returncode == 0 for one in both) == [False, True], told
    refusal = next(text for one, text in zip(both, told, strict=True) if one.returncode)
    # Whoever comes when all is over is told that there is nothing left to do.
    assert any(
        words in refusal for words in ("is being started again by pid", "there is nothing left to do", "has not ended")
    )


def test_the_ledger_knows_of_a_run_that_is_gone_on_with_before_anybody_reads(
    home: Path, url: str, tmp_path: Path
) -> None:
    run = a_failed_run()
    with closing(EmbeddedClient(tmp_path / "two", url=url)) as elsewhere:

        @task
        def look() -> int:
            wait_until(lambda: elsewhere.find_flow_run(run.id).state_type is StateType.RUNNING)
            earlier = EmbeddedEarlierRuns(str(tmp_path / "two"), url)
            with closing(earlier), pytest.raises(Refused, match="is Running: it has not ended"):
                earlier.retryable(run.id)
            return 1

        @flow(name="nightly")
        def nightly() -> int:
            return int(look())

        assert nightly.retry(run.id) == 1
        # What takes less than a second is told at its end.
        assert elsewhere.find_flow_run(run.id).epoch == 1


def test_what_is_over_at_once_is_known_to_all_homes(home: Path, url: str, tmp_path: Path) -> None:
    run = a_failed_run()
    assert good.retry(run.id) == 1
    with closing(EmbeddedClient(tmp_path / "two", url=url)) as elsewhere:
        assert elsewhere.find_flow_run(run.id).state_type is StateType.COMPLETED


def test_whoever_died_when_he_had_opened_is_in_nobodys_way(failed: str, url: str, open_home: Any, home: Path) -> None:
    with program(OPENS + "\nos._exit(9)", home.parent / "one", failed) as opener:
        opener.wait_for("opened")
        assert opener.end().status == 9
    if sys.platform == "linux":  # elsewhere no mark tells one process from another with its number
        assert open_home("two").retryable(failed).epoch == 2
    assert open_home("one").retryable(failed).epoch == 2


OPENS = """
from surefoot.client.resuming import EmbeddedEarlierRuns
from surefoot.journal.recorder import get_recorder
home = os.environ["SUREFOOT_HOME"]
earlier = EmbeddedEarlierRuns(home, os.environ["SUREFOOT_LEDGER_URL"])
earlier.open_epoch(earlier.retryable(sys.argv[1]), get_recorder(home).writer_id)
say("opened")
"""


def test_a_lease_that_ran_out_frees_the_run_and_stops_whoever_had_it(
    home: Path, url: str, tmp_path: Path, open_home: Any
) -> None:
    run = a_failed_run()
    with program(FROZEN, tmp_path / "one", run.id) as frozen:
        frozen.wait_until_stopped()
        other = open_home("two", lease_s=LONG_S)
        found = wait_until(lambda: free(other, run.id))
        other.open_epoch(found, new_id())
        assert found.epoch == 2
        frozen.send(signal.SIGCONT)
        ended = frozen.end()
    assert ended.stdout.splitlines()[-1] == "stopped"
    assert "which started the run again" in ended.stderr
    # What it did is filed, and changes nothing of the run, which is another's now.
    with closing(EmbeddedClient(tmp_path / "one", url=url)) as client:
        assert [state.name for state in client.states(run.id)][-1] == "Cancelled"
        assert client.find_flow_run(run.id).epoch == 1
    with pytest.raises(Refused, match="is being started again by"):
        open_home("four").retryable(run.id)


FROZEN = """
from surefoot.client.resuming import EmbeddedEarlierRuns
from surefoot.exceptions import CancelledRun
from surefoot.engine.resuming import Resuming
EmbeddedEarlierRuns.__init__.__kwdefaults__["lease_s"] = 0.8
begin = Resuming.begin
def freeze(*args):
    found = begin(*args)
    os.kill(os.getpid(), signal.SIGSTOP)
    return found
Resuming.begin = freeze

@flow
def nightly(): spin()

try:
    nightly.retry(sys.argv[1])
except CancelledRun:
    say("stopped")
"""


@task
def fine() -> int:
    return 1


@flow(name="nightly")
def bad() -> int:
    raise ValueError("no such table")


@flow(name="nightly")
def good() -> int:
    return int(fine())


def a_failed_run() -> FlowRun:
    """A run that failed, which the shared ledger knows of."""
    bad(return_state=True)
    with closing(EmbeddedClient(os.environ["SUREFOOT_HOME"], url=os.environ["SUREFOOT_LEDGER_URL"])) as client:
        return client.flow_runs().results[0]


def free(earlier: EmbeddedEarlierRuns, name: str) -> Any:
    try:
        return earlier.retryable(name)
    except Refused:
        return None


def wait_until(is_so: Any) -> Any:
    """What it gives when it gives something; it is asked again and again."""
    clock = get_clock()
    until_us = clock.mono_us() + round(SOON_S * 1e6)
    while not (found := is_so()):
        assert clock.mono_us() < until_us
        clock.sleep(0.02)
    return found
