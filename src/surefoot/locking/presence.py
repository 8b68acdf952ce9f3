"""Presence: how a process shows in a folder that it lives, and is woken there.

A pulse, a bell, and a thread that hears it. A pulse proves a death at once, whatever the process died of; the thread is
there only while somebody waits. May import: core, journal.pulse, engine.interrupts, waiters.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Final

from surefoot.core.os import space
from surefoot.core.os.bells import BELL, Bell, ring
from surefoot.core.os.files import remove
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.per_ledger import when_let_go
from surefoot.journal.pulse import BORN, PULSE, Pulse, is_beating, proof_of_life
from surefoot.locking.waiters import Waiter

__all__ = ["Presence", "presence_in"]

_LOOK_S: Final = 1.0  # how soon the thread sees that nobody waits any more


class Presence:
    """This process, as others see it in a folder. Made by `presence_in`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pulse = Pulse.begin(folder)
        self.name = os.path.basename(self._pulse.folder)
        self._bell = Bell(self._pulse.folder)
        self._lock = threading.Lock()
        self._waiters: dict[str, Waiter] = {}
        self._is_heard = False
        self._is_local = space.file_system(folder) in space.LOCAL
        atexit.register(self.end)

    @property
    def is_there(self) -> bool:
        """Whether others can see it: somebody may have removed the folder."""
        return os.path.isdir(self._pulse.folder)

    def is_dead(self, name: str) -> bool:
        """Whether the process that goes by this name in the folder is certainly no more."""
        return name != self.name and not is_beating(os.path.join(self._folder, name), is_local=self._is_local)

    def proof(self, name: str) -> bool | None:
        """Whether that process lives (True), is no more (False), or neither is certain (None)."""
        if name == self.name:
            return True
        return proof_of_life(os.path.join(self._folder, name), is_local=self._is_local)

    def begin_waiting(self, ticket: str, waiter: Waiter) -> None:
        """From here on this waiter is woken."""
        with self._lock:
            self._waiters[ticket] = waiter
            starts, self._is_heard = not self._is_heard, True
        if starts:
            threading.Thread(target=self._hear, name="surefoot-locks", daemon=True).start()

    def end_waiting(self, ticket: str) -> None:
        """Nobody waits with this ticket any more."""
        with self._lock:
            self._waiters.pop(ticket, None)

    def call(self, name: str, ticket: str) -> None:
        """Wake whoever waits with this ticket, in the process that goes by this name in the folder."""
        if name != self.name:
            ring(os.path.join(self._folder, name))
            return
        with self._lock:
            waiter = self._waiters.get(ticket)
        if waiter is not None:
            waiter.wake()

    def _hear(self) -> None:
        while True:
            self._bell.wait(_LOOK_S)
            with self._lock:
                waiters = list(self._waiters.values())
                if not waiters:
                    self._is_heard = False
                    return
            for waiter in waiters:
                waiter.wake()

    def end(self) -> None:
        """The process ends in order: leave nothing."""
        atexit.unregister(self.end)
        self._bell.take_down()
        self._bell.let_go()
        self._pulse.end()
        try:
            os.rmdir(self._pulse.folder)
        except OSError:
            pass  # whoever comes next removes it

    def end_if_idle(self) -> bool:
        """End, unless a thread of this process waits there."""
        with self._lock:
            if self._is_heard:
                return False
        self.end()
        return True

    def let_go(self) -> None:
        """Close this process's copies. In a forked child: the parent's pulse beats on."""
        atexit.unregister(self.end)
        self._pulse.let_go()
        self._bell.let_go()


_presences: dict[str, Presence] = {}
_leaving: list[Presence] = []  # they end as soon as nobody waits there
_making = threading.Lock()


def presence_in(folder: str) -> Presence:
    """This process's presence in a folder, begun if it is not there. Raises OSError where none can be."""
    found = _presences.get(folder)
    if found is not None and found.is_there:
        return found
    with _making:
        found = _presences.get(folder)
        if found is None or not found.is_there:
            if found is not None:
                _leaving.append(found)
            _end_leaving()
            os.makedirs(folder, 0o700, exist_ok=True)
            _sweep(folder)
            found = _presences[folder] = Presence(folder)
        return found


@when_let_go
def _let_go_of(home: str) -> None:
    with _making:
        _leaving.extend(_presences.pop(folder) for folder in list(_presences) if os.path.dirname(folder) == home)
        _end_leaving()


def _end_leaving() -> None:
    _leaving[:] = [presence for presence in _leaving if not presence.end_if_idle()]


def _sweep(folder: str) -> None:
    """Remove what processes left behind that died."""
    is_local = space.file_system(folder) in space.LOCAL
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(BORN) or is_beating(path, is_local=is_local):
            continue
        try:
            remove(os.path.join(path, BELL))
            remove(os.path.join(path, PULSE))
            os.rmdir(path)
        except OSError:
            pass  # another process removes it too


@after_fork_in_child
def _after_fork_in_child() -> None:
    global _making
    _making = threading.Lock()
    for presence in (*_presences.values(), *_leaving):
        presence.let_go()
    _presences.clear()
    _leaving.clear()
