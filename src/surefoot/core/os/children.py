"""Child processes that call the user's tasks: started, spoken to, told to stop, killed; none outlives its owner.

A child has a channel, for calls and replies, and a lifeline: what comes down it is a word to stop, and its end is the
owner's. On POSIX systems a nursery bears children, on Windows their owner starts them itself. Keeps promise 6.
May import: core.errors, core.os.nursery, core.os.trees.
"""

from __future__ import annotations

import _thread
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
from typing import Final, NamedTuple, Protocol

from surefoot.core.errors import Unavailable
from surefoot.core.os.nursery import (
    ALONE,
    ASK,
    ENDED,
    FORKED,
    KILL,
    REFUSED,
    SPAWNED,
    STARTED,
    TELL,
    TOO_MUCH,
    Birth,
)
from surefoot.core.os.trees import die_with_all

__all__ = ["FORKSERVER", "METHODS", "SPAWN", "Channel", "Child", "Death", "inherited", "start_child", "watch_lifeline"]

FORKSERVER: Final = "forkserver"
SPAWN: Final = "spawn"
# The first is the default. Frameworks of macOS do not bear a fork without a new interpreter.
METHODS: Final = (FORKSERVER, SPAWN) if sys.platform == "linux" else (SPAWN,)

_HEADER: Final = struct.Struct("!Q")
_READ: Final = 1 << 16
_CORE_S: Final = 30.0  # how long a child that closed its channel has to end: it may be writing a core dump
_GONE_S: Final = 5.0  # how long the nursery has to end
_MOST_KIB: Final = (1 << 31) - 1  # 2 TiB: what the nursery can be told


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

    def __init__(self, number: int, channel: Channel, lifeline: socket.socket, source: _Source) -> None:
        self.number = number
        self._source = source
        self.channel = channel
        self.pid: int | None = None
        self.death: Death | None = None  # how it ended; None while it lives, and if nobody saw it
        self.held_bytes = 0  # how much memory it held when it was killed for that
        self.started = threading.Event()
        self.ended = threading.Event()
        self._lifeline = lifeline
        self._lock = threading.Lock()
        _children.add(self)

    def tell(self, note: bytes) -> None:
        """Send a word down the lifeline."""
        with self._lock:
            try:
                self._lifeline.sendall(_HEADER.pack(len(note)) + note)
            except OSError:
                pass  # it is dead, and its owner about to be told

    def kill(self) -> None:
        """Kill it, and all of its process group. Returns at once."""
        if not self.ended.is_set():
            self._source.kill(self.number)

    def be_alone(self, memory_bytes: int | None) -> None:
        """Have killed what it leaves behind when it ends; and all of it, if together they hold more memory than that.

        Windows does neither.
        """
        self._source.leave_alone(self.number, -(-(memory_bytes or 0) // 1024))

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
            self._lifeline.close()

    def forget(self) -> None:
        """In a process forked from the owner: it is not ours."""
        self._lock = threading.Lock()
        self.channel.close()
        self._drop_lifeline()


_children: weakref.WeakSet[Child] = weakref.WeakSet()


class _Source(Protocol):
    """Where children come from."""

    is_gone: bool

    def bear(self, kind: int) -> Child: ...
    def kill(self, number: int) -> None: ...
    def leave_alone(self, number: int, memory_kib: int) -> None: ...
    def close(self) -> None: ...
    def forget(self) -> None: ...


def start_child(method: str, command: list[str]) -> Child:
    """Start a child. Returns at once: what is sent to it waits until it reads.

    Args:
        method: one of `METHODS`.
        command: what becomes the nursery, or on Windows the child: what each is given is its own to read.

    Raises Unavailable if the system has no room for another process.
    """
    global _source
    if not sys.executable or getattr(sys, "frozen", False):
        raise _unavailable(OSError("this program has no Python interpreter beside it"))
    try:
        with _starting:
            if _source is None or _source.is_gone:
                _source = _Children(command)
            return _source.bear(FORKED if method == FORKSERVER else SPAWNED)
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> ChildrenUnavailable:
    return ChildrenUnavailable(
        f"No process could be started for tasks: {error.strerror or error}.",
        do="Use fewer workers: ProcessPoolTaskRunner(max_workers=2).",
    )


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


if sys.platform == "win32":

    class _Children:
        """Children that their owner starts itself, each a new interpreter: the way of Windows."""

        is_gone = False

        def __init__(self, command: list[str]) -> None:
            self._command = command
            self._lock = threading.Lock()
            self._numbers = 0
            self._living: dict[int, subprocess.Popen[bytes]] = {}

        def bear(self, kind: int) -> Child:
            here, there = socket.socketpair()
            lifeline, end_of_child = socket.socketpair()
            with there, end_of_child:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,  # Ctrl-C is the owner's to act on
                )
                assert process.stdin is not None
                with process.stdin as pipe:
                    for end in (there, end_of_child):
                        shared: bytes = end.share(process.pid)
                        pipe.write(_HEADER.pack(len(shared)) + shared)
            with self._lock:
                self._numbers += 1
                child = Child(self._numbers, Channel(here), lifeline, self)
                self._living[child.number] = process
            child.pid = process.pid
            threading.Thread(target=self._watch, args=(child, process), name="surefoot-children", daemon=True).start()
            return child

        def _watch(self, child: Child, process: subprocess.Popen[bytes]) -> None:
            code = process.wait()
            with self._lock:
                self._living.pop(child.number, None)
            child.over(Death(code, 0))

        def kill(self, number: int) -> None:
            with self._lock:
                process = self._living.get(number)
            if process is not None:  # with all that it has started
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)

        def leave_alone(self, number: int, memory_kib: int) -> None:
            """There are no groups here."""

        def close(self) -> None:
            """Their lifelines end with this process."""

        def forget(self) -> None:
            """There are no forks."""

