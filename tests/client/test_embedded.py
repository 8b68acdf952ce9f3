"""The embedded client answers every question of the protocol, from the home's own ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from surefoot.client import Client, get_client
from surefoot.core.errors import HomeUnwritable, NotFound, SettingsError
from surefoot.core.ids import to_text
from surefoot.core.settings import temporary_settings
from surefoot.core.wire import FlowFilter, FlowRunFilter, LogFilter, TaskRunFilter
from tests.client.builders import a_flow_run, a_line, a_task_run, id_of, recorded

pytestmark = pytest.mark.usefixtures("each_ledger")


@pytest.fixture
def client(home: Path, each_ledger: None) -> Iterator[Client]:
    run = a_flow_run(state="Failed", why="upload: no")
    task = a_task_run(run, state="Failed", why="no")
    recorded(home, run, task, a_line(run, "one"), a_line(task, "two", level=40, after_s=2), a_flow_run("calm-heron"))
    client = get_client()
    yield client
    client.close()


def test_it_answers_every_question(client: Client) -> None:
    (flow,) = client.flows(FlowFilter(name=["backup"])).results
    assert flow.run_count == 2
    (run,) = client.flow_runs(FlowRunFilter(state_name=["Failed"])).results
    assert run.name == "brave-otter"
    (task,) = client.task_runs(TaskRunFilter(flow_run_id=[run.id])).results
    assert [state.name for state in client.states(run.id)] == ["Pending", "Running", "Failed"]
    assert client.task_run_counts(TaskRunFilter(flow_run_id=[run.id])).by_name == {"Failed": 1}
    assert client.find_flow_run("brave-otter") == client.find_run("brave-otter") == run
    assert client.find_task_run("upload-0") == client.find_run("upload-0") == task
    assert client.why("brave-otter").run == run
    assert (client.behind, list(client.troubles)) == (0, [])


def test_lines_are_read_by_task_and_by_flow(client: Client) -> None:
    run = client.find_flow_run("brave-otter")
    assert [line.message for line in client.logs(LogFilter(flow_run_id=[run.id])).results] == ["one", "two"]
    task = client.find_task_run("upload-0")
    assert [line.message for line in client.logs(LogFilter(task_run_id=[task.id])).results] == ["two"]


def test_pages_go_on_where_the_one_before_stopped(client: Client) -> None:
    first = client.flow_runs(limit=1)
    second = client.flow_runs(limit=1, after=first.after)
    assert [run.name for run in (*first.results, *second.results)] == ["calm-heron", "brave-otter"]
    assert second.after is None


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for ask in (client.find_flow_run, client.find_task_run, client.find_run, client.why):
        with pytest.raises(NotFound):
            ask("nobody")


def test_a_home_that_is_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with temporary_settings({"home": str(tmp_path / "file")}), pytest.raises(HomeUnwritable):
        get_client()


def test_a_url_is_refused_with_the_way_out(home: Path) -> None:
    with temporary_settings({"api.url": "https://surefoot.example/api"}), pytest.raises(SettingsError) as caught:
        get_client()
    assert "surefoot config unset api.url" in caught.value.do


def test_the_database_toolkit_is_loaded_by_asking_and_not_before(home: Path) -> None:
    code = (
        "import sys; from surefoot.client import get_client; before = 'sqlalchemy' in sys.modules;"
        "get_client().close(); print(before, 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_two_clients_of_one_home_see_the_same(home: Path) -> None:
    run = a_flow_run()
    recorded(home, run)
    one, other = get_client(), get_client()
    assert one.flow_runs() == other.flow_runs()
    assert one.find_flow_run(to_text(id_of(run))).name == "brave-otter"
    one.close()
    other.close()
