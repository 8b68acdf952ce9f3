"""Transactions as users write them: blocks and tasks, blocking and asynchronous, in every runner."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surefoot import State, flow, task
from surefoot.cache_policies import INPUTS
from surefoot.exceptions import BadInput, MissingResult, ResultNotStored
from surefoot.results import ResultStore
from surefoot.transactions import (
    CommitMode,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)
from tests.recorded import record

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


def noting(what: str) -> Callable[[Any], None]:
    def hook(_: Any) -> None:
        LOG.append(what)

    return hook


@task(on_commit=[noting("commit a")], on_rollback=[noting("undo a")])
def a(value: Any = "a") -> Any:
    return value


@task(on_commit=[noting("commit b")], on_rollback=[noting("undo b")])
def b(fails: bool = False) -> str:
    if fails:
        raise ValueError("b cannot")
    return "b"


def states(home: Path) -> dict[str, list[str]]:
    """The names of the states that each task's run went through, by the name of the task."""
    return {run.of: run.names for run in record(home).task_runs}


def fail_after(txn: Transaction) -> None:
    txn.stage(1)
    raise RuntimeError


def test_tasks_commit_together_when_the_block_ends(home: Path) -> None:
    @flow
    def main() -> list[str]:
        with transaction():
            first = a(return_state=True)
            assert first.is_completed()
            assert first.name == "Staged"
            b()
            assert LOG == []
        return list(LOG)

    assert main() == ["commit a", "commit b"]


def test_what_completed_is_rolled_back_backwards_when_something_fails(home: Path) -> None:
    kept: list[State] = []

    @flow
    def main() -> None:
        with transaction() as txn:
            txn.on_rollback_hooks.append(noting("undo the block"))
            kept.append(a(return_state=True))
            b()
            b(fails=True)

    with pytest.raises(ValueError, match="b cannot"):
        main()
    assert LOG == ["undo the block", "undo b", "undo a"]


def test_the_states_tell_what_became_of_each_run(home: Path) -> None:
    @flow
    def main(fails: bool) -> None:
        with transaction():
            a()
            b(fails)

    main(False)
    assert states(home) == {name: ["Pending", "Running", "Staged", "Completed"] for name in ("a", "b")}
    with pytest.raises(ValueError, match="b cannot"):
        main(True)
    assert states(home)["a"] == ["Pending", "Running", "Staged", "RolledBack"]
    assert states(home)["b"] == ["Pending", "Running", "Failed"]


def test_an_exception_of_the_block_itself_rolls_back_too() -> None:
    @flow
    def main() -> None:
        with transaction():
            a()
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        main()
    assert LOG == ["undo a"]


def test_a_failure_that_is_caught_within_rolls_back_all_the_same() -> None:
    @flow
    def main() -> TransactionState:
        with transaction() as txn:
            a()
            b(True, return_state=True)
            a()
        return txn.state

    assert main() is TransactionState.ROLLED_BACK
    assert LOG == ["undo a", "undo a"]


def test_a_failure_that_is_caught_outside_leaves_what_came_before_committed() -> None:
    @flow
    def main() -> None:
        with transaction():
            a()
        with pytest.raises(ValueError, match="b cannot"), transaction():  # noqa: PT012
            a()
            b(fails=True)

    main()
    assert LOG == ["commit a", "undo a"]


def test_a_task_without_a_transaction_around_it_commits_at_its_own_end() -> None:
    @flow
    def main() -> None:
        assert a(return_state=True).name == "Completed"
        assert LOG == ["commit a"]
        b(True, return_state=True)

    main()
    assert LOG == ["commit a"], "what failed was never staged, so nothing is undone"
    assert a() == "a"
    assert LOG == ["commit a", "commit a"], "also outside of flows"