else:

    class _Children:
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
            lifeline, end_of_child = socket.socketpair()
            with there, end_of_child, self._lock:
                self._numbers += 1
                child = self._living[self._numbers] = Child(self._numbers, Channel(here), lifeline, self)
                fds = [there.fileno(), end_of_child.fileno(), _usable(1), _usable(2)]
                socket.send_fds(self._server, [ASK.pack(kind, child.number, 0)], fds)
            return child

        def kill(self, number: int) -> None:
            self._ask(KILL, number, signal.SIGKILL)

        def leave_alone(self, number: int, memory_kib: int) -> None:
            self._ask(ALONE, number, min(memory_kib, _MOST_KIB))

        def _ask(self, kind: int, number: int, argument: int) -> None:
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
                goes_on = kind in (STARTED, TOO_MUCH)
                child = self._living.get(number) if goes_on else self._living.pop(number, None)
            if child is None:
                return
            if kind == STARTED:
                child.pid = argument
                child.started.set()
            elif kind == TOO_MUCH:
                child.held_bytes = peak
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


_starting = threading.Lock()
_source: _Source | None = None


def _close_at_exit() -> None:
    if _source is not None:
        _source.close()


def _after_fork_in_child() -> None:
    global _source, _starting
    _starting = threading.Lock()
    if _source is not None:
        _source.forget()
        _source = None
    for child in list(_children):
        child.forget()
    _children.clear()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# -- in the child


def inherited(birth: Birth | None) -> tuple[Channel, socket.socket]:
    """A child's ends of its channel and of its lifeline. None: they come through standard input, as on Windows."""
    if birth is not None:
        channel, lifeline = (socket.socket(fileno=fd) for fd in birth)
        return Channel(channel), lifeline
    ends: list[socket.socket] = []
    for _ in range(2):
        (size,) = _HEADER.unpack(sys.stdin.buffer.read(_HEADER.size))
        shared = sys.stdin.buffer.read(size)
        if sys.platform == "win32":
            ends.append(socket.fromshare(shared))
    return Channel(ends[0]), ends[1]


def watch_lifeline(lifeline: socket.socket, told: Callable[[bytes], None]) -> None:
    """Die when the owner does, and have `told` called with each word that it sends, then everything here signalled."""
    own = Channel(lifeline)

    def watch() -> None:
        while (note := own.receive()) is not None:
            told(bytes(note))
            if sys.platform == "win32":
                _thread.interrupt_main(signal.SIGTERM)
            else:
                os.killpg(0, signal.SIGTERM)  # this process, and what it has started
        die_with_all()

    threading.Thread(target=watch, name="surefoot-lifeline", daemon=True).start()
