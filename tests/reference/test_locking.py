"""Rows 4.16 to 4.22 of the reference: isolation and locks."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from surefoot.locking.filesystem import FileSystemLockManager
from surefoot.locking.ledger import LedgerLockManager
from surefoot.locking.memory import MemoryLockManager
from surefoot.locking.protocol import LockManager
from tests.reference.rows import at, row


@row("4.18")
def test_the_memory_of_a_process_is_one(row: str) -> None:
    assert MemoryLockManager() is MemoryLockManager()
    assert MemoryLockManager().acquire_lock(row, "ann")
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(MemoryLockManager().acquire_lock(row, "ben", 0)))
    thread.start()
    thread.join()
    assert got == [False]
    assert not asyncio.run(MemoryLockManager().aacquire_lock(row, "ben", acquire_timeout=0))
    MemoryLockManager().release_lock(row, "ann")


@row("4.19")
def test_lock_files_tell_the_holder_and_when_it_ends(row: str, tmp_path: Path) -> None:
    locks = FileSystemLockManager(lock_files_directory=tmp_path / "locks")
    assert locks.acquire_lock("report", holder="ann", hold_timeout=600)
    (file,) = (tmp_path / "locks").glob("report-*.lock")
    assert '"holder":"ann"' in file.read_text()
    assert '"until_us":' in file.read_text()
    assert FileSystemLockManager(tmp_path / "locks").is_lock_holder("report", "ann")
    locks.release_lock("report", "ann")
    assert not file.exists()


MANAGERS = [at("4.21", "memory"), at("4.21", "files"), at("4.21", "ledger")]


@pytest.mark.parametrize("kind", MANAGERS)
def test_the_interface_is_whole(kind: str, tmp_path: Path) -> None:
    kinds = {"memory": MemoryLockManager, "files": lambda: FileSystemLockManager(tmp_path), "ledger": LedgerLockManager}
    locks = kinds[kind]()
    assert isinstance(locks, LockManager)
    assert locks.acquire_lock(key=kind, holder="ann", acquire_timeout=1, hold_timeout=60)
    assert locks.is_locked(kind)
    assert locks.is_lock_holder(kind, "ann")
    assert not locks.wait_for_lock(kind, timeout=0)
    locks.release_lock(kind, "ann")

    async def both() -> None:
        assert await locks.aacquire_lock(kind, "ann")
        assert not await locks.await_for_lock(kind, timeout=0)
        locks.release_lock(kind, "ann")
        assert await locks.await_for_lock(kind)

    asyncio.run(both())


@row("4.22")
def test_the_default_holder_is_machine_process_thread_and_task(row: str, tmp_path: Path) -> None:
    locks = FileSystemLockManager(tmp_path)
    locks.acquire_lock(row)
    (file,) = tmp_path.glob("*.lock")
    assert f":{os.getpid()}:{threading.get_ident()}" in file.read_text()

    async def as_a_task() -> bool:
        return locks.is_lock_holder(row)

    assert not asyncio.run(as_a_task())
    locks.release_lock(row)
