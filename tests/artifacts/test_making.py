"""Artifacts made in runs, and read again by their keys: in whatever thread or process, on each ledger."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from surefoot import flow, task
from surefoot.artifacts import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from surefoot.client import get_client
from surefoot.core.settings import temporary_settings
from surefoot.core.wire import Artifact as Record
from surefoot.core.wire import ArtifactFilter
from surefoot.exceptions import ArtifactNotStored, BadInput, MissingResult
from surefoot.task_runners import ProcessPoolTaskRunner


def all_of(**where: Any) -> list[Record]:
    """Artifacts with their data, the oldest first."""
    with closing(get_client()) as client:
        found = client.artifacts(ArtifactFilter(**where), limit=1000).results
        return [client.find_artifact(each.id) for each in reversed(found)]


@pytest.fixture
def warned() -> Iterator[None]:
    """That an artifact belongs to no run is said once a process, and not here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="An artifact was made outside of a flow or task run")
        yield


@pytest.mark.usefixtures("each_ledger")
def test_what_a_flow_and_its_tasks_make_belongs_to_them() -> None:
    @task
    def check() -> UUID:
        return create_table_artifact([{"region": "eu", "rows": 3}, {"region": "us", "rows": None}], key="rows")

    @flow
    def main() -> UUID:
        check()
        return create_markdown_artifact("# Report", key="report", description="of today")

    made = main()
    report, rows = all_of(key=["report"])[0], all_of(key=["rows"])[0]
    assert (report.id, report.data, report.description) == (str(made), "# Report", "of today")
    assert rows.data == [{"region": "eu", "rows": 3}, {"region": "us", "rows": None}]
    assert report.flow_run_id == rows.flow_run_id is not None
    assert (report.task_run_id, report.version) == (None, 1)
    assert rows.task_run_id is not None
    with closing(get_client()) as client:
        (run,) = client.flow_runs().results
        (task_run,) = client.task_runs().results
    assert (run.id, task_run.id) == (report.flow_run_id, rows.task_run_id)


@pytest.mark.usefixtures("each_ledger")
def test_each_type_is_read_again_as_it_was_made() -> None:
    @flow
    def main() -> None:
        create_link_artifact("https://example.com/a?b=c", "the page", key="link")
        made = create_progress_artifact(12.5, key="load", description="first")
        update_progress_artifact(made, 99)
        update_progress_artifact(str(made), 100, description="done")
        create_image_artifact("https://example.com/plot.png", key="image")
        Artifact(type="numbers", key="own", data={"a": [1, 2.5, None]}).create()
        MarkdownArtifact(markdown="text", key="text").create()
        TableArtifact(table={"a": [1, 2]}, key="table").create()
        LinkArtifact(link="https://example.com", key="link-2").create()
        ProgressArtifact(progress=3, key="load-2").create()
        ImageArtifact(image_url="https://example.com/plot.png", key="image-2").create()

    main()
    assert {each.key: (each.type, each.data) for each in all_of()} == {
        "link": ("link", {"link": "https://example.com/a?b=c", "link_text": "the page"}),
        "load": ("progress", 100.0),
        "image": ("image", "https://example.com/plot.png"),
        "own": ("numbers", {"a": [1, 2.5, None]}),
        "text": ("markdown", "text"),
        "table": ("table", {"a": [1, 2]}),
        "link-2": ("link", {"link": "https://example.com", "link_text": None}),
        "load-2": ("progress", 3.0),
        "image-2": ("image", "https://example.com/plot.png"),
    }
    (load,) = all_of(key=["load"])
    assert (load.description, load.version) == ("done", 1)


def test_what_was_made_is_read_in_the_same_flow_by_its_key() -> None:
    @flow
    def main() -> list[Any]:
        found: list[Any] = [Artifact.get("report")]
        create_markdown_artifact("first", key="report")
        create_markdown_artifact("second", key="report")
        newest = Artifact.get("report")
        assert newest is not None
        found += [newest.data, newest.version, newest.type, str(newest.flow_run_id) == all_of()[0].flow_run_id]
        artifact, is_new = MarkdownArtifact.get_or_create("report", markdown="third")
        found += [artifact.data, is_new]
        artifact, is_new = Artifact.get_or_create("other", type="markdown", data="fourth")
        return [*found, artifact.data, is_new, repr(newest)]

    assert main() == [
        None, "second", 2, "markdown", True, "second", False, "fourth", True,
        "Artifact(type='markdown', key='report', version=2)",
    ]  # fmt: skip


