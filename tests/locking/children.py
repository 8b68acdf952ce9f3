"""What other processes do in tests of locks: `python children.py KIND PLACE VERB ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from surefoot.locking import FileSystemLockManager, LedgerLockManager, LockManager


def manager_of(kind: str, place: str) -> LockManager:
    return FileSystemLockManager(place) if kind == "files" else LedgerLockManager()


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def hold(locks: LockManager, key: str) -> None:
    """Take a lock, say so, and keep it for as long as the process lives."""
    locks.acquire_lock(key, holder=f"child {os.getpid()}")
    say("held")
    sys.stdin.read()


def count(locks: LockManager, key: str, file: str, times: str) -> None:
    """Add one to the number in a file, again and again, each time under the lock."""
    path = Path(file)
    for _ in range(int(times)):
        assert locks.acquire_lock(key)
        path.write_text(str(int(path.read_text()) + 1))
        locks.release_lock(key)
    say("done")


def wait(locks: LockManager, key: str, name: str, file: str) -> None:
    """Wait for the lock, write a name into a file, and give the lock back."""
    say("waiting")
    locks.acquire_lock(key, holder=name)
    with open(file, "a") as out:
        out.write(f"{name}\n")
    locks.release_lock(key, name)


VERBS: dict[str, Callable[..., None]] = {"hold": hold, "count": count, "wait": wait}

if __name__ == "__main__":
    kind, place, verb, *rest = sys.argv[1:]
    VERBS[verb](manager_of(kind, place), *rest)
