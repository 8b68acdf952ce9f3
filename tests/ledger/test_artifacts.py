"""Artifacts in the ledger: folded whatever comes first, numbered by key, found, and gone with their runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surefoot.core.artifacts import JSON, TEXT
from surefoot.core.errors import Ambiguous, BadInput, NotFound
from surefoot.core.facts import ArtifactWritten, Unknown, encode
from surefoot.core.ids import id_at, new_id, to_text
from surefoot.core.states import COMPLETED, RUNNING
from surefoot.core.wire import ArtifactFilter
from surefoot.ledger import Ledger, queries
from surefoot.ledger.batches import Batch
from surefoot.ledger.decisions.deletion import count_below, delete_artifacts
from surefoot.ledger.removal import Removed
from surefoot.ledger.retention import Cutoffs
from tests.ledger.builders import SECOND, T0, Pen, Run, a_flow_run, a_task_run, dump
from tests.ledger.plans import Plans
from tests.places import Ledgers

DAY = 86_400 * SECOND
Ask = Callable[..., Any]


def an_artifact(
    pen: Pen,
    key: str | None = "report",
    text: str = "# Report",
    *,
    at_us: int = T0,
    run: Run | None = None,
    **fields: Any,
) -> bytes:
    """Written by `pen`; its id is as old as its instant."""
    artifact_id: bytes = fields.pop("artifact_id", id_at(at_us)[:6] + new_id()[6:])
    if run is not None:
        fields["task_run_id" if run.is_task else "flow_run_id"] = run.id
    made: dict[str, Any] = {"media_type": TEXT, "data": text.encode(), "size": len(text)} | fields
    pen.write(ArtifactWritten(artifact_id, made.pop("type", "markdown"), at_us, at_us, key=key, **made))
    return artifact_id


def a_change(pen: Pen, artifact_id: bytes, percent: int, *, at_us: int, description: str | None = None) -> None:
    data = str(percent).encode()
    pen.write(
        ArtifactWritten(artifact_id, "progress", at_us, at_us, True, None, description, JSON, data, size=len(data))
    )


def versions(ask: Ask, key: str = "report") -> list[tuple[str, int]]:
    found = ask(queries.list_artifacts, ArtifactFilter(key=[key])).results
    return [(ask(queries.find_artifact, each.id).data, each.version) for each in reversed(found)]


def test_artifacts_with_one_key_are_its_versions(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    for number in range(3):
        an_artifact(pen, text=f"text {number}", at_us=T0 + number * SECOND, run=run, description="about it")
    alone = an_artifact(pen, None, "without a key", at_us=T0 + 9 * SECOND)
    ledger.fold(pen.batches())
    assert versions(ask) == [("text 0", 1), ("text 1", 2), ("text 2", 3)]
    newest = ask(queries.find_artifact, "report")
    assert (newest.data, newest.version, newest.description) == ("text 2", 3, "about it")
    assert (newest.flow_run_id, newest.task_run_id, newest.size) == (run.text_id, None, 6)
    assert ask(queries.find_artifact, "report", 2).data == "text 1"
    assert ask(queries.find_artifact, to_text(alone)).version is None
    first = ask(queries.list_artifacts).results[0]
    assert (first.id, first.data) == (to_text(alone), None)  # a list reads no data
    assert ask(queries.count_artifacts, ArtifactFilter(flow_run_id=[run.text_id])) == 3


def test_the_newest_of_each_key_is_listed_by_key_page_by_page(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for number in range(7):
        for version in range(3):
            at_us = T0 + (version * 7 + number) * SECOND
            an_artifact(pen, f"key-{number}", type="table" if number % 2 else "markdown", at_us=at_us)
    an_artifact(pen, None)
    ledger.fold(pen.batches())
    found, after = [], None
    while True:
        page = ask(queries.latest_artifacts, limit=3, after=after)
        found += [(each.key, each.version) for each in page.results]
        after = page.after
        if after is None:
            break
    assert found == [(f"key-{number}", 3) for number in range(7)]
    tables = ask(queries.latest_artifacts, ArtifactFilter(type=["table"])).results
    assert [each.key for each in tables] == ["key-1", "key-3", "key-5"]
    assert ask(queries.latest_artifacts, ArtifactFilter(type=["nix"])).results == []
    with pytest.raises(BadInput, match="is not a cursor of artifacts by KEY_ASC"):
        ask(queries.latest_artifacts, after="nix")


def test_progress_is_what_was_told_last_in_whatever_order_it_arrives(ledger: Ledger, ask: Ask) -> None:
    pen, other = Pen(), Pen()
    artifact_id = an_artifact(pen, "load", "0", type="progress", media_type=JSON, description="loading")
    a_change(other, artifact_id, 80, at_us=T0 + 3 * SECOND)
    a_change(other, artifact_id, 20, at_us=T0 + 1 * SECOND, description="still loading")
    ledger.fold(other.batches())
    assert ask(queries.list_artifacts).results == []  # not made yet, as far as is known
    with pytest.raises(NotFound):
        ask(queries.find_artifact, to_text(artifact_id))
    ledger.fold(pen.batches())
    ledger.fold(other.batches())
    found = ask(queries.find_artifact, "load")
    assert (found.data, found.description, found.version) == (80, "still loading", 1)
    assert (found.updated - found.created).total_seconds() == 3


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(6)))
def test_the_order_in_which_facts_arrive_changes_nothing(ledgers: Ledgers, order: list[int]) -> None:
    artifact_id, text_id = bytes(15) + b"\1", bytes(15) + b"\2"
    pen = Pen()
    an_artifact(pen, "load", "0", type="progress", media_type=JSON, artifact_id=artifact_id)
    for number in (1, 2):
        a_change(pen, artifact_id, number, at_us=T0 + SECOND, description=f"now {number}")  # at the same instant
    a_change(pen, artifact_id, 3, at_us=T0 - SECOND)  # by a clock that was set back
    an_artifact(pen, "text", artifact_id=text_id)
    a_change(pen, text_id, 50, at_us=T0 + SECOND, description="not progress")
    facts = [pair for pair in pen.runs if isinstance(pair[1], ArtifactWritten)]
    with ledgers.opened() as ledger:
        for number, at in enumerate(order):
            ledger.fold([Batch(new_id(), "runs", 0, 0, 100, [(number, facts[at][1])])])
        rows = dump(ledger)["artifacts"]
        with ledger.read() as tx:
            found = queries.find_artifact(tx, "load")
            text = queries.find_artifact(tx, "text")
    assert (found.data, found.description) == (2, "now 2")
    assert (text.data, text.description) == ("# Report", None)  # a text is never changed
    assert len(rows) == 2


def test_versions_keep_their_numbers_when_others_are_deleted(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    ids = [an_artifact(pen, text=f"{number}", at_us=T0 + number * SECOND) for number in range(1, 7)]
    ledger.fold(pen.batches())

    def delete(*numbers: int) -> int:
        with ledger.decide() as tx:
            return delete_artifacts(tx, [ids[number - 1] for number in numbers], T0)[0]

    assert delete(1, 3) == 2
    assert versions(ask) == [("2", 2), ("4", 4), ("5", 5), ("6", 6)]
    assert delete(4, 2, 2) == 2
    assert versions(ask) == [("5", 5), ("6", 6)]
    with pytest.raises(NotFound, match="has no version 4: the newest is 6"):
        ask(queries.find_artifact, "report", 4)
    assert delete(6, 1) == 1
    assert versions(ask) == [("5", 5)]
    a_change(pen, ids[5], 50, at_us=T0)
    an_artifact(pen, text="again", at_us=T0 + 20 * SECOND, artifact_id=ids[4])  # told twice
    ledger.fold(pen.batches())
    assert versions(ask) == [("5", 5)]  # what was deleted does not come back


@pytest.mark.parametrize("number_deleted", [1, 250])
def test_many_at_once_are_deleted_likewise(ledger: Ledger, ask: Ask, number_deleted: int) -> None:
    pen = Pen()
    ids = [an_artifact(pen, f"k-{number % 3}", at_us=T0 + number * SECOND) for number in range(300)]
    ledger.fold(pen.batches())
    with ledger.decide() as tx:
        assert delete_artifacts(tx, ids[:number_deleted], T0)[0] == number_deleted
    newest = ask(queries.latest_artifacts).results
    assert [each.version for each in newest] == [100, 100, 100]
    assert len(ask(queries.list_artifacts, limit=1000).results) == 300 - number_deleted


def test_artifacts_go_with_runs_that_are_too_old_but_for_the_newest_of_each_key(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    for day in range(3):
        at_us = T0 + day * DAY
        run = a_flow_run(pen, f"day-{day}", at_us=at_us)
        task = a_task_run(pen, run, at_us=at_us)
        an_artifact(pen, text=f"day {day}", at_us=at_us, run=run, place=f"/data/{day}")
        an_artifact(pen, "only-once" if day == 0 else None, at_us=at_us, flow_run_id=run.id, task_run_id=task.id)
        task.enter(RUNNING).enter(COMPLETED)
        run.enter(RUNNING).enter(COMPLETED)
        alone = a_task_run(pen, None, at_us=at_us)
        an_artifact(pen, "of-task", at_us=at_us, run=alone)
        alone.enter(RUNNING).enter(COMPLETED)
        an_artifact(pen, "of-none", at_us=at_us)
    ledger.fold(pen.batches())
    gone = ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY))
    assert gone.removed == Removed(flow_runs=2, task_runs=4, artifacts=7)
    assert sorted(gone.places) == ["/data/0", "/data/1"]
    assert versions(ask) == [("day 2", 3)]
    assert [(each.key, each.version) for each in ask(queries.latest_artifacts).results] == [
        ("of-none", 3),
        ("of-task", 3),
        ("only-once", 1),
        ("report", 3),
    ]
    assert ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY)).removed == Removed()
    later = Pen()
    an_artifact(later, "only-once", at_us=T0 + 2 * DAY)
    ledger.fold(later.batches())
    assert ledger.retain(Cutoffs(runs_us=T0 + 2 * DAY)).removed == Removed(artifacts=1)  # its run had gone before


def test_artifacts_go_with_runs_that_somebody_deletes(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    run = a_flow_run(pen, "root")
    task = a_task_run(pen, run)
    an_artifact(pen, run=run, place="/data/1")
    an_artifact(pen, "rows", flow_run_id=run.id, task_run_id=task.id)
    task.enter(RUNNING).enter(COMPLETED)
    run.enter(RUNNING).enter(COMPLETED)
    alone = a_task_run(pen, None)
    an_artifact(pen, "alone", run=alone)
    alone.enter(RUNNING).enter(COMPLETED)
    ledger.fold(pen.batches())
    assert ask(count_below, [run.id], []) == Removed(flow_runs=1, task_runs=1, artifacts=2)
    assert ask(count_below, [], [alone.id]) == Removed(task_runs=1, artifacts=1)
    gone = ledger.delete_flow_runs([run.id])
    assert (gone.removed, gone.places) == (Removed(flow_runs=1, task_runs=1, artifacts=2), ["/data/1"])
    assert ledger.delete_task_runs([alone.id]).removed == Removed(task_runs=1, artifacts=1)
    an_artifact(pen, run=run)
    ledger.fold(pen.batches())
    assert ask(queries.list_artifacts).results == []


def test_what_is_not_there_is_not_found_and_the_nearest_is_named(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    ids = [an_artifact(pen, "report", at_us=T0), an_artifact(pen, "rows", at_us=T0)]
    ledger.fold(pen.batches())
    with pytest.raises(NotFound, match=r"No artifact goes by 'raport'. Near to it: report."):
        ask(queries.find_artifact, "raport")
    with pytest.raises(NotFound, match="No artifact goes by"):
        ask(queries.artifact_content, bytes(16))
    with pytest.raises(Ambiguous, match=r"The ids of several artifacts begin with .*\(rows\)"):
        ask(queries.find_artifact, to_text(ids[0])[:8])
    assert ask(queries.find_artifact, to_text(ids[0])).key == "report"


def test_a_fact_whose_numbers_cannot_be_is_kept_aside(ledger: Ledger, ask: Ask) -> None:
    pen = Pen()
    an_artifact(pen, size=-1)
    an_artifact(pen, crc32=1 << 40)
    an_artifact(pen, "k" * 5000)
    ledger.fold(pen.batches())
    (found,) = ask(queries.list_artifacts).results
    assert len(found.key) == 500  # what no index could hold is cut
    assert len(dump(ledger)["unknown_facts"]) == 2


def test_artifacts_that_an_older_version_did_not_know_are_folded_after_an_upgrade(ledgers: Ledgers) -> None:
    pen = Pen()
    made = ArtifactWritten(new_id(), "markdown", T0, T0, key="report", media_type=TEXT, data=b"# Report", size=8)
    pen.write(Unknown(encode(made)))
    path = ledgers.new()
    with Ledger.open(path) as ledger:
        ledger.fold(pen.batches())
        with ledger._write() as connection:
            connection.exec_driver_sql("UPDATE meta SET value = '0.0.1' WHERE key = 'folded_by'")
    with Ledger.open(path) as ledger:
        ledger.fold([])
        with ledger.read() as connection:
            assert queries.find_artifact(connection, "report").data == "# Report"


def test_no_page_of_artifacts_walks_through_all_of_them(file_ledger: Ledger) -> None:
    pen = Pen()
    run = a_flow_run(pen)
    for number in range(100):
        an_artifact(pen, f"key-{number % 10}", run=run, at_us=T0 + number * SECOND)
    file_ledger.fold(pen.batches())
    with file_ledger.read() as connection:
        plans = Plans(connection)
        for told in (
            plans.of_page(lambda tx, **options: queries.list_artifacts(tx, limit=10, after=options["after"]), "", 1),
            plans.of(queries.list_artifacts, ArtifactFilter(key=["key-1"])),
            plans.of(queries.list_artifacts, ArtifactFilter(flow_run_id=[run.text_id])),
            plans.of(queries.find_artifact, "key-1", 3),
            plans.of(queries.latest_artifacts, limit=3),
        ):
            assert "SCAN artifacts" not in told, told
            assert "TEMP B-TREE" not in told, told
