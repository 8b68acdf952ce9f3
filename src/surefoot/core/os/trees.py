"""Trees of processes: who belongs to one, how much memory they hold, and the end of all of them.

A process and all that it started, and what these started, however they group themselves; not what was detached on
purpose, so that its parent is gone. May import: nothing of ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

__all__ = ["MEASURES", "die_with_all", "held_bytes", "kill_tree", "limit_allocations", "members"]

# Whether memory can be measured here, by a process that looks after others.
MEASURES: Final = sys.platform in ("linux", "darwin")
_KIB: Final = 1024
_HELD: Final = ("RssAnon:", "RssShmem:", "VmSwap:")  # what the kernel cannot take back by forgetting it
_SHARED_FAIRLY: Final = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
_ROUNDS: Final = 5  # a process that is stopped starts no other, so the second round finds what the first missed


def members(root: int) -> list[int]:
    """The process ids of a tree, its root first."""
    if sys.platform == "linux":
        found = [root]
        for pid in found:  # which grows
            found += _children(pid)
        return found
    started: dict[int, list[int]] = {}
    for pid, parent, _ in _table():
        started.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += started.get(pid, [])
    return found


def held_bytes(pids: Iterable[int], limit: int) -> int:
    """How much memory these hold: of their own or shared, in use or swapped out; mapped files do not count.

    Memory that several share is counted for each; only where that makes more than `limit` it is looked at closer.
    """
    pids = list(pids)
    if sys.platform != "linux":
        wanted = set(pids)
        return sum(kib for pid, _, kib in _table() if pid in wanted) * _KIB
    held = sum(_sum_of(f"/proc/{pid}/status", _HELD) for pid in pids)
    if held > limit and len(pids) > 1:
        held = min(held, sum(_sum_of(f"/proc/{pid}/smaps_rollup", _SHARED_FAIRLY) for pid in pids) or held)
    return held


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended meanwhile, or the kernel does not tell: then the group is all that is known
    return found


def _sum_of(path: str, names: tuple[str, ...]) -> int:
    total = 0
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(names):
                    total += int(line.split()[1])
    except (OSError, ValueError):
        pass  # it has ended meanwhile
    return total * _KIB


def _table() -> list[tuple[int, int, int]]:
    """Each process of the machine: its id, its parent's, and how much of it is in memory, in KiB."""
    try:
        told = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=False)
    except OSError:
        return []
    rows = [line.split() for line in told.stdout.splitlines()]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows if len(row) == 3 and "".join(row).isdigit()]


def limit_allocations(limit: int) -> None:
    """Have this process, and each that it starts, refused far more memory than the limit, before it has been used.

    A limit of what is used cannot be set for a process, only for what it asks for, and much is asked for that is never
    used: 8 MiB of stack for each thread, arenas, buffers of numerical libraries. So there is much room above it.
    """
    if sys.platform == "linux":
        import resource

        most = limit * 4 + (16 << 30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if sys.platform == "win32":

    def die_with_all() -> None:
        """End this process. What it started is its owner's to end, who knows of it."""
        os._exit(1)

else:

    def kill_tree(root: int) -> None:
        """Kill a process that leads a group: it, its group, and what else it started. Returns at once."""
        _signal_group(root, signal.SIGSTOP)
        others: list[int] = []
        for _ in range(_ROUNDS):
            found = [pid for pid in members(root)[1:] if pid not in others]
            if not found:
                break
            for pid in found:
                _signal(pid, signal.SIGSTOP)
            others += found
        _signal_group(root, signal.SIGKILL)
        for pid in others:
            _signal(pid, signal.SIGKILL)

    def die_with_all() -> None:
        """Kill this process, which leads a group, and whatever else it started."""
        for pid in members(os.getpid())[1:]:
            _signal(pid, signal.SIGKILL)
        _signal_group(0, signal.SIGKILL)

    def _signal_group(root: int, number: int) -> None:
        try:
            os.killpg(root, number)
        except (ProcessLookupError, PermissionError):
            pass  # all of it is gone; on macOS a group of which only a zombie is left cannot be signalled

    def _signal(pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it is gone, or not ours to end
