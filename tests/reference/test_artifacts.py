"""Rows 14.30 to 14.40 of the reference, its lines of Appendix A, and row 17.26: artifacts and their commands."""

from __future__ import annotations

import asyncio
import inspect
import json
import warnings
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from surefoot import artifacts, flow, task
from surefoot.artifacts import (
    Artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from surefoot.cli.app import app
from surefoot.core.settings import temporary_settings
from surefoot.exceptions import BadInput
from tests.reference.rows import at, row


def command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def made_in_a_flow(make: Any) -> Any:
    """What a function gives that is called in a flow."""

    @flow
    def main() -> Any:
        return make()

    return main()


def data_of(key: str) -> Any:
    found = Artifact.get(key)
    assert found is not None
    return found.data


@pytest.mark.parametrize(
    ("function", "known"),
    [
        at("14.30", create_markdown_artifact, "markdown key description"),
        at("14.31", create_table_artifact, "table key description"),
        at("14.32", create_link_artifact, "link link_text key description"),
        at("14.33", create_progress_artifact, "progress key description"),
        at("14.33", update_progress_artifact, "artifact_id progress description"),
        at("14.34", create_image_artifact, "image_url key description"),
    ],
)
def test_the_arguments_are_those_that_users_know(function: Any, known: str) -> None:
    assert list(inspect.signature(function).parameters)[: len(known.split())] == known.split()


@row("14.30")
def test_a_key_has_lower_case_letters_digits_and_dashes(row: str) -> None:
    made = made_in_a_flow(lambda: create_markdown_artifact("# Report", key="report-1", description="of today"))
    found = Artifact.get("report-1")
    assert found is not None
    assert (found.id, found.type, found.data, found.description) == (made, "markdown", "# Report", "of today")
    for bad in ("Bad_Key", "a b", "ä", ""):
        with pytest.raises(ValueError, match="is none: it has at most 255 lower-case letters"):
            create_markdown_artifact("x", key=bad)


@row("14.31", "A:an artifact's key, a table that is a text, progress out of its range, mended")
def test_tables_of_all_shapes_are_taken_and_what_is_none_is_refused(row: str) -> None:
    shapes: list[Any] = [{"a": [1, 2], "b": ["x", None]}, [{"a": 1}, {"a": float("nan")}], [["a", 1], ["b", 2]]]

    def make() -> None:
        for number, shape in enumerate(shapes):
            create_table_artifact(shape, key=f"table-{number}")

    made_in_a_flow(make)
    assert data_of("table-0") == shapes[0]
    assert data_of("table-1") == [{"a": 1}, {"a": None}]
    assert data_of("table-2") == shapes[2]
    for none in ("a text", 5, None, object()):
        with pytest.raises(BadInput, match="table is of type "):
            create_table_artifact(none)
    with pytest.raises(ValueError, match="The key 'Bad_Key' is none"):
        create_table_artifact([], key="Bad_Key")
    for out in (150, -1):
        with pytest.raises(ValueError, match=f"progress is {out}. Pass a number from 0 to 100"):
            create_progress_artifact(out)


@row("14.32")
def test_a_link_has_a_text_to_show(row: str) -> None:
    made_in_a_flow(lambda: create_link_artifact("https://example.com/report", link_text="the report", key="link"))
    assert data_of("link") == {"link": "https://example.com/report", "link_text": "the report"}
    assert command("artifact", "inspect", "link").endswith("the report: https://example.com/report\n")


@row("14.33")
def test_progress_goes_on_and_its_description_with_it(row: str) -> None:
    def make() -> UUID:
        made = create_progress_artifact(0.0, key="load", description="begins")
        update_progress_artifact(made, 40.5)
        return update_progress_artifact(artifact_id=made, progress=99, description="nearly done")

    made = made_in_a_flow(make)
    found = Artifact.get("load")
    assert found is not None
    assert (found.id, found.data, found.description, found.version) == (made, 99.0, "nearly done", 1)


@row("14.34")
def test_an_image_is_shown_by_its_address_or_kept_with_its_bytes(row: str) -> None:
    def make() -> None:
        create_image_artifact("https://example.com/plot.png", key="far")
        create_image_artifact(image=b"\x89PNG\r\n\x1a\n", key="near")

    made_in_a_flow(make)
    assert data_of("far") == "https://example.com/plot.png"
    assert data_of("near") == b"\x89PNG\r\n\x1a\n"


@row("14.35")
def test_the_class_makes_gets_and_makes_what_is_not_there(row: str) -> None:
    def make() -> Any:
        assert Artifact.get("report") is None
        first = Artifact(type="markdown", key="report", description="first", data="# First").create()
        again, is_new = Artifact.get_or_create("report", description="second", type="markdown", data="# Second")
        other, other_is_new = Artifact.get_or_create("other", type="markdown", data="# Other")
        return first.id == again.id, again.data, is_new, other.data, other_is_new

    assert made_in_a_flow(make) == (True, "# First", False, "# Other", True)


@row("14.36")
def test_the_same_key_again_is_the_next_version_and_without_one_it_stands_on_the_page_of_its_run(row: str) -> None:
    def make() -> None:
        for number in range(3):
            create_markdown_artifact(f"{number}", key="report")
        create_markdown_artifact("alone", description="without a key")

    made_in_a_flow(make)
    newest = Artifact.get("report")
    assert newest is not None
    assert (newest.data, newest.version) == ("2", 3)
    assert len(json.loads(command("artifact", "ls", "-o", "json"))) == 1
    assert len(json.loads(command("artifact", "ls", "--all", "-o", "json"))) == 4
    (run,) = json.loads(command("flow-run", "ls", "-o", "json"))
    assert "without a key" in command("flow-run", "inspect", run["id"])


@row("14.37")
def test_it_belongs_to_the_runs_that_it_is_made_in_and_may_be_made_outside(row: str) -> None:
    @task
    def check() -> None:
        create_markdown_artifact("inside", key="inside")

    made_in_a_flow(check)
    inside = Artifact.get("inside")
    assert inside is not None
    assert None not in (inside.flow_run_id, inside.task_run_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        create_markdown_artifact("outside", key="outside")
    outside = Artifact.get("outside")
    assert outside is not None
    assert (outside.flow_run_id, outside.task_run_id) == (None, None)


@row("14.38")
def test_results_that_are_stored_are_listed_by_their_run(row: str) -> None:
    @task(persist_result=True)
    def answer() -> int:
        return 42

    made_in_a_flow(answer)
    (run,) = json.loads(command("flow-run", "ls", "-o", "json"))
    assert [each["name"] for each in json.loads(command("results", "ls", run["name"], "-o", "json"))][-1] == "answer"
    assert json.loads(command("artifact", "ls", "--all", "-o", "json")) == []  # a result is none here


@row("14.39")
def test_what_is_large_lies_in_the_storage_of_results_and_too_much_is_refused(row: str) -> None:
    made_in_a_flow(lambda: create_markdown_artifact("x" * 6_000_000, key="large"))
    found = Artifact.get("large")
    assert found is not None
    assert (len(found.data), found.place is not None) == (6_000_000, True)
    with temporary_settings({"artifacts.max_bytes": 1024}), pytest.raises(BadInput, match="1 KiB is the most"):
        create_markdown_artifact("x" * 1025)


@row("14.40")
def test_each_function_has_a_twin_to_be_awaited(row: str) -> None:
    for name in artifacts.__all__:
        if name.startswith(("create_", "update_")):
            twin = getattr(artifacts, f"a{name}")
            assert inspect.iscoroutinefunction(twin)
            assert inspect.signature(twin).parameters == inspect.signature(getattr(artifacts, name)).parameters

    @flow
    async def main() -> Any:
        made = await artifacts.acreate_progress_artifact(1, key="load")
        await artifacts.aupdate_progress_artifact(made, 2)
        await artifacts.acreate_link_artifact("https://example.com", key="link")
        await artifacts.acreate_image_artifact("https://example.com/plot.png", key="image")
        found = await Artifact.aget("load")
        return found.data if found else None

    assert asyncio.run(main()) == 2


@row("17.26")
def test_the_commands_are_those_that_users_know(row: str) -> None:
    def make() -> list[UUID]:
        return [create_markdown_artifact(f"# {number}", key="report") for number in range(3)]

    made = made_in_a_flow(make)
    assert "report" in command("artifact", "ls")
    assert command("artifact", "ls", "--all").count("report") == 3
    assert "# 2" in command("artifact", "inspect", "report")
    assert command("artifact", "delete", "--id", str(made[0]), "--yes") == "Deleted 1 artifact.\n"
    assert command("artifact", "delete", "report", "--yes") == "Deleted 2 artifacts.\n"
