"""What users write: assets and their keys, `@materialize`, metadata, checks, and what is recorded of all that."""

from __future__ import annotations

import asyncio
import decimal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from surefoot import Skip, flow, get_run_logger, task
from surefoot.assets import (
    Asset,
    AssetProperties,
    CheckResult,
    MaterializingTask,
    add_asset_metadata,
    check,
    materialize,
)
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.context import hydrated_context, serialize_context
from surefoot.core import wire
from surefoot.exceptions import AssetCheckFailed, BadInput, MissingContextError, NotReadyRun
from surefoot.transactions import transaction
from tests.recorded import record

KEY = "s3://lake/orders"


def shown(key: str = KEY) -> wire.Asset:
    client = get_client()
    try:
        return client.find_asset(key)
    finally:
        client.close()


def history(key: str = KEY) -> list[wire.Materialization]:
    client = get_client()
    try:
        return client.materializations(key).results
    finally:
        client.close()


def last(key: str = KEY) -> wire.Materialization:
    found = shown(key).last
    assert found is not None
    return found


def nothing_of(key: str = KEY) -> bool:
    client = get_client()
    try:
        return key not in [asset.key for asset in client.assets().results]
    finally:
        client.close()


# -- what is made


def test_what_a_task_makes_is_recorded_with_all_that_is_said_of_it() -> None:
    orders = Asset(KEY, AssetProperties(name="Orders", url="https://x", description="All", owners=["me", "you"]))

    @materialize(orders, "s3://lake/index", by="dbt", retries=1)
    def make() -> int:
        orders.add_metadata({"rows": 1})
        add_asset_metadata(KEY, {"rows": 3, "when": decimal.Decimal("1.5")})
        add_asset_metadata("s3://lake/index", {"size": 7})
        return 3

    @flow
    def nightly() -> int:
        return make()

    assert nightly() == 3
    asset = shown()
    assert (asset.name, asset.url, asset.description, asset.owners) == ("Orders", "https://x", "All", ["me", "you"])
    made = last()
    assert (made.outcome, made.by, made.task_name) == ("completed", "dbt", "make")
    assert made.metadata == {"rows": 3, "when": "1.5"}
    assert asset.completed == made.timestamp
    assert last("s3://lake/index").metadata == {"size": 7}
    assert made.flow_run_id == last("s3://lake/index").flow_run_id is not None


def test_properties_of_the_newest_run_that_told_some_count_as_a_whole() -> None:
    for properties in (AssetProperties(name="A", owners=["me"]), AssetProperties(description="B"), None):
        materialize(Asset(KEY, properties))(lambda: 1)()
    asset = shown()
    assert (asset.name, asset.description, asset.owners) == (None, "B", [])


def test_a_task_outside_of_flows_makes_assets_too() -> None:
    @materialize(KEY, asset_deps=["s3://lake/raw"])
    def make() -> int:
        return 1

    make()
    assert (last().outcome, last().flow_run_id) == ("completed", None)
    assert upstream_of(KEY) == {"s3://lake/raw": "declared"}


def upstream_of(key: str) -> dict[str, str]:
    client = get_client()
    try:
        return {edge.upstream: edge.how for edge in client.lineage(key, up=1, down=0).edges}
    finally:
        client.close()


class Broken(Exception):
    pass


def test_each_end_of_a_run_is_told_as_what_it_is() -> None:
    outcomes: dict[str, Callable[[], Any]] = {
        "completed": lambda: 1,
        "failed": lambda: (_ for _ in ()).throw(Broken("the disk is full")),
        "skipped": partial(_raise, Skip("nothing new")),
        "crashed": partial(_raise, SystemExit(3)),
    }
    for outcome, fn in outcomes.items():
        key = f"s3://lake/{outcome}"
        run = materialize(key, name="make")(fn)
        if outcome == "crashed":
            with pytest.raises(SystemExit):
                run()
        else:
            run(return_state=True)
        assert last(key).outcome == outcome
    assert last("s3://lake/failed").message == "Broken: the disk is full"
    assert last("s3://lake/skipped").message == "nothing new"
    assert shown("s3://lake/failed").completed is None


def _raise(error: BaseException) -> None:
    raise error


