"""Rows 1.11 to 1.14, 2.17, 2.18 and 2.20 of the reference: results stored, and taken out of memory."""

from __future__ import annotations

import gc
import json
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.exceptions import MissingResult, ResultNotStored
from surefoot.states import State
from tests.recorded import record
from tests.reference.rows import at, row

a_flow: Any = flow
a_task: Any = task


class Big(list[int]):
    """A list whose end can be seen."""


def value() -> dict[str, int]:
    return {"pages": 3}


def stored_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@row("1.11", "2.17")
def test_persist_result(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = a_flow if row == "1.11" else a_task
    folder = tmp_path / "stored"
    monkeypatch.setenv("SUREFOOT_RESULTS_LOCAL_STORAGE_PATH", str(folder))
    make(persist_result=False)(value)()
    make(value)()
    assert stored_in(folder) == []
    make(persist_result=True)(value)()
    assert len(stored_in(folder)) == 1
    with pytest.raises(ValueError, match=r"persist_result of .* is 'yes'"):
        make(persist_result="yes")(value)
    monkeypatch.setenv("SUREFOOT_RESULTS_PERSIST_BY_DEFAULT", "true")
    make(value)()
    assert len(stored_in(folder)) == 2


@row("1.11")
def test_tasks_store_as_their_flow_does(row: str, tmp_path: Path) -> None:
    folder = tmp_path / "stored"
    inner = a_task(value)
    a_flow(name="main", persist_result=True, result_storage=folder)(lambda: inner() and None)()
    assert len(stored_in(folder)) == 2


@row("1.12", "2.18")
def test_result_storage(row: str, tmp_path: Path) -> None:
    make = a_flow if row == "1.12" else a_task
    for given in (tmp_path / "as a path", str(tmp_path / "as a text")):
        make(result_storage=given)(value)()
        assert len(stored_in(Path(given))) == 1, "to say where is to ask for it"
    with pytest.raises((TypeError, ValueError), match="3"):
        make(result_storage=3)(value)


@row("1.13", "2.18")
def test_result_serializer(row: str, tmp_path: Path) -> None:
    make = a_flow if row == "1.13" else a_task
    make(result_storage=tmp_path / "json", result_serializer="json")(value)()
    (path,) = stored_in(tmp_path / "json")
    assert json.loads(path.read_bytes().partition(b"\n")[2]) == {"pages": 3}
    make(result_storage=tmp_path / "pickle")(value)()
    (path,) = stored_in(tmp_path / "pickle")
    assert pickle.loads(path.read_bytes().partition(b"\n")[2]) == {"pages": 3}
    with pytest.raises(ValueError, match="jsn"):
        make(result_serializer="jsn")(value)


@pytest.mark.parametrize(
    ("kind", "persist"), [at("1.14", "flow", True), at("2.20", "task", True), at("2.20", "task", False)]
)
def test_a_result_is_taken_out_of_memory_and_read_again(kind: str, persist: bool, home: Path) -> None:
    alive: list[weakref.ref[Big]] = []
    in_memory: list[bool] = []

    def make() -> Big:
        made = Big(range(10))
        alive.append(weakref.ref(made))
        return made

    options = {"cache_result_in_memory": False, "persist_result": persist}
    one = (a_flow if kind == "flow" else a_task)(name="make", **options)(make)

    @flow
    def whole() -> Any:
        state = one(return_state=True) if kind == "flow" else one.submit(return_state=True)
        gc.collect()
        in_memory.append(alive[0]() is not None)
        assert isinstance(state, State)
        assert state.result() == state.data == list(range(10))
        again = pickle.loads(pickle.dumps(state))
        assert again.result() == list(range(10))
        return a_task(len)(state)

    assert whole() == 10
    assert in_memory == [False]
    assert one() == list(range(10)), "a direct call gives it too"


@row("1.14", "2.20")
def test_a_result_that_is_nowhere_else_stays_in_memory(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = a_flow if row == "1.14" else a_task
    monkeypatch.setenv("SUREFOOT_RESULTS_KEEP_FOR_RESUMING", "false")
    assert make(cache_result_in_memory=False)(value)(return_state=True).result() == {"pages": 3}
    assert make(value).cache_result_in_memory is True


@row("1.14", "2.20")
def test_a_result_that_is_gone_is_told_as_missing(row: str, tmp_path: Path) -> None:
    make = a_flow if row == "1.14" else a_task
    state = make(cache_result_in_memory=False, result_storage=tmp_path / "stored")(value)(return_state=True)
    (path,) = stored_in(tmp_path / "stored")
    path.unlink()
    with pytest.raises(MissingResult):
        state.result()
    assert repr(state) == "Completed(type=COMPLETED)", "to look at it reads nothing"


@row("1.74")
def test_a_result_that_cannot_be_stored_as_asked_fails_its_run_or_not_as_the_setting_says(
    row: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = a_flow(name="main", result_storage=tmp_path / "stored")(lambda: threading.Lock())
    with pytest.raises(ResultNotStored):
        one()
    monkeypatch.setenv("SUREFOOT_RESULTS_ON_STORE_ERROR", "continue")
    assert one().acquire(blocking=False)
    assert [run.end[1] for run in record(home).flow_runs] == ["Failed", "Completed"]
