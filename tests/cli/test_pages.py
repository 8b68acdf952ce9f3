"""The pages of one run: `inspect` and `why`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from surefoot.cli.run_page import took
from surefoot.core.clock import get_clock
from surefoot.core.ids import new_id, to_text
from surefoot.core.states import StateType
from surefoot.core.wire import FlowRun, State, TaskRun
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_line, a_task_run, id_of, recorded


@pytest.fixture
def night(home: Path) -> Path:
    """A nightly load of three tasks, of which the second failed."""
    run = a_flow_run(
        "calm-heron", "nightly", state="Failed", took_s=30, parameters={"day": "mon"}, why="load: disk full", tags=["x"]
    )
    began = run[0].at_us
    extract = a_task_run(run, "extract-0", "extract", took_s=10)
    load = a_task_run(
        run, "load-0", "load", state="Failed", began_us=began + 10**7, took_s=20, why="disk full", after=[extract]
    )
    report = a_task_run(
        run, "report-0", "report", state="NotReady", began_us=began + 3 * 10**7, why="load-0", cause=load
    )
    recorded(home, run, extract, load, report, a_line(load, "writing"))
    return home


def test_a_flow_run_is_shown_on_a_page(surefoot: Surefoot, night: Path) -> None:
    result = surefoot("flow-run", "inspect", "calm-heron")
    assert result.exit_code == 0
    text = result.stdout
    lines = text.splitlines()
    assert lines[0].split() == ["calm-heron", "Failed"]
    for part in ("nightly", '{"day":"mon"}', "/srv/backup.py:main", "(today)", "30s"):
        assert part in text
    timeline = {
        line.split()[0]: line for line in lines if line.split()[:1] in (["extract-0"], ["load-0"], ["report-0"])
    }
    assert list(timeline) == ["extract-0", "load-0", "report-0"]
    assert timeline["extract-0"].index("█") < timeline["load-0"].index("█")
    assert "█" not in timeline["report-0"]
    assert "Failures" in text
    assert "History" in text
    assert lines[-1] == "Next: surefoot why calm-heron | surefoot flow-run logs calm-heron"


def test_a_map_is_one_line_with_counts(surefoot: Surefoot, home: Path) -> None:
    run, map_id = a_flow_run(), new_id()
    items = [a_task_run(run, f"score-{n}", "score", map_id=map_id) for n in range(9)]
    items += [a_task_run(run, "score-9", "score", map_id=map_id, state="Failed", why="ValueError: 9 is odd")]
    recorded(home, run, *items, a_task_run(run, "report-0", "report"))
    lines = surefoot("flow-run", "inspect", "brave-otter").stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("score"))
    assert line.startswith("score x10")
    assert "9 Completed, 1 Failed" in line
    assert any(line.startswith("report-0") for line in lines)


def test_a_large_run_is_shown_by_task_and_its_failures_by_error(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run(state="Failed", took_s=60)
    began = run[0].at_us
    items = [a_task_run(run, f"score-{n}", "score", began_us=began + n) for n in range(700)]
    bad = [
        a_task_run(run, f"score-{n}", "score", began_us=began + n, state="Failed", why=f"ValueError: {n} is odd")
        for n in range(700, 760)
    ]
    other = a_task_run(run, "score-760", "score", began_us=began + 760, state="Failed", why="KeyError: 'x'")
    summary = a_task_run(run, "publish-0", "publish", began_us=began + 5 * 10**7)
    recorded(home, run, *items, *bad, other, summary)
    text = surefoot("flow-run", "inspect", "brave-otter").stdout
    assert "score x761" in text
    assert "700 Completed, 61 Failed" in text
    assert any(line.startswith("publish-0") for line in text.splitlines())
    failures = text.split("Failures")[1].splitlines()[2:4]
    assert failures[0].split() == "60 score score-700, score-701, score-702 ValueError: … is odd".split()
    assert failures[1].split() == "1 score score-760 KeyError: 'x'".split()
    assert len(text.splitlines()) < 40


def test_flows_that_it_called_stand_in_the_timeline(surefoot: Surefoot, home: Path) -> None:
    parent = a_flow_run("parent")
    recorded(home, parent, a_flow_run("child", "report", parent=parent))
    assert "child (flow report)" in surefoot("flow-run", "inspect", "parent").stdout
    assert "Called by" in (page := surefoot("flow-run", "inspect", "child").stdout)
    assert "parent" in page


def test_a_run_that_goes_on_is_shown_as_it_is(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run(state="Pending", began_us=get_clock().now_us())
    recorded(home, run)
    result = surefoot("flow-run", "inspect", "brave-otter")
    assert result.exit_code == 0


def test_a_task_run_is_shown_on_a_page(surefoot: Surefoot, night: Path) -> None:
    text = surefoot("task-run", "inspect", "load-0").stdout
    assert text.splitlines()[0].split() == ["load-0", "Failed"]
    assert "source from extract-0" in text
    assert "calm-heron" in text
    assert "History" in text


def test_many_inputs_and_long_parameters_do_not_flood_the_page(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run(parameters={"text": "x" * 100_000})
    parts = [a_task_run(run, f"part-{n}", "part") for n in range(500)]
    recorded(home, run, *parts, a_task_run(run, "sum-0", "sum", after=parts))
    text = surefoot("task-run", "inspect", "sum-0").stdout
    assert "source from part-0, part-1, part-2, part-3, part-4, 495 more" in text
    assert len(surefoot("flow-run", "inspect", "brave-otter").stdout) < 3000


def test_a_name_with_spaces_can_be_typed_as_it_is_shown(surefoot: Surefoot, home: Path) -> None:
    recorded(home, a_flow_run("load of mon"))
    assert "surefoot why 'load of mon'" in surefoot("flow-run", "inspect", "load of mon").stdout


def test_a_parent_that_is_not_recorded_is_named_by_its_id(surefoot: Surefoot, home: Path) -> None:
    parent = a_flow_run("parent")
    recorded(home, a_flow_run("child", parent=parent), a_task_run(parent))
    assert to_text(id_of(parent)) in surefoot("flow-run", "inspect", "child").stdout
    assert to_text(id_of(parent)) in surefoot("task-run", "inspect", "upload-0").stdout


def test_a_task_run_outside_of_a_flow_says_so(surefoot: Surefoot, home: Path) -> None:
    recorded(home, a_task_run())
    assert "called outside of a flow" in surefoot("task-run", "inspect", "upload-0").stdout


def test_inspect_prints_one_record_as_json(surefoot: Surefoot, night: Path) -> None:
    flow_run = surefoot("flow-run", "inspect", "calm-heron", "-o", "json")
    assert msgspec.json.decode(flow_run.stdout, type=FlowRun).parameters == {"day": "mon"}
    assert list(json.loads(flow_run.stdout)) == [field.name for field in msgspec.structs.fields(FlowRun)]
    task_run = surefoot("task-run", "inspect", "load-0", "-o", "jsonl")
    assert task_run.stdout.count("\n") == 1
    assert msgspec.json.decode(task_run.stdout, type=TaskRun).task_name == "load"
    assert flow_run.stderr == task_run.stderr == ""


def test_a_run_goes_by_its_id_too(surefoot: Surefoot, home: Path) -> None:
    run = a_flow_run()
    recorded(home, run)
    assert surefoot("flow-run", "inspect", to_text(id_of(run))).stdout.startswith("brave-otter")


def test_why_tells_what_failed_and_what_it_blocked(surefoot: Surefoot, night: Path) -> None:
    result = surefoot("why", "calm-heron")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["calm-heron", "Failed"]
    assert "disk full" in result.stdout
    assert "report-0" in result.stdout
    for heading in ("Because", "What it blocked", "What to do"):
        assert heading in result.stdout


def test_why_of_a_task_run_that_was_not_ready_names_the_one_that_failed(surefoot: Surefoot, night: Path) -> None:
    assert "load-0" in surefoot("why", "report-0").stdout


def test_why_prints_one_explanation_as_json(surefoot: Surefoot, night: Path) -> None:
    found = json.loads(surefoot("why", "calm-heron", "-o", "json").stdout)
    assert list(found) == ["run", "summary", "causes", "blocked", "do", "traceback", "failures"]
    assert found["run"]["name"] == "calm-heron"


def test_a_run_that_was_gone_on_with_took_as_long_as_it_ran_not_as_it_lay() -> None:
    began = datetime(2026, 11, 30, 1, tzinfo=UTC)
    again = began + timedelta(hours=7)
    state = State(id="s", type=StateType.COMPLETED, name="Completed", timestamp=again)
    run = TaskRun(
        id="t", name="join-0", task_key="join", task_name="join", dynamic_key="0", state_id="s",
        state_type=StateType.COMPLETED, state_name="Completed", state=state, epoch=1, run_count=2, created=began,
        updated=again, expected_start_time=began, start_time=began, end_time=again, total_run_time=1.5,
    )  # fmt: skip
    assert took(run, again + timedelta(hours=1)) == 1.5
    assert took(replace(run, epoch=0), again) == 7 * 3600  # with the waits between its attempts
    running = replace(state, type=StateType.RUNNING)
    goes_on = replace(run, state_type=StateType.RUNNING, state=running, end_time=None, run_count=3)
    assert took(goes_on, again + timedelta(seconds=4)) == 5.5
