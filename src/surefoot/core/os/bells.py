"""Bells: how one process wakes a thread of another that waits. A datagram socket in a folder, where there are such.

Where there are none, or no name for it fits, whoever waits looks up every 50 ms instead. A ring says only "look": it
may get lost, and then the waiter looks a little later. May import: nothing of ours.
"""

from __future__ import annotations

import _socket  # what `socket` wraps, for 0.3 ms instead of 3
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["BELL", "Bell", "ring"]

BELL: Final = "bell"
PATH_BYTES_MAX: Final = 100  # what every system takes as the name of a socket: Linux 107 bytes, macOS 103
LOOK_S: Final = 0.05  # how often to look where nothing can ring
_OWN_FILES: Final = "/proc/self/fd"


class Bell:
    """The bell of a folder. Without a socket it is mute, and waiting on it is short.

    Args:
        folder: where it hangs.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._quiet = threading.Event()
        self._socket = _hung_up(folder)
        if self._socket is not None:
            self._socket.settimeout(LOOK_S)

    @property
    def is_mute(self) -> bool:
        """Whether nothing can ring it."""
        return self._socket is None

    def wait(self, seconds: float) -> None:
        """Return when it rings, or after `seconds`; a mute one returns when it is time to look."""
        bell = self._socket
        if bell is None:
            self._quiet.wait(min(seconds, LOOK_S))
            return
        try:
            bell.settimeout(seconds)
            bell.recv(16)
        except TimeoutError:
            return
        except OSError:  # it was closed, or somebody took the folder away
            self._quiet.wait(min(seconds, LOOK_S))

    def take_down(self) -> None:
        """It is not waited for any more: wake the waiter, and leave nothing in the folder."""
        self._quiet.set()
        if self._socket is not None:
            ring(self._folder)
            try:
                os.unlink(os.path.join(self._folder, BELL))
            except OSError:
                pass  # it went with its folder

    def let_go(self) -> None:
        """Close this process's copy of it."""
        if self._socket is not None:
            self._socket.close()


def ring(folder: str) -> bool:
    """Ring the bell of a folder. False if nobody can hear it, or it is ringing already."""
    try:
        ringer = _new_socket()
    except OSError:
        return False
    if ringer is None:
        return False
    try:
        ringer.setblocking(False)
        with _place_of(folder) as path:
            if path is None:
                return False
            ringer.sendto(b"!", path)
    except OSError:
        return False
    finally:
        ringer.close()
    return True


def _new_socket() -> _socket.socket | None:
    family = getattr(_socket, "AF_UNIX", None)
    return None if family is None else _socket.socket(family, _socket.SOCK_DGRAM)


def _hung_up(folder: str) -> _socket.socket | None:
    try:
        bell = _new_socket()
    except OSError:
        return None
    if bell is None:
        return None
    try:
        try:
            os.unlink(os.path.join(folder, BELL))
        except FileNotFoundError:
            pass
        with _place_of(folder) as path:
            if path is None:
                raise OSError("no name for it fits")
            bell.bind(path)
    except OSError:  # a file system without sockets, too many files open, no such folder any more
        bell.close()
        return None
    return bell


@contextmanager
def _place_of(folder: str) -> Iterator[str | None]:
    """A name for a folder's bell that a socket can have: where the path is too long, by way of the open folder."""
    path = os.path.join(folder, BELL)
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield path
    elif not os.path.isdir(_OWN_FILES):
        yield None
    else:
        fd = os.open(folder, os.O_RDONLY)
        try:
            yield f"{_OWN_FILES}/{fd}/{BELL}"
        finally:
            os.close(fd)
