"""Cached tasks wherever they run: pools, processes, event loops, resumed runs; one maker at a time; damaged records."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.cache_policies import DEFAULT, INPUTS, CachePolicy
from surefoot.client import get_client
from surefoot.core.ids import to_text
from surefoot.exceptions import CacheUnavailable, ConfigurationError, WouldDeadlock
from surefoot.locking.filesystem import FileSystemLockManager
from surefoot.locking.memory import MemoryLockManager
from surefoot.results import load_result
from surefoot.settings import temporary_settings
from surefoot.task_runners import ProcessPoolTaskRunner
from surefoot.transactions import IsolationLevel
from tests.engine.concurrency import on, until
from tests.recorded import record

ALONE = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=MemoryLockManager())


@task(cache_policy=INPUTS)
def pid(x: int) -> int:
    return os.getpid()


# -- wherever it runs


def test_submitted_and_mapped_tasks_are_cached() -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS)
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    @on(2)
    def f() -> Any:
        first = double.submit(1)
        return first.result(), double.submit(1).result(), double.map([1, 2, 1], wait_for=[first]).result()

    assert f() == (2, 2, [2, 4, 2])
    assert sorted(calls) == [1, 2]


def test_asynchronous_tasks_are_cached() -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS)
    async def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    @flow
    async def f() -> Any:
        return await double(1), await double(1), await double.submit(1)

    assert asyncio.run(f()) == (2, 2, 2)
    assert calls == [1]


def test_a_hit_takes_no_process() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def f() -> list[int]:
        return [pid.submit(1).result(), pid.submit(1).result(), pid.submit(2).result()]

    one, other, _ = f()
    assert one == other != os.getpid()
    assert pid(1) == one


def test_a_result_that_is_passed_on_counts_as_what_it_is() -> None:
    calls: list[int] = []

    @task
    def give(x: int) -> list[int]:
        return [x]

    @task(cache_policy=INPUTS)
    def total(rows: list[int]) -> int:
        calls.append(sum(rows))
        return sum(rows)

    @flow
    def f() -> list[int]:
        return [total.submit(give.submit(1)).result(), total(give(1)), total([1])]

    assert f() == [1, 1, 1]
    assert calls == [1]


def test_a_run_that_goes_on_takes_over_what_it_took_from_the_cache(home: Path) -> None:
    calls: list[str] = []

    @task(cache_policy=INPUTS)
    def load(x: int) -> list[int]:
        calls.append("load")
        return [x]

    @task
    def check(rows: list[int]) -> None:
        calls.append("check")

    @task
    def save() -> None:
        if calls.count("check") < 3:
            calls.append("save")
            raise OSError("full")

    @flow
    def main() -> None:
        check(load(1))
        save()

    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            main()
    assert calls == ["load", "check", "save", "check", "save"]
    calls.append("check")
    with closing(get_client()) as client:
        newest = client.flow_runs().results[0]
    main.retry(newest.id)
    assert calls == ["load", "check", "save", "check", "save", "check"]
    with closing(get_client()) as client:
        why = client.why(newest.id)
        taken = {run.task_name: client.why(run.id).summary for run in client.task_runs().results if run.epoch}
    assert "in epoch 1 2 task runs had completed already and were not called again" in why.causes
    assert "was not called again: it had completed in epoch 0" in taken["load"]


def test_why_and_results_tell_where_a_cached_value_is_from(home: Path) -> None:
    @task(cache_policy=INPUTS)
    def load(x: int) -> list[int]:
        return [x]

    load(1)
    load(1)
    with closing(get_client()) as client:
        hit, miss = client.task_runs().results
        explained = client.why(hit.id)
        assert explained.summary.startswith(f"Task run {hit.name} took its result from the cache: under the key '")
        assert f"task 'load' stored it in the run {miss.id} at " in explained.summary
        (cause,) = [cause for cause in client.why(miss.id).causes if "cache" in cause]
        assert cause.startswith("it was not in the cache: the key '")
        assert cause.endswith("': nothing is stored under it")
        found = client.find_result(hit.id)
    assert found.stored_by == miss.id
    assert load_result(found) == [1]


def test_an_input_that_is_changed_in_place_is_stored_under_what_it_was() -> None:
    @task(cache_policy=INPUTS)
    def drain(rows: list[int]) -> int:
        count = len(rows)
        rows.clear()
        return count

    rows = [1, 2, 3]
    assert [drain(rows), rows, drain([1, 2, 3]), drain([])] == [3, [], 3, 0]


def test_a_failure_is_not_stored() -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS, retries=1)
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) < 4:
            raise OSError("down")
        return x

    with pytest.raises(OSError, match="down"):
        flaky(1)
    assert flaky(1) == flaky(1) == 1
    assert len(calls) == 4


def test_a_program_without_caches_loads_nothing_of_them(home: Path) -> None:
    code = (
        "import sys; from surefoot import flow, task; f = flow(lambda: task(lambda: 1)()); f(); "
        "print([name for name in sys.modules if 'cach' in name and name.startswith('surefoot')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- one maker at a time


def test_of_many_at_once_one_is_called_and_the_others_wait_for_it(home: Path) -> None:
    calls: list[int] = []
    gate = threading.Event()

    @task(cache_policy=ALONE)
    def slow(x: int) -> int:
        calls.append(x)
        gate.wait(30)
        return x

    @on(4)
    def f() -> list[int]:
        futures = slow.map([7] * 8)
        until(lambda: calls)
        gate.set()
        return futures.result()

    assert f() == [7] * 8
    assert calls == [7]
    found = record(home)
    assert sorted(run.last.state_name for run in found.task_runs) == ["Cached"] * 7 + ["Completed"]
    waited = [run for run in found.task_runs if run.names[:2] == ["Pending", "Pending"]]
    assert waited
    (maker,) = [run for run in found.task_runs if run.last.state_name == "Completed"]
    told = f"the run {to_text(maker.created.run_id)} holds the lock of the cache key"
    assert all(told in str(run.entered[0].message) for run in waited)


def test_a_maker_that_waits_for_its_retry_is_not_held_up_by_those_that_wait_for_it() -> None:
    calls: list[int] = []

    @task(cache_policy=ALONE, retries=1, retry_delay_seconds=0.05)
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            raise OSError("down")
        return x

    @on(1)
    def f() -> list[int]:
        return flaky.map([1, 1, 1]).result()

    assert f() == [1, 1, 1]
    assert len(calls) == 2


def test_asynchronous_tasks_wait_without_holding_their_loop() -> None:
    calls: list[int] = []

    @task(cache_policy=ALONE)
    async def slow(x: int) -> int:
        calls.append(x)
        began.set()
        await gate.wait()
        return x

    began, gate = asyncio.Event(), asyncio.Event()

    @flow
    async def f() -> list[int]:
        running = [asyncio.ensure_future(slow(1)) for _ in range(5)]
        await began.wait()
        gate.set()
        return [*await asyncio.gather(*running), *[await it for it in slow.map([1, 1])]]

    assert asyncio.run(f()) == [1] * 7
    assert calls == [1]


def test_a_maker_that_fails_lets_the_next_one_try() -> None:
    calls: list[int] = []

    @task(cache_policy=ALONE)
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) < 3:
            raise OSError("down")
        return x

    ends: list[str] = []

    @on(3)
    def f() -> None:
        ends.extend(state.name for state in flaky.map([1] * 5, return_state=True))

    f()
    assert sorted(ends) == ["Cached", "Cached", "Completed", "Failed", "Failed"]


def test_a_run_that_would_wait_for_its_own_caller_is_refused() -> None:
    @task(cache_policy=ALONE)
    def again(x: int) -> int:
        deeper: int = again(x)
        return deeper

    with pytest.raises(WouldDeadlock, match=r"which 'again-.*' holds, the run that called it"):
        again(1)


def test_serializable_without_a_lock_manager_is_refused_where_the_decorator_stands() -> None:
    policy = DEFAULT.configure(isolation_level=IsolationLevel.SERIALIZABLE)
    with pytest.raises(ConfigurationError, match="isolation level SERIALIZABLE, and no lock manager"):
        task(cache_policy=policy)(len)


def program(folder: Path, *gate: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.caching_program", str(folder), *map(str, gate)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_two_processes_the_second_waits_and_takes_what_the_first_made(home: Path, tmp_path: Path) -> None:
    (gate := tmp_path / "gate").touch()
    with program(tmp_path, gate) as first:
        assert line_of(first) == "computing"
        with program(tmp_path) as second:
            locks = FileSystemLockManager(tmp_path / "locks")
            until(lambda: is_waiting(home))
            assert locks.is_locked("shared")
            gate.unlink()
            assert (line_of(first), line_of(second)) == ("Completed", "Cached")


def is_waiting(home: Path) -> bool:
    with closing(get_client()) as client:
        return any("holds the lock of the cache key" in (run.reason or "") for run in client.task_runs().results)


def test_a_process_that_dies_as_it_makes_a_value_holds_nobody_up(home: Path, tmp_path: Path) -> None:
    (gate := tmp_path / "gate").touch()
    with program(tmp_path, gate) as first:
        assert line_of(first) == "computing"
        with program(tmp_path) as second:
            until(lambda: is_waiting(home))
            first.kill()
            first.wait()
            assert (line_of(second), line_of(second)) == ("computing", "Completed")


# -- what the cache has is damaged, or of another version


def _stored(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half of it": lambda raw: raw[: len(raw) // 2],
    "nothing": lambda raw: b"",
    "another value": lambda raw: raw[:-1] + b"9",
    "no record": lambda raw: b"[]\n" + raw,
    "a newer format": lambda raw: raw.replace(b'"surefoot_result":1', b'"surefoot_result":99'),
    "an unknown serializer": lambda raw: raw.replace(b'{"type":"json"}', b'{"type":"avro"}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_cannot_be_used_is_made_anew_with_a_warning(damage: str, home: Path) -> None:
    calls: list[int] = []

    @task(cache_policy=INPUTS, result_serializer="json")
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    double(1)
    path = _stored(home / "storage")
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert double(1) == 2
    assert double(1) == 2
    assert len(calls) == 2
    (line,) = record(home).messages(level=30)
    assert "its cache cannot be used, so it is called: the key '" in line
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    refused = pytest.raises(CacheUnavailable, match="What the cache of task 'double' has cannot be used: The result")
    with temporary_settings({"results.on_damaged_cache": "fail"}), refused:
        double(1)
    assert len(calls) == 2


def test_another_keys_record_at_the_place_is_no_hit(home: Path) -> None:
    keys = iter(["one", "other"])

    @task(cache_key_fn=lambda context, parameters: next(keys))
    def give(x: int) -> int:
        return x

    give(1)
    path = _stored(home / "storage")
    path.rename(path.with_name("other"))
    assert give(2) == 2
    last = record(home).task_runs[-1]
    assert "was not stored for other runs to take, or under another key" in str(last.entered[0].message)


def test_keys_that_are_no_names_of_files_work(home: Path) -> None:
    calls: list[str] = []
    wanted = ["../up", "/root", "a:b", "x" * 3000, "eu/2026", "ü ñ", ".hidden", "a\0b", "CON.", "K", "k", "\ud800"]

    @task(cache_key_fn=lambda context, parameters: parameters["key"])
    def give(key: str) -> str:
        calls.append(key)
        return key

    for key in wanted * 2:
        assert give(key) == key
    assert calls == wanted
    assert (home / "storage" / "eu" / "2026").exists()
    assert all(home / "storage" in path.parents for path in home.rglob("key-*"))


def test_the_record_of_a_key_can_be_read_by_people(home: Path) -> None:
    policy = CachePolicy.from_cache_key_fn(lambda context, parameters: "today")

    @task(cache_policy=policy, result_serializer="json")
    def give() -> int:
        return 7

    give()
    head, value = (home / "storage" / "today").read_bytes().split(b"\n")
    assert json.loads(head)["cache_key"] == "today"
    assert value == b"7"
