"""Processes that are started and left alone: they outlive whoever started them, and share nothing with it.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

__all__ = ["lower_priority", "start_detached"]

_NICE = 10
_DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


def start_detached(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Start a program in a session of its own, with nothing to read from and nobody to write to.

    It inherits no descriptor, so it holds no lock, pipe or terminal of this process; and nobody waits for it, so
    this is meant for a process that is about to end. Raises OSError if it cannot be started.
    """
    if sys.platform == "win32":
        _start_on_windows(arguments, environ)
    else:
        _start_on_posix(arguments, environ)


def lower_priority() -> None:
    """Let all others go first, from now on. Windows did so when the process was started."""
    if sys.platform != "win32":
        try:
            os.nice(_NICE)
        except OSError:
            pass  # the system has a limit of its own


def _start_on_posix(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    if sys.platform == "win32":
        return
    null = os.devnull
    actions: list[tuple[int, int, str, int, int] | tuple[int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
    ]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()]
    try:
        os.posix_spawn(arguments[0], list(arguments), environ, file_actions=actions, setsid=True, setsigmask=())
    # house: skip unfinished: it is what Python raises where the C library has no POSIX_SPAWN_SETSID
    except NotImplementedError:
        from subprocess import DEVNULL, Popen  # a door: it costs milliseconds, and most systems need none of it

        child = Popen(arguments, env=environ, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True)
        child.returncode = 0  # or Python would warn that nobody waits for it


def _inheritable() -> list[int]:
    """The descriptors that a child would get. Python's own are not among them, those of C libraries may be."""
    found = []
    for name in os.listdir(_DESCRIPTORS):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # the one that the listing itself had open
    return found


def _start_on_windows(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    if sys.platform != "win32":
        return
    import subprocess

    flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    null = subprocess.DEVNULL
    # A job (of a terminal, a CI step) may end all that is in it; not every job lets its processes leave.
    for more in (subprocess.CREATE_BREAKAWAY_FROM_JOB, 0):
        try:
            child = subprocess.Popen(
                arguments, env=environ, stdin=null, stdout=null, stderr=null, creationflags=flags | more
            )
        except PermissionError:
            if not more:
                raise
        else:
            child.returncode = 0
            return
