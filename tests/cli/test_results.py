"""`surefoot results`: what is kept and stored is listed, shown, removed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from surefoot.client import get_client
from surefoot.core.facts import FlowRunCreated, ResultAt, RunFact, StateEntered
from surefoot.core.ids import to_text
from surefoot.core.states import StateType
from surefoot.results import load_result
from surefoot.results.keeping import Keeper
from surefoot.results.objects import write_object
from surefoot.results.serializing import resolve_serializer
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_task_run, id_of, recorded


@dataclass
class Kept:
    flow: list[RunFact]
    folder: Path
    pack: Path


def with_result(run: list[RunFact], at: ResultAt | None, unkept: str | None = None) -> list[RunFact]:
    return [
        replace(fact, result=at, unkept=unkept)
        if isinstance(fact, StateEntered) and fact.state_type is StateType.COMPLETED
        else fact
        for fact in run
    ]


@pytest.fixture
def kept(home: Path, tmp_path: Path) -> Kept:
    """A flow run with three tasks: one result kept for resuming, one stored, one not kept."""
    flow = a_flow_run("brave-otter")
    created = flow[0]
    assert isinstance(created, FlowRunCreated)
    keeper = Keeper(str(home), created.run_id, bytes(16))
    rows = keeper.keep({"rows": [1, 2, 3], "name": "x" * 40})
    assert isinstance(rows, ResultAt)
    keeper.close()
    first, second, third = (a_task_run(flow, f"load-{n}", state="Completed") for n in (1, 2, 3))
    run_id = to_text(second[0].run_id)
    path, record = write_object(
        str(tmp_path / "out"), "report", [1, 2], resolve_serializer("json"), run_id=run_id, name="load"
    )
    recorded(
        home,
        flow,
        with_result(first, rows),
        with_result(second, ResultAt(path, 0, record.length, "json")),
        with_result(third, None, "its result cannot be pickled: TypeError: no"),
    )
    return Kept(flow, tmp_path / "out", home / rows.place)


def test_runs_with_results_are_listed_and_then_the_results_of_one(kept: Kept, surefoot: Surefoot) -> None:
    listed = surefoot("results", "ls")
    assert listed.exit_code == 0
    assert "brave-otter" in listed.stdout
    (of_run,) = json.loads(surefoot("results", "ls", "-o", "json").stdout)
    assert of_run["bytes"] == kept.pack.stat().st_size
    assert (of_run["flow_run_name"], of_run["packs"], of_run["is_open"]) == ("brave-otter", 1, False)
    text = surefoot("results", "ls", "brave-otter").stdout
    assert "kept for resuming" in text
    rows = json.loads(surefoot("results", "ls", "brave-otter", "-o", "json").stdout)
    assert [(row["run_name"], row["serializer"]) for row in rows] == [("load-2", "json"), ("load-1", "pickle")]
    one = surefoot("results", "ls", "brave-otter", "--limit", "1")
    assert "--after" in one.stderr


def test_a_home_without_results_says_how_there_would_be_some(surefoot: Surefoot) -> None:
    assert "as soon as a flow with tasks runs" in surefoot("results", "ls").stderr
    assert surefoot("results", "gc").stdout == "Removed 0 B of 0 flow runs.\n"


def test_a_value_is_shown(kept: Kept, surefoot: Surefoot) -> None:
    shown = surefoot("results", "show", "load-1").stdout
    assert "'rows': [1, 2, 3]" in shown
    record = json.loads(surefoot("results", "show", "load-2", "-o", "json").stdout)
    assert (record["value"], record["type"], record["serializer"]) == ("[1, 2]", "builtins.list", "json")


def test_the_bytes_can_be_saved(kept: Kept, surefoot: Surefoot, tmp_path: Path) -> None:
    assert surefoot("results", "show", "load-2", "--save", str(tmp_path / "saved.json")).exit_code == 0
    assert json.loads((tmp_path / "saved.json").read_text()) == [1, 2]
    assert surefoot("results", "show", "load-2", "--save", "-").stdout_bytes == b"[1, 2]"


def test_a_result_that_is_nowhere_says_why(kept: Kept, surefoot: Surefoot) -> None:
    missing = surefoot("results", "show", "load-3")
    assert missing.exit_code == 4
    assert "was not kept: its result cannot be pickled: TypeError: no" in missing.stderr
    kept.pack.unlink()
    assert "it was removed" in surefoot("results", "show", "load-1").stderr
    assert "nothing asked for it" in surefoot("results", "show", "brave-otter").stderr


def test_code_loads_a_result_by_the_name_of_its_run(kept: Kept) -> None:
    client = get_client()
    try:
        assert load_result(client.find_result("load-1"))["rows"] == [1, 2, 3]
        assert load_result(client.find_result("load-2")) == [1, 2]
    finally:
        client.close()


def test_a_class_that_is_not_here_is_stood_in_for(home: Path, tmp_path: Path, surefoot: Surefoot) -> None:
    import subprocess
    import sys

    script = (
        "import sys, enum, collections\n"
        "from dataclasses import dataclass\n"
        "from surefoot.results.keeping import Keeper\n"
        "@dataclass\nclass Row:\n    x: int\n    y: str\n"
        "class Colour(enum.Enum):\n    RED = 1\n"
        "Pair = collections.namedtuple('Pair', 'a b')\n"
        "keeper = Keeper(sys.argv[1], bytes.fromhex(sys.argv[2]), bytes(16))\n"
        "at = keeper.keep([Row(1, 'a'), Colour.RED, Pair(1, 2)])\n"
        "print(at.place, at.offset, at.length)\n"
    )
    flow = a_flow_run("calm-heron")
    words = [sys.executable, "-c", script, str(home), id_of(flow).hex()]
    place, offset, length = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    recorded(home, with_result(flow, ResultAt(place, int(offset), int(length))))
    assert surefoot("results", "show", "calm-heron").stdout == "[Row(x=1, y='a'), Colour(1), Pair(1, 2)]\n"


def test_a_long_value_is_cut_to_a_page(home: Path, surefoot: Surefoot) -> None:
    flow = a_flow_run("calm-heron")
    keeper = Keeper(str(home), flow[0].run_id, bytes(16))
    at = keeper.keep([{"number": n, "text": "x" * 60} for n in range(1000)])
    assert isinstance(at, ResultAt)
    recorded(home, with_result(flow, at))
    lines = surefoot("results", "show", "calm-heron").stdout.splitlines()
    assert len(lines) == 61
    assert lines[-1] == "..."
    keeper.close()


def test_removing_asks_first_and_takes_packs_and_stored_results(kept: Kept, surefoot: Surefoot) -> None:
    refused = surefoot("results", "rm", "brave-otter")
    assert refused.exit_code == 2
    assert "Add --yes" in refused.stderr
    assert str(kept.folder / "report") in refused.stderr
    assert kept.pack.exists()
    done: dict[str, Any] = json.loads(surefoot("results", "rm", "brave-otter", "--yes", "-o", "json").stdout)
    assert done["stored"] == [str(kept.folder / "report")]
    assert done["freed_bytes"] > 300
    assert not kept.pack.parent.exists()
    assert not (kept.folder / "report").exists()
    listed = surefoot("results", "ls", "brave-otter").stdout.splitlines()[1:]
    assert [line.endswith("not there any more") for line in listed] == [True, True]


def test_a_stored_result_that_is_another_runs_by_now_stays(kept: Kept, surefoot: Surefoot) -> None:
    write_object(str(kept.folder), "report", 5, resolve_serializer("json"), run_id=to_text(bytes(16)), name="other")
    assert surefoot("results", "rm", "brave-otter", "--yes").exit_code == 0
    assert (kept.folder / "report").exists()
    assert "has stored its own result over it" in surefoot("results", "show", "load-2").stderr


def test_results_of_a_run_that_goes_on_are_not_removed(home: Path, surefoot: Surefoot) -> None:
    from surefoot.journal.home import Home
    from surefoot.journal.recorder import Recorder

    recorder = Recorder(Home(str(home)))
    flow = a_flow_run("calm-heron", state="Running")
    for fact in flow:
        recorder.run(fact)
    keeper = Keeper(str(home), flow[0].run_id, recorder.writer_id)
    keeper.keep(1)
    refused = surefoot("results", "rm", "calm-heron", "--yes")
    assert (refused.exit_code, "is Running, and needs its results" in refused.stderr) == (3, True)
    keeper.close()
    gone = surefoot("results", "gc", "--max-age-days", "0", "--yes", "-o", "json")
    assert json.loads(gone.stdout)["flow_runs"] == []
    recorder.close()


def test_gc_removes_what_is_too_old_or_too_much(kept: Kept, surefoot: Surefoot) -> None:
    assert json.loads(surefoot("results", "gc", "--yes", "-o", "json").stdout)["flow_runs"] == []
    when = kept.pack.stat().st_mtime - 40 * 86_400
    os.utime(kept.pack, (when, when))
    os.utime(kept.pack.parent, (when, when))
    asked = surefoot("results", "gc")
    assert (asked.exit_code, "Add --yes" in asked.stderr, "brave-otter" in asked.stderr) == (2, True, True)
    done = surefoot("results", "gc", "--yes")
    assert "of 1 flow run." in done.stdout
    assert not kept.pack.exists()
    assert (kept.folder / "report").exists()
