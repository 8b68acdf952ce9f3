"""Commands: a file in a writer's folder, a ring, and the ear that hears it."""

from __future__ import annotations

import _socket
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.core.os.bells import BELL, Bell, ring
from surefoot.journal.commands import CANCEL, COMMANDS, Command, Ear, send
from surefoot.journal.home import Home
from surefoot.journal.reading import remove_writer, writers
from surefoot.journal.recorder import Recorder
from tests.engine.concurrency import SOON, until

RUN = "00" * 16


class Heard:
    """What an ear heard, and how long it is to listen."""

    def __init__(self, folder: Path) -> None:
        self.commands: list[Command] = []
        self.is_wanted = True
        self.ear = Ear(lambda: str(folder), self.commands.append, lambda: self.is_wanted)
        self.ear.prick_up()

    def until(self, count: int) -> None:
        until(lambda: len(self.commands) >= count)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "writer"
    found.mkdir()
    return found


@pytest.fixture
def heard(folder: Path) -> Iterator[Heard]:
    found = Heard(folder)
    yield found
    found.ear.close()
    until(lambda: not any(thread.name == "surefoot-commands" for thread in threading.enumerate()))


def a_command(by: str = "ada") -> Command:
    return Command(kind=CANCEL, run_id=RUN, asked_by=by, asked_us=1)


def test_a_command_is_heard_once_and_in_order(folder: Path, heard: Heard) -> None:
    for number in range(5):
        assert send(str(folder), a_command(str(number)))
    heard.until(5)
    assert [command.asked_by for command in heard.commands] == ["0", "1", "2", "3", "4"]
    assert os.listdir(folder / COMMANDS) == []


def test_a_command_that_came_before_the_ear_is_heard(folder: Path) -> None:
    send(str(folder), a_command())
    heard = Heard(folder)
    heard.until(1)
    heard.ear.close()


def test_a_lost_ring_delays_and_loses_nothing(folder: Path, heard: Heard) -> None:
    until(lambda: (folder / BELL).exists())
    (folder / BELL).unlink()  # from here on nobody can ring
    send(str(folder), a_command())
    heard.until(1)


def test_where_there_are_no_such_sockets_the_ear_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_socket, "AF_UNIX")
    heard = Heard(folder)
    send(str(folder), a_command())
    heard.until(1)
    assert not (folder / BELL).exists()
    heard.ear.close()


def test_a_bell_hangs_and_rings_however_long_its_path_is(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    bell = Bell(str(folder))
    rang = threading.Event()

    def wait() -> None:
        bell.wait(SOON)
        rang.set()

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: ring(str(folder)) or bell.is_mute)
    assert rang.wait(SOON)
    thread.join()
    bell.take_down()
    bell.let_go()
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "is not one"),
        (b'{"kind": "cancel", "run_id": "no"}', "is not one"),
        (b"x" * 100_000, "is not one"),
        (b'{"kind": "pause", "run_id": "%s"}' % RUN.encode(), "'pause' is of a newer version"),
        (b'{"kind": "cancel", "run_id": "%s", "format": 2}' % RUN.encode(), "is of a newer version"),
    ],
)
def test_what_is_no_command_is_told_and_what_follows_is_heard(
    raw: bytes, told: str, folder: Path, heard: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / COMMANDS).mkdir(exist_ok=True)
    (folder / COMMANDS / f"{'0' * 32}.json").write_bytes(raw)
    send(str(folder), a_command())
    heard.until(1)
    assert told in capsys.readouterr().err
    assert len(heard.commands) == 1


def test_an_ear_goes_when_nothing_is_on_and_comes_again(folder: Path, heard: Heard) -> None:
    def threads() -> int:
        return sum(thread.name == "surefoot-commands" for thread in threading.enumerate())

    until(lambda: (folder / BELL).exists())
    heard.is_wanted = False
    until(lambda: not threads())
    assert not (folder / BELL).exists()
    heard.is_wanted = True
    heard.ear.prick_up()
    heard.ear.prick_up()
    assert threads() == 1
    send(str(folder), a_command())
    heard.until(1)


def test_a_writer_that_is_gone_gets_no_command(tmp_path: Path) -> None:
    assert not send(str(tmp_path / "gone"), a_command())
    assert not ring(str(tmp_path / "gone"))


def test_a_writer_that_ends_in_order_leaves_nothing_of_this(home: Path) -> None:
    recorder = Recorder(Home(str(home)))
    recorder.open()
    heard: list[Command] = []
    recorder.listen(heard.append, lambda: True)
    (writer,) = writers(recorder.home)
    send(writer.path, a_command())
    until(lambda: heard)
    recorder.close()
    assert not {BELL, COMMANDS} & set(os.listdir(writer.path))


def test_the_folder_of_a_dead_writer_goes_with_its_commands(home: Path) -> None:
    recorder = Recorder(Home(str(home)))
    recorder.open()
    (writer,) = writers(recorder.home)
    recorder.close()
    send(writer.path, a_command())
    Bell(writer.path).let_go()
    remove_writer(writer)
    assert os.listdir(recorder.home.writers_path) == []