def test_of_a_run_that_is_retried_the_end_alone_is_told() -> None:
    attempts: list[int] = []

    @materialize(KEY, retries=2, retry_delay_seconds=0)
    def make() -> int:
        attempts.append(1)
        add_asset_metadata(KEY, {f"attempt {len(attempts)}": True})
        if len(attempts) < 3:
            raise Broken
        return 1

    make()
    (made,) = history()
    assert (made.outcome, made.metadata) == ("completed", {"attempt 3": True})


def test_what_never_ran_made_nothing_and_is_not_told() -> None:
    @task
    def breaks() -> int:
        raise Broken

    @materialize(KEY)
    def make(value: int) -> int:
        return value

    @flow
    def nightly() -> Any:
        return make.submit(breaks.submit())

    with pytest.raises((Broken, NotReadyRun)):
        nightly()
    assert nothing_of()


def test_a_result_from_the_cache_made_nothing_anew(tmp_path: Path) -> None:
    @materialize(KEY, cache_policy=INPUTS, result_storage=str(tmp_path))
    def make(x: int) -> int:
        return x

    make(1)
    assert make(1, return_state=True).name == "Cached"
    assert len(history()) == 1


def test_what_was_taken_over_from_an_earlier_attempt_made_nothing_anew() -> None:
    is_broken = [True]

    @materialize(KEY)
    def make() -> list[int]:
        return [1, 2]

    @materialize("s3://lake/report")
    def report(rows: list[int]) -> int:
        if is_broken[0]:
            raise Broken
        return len(rows)

    @flow
    def nightly() -> int:
        return report(make())

    state = nightly(return_state=True)
    is_broken[0] = False
    assert nightly.retry(str(state.state_details["flow_run_id"])) == 2
    assert [each.epoch for each in history()] == [0]
    assert [(each.epoch, each.outcome) for each in history("s3://lake/report")] == [(1, "completed"), (0, "failed")]
    assert upstream_of("s3://lake/report") == {KEY: "data"}


def test_in_a_transaction_an_asset_is_made_when_that_commits() -> None:
    @materialize(KEY)
    def make() -> int:
        return 1

    @flow
    def commits() -> list[str]:
        with transaction():
            make()
            return [history()[0].outcome]

    @flow
    def rolls_back() -> None:
        with transaction():
            make()
            raise Broken

    assert commits() == ["staged"]
    assert history()[0].outcome == "completed"
    rolls_back(return_state=True)
    assert [each.outcome for each in history()] == ["rolled-back", "completed"]


@pytest.mark.parametrize("way", ["direct", "submit", "map", "async", "async submit", "generator"])
def test_assets_are_made_however_the_task_runs(way: str) -> None:
    @materialize(KEY)
    def make(x: int = 1) -> int:
        add_asset_metadata(KEY, {"way": way})
        return x

    @materialize(KEY)
    async def make_async(x: int = 1) -> int:
        await asyncio.sleep(0)
        add_asset_metadata(KEY, {"way": way})
        return x

    @materialize(KEY)
    def make_each() -> Iterator[int]:
        add_asset_metadata(KEY, {"way": way})
        yield 1

    @flow
    def nightly() -> Any:
        if way == "map":
            return make.map([1, 2])
        if way == "generator":
            return list(make_each())
        return make() if way == "direct" else make.submit() if way == "submit" else make_async.submit()

    @flow
    async def nightly_async() -> Any:
        return await make_async()

    if way == "async":
        asyncio.run(nightly_async())
    else:
        nightly()
    assert [(each.outcome, each.metadata) for each in history()] == [("completed", {"way": way})] * (1 + (way == "map"))


