"""Objects: results stored as files, by key, whole or not at all; and what their damage looks like."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.core import settings as core_settings
from surefoot.core.errors import BadInput, MissingResult, ResultNotStored, TemplateError
from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id, to_text
from surefoot.results import ResultStore, load_result
from surefoot.results.asking import Asked, Persistence, asked
from surefoot.results.keeping import Keeper
from surefoot.results.loading import load
from surefoot.results.objects import object_path
from surefoot.results.persistence import keep_for
from surefoot.results.places import address_of
from surefoot.results.serializing import JSONSerializer, Serializer


def kept_for(asks: Asked, value: Any, *, keeper: Keeper | None = None, **more: Any) -> Any:
    settings = core_settings.refresh()
    in_force = asks.in_force(None, settings, is_task=True)
    return keep_for(asks, in_force, keeper, value, settings=settings, run_id=bytes(16), name="load", **more)


def test_a_result_that_is_to_be_stored_is_a_file_that_tells_how_to_read_it(home: Path, tmp_path: Path) -> None:
    at = kept_for(asked(None, tmp_path / "out", "json"), {"rows": [1, 2]}, source="s", epoch=2)
    assert at == ResultAt(str(tmp_path / "out" / to_text(bytes(16))), 0, 16, "json", "s", 2)
    first, second = Path(at.place).read_bytes().split(b"\n")
    record = json.loads(first)
    assert record["serializer"] == {"type": "json"}
    assert (record["run_id"], record["name"], record["length"]) == (to_text(bytes(16)), "load", 16)
    assert json.loads(second) == {"rows": [1, 2]}
    assert os.stat(at.place).st_mode & 0o777 == 0o600
    assert load(str(home), at) == load_result(at) == {"rows": [1, 2]}


def test_by_default_it_lies_in_the_home_pickled(home: Path) -> None:
    at = kept_for(asked(True, None, None), {1, 2})
    assert at.place == str(home / "storage" / to_text(bytes(16)))
    assert at.serializer == "pickle"
    assert load_result(at) == {1, 2}


def test_a_result_that_nobody_asked_to_store_is_kept_for_resuming(home: Path) -> None:
    keeper = Keeper(str(home), new_id(), new_id())
    at = kept_for(asked(None, None, None), 5, keeper=keeper)
    assert at.place.startswith("results/")
    assert load_result(at) == 5
    assert "cannot be pickled" in kept_for(asked(False, None, None), (x for x in "a"), keeper=keeper)
    assert kept_for(asked(None, None, None), 5) is None
    keeper.close()


def test_a_key_is_filled_in_from_parameters_and_runs(tmp_path: Path) -> None:
    asks = asked(None, tmp_path, "json", "{flow_run.name}/{parameters[day]}-{parameters[x]:03d}")
    fields = {"parameters": {"day": "mon", "x": 7}, "flow_run": type("Run", (), {"name": "brave-otter"})}
    at = kept_for(asks, 1, key_fields=lambda: fields)
    assert at.place == str(tmp_path / "brave-otter" / "mon-007")
    with pytest.raises(ResultNotStored, match=r"could not be stored: .*no name of a file within"):
        kept_for(asks, 1, key_fields=lambda: {**fields, "parameters": {"day": "../../x", "x": 7}})
    assert not list(tmp_path.rglob("*.tmp"))


class Broken(Serializer):
    type = "test-broken"

    def dumps(self, obj: Any) -> bytes:
        return "text"  # type: ignore[return-value]

    def loads(self, blob: bytes) -> Any:
        raise KeyError("lost")


@pytest.mark.parametrize(
    ("asks", "value", "why"),
    [
        ((True, None, None), (x for x in "a"), "TypeError: cannot pickle 'generator' object. Pass a result_serializer"),
        ((True, None, "json"), object(), "JSON cannot hold a builtins.object"),
        ((True, "/proc/no/where", None), 1, "/proc/no"),
        ((True, None, Broken()), 1, "made a str of a result, not bytes. Let its `dumps` return bytes."),
    ],
    ids=["pickle", "json", "folder", "serializer"],
)
def test_what_cannot_be_stored_as_asked_is_an_error_that_says_why(home: Path, asks: Any, value: Any, why: str) -> None:
    with pytest.raises(ResultNotStored) as caught:
        kept_for(asked(*asks), value)
    assert str(caught.value).startswith("The result of 'load' could not be stored: ")
    assert why in str(caught.value)
    assert not home.exists() or not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ((None, "ftp://server/x", None), BadInput, "nothing here stores in ftp://"),
        ((None, "s3:///x", None), BadInput, "Write s3://BUCKET or s3://BUCKET/FOLDER"),
        ((None, "az://c/x?key=1", None), BadInput, "Write az://CONTAINER"),
        ((None, None, None, None, -1), BadInput, "result_ttl of task 'a' is -1"),
        ((None, 3, None), BadInput, "result_storage is 3, which is no place"),
        ((None, " ", None), BadInput, "which is no place"),
        (
            (None, "s3-bucket/prod", None),
            BadInput,
            "'s3-bucket/prod', which names a block of Prefect's, and there are no",
        ),
        (
            (None, "s3-bucket/prod", None),
            BadInput,
            "such as s3://BUCKET/FOLDER; if it is a folder, write './s3-bucket/pr",
        ),
        (("yes", None, None), BadInput, "persist_result of task 'a' is 'yes'"),
        ((False, "x", None), BadInput, "task 'a' has persist_result=False, and says where"),
        ((None, None, "jsn"), BadInput, "Did you mean 'json'?"),
        ((None, None, None, "{x}"), TemplateError, "Use {parameters[NAME]}"),
        ((None, None, None, "{parameters[y]}"), TemplateError, "that it has: {parameters[x]}"),
        ((None, None, None, "{"), TemplateError, "is no template"),
        ((None, None, None, ""), TemplateError, "result_storage_key of task 'a' is ''"),
    ],
)
def test_options_that_cannot_be_are_refused_where_the_decorator_stands(options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        asked(*options, parameters=("x",), owner="task 'a'")
    assert message in str(caught.value)


def test_decorators_take_the_options_and_refuse_at_once(tmp_path: Path) -> None:
    @task(result_storage=tmp_path, result_serializer="json", result_storage_key="report-{parameters[day]}")
    def report(day: str) -> int:
        return len(day)

    assert report.asks.persist
    assert report.asks.serializer == JSONSerializer()

    @flow(persist_result=True, result_storage=str(tmp_path))
    def nightly() -> int:
        return 1

    assert (nightly.asks.persist, nightly.asks.storage) == (True, str(tmp_path))
    with pytest.raises(BadInput, match="There is no serializer 'jsn'"):
        task(result_serializer="jsn")(report.fn)
    with pytest.raises(TemplateError, match=r"Use the parameters that it has: {parameters\[day\]}"):
        task(result_storage_key="{parameters[dya]}")(report.fn)


def test_what_counts_is_the_task_then_the_setting_then_what_is_around(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def persists(asks: Asked, around: Persistence | None, *, is_task: bool = True) -> bool:
        return asks.in_force(around, core_settings.refresh(), is_task=is_task).persist

    nothing, yes, no = asked(None, None, None), asked(True, None, None), asked(False, None, None)
    stores = Persistence(True, "/x", JSONSerializer())
    assert not persists(nothing, None)
    assert persists(nothing, stores)
    assert not persists(no, stores)
    assert nothing.in_force(stores, core_settings.refresh(), is_task=True) is stores
    inner = yes.in_force(stores, core_settings.refresh(), is_task=True)
    assert (inner.storage, inner.serializer) == ("/x", JSONSerializer())
    monkeypatch.setenv("SUREFOOT_RESULTS_PERSIST_BY_DEFAULT", "1")
    assert persists(nothing, None)
    monkeypatch.setenv("SUREFOOT_TASKS_DEFAULT_PERSIST_RESULT", "0")
    assert not persists(nothing, stores)
    assert persists(nothing, stores, is_task=False)
    assert persists(yes, None)


def test_a_store_reads_writes_and_lists_by_key(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, "compressed/json")
    record = store.write([1, 2], "a/b")
    assert record.result == [1, 2]
    assert store.read("a/b").result == [1, 2]
    assert store.metadata("a/b").serializer["type"] == "compressed"
    unnamed = store.write(3)
    assert sorted(store.keys()) == sorted(["a/b", unnamed.metadata.key])
    assert store.exists("a/b")
    assert store.remove("a/b")
    assert not store.remove("a/b")
    assert not store.exists("a/b")
    with pytest.raises(MissingResult, match="it was removed"):
        store.read("a/b")


@pytest.mark.parametrize("key", ["", " ", "../x", "a/../../x", "/etc/x", "a//b", "a\0b", "C:x", "..\\x", "x" * 2000])
def test_keys_that_lead_out_of_the_folder_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match="no name of a file within the folder"):
        object_path(str(tmp_path), key)


def test_a_place_for_results_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert address_of("out") == address_of("~/out") == address_of(Path("out")) == address_of(f"file://{tmp_path}/out")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda raw: b"", "first line is no record"),
        (lambda raw: b"{}\nabc", "first line is no record"),
        (lambda raw: raw[:-1], "length or checksum"),
        (lambda raw: raw + b"x", "length or checksum"),
        (lambda raw: raw.replace(b'"surefoot_result":1', b'"surefoot_result":2'), "newer version .* in format 2"),
        (lambda raw: raw.replace(b'"type":"json"', b'"type":"odd!"'), "There is no serializer 'odd!'"),
        (
            lambda raw: raw.replace(b'"type":"json"', b'"type":"test-broken"'),
            "'test-broken' cannot read it: KeyError: 'lost'",
        ),
    ],
)
def test_a_damaged_object_is_a_miss_with_its_reason(tmp_path: Path, change: Any, why: str) -> None:
    store = ResultStore(tmp_path, "json")
    store.write({"a": 1}, "k")
    path = tmp_path / "k"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MissingResult, match=why):
        store.read("k")


def test_each_flipped_byte_of_an_object_is_a_miss_or_changes_nothing_of_the_value(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, "json")
    store.write({"a": [1, "text"]}, "k")
    path = tmp_path / "k"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
        try:
            assert store.read("k").result == {"a": [1, "text"]}
        except MissingResult:
            pass


def test_an_object_that_another_run_has_stored_over_is_not_taken_for_the_first_ones(home: Path, tmp_path: Path) -> None:
    settings = core_settings.refresh()
    asks = asked(None, tmp_path, None, "same")
    ids = [new_id(), new_id()]
    ats = [
        keep_for(asks, asks.in_force(None, settings, is_task=True), None, n, settings=settings, run_id=run, name="t")
        for n, run in enumerate(ids)
    ]
    first, second = ats
    assert isinstance(first, ResultAt)
    assert isinstance(second, ResultAt)
    assert load_result(second, run_id=to_text(ids[1])) == 1
    with pytest.raises(MissingResult, match="has stored its own result over it"):
        load_result(first, run_id=to_text(ids[0]))


def test_a_value_that_fails_to_store_leaves_what_was_there(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, "json")
    store.write(1, "k")
    with pytest.raises(TypeError):
        store.write(object(), "k")
    assert store.read("k").result == 1
    assert list(store.keys()) == ["k"]
