"""Assets in the ledger: the same in whatever order facts arrive, followed up and down, and kept as long as is right."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from surefoot.core.errors import Ambiguous, NotFound
from surefoot.core.facts import AssetMaterialized, CheckTold
from surefoot.core.ids import new_id
from surefoot.core.states import COMPLETED, CRASHED, FAILED, RUNNING
from surefoot.ledger import Ledger, queries
from surefoot.ledger.fold_assets import asset_id_of
from surefoot.ledger.retention import Cutoffs, Retaining
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run, dump
from tests.ledger.plans import Plans

DAY = 86_400 * SECOND
Ask = Callable[..., Any]

_numbers = count()


def made(
    pen: Pen,
    key: str,
    *upstream: str,
    at_us: int = T0,
    outcome: str = "completed",
    run: Run | None = None,
    flow_run: Run | None = None,
    how: str = "data",
    **fields: Any,
) -> AssetMaterialized:
    """A materialization, written."""
    run = run or a_task_run(pen, flow_run, at_us=at_us)
    fact = AssetMaterialized(
        run.id,
        None if flow_run is None else flow_run.id,
        key,
        at_us,
        at_us,
        outcome,
        n=fields.pop("n", 2),
        task_name="load",
        run_name=run.name,
        upstream=tuple([(other, how) for other in upstream]),
        **fields,
    )
    pen.write(fact)
    return fact


def edges(ask: Ask, key: str, **options: Any) -> list[tuple[str, str]]:
    return [(edge.upstream, edge.asset) for edge in ask(queries.lineage_of, key, **options).edges]


keys = st.sampled_from(["s3://a", "s3://b", "s3://c"])
facts = st.lists(
    st.builds(
        lambda key, upstream, run, epoch, n, at, outcome, name: AssetMaterialized(
            bytes([run]) * 16,
            bytes([9]) * 16,
            key,
            T0 + at,
            T0 + at,
            outcome,
            epoch,
            n,
            "load",
            "load-1",
            upstream=tuple([(other, "data") for other in upstream]),
            # One run tells one thing at a time: what differs at the same instant is told by different runs.
            properties=None if name is None else b'{"name":"%d"}' % name,
        ),
        keys,
        st.lists(keys, max_size=2, unique=True),
        st.integers(1, 3),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 5),
        st.sampled_from(["begun", "completed", "failed"]),
        st.none() | st.integers(0, 2),
    ),
    max_size=12,
    unique_by=lambda fact: (fact.key, fact.run_id, fact.epoch, fact.n),
)


@settings(max_examples=60)
@given(told=facts, order=st.randoms(use_true_random=False), size=st.integers(1, 5))
def test_the_order_in_which_facts_arrive_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, told: list[AssetMaterialized], order: random.Random, size: int
) -> None:
    folder = tmp_path_factory.mktemp("ledgers")
    dumps = []
    for number, sizes in enumerate(((1_000,), (size,))):
        pen = Pen()
        for fact in told:
            pen.write(fact)
        batches = pen.batches(*sizes)
        if number:
            order.shuffle(batches)
        with Ledger.open(folder / f"{number}.db") as ledger:
            for batch in batches:
                ledger.fold([batch])
                ledger.fold([batch])
            dumps.append({name: rows for name, rows in dump(ledger).items() if name.startswith("asset")})
    assert dumps[0] == dumps[1]


def test_of_an_attempt_the_last_word_counts(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_task_run(pen, None).enter(RUNNING)
    made(pen, "s3://a", run=run, outcome="begun", n=1)
    made(
        pen,
        "s3://a",
        run=run,
        at_us=T0 + SECOND,
        outcome="failed",
        message="Check 'full' failed.",
        metadata=b'{"rows":3}',
        checks=(CheckTold("full", False, "error", "half of it", b'{"share":0.5}'),),
        by="dbt",
        properties=b'{"name":"A","owners":["me"]}',
    )
    ledger.fold(pen.batches())
    asset = ask(queries.find_asset, "s3://a")
    assert (asset.name, asset.owners, asset.completed) == ("A", ["me"], None)
    last = asset.last
    assert (last.outcome, last.message, last.metadata, last.by) == (
        "failed",
        "Check 'full' failed.",
        {"rows": 3},
        "dbt",
    )
    assert [(check.name, check.passed, check.metadata) for check in last.checks] == [("full", False, {"share": 0.5})]


@pytest.mark.parametrize("fate", ["goes on", "died", "was started again", "was deleted"])
def test_what_became_of_an_attempt_that_told_no_end_is_seen_from_its_run(ledger: Ledger, ask: Ask, fate: str) -> None:
    pen = Pen()
    flow_run = a_flow_run(pen).enter(RUNNING)
    run = a_task_run(pen, flow_run).enter(RUNNING)
    made(pen, "s3://a", run=run, flow_run=flow_run, outcome="begun", n=1)
    ledger.fold(pen.batches())
    if fate == "died":
        ledger.end_writer(pen.id, T0 + 9 * SECOND, "its machine lost power")
    if fate == "was started again":
        other = Pen()
        run.next_epoch(other).enter(RUNNING)
        ledger.fold(other.batches())
    if fate == "was deleted":
        run.enter(FAILED)
        flow_run.enter(FAILED)
        ledger.fold(pen.batches())
        ledger.delete_flow_runs([flow_run.id])
    last = ask(queries.find_asset, "s3://a").last
    assert last.outcome == ("running" if fate == "goes on" else "crashed")
    if fate == "died":
        assert "lost power" in last.message
    if fate == "was started again":
        assert "its process died" in last.message


def test_lineage_is_followed_up_and_down_by_steps(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for key, upstream in (("s3://b", "s3://a"), ("s3://c", "s3://b"), ("s3://d", "s3://c"), ("s3://e", "s3://b")):
        made(pen, key, upstream)
    ledger.fold(pen.batches())
    whole = [("s3://a", "s3://b"), ("s3://b", "s3://c"), ("s3://c", "s3://d")]
    assert edges(ask, "s3://c") == whole
    assert edges(ask, "s3://c", up=1, down=0) == [("s3://b", "s3://c")]
    assert edges(ask, "s3://a", down=2) == [("s3://a", "s3://b"), ("s3://b", "s3://c"), ("s3://b", "s3://e")]
    found = ask(queries.lineage_of, "s3://c", up=1, down=1)
    assert [asset.key for asset in found.assets] == ["s3://b", "s3://c", "s3://d"]


def test_assets_that_rest_on_each_other_are_followed_once(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    made(pen, "s3://a", "s3://b")
    made(pen, "s3://b", "s3://a")
    ledger.fold(pen.batches())
    assert edges(ask, "s3://a") == [("s3://b", "s3://a"), ("s3://a", "s3://b")]


def test_what_only_an_earlier_run_rested_on_is_told_apart(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for day, upstream in enumerate(("s3://old", "s3://new")):
        flow_run = a_flow_run(pen, at_us=T0 + day * DAY)
        for part in range(2):  # of one flow run all tasks count that make it
            made(pen, "s3://a", f"{upstream}-{part}", at_us=T0 + day * DAY + part, flow_run=flow_run)
    ledger.fold(pen.batches())
    assert edges(ask, "s3://a") == [("s3://new-0", "s3://a"), ("s3://new-1", "s3://a")]
    found = ask(queries.lineage_of, "s3://a", earlier=True)
    assert {edge.upstream: edge.current for edge in found.edges} == {
        "s3://old-0": False,
        "s3://old-1": False,
        "s3://new-0": True,
        "s3://new-1": True,
    }


def test_a_failure_does_not_hide_what_the_last_good_one_rested_on(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    made(pen, "s3://a", "s3://b", flow_run=a_flow_run(pen))
    made(pen, "s3://a", "s3://c", outcome="failed", at_us=T0 + DAY, flow_run=a_flow_run(pen, at_us=T0 + DAY))
    ledger.fold(pen.batches())
    assert edges(ask, "s3://a") == [("s3://b", "s3://a"), ("s3://c", "s3://a")]


def test_the_whole_of_a_lineage_has_a_limit(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for number in range(15):
        made(pen, f"s3://out-{number}", *[f"s3://in-{number}-{n:03}" for n in range(100)])
        made(pen, "s3://all", f"s3://out-{number}", flow_run=Run(pen, bytes(16), False, "r", T0, 0))
    ledger.fold(pen.batches())
    found = ask(queries.lineage_of, "s3://all")
    assert found.more
    assert len(found.assets) == 1_000


def test_assets_are_listed_by_key_in_pages_and_found_by_a_part_of_it(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for key in ("s3://lake/Orders_1", "postgres://wh/orders", "s3://lake/100%"):
        made(pen, key)
    ledger.fold(pen.batches())
    first = ask(queries.list_assets, limit=2)
    assert [asset.key for asset in first.results] == ["postgres://wh/orders", "s3://lake/100%"]
    rest = ask(queries.list_assets, limit=2, after=first.after)
    assert ([asset.key for asset in rest.results], rest.after) == (["s3://lake/Orders_1"], None)
    assert [asset.key for asset in ask(queries.list_assets, like="ORDERS").results] == [
        "postgres://wh/orders",
        "s3://lake/Orders_1",
    ]
    assert ask(queries.find_asset, "0%").key == "s3://lake/100%"
    assert ask(queries.find_asset, "rs_1").key == "s3://lake/Orders_1"
    with pytest.raises(Ambiguous, match="several assets: postgres://wh/orders, s3://lake/Orders_1"):
        ask(queries.find_asset, "orders")
    for missing in ("s3://nope", "", "rs?1"):
        with pytest.raises(NotFound, match="no asset"):
            ask(queries.find_asset, missing)


def test_materializations_come_in_pages_the_newest_first(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for number in range(5):
        made(pen, "s3://a", at_us=T0 + number // 2 * SECOND, metadata=b'{"n":%d}' % number)
    ledger.fold(pen.batches())
    seen, after = [], None
    while True:
        page = ask(queries.list_materializations, "s3://a", limit=2, after=after)
        seen += [each.metadata["n"] for each in page.results]
        after = page.after
        if after is None:
            break
    assert seen == [4, 3, 2, 1, 0]


def test_the_newest_of_each_asset_and_the_last_that_made_it_outlive_their_runs(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    outcomes = ["completed", "completed", "failed", "failed"]
    for day, outcome in enumerate(outcomes):
        flow_run = a_flow_run(pen, at_us=T0 + day * DAY).enter(RUNNING)
        run = a_task_run(pen, flow_run, at_us=T0 + day * DAY).enter(RUNNING).enter(COMPLETED)
        made(pen, "s3://a", f"s3://in-{day}", at_us=T0 + day * DAY, outcome=outcome, run=run, flow_run=flow_run)
        flow_run.enter(COMPLETED)
    ledger.fold(pen.batches())
    ledger.retain(Cutoffs(runs_us=T0 + 9 * DAY))
    left = ask(queries.list_materializations, "s3://a").results
    assert [(each.outcome, each.timestamp.day) for each in left] == [("failed", 18), ("completed", 16)]
    assert [edge.upstream for edge in ask(queries.lineage_of, "s3://a", earlier=True).edges] == [
        "s3://in-1",
        "s3://in-3",
    ]
    assert ask(queries.find_asset, "s3://in-0").last is None  # its name is not forgotten


def test_retention_stops_at_its_age(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for day in range(4):
        made(pen, "s3://a", at_us=T0 + day * DAY)
    ledger.fold(pen.batches())
    ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY))
    assert len(ask(queries.list_materializations, "s3://a").results) == 2


def test_a_run_that_somebody_deletes_takes_along_what_is_not_the_last(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    runs = []
    for day in range(2):
        flow_run = a_flow_run(pen, at_us=T0 + day * DAY).enter(RUNNING)
        run = a_task_run(pen, flow_run, at_us=T0 + day * DAY).enter(RUNNING).enter(COMPLETED)
        made(pen, "s3://a", at_us=T0 + day * DAY, run=run, flow_run=flow_run)
        runs.append(flow_run.enter(COMPLETED))
    ledger.fold(pen.batches())
    ledger.delete_flow_runs([run.id for run in runs])
    assert [each.timestamp.day for each in ask(queries.list_materializations, "s3://a").results] == [16]
    late = Pen()
    late.write(replace(made(Pen(), "s3://late"), flow_run_id=runs[0].id))  # what is told later brings nothing back
    ledger.fold(late.batches())
    with pytest.raises(NotFound):
        ask(queries.find_asset, "s3://late")


def test_an_asset_is_deleted_with_all_that_is_recorded_of_it(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for number in range(3):
        made(pen, "s3://a", "s3://up", at_us=T0 + number)
    made(pen, "s3://down", "s3://a")
    ledger.fold(pen.batches())
    ledger.delete_asset(asset_id_of("s3://a"))
    assert [asset.key for asset in ask(queries.list_assets).results] == ["s3://down", "s3://up"]
    assert edges(ask, "s3://down", earlier=True) == []
    left = dump(ledger)
    assert (len(left["asset_events"]), left["asset_edges"]) == (1, [])


def test_what_no_honest_writer_tells_is_kept_aside_or_shown_harmlessly(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    made(pen, "s3://" + "x" * 600)
    made(pen, "s3://a", "s3://" + "y" * 600)
    made(pen, "s3://a", outcome="o" * 17)
    made(pen, "s3://a", n=-1)
    made(pen, "\x1b[2J\0", properties=b"{", metadata=b"[1]", checks=(CheckTold("\x1b", True, metadata=b"?"),))
    made(pen, "\x1b[2J␀", outcome="begun")
    made(pen, "s3://typed", properties=b'{"name":3,"owners":"me","url":null}')
    ledger.fold(pen.batches())
    assert [asset.key for asset in ask(queries.list_assets).results] == ["\x1b[2J␀", "s3://typed"]
    typed = ask(queries.find_asset, "typed")
    assert (typed.name, typed.url, typed.owners) == ("3", None, [])
    assert len(dump(ledger)["unknown_facts"]) == 4


def test_an_attempt_that_crashed_is_the_last_word_of_its_epoch(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_task_run(pen, None).enter(RUNNING)
    made(pen, "s3://a", run=run, outcome="begun", n=1)
    made(pen, "s3://a", run=run, outcome="crashed", n=2, message="Ctrl-C", at_us=T0 + SECOND)
    run.enter(CRASHED)
    again = run.next_epoch().enter(RUNNING)
    pen.write(AssetMaterialized(again.id, None, "s3://a", T0 + DAY, T0 + DAY, "completed", 1, 2, "load", run.name))
    ledger.fold(pen.batches())
    history = ask(queries.list_materializations, "s3://a").results
    assert [(each.outcome, each.epoch, each.message) for each in history] == [
        ("completed", 1, None),
        ("crashed", 0, "Ctrl-C"),
    ]


def test_ids_of_assets_never_change() -> None:
    assert asset_id_of("s3://a").hex() == "0a8f0a08a1dc8014abcb6e2619032e15"


def test_those_that_stay_are_passed_by_once_however_many_they_are(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for number in range(1_500):
        pen.write(AssetMaterialized(new_id(), None, f"s3://{number:04}", T0, T0, "completed", n=2))
        if number % 500 == 0:
            pen.write(AssetMaterialized(new_id(), None, f"s3://{number:04}", T0 - 1, T0 - 1, "completed", n=2))
    ledger.fold(pen.batches())
    ledger.retain(Cutoffs(runs_us=T0 + DAY))
    assert len(dump(ledger)["asset_events"]) == 1_500
    assert len(ask(queries.list_materializations, "s3://0500").results) == 1


def test_assets_are_found_by_indexes(file_ledger: Ledger) -> None:
    pen = Pen()
    for number in range(300):
        made(pen, f"s3://{number % 30:02}", f"s3://{(number + 1) % 30:02}", at_us=T0 + number)
    file_ledger.fold(pen.batches())
    with file_ledger.read() as connection:
        plans = Plans(connection)
        told = [
            plans.of(queries.list_assets, limit=10),
            plans.of(queries.find_asset, "s3://07"),
            plans.of(queries.list_materializations, "s3://07", limit=5),
            plans.of(queries.lineage_of, "s3://07"),
        ]
    with file_ledger.decide() as connection:
        plans = Plans(connection)
        retaining = Retaining(Cutoffs(runs_us=T0 + 9 * DAY), T0)
        while retaining.step(connection):
            pass
        told.append("\n".join(plans.found))
    for plan in told:
        assert "asset" in plan
        scans = [line for line in plan.splitlines() if line.startswith("SCAN") and "asset" in line]
        assert not scans, scans
        sorts = [line for line in plan.splitlines() if "TEMP B-TREE FOR ORDER BY" in line]
        assert len(sorts) <= plan.count("asset_events_by_age"), plan
