"""Keeping and loading results for resuming."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.core.errors import MissingResult
from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id
from surefoot.results.cleaning import gc
from surefoot.results.keeping import Keeper, Limits
from surefoot.results.loading import Loader, load


@dataclass
class Point:
    x: int
    y: int


@pytest.fixture(params=[True, False], ids=["mapped", "written"])
def keeper(home: Path, request: pytest.FixtureRequest) -> Iterator[Keeper]:
    made = Keeper(str(home), new_id(), new_id(), may_map=request.param)
    yield made
    made.close()


def kept(keeper: Keeper, value: Any) -> ResultAt:
    at = keeper.keep(value, "abc")
    assert isinstance(at, ResultAt), at
    return at


VALUES = [
    None,
    True,
    7,
    -(10**40),
    1.5,
    2j,
    "text",
    "",
    b"bytes",
    [1, 2],
    (1, "a"),
    {"a": [1, {2}]},
    Point(1, 2),
    "x" * 3_000_000,
]


def test_what_was_kept_is_loaded_again(keeper: Keeper, home: Path) -> None:
    places = [kept(keeper, value) for value in VALUES]
    with Loader(str(home)) as loader:
        assert [loader.load(at) for at in places] == VALUES  # while it is open
        keeper.close()
        assert [loader.load(at) for at in places] == VALUES
    assert [load(str(home), at) for at in places] == VALUES
    assert all(at.source == "abc" for at in places)


def test_a_pack_has_a_place_below_the_home_that_only_its_owner_reads(keeper: Keeper, home: Path) -> None:
    at = kept(keeper, 1)
    assert at.place.startswith(f"results/{keeper.flow_run_id.hex()}/")
    assert (home / at.place).stat().st_mode & 0o777 == 0o600
    keeper.close()
    assert (home / at.place).stat().st_mode & 0o777 == 0o400
    assert (home / at.place).stat().st_size < 200
    assert (home / at.place).parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_before_something_is_kept(home: Path) -> None:
    Keeper(str(home), new_id(), new_id()).close()
    assert not home.exists()


def test_a_value_is_kept_as_it_was_then(keeper: Keeper, home: Path) -> None:
    value = {"rows": [1]}
    at = kept(keeper, value)
    value["rows"].append(2)
    assert load(str(home), at) == {"rows": [1]}


def test_arrays_come_back_equal_small_and_large(keeper: Keeper, home: Path) -> None:
    for count in (3, 50_000, 1_000_000):
        array = np.arange(count, dtype=np.float64)
        at = kept(keeper, {"a": array, "b": 1})
        back = load(str(home), at)
        assert back["b"] == 1
        assert np.array_equal(back["a"], array)


def test_functions_without_a_name_are_kept_by_value(keeper: Keeper, home: Path) -> None:
    offset = 3
    at = kept(keeper, lambda x: x + offset)
    assert load(str(home), at)(4) == 7


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (threading.Lock(), "its result cannot be pickled: TypeError: cannot pickle '_thread.lock' object"),
        (Raises(ValueError("no\nway")), "its result cannot be pickled: ValueError: no way"),
        (Raises(SystemExit(1)), "its result cannot be pickled: SystemExit: 1"),
        (Raises(MemoryError()), "its result cannot be pickled: MemoryError: there is not enough memory"),
        (Raises(OSError("odd")), "its result cannot be pickled: OSError: odd"),
        ((i + 1 for i in range(3)), "its result cannot be pickled: TypeError: cannot pickle 'generator' object"),
    ],
    ids=["lock", "raises", "exits", "memory", "os", "generator"],
)
def test_what_cannot_be_pickled_is_told_and_harms_nothing(keeper: Keeper, home: Path, value: Any, why: str) -> None:
    before = kept(keeper, 1)
    assert keeper.keep(value) == why
    assert keeper.keep([b"x" * 2_000_000, value]) == why
    after = kept(keeper, 2)
    assert (load(str(home), before), load(str(home), after)) == (1, 2)
    assert len(list((home / after.place).parent.iterdir())) == 1


def test_what_is_nested_too_deeply_is_told(keeper: Keeper) -> None:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    assert keeper.keep(value) == "its result cannot be pickled: RecursionError: it is nested too deeply"
    while value:
        value = value.pop()


def test_what_is_too_large_is_not_kept(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id(), Limits(item_bytes=2 << 20))
    assert keeper.keep(b"x" * (3 << 20)) == "its result, a bytes, takes more than the 2 MiB that is kept"
    assert keeper.keep(np.zeros(1 << 20)) == "its result, a ndarray, takes more than the 2 MiB that is kept"
    assert not list(home.rglob("*.pack"))
    small = Keeper(str(home), new_id(), new_id(), Limits(item_bytes=20))
    assert small.keep("x" * 30) == "its result, a str, takes more than the 20 bytes that is kept"
    assert small.keep(10**100) == "its result, a int, takes more than the 20 bytes that is kept"


def test_a_budget_that_is_used_up_is_told(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id(), Limits(budget_bytes=100_000))
    kept(keeper, 1)
    answers = [keeper.keep("x" * 1000) for _ in range(100)]
    assert answers[-1] == "the disk budget for results is used up (results.budget_bytes)"
    assert 40 < sum(isinstance(answer, ResultAt) for answer in answers) < 70
    assert keeper.keep(b"x" * (2 << 20)) == answers[-1]
    keeper.close()


def test_packs_grow_and_are_trimmed(keeper: Keeper, home: Path) -> None:
    places = [kept(keeper, "x" * 2000) for _ in range(500)]
    keeper.close()
    (pack,) = (home / places[0].place).parent.iterdir()
    assert pack.stat().st_size < 500 * 2030 + 300
    assert all(load(str(home), at) == "x" * 2000 for at in places)


def test_a_pack_that_is_large_is_followed_by_another(keeper: Keeper, home: Path) -> None:
    places = [kept(keeper, f"{n}" * 100_000) for n in range(100)]
    keeper.close()
    sizes = [pack.stat().st_size for pack in sorted((home / places[0].place).parent.iterdir())]
    assert [size > 7_000_000 for size in sizes] == [True, True, False]
    assert all(load(str(home), at) == f"{n}" * 100_000 for n, at in enumerate(places))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 200_000), max_size=30), data=st.data())
def test_what_was_kept_is_there_while_its_pack_grows(home: Path, sizes: list[int], data: st.DataObject) -> None:
    keeper = Keeper(str(home), new_id(), new_id(), may_map=data.draw(st.booleans()))
    values = [str(n).ljust(size, ".") for n, size in enumerate(sizes)]
    places: list[ResultAt] = []
    with Loader(str(home)) as loader:  # which has a pack open from its first value on
        for value in values:
            places.append(kept(keeper, value))
            some = data.draw(st.integers(0, len(places) - 1))
            assert loader.load(places[some]) == values[some]
        assert len({at.place for at in places}) <= 1
        keeper.close()
        assert [load(str(home), at) for at in places] == values


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
BUILT_IN = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner)
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(BUILT_IN, max_size=5))
def test_what_is_built_in_comes_back_as_it_was(home: Path, values: list[Any]) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    places = [kept(keeper, value) for value in values]
    keeper.close()
    back = [load(str(home), at) for at in places]
    assert back == values
    assert repr(back) == repr(values)  # True is not 1, nor a tuple a list


def test_what_holds_itself_or_much_comes_back_too(keeper: Keeper, home: Path) -> None:
    ring: list[Any] = [1]
    ring.append({"ring": ring})
    nested: list[Any] = []
    for _ in range(50):
        nested = [nested, "x"]
    many = [[n, f"{n}" * 1000] for n in range(5000)]
    ats = [kept(keeper, value) for value in (ring, nested, many)]
    loaded, *others = [load(str(home), at) for at in ats]
    assert loaded[1]["ring"] is loaded
    assert others == [nested, many]
    assert [at.place == ats[0].place for at in ats] == [True, True, False]  # what is large has a pack of its own


@pytest.mark.parametrize("value", [[1.5] * 1_000_000, {"rows": [1.5] * 1_000_000}])
def test_what_is_large_is_not_listed_to_see_that_it_is(keeper: Keeper, value: Any) -> None:
    tracemalloc.start()
    try:
        kept(keeper, value)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4_000_000  # a list of it takes 8


LIMITED = """
import resource, sys
from pathlib import Path
from surefoot.core.ids import new_id
from surefoot.results.keeping import Keeper
from surefoot.results.loading import load

