"""What is recorded is read back: in order, from any thread, over any number of segments, in both kinds of segments."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.errors import HomeUnwritable
from surefoot.core.facts import ArtifactWritten
from surefoot.core.states import StateType
from surefoot.journal.frames import FRAME_MAX
from surefoot.journal.home import Home
from surefoot.journal.reading import read_segment, writers
from surefoot.journal.recorder import Budgets, Recorder, get_recorder
from tests.journal.builders import (
    a_child,
    a_line,
    a_state,
    all_facts,
    ends,
    eventually,
    headers,
    kinds,
    lines,
    only_writer,
    outcome,
    states,
)
from tests.journal.conftest import Opener

SMALL = 256 << 10  # the smallest that a segment's first size can be planned


def test_facts_are_read_back_as_they_were_recorded(recorder: Recorder, place: Home) -> None:
    facts = [a_state(n, message="x" * n) for n in range(100)]
    for fact in facts:
        recorder.run(fact)
    recorder.close()
    assert all_facts(only_writer(place), "runs")[1:-1] == facts


def test_each_stream_starts_with_its_header_and_ends_with_the_writers_end(recorder: Recorder, place: Home) -> None:
    recorder.run(a_state(0))
    recorder.log(a_line(0))
    recorder.close()
    folder = only_writer(place)
    assert kinds(folder, "runs") == ["SegmentOpened", "StateEntered", "WriterEnded"]
    assert kinds(folder, "logs") == ["SegmentOpened", "LogWritten", "WriterEnded"]
    (header,) = headers(folder, "logs")
    assert (header.writer_id, header.stream, header.number, header.pid) == (folder.writer_id, "logs", 0, os.getpid())
    assert header.host
    assert header.destination == ""


def test_a_writer_that_logs_nothing_has_no_segment_for_lines(recorder: Recorder, place: Home) -> None:
    recorder.run(a_state(0))
    assert {segment.stream for segment in only_writer(place).segments()} == {"runs"}


def test_a_short_run_leaves_little_on_the_disk(recorder: Recorder, place: Home) -> None:
    recorder.run(a_state(0))
    recorder.log(a_line(0))
    recorder.close()
    sizes = [os.path.getsize(segment.path) for segment in only_writer(place).segments()]
    assert len(sizes) == 2
    assert max(sizes) < 512


def test_a_full_segment_is_sealed_and_followed_by_a_larger_one(opener: Opener, place: Home) -> None:
    recorder = opener()
    for n in range(20_000):
        recorder.run(a_state(n))
    folder = only_writer(place)
    segments = folder.segments()
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert len(segments) >= 3
    assert [segment.sealed for segment in segments] == [True] * (len(segments) - 1) + [False]
    recorder.close()
    assert [header.number for header in headers(folder, "runs")] == [segment.number for segment in segments]
    assert states(folder) == list(range(20_000))
    assert all(segment.sealed for segment in folder.segments())


def test_segments_grow_no_larger_than_the_setting_says(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    for n in range(20_000):
        recorder.run(a_state(n))
    sizes = [os.path.getsize(segment.path) for segment in only_writer(place).segments()]
    assert max(sizes) <= SMALL
    assert len(sizes) > 4


def test_a_fact_larger_than_a_segment_gets_one_of_its_size(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    large = "x" * 3_000_000
    for n in range(3):
        recorder.run(a_state(n, message=large if n == 1 else ""))
    recorder.close()
    folder = only_writer(place)
    assert states(folder) == [0, 1, 2]
    assert large in {getattr(fact, "message", "") for fact in all_facts(folder, "runs")}


def test_a_fact_beyond_all_measure_is_lost_alone_and_counted(
    recorder: Recorder, place: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.run(a_state(0))
    recorder.run(a_state(1, message="x" * FRAME_MAX))
    recorder.run(a_state(2))
    recorder.close()
    folder = only_writer(place)
    assert states(folder) == [0, 2]
    assert [end.lost for end in ends(folder, "runs")] == [1]
    assert "67,108,864" in capsys.readouterr().err


def test_eight_threads_at_once_keep_each_its_order(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    start = threading.Barrier(8)

    def append(number: int) -> None:
        start.wait()
        for n in range(3000):
            recorder.run(a_state(number << 32 | n))
            recorder.log(a_line(number << 32 | n))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    for found in (states(only_writer(place)), lines(only_writer(place))):
        for number in range(8):
            assert [n & 0xFFFFFFFF for n in found if n >> 32 == number] == list(range(3000))


def test_what_threads_append_while_it_is_closed_is_kept(recorder: Recorder, place: Home) -> None:
    appended: list[int] = []
    stop = threading.Event()

    def append() -> None:
        n = 0
        while not stop.is_set():
            recorder.run(a_state(n))
            appended.append(n)
            n += 1

    thread = threading.Thread(target=append)
    thread.start()
    for count in (1000, 2000, 3000):
        eventually(lambda count=count: len(appended) > count)  # type: ignore[misc]
        recorder.close()
    stop.set()
    thread.join()
    recorder.close()
    assert [n for folder in writers(place) for n in states(folder)] == appended


def test_closing_twice_is_closing_once(recorder: Recorder, place: Home) -> None:
    recorder.run(a_state(0))
    recorder.close()
    recorder.close()
    assert len(ends(only_writer(place), "runs")) == 1


def test_a_fact_after_the_end_opens_a_new_writer(recorder: Recorder, place: Home) -> None:
    recorder.run(a_state(0))
    first = recorder.writer_id
    recorder.close()
    recorder.run(a_state(1))
    assert recorder.writer_id != first
    recorder.close()
    assert [states(folder) for folder in writers(place)] == [[0], [1]]


def test_a_home_that_was_removed_is_made_again(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    recorder.run(a_state(0))
    folder = only_writer(place)
    for segment in folder.segments():
        os.unlink(segment.path)
    os.unlink(os.path.join(folder.path, "pulse"))
    os.rmdir(folder.path)
    for n in range(10_000):
        recorder.run(a_state(n))
    assert recorder.lost == 0
    recorder.close()
    assert states(only_writer(place))[-1] == 9_999


@contextmanager
def interrupted(handler: object) -> Iterator[None]:
    """The main thread is interrupted by a signal, again and again."""
    before = signal.signal(signal.SIGALRM, handler)  # type: ignore[arg-type]
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_a_signals_handler_may_append_in_the_middle_of_an_append(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    within: list[int] = []

    def handle(*_: object) -> None:
        number = 1 << 32 | len(within)
        within.append(number)
        recorder.run(a_state(number))
        recorder.log(a_line(number))

    count = 0
    with interrupted(handle):
        while len(within) < 300:
            recorder.run(a_state(count))
            count += 1
    recorder.close()
    folder = only_writer(place)
    assert sorted(states(folder)) == [*range(count), *within]
    assert [n for n in states(folder) if n < 1 << 32] == list(range(count))
    assert sorted(lines(folder)) == within


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_an_exception_in_the_middle_of_an_append_damages_nothing(place: Home, may_map: bool) -> None:
    child = a_child(place, "interrupted", "mapped" if may_map else "written")
    returned, err = outcome(child)
    assert child.returncode == 0, err
    found = [n for folder in writers(place) for n in states(folder)]
    assert found == sorted(set(found))
    assert {int(n) for n in returned} <= set(found)
    assert len(found) - len(returned) <= 300


def test_a_finalizer_may_append_in_the_middle_of_an_append(opener: Opener, place: Home) -> None:
    recorder = opener(segment_bytes=SMALL)
    collected: list[int] = []

    class Abandoned:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            recorder.run(a_state(1 << 32 | len(collected)))
            collected.append(len(collected))

    before = gc.get_threshold()
    gc.set_threshold(2, 2, 2)
    try:
        for n in range(6000):
            Abandoned()
            recorder.run(a_state(n))
    finally:
        gc.set_threshold(*before)
    gc.collect()
    recorder.close()
    found = states(only_writer(place))
    assert [n for n in found if n < 1 << 32] == list(range(6000))
    assert sorted(n & 0xFFFFFFFF for n in found if n >= 1 << 32) == collected
    assert len(collected) == 6000


def test_a_segment_takes_nothing_more_once_the_next_is_there_to_be_seen(opener: Opener, place: Home) -> None:
    recorder = opener()
    seen: list[tuple[int, bool]] = []

    class Interrupting(SystemClock):
        """A clock that is read while a segment is made, and is interrupted there."""

        def now_us(self) -> int:
            recorder.run(a_state(1))
            seen.append((len(states(only_writer(place))), only_writer(place).segments()[0].sealed))
            return super().now_us()

    recorder.run(a_state(0))
    before = set_clock(Interrupting())
    try:
        recorder.run(a_state(2, message="x" * 1_000_000))
    finally:
        set_clock(before)
    recorder.close()
    assert seen[0][1]  # the first segment counts as sealed, so the fact that came then is in the next
    first, _ = only_writer(place).segments()
    assert len(read_segment(first.path).facts) == 2
    assert sorted(states(only_writer(place))) == [0, 1, 2]


def test_lines_are_to_be_read_soon_though_nobody_closes(recorder: Recorder, place: Home) -> None:
    recorder.log(a_line(1))
    eventually(lambda: lines(only_writer(place)) == [1])


def test_errors_and_final_states_are_to_be_read_at_once(recorder: Recorder, place: Home) -> None:
    recorder.log(a_line(1))
    recorder.log(a_line(2, level=40))
    assert lines(only_writer(place)) == [1, 2]
    recorder.log(a_line(3))
    recorder.run(a_state(1, state=StateType.FAILED))
    assert states(only_writer(place)) == [1]
    assert lines(only_writer(place)) == [1, 2, 3]


def test_segments_are_synced_after_a_flow_and_no_thread_is_left(recorder: Recorder) -> None:
    before = set(threading.enumerate())  # the recorder of the process may have threads of its own

    def threads() -> set[str]:
        return {thread.name for thread in set(threading.enumerate()) - before}

    recorder.run(a_state(1))
    recorder.flow_ended()
    assert "surefoot-sync" in threads()
    recorder.close()
    assert not threads() & {"surefoot-sync", "surefoot-flush"}


def test_the_process_has_one_recorder(place: Home) -> None:
    recorder = get_recorder()
    assert recorder is get_recorder() is get_recorder(place.path)
    assert recorder.home.path == place.path
    recorder.close()


def test_another_home_closes_the_recorder_and_opens_one_there(
    place: Home, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = get_recorder()
    first.run(a_state(1))
    monkeypatch.setenv("SUREFOOT_HOME", os.path.join(tmp_path, "another"))
    second = get_recorder()
    assert first is not second
    assert not only_writer(place).is_alive()
    assert kinds(only_writer(place), "runs")[-1] == "WriterEnded"
    assert only_writer(second.home).is_alive()
    second.close()


def test_the_processes_recorder_takes_budgets() -> None:
    recorder = get_recorder(budgets=Budgets(logs_bytes=0))
    recorder.log(a_line(1))
    assert lines(only_writer(recorder.home)) == []
    assert get_recorder(budgets=Budgets()) is not recorder
    get_recorder().close()


def test_a_home_that_is_a_file_is_refused_with_the_way_out(place: Home) -> None:
    with open(place.path, "w"):
        pass
    with pytest.raises(HomeUnwritable, match=f"{place.path}.*is a file.*Set SUREFOOT_HOME"):
        get_recorder()
    os.unlink(place.path)
    get_recorder().close()


def test_an_artifact_can_be_read_as_soon_as_it_is_recorded(recorder: Recorder, place: Home) -> None:
    recorder.run(ArtifactWritten(bytes(16), "markdown", 1, 1, key="report", data=b"# Report"))
    found = [fact for fact in all_facts(only_writer(place), "runs") if isinstance(fact, ArtifactWritten)]
    assert [fact.data for fact in found] == [b"# Report"]