def test_a_rollback_hook_that_fails_is_told_and_stops_no_other(home: Path) -> None:
    def breaks(_: Transaction) -> None:
        raise OSError("the disk is gone")

    @task(on_rollback=[noting("first"), breaks, noting("last")])
    def fragile() -> None: ...

    @flow
    def main() -> None:
        with transaction():
            a()
            fragile()
            b(fails=True)

    with pytest.raises(ValueError, match="b cannot"):
        main()
    assert LOG == ["last", "first", "undo a"]
    (told,) = [line for line in record(home).messages(logging.ERROR) if "rollback hook" in line]
    assert told.startswith("The rollback hook 'breaks' raised")
    assert "the disk is gone" in told


def test_a_commit_hook_that_fails_is_raised_after_everything_was_rolled_back() -> None:
    def breaks(_: Transaction) -> None:
        raise OSError("the mail server is gone")

    @task(on_commit=[breaks], on_rollback=[noting("undo fragile")])
    def fragile() -> None: ...

    @flow
    def main() -> None:
        with transaction():
            a()
            fragile()

    with pytest.raises(OSError, match="mail server"):
        main()
    assert LOG == ["commit a", "undo fragile", "undo a"]
    assert fragile(return_state=True).name == "Failed"


def test_a_record_that_cannot_be_written_is_raised_and_takes_back_those_that_were(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, "json")
    with pytest.raises(Exception, match="JSON"):  # noqa: PT012, SIM117
        with transaction(key="outer", store=store) as txn:
            with transaction(key="inner", store=store) as inner:
                inner.stage({"fine": True}, on_rollback_hooks=[noting("undo inner")])
            txn.stage(object(), on_rollback_hooks=[noting("undo outer")])
    assert LOG == ["undo outer", "undo inner"]
    assert not list(store.keys())


def test_what_was_staged_and_cannot_be_written_is_told_by_its_key(tmp_path: Path) -> None:
    told = (
        r"What was staged in the transaction 'daily', of the type lock, could not be stored: TypeError: cannot pickle "
        r".*lock.*Stage what it is made from, or pass store=ResultStore\(serializer=...\)"
    )
    with pytest.raises(TypeError, match=told) as caught, transaction("daily", ResultStore(tmp_path)) as txn:
        txn.stage(threading.Lock())
    assert isinstance(caught.value, ResultNotStored)
    told = "'daily', of the type object, could not be stored: TypeError: JSON cannot hold a builtins.object"
    with pytest.raises(ResultNotStored, match=told), transaction("daily", ResultStore(tmp_path, "json")) as txn:
        txn.stage(object())
    file = tmp_path / "file"
    file.touch()
    told = f"in the transaction 'daily' could not be stored: '{file}' is a file.* or pass another store"
    with pytest.raises(OSError, match=told), transaction("daily", ResultStore(file)) as txn:
        txn.stage(1)


def test_what_a_commit_that_fails_has_written_over_is_there_again(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, "json")
    store.write("before", "inner")
    with pytest.raises(Exception, match="JSON"):  # noqa: PT012, SIM117
        with transaction(key="outer", store=store) as txn:
            for value in ("first", "second"):
                with transaction(key="inner", store=store, overwrite=True) as inner:
                    inner.stage(value)
            txn.stage(object())
    assert list(store.keys()) == ["inner"]
    assert store.read("inner").result == "before"


@pytest.mark.parametrize("apart", [False, True])
def test_what_a_cache_had_is_there_again_when_a_commit_fails(apart: bool, home: Path, tmp_path: Path) -> None:
    policy = INPUTS.configure(key_storage=tmp_path / "keys") if apart else INPUTS
    called: list[int] = []

    @task(cache_policy=policy, result_storage=tmp_path / "values")
    def counts(number: int) -> int:
        called.append(number)
        return len(called)

    again = counts.with_options(refresh_cache=True)

    @task(persist_result=True, result_serializer="json")
    def gives_a_lock() -> Any:
        return threading.Lock()

    @flow
    def main() -> None:
        with transaction():
            again(1)
            gives_a_lock()

    assert (counts(1), called) == (1, [1])
    with pytest.raises(Exception, match="JSON"):
        main()
    assert called == [1, 1]
    assert (counts(1), called) == (1, [1, 1])  # from the cache, as it was


