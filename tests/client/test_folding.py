"""Reading takes in what was written before: of writers that live, ended in order, were killed, or left damage."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.client.embedded import EmbeddedClient
from surefoot.core.clock import SystemClock, get_clock, set_clock
from surefoot.core.facts import FORMAT, LogWritten, RunFact, SegmentOpened, encode
from surefoot.core.ids import new_id, to_text
from surefoot.core.os.host import boot_id, host_name
from surefoot.core.os.locks import lock_for_life
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from surefoot.journal.frames import frame
from surefoot.journal.home import Home
from surefoot.journal.pulse import PULSE, Holder
from surefoot.journal.reading import writers
from surefoot.journal.recorder import Budgets, Recorder
from tests.client.builders import a_client, a_flow_run, a_line, a_task_run, id_of, spoilt


@pytest.fixture
def recorder(home: Path) -> Iterator[Recorder]:
    recorder = Recorder(Home(str(home)))
    yield recorder
    recorder.close()


@pytest.fixture
def client(request: pytest.FixtureRequest, home: Path) -> Iterator[EmbeddedClient]:
    if "each_ledger" in request.fixturenames:
        request.getfixturevalue("each_ledger")  # first: it names the ledger
    client = a_client(home)
    yield client
    client.close()


def write(recorder: Recorder, *facts: RunFact | LogWritten) -> None:
    for fact in facts:
        if isinstance(fact, LogWritten):
            recorder.log(fact)
        else:
            recorder.run(fact)


def folders(home: Path) -> list[str]:
    return [os.path.basename(folder.path) for folder in writers(Home(str(home)))]


def states(client: EmbeddedClient) -> dict[str, str]:
    return {run.name: run.state_name for run in client.flow_runs().results}


def test_a_home_that_is_not_there_is_made(home: Path, client: EmbeddedClient) -> None:
    page = client.flow_runs()
    assert (page.results, page.after, page.behind) == ([], None, 0)
    assert home.is_dir()


@pytest.mark.usefixtures("each_ledger")
def test_what_a_living_process_wrote_is_seen_at_once(recorder: Recorder, client: EmbeddedClient, home: Path) -> None:
    created, running, ended = a_flow_run()
    write(recorder, created, running)
    assert states(client) == {"brave-otter": "Running"}
    write(recorder, ended)
    assert states(client) == {"brave-otter": "Completed"}
    assert folders(home) == [recorder.writer_id.hex()], "its folder stays while it lives"


@pytest.mark.usefixtures("each_ledger")
def test_a_process_that_ended_in_order_leaves_no_folder(recorder: Recorder, client: EmbeddedClient, home: Path) -> None:
    run = a_flow_run()
    write(recorder, *run, a_line(run, "done"))
    recorder.close()
    assert states(client) == {"brave-otter": "Completed"}
    assert [line.message for line in client.logs().results] == ["done"]
    assert folders(home) == []


KILLED = """
import os, signal, sys
from surefoot.journal.home import Home
from surefoot.journal.pulse import PULSE, Holder
from surefoot.journal.recorder import Recorder
from tests.client.builders import a_client, a_flow_run, a_line, a_task_run
recorder = Recorder(Home(sys.argv[1]))
run = a_flow_run(state="Running")
task = a_task_run(run, state="Running")
for fact in [*run, *task]:
    recorder.run(fact)
recorder.log(a_line(task, "the last words", level=40))
print("ready", flush=True)
if sys.argv[2] == "exit":
    os._exit(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("each_ledger")
@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_killed_process_leaves_a_crashed_run_and_its_last_line(home: Path, client: EmbeddedClient, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), how], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "ready\n", done.stderr
    assert states(client) == {"brave-otter": "Crashed"}
    assert [run.state_name for run in client.task_runs().results] == ["Crashed"]
    assert [line.message for line in client.logs().results] == ["the last words"]
    assert folders(home) == []


@pytest.mark.usefixtures("each_ledger")
def test_a_process_whose_folder_was_removed_leaves_no_run_running(
    recorder: Recorder, client: EmbeddedClient, home: Path
) -> None:
    write(recorder, *a_flow_run(state="Running"))
    assert states(client) == {"brave-otter": "Running"}
    folder = home / "writers" / recorder.writer_id.hex()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert states(client) == {"brave-otter": "Crashed"}