# -- keys and options


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("nokey", "no URI"),
        ("S3://x", "'s3://x'"),
        ("s3://a b", "' '"),
        ('s3://a"b', '"'),
        ("s3://a?b", "'?'"),
        ("s3://a\nb", r"'\\n'"),
        ("s3://a\u202eb", "u202e"),
        ("postgres://", "ends after its scheme"),
        ("postgres:///", "ends after its scheme"),
        ("://x", "no URI"),
        ("3s://x", "scheme '3s'"),
        ("s3://" + "x" * 508, "513 characters"),
        (7, "no text"),
    ],
)
def test_what_is_no_key_is_refused_with_the_reason(key: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        Asset(key)
    assert isinstance(raised.value, BadInput)
    assert raised.value.do
    with pytest.raises(ValueError, match=says):
        materialize(key)(lambda: 1)


@pytest.mark.parametrize("key", ["s3://a", "file:///tmp/x.csv", "gs+x.y-1://Bücket/ä", "s3://" + "x" * 507])
def test_what_is_a_key_is_taken(key: str) -> None:
    assert str(Asset(key)) == key
    assert {Asset(key): 1}[Asset(key)] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 3}, {"name": "x" * 251}, {"url": "x" * 2_001}, {"description": "x" * 5_001},
        {"owners": "me"}, {"owners": [3]}, {"owners": ["x"] * 101},
    ],
)  # fmt: skip
def test_what_cannot_be_said_of_an_asset_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}|owner"):
        AssetProperties(**wrong)


def test_what_cannot_be_made_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="names no asset"):
        materialize()
    with pytest.raises(TypeError, match="names no asset"):
        materialize(len)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="twice"):
        materialize(KEY, Asset(KEY))(lambda: 1)
    with pytest.raises(TypeError, match="Did you mean checks"):
        materialize(KEY, check=[len])
    with pytest.raises(TypeError, match="by of task"):
        materialize(KEY, by=3)(len)  # type: ignore[arg-type]
    for checks in (len, "len", [3]):
        with pytest.raises(TypeError, match="check"):
            materialize(KEY, checks=checks)(lambda: 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="does not make"):
        materialize(KEY, checks=[check(asset="s3://other")(len)])(lambda: 1)
    with pytest.raises(TypeError, match="severity"):
        check(severity="fatal")(len)  # type: ignore[call-overload]
    for deps in (KEY, Asset(KEY), 3, ["nokey"]):
        with pytest.raises(ValueError, match=r"asset_deps|no URI"):
            task(asset_deps=deps)(lambda: 1)  # type: ignore[arg-type]


def test_with_options_keeps_all_that_concerns_assets() -> None:
    def full(rows: list[int]) -> bool:
        return bool(rows)

    @materialize(Asset(KEY), by="dbt", checks=iter([full]), asset_deps=iter(["s3://lake/raw"]), retries=1)
    def make() -> list[int]:
        return []

    copied = make.with_options(name="other").with_options(retries=0)
    assert isinstance(copied, MaterializingTask)
    with pytest.raises(AssetCheckFailed, match="'full'"):
        copied()
    assert (last().by, last().task_name, upstream_of(KEY)) == ("dbt", "other", {"s3://lake/raw": "declared"})
    make.with_options(assets=["s3://lake/elsewhere"], checks=None, asset_deps=None, materialized_by=None)()
    assert (last("s3://lake/elsewhere").by, upstream_of("s3://lake/elsewhere")) == (None, {})


def test_a_method_makes_assets() -> None:
    class Lake:
        @materialize(KEY, checks=[lambda rows: rows == [7]])
        def make(self, x: int) -> list[int]:
            return [x]

    assert Lake().make(7) == [7]
    assert last().checks[0].passed


# -- metadata


def test_metadata_is_told_within_a_run_that_makes_the_asset_and_nowhere_else() -> None:
    with pytest.raises(MissingContextError, match="outside of a run"):
        add_asset_metadata(KEY, {"rows": 1})

    @materialize(KEY)
    def make() -> None:
        inner()
        with pytest.raises(ValueError, match="does not make s3://other"):
            add_asset_metadata("s3://other", {"rows": 1})
        for wrong in (3, {1: 2}, {"x": object()}, {"x": "y" * 70_000}):
            with pytest.raises(ValueError, match=r"metadata|Metadata"):
                add_asset_metadata(KEY, wrong)  # type: ignore[arg-type]

    @task
    def inner() -> None:
        add_asset_metadata(KEY, {"from": "within"})

    @flow
    def nightly() -> None:
        with pytest.raises(MissingContextError):
            add_asset_metadata(KEY, {"rows": 1})
        make()

    nightly()
    assert last().metadata == {"from": "within"}


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")

    @materialize(KEY, checks=[lambda value: numpy.bool_(value > 1)])
    def make() -> Any:
        add_asset_metadata(KEY, {"mean": numpy.float32(1.5), "rows": numpy.int64(3), "nan": float("nan")})
        return numpy.int64(2)

    make()
    assert last().metadata == {"mean": 1.5, "rows": 3, "nan": None}
    assert last().checks[0].passed


