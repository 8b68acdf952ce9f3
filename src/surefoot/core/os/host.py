"""Which machine this is, and since which start of it: what decides whether a free pulse proves a death.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from typing import Final

__all__ = ["NAMELESS", "boot_id", "host_name", "user_name"]

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