class Jumping(SystemClock):
    """A clock that stands still until the next question, and is two minutes later when that is answered."""

    def __init__(self) -> None:
        self.begun_us = super().now_us()
        self.answers: Iterator[int] = itertools.repeat(self.begun_us)

    def ask(self) -> None:
        self.answers = itertools.chain([self.begun_us], itertools.repeat(self.begun_us + 120_000_000))

    def now_us(self) -> int:
        return next(self.answers)


def test_only_what_was_written_before_the_question_is_waited_for(recorder: Recorder, client: EmbeddedClient) -> None:
    """A process that writes faster than anybody folds does not keep a reader for ever."""
    clock = Jumping()
    before = set_clock(clock)
    try:
        for number in range(6000):
            write(recorder, *a_flow_run(f"later-{number}", state="Pending", began_us=clock.begun_us + 60_000_000))
        clock.ask()
        page = client.flow_runs(limit=10_000)
    finally:
        set_clock(before)
    taken = len(page.results)
    assert (page.behind, 0 < taken < 6000) == (0, True)
    client.task_run_counts(TaskRunFilter())  # any question takes in another piece
    assert len(client.flow_runs(limit=10_000).results) > taken


def test_what_was_written_before_a_clock_was_set_back_is_taken_in_all_the_same(recorder: Recorder, home: Path) -> None:
    tomorrow = get_clock().now_us() + 86_400_000_000
    for number in range(6000):
        write(recorder, *a_flow_run(f"before-{number}", state="Pending", began_us=tomorrow))
    client = EmbeddedClient(home, wait_s=60)
    page = client.flow_runs(limit=10_000)
    client.close()
    assert (len(page.results), page.behind) == (6000, 0)


def test_without_time_the_answer_says_how_far_it_is_behind(recorder: Recorder, home: Path) -> None:
    run = a_flow_run()
    write(recorder, *run, *a_task_run(run))
    client = a_client(home, wait_s=0.0)
    page = client.flow_runs()
    assert page.results == []
    assert page.behind == 1 + 3 + 3  # the segment's own first fact, the flow run's three, the task run's three
    client.close()


def test_while_another_process_folds_a_reader_waits_and_then_answers(recorder: Recorder, home: Path) -> None:
    write(recorder, *a_flow_run())
    hasty, patient = a_client(home, wait_s=0.1), a_client(home, wait_s=30)
    fd = os.open(home / "folding.lock", os.O_RDWR | os.O_CREAT)
    lock_for_life(fd)
    assert hasty.flow_runs().behind == 4
    os.close(fd)
    page = patient.flow_runs()
    assert (len(page.results), page.behind) == (1, 0)
    for client in (hasty, patient):
        client.close()


@pytest.mark.usefixtures("each_ledger")
def test_sealed_segments_of_a_living_process_are_removed_when_they_are_in(home: Path, client: EmbeddedClient) -> None:
    recorder = Recorder(Home(str(home)), Budgets(segment_bytes=1 << 16))
    for number in range(2000):
        write(recorder, *a_flow_run(f"run-{number}"))
    folder = home / "writers" / recorder.writer_id.hex()
    assert len(list(folder.glob("runs-*.seg"))) > 2
    names = set()
    after = None
    while client.flow_runs(limit=1).behind:
        pass  # a slow machine has not time for all of them at once
    while True:
        page = client.flow_runs(limit=1000, after=after)
        names |= {run.name for run in page.results}
        if (after := page.after) is None:
            break
    assert names == {f"run-{number}" for number in range(2000)}
    assert len(list(folder.glob("runs-*.seg"))) == 1
    write(recorder, *a_flow_run("one-more"))
    recorder.close()
    assert "one-more" in {run.name for run in client.flow_runs().results}


