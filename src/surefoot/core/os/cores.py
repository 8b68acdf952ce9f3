"""How many cores this process may really use, and how often its control group ran out of memory.

What counts is the least of: the processors it may run on (affinity), and the share of time that a container grants it
(cgroup v1 and v2, at any level). May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from math import ceil
from typing import Final

__all__ = ["memory_kills", "usable_cores"]

_ROOT: Final = "/sys/fs/cgroup"
_MEMBERSHIP: Final = "/proc/self/cgroup"


def usable_cores(root: str = _ROOT, membership: str = _MEMBERSHIP) -> int:
    """The number of cores, at least 1. A share of 1.5 cores counts as 2: one of two workers may wait now and then.

    >>> usable_cores() >= 1
    True
    """
    cores = _allowed_processors()
    if sys.platform == "linux":
        for share in _shares(root, membership):
            cores = min(cores, max(ceil(share), 1))
    return cores


def _allowed_processors() -> int:
    count = getattr(os, "process_cpu_count", None)  # since Python 3.13; PYTHON_CPU_COUNT counts there too
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _shares(root: str, membership: str) -> Iterator[float]:
    """The limits on processor time that hold for this process, in cores."""
    for folder in _folders("cpu", root, membership):
        quota, period = [*_words(f"{folder}/cpu.max"), "", ""][:2]
        if not quota:
            quota = "".join(_words(f"{folder}/cpu.cfs_quota_us"))
            period = "".join(_words(f"{folder}/cpu.cfs_period_us"))
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            yield int(quota) / int(period)


def memory_kills(root: str = _ROOT, membership: str = _MEMBERSHIP) -> int | None:
    """How many processes of this control group the kernel has killed for lack of memory. None where it does not say.

    The count says something only by its growth.
    """
    if sys.platform != "linux":
        return None
    for folder in _folders("memory", root, membership):
        for name in ("memory.events", "memory.oom_control"):
            words = _words(f"{folder}/{name}")
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1])
    return _machine_kills()


def _machine_kills() -> int | None:
    words = _words("/proc/vmstat")
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else None


def _folders(controller: str, root: str, membership: str) -> Iterator[str]:
    """The folders of this process's control groups for a controller, the innermost first, up to the root."""
    for line in _lines(membership):
        _, names, path = [*line.split(":", 2), "", ""][:3]
        if names and controller not in names.split(","):
            continue
        mounts = [root, f"{root}/unified"] if not names else [f"{root}/{names}", f"{root}/{controller}"]
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in mounts:
            for depth in range(len(parts), -1, -1):
                yield "/".join([mount, *parts[:depth]])


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _words(path: str) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]
