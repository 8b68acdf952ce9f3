"""Chapter 4 of the reference: transactions, isolation, idempotency; and row 2.23."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.exceptions import ConfigurationError
from surefoot.locking.memory import MemoryLockManager
from surefoot.results import ResultStore
from surefoot.task_runners import ProcessPoolTaskRunner
from surefoot.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)
from tests.reference.rows import row


def noting(log: list[str], what: str) -> Callable[[Transaction], None]:
    return lambda txn: log.append(what)


@row("2.23", "4.08", "A:on_rollback as an argument of @task, mended")
def test_hooks_are_arguments_and_decorators(row: str) -> None:
    log: list[str] = []

    @task(on_commit=[noting(log, "commit")], on_rollback=[noting(log, "rollback")])
    def one() -> None: ...

    @task
    def two() -> None: ...

    two.on_commit(noting(log, "commit too"))
    two.on_rollback(noting(log, "rollback too"))

    def both() -> None:
        one()
        two()

    with transaction():
        both()
    with pytest.raises(RuntimeError), transaction():  # noqa: PT012
        both()
        raise RuntimeError
    assert log == ["commit", "commit too", "rollback too", "rollback"]
    with pytest.raises(TypeError, match="on_rollback"):
        task(on_rollback=7)(len)  # type: ignore[call-overload]


@row("4.01")
def test_arguments_defaults_and_life(row: str) -> None:
    given = inspect.signature(transaction).parameters
    assert {name: it.default for name, it in given.items()} == {
        "key": None,
        "store": None,
        "commit_mode": None,
        "isolation_level": None,
        "overwrite": False,
        "write_on_commit": True,
        "logger": None,
    }
    txn = transaction()
    assert txn.is_pending()
    with txn as entered:
        assert entered is txn
        assert txn.is_active()
        txn.stage(1)
        assert txn.is_staged()
    assert txn.is_committed()
    with pytest.raises(RuntimeError, match="entered again"), txn:
        pass


@row("4.02")
def test_the_asynchronous_twin(row: str) -> None:
    threads: list[int] = []

    async def main() -> None:
        async with atransaction() as txn:
            txn.stage(1, on_commit_hooks=[lambda txn: threads.append(threading.get_ident())])

    asyncio.run(main())
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
    assert inspect.signature(atransaction).parameters == inspect.signature(transaction).parameters
    with pytest.raises(RuntimeError, match="async with"), atransaction():
        pass


@row("4.03")
def test_every_task_run_is_a_transaction_with_its_cache_key(row: str, home: Path) -> None:
    seen: list[Any] = []

    @task(cache_key_fn=lambda context, parameters: f"double-{parameters['number']}")
    def double(number: int) -> int:
        txn = get_transaction()
        assert txn is not None
        seen.append((txn.key, txn.get_parent()))
        return 2 * number

    @flow
    def main() -> None:
        double(2)
        with transaction() as around:
            double(3)
            seen.append(around)

    main()
    assert seen[0] == ("double-2", None)
    assert seen[1] == ("double-3", seen[2])


@row("4.04")
def test_commit_modes(row: str) -> None:
    def state(mode: CommitMode | None, within: CommitMode | None = None) -> tuple[str, str]:
        with transaction(commit_mode=mode) as outer:
            with transaction(commit_mode=within) as inner:
                pass
            at_its_end = inner.state.value
        return at_its_end, outer.state.value

    assert state(None) == ("STAGED", "COMMITTED")
    assert state(CommitMode.EAGER) == ("COMMITTED", "COMMITTED")
    assert state(CommitMode.LAZY, CommitMode.EAGER) == ("COMMITTED", "COMMITTED")
    assert state(CommitMode.LAZY, CommitMode.OFF) == ("STAGED", "COMMITTED")
    assert state(CommitMode.OFF) == ("STAGED", "ROLLED_BACK")


@row("4.05", "4.06")
def test_the_order_of_commit_and_rollback(row: str) -> None:
    log: list[str] = []

    def block(fails: bool) -> None:
        with transaction() as outer:
            outer.on_commit_hooks.append(noting(log, "outer"))
            outer.on_rollback_hooks += [noting(log, "undo outer 1"), noting(log, "undo outer 2")]
            for name in ("a", "b"):
                with transaction() as inner:
                    inner.stage(name, [noting(log, f"undo {name}")], [noting(log, name)])
            if fails:
                raise RuntimeError

    block(fails=False)
    with pytest.raises(RuntimeError):
        block(fails=True)
    assert log == ["a", "b", "outer", "undo outer 2", "undo outer 1", "undo b", "undo a"]


@row("4.06")
def test_a_failing_rollback_hook_stops_no_other_and_a_failed_child_rolls_back_its_parent(row: str) -> None:
    log: list[str] = []

    def fails(txn: Transaction) -> None:
        log.append("fails")
        raise OSError

    with transaction() as outer:
        outer.stage(1, on_rollback_hooks=[noting(log, "first"), fails, noting(log, "last")])
        with pytest.raises(RuntimeError), transaction():
            raise RuntimeError
    assert outer.is_rolled_back()
    assert log == ["last", "fails", "first"]


@row("4.07")
def test_a_failed_commit_is_raised(row: str, tmp_path: Path) -> None:
    def fails(txn: Transaction) -> None:
        raise OSError("the disk is full")

    txn = transaction("k", ResultStore(tmp_path))
    with pytest.raises(OSError, match="disk is full"), txn:
        txn.stage(1, on_commit_hooks=[fails])
    assert txn.is_rolled_back()
    with pytest.raises(TypeError), transaction("k", ResultStore(tmp_path)) as txn:
        txn.stage(threading.Lock())
    assert not list(tmp_path.iterdir())


@row("4.08")
def test_the_run_of_a_task_tells_that_it_was_rolled_back(row: str) -> None:
    @task
    def write() -> None: ...

    @flow
    def main() -> None:
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            future = write.submit()
            future.wait()
            raise RuntimeError("no")
        assert future.state.name == "RolledBack"
        assert future.state.is_completed()

    main()


@row("4.09")
def test_results_are_stored_at_the_outer_commit(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    @task(result_storage=tmp_path, result_storage_key="value")
    def value() -> int:
        return 1

    with transaction():
        with transaction():
            value()
        assert not store.exists("value")
    assert store.read("value").result == 1


@row("4.10", "4.11", "4.12")
def test_a_committed_key_is_seen_and_nothing_is_skipped(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    seen = []
    for overwrite in (False, False, True):
        with transaction("k", store, overwrite=overwrite) as txn:
            seen.append(txn.is_committed())
            txn.stage(len(seen))
    assert seen == [False, True, False]
    assert store.read("k").result == 3
    store.remove("k")
    with transaction("k", store) as txn:
        assert not txn.is_committed()


@row("4.13", "A:txn.get of a name that was not set")
def test_values(row: str) -> None:
    with transaction() as outer:
        outer.set("list", [1])
        with transaction() as inner:
            inner.get("list").append(2)
            assert inner.get("list") == [1]
            assert inner.get("other", None) is None
            with pytest.raises(ValueError, match="no value 'other'"):
                inner.get("other")
        with pytest.raises(TypeError, match="cannot be copied"):
            outer.set("lock", threading.Lock())


@row("4.14")
def test_staging_by_hand(row: str, tmp_path: Path) -> None:
    log: list[str] = []
    store = ResultStore(tmp_path)
    with transaction("k", store) as txn:
        txn.stage("value", on_rollback_hooks=[noting(log, "undo")], on_commit_hooks=[noting(log, "commit")])
        assert txn.state is TransactionState.STAGED
        assert not store.exists("k")
    assert log == ["commit"]
    assert store.read("k").result == "value"


@row("4.15")
def test_the_innermost_transaction_or_none(row: str) -> None:
    assert get_transaction() is None
    with transaction() as outer:
        with transaction() as inner:
            assert get_transaction() is inner
            assert inner.get_parent() is outer
        assert get_transaction() is outer
    assert get_transaction() is None


@row("4.16")
def test_by_default_the_last_writer_wins(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with transaction("k", store, CommitMode.EAGER) as one:
        one.stage("one")
        with transaction("k", store) as two:
            two.stage("two")
    assert one.isolation_level is IsolationLevel.READ_COMMITTED
    assert store.read("k").result == "one"


@row("4.17")
def test_a_serializable_key_is_locked_to_the_end(row: str, tmp_path: Path) -> None:
    locks = MemoryLockManager()
    store = ResultStore(tmp_path, lock_manager=locks)
    turns: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with transaction("k", store, isolation_level="SERIALIZABLE") as txn:
            turns.append("second")
            assert txn.is_committed()

    with transaction("k", store, isolation_level=IsolationLevel.SERIALIZABLE) as txn:
        assert locks.is_locked("k")
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(60)
        turns.append("first")
        txn.stage(1)
    thread.join()
    assert turns == ["first", "second"]
    assert not locks.is_locked("k")
    with pytest.raises(RuntimeError), transaction("k", store, isolation_level="SERIALIZABLE"):
        raise RuntimeError
    assert not locks.is_locked("k")


@row("4.17", "A:transaction SERIALIZABLE without lock manager")
def test_serializable_without_a_lock_manager_is_refused_before_anything_runs(row: str, tmp_path: Path) -> None:
    for key, store in (("k", ResultStore(tmp_path)), ("k", None), (None, None)):
        with pytest.raises(ConfigurationError, match="needs a lock manager"):
            transaction(key, store, isolation_level=IsolationLevel.SERIALIZABLE)
        with pytest.raises(ConfigurationError, match="needs a lock manager"):
            atransaction(key, store, isolation_level="SERIALIZABLE")
    with pytest.raises(ConfigurationError, match="keeps no locks"):
        ResultStore(tmp_path, lock_manager=MemoryLockManager)  # type: ignore[arg-type]


@row("4.22")
def test_nobody_writes_what_another_has_locked(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path, lock_manager=MemoryLockManager())
    with transaction(row, store, isolation_level="SERIALIZABLE") as txn:
        assert store.is_locked(row)
        assert not store.is_lock_holder(row)
        with pytest.raises(RuntimeError, match="locked by somebody else"):
            store.write(1, row)
        txn.stage(2)
    assert store.read(row).result == 2
    store.write(3, row)


@task
def asks() -> bool:
    return get_transaction() is None


@row("4.23")
def test_a_transaction_is_of_one_process_and_covers_what_it_sent_to_others(row: str) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> None:
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            future = asks.submit()
            assert future.result()
            raise RuntimeError("no")
        assert future.state.name == "RolledBack"

    main()
