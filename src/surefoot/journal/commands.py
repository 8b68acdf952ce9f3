"""Commands: what others ask of the runs that this process executes, as files in its writer's folder.

Whoever asks puts a file into `commands/`, under its name only when it is whole, and rings the bell. The writer's ear is
a daemon thread, there only while runs are on: it takes the file away, and has the command obeyed. It looks every second
as well, so that a lost ring costs no more. May import: core.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from threading import Event, Lock, Thread
from typing import Final

import msgspec

from surefoot.core.ids import new_id
from surefoot.core.os.bells import BELL, Bell, ring
from surefoot.core.os.threads import can_start

__all__ = ["CANCEL", "COMMANDS", "Command", "Ear", "quieten", "send"]

COMMANDS: Final = "commands"
CANCEL: Final = "cancel"
FORMAT: Final = 1
LOOK_S: Final = 1.0
BEGIN_S: Final = 0.02  # a run that is over by then has cost no more than the start of a thread
_NAME: Final = re.compile(r"[0-9a-f]{32}\.json")
_BYTES_MAX: Final = 64 << 10
_AT_ONCE_MAX: Final = 1000


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks of a run. Fields are only appended, with defaults."""

    kind: str  # CANCEL; others are of a newer version, and not obeyed
    run_id: str  # 32 hexadecimal digits
    is_task: bool = False
    asked_by: str = ""  # for people: "ada (pid 4242 on laptop)"
    asked_us: int = 0
    format: int = FORMAT


def send(folder: str, command: Command) -> bool:
    """Hand a command to the writer of `folder`. False if that is there no more."""
    place = os.path.join(folder, COMMANDS)
    try:
        os.mkdir(place, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return False
    name = f"{new_id().hex()}.json"
    part = os.path.join(place, f".{name}")
    try:
        with open(part, "xb", opener=_private) as file:
            file.write(msgspec.json.encode(command))
        os.replace(part, os.path.join(place, name))
    except FileNotFoundError:
        return False
    ring(folder)
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Ear:
    """Hears the commands for one writer, as long as `is_wanted()`.

    Args:
        folder: the folder of the writer as it is now; None while there is none.
        obey: called with each command, in the ear's own thread.
    """

    def __init__(
        self, folder: Callable[[], str | None], obey: Callable[[Command], None], is_wanted: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._obey = obey
        self._is_wanted = is_wanted
        self._lock = Lock()
        self._is_on = False
        self._is_asked = False
        self._closed = Event()
        self._bell: Bell | None = None
        self._undeletable: set[str] = set()

    def prick_up(self) -> None:
        """Something is on that commands may come for."""
        with self._lock:
            self._is_asked = True
            if self._is_on or self._closed.is_set() or not can_start():
                return
            self._is_on = True
        try:
            Thread(target=self._run, name="surefoot-commands", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is ending: the next run tries again
            self._is_on = False

    def close(self) -> None:
        """The writer ends."""
        self._closed.set()
        bell = self._bell
        if bell is not None:
            bell.take_down()

    def let_go(self) -> None:
        """In a forked child: the bell is the parent's."""
        if self._bell is not None:
            self._bell.let_go()

    def _run(self) -> None:
        self._closed.wait(BEGIN_S)
        hung_in: str | None = None
        while True:
            folder = None if self._closed.is_set() else self._folder()
            if folder != hung_in:
                self._hang(folder)
                hung_in = folder
            if folder is not None:
                self._take_all(folder)
            if self._goes():
                return
            if self._bell is None:
                self._closed.wait(LOOK_S)
            else:
                self._bell.wait(LOOK_S)

    def _goes(self) -> bool:
        """Whether there is nothing to hear any more: then another thread may come in place of this one."""
        with self._lock:
            if not self._closed.is_set() and (self._is_asked or self._is_wanted()):
                self._is_asked = False
                return False
            self._hang(None)
            self._is_on = False
            return True

    def _hang(self, folder: str | None) -> None:
        before, self._bell = self._bell, None
        if before is not None:
            before.take_down()
            before.let_go()
        if folder is not None:
            self._bell = Bell(folder)

    def _take_all(self, folder: str) -> None:
        for path, raw in self._found(os.path.join(folder, COMMANDS)):
            command = _decoded(path, raw)
            if command is None:
                continue
            try:
                self._obey(command)
            except Exception:  # whatever one of them does, the next one is to be heard
                sys.excepthook(*sys.exc_info())

    def _found(self, place: str) -> Iterator[tuple[str, bytes]]:
        """The files there, in the order in which they were written; each is taken away."""
        try:
            names = sorted(name for name in os.listdir(place) if _NAME.fullmatch(name))[:_AT_ONCE_MAX]
        except OSError:
            return  # nobody has asked for anything yet
        for name in names:
            path = os.path.join(place, name)
            if path in self._undeletable:
                continue
            try:
                with open(path, "rb") as file:
                    raw = file.read(_BYTES_MAX + 1)
            except OSError as error:
                self._undeletable.add(path)
                _tell(f"The command {path} cannot be read: {error.strerror}.")
                continue
            try:
                os.unlink(path)
            except OSError:
                self._undeletable.add(path)
            yield path, raw


def _decoded(path: str, raw: bytes) -> Command | None:
    try:
        command = msgspec.json.decode(raw, type=Command)
        bytes.fromhex(command.run_id)
    except (msgspec.MsgspecError, ValueError):
        _tell(f"The command {path} is not one, and was ignored.")
        return None
    if command.format > FORMAT or command.kind != CANCEL:
        _tell(f"The command {command.kind!r} is of a newer version of Surefoot, and was ignored.")
        return None
    return command


def _tell(text: str) -> None:
    try:
        sys.stderr.write(f"surefoot: {text}\n")
    except (AttributeError, OSError, ValueError):
        pass  # there is no stderr, or it was closed


def quieten(folder: str) -> None:
    """Leave nothing of all this in the folder of a writer that ends."""
    place = os.path.join(folder, COMMANDS)
    try:
        names = os.listdir(place)
    except OSError:
        names = None
    try:
        os.unlink(os.path.join(folder, BELL))
    except OSError:
        pass  # it is not there, most often
    if names is None:
        return
    try:
        for name in names:
            os.unlink(os.path.join(place, name))
        os.rmdir(place)
    except OSError:
        pass  # somebody asks for something just now: it goes with the folder
