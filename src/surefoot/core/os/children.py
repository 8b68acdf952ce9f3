"""Child processes that call the user's tasks: started, spoken to, told to stop, killed; none outlives its owner.

A child has a channel, for calls and replies, and a lifeline: what comes down it is a word to stop, and its end is the
owner's. Keeps promise 6. May import: core.errors, core.os.nursery.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Final, NamedTuple

from surefoot.core.errors import Unavailable
from surefoot.core.os.nursery import ASK, ENDED, FORKED, KILL, REFUSED, SPAWNED, STARTED, TELL

__all__ = ["FORKSERVER", "METHODS", "SPAWN", "Channel", "Child", "Death", "start_child", "watch_lifeline"]

FORKSERVER: Final = "forkserver"
SPAWN: Final = "spawn"
# The first is the default. Frameworks of macOS do not bear a fork without a new interpreter.
METHODS: Final = (FORKSERVER, SPAWN) if sys.platform == "linux" else (SPAWN,)

_HEADER: Final = struct.Struct("!Q")
_READ: Final = 1 << 16
_CORE_S: Final = 30.0  # how long a child that closed its channel has to end: it may be writing a core dump
_GONE_S: Final = 5.0  # how long the nursery has to end


class ChildrenUnavailable(Unavailable, OSError):
    """No child process could be started."""


class Death(NamedTuple):
    """How a child ended."""

    code: int  # exit code; if negative the signal that killed it
    peak_bytes: int  # the most memory that it ever held; 0 if unknown


class Channel:
    """Messages between an owner and its child, in order and whole."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def send(self, *parts: bytes) -> None:
        """Send one message. Raises OSError when nobody is there any more."""
        size = sum(map(len, parts))
        if size < _READ:
            self._end.sendall(b"".join([_HEADER.pack(size), *parts]))
            return
        self._end.sendall(_HEADER.pack(size))
        for part in parts:
            self._end.sendall(part)

    def receive(self) -> bytes | bytearray | None:
        """The next message; None when there will be none."""
        data = self._rest
        while len(data) < _HEADER.size:
            more = self._read()
            if not more:
                return None
            data += more
        (size,) = _HEADER.unpack_from(data)
        end = _HEADER.size + size
        if len(data) >= end:
            self._rest = data[end:]
            return data[_HEADER.size : end]
        self._rest = b""
        message = bytearray(size)
        have = len(data) - _HEADER.size
        message[:have] = data[_HEADER.size :]
        view = memoryview(message)
        while have < size:
            try:
                count = self._end.recv_into(view[have:])
            except OSError:
                return None
            if not count:
                return None
            have += count
        return message

    def _read(self) -> bytes:
        try:
            return self._end.recv(_READ)
        except OSError:
            return b""

    def no_more(self) -> None:
        """Nothing more comes from here, and nothing is waited for: who reads is told the end, after what is there."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is so already

    def close(self) -> None:
        """Let go of it."""
        self._end.close()


class Child:
    """A child process, as its owner holds it."""

    def __init__(self, number: int, channel: Channel, lifeline: int, nursery: _Nursery) -> None:
        self.number = number
        self._nursery = nursery
        self.channel = channel
        self.pid: int | None = None
        self.death: Death | None = None  # how it ended; None while it lives, and if nobody saw it
        self.started = threading.Event()
        self.ended = threading.Event()
        self._lifeline = lifeline
        self._lock = threading.Lock()
        _children.add(self)

    def tell(self, note: bytes) -> None:
        """Send a word down the lifeline."""
        with self._lock:
            if self._lifeline >= 0:
                try:
                    os.write(self._lifeline, _HEADER.pack(len(note)) + note)
                except OSError:
                    pass  # it is dead, and its owner about to be told

    def kill(self) -> None:
        """Kill it, and all of its process group. Returns at once."""
        if not self.ended.is_set():
            self._nursery.ask(KILL, self.number, signal.SIGKILL)

    def how_it_died(self) -> Death | None:
        """Its channel has ended: how it did. None if nobody saw it. A child that lives on without one is killed."""
        if not self.ended.wait(_CORE_S):
            self.kill()
            return None
        return self.death

    def over(self, death: Death | None) -> None:
        """It has ended. For whoever sees it."""
        self.death = death
        self.started.set()
        self.ended.set()
        self.channel.no_more()  # something that it left behind may hold the other end
        self._drop_lifeline()

    def _drop_lifeline(self) -> None:
        with self._lock:
            fd, self._lifeline = self._lifeline, -1
        if fd >= 0:
            os.close(fd)

    def forget(self) -> None:
        """In a process forked from the owner: it is not ours."""
        self._lock = threading.Lock()
        self.channel.close()
        self._drop_lifeline()


_children: weakref.WeakSet[Child] = weakref.WeakSet()


def start_child(method: str, command: list[str]) -> Child:
    """Start a child. Returns at once: what is sent to it waits until it reads.

    Args:
        method: one of `METHODS`.
        command: what becomes the nursery; the descriptor of its socket, and this process's id, are appended.

    Raises Unavailable if the system has no room for another process.
    """
    global _nursery
    try:
        with _starting:
            if _nursery is None or _nursery.is_gone:
                _nursery = _Nursery(command)
            return _nursery.bear(FORKED if method == FORKSERVER else SPAWNED)
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> ChildrenUnavailable:
    return ChildrenUnavailable(
        f"No process could be started for tasks: {error.strerror or error}.",
        do="Use fewer workers: ProcessPoolTaskRunner(max_workers=2).",
    )


class _Nursery:
    """The nursery of this process, as its owner holds it."""

    def __init__(self, command: list[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is the owner's to act on
            )
        self._server = ours
        self._lock = threading.Lock()
        self._numbers = 0
        self._living: dict[int, Child] = {}
        self.is_gone = False
        threading.Thread(target=self._listen, name="surefoot-children", daemon=True).start()

    def bear(self, kind: int) -> Child:
        here, there = socket.socketpair()
        reads, writes = os.pipe()
        with there, self._lock:
            self._numbers += 1
            child = self._living[self._numbers] = Child(self._numbers, Channel(here), writes, self)
            try:
                out, err = _usable(1), _usable(2)
                fds = [there.fileno(), reads, out, err]
                socket.send_fds(self._server, [ASK.pack(kind, child.number, 0)], fds)
            finally:
                os.close(reads)
        return child

    def ask(self, kind: int, number: int, argument: int) -> None:
        try:
            with self._lock:
                self._server.sendall(ASK.pack(kind, number, argument))
        except OSError:
            pass  # it is gone, and its children with it

    def _listen(self) -> None:
        rest = b""
        while True:
            try:
                data = self._server.recv(4096)
            except OSError:
                data = b""
            if not data:
                break
            rest += data
            while len(rest) >= TELL.size:
                kind, number, argument, peak = TELL.unpack_from(rest)
                rest = rest[TELL.size :]
                self._heard(kind, number, argument, peak)
        self.is_gone = True
        with self._lock:
            orphans = list(self._living.values())
            self._living.clear()
        for child in orphans:
            child.over(None)
        self._server.close()
        self._process.wait()

    def _heard(self, kind: int, number: int, argument: int, peak: int) -> None:
        with self._lock:
            child = self._living.get(number) if kind == STARTED else self._living.pop(number, None)
        if child is None:
            return
        if kind == STARTED:
            child.pid = argument
            child.started.set()
        elif kind == ENDED:
            child.over(Death(argument, peak))
        else:
            assert kind == REFUSED
            child.over(None)

    def close(self) -> None:
        """Let it go, at the end of this process."""
        try:
            self._server.shutdown(socket.SHUT_RDWR)  # a mere `close` waits for the thread that listens
        except OSError:
            pass  # it is gone
        try:
            self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def forget(self) -> None:
        """In a process forked from the owner."""
        self._process.returncode = 0
        self._server.close()


def _usable(standard: int) -> int:
    """A standard stream's descriptor; that of the null device where it was closed."""
    try:
        os.fstat(standard)
        return standard
    except OSError:
        return _null()