@pytest.mark.parametrize("number", [0, 1, 20, -1])
@pytest.mark.parametrize("place", [-8, -5, -4, 0, 3])  # in the frame's length, its end, its checksum, its payload
def test_damage_is_kept_aside_and_told_and_stops_nobody(
    recorder: Recorder, client: EmbeddedClient, home: Path, number: int, place: int
) -> None:
    for name in range(20):
        write(recorder, *a_flow_run(f"run-{name}"))
    recorder.close()
    path = spoilt(home, number, place)
    found = client.flow_runs(limit=100).results
    assert len(found) == (20 if number == -1 else max(number - 1, 0) // 3 + (number > 1))
    assert folders(home) == []
    kept = home / "damaged" / f"{path.parent.name}-{path.name}"
    assert kept.is_file()
    assert [str(kept) in trouble for trouble in client.troubles] == [True]
    assert client.flow_runs(limit=100).results == found


def test_what_a_killed_process_had_half_written_is_cut_off(home: Path, client: EmbeddedClient) -> None:
    path = segment(home)
    path.with_name(PULSE).write_bytes(msgspec.json.encode(Holder(host_name(), boot_id(), 1, is_locked=True)))
    path.write_bytes(path.read_bytes()[:-5])  # the last fact said that the run completed
    assert states(client) == {"brave-otter": "Crashed"}
    assert client.troubles == []
    assert not (home / "damaged").exists()
    assert folders(home) == []


def segment(home: Path, **fields: object) -> Path:
    """A segment by a writer that is no more, with one flow run."""
    folder = home / "writers" / new_id().hex()
    folder.mkdir(parents=True)
    opened = SegmentOpened(bytes.fromhex(folder.name), "runs", 0, 1, 1, "here", "boot", 1, "9.9.9")
    opened = msgspec.structs.replace(opened, **fields)
    path = folder / "runs-000000.seg"
    path.write_bytes(b"".join(frame(encode(fact)) for fact in [opened, *a_flow_run()]))
    return path


def test_what_belongs_to_a_server_is_left_for_the_shipper(home: Path, client: EmbeddedClient) -> None:
    path = segment(home, destination="https://surefoot.example/api")
    assert client.flow_runs().results == []
    assert client.troubles == []
    assert path.is_file()


def test_a_segment_of_a_newer_format_waits_for_the_upgrade(home: Path, client: EmbeddedClient) -> None:
    path = segment(home, format=FORMAT + 1)
    assert client.flow_runs().results == []
    assert "needs Surefoot 9.9.9" in client.troubles[0]
    assert path.is_file()
    assert len(client.troubles) == 1, "told once, however often it is met"


def test_a_segment_that_cannot_be_read_is_told_and_left(home: Path, client: EmbeddedClient) -> None:
    path = segment(home)
    path.unlink()
    path.mkdir()
    assert client.flow_runs().results == []
    assert f"{path} cannot be read" in client.troubles[0]
    assert path.exists()


@pytest.mark.usefixtures("each_ledger")
def test_many_readers_at_once_take_in_each_fact_once(recorder: Recorder, home: Path) -> None:
    for number in range(50):
        run = a_flow_run(f"run-{number}")
        write(recorder, *run, *a_task_run(run), a_line(run, str(number)))
    recorder.close()

    def read(_: int) -> tuple[int, int, int, int]:
        client = a_client(home, wait_s=30)
        page = client.flow_runs(limit=100)
        counts = len(page.results), len(client.task_runs(limit=100).results), len(client.logs(limit=100).results)
        client.close()
        return *counts, page.behind

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(8))) == {(50, 50, 50, 0)}
    assert folders(home) == []


def test_a_reader_that_is_killed_harms_nothing(recorder: Recorder, home: Path) -> None:
    for number in range(8000):
        write(recorder, *a_flow_run(f"run-{number}"))
    recorder.close()
    code = "from surefoot.client import get_client; print('ready', flush=True); get_client().flow_runs()"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            while not os.path.exists(home / "folding.lock") and reader.poll() is None:
                pass
            reader.kill()
    client = a_client(home, wait_s=30)
    runs = client.flow_runs(limit=10_000).results
    assert {run.name for run in runs} == {f"run-{number}" for number in range(8000)}
    assert {run.state_name for run in runs} == {"Completed"}
    assert folders(home) == []
    client.close()


WRITER = """
import sys
from surefoot.journal.home import Home
from surefoot.journal.pulse import PULSE, Holder
from surefoot.journal.recorder import Recorder
from tests.client.builders import a_client, a_flow_run, a_line
recorder = Recorder(Home(sys.argv[1]))
for number in range(300):
    run = a_flow_run(f"{sys.argv[2]}-{number}")
    for fact in run:
        recorder.run(fact)
    recorder.log(a_line(run, "x"))
recorder.close()
"""


@pytest.mark.usefixtures("each_ledger")
def test_processes_write_and_read_at_once_and_nothing_is_lost(home: Path, client: EmbeddedClient) -> None:
    writing = [subprocess.Popen([sys.executable, "-c", WRITER, str(home), name]) for name in "ab"]
    other = a_client(home)
    while any(process.poll() is None for process in writing):
        with ThreadPoolExecutor(2) as pool:
            for done in (pool.submit(client.flow_runs), pool.submit(other.logs)):
                done.result()
    assert [process.returncode for process in writing] == [0, 0]
    names = {run.name for run in client.flow_runs(limit=1000).results}
    assert names == {f"{name}-{number}" for name in "ab" for number in range(300)}
    assert len(client.logs(limit=1000).results) == 600
    assert folders(home) == []
    other.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reads=st.lists(st.integers(0, 30), max_size=6), ends=st.lists(st.booleans(), min_size=5, max_size=5))