spare = [bytes(10_000) for _ in range(1000)]
keeper = Keeper(sys.argv[1], new_id(), new_id())
values = [f"{n}" * 10_000 for n in range(50)]
ats = [keeper.keep(value) for value in values[:2]]
del spare
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 32_768, resource.RLIM_INFINITY))
ats += [keeper.keep(value) for value in values[2:]]
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
keeper.close()
assert [load(sys.argv[1], at) for at in ats] == values, ats
assert len({at.place for at in ats}) > 1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much it has mapped, and holds it to that")
def test_a_pack_that_cannot_be_mapped_longer_is_followed_by_one_that_is_written(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(home)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open there stays")
@pytest.mark.parametrize("what_happens", ["removed", "replaced", "trimmed"])
def test_a_pack_that_is_another_file_now_does_not_grow(keeper: Keeper, home: Path, what_happens: str) -> None:
    first = kept(keeper, "x" * 1000)
    path = home / first.place
    if what_happens == "removed":
        path.unlink()
    elif what_happens == "replaced":
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole)
    else:
        gc(str(home), max_age_days=1, budget_bytes=1 << 40)
    found = path.exists() and path.read_bytes().rstrip(b"\0")
    places = [kept(keeper, "y" * 50_000) for _ in range(10)]
    keeper.close()
    assert first.place not in {at.place for at in places}
    assert all(load(str(home), at) == "y" * 50_000 for at in places)
    assert found == (path.exists() and path.read_bytes().rstrip(b"\0"))


