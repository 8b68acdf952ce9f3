"""The nursery: a small process, made anew and with one thread, that bears children for its owner and buries them.

It forks children that are quick to start, though the owner has threads (`forkserver`), or starts new interpreters
(`spawn`). Each child leads a process group of its own, and dies with the nursery, which dies with the owner. It also
sees to it that a child holds no more memory than it may: the owner may be too busy for that. Runs on POSIX systems
only. May import: core.os.trees.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from struct import Struct
from typing import Any, Final, NamedTuple

from surefoot.core.os.trees import held_bytes, members

__all__ = [
    "ALONE",
    "ASK",
    "ENDED",
    "FORKED",
    "KILL",
    "REFUSED",
    "SPAWNED",
    "STARTED",
    "TELL",
    "TOO_MUCH",
    "Birth",
    "tend",
]

# What the owner asks for: kind, number of the child, exit status or signal.
ASK: Final = Struct("!BIi")
FORKED: Final = 1  # with four descriptors: channel, lifeline, stdout, stderr
SPAWNED: Final = 2
KILL: Final = 3
ALONE: Final = 4  # what it leaves behind is killed; and it too, if it holds more than so many KiB, unless that is 0

# What the nursery tells: kind, number of the child, process id or wait status or errno, peak memory in bytes.
TELL: Final = Struct("!BIiQ")
STARTED: Final = 1
ENDED: Final = 2
REFUSED: Final = 3
TOO_MUCH: Final = 4  # it held more than it may, so many bytes, and is killed

_LOOK_S: Final = 1.0  # whoever else holds the owner's end of the socket: that it lives is looked after so often
_FDS: Final = 4
# How often the memory of a child is looked at that has a limit: so often that it cannot take what is left meanwhile.
_FILLS_BYTES_A_S: Final = 4e9
_LOOK_MEMORY_S: Final = 0.005, 0.1 if sys.platform == "linux" else 0.5


class Birth(NamedTuple):
    """What a child is born with: the descriptors of its channel and of its lifeline."""

    channel: int
    lifeline: int


def tend(server: int, owner: int, command: list[str]) -> Birth | None:
    """Be the nursery. Returns in each forked child; in the nursery itself when the owner is gone: None.

    Args:
        server: the descriptor of the socket to the owner.
        owner: the owner's process id.
        command: what starts a new interpreter that is given the two descriptors of a `Birth` as last arguments.
    """
    if sys.platform != "win32":
        import ctypes  # noqa: F401  # 10 ms, here once and not in each child

        return _Nursery(socket.socket(fileno=server), owner, command).tend()
    return None  # there owners start their children themselves


if sys.platform != "win32":
    from surefoot.core.os.trees import kill_tree

    class _Nursery:
        def __init__(self, server: socket.socket, owner: int, command: list[str]) -> None:
            self._server = server
            self._owner = owner
            self._command = command
            self._pids: dict[int, int] = {}  # by number
            self._killed: set[int] = set()  # by number: what they leave behind is killed too
            self._limits: dict[int, _Limit] = {}  # by number
            self._reads, self._writes = os.pipe()
            for end in (self._reads, self._writes):
                os.set_blocking(end, False)

        def tend(self) -> Birth | None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
            try:
                while True:
                    wait_s = self._look_at_memory() if self._limits else _LOOK_S
                    ready, _, _ = select.select([self._server.fileno(), self._reads], [], [], wait_s)
                    if os.getppid() != self._owner:
                        break
                    if self._reads in ready:
                        self._drain()
                        self._bury()
                    if self._server.fileno() in ready:
                        birth, goes_on = self._serve()
                        if birth is not None:
                            return birth
                        if not goes_on:
                            break
            except (BrokenPipeError, ConnectionResetError):
                pass  # the owner is gone
            for pid in self._pids.values():
                kill_tree(pid)
            return None

        def _look_at_memory(self) -> float:
            """Kill whoever holds more than it may. Answers when to look again, in seconds."""
            now_s = time.monotonic()
            for number, limit in list(self._limits.items()):
                if limit.next_s <= now_s:
                    held = held_bytes(members(limit.pid), limit.most)
                    if held > limit.most:
                        del self._limits[number]
                        kill_tree(limit.pid)
                        self._tell(TOO_MUCH, number, 0, held)
                        continue
                    fills_s = (limit.most - held) / _FILLS_BYTES_A_S
                    limit.next_s = now_s + min(max(fills_s, _LOOK_MEMORY_S[0]), _LOOK_MEMORY_S[1])
            return min([_LOOK_S, *(max(limit.next_s - now_s, 0.0) for limit in self._limits.values())])

        def _drain(self) -> None:
            try:
                os.read(self._reads, 4096)
            except BlockingIOError:
                pass

        def _serve(self) -> tuple[Birth | None, bool]:
            """Do what is asked for. Answers what this process is born with, if a child now, and whether to go on."""
            raw, fds, _, _ = socket.recv_fds(self._server, ASK.size, _FDS)
            while raw and len(raw) < ASK.size:
                more = self._server.recv(ASK.size - len(raw))
                raw = raw + more if more else b""
            if not raw:
                return None, False
            kind, number, argument = ASK.unpack(raw)
            if kind == KILL:
                if number in self._pids:
                    self._killed.add(number)
                    kill_tree(self._pids[number])
                return None, True
            if kind == ALONE:
                if number in self._pids:
                    self._killed.add(number)
                    if argument:
                        self._limits[number] = _Limit(self._pids[number], argument * 1024)
                return None, True
            birth = None
            try:
                if kind == FORKED:
                    birth = self._fork(number, fds)
                else:
                    self._spawn(number, fds)
            except OSError as error:
                self._tell(REFUSED, number, error.errno or 0)
            if birth is None:
                for fd in fds:
                    os.close(fd)
            return birth, True

        def _fork(self, number: int, fds: list[int]) -> Birth | None:
            nursery = os.getpid()
            pid = os.fork()
            if pid:
                self._born(number, pid)
                return None
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._server.close()
            os.close(self._reads)
            os.close(self._writes)
            die_with(nursery)
            channel, lifeline, stdout, stderr = fds
            for fd, standard in ((stdout, 1), (stderr, 2)):
                os.dup2(fd, standard)
                os.close(fd)
            return Birth(channel, lifeline)

        def _spawn(self, number: int, fds: list[int]) -> None:
            channel, lifeline, stdout, stderr = fds
            process = subprocess.Popen(
                [*self._command, str(os.getpid()), str(channel), str(lifeline)],
                pass_fds=(channel, lifeline),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                process_group=0,
            )
            process.returncode = 0  # it is buried here, not by its object
            self._born(number, process.pid)

        def _born(self, number: int, pid: int) -> None:
            try:
                os.setpgid(pid, pid)  # both do it: whoever comes first, it is done before anything is killed
            except OSError:
                pass  # it has called `exec` already, or is gone
            self._pids[number] = pid
            self._tell(STARTED, number, pid)

        def _bury(self) -> None:
            """Tell of the children that have ended, and kill what those left behind that were killed."""
            for number, pid in list(self._pids.items()):
                ended = _ended(pid, number in self._killed)
                if ended is None:
                    continue
                status, usage = ended
                del self._pids[number]
                self._killed.discard(number)
                self._limits.pop(number, None)
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                self._tell(ENDED, number, os.waitstatus_to_exitcode(status), peak)

        def _tell(self, kind: int, number: int, argument: int, peak: int = 0) -> None:
            self._server.sendall(TELL.pack(kind, number, argument, peak))

    class _Limit:
        """How much memory a child may hold, with all that it starts."""

        def __init__(self, pid: int, most: int) -> None:
            self.pid = pid
            self.most = most
            self.next_s = 0.0  # when it is looked at next

    def _ended(pid: int, was_killed: bool) -> tuple[int, Any] | None:
        """The status of an ended child, and what it used; what it left behind is killed if it was. None: it runs."""
        if sys.platform == "darwin":  # which has no `waitid` before Python 3.13
            waited, status, usage = os.wait4(pid, os.WNOHANG)
            if not waited:
                return None
            if was_killed:
                _kill_group(pid, signal.SIGKILL)
            return status, usage
        # Until it is waited for its id, and that of its group, is nobody else's.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        if was_killed:
            _kill_group(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        return status, usage

    def _kill_group(pid: int, number: int) -> None:
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # all of it is gone; on macOS a group of which only a zombie is left cannot be signalled


_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent dies. Where it cannot, the lifeline does it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