def test_threads_and_child_processes_write_artifacts_of_their_task_runs() -> None:
    @task
    def in_a_thread(number: int) -> None:
        create_progress_artifact(number)

    @task(isolation="process")
    def apart(number: int) -> None:
        create_markdown_artifact(f"apart {number}")

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def in_processes() -> None:
        in_a_thread.map([4, 5]).wait()

    @flow
    def main() -> None:
        in_a_thread.map([1, 2, 3]).wait()
        apart.submit(9).wait()
        in_processes()

    main()
    found = all_of()
    assert sorted(each.data for each in found if each.type == "progress") == [1, 2, 3, 4, 5]
    assert [each.data for each in found if each.type == "markdown"] == ["apart 9"]
    assert len({each.task_run_id for each in found} - {None}) == 6
    assert len({each.flow_run_id for each in found}) == 2


def test_progress_is_updated_from_another_process() -> None:
    @task(isolation="process")
    def work(made: UUID) -> None:
        update_progress_artifact(made, 70)

    @flow
    def main() -> None:
        made = create_progress_artifact(0, key="load")
        work(made)

    main()
    assert all_of(key=["load"])[0].data == 70


def test_in_asynchronous_code_each_way_of_calling_works() -> None:
    @task
    async def check() -> None:
        made = await acreate_table_artifact({"a": [1]}, key="awaited")
        assert type(made) is UUID
        made = await create_progress_artifact(1, key="as-elsewhere")  # type: ignore[misc]
        await aupdate_progress_artifact(made, 2)
        create_progress_artifact(3, key="not-awaited")

    @flow
    async def main() -> Any:
        await check()
        await acreate_markdown_artifact("text", key="text")
        await Artifact(type="markdown", key="object", data="1").acreate()
        found = await Artifact.aget("object")
        again = await Artifact.aget_or_create("object")
        return found.data if found else None, again[1]

    assert asyncio.run(main()) == ("1", False)
    found = {each.key: each.data for each in all_of()}
    assert found == {"awaited": {"a": [1]}, "as-elsewhere": 2, "not-awaited": 3, "text": "text", "object": "1"}
    assert all(each.flow_run_id for each in all_of())


