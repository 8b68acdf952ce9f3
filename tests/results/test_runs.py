"""Results of real runs: stored as decorators ask, found again by the run's name, and failing only where asked for."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.errors import MissingResult, ResultNotStored
from surefoot.core.wire import RunResult
from surefoot.results import ResultStore, get_result_store, load_result, should_persist_result
from surefoot.states import State


def results_of(flow_name: str) -> dict[str, RunResult]:
    client = get_client()
    try:
        (run,) = [run for run in client.flow_runs().results if run.flow_name == flow_name]
        return {result.name: result for result in client.results(run.id).results}
    finally:
        client.close()


def test_a_flow_stores_its_result_and_those_of_its_tasks(home: Path, tmp_path: Path) -> None:
    @task
    def plain(x: int) -> dict[str, int]:
        return {"x": x}

    @task(result_serializer="compressed/json", result_storage_key="{flow_run.name}/{parameters[x]}")
    def keyed(x: int) -> list[int]:
        return [x]

    @task(persist_result=False)
    def not_stored() -> int:
        return 7

    @flow(result_storage=tmp_path / "out", result_serializer="json", flow_run_name="monday")
    def nightly() -> str:
        plain(1)
        keyed.submit(2).result()
        not_stored()
        return "done"

    nightly()
    found = results_of("nightly")
    assert {name: it.serializer for name, it in found.items()} == {
        "nightly": "json",
        "plain": "json",
        "keyed": "compressed/json",
        "not_stored": "pickle",
    }
    assert {name: load_result(it) for name, it in found.items()} == {
        "nightly": "done",
        "plain": {"x": 1},
        "keyed": [2],
        "not_stored": 7,
    }
    assert found["not_stored"].place.startswith("results/")
    assert ResultStore(tmp_path / "out").read("monday/2").result == [2]
    record, value = (tmp_path / "out" / found["plain"].run_id).read_bytes().split(b"\n")
    assert json.loads(record)["name"] == "plain"
    assert json.loads(value) == {"x": 1}


def test_a_result_that_cannot_be_stored_as_asked_fails_its_run(home: Path) -> None:
    @task(persist_result=True, result_serializer="json")
    def bad() -> object:
        return object()

    @task
    def generous() -> Any:
        return threading.Lock()

    @flow
    def nightly() -> State:
        generous()
        state: State = bad(return_state=True)
        return state

    state = nightly(return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message is not None
    assert state.message.startswith("The result of 'bad' could not be stored: TypeError: JSON cannot hold a")
    with pytest.raises(ResultNotStored):
        state.result()
    client = get_client()
    try:
        with pytest.raises(MissingResult, match="was not kept: its result cannot be pickled: TypeError"):
            client.find_result(next(run.id for run in client.task_runs().results if run.task_name == "generous"))
    finally:
        client.close()


def test_a_task_outside_of_flows_stores_its_result_too(home: Path, tmp_path: Path) -> None:
    @task(result_storage=tmp_path, result_storage_key="alone")
    def alone() -> int:
        return 5

    assert alone() == 5
    assert ResultStore(tmp_path).read("alone").result == 5


def test_async_runs_store_theirs(home: Path, tmp_path: Path) -> None:
    @task(result_storage_key="n-{parameters[n]}")
    async def double(n: int) -> int:
        return 2 * n

    @flow(result_storage=tmp_path)
    async def doubling() -> list[int]:
        return list(await asyncio.gather(double(1), double(2)))

    assert asyncio.run(doubling()) == [2, 4]
    assert [ResultStore(tmp_path).read(f"n-{n}").result for n in (1, 2)] == [2, 4]


def test_code_can_ask_where_its_result_will_go(home: Path, tmp_path: Path) -> None:
    seen: list[tuple[bool, str, str]] = []

    def look() -> None:
        store = get_result_store()
        seen.append((should_persist_result(), store.storage, store.serializer.type))

    @task
    def inner() -> None:
        look()

    @flow(result_storage=tmp_path, result_serializer="json")
    def outer() -> None:
        look()
        inner()

    look()
    outer()
    assert seen == [(False, str(home / "storage"), "pickle"), *[(True, str(tmp_path), "json")] * 2]
