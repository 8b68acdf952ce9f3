"""Where stored results lie: folders, memory, object stores and storage objects, all by the same words."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.clock import SystemClock, set_clock
from surefoot.core.errors import CacheUnavailable, MissingResult, ResultNotStored, SettingsError
from surefoot.results import ResultStore, load_result, places
from surefoot.results.places import StorageError
from tests.object_stores import KINDS


class Shelf:
    """A storage object of the user's own, as blocks of other engines are: some of its methods are asynchronous."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._objects: dict[str, bytes] = {}

    async def read_path(self, path: str) -> bytes:
        if path not in self._objects:
            raise FileNotFoundError(path)
        return self._objects[path]

    def write_path(self, path: str, content: bytes) -> None:
        self._objects[path] = content

    def delete_path(self, path: str) -> None:
        del self._objects[path]

    def list_paths(self) -> list[str]:
        return list(self._objects)


@pytest.fixture(params=["folder", "memory", "given", *KINDS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What a user passes as `result_storage`, of each kind in turn."""
    kind = request.param
    if kind == "folder":
        return tmp_path / "stored"
    if kind == "memory":
        return f"memory://{request.node.name}"
    if kind == "given":
        return Shelf(request.node.name)
    bucket: Callable[[str], str] = request.getfixturevalue("bucket_of")
    return f"{bucket(kind)}/results/"


def test_a_store_reads_what_it_wrote_wherever_that_lies(storage: Any) -> None:
    store = ResultStore(storage, "json")
    assert not store.exists("reports/monday")
    store.write({"rows": 3}, "reports/monday")
    store.write([1], "reports/tuesday")
    assert ResultStore(storage).read("reports/monday").result == {"rows": 3}
    assert store.metadata("reports/monday").key == "reports/monday"
    assert sorted(store.keys()) == ["reports/monday", "reports/tuesday"]
    assert store.exists("reports/monday")
    assert [store.remove("reports/monday"), store.remove("reports/monday")] == [True, False]
    with pytest.raises(MissingResult, match="it was removed"):
        store.read("reports/monday")


def test_a_large_value_comes_back_whole(storage: Any) -> None:
    value = bytes(range(256)) * 40_000  # more than is sent to a store at once
    store = ResultStore(storage)
    store.write(value, "large")
    assert store.read("large").result == value


def test_results_of_a_run_lie_where_its_flow_says_and_are_found_from_its_record(storage: Any) -> None:
    @task(result_storage_key="rows-{parameters[day]}")
    def rows(day: str) -> dict[str, int]:
        return {day: 3}

    @task(persist_result=False)
    async def plain() -> int:
        return 1

    @flow(result_storage=storage, result_serializer="json")
    async def nightly(day: str) -> int:
        first = rows(day)
        second: dict[str, int] = await rows.submit("second")
        await plain()
        return int(first[day]) + len(second)

    assert asyncio.run(nightly("mon")) == 4
    client = get_client()
    try:
        (run,) = client.flow_runs().results
        found = {it.name: it for it in client.results(run.id).results}
    finally:
        client.close()
    assert load_result(found["nightly"]) == 4
    assert ResultStore(storage).read("rows-mon").result == {"mon": 3}
    assert ResultStore(storage).read("rows-second").result == {"second": 3}


class Ahead(SystemClock):
    """A clock that is ahead of the machine's."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now_us(self) -> int:
        return super().now_us() + int(self.seconds * 1e6)


@pytest.fixture
def ahead() -> Iterator[Callable[[float], None]]:
    before = set_clock(SystemClock())
    yield lambda seconds: (set_clock(Ahead(seconds)), None)[1]
    set_clock(before)


def test_a_result_counts_as_long_as_was_asked_for_and_is_cleaned_up_then(
    storage: Any, ahead: Callable[[float], None]
) -> None:
    @task(result_ttl=timedelta(hours=1), result_storage_key="short")
    def short() -> int:
        return 1

    @task(result_storage_key="as the flow says")
    def day() -> int:
        return 2

    @task(result_storage=storage, result_storage_key="good")
    def good() -> int:
        return 3

    @flow(result_storage=storage, result_ttl=86_400)
    def three() -> None:
        short()
        day()

    three()
    good()
    store = ResultStore(storage)
    assert store.remove_expired() == []
    ahead(3_700)
    with pytest.raises(MissingResult, match="it was stored until"):
        store.read("short")
    assert store.read("as the flow says").result == 2
    ahead(90_000)
    assert len(store.remove_expired()) == 3  # the flow's own result too
    assert list(store.keys()) == ["good"]


def test_the_settings_say_where_and_how_long(monkeypatch: pytest.MonkeyPatch, ahead: Callable[[float], None]) -> None:
    monkeypatch.setenv("SUREFOOT_RESULTS_DEFAULT_STORAGE", "memory://by-setting")
    monkeypatch.setenv("SUREFOOT_RESULTS_STORED_MAX_AGE_DAYS", "0.5")

    @flow(persist_result=True)
    def one() -> int:
        return 1

    one()
    store = ResultStore("memory://by-setting")
    (key,) = store.keys()
    assert store.read(key).result == 1
    ahead(43_300)
    with pytest.raises(MissingResult, match="it was stored until"):
        store.read(key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_that_is_not_there_fails_the_run_and_says_so(kind: str, bucket_of: Callable[[str], str]) -> None:
    there = bucket_of(kind)

    @flow(result_storage=f"{there}-not", retries=0)
    def one() -> int:
        return 1

    with pytest.raises(ResultNotStored, match="no such bucket or container") as caught:
        one()
    assert "Look whether that storage answers" in str(caught.value)


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_store_that_is_down_is_told_in_one_line_within_the_time_that_a_setting_allows(
    kind: str, bucket_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = bucket_of(kind)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUREFOOT_RESULTS_STORAGE_TIMEOUT_SECONDS", "0.2")
    if kind == "gs":
        monkeypatch.setenv(
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            '{"gcs_base_url": "http://127.0.0.1:1", "disable_oauth": true, "client_email": "", "private_key": "", '
            '"private_key_id": ""}',
        )
    with pytest.raises(MissingResult, match="it cannot be read: Error performing GET") as caught:
        ResultStore(bucket).read("x")
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="error sending request"):
        ResultStore(bucket).exists("x")


def test_an_event_loop_goes_on_while_a_result_is_stored_far_away() -> None:
    stored = asyncio.Event()

    class Slow(Shelf):
        loop: asyncio.AbstractEventLoop

        def write_path(self, path: str, content: bytes) -> None:
            # It ends only when the loop has run what it was told: a loop that waits for it would wait forever.
            asyncio.run_coroutine_threadsafe(_set(stored), self.loop).result(60)
            super().write_path(path, content)

    slow = Slow("slow")

    @task(result_storage=slow)
    async def one() -> int:
        return 1

    @flow
    async def both() -> list[int]:
        slow.loop = asyncio.get_running_loop()
        return [await one(), await one.submit()]

    assert asyncio.run(both()) == [1, 1]
    assert stored.is_set()


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_a_cancellation_that_comes_while_a_result_is_stored_is_let_in_afterwards() -> None:
    class Slow(Shelf):
        loop: asyncio.AbstractEventLoop
        task: asyncio.Task[Any]

        def write_path(self, path: str, content: bytes) -> None:
            asyncio.run_coroutine_threadsafe(self._cancel(), self.loop).result(60)
            super().write_path(path, content)

        async def _cancel(self) -> None:
            self.task.cancel()

    slow = Slow("cancelled")
    after: list[str] = []

    @task(result_storage=slow, result_storage_key="kept")
    async def one() -> int:
        return 1

    @flow
    async def outer() -> None:
        slow.loop = asyncio.get_running_loop()
        await one()
        after.append("one")
        await asyncio.Event().wait()

    async def main() -> None:
        slow.task = asyncio.create_task(outer())
        with pytest.raises(asyncio.CancelledError):
            await slow.task

    asyncio.run(main())
    assert ResultStore(slow).read("kept").result == 1
    assert after == ["one"]


def test_a_storage_object_is_the_same_in_every_process_that_makes_it_alike() -> None:
    first, again, other = (places.address_of(Shelf(name)) for name in ("a", "a", "b"))
    assert first == again != other


def test_a_store_of_obstore_is_taken_with_its_own_credentials(
    bucket_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from obstore.store import HTTPStore, LocalStore, MemoryStore, S3Store

    bucket = bucket_of("s3").removeprefix("s3://")
    given = S3Store(
        bucket,
        prefix="deep/er",
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        access_key_id="testing",
        secret_access_key="testing",
        client_options={"allow_http": True},
    )
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = ResultStore(given)
    assert store.storage == f"s3://{bucket}/deep/er"
    store.write(1, "one")
    assert list(store.keys()) == ["one"]
    memory = ResultStore(MemoryStore())
    memory.write(2, "two")
    assert memory.read("two").result == 2
    assert ResultStore(LocalStore(str(tmp_path))).storage == str(tmp_path)
    with pytest.raises(StorageError, match="HTTPStore, which stores nothing"):
        ResultStore(HTTPStore("http://127.0.0.1:1"))


def test_a_missing_library_is_told_with_the_line_to_type() -> None:
    program = (
        "import sys; sys.modules['obstore'] = None\n"
        "from surefoot.results import ResultStore\n"
        "try: ResultStore('s3://bucket')\n"
        "except Exception as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install obstore" in told


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hunter2@bucket/x",
        "s3://hunter2@bucket",
        "s3://AKIA:hun/ter2hunter2@bucket/x",
        "gs://AKIA:hunter2@bucket",
        "az://name:hunter2@container/x",
        "memory://AKIA:hunter2@name",
        "ftp://AKIA:hunter2@host/x",
        "s3://bucket/x?secret=hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_where_it_stands_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError) as refused:
        task(result_storage=url)(len)
    with pytest.raises(StorageError) as refused_by_flow:
        flow(result_storage=url)(len)
    monkeypatch.setenv("SUREFOOT_RESULTS_DEFAULT_STORAGE", url)

    called: list[str] = []

    @flow(persist_result=True)
    def kept() -> int:
        called.append(url)
        return 3

    with pytest.raises(SettingsError, match="RESULTS_DEFAULT_STORAGE is '") as refused_by_setting:
        kept()
    assert called == []
    for error in (refused, refused_by_flow, refused_by_setting):
        assert "hunter2" not in str(error.value)


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that says nothing of any cloud, on a machine that is asked in vain."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_credentials")
def test_a_container_without_an_account_is_told_before_the_flow_is_called() -> None:
    called: list[int] = []

    @flow(result_storage="az://reports")
    def nightly() -> None:
        called.append(1)

    @task(result_storage="az://reports", persist_result=True)
    def load() -> None:
        called.append(2)

    told = (
        r"az://reports: no account is named, .* nor by AZURE_STORAGE_ACCOUNT_NAME\. Set that variable, or pass another"
    )
    with pytest.raises(ResultNotStored, match=told):
        nightly()
    with pytest.raises(CacheUnavailable, match="no account is named"):
        load()
    assert called == []


@pytest.mark.usefixtures("no_credentials")
def test_missing_credentials_are_told_by_the_variable_that_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # where machines have their role from
    monkeypatch.setenv("SUREFOOT_RESULTS_STORAGE_TIMEOUT_SECONDS", "0.1")

    @flow(result_storage="s3://reports")
    def nightly() -> int:
        return 1

    told = "there are no credentials: AWS_ACCESS_KEY_ID is not set, and this .* Set that variable, or pass another"
    with pytest.raises(ResultNotStored, match=told):
        nightly()


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("where", ["gs://reports/nightly", "gcs://reports"])
def test_an_environment_that_a_cloud_cannot_use_is_told_as_such(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")

    @flow(result_storage=where)
    def nightly() -> int:
        return 1

    told = (
        r"stored: gs://reports: Unable to open .*/nowhere/key\.json.* See to what the environment says of that storage,"
    )
    with pytest.raises(ResultNotStored, match=told):
        nightly()


def test_the_container_of_an_azure_account_is_no_credential() -> None:
    url = "abfss://container@account.dfs.core.windows.net/x"
    assert places.address_of(url) == url
