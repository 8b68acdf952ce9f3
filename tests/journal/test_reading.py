"""What is read is a prefix of what was written, whatever happened to the file; reading never raises for its content."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import Refused
from surefoot.core.facts import FORMAT, Fact, SegmentOpened, StateEntered, Unknown, encode
from surefoot.journal.frames import frame, split
from surefoot.journal.home import Home
from surefoot.journal.pulse import BORN, Pulse
from surefoot.journal.reading import read_segment, remove_segment, remove_writer, sweep, writers
from surefoot.journal.recorder import Budgets, Recorder
from tests.journal.builders import a_line, a_state, only_writer, states
from tests.journal.conftest import Opener

HEADER = SegmentOpened(bytes(16), "runs", 0, 1, 1, "host", "boot", 1, "0")
FACTS: list[Fact] = [HEADER, *(a_state(n, message="m" * (n % 7)) for n in range(12))]
FRAMES = [frame(encode(fact)) for fact in FACTS]
WHOLE = b"".join(FRAMES)
ENDS = [sum(map(len, FRAMES[: n + 1])) for n in range(len(FRAMES))]


def a_segment(folder: Path, content: bytes) -> str:
    path = folder / "runs-000000.seg"
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("unused", [0, 4, 8, 5000, 300_000])
def test_a_whole_segment_is_read_up_to_its_unused_end(tmp_path: Path, unused: int) -> None:
    batch = read_segment(a_segment(tmp_path, WHOLE + bytes(unused)))
    assert batch == (FACTS, ENDS, len(WHOLE), HEADER, False)


def test_reading_goes_on_from_any_offset(tmp_path: Path) -> None:
    path = a_segment(tmp_path, WHOLE + bytes(1000))
    for n, offset in enumerate([0, *ENDS]):
        batch = read_segment(path, offset)
        assert batch.facts == FACTS[n:]
        assert batch.header == HEADER
        assert batch.end == len(WHOLE)


def test_a_tail_torn_at_any_byte_is_cut_off(tmp_path: Path) -> None:
    for size in range(len(WHOLE)):
        batch = read_segment(a_segment(tmp_path, WHOLE[:size]))
        whole = sum(end <= size for end in ENDS)
        assert batch.facts == FACTS[:whole]
        assert batch.end == (ENDS[whole - 1] if whole else 0)
        assert batch.torn == (size not in [0, *ENDS] and any(WHOLE[batch.end : size]))


def test_a_tail_torn_at_any_byte_of_a_preallocated_segment_is_cut_off(tmp_path: Path) -> None:
    for size in range(len(WHOLE)):
        batch = read_segment(a_segment(tmp_path, WHOLE[:size] + bytes(len(WHOLE) - size + 100)))
        whole = sum(not any(WHOLE[size:end]) for end in ENDS)  # a payload may end in zeros
        assert batch.facts == FACTS[:whole]


@given(at=st.integers(0, len(WHOLE) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_leaves_a_prefix(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= flip
    batch = read_segment(a_segment(tmp_path_factory.mktemp("flipped"), bytes(damaged)))
    before = sum(end <= at for end in ENDS)
    payload_end = ENDS[before] - (-len(encode(FACTS[before])) % 4)
    if at < payload_end:
        assert batch.facts == FACTS[:before]
        assert batch.end == (ENDS[before - 1] if before else 0)
    else:  # a byte that only fills up to the next word
        assert batch.facts == FACTS


@given(content=st.binary(max_size=400), offset=st.integers(0, 500))
def test_any_bytes_at_all_can_be_read(tmp_path_factory: pytest.TempPathFactory, content: bytes, offset: int) -> None:
    batch = read_segment(a_segment(tmp_path_factory.mktemp("any"), content), offset)
    assert batch.end >= offset
    assert len(batch.facts) == len(batch.offsets)


@given(payloads=st.lists(st.binary(min_size=1, max_size=50)), rest=st.binary(max_size=7))
def test_frames_are_split_as_they_were_put_together(payloads: list[bytes], rest: bytes) -> None:
    block = b"".join(frame(payload) for payload in payloads)
    spans, used, stop, _ = split(block + rest)
    assert [block[begin:end] for begin, end in spans] == payloads
    assert used == len(block)
    assert stop == ("short" if any(rest) else "end")


def test_kinds_that_are_unknown_are_kept_as_they_are(tmp_path: Path) -> None:
    newer = msgspec.msgpack.encode([99, "something new"])
    other = msgspec.msgpack.encode([4, bytes(16), True, 0, 1, 1, 1, "ASLEEP", "Asleep"])  # a state that is yet unknown
    content = frame(encode(HEADER)) + frame(newer) + frame(other) + frame(encode(a_state(1)))
    batch = read_segment(a_segment(tmp_path, content))
    assert batch.facts == [HEADER, Unknown(newer), Unknown(other), a_state(1)]
    assert not batch.torn


def test_fields_that_a_newer_version_appended_are_passed_by(tmp_path: Path) -> None:
    fields = msgspec.msgpack.decode(encode(a_state(1)))
    batch = read_segment(a_segment(tmp_path, frame(encode(HEADER)) + frame(msgspec.msgpack.encode([*fields, "new"]))))
    assert batch.facts[1] == a_state(1)


def test_a_segment_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    header = msgspec.structs.replace(HEADER, format=FORMAT + 1)
    batch = read_segment(a_segment(tmp_path, frame(encode(header)) + frame(b"frames of another kind")))
    assert batch == ([], [], 0, header, False)


def test_a_segment_whose_header_was_never_written_reads_as_empty(tmp_path: Path) -> None:
    assert read_segment(a_segment(tmp_path, bytes(4096))) == ([], [], 0, None, False)
    assert read_segment(a_segment(tmp_path, b"")) == ([], [], 0, None, False)


def test_a_segment_that_is_gone_reads_as_empty(tmp_path: Path) -> None:
    assert read_segment(str(tmp_path / "gone"), 12) == ([], [], 12, None, False)


@pytest.mark.parametrize("size", [100, 65_000, 65_536, 70_000, 500_000])
def test_frames_of_any_size_are_read_across_the_blocks_of_reading(tmp_path: Path, size: int) -> None:
    facts: list[Fact] = [HEADER, *(a_state(n, message="x" * size) for n in range(5))]
    content = b"".join(frame(encode(fact)) for fact in facts)
    path = a_segment(tmp_path, content + bytes(100))
    assert read_segment(path).facts == facts
    assert read_segment(path).end == len(content)


def test_reading_stops_near_its_limit_and_goes_on_from_there(tmp_path: Path) -> None:
    facts: list[Fact] = [HEADER, *(a_state(n) for n in range(10_000))]
    path = a_segment(tmp_path, b"".join(frame(encode(fact)) for fact in facts))
    found, offset, calls = [], 0, 0
    while (batch := read_segment(path, offset, 100_000)).facts:
        found += batch.facts
        offset = batch.end
        calls += 1
    assert found == facts
    assert 3 < calls < 12


def test_a_living_writers_segment_is_read_as_far_as_it_is(opener: Opener, place: Home) -> None:
    recorder = opener()
    recorder.run(a_state(1))
    recorder.close()
    recorder.run(a_state(2))
    recorder.run(a_state(3))
    first, second = writers(place)
    assert states(first) == [1]
    (segment,) = second.segments()
    offset = read_segment(segment.path).end
    recorder.close()
    rest = [fact.n for fact in read_segment(segment.path, offset).facts if isinstance(fact, StateEntered)]
    assert rest in ([], [2, 3])


def test_what_is_no_writer_is_passed_by(place: Home) -> None:
    assert writers(place) == []
    place.ensure()
    for name in ("notes", ".born-" + "0" * 32, "0" * 31):
        os.mkdir(os.path.join(place.writers_path, name))
    assert writers(place) == []


def test_a_dead_writer_is_removed_and_a_living_one_is_not(place: Home) -> None:
    recorder = Recorder(place)
    recorder.run(a_state(1))
    recorder.log(a_line(1))
    folder = only_writer(place)
    with pytest.raises(Refused, match=f"{folder.writer_id.hex()} is alive"):
        remove_writer(folder)
    recorder.close()
    remove_writer(folder)
    assert os.listdir(place.writers_path) == []
    assert folder.segments() == []
    assert not folder.is_alive()
    remove_writer(folder)


def test_a_sealed_segment_is_removed_and_one_that_grows_is_not(place: Home) -> None:
    recorder = Recorder(place, Budgets(segment_bytes=1))
    for n in range(10_000):
        recorder.run(a_state(n))
    *sealed, growing = only_writer(place).segments()
    for segment in sealed:
        remove_segment(segment)
        remove_segment(segment)
    with pytest.raises(Refused, match="not sealed"):
        remove_segment(growing)
    recorder.run(a_state(10_000))
    recorder.close()
    assert states(only_writer(place))[-1] == 10_000


def test_what_is_half_removed_is_swept_at_once_and_what_is_half_made_after_an_hour(place: Home) -> None:
    place.ensure()
    pulse = Pulse.begin(place.writers_path)
    an_hour_ago = time.time() - 3700  # as a file system counts
    for name, old in ((".born-old", True), (".born-new", False), (".going-new", False), (BORN + "living", True)):
        path = Path(place.writers_path, name)
        path.mkdir()
        if name == BORN + "living":
            os.link(os.path.join(pulse.folder, "pulse"), path / "pulse")
        else:
            (path / "pulse").touch()
        if old:
            os.utime(path, (an_hour_ago, an_hour_ago))
    assert sweep(place) == 2
    left = sorted(os.listdir(place.writers_path))
    assert left == sorted([".born-new", ".born-living", os.path.basename(pulse.folder)])
    pulse.end()
    assert sweep(Home(place.path + "-none")) == 0
