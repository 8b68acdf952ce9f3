"""`surefoot asset`: lists, pages and trees; what a hostile writer put there is shown harmlessly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from surefoot import flow
from surefoot.assets import Asset, AssetProperties, CheckResult, add_asset_metadata, check, materialize
from surefoot.cli.mistakes import Exit
from surefoot.core.facts import AssetMaterialized, CheckTold
from surefoot.core.ids import new_id
from tests.client.builders import recorded

Surefoot = Callable[..., Result]


@materialize(
    Asset("api://shop/orders", AssetProperties(name="Orders of the shop", owners=["data", "ops"], url="https://x"))
)
def extract() -> list[Any]:
    add_asset_metadata("api://shop/orders", {"rows": 3, "part": {"day": "2025-03-01"}})
    return [{"id": 1}, {"id": None}]


@check(severity="warn")
def enough(rows: list[Any]) -> CheckResult:
    return CheckResult(len(rows) > 100, f"only {len(rows)} rows")


def no_nulls(rows: list[Any]) -> CheckResult:
    bad = sum(row["id"] is None for row in rows)
    return CheckResult(not bad, f"{bad} of {len(rows)} keys are null", metadata={"null": bad})


@materialize("s3://lake/orders", asset_deps=["file:///etc/rates.csv"], checks=[enough], by="dbt")
def store(rows: list[Any]) -> list[Any]:
    return [dict(row) for row in rows]


@materialize("postgres://wh/orders", checks=[no_nulls])
def load(rows: list[Any]) -> int:
    return rows  # type: ignore[return-value]


@materialize("s3://lake/report")
def report(rows: Any) -> int:
    return 1


@flow
def nightly() -> Any:
    stored = store(extract())
    return report.submit(stored), load.submit(stored)


@pytest.fixture
def ran() -> None:
    nightly(return_state=True)


def columns(text: str) -> list[list[str]]:
    return [line.split("   ") for line in text.splitlines()]


def test_nothing_is_told_of_assets_where_there_are_none(surefoot: Surefoot) -> None:
    assert "No asset is recorded yet. Name what a task makes: @materialize" in surefoot("asset", "ls").stderr
    assert surefoot("asset", "ls", "-o", "json").stdout == "[]\n"
    for command in ("inspect", "lineage", "delete"):
        result = surefoot("asset", command, "s3://x")
        assert (result.exit_code, result.stdout) == (Exit.NOT_FOUND, "")
        assert "There is no asset 's3://x'" in result.stderr


@pytest.mark.usefixtures("ran")
def test_assets_are_listed_with_what_became_of_them_last(surefoot: Surefoot) -> None:
    lines = surefoot("asset", "ls").stdout.splitlines()
    assert lines[0].split() == ["KEY", "LAST", "WHEN", "BY", "WHY"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["api://shop/orders", "Completed"],
        ["file:///etc/rates.csv", "not"],
        ["postgres://wh/orders", "Failed"],
        ["s3://lake/orders", "Completed"],
        ["s3://lake/report", "Completed"],
    ]
    assert "Check 'no_nulls' of asset postgres://wh/orders failed: 1 of 2 keys are null." in lines[3]
    assert "warning of enough: only 2 rows" in lines[4]
    found = json.loads(surefoot("asset", "ls", "--like", "LAKE", "-o", "json").stdout)
    assert [each["key"] for each in found] == ["s3://lake/orders", "s3://lake/report"]
    first = surefoot("asset", "ls", "--limit", "2")
    assert len(first.stdout.splitlines()) == 3
    cursor = first.stderr.partition("--after ")[2].partition("`")[0]
    assert surefoot("asset", "ls", "--after", cursor).stdout.splitlines()[1].startswith("postgres://")


@pytest.mark.usefixtures("ran")
def test_the_page_of_an_asset_says_what_it_is_and_why_it_is_as_it_is(surefoot: Surefoot) -> None:
    page = surefoot("asset", "inspect", "wh/orders").stdout
    lines = page.splitlines()
    assert lines[0] == "postgres://wh/orders   Failed"
    assert lines[1] == "Check 'no_nulls' of asset postgres://wh/orders failed: 1 of 2 keys are null."
    assert "Made       never" in page
    assert "Rests on   s3://lake/orders" in page
    assert columns(page)[lines.index("Checks") + 2] == ["no_nulls", "failed", "1 of 2 keys are null", '{"null":1}']
    assert "Next: surefoot why " in lines[-1]
    page = surefoot("asset", "inspect", "api://shop/orders").stdout
    for part in (
        "Name       Orders of the shop",
        "Owners     data, ops",
        "See        https://x",
        "By         task extract",
    ):
        assert part in page
    assert 'part   {"day":"2025-03-01"}' in page
    assert "Below it   s3://lake/orders" in page
    assert "task store (dbt)" in surefoot("asset", "inspect", "s3://lake/orders").stdout


@pytest.mark.usefixtures("ran")
def test_programs_get_the_record_and_its_history(surefoot: Surefoot) -> None:
    found = json.loads(surefoot("asset", "inspect", "wh/orders", "-o", "json").stdout)
    assert (found["key"], found["completed"], found["last"]["outcome"]) == ("postgres://wh/orders", None, "failed")
    nightly(return_state=True)
    lines = surefoot("asset", "inspect", "lake/orders", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["completed", "completed"]
    first = surefoot("asset", "inspect", "lake/orders", "--limit", "1")
    assert "There are more: add `--after" in first.stderr
    cursor = first.stderr.partition("--after ")[2].partition("`")[0]
    for more in (["--limit", "0"], ["--after", cursor]):
        result = surefoot("asset", "inspect", "lake/orders", *more)
        assert result.stderr == ""
        assert result.stdout.partition("History")[2].count("Completed") == (2 if more[1] == "0" else 1)


@pytest.mark.usefixtures("ran")
def test_lineage_is_drawn_as_trees(surefoot: Surefoot) -> None:
    told = surefoot("asset", "lineage", "lake/orders").stdout.splitlines()
    starts = [line.partition("   Completed")[0].partition("   Failed")[0].partition("   not made")[0] for line in told]
    assert [start.rstrip() for start in starts] == [
        "Rests on",
        "  s3://lake/orders",
        "  ├─ api://shop/orders",
        "  └─ file:///etc/rates.csv",
        "",
        "Below it",
        "  s3://lake/orders",
        "  ├─ postgres://wh/orders",
        "  └─ s3://lake/report",
    ]
    assert told[3].endswith("not made here   (declared)")
    up = surefoot("asset", "lineage", "lake/report", "--up", "1", "--down", "0").stdout
    assert [line.split()[-4:][0] for line in up.splitlines()[2:]] == ["s3://lake/orders"]
    assert "Below it" not in up


@pytest.mark.usefixtures("ran")
def test_what_was_made_before_what_it_rests_on_is_told(surefoot: Surefoot) -> None:
    extract()
    assert "(newer than what rests on it)" in surefoot("asset", "lineage", "lake/orders").stdout
    assert "(older than what it rests on)" in surefoot("asset", "lineage", "api://shop/orders").stdout


@pytest.mark.usefixtures("ran")
def test_lineage_is_given_as_json_and_as_mermaid(surefoot: Surefoot) -> None:
    found = json.loads(surefoot("asset", "lineage", "lake/orders", "-o", "json").stdout)
    assert found["key"] == "s3://lake/orders"
    assert [(edge["upstream"], edge["asset"], edge["how"]) for edge in found["edges"]] == [
        ("s3://lake/orders", "postgres://wh/orders", "data"),
        ("api://shop/orders", "s3://lake/orders", "data"),
        ("file:///etc/rates.csv", "s3://lake/orders", "declared"),
        ("s3://lake/orders", "s3://lake/report", "data"),
    ]
    mermaid = surefoot("asset", "lineage", "lake/orders", "-o", "mermaid").stdout
    assert mermaid.splitlines() == [
        "flowchart LR",
        '    n0["api://shop/orders<br/><small>Orders of the shop</small>"]',
        '    n1(["file:///etc/rates.csv"])',
        '    n2["postgres://wh/orders"]',
        '    n3["s3://lake/orders"]',
        '    n4["s3://lake/report"]',
        "    n3 --> n2",
        "    n0 --> n3",
        "    n1 -.-> n3",
        "    n3 --> n4",
        "    style n3 stroke-width:3px",
    ]


@pytest.mark.usefixtures("ran")
def test_why_takes_the_key_of_an_asset(surefoot: Surefoot) -> None:
    told = surefoot("why", "postgres://wh/orders").stdout
    assert "1 of 2 keys are null" in told
    assert told.startswith("load-")
    for key in ("file:///etc/rates.csv", "s3://nope"):
        result = surefoot("why", key)
        assert result.exit_code == Exit.NOT_FOUND
    assert "No run here makes" in surefoot("why", "file:///etc/rates.csv").stderr


@pytest.mark.usefixtures("ran")
def test_an_asset_is_deleted_by_its_whole_key_once_that_is_agreed_to(surefoot: Surefoot) -> None:
    part = surefoot("asset", "delete", "lake/report", "--yes")
    assert (part.exit_code, "Type the whole key: s3://lake/report" in part.stderr) == (Exit.NOT_FOUND, True)
    assert surefoot("asset", "delete", "s3://lake/report").exit_code != Exit.DONE
    done = surefoot("asset", "delete", "s3://lake/report", "--yes")
    assert done.stdout == "Deleted what was recorded of s3://lake/report.\n"
    assert "report" not in surefoot("asset", "ls").stdout


@pytest.mark.usefixtures("ran")
def test_a_part_of_several_keys_is_refused(surefoot: Surefoot) -> None:
    result = surefoot("asset", "inspect", "orders")
    assert result.exit_code == Exit.BAD_INPUT
    assert "several assets" in result.stderr


def test_what_a_hostile_writer_told_is_shown_harmlessly(surefoot: Surefoot, home: Any) -> None:
    evil = "\x1b[2J\u202e<script>`"
    fact = AssetMaterialized(
        new_id(),
        None,
        f"s3://{evil}",
        1,
        1,
        "failed",
        task_name=evil,
        run_name=evil,
        by=evil,
        message=f"{evil}\nsecond line",
        metadata=json.dumps({evil: evil * 1000}).encode(),
        checks=(CheckTold(evil, False, evil, evil),),
        upstream=((f"x://{evil}", evil),),
        properties=json.dumps({"name": evil, "url": evil, "description": evil * 100, "owners": [evil]}).encode(),
    )
    recorded(home, [fact])
    for words in (
        ["ls"],
        ["inspect", f"s3://{evil}"],
        ["lineage", f"s3://{evil}"],
        ["lineage", f"s3://{evil}", "-o", "mermaid"],
        ["delete", f"s3://{evil}", "--yes"],
    ):
        result = surefoot("asset", *words)
        assert result.exit_code == Exit.DONE, result.stderr
        assert result.stdout
        assert "\x1b" not in result.stdout + result.stderr
        assert "\u202e" not in result.stdout + result.stderr
        if words[-1] == "mermaid":
            assert "<script>" not in result.stdout
