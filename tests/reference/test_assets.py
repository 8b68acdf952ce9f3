"""Rows 2.25 and 14.50 to 14.55 of the reference, and its line of Appendix A: assets."""

from __future__ import annotations

import inspect
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from surefoot import Task, flow, task
from surefoot.assets import Asset, AssetProperties, MaterializingTask, add_asset_metadata, materialize
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.core import wire
from surefoot.exceptions import MissingContextError
from tests.reference.rows import at, row

KEY = "s3://lake/orders"


def shown(key: str = KEY) -> wire.Asset:
    with closing(get_client()) as client:
        return client.find_asset(key)


def outcomes(key: str = KEY) -> list[str]:
    with closing(get_client()) as client:
        return [each.outcome for each in client.materializations(key).results]


def upstream(key: str) -> list[str]:
    with closing(get_client()) as client:
        return [edge.upstream for edge in client.lineage(key, up=1, down=0).edges]


@row("2.25")
def test_a_task_names_the_assets_that_it_reads(row: str) -> None:
    assert "asset_deps" in (Task.__init__.__kwdefaults__ or {})

    @task(asset_deps=[KEY, Asset("file:///rates")])
    def read() -> int:
        return 1

    @materialize("s3://lake/report")
    def report(value: int) -> int:
        return value

    @flow
    def nightly() -> Any:
        return report.submit(read.submit())

    nightly()
    assert upstream("s3://lake/report") == ["file:///rates", KEY]
    with pytest.raises(ValueError, match="no URI"):
        task(asset_deps=["rates"])(lambda: 1)


@row("14.50")
def test_an_asset_is_a_key_and_what_is_said_of_it(row: str) -> None:
    assert [*inspect.signature(Asset).parameters] == ["key", "properties"]
    assert [*inspect.signature(AssetProperties).parameters] == ["name", "url", "description", "owners"]
    asset = Asset(key=KEY, properties=AssetProperties(name="Orders", owners=["me"]))
    assert (asset.key, asset.properties and asset.properties.owners) == (KEY, ["me"])
    assert len(Asset("s3://" + "x" * 507).key) == 512


@pytest.mark.parametrize(
    ("key", "says"),
    [
        at("A:keys that are none", "nokey", "no URI"),
        at("A:keys that are none", "S3://x", "capital in its scheme"),
        at("A:keys that are none", "s3://a b", "contains ' '"),
        at("14.50", "s3://a'b", "contains"),
        at("14.50", "s3://a?b", "contains"),
        at("14.50", "s3://" + "x" * 508, "513 characters"),
        at("14.50", "postgres://", "ends after its scheme"),  # there it passes
    ],
)
def test_keys_that_are_none_are_refused(key: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Asset(key)


@row("14.51", "A:nothing that is made")
def test_a_task_that_makes_nothing_is_refused(row: str) -> None:
    with pytest.raises(TypeError, match="names no asset"):
        materialize()


@row("14.51")
def test_what_is_made_is_told_when_it_completes_or_fails_and_not_when_it_is_cached(row: str, tmp_path: Path) -> None:
    @materialize(KEY, by="dbt", cache_policy=INPUTS, result_storage=str(tmp_path))
    def make(x: int) -> float:
        return 1 / x

    assert isinstance(make, MaterializingTask)
    assert isinstance(make, Task)
    make(1)
    make(1)
    make(0, return_state=True)
    assert outcomes() == ["failed", "completed"]
    last = shown().last
    assert last is not None
    assert (last.by, last.message) == ("dbt", "ZeroDivisionError: division by zero")


@row("14.52")
def test_assets_that_reach_a_task_through_its_inputs_are_its_upstream(row: str) -> None:
    @materialize(KEY)
    def orders() -> list[dict[str, int]]:
        return [{"id": 1}]

    @task
    def clean(rows: list[dict[str, int]]) -> list[dict[str, int]]:
        return [*rows]

    @materialize("s3://lake/report", asset_deps=["file:///rates"])
    def report(rows: list[dict[str, int]]) -> int:
        return len(rows)

    @flow
    def nightly() -> Any:
        return report(clean(orders()))

    nightly()
    assert upstream("s3://lake/report") == ["file:///rates", KEY]


@row("14.53")
def test_metadata_belongs_to_the_run_that_makes_the_asset(row: str) -> None:
    asset = Asset(KEY)

    @materialize(asset)
    def make() -> None:
        add_asset_metadata(asset, {"rows": 3})
        asset.add_metadata({"part": "eu"})
        with pytest.raises(ValueError, match="does not make"):
            add_asset_metadata("s3://other", {"rows": 3})

    make()
    last = shown().last
    assert last is not None
    assert last.metadata == {"rows": 3, "part": "eu"}
    with pytest.raises(MissingContextError):
        asset.add_metadata({"rows": 3})


@row("14.54")
def test_properties_are_replaced_as_a_whole(row: str) -> None:
    for properties in (AssetProperties(name="Orders", url="https://x"), AssetProperties(description="All of them")):
        materialize(Asset(KEY, properties))(lambda: 1)()
    assert (shown().name, shown().url, shown().description) == (None, None, "All of them")


@row("14.55")
def test_an_asset_is_as_well_as_its_last_materialization(row: str) -> None:
    values = iter([1, 0])

    @materialize(KEY)
    def make() -> float:
        return 1 / next(values)

    make()
    first = shown()
    assert (first.last and first.last.outcome, first.completed) == ("completed", first.last and first.last.timestamp)
    make(return_state=True)
    then = shown()
    assert (then.last and then.last.outcome, then.completed) == ("failed", first.completed)
