"""Trees of processes: who belongs to one, what they hold, and their end; as here, and as on macOS, by `ps`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from surefoot.core.os import trees
from tests.core.test_os import as_on
from tests.faults.test_children import are_gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no groups and no `ps`")

# A shell that has started one process in its group, and one in a session of its own, which has started another.
CODE = """
import subprocess, sys
inner = "import subprocess; child = subprocess.Popen(['sleep', '1000']); print(child.pid, flush=True); child.wait()"
one = subprocess.Popen(["sleep", "1000"])
other = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True, stdout=subprocess.PIPE, text=True)
print(one.pid, other.pid, other.stdout.readline().strip(), flush=True)
one.wait()
"""


@pytest.fixture
def root() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, process_group=0)
    yield process
    trees.kill_tree(process.pid)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def started_by(root: subprocess.Popen[str]) -> list[int]:
    assert root.stdout is not None
    return [int(pid) for pid in root.stdout.readline().split()]


def systems() -> list[Any]:
    has_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="there is no `ps` here")
    return [pytest.param(trees, id="as here"), pytest.param(as_on("darwin", "trees"), id="as on macOS", marks=has_ps)]


@pytest.mark.parametrize("system", systems())
def test_all_that_a_process_started_belongs_to_its_tree(system: ModuleType, root: subprocess.Popen[str]) -> None:
    pids = started_by(root)
    found = system.members(root.pid)
    assert found[0] == root.pid
    assert sorted(found[1:]) == sorted(pids)


@pytest.mark.parametrize("system", systems())
def test_a_tree_is_killed_in_whatever_group_and_session_its_processes_are(
    system: ModuleType, root: subprocess.Popen[str]
) -> None:
    pids = started_by(root)
    system.kill_tree(root.pid)
    assert root.wait() == -signal.SIGKILL
    are_gone(pids)


@pytest.mark.parametrize("system", systems())
def test_what_is_held_grows_with_what_is_used(system: ModuleType) -> None:
    before = system.held_bytes([os.getpid()], 1 << 60)
    taken = bytearray(b"x" * 50_000_000)
    after = system.held_bytes([os.getpid()], 1 << 60)
    assert 40_000_000 < after - before < 200_000_000
    assert len(taken) == 50_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what is shared")
def test_what_several_share_is_counted_once_where_it_matters() -> None:
    taken = bytearray(b"x" * 50_000_000)
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(reads, 1)
        os._exit(0)
    pids = [os.getpid(), pid]
    alone = trees.held_bytes([os.getpid()], 1 << 60)
    assert trees.held_bytes(pids, 1 << 60) > alone + 40_000_000
    assert trees.held_bytes(pids, 1) < alone + 40_000_000
    os.write(writes, b"x")
    os.waitpid(pid, 0)
    os.close(reads)
    os.close(writes)
    assert len(taken) == 50_000_000


def test_who_is_gone_holds_nothing_and_has_no_tree() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert trees.members(process.pid) == [process.pid]
    assert trees.held_bytes([process.pid], 0) == 0
    trees.kill_tree(process.pid)
