"""Places in which little works: a small disk, a folder that may only be read, no locks, a clock that somebody sets.

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

__all__ = ["in_namespace", "jumping_clock", "read_only", "small_disk", "without_locks"]


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
    return _preloaded(folder, "no_locks", NO_LOCKS, "a file system without locks")


JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *ahead;
static int (*really)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    really = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("AHEAD");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *found = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED) ahead = found;
    close(fd);
}
int clock_gettime(clockid_t which, struct timespec *at) {
    if (!really) begin();
    int code = really(which, at);
    if (!code && ahead && which == CLOCK_REALTIME) at->tv_sec += *ahead;
    return code;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


def jumping_clock(folder: Path) -> dict[str, str]:
    """The environment in which the wall clock is as many seconds ahead as the file `AHEAD` holds, a number of 8 bytes.

    It jumps when that is written, for all processes in it, as when somebody sets the clock of the machine.
    """
    ahead = folder / "ahead"
    ahead.write_bytes(bytes(8))
    return {"AHEAD": str(ahead), **_preloaded(folder, "jumping_clock", JUMPING_CLOCK, "a clock that jumps")}


def _preloaded(folder: Path, name: str, text: str, what: str) -> dict[str, str]:
    """The environment in which a library of this text comes before the system's own."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip(f"NOT TESTED HERE, {what}: there is no C compiler")
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(text)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": os.pathsep.join(filter(None, [str(library), os.environ.get("LD_PRELOAD", "")]))}
