"""A detached process has a session of its own, shares nothing with whoever started it, and outlives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.core.os.detached import start_detached

if sys.platform == "win32":
    pytest.skip("its counterpart there is seen by its flags alone", allow_module_level=True)

# Tells of itself through a named pipe, which waits for somebody who reads.
CHILD = """
import fcntl, json, os, sys
from surefoot.core.os.detached import lower_priority
lower_priority()
streams = [os.readlink(f"/proc/self/fd/{fd}") if os.path.isdir("/proc") else os.devnull for fd in range(3)]
fds = []
for fd in range(3, 100):
    try:
        fds.append(os.fstat(fd).st_size and fd)
    except OSError:
        pass
told = {"pid": os.getpid(), "session": os.getsid(0), "nice": os.nice(0), "streams": streams, "fds": fds}
out = open(sys.argv[1], "w")  # once somebody reads, which is after the end of whoever started this
told |= {"word": os.environ.get("WORD"), "parent": os.getppid()}
out.write(json.dumps(told))
"""
PARENT = """
import os, sys, time
from surefoot.core.os.detached import start_detached
held = os.open(sys.argv[1], os.O_RDONLY)
os.set_inheritable(held, True)  # as a C library might leave one
begin = time.perf_counter()
start_detached([sys.executable, "-c", sys.argv[2], sys.argv[3]], {**os.environ, "WORD": "handed on"})
print(os.getpid(), os.getsid(0), time.perf_counter() - begin)
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_detached_process_shares_nothing_and_outlives_whoever_started_it(pipe: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, __file__, CHILD, pipe], capture_output=True, text=True, timeout=30, check=True
    )  # which returns: nothing holds the pipes of its output
    pid, session, _ = done.stdout.split()
    told = json.loads(pipe.read_text())
    assert told["word"] == "handed on"
    assert told["session"] == told["pid"] != int(session)
    assert told["parent"] != int(pid), "that has ended, and nobody waits for this one"
    assert told["streams"] == [os.devnull] * 3
    assert told["fds"] == []
    assert told["nice"] >= 10


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start_detached([str(tmp_path / "nothing")], {})