def test_it_does_not_matter_when_somebody_reads(
    tmp_path_factory: pytest.TempPathFactory, reads: list[int], ends: list[bool]
) -> None:
    """Readings between any two facts change nothing of what is read in the end."""
    home = tmp_path_factory.mktemp("home")
    recorder = Recorder(Home(str(home)))
    runs = [a_flow_run(f"run-{n}", state="Completed" if end else "Running") for n, end in enumerate(ends)]
    facts = [fact for run in runs for fact in (*run, *a_task_run(run), a_line(run, "x"))]
    client = a_client(home)
    for number, fact in enumerate(facts):
        if number in reads:
            client.flow_runs()
        write(recorder, fact)
    assert states(client) == {f"run-{n}": "Completed" if end else "Running" for n, end in enumerate(ends)}
    ids = [to_text(id_of(run)) for run in runs]
    assert [len(client.states(run_id)) for run_id in ids] == [3 if end else 2 for end in ends]
    assert len(client.logs().results) == len(runs)
    recorder.close()
    client.close()


def test_homes_that_share_a_ledger_leave_each_others_writers_alone(
    recorder: Recorder, home: Path, tmp_path: Path, each_ledger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "SUREFOOT_LEDGER_URL" not in os.environ:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", f"sqlite:///{tmp_path}/shared.db")
    write(recorder, *a_flow_run("here", state="Running"))
    neighbour = Recorder(Home(str(tmp_path / "next-door")))
    write(neighbour, *a_flow_run("next-door", state="Running"))
    here, there = a_client(home), a_client(tmp_path / "next-door")
    assert states(here) == {"here": "Running"}
    assert states(there) == {"here": "Running", "next-door": "Running"}
    assert states(here) == {"here": "Running", "next-door": "Running"}
    shutil.rmtree(tmp_path / "next-door" / "writers" / neighbour.writer_id.hex())
    assert states(here) == {"here": "Running", "next-door": "Running"}, "that is not ours to see"
    assert states(there) == {"here": "Running", "next-door": "Crashed"}
    neighbour.close()
    here.close()
    there.close()


def test_a_backlog_keeps_nobody_waiting_longer_than_the_setting_and_is_told_in_facts(
    recorder: Recorder, home: Path
) -> None:
    """An answer is given before all is in."""
    for number in range(5000):
        write(recorder, *a_flow_run(f"run-{number}"))
    recorder.close()
    client = EmbeddedClient(home, wait_s=0.02)
    behind = [client.flow_runs(limit=1).behind for _ in range(2)]
    client.close()
    assert 15_100 > behind[0] >= behind[1] > 0
    client = EmbeddedClient(home, wait_s=60)
    assert len(client.flow_runs(limit=10_000).results) == 5000
    client.close()


def test_a_backlog_hides_no_crash(recorder: Recorder, home: Path) -> None:
    """Of a million facts a reader takes in what it has time for; a process that was killed comes first."""
    for number in range(10_000):
        write(recorder, *a_flow_run(f"run-{number}"))
    recorder.close()
    killed = [sys.executable, "-c", KILLED, str(home), "kill"]
    assert subprocess.run(killed, capture_output=True, check=False, timeout=60).stdout == b"ready\n"
    client = EmbeddedClient(home, wait_s=0.05)
    page = client.flow_runs(FlowRunFilter(name=["brave-otter"]))
    client.close()
    assert [run.state_name for run in page.results] == ["Crashed"]
    assert page.behind > 0


def test_of_more_folders_than_there_is_time_to_list_some_are_taken_in_and_the_answer_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        segment(home)
    monkeypatch.setattr("surefoot.client.folding._LIST_US", 0)
    client = EmbeddedClient(home, wait_s=60)
    assert client.flow_runs().behind > 0
    monkeypatch.undo()
    page = client.flow_runs()
    assert (len(page.results), page.behind) == (3, 0)
    client.close()


def test_what_a_killed_reader_left_half_removed_goes_with_the_next_read(client: EmbeddedClient, home: Path) -> None:
    left = home / "writers" / ".going-0a"
    left.mkdir(parents=True)
    (left / "runs-0.sfj").touch()
    assert client.flow_runs().results == []
    assert not left.exists()