# -- checks


def keys_are_there(rows: list[Any]) -> CheckResult:
    bad = rows.count(None)
    return CheckResult(not bad, f"{bad} of {len(rows)} keys are null", metadata={"null": bad})


def says_no(_: Any) -> bool:
    return False


def raises(_: Any) -> None:
    raise Broken("it is too old")


def asserts(_: Any) -> None:
    assert _ == 0, "it is not 0"


def test_a_check_that_fails_ends_the_run_and_what_waits_for_it_does_not_run() -> None:
    ran: list[str] = []

    @materialize(KEY, checks=[keys_are_there])
    def load() -> list[Any]:
        ran.append("load")
        return [1, None]

    @materialize("s3://lake/report")
    def report(rows: list[Any]) -> int:
        ran.append("report")
        return len(rows)

    @flow
    def nightly() -> Any:
        return report.submit(load.submit())

    state = nightly(return_state=True)
    assert ran == ["load"]
    told = f"Check 'keys_are_there' of asset {KEY} failed: 1 of 2 keys are null."
    with pytest.raises(NotReadyRun, match=r"did not run, because `load` failed: Check .* keys are null\.$"):
        state.result()
    found = record(Path(get_home()))
    assert found.task_run("load").last.message == told
    assert (found.task_run("load").end[1], found.task_run("report").end[1]) == ("Failed", "NotReady")
    assert (last().outcome, last().message) == ("failed", told)
    assert [(each.name, each.passed, each.message, each.metadata) for each in last().checks] == [
        ("keys_are_there", False, "1 of 2 keys are null", {"null": 1})
    ]
    assert nothing_of("s3://lake/report")


def get_home() -> str:
    from surefoot.core import settings

    return str(settings.refresh().home)


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (says_no, r"Check 'says_no' of asset s3://lake/orders failed\. Mend"),
        (raises, r"failed: Broken: it is too old\. Mend"),
        (asserts, r"failed: it is not 0"),
        (lambda value: "fine", "it returned 'fine', where True, False, None"),
        (lambda value: CheckResult(False), r"Check '<lambda>' of asset"),
        (lambda value: CheckResult(False, "bad.", "fatal"), r"failed: bad\. Mend"),  # type: ignore[arg-type]
    ],
)
def test_a_check_says_no_in_several_ways(fn: Any, says: str) -> None:
    with pytest.raises(AssetCheckFailed, match=says):
        materialize(KEY, checks=[fn])(lambda: 1)()
    assert last().outcome == "failed"


@pytest.mark.parametrize("metadata", [{"x": "y" * 70_000}, {"x": object()}])
def test_what_a_check_measured_has_to_fit(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"metadata|Metadata"):
        materialize(KEY, checks=[lambda value: CheckResult(True, metadata=metadata)])(lambda: 1)()
    assert last().outcome == "failed"


def test_all_checks_are_asked_and_those_that_failed_are_named() -> None:
    asked: list[str] = []

    @check(name="first one")
    def first(value: int) -> bool:
        asked.append("first")
        return False

    @check
    def second(value: int) -> None:
        asked.append("second")

    @check(severity="error")
    def third(value: int) -> bool:
        asked.append("third")
        return False

    with pytest.raises(AssetCheckFailed, match=r"Check 'first one' of asset .* failed \(and so did third\)\."):
        materialize(KEY, checks=[first, second, third])(lambda: 1)()
    assert asked == ["first", "second", "third"]
    assert [(each.name, each.passed) for each in last().checks] == [
        ("first one", False),
        ("second", True),
        ("third", False),
    ]


def test_a_check_that_only_warns_stops_nothing(home: Path) -> None:
    @check(severity="warn")
    def fresh(value: int) -> CheckResult:
        return CheckResult(False, "of yesterday")

    def either(value: int) -> CheckResult:
        return CheckResult(value > 1, severity="warn")

    assert materialize(KEY, checks=[fresh, either])(lambda: 1)() == 1
    assert (last().outcome, [each.severity for each in last().checks]) == ("completed", ["warn", "warn"])
    assert record(home).messages(30) == [
        f"Check 'fresh' of {KEY} says: of yesterday",
        f"Check 'either' of {KEY} says: it did not pass",
    ]


