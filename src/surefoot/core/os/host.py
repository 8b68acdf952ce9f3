"""Which machine this is, since which start of it, and which process: what decides whether a free pulse proves a death.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["NAMELESS", "boot_id", "host_name", "is_gone", "open_file_of", "process_mark", "user_at_host", "user_name"]

NAMELESS: Final = frozenset({"", "localhost", "localhost.localdomain"})  # names that two machines may well share

_boot_id: str | None = None


def host_name() -> str:
    """The machine's own name; empty if it has none."""
    if sys.platform == "win32":
        return os.environ.get("COMPUTERNAME", "")
    return os.uname().nodename


def user_name() -> str:
    """Who runs this process, by name; else by number."""
    from getpass import getuser  # only here: who asks for something tells who it is, a run does not

    try:
        return getuser()
    except (ImportError, KeyError, OSError):  # a container's user without an entry
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "somebody"


def user_at_host() -> str:
    """Who runs this process, and where: "ada@laptop"."""
    return f"{user_name()}@{host_name() or 'this machine'}"


def boot_id() -> str:
    """What this start of the machine is called; empty where the system does not say.

    >>> boot_id() == boot_id()
    True
    """
    global _boot_id
    if _boot_id is None:
        _boot_id = _ask_system()
    return _boot_id


def _ask_system() -> str:
    if sys.platform == "linux":
        try:
            with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
                return file.read(64).decode("ascii").strip()
        except OSError:
            return ""
    if sys.platform == "darwin":
        import ctypes  # only here: it costs milliseconds

        answer = ctypes.create_string_buffer(64)
        size = ctypes.c_size_t(len(answer))
        ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", answer, ctypes.byref(size), None, 0)
        return answer.value.decode("ascii")
    return ""


def process_mark(pid: int) -> str:
    """What tells a process from all others of this start of the machine; empty where that cannot be told.

    Which numbers stand for which processes (containers have their own), and when this one was started.
    """
    try:
        space = os.readlink("/proc/self/ns/pid")
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            told = file.read(4096)
    except OSError:
        return ""
    return f"{space} {int(told.rpartition(b')')[2].split()[19])}"  # proc_pid_stat(5): the 22nd field


def is_gone(pid: int, mark: str) -> bool:
    """Whether the process that had this mark, on this start of this machine, is certainly no more.

    >>> is_gone(os.getpid(), process_mark(os.getpid())), is_gone(1, "elsewhere 1")
    (False, False)
    """
    mine = process_mark(os.getpid())
    if not mark or mark.split()[0] != mine.partition(" ")[0]:
        return False
    now = process_mark(pid)
    if now:
        return now != mark
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def open_file_of(pid: int, ending: str) -> str | None:
    """The path of a file that a process has open, by how it ends; None where that is not to be seen.

    >>> open_file_of(os.getpid(), "/no/such/file") is None
    True
    """
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            try:
                path = os.readlink(f"{folder}/{name}")
            except OSError:
                continue  # closed meanwhile
            if path.endswith(ending) and os.path.exists(path):
                return path
    except OSError:
        pass
    return None
