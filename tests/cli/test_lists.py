"""`ls` in all its shapes: what it shows, how it narrows, how it goes on, what it says when there is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from surefoot.core.clock import get_clock
from surefoot.core.ids import new_id, to_text
from surefoot.core.wire import Flow, FlowRun, TaskRun
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_task_run, id_of, recorded

HOUR_US = 3_600_000_000


@pytest.fixture
def two_nights(home: Path) -> Path:
    """The one with a crontab: last night it completed, the night before it failed."""
    now = get_clock().now_us()
    failed = a_flow_run("calm-heron", state="Failed", began_us=now - 24 * HOUR_US, took_s=11, why="connection refused")
    upload = a_task_run(failed, state="Failed", why="connection refused")
    done = a_flow_run("brave-otter", began_us=now, took_s=252, tags=["night"])
    recorded(home, failed, upload, done)
    return home


def test_flow_runs_are_shown_as_the_story_tells(surefoot: Surefoot, two_nights: Path) -> None:
    result = surefoot("flow-run", "ls")
    assert result.exit_code == 0
    head, newest, oldest = result.stdout.splitlines()
    assert head.split() == ["NAME", "FLOW", "STATE", "STARTED", "TOOK", "WHY"]
    assert newest.split()[:4] == ["brave-otter", "backup", "Completed", "today"]
    assert newest.endswith("4m 12s")
    assert oldest.split()[:4] == ["calm-heron", "backup", "Failed", "yesterday"]
    assert "11s" in oldest
    assert "connection refused" in oldest
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["brave-otter", "calm-heron"]),
        (["--state", "Failed"], ["calm-heron"]),
        (["--state", "failed"], ["calm-heron"]),
        (["--state", "FAILED"], ["calm-heron"]),
        (["--state-type", "failed"], ["calm-heron"]),
        (["--state", "Failed", "--state", "Completed"], ["brave-otter", "calm-heron"]),
        (["--flow", "backup"], ["brave-otter", "calm-heron"]),
        (["--flow", "other"], []),
        (["--tag", "night"], ["brave-otter"]),
        (["--limit", "1"], ["brave-otter"]),
        (["--limit", "0"], ["brave-otter", "calm-heron"]),
    ],
)
def test_options_narrow_the_list(surefoot: Surefoot, two_nights: Path, options: list[str], names: list[str]) -> None:
    result = surefoot("flow-run", "ls", "-o", "json", *options)
    assert result.exit_code == 0
    assert [run["name"] for run in json.loads(result.stdout)] == names


def test_a_state_by_name_and_by_type_at_once_is_refused(surefoot: Surefoot, two_nights: Path) -> None:
    result = surefoot("flow-run", "ls", "--state", "FAILED", "--state", "Completed")
    assert result.exit_code == 2
    assert "one kind at a time" in result.stderr


def test_flow_runs_that_a_flow_run_called(surefoot: Surefoot, home: Path) -> None:
    parent = a_flow_run("parent")
    recorded(home, parent, a_flow_run("child", "report", parent=parent))
    result = surefoot("flow-run", "ls", "--flow-run", "parent", "-o", "json")
    assert [run["name"] for run in json.loads(result.stdout)] == ["child"]


def test_task_runs_of_a_flow_run_by_its_name(surefoot: Surefoot, two_nights: Path) -> None:
    result = surefoot("task-run", "ls", "--flow-run", "calm-heron", "--state", "FAILED", "--limit", "5")
    head, line = result.stdout.splitlines()
    assert head.split() == ["NAME", "TASK", "STATE", "STARTED", "TOOK", "WHY"]
    assert line.split()[:3] == ["upload-0", "upload", "Failed"]
    assert surefoot("task-run", "ls", "--task", "other").stdout == ""


def test_flows_with_their_newest_run(surefoot: Surefoot, two_nights: Path) -> None:
    head, line = surefoot("flow", "ls").stdout.splitlines()
    assert head.split("   ")[0] == "NAME"
    assert line.split()[:3] == ["backup", "2", "Completed"]
    assert surefoot("flow", "ls", "--name", "xyz").stdout == ""


@pytest.mark.parametrize(
    ("words", "kind"),
    [(["flow-run", "ls"], FlowRun), (["task-run", "ls"], TaskRun), (["flow", "ls"], Flow)],
    ids=["flow-run", "task-run", "flow"],
)
def test_the_two_forms_of_json_hold_the_records_of_the_api(
    surefoot: Surefoot, two_nights: Path, words: list[str], kind: type[msgspec.Struct]
) -> None:
    array = surefoot(*words, "-o", "json")
    lines = surefoot(*words, "-o", "jsonl")
    records = msgspec.json.decode(array.stdout, type=list[kind])  # type: ignore[valid-type]
    assert [msgspec.json.decode(line, type=kind) for line in lines.stdout.splitlines()] == records
    assert records
    for found in json.loads(array.stdout):
        assert list(found) == [field.name for field in msgspec.structs.fields(kind)]
    assert array.stderr == lines.stderr == ""


def test_an_empty_array_is_still_one_document(surefoot: Surefoot, home: Path) -> None:
    assert surefoot("flow-run", "ls", "-o", "json").stdout == "[]\n"
    assert surefoot("flow-run", "ls", "-o", "jsonl").stdout == ""


def test_a_long_list_goes_on_where_it_stopped(surefoot: Surefoot, home: Path) -> None:
    now = get_clock().now_us()
    recorded(home, *(a_flow_run(f"run-{n:02}", began_us=now) for n in range(25)))
    first = surefoot("flow-run", "ls")
    assert len(first.stdout.splitlines()) == 21
    cursor = first.stderr.split("`--after ")[1].split("`")[0]
    second = surefoot("flow-run", "ls", "--after", cursor)
    names = [line.split()[0] for page in (first, second) for line in page.stdout.splitlines()[1:]]
    assert names == [f"run-{n:02}" for n in reversed(range(25))]
    assert second.stderr == ""


def test_a_list_longer_than_any_page_is_walked_to_its_end(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run()
    recorded(home, run, *(a_task_run(run, f"score-{n}", "score") for n in range(2500)))
    result = surefoot("task-run", "ls", "--limit", "0", "-o", "jsonl")
    assert len({json.loads(line)["id"] for line in result.stdout.splitlines()}) == 2500
    assert len(json.loads(surefoot("task-run", "ls", "--limit", "2100", "-o", "json").stdout)) == 2100


def test_an_empty_home_says_what_to_type(surefoot: Surefoot, home: Path) -> None:
    for noun, words in {"flow run": ["flow-run"], "task run": ["task-run"], "flow": ["flow"]}.items():
        result = surefoot(*words, "ls")
        assert (result.exit_code, result.stdout) == (0, "")
        assert f"No {noun} is recorded in {home} yet." in result.stderr
        assert "surefoot run FILE:FLOW" in result.stderr


def test_a_list_that_nothing_fits_says_how_to_see_all(surefoot: Surefoot, two_nights: Path) -> None:
    result = surefoot("flow-run", "ls", "--state", "Complete")
    assert result.exit_code == 0
    assert "No flow run fits. Did you mean --state Completed? All: `surefoot flow-run ls`." in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["flow-run", "ls", "--after", "nonsense"], 2, "not a cursor"),
        (["flow-run", "ls", "--limit", "-1"], 2, "--limit"),
        (["flow-run", "ls", "--flow-run", "nobody"], 4, "nobody"),
        (["task-run", "ls", "--flow-run", "nobody"], 4, "nobody"),
        (["flow-run", "inspect", "nobody"], 4, "[not-found]"),
        (["task-run", "inspect", "nobody"], 4, "[not-found]"),
        (["flow-run", "inspect", to_text(new_id())], 4, "[not-found]"),
        (["flow-run", "watch", "nobody"], 4, "[not-found]"),
        (["flow-run", "logs", "nobody"], 4, "[not-found]"),
        (["why", "nobody"], 4, "[not-found]"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    surefoot: Surefoot, two_nights: Path, words: list[str], code: int, text: str
) -> None:
    for output in ([], ["-o", "json"]):
        result = surefoot(*words, *output)
        assert result.exit_code == code
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1
        assert text in result.stderr


def test_a_prefix_of_several_ids_is_ambiguous(surefoot: Surefoot, home: Path) -> None:
    one, other = a_flow_run("one"), a_flow_run("other")
    recorded(home, one, other)
    prefix = to_text(id_of(one))[:8]  # the same for all runs of a minute
    result = surefoot("flow-run", "inspect", prefix)
    assert result.exit_code == 2
    assert "[ambiguous]" in result.stderr
    assert surefoot("flow-run", "inspect", to_text(id_of(other))[:30]).exit_code == 0


def test_names_cannot_steer_the_terminal(surefoot: Surefoot, home: Path) -> None:
    recorded(home, a_flow_run("evil\x1b[2Jname\nSTATE  x"))
    result = surefoot("flow-run", "ls")
    assert "\x1b[2J" not in result.stdout
    assert len(result.stdout.splitlines()) == 2
