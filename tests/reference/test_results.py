"""Chapters 5.1 and 5.2 of the reference: where results are stored, and how they become bytes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.wire import RunResult
from surefoot.exceptions import BadInput, MissingResult, ResultNotStored
from surefoot.results import (
    ResultStore,
    get_result_store,
    load_result,
    resolve_serializer,
    should_persist_result,
)
from surefoot.serializers import CompressedSerializer, JSONSerializer, PickleSerializer, Serializer
from surefoot.settings import temporary_settings
from tests.reference.rows import at, row


def results() -> dict[str, RunResult]:
    """What the newest flow run left, by the names of its tasks."""
    client = get_client()
    try:
        return {it.name: it for it in client.results(client.flow_runs().results[0].id).results}
    finally:
        client.close()


@task
def plain(value: int = 1) -> int:
    return value


@row("5.01")
def test_nothing_is_stored_unless_it_is_asked_for_and_yet_it_is_there_for_a_retry(row: str, home: Path) -> None:
    @flow
    def nightly() -> None:
        assert not should_persist_result()
        plain()

    nightly()
    assert not (home / "storage").exists()
    assert load_result(results()["plain"]) == 1  # kept, not stored


@pytest.mark.parametrize(
    ("of_flow", "of_task", "settings", "stored"),
    [
        at("5.02", {}, {"persist_result": True}, {}, True),
        at("5.02 flow", {"persist_result": True}, {}, {}, True),
        at("5.02 any option", {}, {"result_serializer": "json"}, {}, True),
        at("5.02 setting", {}, {}, {"results.persist_by_default": True}, True),
        at("5.02 tasks", {}, {}, {"tasks.default_persist_result": True}, True),
        at("5.03", {"persist_result": True}, {"persist_result": False}, {}, False),
        at("5.03 tasks before flow", {"persist_result": True}, {}, {"tasks.default_persist_result": False}, False),
        at("5.03 flow before setting", {"persist_result": False}, {}, {"results.persist_by_default": True}, False),
        at("5.03 task first", {}, {"persist_result": True}, {"tasks.default_persist_result": False}, True),
    ],
)
def test_what_is_nearest_to_the_run_decides(
    of_flow: dict[str, Any], of_task: dict[str, Any], settings: dict[str, Any], stored: bool
) -> None:
    one = task(**of_task)(lambda: should_persist_result())
    nightly = flow(name="nightly", **of_flow)(lambda: one())
    with temporary_settings(settings):
        assert nightly() is stored


@row("5.04")
def test_without_a_place_it_is_the_folder_of_the_settings_and_no_key_leads_out_of_it(row: str, home: Path) -> None:
    store = ResultStore()
    assert store.storage == str(home / "storage")
    for key in ("../x", "/x", "a/../../x", "", "a//b", " a"):
        with pytest.raises(ValueError, match="is no name of a file within"):
            store.read(key)


class Block:
    """What other engines call a block: two methods."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read_path(self, path: str) -> bytes:
        return self.files[path]

    def write_path(self, path: str, content: bytes) -> None:
        self.files[path] = content


@row("5.05")
def test_a_storage_object_needs_read_path_and_write_path(row: str) -> None:
    block = Block()

    @task(result_storage=block, result_storage_key="here")
    def one() -> int:
        return 1

    one()
    assert list(block.files) == ["here"]
    assert ResultStore(block).read("here").result == 1
    with pytest.raises(BadInput, match="which is no place"):
        task(result_storage=object())(lambda: 1)


@row("5.06")
def test_a_stored_result_is_one_file_a_line_of_json_and_what_the_serializer_wrote(row: str, tmp_path: Path) -> None:
    @task(result_storage=tmp_path, result_serializer="json", result_storage_key="report")
    def report() -> dict[str, int]:
        return {"rows": 3}

    report()
    line, _, payload = (tmp_path / "report").read_bytes().partition(b"\n")
    record = json.loads(line)
    assert (record["key"], record["name"], record["serializer"]) == ("report", "report", {"type": "json"})
    assert json.loads(payload) == {"rows": 3}


@row("5.07")
def test_the_name_is_the_storage_key_or_the_runs_id(row: str, tmp_path: Path) -> None:
    @task(result_storage_key="{flow_run.name}/{task_run.name}/{parameters[value]}", task_run_name="t")
    def keyed(value: int) -> int:
        return value

    @flow(result_storage=tmp_path, flow_run_name="monday")
    def nightly() -> None:
        keyed(7)

    nightly()
    names = sorted(ResultStore(tmp_path).keys())
    assert names[-1] == "monday/t/7"
    assert len(names[0]) == 36  # of the flow's own result: its id


@row("5.08")
def test_exceptions_of_failed_runs_are_not_stored(row: str, tmp_path: Path) -> None:
    @task(result_storage=tmp_path / "out")
    def fails() -> None:
        raise ValueError("no")

    fails(return_state=True)
    assert list(ResultStore(tmp_path / "out").keys()) == []


