"""Promise 7 for the journal: whatever kills a process, each fact that it knew to be recorded is read back, in order."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from surefoot.journal.home import Home
from surefoot.journal.reading import writers
from tests.journal.builders import a_child, all_facts, eventually, killed, kinds, lines, only_writer, outcome, states

FATAL = {"sigkill": -signal.SIGKILL, "segfault": -signal.SIGSEGV, "exit": 3} if sys.platform != "win32" else {"exit": 3}


@pytest.mark.parametrize("way", FATAL)
def test_every_fact_that_was_acknowledged_survives(place: Home, way: str) -> None:
    child = a_child(place, way)
    said, _ = outcome(child)
    assert child.returncode == FATAL[way]
    folder = only_writer(place)
    assert not folder.is_alive()
    assert states(folder) == lines(folder) == list(range(len(said))) == list(range(5000))
    assert "WriterEnded" not in kinds(folder, "runs")


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.long)])
def test_every_acknowledged_fact_survives_a_kill_at_any_moment(place: Home, count: int) -> None:
    for number in range(count):
        child = a_child(place, "endless")
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(1 + number * 197 % 3000):
            acknowledged = int(child.stdout.readline())
        acknowledged = int([str(acknowledged), *killed(child)][-1])
        folder = writers(place)[-1]
        assert not folder.is_alive()
        found = states(folder)
        assert found == list(range(len(found)))
        assert acknowledged < len(found) <= acknowledged + 2
        assert len(found) - 1 <= len(lines(folder)) <= len(found)


def test_what_several_threads_were_told_survives_a_kill(place: Home) -> None:
    child = a_child(place, "threads")
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(5000)]
    told += map(int, killed(child))
    found = states(only_writer(place))
    assert set(told) <= set(found)
    for number in range(1, 5):
        assert [n & 0xFFFFFFFF for n in found if n >> 32 == number] == list(
            range(sum(n >> 32 == number for n in found))
        )


def test_a_reader_follows_a_writer_that_is_killed(place: Home) -> None:
    child = a_child(place, "endless")
    assert child.stdout is not None
    child.stdout.readline()
    folder = only_writer(place)
    seen = 0
    for _ in range(20):
        assert folder.is_alive()
        told = int(child.stdout.readline())
        now = states(folder)
        assert now[: seen + 1] == list(range(len(now)))[: seen + 1]
        assert len(now) > told
        seen = len(now)
    killed(child)
    eventually(lambda: not folder.is_alive())
    assert states(folder)[:seen] == list(range(seen))


def test_where_segments_are_written_a_kill_leaves_a_whole_prefix(place: Home) -> None:
    child = a_child(place, "endless", "written")
    assert child.stdout is not None
    for _ in range(2000):
        child.stdout.readline()
    eventually(lambda: len(states(only_writer(place))) > 100)
    killed(child)
    folder = only_writer(place)
    assert states(folder) == list(range(len(states(folder))))


def test_a_writer_that_ends_in_order_says_so_and_takes_its_pulse_away(place: Home) -> None:
    child = a_child(place, "hold")
    assert child.stdout is not None
    writer_id = child.stdout.readline().strip()
    folder = only_writer(place)
    assert folder.writer_id.hex() == writer_id
    assert folder.is_alive()
    outcome(child)
    assert not folder.is_alive()
    assert kinds(folder, "runs")[-1] == "WriterEnded"
    assert not os.path.exists(os.path.join(folder.path, "pulse"))


def test_what_is_recorded_while_the_interpreter_ends_is_kept(place: Home) -> None:
    outcome(a_child(place, "ending"))
    folder = only_writer(place)
    assert states(folder) == [1, 2]
    assert kinds(folder, "runs")[-1] == "WriterEnded"


def test_what_is_recorded_after_the_end_is_kept_too(place: Home, may_map: bool) -> None:
    # `atexit` calls what was registered first last: this handler runs after the recorder's own.
    script = """if True:
        import atexit, sys
        recorders = []
        atexit.register(lambda: recorders[0].run(a_state(2)))
        from tests.journal.builders import a_state
        from surefoot.journal.home import Home
        from surefoot.journal.recorder import Recorder
        recorders.append(Recorder(Home(sys.argv[1]), may_map=sys.argv[2] == "True"))
        recorders[0].run(a_state(1))"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.join(root, "src"), root])}
    code = os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", script, place.path, str(may_map)], environment)
    assert code == 0
    assert [states(folder) for folder in writers(place)] == [[1], [2]]
    assert not any(folder.is_alive() for folder in writers(place))


@pytest.mark.parametrize("count", [3, pytest.param(50, marks=pytest.mark.long)])
def test_what_a_daemon_thread_was_told_while_the_interpreter_ended_is_kept(place: Home, count: int) -> None:
    for number in range(count):
        home = Home(f"{place.path}-{number}")
        child = a_child(home, "daemon")
        told, err = outcome(child)
        assert child.returncode == 0, err
        assert not err
        found = [n for folder in writers(home) for n in states(folder)]
        assert found[: len(told)] == [int(n) for n in told]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("ending", ["soft", "hard"])
def test_a_forked_child_has_a_writer_of_its_own(place: Home, ending: str) -> None:
    child = a_child(place, "fork", ending)
    ids, err = outcome(child)
    assert not err
    parent, forked = (folder for folder in writers(place))
    assert {parent.writer_id.hex(), forked.writer_id.hex()} == set(ids)
    assert states(parent) == [1, 2, 3, 4]
    assert lines(parent) == [1, 2, 3]
    assert states(forked) == lines(forked) == [12, 13]
    assert ("WriterEnded" in kinds(forked, "runs")) == (ending == "soft")
    assert kinds(parent, "runs")[-1] == "WriterEnded"
    assert not parent.is_alive()
    assert not forked.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_does_not_keep_its_dead_parents_pulse(place: Home) -> None:
    child = a_child(place, "fork-and-leave")
    assert child.stdout is not None
    forked = int(child.stdout.readline())
    child.wait(10)
    try:
        folder = only_writer(place)
        assert not folder.is_alive()
        assert states(folder) == [1]
    finally:
        os.kill(forked, signal.SIGKILL)
        child.communicate()


@pytest.mark.parametrize("way", ["spawn"] if sys.platform == "win32" else ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing_have_writers_that_end_in_order(place: Home, way: str) -> None:
    child = a_child(place, "processes", way)
    _, err = outcome(child)
    assert child.returncode == 0, err
    found = writers(place)
    assert sorted(states(folder)[0] for folder in found) == [0, 1, 2, 3]
    for folder in found:
        assert kinds(folder, "runs")[-1] == "WriterEnded"
        assert len(all_facts(folder, "runs")) == 3