def test_threads_keep_at_once(keeper: Keeper, home: Path) -> None:
    found: list[tuple[Any, ResultAt]] = []

    def work(name: str) -> None:
        found.extend((value, kept(keeper, value)) for value in (f"{name}{i}" * 30 for i in range(2000)))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Loader(str(home)) as loader:
        assert len(found) == 8000
        assert all(loader.load(at) == value for value, at in found)


def test_a_second_keeper_of_the_same_run_and_writer_has_packs_of_its_own(home: Path) -> None:
    run, writer = new_id(), new_id()
    first, second = Keeper(str(home), run, writer), Keeper(str(home), run, writer)
    one, two = kept(first, 1), kept(second, 2)
    assert one.place != two.place
    assert (load(str(home), one), load(str(home), two)) == (1, 2)
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.unlink(), "it was removed"),
        (lambda path: path.write_bytes(b""), "too short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "it ends before the value does"),
        (lambda path: path.write_bytes(b"\0" * 400), "not how a pack begins"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"needle", b"noodle")), "checksum is wrong"),
    ],
    ids=["removed", "empty", "cut", "zeros", "changed"],
)
def test_damage_is_a_miss_with_its_reason(home: Path, damage: Any, why: str) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    at = kept(keeper, "needle" * 10)
    keeper.close()
    (home / at.place).chmod(0o600)
    damage(home / at.place)
    with pytest.raises(MissingResult, match=why):
        load(str(home), at)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_has_a_pack_of_its_own(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    before = kept(keeper, "before")
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            at = keeper.keep("child")
            assert isinstance(at, ResultAt)
            os.write(theirs, f"{at.place} {at.offset} {at.length}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    place, offset, length = os.read(ours, 1000).decode().split()
    os.close(ours)
    os.close(theirs)
    after = kept(keeper, "after")
    keeper.close()
    child_at = ResultAt(place, int(offset), int(length))
    assert place != after.place == before.place
    assert [load(str(home), at) for at in (before, child_at, after)] == ["before", "child", "after"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_is_forked_while_a_pack_is_being_opened_can_keep_too(home: Path) -> None:
    parent, writer_id = os.getpid(), new_id()
    is_opening, has_forked = threading.Event(), threading.Event()

    def writer() -> bytes:
        if os.getpid() == parent:
            is_opening.set()
            has_forked.wait()
        return writer_id

    keeper = Keeper(str(home), new_id(), writer)
    keeping = threading.Thread(target=lambda: kept(keeper, "parent"))
    keeping.start()
    is_opening.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # which ends it, should it wait for a lock that a thread of the parent's holds
        os._exit(0 if isinstance(keeper.keep("child"), ResultAt) else 1)
    has_forked.set()
    keeping.join()
    _, status = os.waitpid(child, 0)
    keeper.close()
    assert status == 0


def test_classes_of_the_script_are_found_where_its_file_is_loaded_later(home: Path, tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from surefoot.results.keeping import Keeper\n"
        "class Row:\n    def __init__(self, x): self.x = x\n"
        "if __name__ == '__main__':\n"
        "    keeper = Keeper(sys.argv[1], bytes(16), bytes(16))\n"
        "    for value in (Row(5), [Row(6), lambda: 1]):\n"
        "        at = keeper.keep(value)\n"
        "        print(at.place, at.offset, at.length)\n"
    )
    done = subprocess.run([sys.executable, script, home], capture_output=True, text=True, check=True)
    plain, mixed = [
        ResultAt(place, int(offset), int(length)) for place, offset, length in map(str.split, done.stdout.splitlines())
    ]
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("script_again", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = load(str(home), plain, module)
    assert type(found) is module.Row
    assert found.x == 5
    row, function = load(str(home), mixed, module)
    assert type(row) is module.Row
    assert function() == 1
    with pytest.raises(MissingResult, match="it cannot be unpickled: AttributeError"):
        load(str(home), plain)


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper = Keeper(str(tmp_path / "file"), new_id(), new_id())
    assert keeper.keep(1) == "its result cannot be written: Not a directory"
    assert keeper.keep(2) == "its result cannot be written: Not a directory"
    keeper.close()


def test_each_flipped_byte_of_a_pack_is_a_miss_or_changes_nothing(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    ats = [kept(keeper, value) for value in ("first", [1, 2, 3], {"a": b"bytes"})]
    keeper.close()
    path = home / ats[0].place
    path.chmod(0o600)
    whole = path.read_bytes()
    for at_byte in range(len(whole)):
        for bit in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[at_byte] ^= bit
            path.write_bytes(damaged)
            missed = 0
            for at, value in zip(ats, ("first", [1, 2, 3], {"a": b"bytes"}), strict=True):
                try:
                    assert load(str(home), at) == value
                except MissingResult:
                    missed += 1
            in_header = at_byte < 56
            assert missed == 3 if in_header else missed <= 1


def test_a_pack_of_a_newer_format_is_told(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    at = kept(keeper, 1)
    keeper.close()
    path = home / at.place
    raw = bytearray(path.read_bytes())
    raw[8 + 14] = 9
    path.chmod(0o600)
    path.write_bytes(raw)
    with pytest.raises(MissingResult, match="a newer version of Surefoot wrote it, in format 9; this one reads 1"):
        load(str(home), at)


@pytest.mark.parametrize("place", ["../../etc/passwd", "results/../x", "results/a/../../b", ""])
def test_a_place_that_leads_elsewhere_is_refused(home: Path, place: str) -> None:
    with pytest.raises(MissingResult, match="no place of a pack"):
        load(str(home), ResultAt(place, 0, 10))
