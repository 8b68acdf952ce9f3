"""`surefoot artifact`: what runs made, listed, shown harmlessly, exported and deleted; on each ledger."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from surefoot.cli import artifact_content
from surefoot.cli.app import app
from surefoot.cli.mistakes import Exit
from surefoot.core.artifacts import JSON, TEXT
from surefoot.core.facts import ArtifactWritten
from tests.client.builders import a_flow_run, a_task_run, an_artifact, recorded

Surefoot = Callable[..., Result]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PLOT = "artifacts/01a22a92-34db-77bc-b5fa-19cb5cc0f3dc.png"


@pytest.fixture
def seeded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ArtifactWritten]:
    """A run with two versions of a report, a table, an image, a link and a text without a key."""
    monkeypatch.chdir(tmp_path)
    run = a_flow_run("brave-otter")
    task = a_task_run(run, "check-0")
    image = tmp_path / PLOT
    image.parent.mkdir()
    image.write_bytes(PNG)
    made = [
        an_artifact(run, "report", b"# First", description="of today"),
        an_artifact(task, "rows", b'[{"region": "eu", "rows": 3}, {"region": "us|x", "note": null}]', type="table"),
        an_artifact(run, "report", b"# Second\n\nNo row was *refused*."),
        an_artifact(run, None, b"without a key"),
        an_artifact(run, "load", b"25.0", type="progress"),
        an_artifact(run, "page", b'{"link": "https://example.com", "link_text": "the page"}', type="link"),
        an_artifact(
            run,
            "plot",
            b"",
            type="image",
            media_type="image/png",
            data=None,
            place=str(image),
            size=len(PNG),
            crc32=186374080,
        ),
    ]
    recorded(home, run, task, made)
    return made


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_content, "screen_width", lambda: 80)


@pytest.mark.usefixtures("each_ledger", "seeded")
def test_the_newest_of_each_key_is_listed(surefoot: Surefoot) -> None:
    lines = [line.split()[:3] for line in surefoot("artifact", "ls").stdout.splitlines()]
    assert lines == [
        ["KEY", "TYPE", "VERSION"],
        ["load", "progress", "1"],
        ["page", "link", "1"],
        ["plot", "image", "1"],
        ["report", "markdown", "2"],
        ["rows", "table", "1"],
    ]
    found = json.loads(surefoot("artifact", "ls", "--all", "-o", "json").stdout)
    assert [each["key"] for each in found] == ["plot", "page", "load", None, "report", "rows", "report"]
    assert [
        each["version"] for each in json.loads(surefoot("artifact", "ls", "--key", "report", "-o", "json").stdout)
    ] == [2, 1]
    assert len(surefoot("artifact", "ls", "--flow-run", "brave-otter", "-o", "jsonl").stdout.splitlines()) == 7
    assert len(surefoot("artifact", "ls", "--task-run", "check-0", "-o", "jsonl").stdout.splitlines()) == 1
    assert len(surefoot("artifact", "ls", "--type", "markdown", "-o", "jsonl").stdout.splitlines()) == 1
    few = surefoot("artifact", "ls", "--limit", "2", "-o", "json")
    assert "There are more: add `--after " in few.stderr
    cursor = few.stderr.partition("--after ")[2].partition("`")[0]
    rest = json.loads(surefoot("artifact", "ls", "--after", cursor, "-o", "json").stdout)
    assert [each["key"] for each in rest] == ["plot", "report", "rows"]


def test_where_there_is_none_it_says_how_to_make_one(surefoot: Surefoot, home: Path) -> None:
    assert "No artifact was made yet." in surefoot("artifact", "ls").stderr
    recorded(home, an_artifact(None, None, b"text"))
    assert "None has a key: add --all" in surefoot("artifact", "ls").stderr
    assert "There is no such artifact." in surefoot("artifact", "ls", "--key", "nix").stderr


@pytest.mark.usefixtures("each_ledger", "seeded")
def test_each_type_is_shown_in_its_way(surefoot: Surefoot, tmp_path: Path) -> None:
    shown = surefoot("artifact", "inspect", "rows").stdout.splitlines()
    assert shown[0] == "rows   table   version 1"
    assert "Task run   check-0" in shown
    assert shown[-3:] == ["region   rows   note", "eu       3", "us|x"]
    assert surefoot("artifact", "inspect", "load").stdout.endswith("[##########------------------------------] 25 %\n")
    assert surefoot("artifact", "inspect", "page").stdout.endswith("the page: https://example.com\n")
    plot = surefoot("artifact", "inspect", "plot").stdout
    assert f"File       {tmp_path / PLOT}" in plot
    assert plot.endswith(f"image/png, 108 B: {tmp_path / PLOT}\n")
    report = surefoot("artifact", "inspect", "report").stdout
    assert report.endswith("# Second\n\nNo row was *refused*.\n")
    assert "version 2" in report
    first = surefoot("artifact", "inspect", "report", "--version", "1").stdout
    assert "About      of today" in first
    assert first.endswith("# First\n")


@pytest.mark.usefixtures("seeded")
def test_one_artifact_as_json_has_its_data(surefoot: Surefoot, seeded: list[ArtifactWritten]) -> None:
    found = json.loads(surefoot("artifact", "inspect", "rows", "-o", "json").stdout)
    assert found["data"] == [{"region": "eu", "rows": 3}, {"region": "us|x", "note": None}]
    found = json.loads(surefoot("artifact", "inspect", seeded[3].artifact_id.hex()[:20], "-o", "json").stdout)
    assert (found["data"], found["key"], found["version"]) == ("without a key", None, None)
    found = json.loads(surefoot("artifact", "inspect", "plot", "-o", "json").stdout)
    assert (found["data"], found["media_type"], found["size"]) == (None, "image/png", 108)


@pytest.mark.usefixtures("seeded")
def test_the_page_of_a_run_names_its_artifacts(surefoot: Surefoot) -> None:
    page = surefoot("flow-run", "inspect", "brave-otter").stdout
    assert "Artifacts\nNAME" in page
    assert "surefoot artifact inspect plot" in page
    assert "rows   table" in surefoot("task-run", "inspect", "check-0").stdout


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_markdown_is_rendered(surefoot: Surefoot, home: Path) -> None:
    text = b"# Title\n\nA *word*, a [link](https://example.com) and <b>markup</b>.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    recorded(home, an_artifact(None, "report", text))
    shown = click.unstyle(surefoot("artifact", "inspect", "report").stdout).partition("\n\n")[2].partition("\n\n")[2]
    assert "Title" in shown
    assert "# Title" not in shown
    assert "A word, a link (https://example.com) and <b>markup</b>." in shown
    assert "\n 1  2 \n" in shown


HOSTILE = (
    "# Report\x1b[2J\x1b[38;5;99m\x07\n\n<script>alert(1)</script>\n\n"
    "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07 \x9b31m\u202etxt\r\n"
)


@pytest.mark.parametrize("width", [None, 80])
def test_what_could_steer_the_terminal_is_shown_and_does_nothing(
    surefoot: Surefoot, home: Path, monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    monkeypatch.setattr(artifact_content, "screen_width", lambda: width)
    cells = json.dumps([{HOSTILE: HOSTILE, "b": {"c": HOSTILE}}]).encode()
    recorded(
        home,
        an_artifact(None, "text", HOSTILE.encode(), description=HOSTILE),
        an_artifact(None, "table", cells, type="table"),
        an_artifact(None, "own", cells, type="own"),
        an_artifact(None, "link", json.dumps({"link": HOSTILE, "link_text": HOSTILE}).encode(), type="link"),
        an_artifact(None, "kind", b"1", type="x\x1b[2J"),
    )
    commands = [("ls",), *(("inspect", key) for key in ("text", "table", "own", "link", "kind"))]
    told = [CliRunner().invoke(app, ["artifact", *words], color=True).stdout for words in commands]
    for each in told:
        assert "\x1b[38;5;99m" not in each  # a colour that is none of ours
        plain = re.sub(r"\x1b\[[0-9;]*m", "", each)
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(plain), repr(plain)
        assert plain.strip()
    assert r"\x1b[2J" in told[1]
    assert "alert(1)" in told[1]


def test_what_is_no_text_no_table_and_no_json_is_still_shown(surefoot: Surefoot, home: Path) -> None:
    recorded(
        home,
        an_artifact(None, "text", b"caf\xe9 \x00"),
        an_artifact(None, "table", b'{"a": 1}', type="table"),
        an_artifact(None, "broken", b'[{"a": 1', type="table"),
        an_artifact(None, "load", b'"much"', type="progress"),
        an_artifact(None, "link", b"[]", type="link"),
        an_artifact(None, "empty", b"", media_type=TEXT),
        an_artifact(None, "no-rows", b"[]", type="table", media_type=JSON),
    )
    for key in ("text", "table", "broken", "load", "link", "empty", "no-rows"):
        result = surefoot("artifact", "inspect", key)
        assert result.exit_code == Exit.DONE, (key, result.stderr, result.exception)
        assert json.loads(surefoot("artifact", "inspect", key, "-o", "json").stdout)["key"] == key


@pytest.mark.usefixtures("on_a_terminal")
def test_ten_megabytes_of_markdown_are_shown_in_a_page_or_two(surefoot: Surefoot, home: Path, tmp_path: Path) -> None:
    text = ("# Title\n\n" + "*word* [x](y) `code` " * 40 + "\n\n") * 12_000
    assert len(text) > 10_000_000
    file = tmp_path / "large.md"
    file.write_text(text)
    from zlib import crc32

    fields: dict[str, Any] = {"data": None, "place": str(file), "size": len(text), "crc32": crc32(text.encode())}
    recorded(home, an_artifact(None, "large", b"", **fields))
    shown = surefoot("artifact", "inspect", "large").stdout
    assert len(shown) < 500_000
    assert "MB in all: surefoot artifact export large" in shown
    whole = surefoot("artifact", "export", "large", "-o", "-")
    assert whole.stdout == text


@pytest.mark.usefixtures("on_a_terminal")
def test_of_a_long_table_the_first_rows_are_shown(surefoot: Surefoot, home: Path) -> None:
    recorded(home, an_artifact(None, "long", json.dumps({"n": list(range(10_000))}).encode(), type="table"))
    shown = surefoot("artifact", "inspect", "long").stdout
    assert "... and 9,800 more rows: surefoot artifact export long" in shown


@pytest.mark.usefixtures("each_ledger", "seeded")
def test_artifacts_are_exported_as_files(surefoot: Surefoot, tmp_path: Path) -> None:
    assert surefoot("artifact", "export", "rows").stdout == f"Wrote {tmp_path / 'rows.csv'}: 30 B.\n"
    assert (tmp_path / "rows.csv").read_text() == "region,rows,note\neu,3,\nus|x,,\n"
    surefoot("artifact", "export", "rows", "-o", "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text())[0] == {"region": "eu", "rows": 3}
    surefoot("artifact", "export", "rows", "-o", "rows.md")
    assert (tmp_path / "rows.md").read_text().splitlines()[:2] == ["| region | rows | note |", "|---|---|---|"]
    assert r"| us\|x |" in (tmp_path / "rows.md").read_text()
    odd = surefoot("artifact", "export", "rows", "-o", "rows.xlsx")
    assert odd.stderr == "What is written is csv, though the file's name ends with .xlsx.\n"
    assert (tmp_path / "rows.xlsx").read_bytes() == (tmp_path / "rows.csv").read_bytes()
    assert surefoot("artifact", "export", "rows", "--format", "json", "-o", "-").stdout.startswith('[{"region"')
    surefoot("artifact", "export", "report", "--version", "1")
    assert (tmp_path / "report.md").read_text() == "# First"
    surefoot("artifact", "export", "plot", "-o", "copy.png")
    assert (tmp_path / "copy.png").read_bytes() == PNG
    assert surefoot("artifact", "export", "page", "-o", "-").stdout == "[the page](https://example.com)\n"
    assert surefoot("artifact", "export", "page", "--format", "txt", "-o", "-").stdout == "https://example.com\n"
    assert surefoot("artifact", "export", "load", "-o", "-").stdout == "25.0"


@pytest.mark.usefixtures("seeded")
def test_what_is_there_is_not_written_over_without_a_word(surefoot: Surefoot, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("mine")
    refused = surefoot("artifact", "export", "report")
    assert (refused.exit_code, "is there already. Add --force" in refused.stderr) == (Exit.REFUSED, True)
    assert (tmp_path / "report.md").read_text() == "mine"
    assert surefoot("artifact", "export", "report", "--force").exit_code == Exit.DONE
    for words, told in (
        (("plot", "--format", "csv"), "does not become csv. Leave --format out"),
        (("report", "-o", str(tmp_path)), "is a folder"),
        (("report", "-o", "report.md/inner.md"), "cannot be written"),
    ):
        result = surefoot("artifact", "export", *words)
        assert (result.exit_code, told in result.stderr) == (Exit.BAD_INPUT, True), result.stderr


def test_cells_of_csv_are_kept_apart(surefoot: Surefoot, home: Path) -> None:
    rows = [["a,b", 'say "x"', "line\nline"], [1, None, {"k": [1]}]]
    recorded(home, an_artifact(None, "rows", json.dumps(rows).encode(), type="table"))
    read = list(csv.reader(io.StringIO(surefoot("artifact", "export", "rows", "-o", "-").stdout)))
    assert read == [["0", "1", "2"], ["a,b", 'say "x"', "line\nline"], ["1", "", '{"k":[1]}']]


@pytest.mark.usefixtures("each_ledger")
def test_artifacts_are_deleted_with_their_files(
    surefoot: Surefoot, seeded: list[ArtifactWritten], tmp_path: Path
) -> None:
    refused = surefoot("artifact", "delete", "report")
    assert (refused.exit_code, "Add --yes" in refused.stderr) == (Exit.BAD_INPUT, True)
    assert surefoot("artifact", "delete", "report", "--version", "1", "--yes").stdout == "Deleted 1 artifact.\n"
    assert json.loads(surefoot("artifact", "inspect", "report", "-o", "json").stdout)["version"] == 2
    assert surefoot("artifact", "delete", "report", "--yes").stdout == "Deleted 1 artifact.\n"
    assert surefoot("artifact", "inspect", "report").exit_code == Exit.NOT_FOUND
    assert json.loads(surefoot("artifact", "delete", "plot", "--yes", "-o", "json").stdout)["artifacts"] == 1
    assert not (tmp_path / PLOT).exists()
    assert surefoot("artifact", "delete", seeded[3].artifact_id.hex(), "--yes").exit_code == Exit.DONE
    assert [each["key"] for each in json.loads(surefoot("artifact", "ls", "--all", "-o", "json").stdout)] == [
        "page", "load", "rows",
    ]  # fmt: skip


@pytest.mark.usefixtures("seeded")
def test_deleting_a_run_deletes_its_artifacts_and_says_so(surefoot: Surefoot, tmp_path: Path) -> None:
    done = surefoot("flow-run", "delete", "brave-otter", "--yes")
    assert "With all that is theirs: 1 flow run, 1 task run, 0 log lines, 7 artifacts." in done.stderr
    assert done.stdout == "Deleted 1 flow run, 1 task run, 0 log lines, 7 artifacts.\n"
    assert not (tmp_path / PLOT).exists()
    assert "No artifact was made yet." in surefoot("artifact", "ls").stderr


@pytest.mark.usefixtures("seeded")
def test_an_artifact_whose_data_is_gone_says_so_with_what_is_known(surefoot: Surefoot, tmp_path: Path) -> None:
    (tmp_path / PLOT).unlink()
    result = surefoot("artifact", "inspect", "plot")
    assert result.exit_code == Exit.NOT_FOUND
    assert "plot   image   version 1" in result.stdout
    assert "is not to be had: it was removed" in result.stderr
    assert surefoot("artifact", "export", "plot").exit_code == Exit.NOT_FOUND
    assert surefoot("artifact", "delete", "plot", "--yes").exit_code == Exit.DONE


def test_what_a_stranger_wrote_into_the_ledger_leads_to_no_file_of_ours(
    surefoot: Surefoot, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    fields: dict[str, Any] = {"data": None, "place": str(mine), "size": 4, "crc32": 1}
    recorded(home, an_artifact(None, "../mine", b"theirs"), an_artifact(None, "far", b"", **fields))
    assert surefoot("artifact", "export", "../mine").stdout == f"Wrote {folder / '___mine.md'}: 6 B.\n"
    assert surefoot("artifact", "delete", "far", "--yes").exit_code == Exit.DONE
    assert mine.read_text() == "mine"


def test_keys_complete_in_the_shell(surefoot: Surefoot, home: Path, process: Any) -> None:
    recorded(home, an_artifact(None, "report", b"1"), an_artifact(None, "rows", b"1"))
    words = {"_SUREFOOT_COMPLETE": "bash_complete", "COMP_WORDS": "surefoot artifact inspect re", "COMP_CWORD": "3"}
    assert process(**words).stdout == "plain,report\n"
