"""Locks in files: several processes, and what is left when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from surefoot.core.errors import BadInput
from surefoot.locking import FileSystemLockManager
from tests.locking.watching import until


def child(folder: Path, *words: object) -> subprocess.Popen[str]:
    code = Path(__file__).with_name("children.py")
    root = code.parent.parent.parent
    return subprocess.Popen(
        [sys.executable, str(code), "files", str(folder), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def is_in_line(folder: Path, name: str) -> bool:
    return f'"{name}"'.encode() in b"".join(file.read_bytes() for file in folder.glob("*.lock"))


def test_processes_take_turns(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [child(tmp_path / "locks", "count", "k", number, 40) for _ in range(3)]
    assert [ended(process) for process in processes] == [0, 0, 0]
    assert number.read_text() == "120"


def test_what_was_used_is_cleaned_up(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    folder = tmp_path / "locks"
    assert ended(child(folder, "count", "k", number, 2)) == 0
    assert sorted(os.listdir(folder)) == [".one-at-a-time", "processes"]
    assert os.listdir(folder / "processes") == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_holder_frees_its_lock_for_who_waits(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    locks = FileSystemLockManager(folder)
    holder = child(folder, "hold", "k")
    assert said(holder) == "held"
    assert not locks.acquire_lock("k", "me", acquire_timeout=0)
    waiter = child(folder, "wait", "k", "the other", tmp_path / "served")
    assert said(waiter) == "waiting"
    holder.send_signal(signal.SIGKILL)
    assert ended(waiter) == 0
    assert (tmp_path / "served").read_text() == "the other\n"
    assert locks.acquire_lock("k", "me", acquire_timeout=60)
    locks.release_lock("k", "me")
    ended(holder)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_waiter_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    locks = FileSystemLockManager(folder)
    locks.acquire_lock("k", "me")
    waiter = child(folder, "wait", "k", "killed", tmp_path / "served")
    assert said(waiter) == "waiting"
    until(partial(is_in_line, folder, "killed"))
    waiter.send_signal(signal.SIGKILL)
    ended(waiter)
    locks.release_lock("k", "me")
    assert not locks.is_locked("k")


def test_a_release_rings_in_the_other_process(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    locks = FileSystemLockManager(folder)
    locks.acquire_lock("k", "me")
    served = tmp_path / "served"
    waiters = []
    for name in ("a", "b", "c"):
        waiters.append(child(folder, "wait", "k", name, served))
        until(partial(is_in_line, folder, name))
    locks.release_lock("k", "me")
    assert [ended(waiter) for waiter in waiters] == [0, 0, 0]
    assert served.read_text().split() == ["a", "b", "c"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_holds_none_of_its_parents_locks(tmp_path: Path) -> None:
    code = f"""
import os
from surefoot.locking import FileSystemLockManager
locks = FileSystemLockManager({str(tmp_path / "locks")!r})
locks.acquire_lock("k", "parent")
pid = os.fork()
if pid == 0:
    ok = not locks.acquire_lock("k", "child", acquire_timeout=0)
    ok = ok and locks.acquire_lock("mine", "child", acquire_timeout=0)
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert locks.is_lock_holder("k", "parent")
assert locks.acquire_lock("mine", "parent", acquire_timeout=0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_lives_on_does_not_keep_the_locks_of_its_dead_parent(tmp_path: Path) -> None:
    code = f"""
import os, sys
from surefoot.locking import FileSystemLockManager
locks = FileSystemLockManager({str(tmp_path / "locks")!r})
locks.acquire_lock("k", "parent")
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert said(process) == "forked"
    process.kill()
    process.wait()
    locks = FileSystemLockManager(tmp_path / "locks")
    assert locks.acquire_lock("k", "me", acquire_timeout=60)
    locks.release_lock("k", "me")
    process.communicate()


def test_a_damaged_lock_file_is_a_free_lock(tmp_path: Path) -> None:
    locks = FileSystemLockManager(tmp_path)
    locks.acquire_lock("k", "me")
    next(tmp_path.glob("*.lock")).write_bytes(b"")
    assert locks.acquire_lock("k", "other", acquire_timeout=0)
    locks.release_lock("k", "other")


def test_keys_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    locks = FileSystemLockManager(str(tmp_path))
    keys = ["a/b", "a_b", "a b", "../a", "a" * 300, "a" * 301, "ä", "\udcff"]
    assert all(locks.acquire_lock(key, "me", acquire_timeout=0) for key in keys)
    assert len(list(tmp_path.glob("*.lock"))) == len(keys)
    for key in keys:
        locks.release_lock(key, "me")


@pytest.mark.parametrize("folder", [None, 7, "", "  "])
def test_a_folder_that_is_none_is_refused(folder: str) -> None:
    with pytest.raises(BadInput, match="lock_files_directory"):
        FileSystemLockManager(folder)


def test_equal_folders_are_equal_managers(tmp_path: Path) -> None:
    assert FileSystemLockManager(tmp_path) == FileSystemLockManager(str(tmp_path))
    assert len({FileSystemLockManager(tmp_path), FileSystemLockManager(tmp_path / "." / "x" / "..")}) == 1
    assert FileSystemLockManager(tmp_path) != 7
