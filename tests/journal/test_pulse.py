"""A pulse tells who lives: no living writer is ever taken for dead, and death is told wherever it can be proved."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from surefoot.core.errors import HomeUnwritable
from surefoot.core.os.host import boot_id, host_name
from surefoot.journal import pulse
from surefoot.journal.home import Home
from surefoot.journal.pulse import Pulse, is_beating
from surefoot.journal.reading import writers
from surefoot.journal.recorder import Recorder, get_recorder
from tests.journal.builders import a_child, a_state, only_writer, outcome


def a_left_pulse(place: Home, **holder: object) -> str:
    """The folder of a writer that is no more, with a pulse that says this of it."""
    folder = os.path.join(place.writers_path, os.urandom(16).hex())
    os.makedirs(folder)
    told = {"host": host_name(), "boot_id": boot_id(), "pid": 1, "is_locked": True, **holder}
    Path(folder, "pulse").write_text(json.dumps(told))
    return folder


def test_a_writer_is_alive_until_it_ends(place: Home) -> None:
    recorder = Recorder(place)
    recorder.open()
    folder = only_writer(place)
    assert folder.is_alive()
    assert folder.writer_id == recorder.writer_id
    recorder.close()
    assert not folder.is_alive()


def test_those_who_ask_at_once_do_not_take_each_other_for_the_writer(place: Home) -> None:
    folder = a_left_pulse(place)
    wrong: list[int] = []

    def ask() -> None:
        for n in range(2000):
            if is_beating(folder, is_local=True):
                wrong.append(n)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("way", ["", "as on windows"])  # where no folder is renamed while a file in it is open
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_living_writer_is_ever_taken_for_dead(place: Home, count: int, way: str) -> None:
    limit = min(count, 300)  # each pulse is a descriptor that stays open
    place.ensure()
    for _ in range(count // limit):
        known = {folder.path for folder in writers(place)}
        children = [a_child(place, "pulses", str(limit), way) for _ in range(2)]
        seen: set[str] = set()
        while len(seen) < 2 * limit:
            for folder in writers(place):
                if folder.path not in known:
                    assert folder.is_alive()
                    seen.add(folder.path)
        for child in children:
            outcome(child)
        assert not any(is_beating(path, is_local=True) for path in seen)


@pytest.mark.parametrize(
    ("holder", "is_local", "is_alive"),
    [
        ({}, True, False),
        ({"boot_id": "an earlier start"}, True, False),
        ({"host": "another name of this machine"}, True, False),  # laptops are renamed; local locks tell all
        ({"is_locked": False}, True, True),
        ({"is_locked": False, "boot_id": "an earlier start"}, True, False),
        ({}, False, True),  # the network may have forgotten the lock
        ({"boot_id": "an earlier start"}, False, False),
        ({"host": "another machine"}, False, True),
        ({"host": "another machine", "boot_id": "another start"}, False, True),
        ({"host": "localhost", "boot_id": "another start"}, False, True),
    ],
)
def test_a_free_pulse_proves_death_only_where_it_can(
    place: Home, holder: dict[str, object], is_local: bool, is_alive: bool
) -> None:
    assert is_beating(a_left_pulse(place, **holder), is_local=is_local) == is_alive


def test_a_pulse_that_lost_its_content_with_the_power_is_that_of_a_dead_writer(place: Home) -> None:
    folder = a_left_pulse(place)
    Path(folder, "pulse").write_bytes(b"")
    assert not is_beating(folder, is_local=True)
    assert is_beating(folder, is_local=False)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="the system does not list descriptors")
def test_a_program_that_closes_all_descriptors_keeps_its_own_files(place: Home, tmp_path: Path) -> None:
    place.ensure()
    pulse = Pulse.begin(place.writers_path)
    with open(tmp_path / "users", "w") as users:
        taken = os.dup2(users.fileno(), pulse._fd)
        pulse.end()
        os.write(taken, b"still open")
        os.close(taken)
    assert (tmp_path / "users").read_text() == "still open"


def test_a_writer_that_could_not_be_made_leaves_nothing_and_its_pulse_says_whether_it_was_locked(
    place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.ensure()
    for moves in (True, False):
        monkeypatch.setattr(pulse, "FOLDERS_MOVE_IN_USE", moves)
        made = Pulse.begin(place.writers_path)
        assert json.loads(Path(made.folder, "pulse").read_text())["is_locked"] is True
        made.let_go()
        assert not is_beating(made.folder, is_local=True)
        Path(made.folder, "pulse").unlink()
        os.rmdir(made.folder)
        with monkeypatch.context() as patch:
            patch.setattr(pulse, "lock_for_life", lambda _: os.stat("/no/such/file"))
            with pytest.raises(FileNotFoundError):
                Pulse.begin(place.writers_path)
        assert os.listdir(place.writers_path) == []


def test_a_home_is_made_for_its_owner_alone(place: Home) -> None:
    recorder = Recorder(place)
    recorder.run(a_state(1))
    if sys.platform != "win32":
        folder = only_writer(place)
        for path in (place.path, place.writers_path, folder.path):
            assert os.stat(path).st_mode & 0o777 == 0o700
        for segment in folder.segments():
            assert os.stat(segment.path).st_mode & 0o777 == 0o600
    recorder.close()


def test_a_home_may_be_given_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Home("~/flows").path == str(tmp_path / "flows")


def test_a_home_below_a_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnwritable, match=r"file/home' cannot be written.*is a file\. Set SUREFOOT_HOME"):
        get_recorder(str(tmp_path / "file" / "home"))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are other there")
@pytest.mark.parametrize("exists", [True, False])
def test_a_home_without_permission_is_refused_with_the_way_out(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "locked"
    home = Home(str(folder / "home"))
    if exists:
        home.ensure()
    else:
        folder.mkdir()
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    for path in (home.writers_path, home.path, str(folder)):
        if os.path.exists(path):
            os.chmod(path, 0o555)
    said, err = outcome(a_child(home, "unprivileged"))
    assert "cannot be written" in " ".join(said), err
    assert home.path in " ".join(said)
    for path in (str(folder), home.path, home.writers_path):
        if os.path.exists(path):
            os.chmod(path, 0o755)
