"""Places in which little works: a small disk, a folder that may only be read, a file system without locks.

Each is what to put before a command, so that it finds its files in such a place; where that cannot be had here, the
test is skipped, and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["in_namespace", "read_only", "small_disk", "without_locks"]


def in_namespace(script: str, what: str) -> tuple[str, ...]:
    """Run what follows after a shell script, in a namespace of its own for mounts."""
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh")
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"NOT TESTED HERE, {what}: there is no `unshare`")
    if tried.returncode:
        pytest.skip(f"NOT TESTED HERE, {what}: {tried.stderr.strip()}")
    return command


def small_disk(folder: Path, size: str) -> tuple[str, ...]:
    """A disk of that size at `folder`, empty, and gone when the command has ended."""
    return in_namespace(f'mount -t tmpfs -o size={size} tmpfs "{folder}"', "a full disk")


def read_only(folder: Path) -> tuple[str, ...]:
    """`folder` as it is, to be read alone."""
    bind = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"'
    return in_namespace(bind, "a folder that may only be read")


NO_LOCKS = r"""
#include <errno.h>
int flock(int fd, int how) { (void)fd; (void)how; errno = ENOLCK; return -1; }
"""


def without_locks(folder: Path) -> dict[str, str]:
    """The environment in which `flock` answers that there are no locks. `folder` is for a library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("NOT TESTED HERE, a file system without locks: there is no C compiler")
    source, library = folder / "no_locks.c", folder / "no_locks.so"
    source.write_text(NO_LOCKS)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": os.pathsep.join(filter(None, [str(library), os.environ.get("LD_PRELOAD", "")]))}