def test_outside_of_runs_it_is_recorded_with_a_word_once(home: Path) -> None:
    program = (
        "from surefoot.artifacts import *\n"
        "create_markdown_artifact('one', key='report')\n"
        "create_markdown_artifact('two', key='report')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.count("UserWarning: An artifact was made outside of a flow or task run") == 1
    assert "<string>:2" in done.stderr
    found = all_of()
    assert [(each.data, each.flow_run_id, each.task_run_id) for each in found] == [
        ("one", None, None),
        ("two", None, None),
    ]


@pytest.mark.usefixtures("warned")
def test_what_is_large_goes_to_the_storage_of_results_and_is_read_from_there(home: Path) -> None:
    text = "line\n" * 60_000
    create_markdown_artifact(text, key="large")
    create_markdown_artifact("small", key="small")
    large, small = all_of(key=["large"])[0], all_of(key=["small"])[0]
    assert (small.place, small.data) == (None, "small")
    assert large.place is not None
    assert Path(large.place).read_text() == text
    assert Path(large.place).parent == home / "storage" / "artifacts"
    assert large.size == 300_000
    read = Artifact.get("large")
    assert read is not None
    assert read.data == text
    Path(large.place).write_text(text.replace("l", "L"))
    with pytest.raises(MissingResult, match="it is damaged: its length or checksum is wrong"):
        Artifact.get("large")
    Path(large.place).unlink()
    with pytest.raises(MissingResult, match="is not to be had: it was removed"):
        Artifact.get("large")


def test_it_goes_where_the_results_of_its_run_go_unless_nobody_else_could_read_it_there(tmp_path: Path) -> None:
    @task(result_storage=str(tmp_path / "own"))
    def to_own() -> None:
        create_markdown_artifact("x" * 300_000, key="own")

    @task(result_storage="memory://here")
    def to_memory() -> None:
        create_markdown_artifact("x" * 300_000, key="memory")

    @flow
    def main() -> None:
        to_own()
        to_memory()

    main()
    assert str(all_of(key=["own"])[0].place).startswith(str(tmp_path / "own" / "artifacts"))
    assert str(all_of(key=["memory"])[0].place).startswith(str(tmp_path / "home" / "storage" / "artifacts"))


@pytest.mark.usefixtures("warned")
def test_a_storage_that_does_not_take_it_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with temporary_settings({"results.local_storage_path": str(tmp_path / "file")}):
        with pytest.raises(ArtifactNotStored, match=r"could not be stored in .*file: .*"):
            create_markdown_artifact("x" * 300_000)
        create_markdown_artifact("small")
    assert [each.data for each in all_of()] == ["small"]


@pytest.mark.usefixtures("warned")
def test_what_is_too_large_is_refused_and_the_setting_named() -> None:
    with temporary_settings({"artifacts.max_bytes": 2000}):
        create_markdown_artifact("x" * 2000)
        with pytest.raises(BadInput, match=r"has 1.95 KiB, and 1.95 KiB is the most.*SUREFOOT_ARTIFACTS_MAX_BYTES"):
            create_markdown_artifact("x" * 2001)
    with pytest.raises(BadInput, match="has 17 MiB, and 16 MiB is the most"):
        create_markdown_artifact("x" * (17 << 20))


@pytest.mark.usefixtures("warned")
def test_one_process_does_not_fill_the_journal_with_artifacts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "from surefoot.artifacts import *\n"
        "for n in range(300): create_markdown_artifact('x' * 250_000)\n"
        "create_markdown_artifact('still small')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=100)
    monkeypatch.setenv("SUREFOOT_LEDGER_FOLD_WAIT_SECONDS", "90")  # 65 MB of journal
    with closing(get_client()) as client:
        found = client.artifacts(limit=1000).results
    apart = [each for each in found if each.place is not None]
    assert len(found) == 301
    assert 20 < len(apart) < 60
    assert found[0].place is None
    assert client.troubles == []


@pytest.mark.usefixtures("warned")
@pytest.mark.parametrize(
    ("key", "near"),
    [("Bad_Key", "bad_key"), ("my report", "my-report"), ("über", "ber"), ("", "report"), ("k" * 300, "k" * 255)],
)
def test_a_key_that_is_none_is_refused_with_the_nearest_one(key: str, near: str) -> None:
    with pytest.raises(BadInput) as refused:
        create_markdown_artifact("text", key=key)
    assert isinstance(refused.value, ValueError)
    assert refused.value.do == f"Use key={near!r}."
    create_markdown_artifact("text", key=near)
    assert len(all_of()) == 1


@pytest.mark.usefixtures("warned")
@pytest.mark.parametrize("progress", [150, -1, 100.01, float("nan"), float("inf")])
def test_progress_out_of_its_range_is_refused(progress: float) -> None:
    made = create_progress_artifact(0, key="load")
    with pytest.raises(BadInput, match=r"progress is .*\. Pass a number from 0 to 100\."):
        create_progress_artifact(progress)
    with pytest.raises(BadInput, match=r"progress is .*"):
        update_progress_artifact(made, progress)
    assert [each.data for each in all_of()] == [0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: create_markdown_artifact(5), "markdown is of type int"),  # type: ignore[arg-type]
        (lambda: create_markdown_artifact("x", key=5), "key is 5"),  # type: ignore[arg-type]
        (lambda: create_markdown_artifact("x", description=5), "description is of type int"),  # type: ignore[arg-type]
        (lambda: create_markdown_artifact("x", description="x" * 70_000), "description has 70,000 characters"),
        (lambda: create_progress_artifact("much"), "progress is 'much'"),  # type: ignore[arg-type]
        (lambda: create_progress_artifact(True), "progress is True"),
        (lambda: update_progress_artifact("nix", 5), "artifact_id is 'nix', which is no id"),
        (lambda: update_progress_artifact(None, 5), "artifact_id is None"),  # type: ignore[arg-type]
        (lambda: create_link_artifact(" "), "link has 1 characters"),
        (lambda: create_link_artifact("x" * 9000), "link has 9,000 characters"),
        (lambda: create_link_artifact("https://a", "x" * 1001), "link_text has 1,001 characters"),
        (lambda: create_image_artifact("plot.png"), "image_url is 'plot.png', which is no URL"),
        (lambda: create_image_artifact(), "got neither of image_url and image"),
        (lambda: create_image_artifact("https://a/b.png", image=b"1"), "got both of image_url and image"),
        (lambda: Artifact(type="Of my own", data=1).create(), "The type of an artifact is 'Of my own'"),
        (lambda: Artifact(type="own", data=object()).create(), "What stands in the data is of type object"),
        (lambda: Artifact.get(), "without a key"),
        (lambda: Artifact.get("Not A Key"), "The key 'Not A Key' is none"),
    ],
)
def test_what_can_be_no_artifact_is_refused_and_nothing_is_recorded(make: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        make()
    assert told in str(refused.value)
    assert all_of() == []


def test_drawing_a_flow_makes_no_artifact() -> None:
    @flow
    def main() -> None:
        create_markdown_artifact("x" * 300_000, key="report")
        update_progress_artifact(create_progress_artifact(1), 2)

    main.visualize()
    assert all_of() == []


def test_a_run_that_is_not_recorded_makes_its_artifacts_for_nobody(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.parent.joinpath("file").write_text("")

    @flow
    def main() -> str:
        create_markdown_artifact("x" * 300_000, key="report")
        return "done"

    with temporary_settings({"home": str(home.parent / "file" / "home")}):
        assert main() == "done"
    assert "nothing of them is recorded" in capsys.readouterr().err


def test_where_nothing_is_to_be_recorded_nothing_is_stored_either(home: Path) -> None:
    program = (
        "from surefoot import flow\n"
        "from surefoot.artifacts import *\n"
        "from surefoot.engine.session import record_nothing\n"
        "record_nothing()\n"  # as when one task of a run is replayed
        "@flow\n"
        "def main():\n"
        "    update_progress_artifact(create_progress_artifact(1), 2)\n"
        "    create_markdown_artifact('x' * 300_000, key='large')\n"
        "main()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert not (home / "storage").exists()
    assert all_of() == []


def test_artifacts_of_a_run_that_is_killed_are_there(home: Path) -> None:
    program = (
        "import os, signal\n"
        "from surefoot import flow\n"
        "from surefoot.artifacts import *\n"
        "@flow\n"
        "def main():\n"
        "    create_markdown_artifact('before', key='report')\n"
        "    create_markdown_artifact('x' * 300_000, key='large')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "main()\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert [each.data for each in all_of(key=["report"])] == ["before"]
    large = Artifact.get("large")
    assert large is not None
    assert len(large.data) == 300_000


def test_many_threads_make_artifacts_at_once_and_each_is_a_version() -> None:
    @flow
    def main() -> None:
        made = create_progress_artifact(0, key="load")

        @task
        def work(number: int) -> None:
            create_markdown_artifact(f"{number}", key="report")
            update_progress_artifact(made, number)

        work.map(range(100)).wait()

    main()
    assert sorted(int(each.data) for each in all_of(key=["report"])) == list(range(100))
    assert [each.version for each in all_of(key=["report"])] == list(range(1, 101))
    assert len(all_of(key=["load"])) == 1


def test_names_of_files_in_another_encoding_can_stand_in_artifacts() -> None:
    name = os.fsdecode(b"caf\xe9.csv")

    @flow
    def main() -> None:
        create_markdown_artifact(f"file {name}", key="text", description=name)
        create_table_artifact([{"file": name}], key="table")

    main()
    assert all_of(key=["text"])[0].data == "file caf\\udce9.csv"
    assert all_of(key=["table"])[0].data == [{"file": "caf\\udce9.csv"}]
    assert json.dumps(all_of(key=["text"])[0].description) == r'"caf\\udce9.csv"'


def test_a_finalizer_and_a_thread_of_the_users_own_may_make_artifacts() -> None:
    @flow
    def main() -> None:
        thread = threading.Thread(target=lambda: create_markdown_artifact("outside", key="thread"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            thread.start()
            thread.join()

    main()
    (found,) = all_of(key=["thread"])
    assert found.flow_run_id is None  # a plain thread has no context of the run