def test_a_key_makes_work_that_was_committed_known_to_later_runs(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    def run(overwrite: bool = False) -> bool:
        with transaction(key="load-monday", store=store, overwrite=overwrite) as txn:
            was_committed = txn.is_committed()
            if not was_committed:
                txn.stage({"rows": 3}, on_commit_hooks=[noting("committed")])
        assert txn.is_committed()
        return was_committed

    assert [run(), run(), run()] == [False, True, True]
    assert store.read("load-monday").result == {"rows": 3}
    assert not run(overwrite=True)
    assert LOG == ["committed", "committed"]
    store.remove("load-monday")
    assert not run()


def test_a_rolled_back_key_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    txn = transaction(key="k", store=store)
    with pytest.raises(RuntimeError), txn:
        fail_after(txn)
    assert not store.exists("k")
    with transaction(key="k", store=store, write_on_commit=False) as txn:
        txn.stage(1)
    assert txn.is_committed()
    assert not store.exists("k")


def test_results_that_are_stored_appear_at_the_outer_commit_only(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    @task(result_storage=tmp_path, result_storage_key="numbers")
    def numbers() -> list[int]:
        return [1, 2]

    @flow
    def main(fails: bool) -> None:
        with transaction():
            numbers()
            assert not store.exists("numbers")
            if fails:
                raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        main(fails=True)
    assert not store.exists("numbers")
    main(fails=False)
    assert store.read("numbers").result == [1, 2]


def test_values_are_kept_copied_and_found_from_within() -> None:
    seen: list[Any] = []

    @task(on_rollback=[lambda txn: seen.append(txn.get("path"))])
    def write() -> None:
        own = get_transaction()
        assert own is not None
        seen.append(own.get("path"))
        own.set("mine", 1)

    @flow
    def main() -> None:
        with transaction() as txn:
            paths = ["a"]
            txn.set("path", paths)
            paths.append("b")
            got = txn.get("path")
            got.append("c")
            write()
            assert txn.get("path") == ["a", "b"]
            assert txn.get("nothing", 7) == 7
            with pytest.raises(ValueError, match="no value 'mine'"):
                txn.get("mine")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        main()
    assert seen == [["a", "b"], ["a", "b"]]


def test_a_value_that_cannot_be_copied_is_refused_by_name() -> None:
    with transaction() as txn, pytest.raises(BadInput, match="'lock' of a transaction, a lock, cannot be copied"):
        txn.set("lock", threading.Lock())


def test_eager_commits_at_its_own_end_and_stays() -> None:
    @flow
    def main() -> None:
        with transaction():
            with transaction(commit_mode=CommitMode.EAGER) as inner:
                a()
            assert inner.is_committed()
            assert LOG == ["commit a"]
            b()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        main()
    assert LOG == ["commit a", "undo b"]


def test_off_commits_by_hand_only() -> None:
    with transaction(commit_mode="OFF") as txn:
        a()
    assert txn.is_rolled_back()
    with transaction(commit_mode=CommitMode.OFF) as txn:
        a()
        assert txn.commit()
        assert not txn.commit()
    assert txn.is_committed()
    assert LOG == ["undo a", "commit a"]


def test_a_rollback_by_hand_covers_what_comes_after_it_too() -> None:
    with transaction() as txn:
        a()
        assert txn.rollback()
        assert not txn.rollback()
        assert b(return_state=True).name == "RolledBack"
        with pytest.raises(RuntimeError, match="was rolled back"):
            txn.stage(1)
    assert LOG == ["undo a", "undo b"]


@pytest.mark.parametrize("way", ["submit", "map"])
def test_submitted_tasks_are_part_of_it_and_waited_for(way: str) -> None:
    @flow
    def main() -> TransactionState:
        with transaction() as txn:
            if way == "map":
                a.map([1, 2, 3])
            else:
                a.submit(b.submit())
        return txn.state

    assert main() is TransactionState.COMMITTED
    assert LOG.count("commit a") == (3 if way == "map" else 1)


def test_a_submitted_task_that_fails_rolls_back_the_others() -> None:
    @flow
    def main() -> TransactionState:
        with transaction() as txn:
            done = a.submit()
            done.wait()
            b.submit(fails=True)
        assert done.state.name == "RolledBack"
        return txn.state

    assert main() is TransactionState.ROLLED_BACK
    assert LOG == ["undo a"]


def test_tasks_in_tasks_are_part_of_the_outer_one() -> None:
    @task(on_commit=[noting("commit outer")], on_rollback=[noting("undo outer")])
    def outer(fails: bool) -> None:
        assert a(return_state=True).name == "Staged"
        if fails:
            raise RuntimeError("after all")

    outer(False)
    assert LOG == ["commit a", "commit outer"]
    LOG.clear()
    with pytest.raises(RuntimeError):
        outer(True)
    assert LOG == ["undo a"]


def test_what_a_failed_attempt_did_is_rolled_back_before_the_next() -> None:
    attempts: list[int] = []

    @task(retries=1, on_commit=[noting("commit tried")], on_rollback=[noting("undo tried")])
    def tried() -> None:
        attempts.append(1)
        a()
        txn = get_transaction()
        assert txn is not None
        txn.on_rollback_hooks.append(noting(f"undo attempt {len(attempts)}"))
        if len(attempts) == 1:
            raise ConnectionError

    @flow
    def main() -> None:
        with transaction():
            tried()

    main()
    assert LOG == ["undo attempt 1", "undo a", "commit a", "commit tried"]


def test_a_task_may_ask_for_its_own_transaction_without_any_around_it() -> None:
    @task
    def plain(fails: bool) -> None:
        txn = get_transaction()
        assert txn is not None
        assert txn is get_transaction()
        txn.stage(1, on_rollback_hooks=[noting("undo")], on_commit_hooks=[noting("commit")])
        if fails:
            raise RuntimeError

    assert get_transaction() is None
    plain(False)
    plain(True, return_state=True)
    assert LOG == ["commit", "undo"]


def test_a_flow_is_no_transaction() -> None:
    @flow
    def main() -> None:
        assert get_transaction() is None
        with transaction() as txn:
            assert get_transaction() is txn
        assert get_transaction() is None

    main()


def test_a_flow_within_is_covered_too() -> None:
    @flow
    def inner() -> None:
        a()

    with pytest.raises(RuntimeError), transaction():  # noqa: PT012
        inner()
        raise RuntimeError
    assert LOG == ["undo a"]


def test_hooks_may_be_decorators_and_log_for_their_run() -> None:
    from surefoot import get_run_logger

    @task
    def write() -> None: ...

    @write.on_commit
    def committed(txn: Transaction) -> None:
        get_run_logger().info("committed")
        LOG.append(txn.state.value)

    @write.on_rollback
    def undone(txn: Transaction) -> None:
        get_run_logger().info("undone")
        LOG.append(txn.state.value)

    @flow
    def main(fails: bool) -> None:
        with transaction():
            write()
            if fails:
                raise RuntimeError

    main(False)
    with pytest.raises(RuntimeError):
        main(True)
    assert LOG == ["STAGED", "ROLLED_BACK"]


def test_the_same_object_cannot_be_entered_again() -> None:
    txn = transaction()
    with txn, pytest.raises(RuntimeError, match="entered again"), txn:
        pass
    with pytest.raises(RuntimeError, match="entered again"), txn:
        pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"key": 7}, "key of a transaction is 7"),
        ({"key": " "}, "key of a transaction"),
        ({"store": "folder"}, "store of a transaction"),
        ({"commit_mode": "SOON"}, "CommitMode.LAZY"),
        ({"isolation_level": "FULL"}, "IsolationLevel.SERIALIZABLE"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        transaction(**options)
    with pytest.raises(BadInput, match=told):
        atransaction(**options)


def test_hooks_that_cannot_be_called_are_refused() -> None:
    with pytest.raises(TypeError, match="on_commit"):
        task(on_commit="mail")(len)  # type: ignore[arg-type]
    with transaction() as txn, pytest.raises(TypeError, match="cannot be called"):
        txn.stage(1, on_rollback_hooks=["mail"])  # type: ignore[list-item]


# -- asynchronous ------------------------------------------------------------------------------------------------------


@task(on_commit=[noting("commit c")], on_rollback=[noting("undo c")])
async def c(fails: bool = False) -> str:
    await asyncio.sleep(0)
    if fails:
        raise ValueError("c cannot")
    return "c"


def test_asynchronous_tasks_commit_and_roll_back_likewise() -> None:
    threads: list[int] = []

    async def awaited(_: Transaction) -> None:
        await asyncio.sleep(0)
        LOG.append("awaited")

    def blocking(_: Transaction) -> None:
        threads.append(threading.get_ident())
        LOG.append("blocking")

    @flow
    async def main(fails: bool) -> TransactionState:
        async with atransaction() as txn:
            txn.stage(1, [awaited, blocking], [awaited, blocking])
            state = await c(return_state=True)
            assert state.name == "Staged"
            await asyncio.gather(c(), c())
            a()
            await c(fails)
        return txn.state

    assert asyncio.run(main(False)) is TransactionState.COMMITTED
    assert LOG == ["commit c"] * 3 + ["commit a", "commit c", "awaited", "blocking"]
    assert threading.get_ident() not in threads, "what would hold up the loop has a thread"
    LOG.clear()
    with pytest.raises(ValueError, match="c cannot"):
        asyncio.run(main(True))
    assert ["blocking", "awaited", "undo a", *["undo c"] * 3] == LOG


def test_an_asynchronous_task_alone_commits_at_its_end() -> None:
    async def awaited(_: Transaction) -> None:
        LOG.append("awaited")

    @task(on_commit=[awaited])
    async def alone() -> None: ...

    @task(on_commit=[awaited])
    def blocking() -> None: ...

    @flow
    async def main() -> None:
        await alone()
        blocking()
        blocking.submit()
        alone.submit()

    asyncio.run(main())
    blocking()
    assert LOG == ["awaited"] * 5


def test_submitted_asynchronous_tasks_are_part_of_it() -> None:
    @flow
    async def main(fails: bool) -> None:
        async with atransaction():
            c.submit()
            futures = c.map([False, fails])
            for future in futures:
                await future

    asyncio.run(main(False))
    assert LOG == ["commit c"] * 3
    LOG.clear()
    with pytest.raises(ValueError, match="c cannot"):
        asyncio.run(main(True))
    assert LOG == ["undo c"] * 2


def test_an_asynchronous_one_is_not_for_with() -> None:
    with pytest.raises(RuntimeError, match="async with"), atransaction():
        pass

    async def main() -> None:
        async with atransaction(commit_mode="OFF") as txn:
            assert await txn.acommit()
        assert txn.is_committed()
        async with atransaction() as txn:
            assert await txn.arollback()
        assert txn.is_rolled_back()

    asyncio.run(main())


def test_a_cancelled_block_is_rolled_back() -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def block() -> None:
            async with atransaction() as txn:
                txn.stage(1, on_rollback_hooks=[noting("undo")])
                entered.set()
                await asyncio.Event().wait()

        running = asyncio.ensure_future(block())
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert LOG == ["undo"]


def test_a_result_that_was_rolled_back_is_no_result(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    txn = transaction(key="k", store=store)
    with pytest.raises(RuntimeError), txn:
        fail_after(txn)
    assert txn.read() is None
    with pytest.raises(MissingResult):
        store.read("k")