@row("5.09")
def test_a_place_that_cannot_be_looked_at_is_no_place_without_a_result(row: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = ResultStore(tmp_path / "file" / "folder")
    assert not store.exists("x")
    with pytest.raises(MissingResult, match="it cannot be read"):
        store.read("x")


@row("5.10")
def test_a_store_reads_writes_lists_and_removes(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path, serializer="json")
    written = store.write([1, 2], "a/b")
    assert (written.result, written.metadata.key, store.exists("a/b")) == ([1, 2], "a/b", True)
    read = store.read("a/b")
    assert (read.result, read.metadata.serializer) == ([1, 2], {"type": "json"})
    assert list(store.keys()) == ["a/b"]
    assert len(store.write(3).metadata.key) == 36
    assert store.remove("a/b")
    with pytest.raises(MissingResult, match="it was removed"):
        store.read("a/b")


@row("5.10")
def test_a_store_is_awaited_by_names_of_its_own(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    async def main() -> tuple[bool, Any, bool]:
        await store.awrite([1, 2], "a")
        return await store.aexists("a"), (await store.aread("a")).result, await store.aexists("b")

    assert asyncio.run(main()) == (True, [1, 2], False)


@row("5.10")
def test_what_is_written_may_have_a_time_until_which_it_counts(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(1, "later", datetime(2199, 1, 1, tzinfo=UTC))
    store.write(1, "over", expiration=datetime(2020, 1, 1, tzinfo=UTC))
    assert store.read("later").result == 1
    with pytest.raises(MissingResult, match=r"it was stored until .*, which has passed"):
        store.read("over")
    with pytest.raises(BadInput, match=r"expiration of a stored result is .*Pass a datetime with a time zone"):
        store.write(1, "x", datetime(2199, 1, 1))  # noqa: DTZ001


@row("5.10")
def test_a_key_that_is_no_text_is_refused_and_the_order_is_told(row: str, tmp_path: Path) -> None:
    store: Any = ResultStore(tmp_path)
    with pytest.raises(
        BadInput, match=r"The storage key 1 is of the type int, not a text\. .*store\.write\(VALUE, KEY\)"
    ):
        store.write("a", 1)
    with pytest.raises(BadInput, match="not a text"):
        store.read(None)
    with pytest.raises(MissingResult, match="it was never stored there, or it was removed"):
        store.read("nope")


@row("5.11")
def test_helpers_tell_what_counts_here(row: str, tmp_path: Path) -> None:
    @flow(result_storage=tmp_path, result_serializer="json")
    def nightly() -> tuple[bool, str, str]:
        store = get_result_store()
        return should_persist_result(), store.storage, store.serializer.type

    assert nightly() == (True, str(tmp_path), "json")
    assert isinstance(resolve_serializer("json"), JSONSerializer)
    assert resolve_serializer(PickleSerializer) == PickleSerializer()
    with pytest.raises(BadInput, match="3"):
        resolve_serializer(3)  # type: ignore[arg-type]


@row("5.13")
def test_stored_results_stay_unless_a_time_was_given(row: str, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(1, "good")
    assert store.remove_expired() == []
    assert list(store.keys()) == ["good"]


VALUES: list[Any] = [None, True, 3, 2.5, "text", [1, [2]], {"a": {"b": 1}}]


@pytest.mark.parametrize(
    "serializer",
    [
        at("5.20", PickleSerializer()),
        at("5.20 library", PickleSerializer(picklelib="pickle")),
        at("5.21", JSONSerializer()),
        at("5.21 options", JSONSerializer(dumps_kwargs={"indent": 1})),
        at("5.22", resolve_serializer("compressed/pickle")),
        at("5.22 json", resolve_serializer("compressed/json")),
        at("5.22 library", CompressedSerializer("json", compressionlib="bz2")),
    ],
)
def test_what_a_serializer_wrote_it_reads(serializer: Serializer) -> None:
    for value in VALUES:
        assert serializer.loads(serializer.dumps(value)) == value


@pytest.mark.parametrize(
    ("make", "told"),
    [
        at("5.20", lambda: PickleSerializer(picklelib="json_not_there"), "json_not_there"),
        at("5.20 library", lambda: PickleSerializer(picklelib="math"), "dumps"),
        at("5.21", lambda: JSONSerializer(dumps_kwargs={"default": str}), "default"),
        at("5.21 loads", lambda: JSONSerializer(loads_kwargs={"object_hook": dict}), "object_hook"),
        at("5.22", lambda: CompressedSerializer("json", compressionlib="math"), "compress"),
        at("5.23", lambda: resolve_serializer("jsn"), "Did you mean 'json'"),
    ],
)
def test_a_serializer_that_cannot_be_is_refused_by_name(make: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        make()


@row("5.21")
def test_json_knows_more_than_json(row: str) -> None:
    value = {"at": datetime(2026, 3, 29, tzinfo=UTC), "path": Path("a"), "error": ValueError("no"), "set": {1}}
    read = JSONSerializer().loads(JSONSerializer().dumps(value))
    assert (read["at"], read["path"], str(read["error"]), read["set"]) == (value["at"], Path("a"), "no", {1})


class Reversed(Serializer):
    type = "reversed"

    def dumps(self, obj: Any) -> bytes:
        return str(obj)[::-1].encode()

    def loads(self, blob: bytes) -> Any:
        return blob.decode()[::-1]


@row("5.23")
def test_a_serializer_of_ones_own_is_found_by_its_type(row: str, tmp_path: Path) -> None:
    @task(result_serializer="reversed", result_storage=tmp_path, result_storage_key="r")
    def one() -> str:
        return "abc"

    one()
    assert (tmp_path / "r").read_bytes().endswith(b"\ncba")
    assert ResultStore(tmp_path).read("r").result == "abc"


@row("5.23")
def test_a_serializer_that_is_not_known_where_a_result_is_read_says_so(row: str, tmp_path: Path) -> None:
    ResultStore(tmp_path, "json").write(1, "one")
    file = tmp_path / "one"
    file.write_bytes(file.read_bytes().replace(b'"type":"json"', b'"type":"nosj"'))
    with pytest.raises(MissingResult, match="nosj"):
        ResultStore(tmp_path).read("one")


@row("5.12")
def test_a_result_that_cannot_be_stored_fails_its_run_or_not_as_a_setting_says(row: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    @task(result_storage=tmp_path / "file" / "folder")
    def one() -> int:
        return 1

    with pytest.raises(ResultNotStored):
        one()
    with temporary_settings({"results.on_store_error": "continue"}):
        assert one() == 1