def test_a_check_of_one_of_several_assets_is_told_of_that_alone() -> None:
    @check(asset="s3://b")
    def of_b(value: int) -> bool:
        return True

    materialize("s3://a", "s3://b", checks=[of_b, lambda value: None])(lambda: 1)()
    assert [each.name for each in last("s3://a").checks] == ["<lambda>"]
    assert [each.name for each in last("s3://b").checks] == ["of_b", "<lambda>"]


def test_a_check_is_repeated_with_the_call_and_within_its_time() -> None:
    values: Iterator[list[Any]] = iter([[None], [1]])

    @materialize(KEY, checks=[keys_are_there], retries=1, retry_delay_seconds=0)
    def make() -> list[Any]:
        return next(values)

    assert make() == [1]
    assert [(each.name, each.passed) for each in last().checks] == [("keys_are_there", True)]


def test_the_time_limit_of_a_task_counts_for_its_checks() -> None:
    def loops(value: int) -> None:
        while True:
            pass

    with pytest.raises(TimeoutError):
        materialize(KEY, checks=[loops], timeout_seconds=0.2)(lambda: 1)()
    assert last().outcome == "failed"


def test_a_run_that_somebody_cancels_is_told_as_that() -> None:
    began = threading.Event()

    @materialize(KEY)
    def stalls() -> None:
        began.set()
        threading.Event().wait(60)

    @flow
    def nightly() -> Any:
        return stalls.submit()

    def cancel() -> None:
        assert began.wait(60)
        client = get_client()
        client.cancel_task_run(last().task_run_id)
        client.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    nightly(return_state=True)
    thread.join()
    assert last().outcome == "cancelled"


def test_a_flow_that_makes_assets_can_be_drawn() -> None:
    @materialize(KEY, checks=[keys_are_there])
    def make() -> list[Any]:
        raise Broken

    @materialize("s3://lake/report", asset_deps=["s3://rates"])
    def report(rows: list[Any]) -> int:
        raise Broken

    @flow
    def nightly() -> Any:
        return report.submit(make.submit())

    drawing = str(nightly.visualize().mermaid)
    assert "make" in drawing
    assert "report" in drawing
    assert nothing_of()


def test_a_context_that_was_taken_elsewhere_cannot_tell_metadata() -> None:
    @materialize(KEY)
    def make() -> None:
        with hydrated_context(serialize_context()), pytest.raises(MissingContextError, match="taken elsewhere"):
            add_asset_metadata(KEY, {"rows": 1})

    make()


def test_asynchronous_tasks_and_checks_go_together() -> None:
    async def waits(rows: list[Any]) -> bool:
        await asyncio.sleep(0)
        return None not in rows

    @materialize(KEY, checks=[waits, keys_are_there])
    async def make() -> list[Any]:
        return [None]

    @materialize("s3://lake/sync", checks=[waits])
    def make_sync() -> list[Any]:
        return [1]

    @flow
    async def nightly() -> None:
        make_sync()
        await make()

    with pytest.raises(AssetCheckFailed, match="'waits'"):
        asyncio.run(nightly())
    assert [each.passed for each in last().checks] == [False, False]
    assert [each.passed for each in last("s3://lake/sync").checks] == [True]


def test_a_check_gets_values_where_the_task_returns_futures() -> None:
    seen: list[Any] = []

    @task
    def part(x: int) -> int:
        return x

    @materialize(KEY, checks=[seen.append])
    def make() -> Any:
        return [part.submit(1), part.submit(2)]

    @flow
    def nightly() -> Any:
        return make()

    nightly()
    assert seen == [[1, 2]]


def test_a_check_may_log(home: Path) -> None:
    def talks(value: int) -> None:
        get_run_logger().info("looked at %s", value)

    materialize(KEY, checks=[talks])(lambda: 1)()
    assert "looked at 1" in record(home).messages()


def test_a_generator_cannot_be_checked() -> None:
    def each() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="one by one"):
        materialize(KEY, checks=[says_no])(each)
