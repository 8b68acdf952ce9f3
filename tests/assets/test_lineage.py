"""Lineage by data: an asset rests on those that its inputs come from, whatever lies in between."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from surefoot import allow_failure, flow, task, unmapped
from surefoot.assets import Asset, materialize
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.core import wire
from surefoot.engine.lineage import FollowedLinks
from tests.assets import programs
from tests.assets.programs import clean, count, extract, inner, load, outer
from tests.locking.watching import until

Rows = list[dict[str, int]]


def upstream_of(key: str = "s3://out") -> dict[str, str]:
    client = get_client()
    try:
        return {edge.upstream: edge.how for edge in client.lineage(key, up=1, down=0).edges}
    finally:
        client.close()


def last(key: str) -> wire.Materialization:
    client = get_client()
    try:
        found = client.find_asset(key).last
    finally:
        client.close()
    assert found is not None
    return found


RAW = {"s3://raw": "data"}


@task
def pair(a: Any, b: Any) -> dict[str, Any]:
    return {"a": a, "b": b}


@task
def tagged(rows: Rows, number: int) -> Rows:
    return [row | {"number": number} for row in rows]


@flow
def cleans(rows: Rows) -> Rows:
    return clean(rows)


@flow
def extracts() -> Rows:
    return extract()


@flow
def loads(rows: Rows) -> int:
    return load(rows)


@flow
def extracts_later() -> Any:
    return extract.submit()


@dataclass
class Batch:
    rows: Any


# Each body, and what s3://out rests on in the end.
WAYS: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "directly": (lambda: load(extract()), RAW),
    "over two plain tasks": (lambda: load(clean(clean(extract()))), RAW),
    "by futures": (lambda: load.submit(clean.submit(extract.submit())), RAW),
    "over a number in a future": (lambda: load.submit(count.submit(extract.submit())), RAW),
    "in a list": (lambda: load([extract(), 3]), RAW),
    "in a dataclass of futures": (lambda: load.submit(Batch(clean.submit(extract.submit()))), RAW),
    "as a keyword": (lambda: load(value=clean(extract())), RAW),
    "a part of a result": (lambda: load(pair(extract(), inner([{"id": 1}]))["a"]), RAW | {"s3://inner": "data"}),
    "through a map": (lambda: load.submit(clean.map([extract(), extract()])), RAW),
    "a map over it": (lambda: load.map(clean.submit(extract.submit()), return_state=True), RAW),
    "unmapped": (lambda: load.submit(tagged.map(unmapped(extract()), [1, 2])), RAW),
    "into a subflow": (lambda: loads(extract()), RAW),
    "through a subflow": (lambda: load(cleans(extract())), RAW),
    "out of a subflow": (lambda: load(extracts()), RAW),
    "out of a subflow as a future": (lambda: load(extracts_later()), RAW),
    "out of a submitted subflow": (lambda: load.submit(extracts.submit()), RAW),
    "through an asset in between": (lambda: load(inner(extract())), {"s3://inner": "data"}),
    "out of a task in a task": (lambda: load(outer(extract())), {"s3://inner": "data"}),
    "by waiting": (lambda: load.submit(1, wait_for=[clean.submit(extract.submit())]), {"s3://raw": "declared"}),
    "by waiting and by data": (lambda: load(extract(), wait_for=[extract.submit()]), RAW),
    "allowed to fail": (lambda: load.submit(allow_failure(extract.submit())), RAW),
    "not at all": (lambda: (extract(), load(3)), {}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_an_asset_rests_on_those_that_its_inputs_come_from(way: str) -> None:
    body, expected = WAYS[way]

    @flow
    def nightly() -> Any:
        return body()

    nightly()
    assert upstream_of() == expected


def test_what_a_plain_task_declares_to_read_is_behind_what_is_made_of_its_result() -> None:
    @task(asset_deps=["s3://rates", Asset("s3://users")])
    def reads() -> int:
        return 3

    @materialize("s3://out", asset_deps=["s3://more"])
    def makes(value: int) -> int:
        return value

    @flow
    def nightly() -> Any:
        return makes.submit(reads.submit())

    nightly()
    assert upstream_of() == {"s3://more": "declared", "s3://rates": "data", "s3://users": "data"}
    assert reads.with_options(name="other").recipe == reads.recipe


def test_an_asset_that_is_read_and_written_does_not_rest_on_itself() -> None:
    @materialize("s3://out", asset_deps=["s3://out", "s3://raw"])
    def appends() -> int:
        return 1

    appends()
    assert upstream_of() == {"s3://raw": "declared"}


def test_lineage_goes_through_what_is_cached(tmp_path: Path) -> None:
    cached = extract.with_options(cache_policy=INPUTS, result_storage=str(tmp_path))
    plain = clean.with_options(cache_policy=INPUTS, result_storage=str(tmp_path))

    @flow
    def nightly() -> Any:
        return load(plain(cached()))

    nightly()
    nightly()
    client = get_client()
    assert len(client.materializations("s3://out").results) == 2
    client.close()
    assert upstream_of() == RAW


def test_lineage_goes_through_what_was_taken_over_when_a_run_is_retried() -> None:
    is_broken = [True]

    @materialize("s3://out")
    def breaks(rows: Rows) -> int:
        if is_broken[0]:
            raise OSError
        return 1

    @flow
    def nightly() -> Any:
        return breaks(cleans(extracts()))

    state = nightly(return_state=True)
    is_broken[0] = False
    nightly.retry(str(state.state_details["flow_run_id"]))
    assert (last("s3://out").epoch, last("s3://raw").epoch) == (1, 0)
    assert upstream_of() == RAW


def test_lineage_goes_through_asynchronous_code() -> None:
    @materialize("s3://raw")
    async def fetch() -> Rows:
        await asyncio.sleep(0)
        return [{"id": 1}]

    @task
    async def mends(rows: Rows) -> Rows:
        return [*rows]

    @flow
    async def nightly() -> Any:
        return load.submit(await mends(await fetch()))

    asyncio.run(nightly())
    assert upstream_of() == RAW


def test_lineage_goes_through_a_generator() -> None:
    @materialize("s3://raw")
    def each() -> Any:
        yield [1]
        yield [2]

    @flow
    def nightly() -> None:
        for rows in each():
            load(rows)

    nightly()
    assert upstream_of() == RAW


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_lineage_metadata_and_checks_come_back_from_processes() -> None:
    programs.in_processes()
    assert upstream_of() == {"s3://inner": "data"}
    assert upstream_of("s3://inner") == RAW
    raw = last("s3://raw")
    assert raw.metadata["pid"] == raw.checks[0].metadata["pid"] != os.getpid()
    assert raw.checks[0].passed


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_value_that_is_no_object_comes_from_what_its_task_got() -> None:
    programs.in_processes_a_number()
    assert upstream_of() == RAW
    assert upstream_of("s3://inner") == RAW


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_an_isolated_task_tells_its_metadata_inside_and_outside_of_flows() -> None:
    for call in (flow(name="isolated")(lambda: programs.apart()), programs.apart):
        call()
        made = last("s3://apart")
        assert made.metadata["pid"] == made.checks[0].metadata["pid"] != os.getpid()


def test_a_flow_that_began_before_assets_were_loaded_is_followed_from_then_on(tmp_path: Path) -> None:
    script = tmp_path / "late.py"
    script.write_text(
        "from surefoot import flow\n"
        "@flow\n"
        "def inner(rows, load): return load(rows)\n"
        "@flow\n"
        "def main():\n"
        "    from surefoot.assets import materialize\n"
        "    extract = materialize('s3://raw')(lambda: {'a': object()})\n"
        "    load = materialize('s3://out')(lambda value: 1)\n"
        "    load.submit(extract.submit())\n"
        "main()\n"
    )
    subprocess.run([sys.executable, script], check=True, capture_output=True, timeout=60)
    assert upstream_of() == RAW


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_that_dies_in_the_midst_leaves_an_asset_that_crashed(tmp_path: Path) -> None:
    mark = tmp_path / "began"
    words = [sys.executable, "-m", "tests.assets.programs", str(mark)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as started:
        until(mark.exists)
        assert last("s3://slow").outcome == "running"
        started.send_signal(signal.SIGKILL)
    found = last("s3://slow")
    assert found.outcome == "crashed"
    assert found.message


# -- values that Python gives no weak references to


class Large(list[int]):
    """A list that tells when it is gone."""


def test_large_lists_are_known_as_long_as_somebody_has_them() -> None:
    links = FollowedLinks()
    rows = [Large() for _ in range(1000)]
    gone = weakref.ref(rows[0])
    links.add(rows, b"1" * 16)
    assert links.find(rows) == {b"1" * 16}
    assert links.find({"rows": rows}) == {b"1" * 16}
    links.add("something else", b"2" * 16)
    assert links.find_one(rows) == b"1" * 16
    del rows
    links.add("something else", b"2" * 16)
    gc.collect()
    assert gone() is None


def test_parts_of_a_result_are_known_and_the_last_run_that_gave_one_counts() -> None:
    links = FollowedLinks()
    left, right = [[1]], [{"a": [1]}]
    links.add((left, right), b"1" * 16)
    assert links.find_one(left) == links.find_one(right) == b"1" * 16
    links.add(left, b"2" * 16)
    assert links.find_one(left) == b"2" * 16
    assert links.find([]) == links.find([[1]]) == set()


def test_so_many_are_held_and_no_more() -> None:
    links = FollowedLinks()
    kept = [[[number]] for number in range(100)]
    for number, each in enumerate(kept):
        links.add(each, number.to_bytes(16, "big"))
    assert links.find_one(kept[0]) is None
    assert links.find_one(kept[-1]) == (99).to_bytes(16, "big")