_null_fd: int | None = None


def _null() -> int:
    global _null_fd
    if _null_fd is None:
        _null_fd = os.open(os.devnull, os.O_RDWR)
    return _null_fd


_starting = threading.Lock()
_nursery: _Nursery | None = None


def _close_at_exit() -> None:
    if _nursery is not None:
        _nursery.close()


def _after_fork_in_child() -> None:
    global _nursery, _starting
    _starting = threading.Lock()
    if _nursery is not None:
        _nursery.forget()
        _nursery = None
    for child in list(_children):
        child.forget()
    _children.clear()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# -- in the child


def watch_lifeline(lifeline: int, told: Callable[[bytes], None]) -> None:
    """Die when the owner does, and have `told` called with each word that it sends, then everything here signalled."""

    def watch() -> None:
        rest = b""
        while data := os.read(lifeline, 4096):
            rest += data
            while len(rest) >= _HEADER.size and len(rest) >= _HEADER.size + _HEADER.unpack_from(rest)[0]:
                end = _HEADER.size + _HEADER.unpack_from(rest)[0]
                note, rest = rest[_HEADER.size : end], rest[end:]
                told(note)
                os.killpg(0, signal.SIGTERM)  # this process, and what it has started
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="surefoot-lifeline", daemon=True).start()
