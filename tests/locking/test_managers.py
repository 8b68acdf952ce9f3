"""What every lock manager keeps, wherever its locks lie."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from surefoot import State, flow, task
from surefoot.core.errors import BadInput, LockNotHeld
from surefoot.locking import FileSystemLockManager, LedgerLockManager, LockManager, MemoryLockManager
from surefoot.locking.protocol import LockManager as LockManagerByItsOtherName
from tests.locking.watching import until


@pytest.fixture(params=["memory", "files", "ledger"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> LockManager:
    if request.param == "memory":
        return MemoryLockManager()
    if request.param == "ledger":
        return LedgerLockManager()
    return FileSystemLockManager(tmp_path / "locks")


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"the key / of {request.node.name}"


def test_each_is_a_lock_manager(locks: LockManager) -> None:
    assert isinstance(locks, LockManager)
    assert LockManagerByItsOtherName is LockManager


def test_a_lock_is_had_by_one_holder_at_a_time(locks: LockManager, key: str) -> None:
    assert not locks.is_locked(key)
    assert locks.acquire_lock(key, holder="ann")
    assert locks.is_locked(key)
    assert locks.is_lock_holder(key, "ann")
    assert not locks.is_lock_holder(key, "ben")
    assert not locks.acquire_lock(key, holder="ben", acquire_timeout=0)
    assert not locks.acquire_lock(key, holder="ben", acquire_timeout=0.01)
    locks.release_lock(key, "ann")
    assert not locks.is_locked(key)
    assert locks.acquire_lock(key, holder="ben", acquire_timeout=0)
    locks.release_lock(key, "ben")


def test_who_holds_a_lock_gets_it_again_and_other_keys_are_other_locks(locks: LockManager, key: str) -> None:
    assert locks.acquire_lock(key, holder="ann")
    assert locks.acquire_lock(key, holder="ann")
    assert locks.acquire_lock(f"another {key}", holder="ben")
    locks.release_lock(key, "ann")
    assert not locks.is_locked(key)
    locks.release_lock(f"another {key}", "ben")


def test_the_holder_is_this_thread_if_nobody_says_otherwise(locks: LockManager, key: str) -> None:
    assert locks.acquire_lock(key)
    assert locks.is_lock_holder(key)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(locks.is_lock_holder, key).result()
        assert not pool.submit(locks.acquire_lock, key, acquire_timeout=0).result()
    locks.release_lock(key)


def test_each_asyncio_task_is_a_holder_of_its_own(locks: LockManager, key: str) -> None:
    running = []

    async def one() -> None:
        await locks.aacquire_lock(key)
        running.append(1)
        await asyncio.sleep(0)
        assert len(running) == 1
        running.pop()
        locks.release_lock(key)

    async def main() -> None:
        await asyncio.gather(*[one() for _ in range(10)])

    asyncio.run(main())


def test_what_is_not_held_cannot_be_given_back(locks: LockManager, key: str) -> None:
    with pytest.raises(LockNotHeld, match="not held on behalf of 'ann'"):
        locks.release_lock(key, "ann")
    locks.acquire_lock(key, "ben")
    with pytest.raises(ValueError, match="not held"):
        locks.release_lock(key, "ann")
    locks.release_lock(key, "ben")


def test_waiters_are_served_in_the_order_in_which_they_came(locks: LockManager, key: str) -> None:
    locks.acquire_lock(key, "first")
    served: list[int] = []

    def wait(number: int) -> None:
        assert locks.acquire_lock(key, holder=f"waiter {number}")
        served.append(number)
        locks.release_lock(key, f"waiter {number}")

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        until(partial(is_line, locks, key, 2 + number))
    locks.release_lock(key, "first")
    for thread in threads:
        thread.join()
    assert served == list(range(6))


def is_line(locks: LockManager, key: str, length: int) -> bool:
    return in_line(locks, key) == length


def in_line(locks: LockManager, key: str) -> int:
    return locks._change(key, lambda line, _: len(line.places))  # type: ignore[attr-defined, no-any-return]


def test_an_async_waiter_that_is_cancelled_leaves_the_line(locks: LockManager, key: str) -> None:
    async def main() -> None:
        await locks.aacquire_lock(key, "ann")
        waiter = asyncio.ensure_future(locks.aacquire_lock(key, "ben"))
        while in_line(locks, key) < 2:
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert in_line(locks, key) == 1
        locks.release_lock(key, "ann")
        assert not locks.is_locked(key)

    asyncio.run(main())


def test_a_thread_wakes_an_event_loop_that_waits(locks: LockManager, key: str) -> None:
    locks.acquire_lock(key, "ann")

    async def main() -> bool:
        release = asyncio.get_running_loop().run_in_executor(None, release_when_it_waits)
        got = await locks.aacquire_lock(key, "ben", acquire_timeout=60)
        await release
        locks.release_lock(key, "ben")
        return got

    def release_when_it_waits() -> None:
        until(partial(is_line, locks, key, 2))
        locks.release_lock(key, "ann")

    assert asyncio.run(main())


def test_a_lock_ends_by_itself_after_its_hold_timeout(locks: LockManager, key: str) -> None:
    assert locks.acquire_lock(key, "ann", hold_timeout=0.02)
    assert locks.acquire_lock(key, "ben", acquire_timeout=60)
    with pytest.raises(LockNotHeld):
        locks.release_lock(key, "ann")
    locks.release_lock(key, "ben")


def test_waiting_for_a_lock_ends_when_it_is_released_and_takes_nothing(locks: LockManager, key: str) -> None:
    assert locks.wait_for_lock(key)
    locks.acquire_lock(key, "ann")
    assert not locks.wait_for_lock(key, timeout=0)
    assert not locks.wait_for_lock(key, timeout=0.01)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(locks.wait_for_lock, key)
        until(lambda: in_line(locks, key) == 2)
        locks.release_lock(key, "ann")
        assert waits.result()
    assert asyncio.run(locks.await_for_lock(key))
    assert not locks.is_locked(key)


@pytest.mark.parametrize("seconds", [-1, "soon", True, float("nan")])
def test_a_time_that_is_none_is_refused(locks: LockManager, key: str, seconds: float) -> None:
    with pytest.raises(BadInput, match="acquire_timeout"):
        locks.acquire_lock(key, acquire_timeout=seconds)
    with pytest.raises(BadInput, match="hold_timeout"):
        locks.acquire_lock(key, hold_timeout=seconds)
    assert not locks.is_locked(key)


def test_a_key_or_holder_that_is_no_text_is_refused(locks: LockManager, key: str) -> None:
    with pytest.raises(BadInput, match="key of a lock is None"):
        locks.acquire_lock(None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="holder of a lock is 7"):
        locks.acquire_lock(key, holder=7)  # type: ignore[arg-type]


@pytest.mark.parametrize("submitted", [True, False], ids=["in a thread", "here"])
def test_a_task_that_runs_out_of_time_leaves_the_line(locks: LockManager, key: str, submitted: bool) -> None:
    locks.acquire_lock(key, "ann")

    @task(timeout_seconds=0.05)
    def waits() -> None:
        locks.acquire_lock(key, "ben")

    @flow
    def main() -> State:
        return waits.submit(return_state=True) if submitted else waits(return_state=True)

    assert main(return_state=True).name == "TimedOut"
    assert in_line(locks, key) == 1
    locks.release_lock(key, "ann")


def test_managers_go_to_other_processes(locks: LockManager) -> None:
    assert pickle.loads(pickle.dumps(locks)) == locks


def test_there_is_one_memory() -> None:
    assert MemoryLockManager() is MemoryLockManager()
