"""`surefoot.variables` as users call it: in scripts, flows, threads, processes and event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.core.wire import VariableChange
from surefoot.exceptions import AlreadyExists, BadInput, LedgerBusy, NotFound, SurefootError
from surefoot.task_runners import ProcessPoolTaskRunner
from surefoot.variables import Variable, arender, render


def changes(name: str) -> list[VariableChange]:
    client = get_client()
    try:
        return client.variable_changes(name).results
    finally:
        client.close()


@pytest.mark.usefixtures("each_ledger")
def test_a_value_is_set_read_changed_and_removed() -> None:
    made = Variable.set("conf", {"retries": 3, "hosts": ["a"]}, tags=["nightly"])
    assert (made.name, made.value, made.tags) == ("conf", {"retries": 3, "hosts": ["a"]}, ["nightly"])
    assert Variable.get("conf") == {"retries": 3, "hosts": ["a"]}
    with pytest.raises(AlreadyExists):
        Variable.set("conf", 1)
    assert Variable.set("conf", None, overwrite=True).tags == ["nightly"]
    assert Variable.get("conf", "default") is None  # it is there
    assert Variable.set("conf", 1, tags=[], overwrite=True).tags == []
    assert (Variable.unset("conf"), Variable.unset("conf")) == (True, False)
    assert Variable.get("conf") is None
    assert Variable.get("conf", ["d"]) == ["d"]


def test_a_value_that_was_read_is_ones_own() -> None:
    Variable.set("hosts", ["a"])
    Variable.get("hosts").append("b")
    assert Variable.get("hosts") == ["a"]


@task
def counts(name: str) -> int:
    value: int = Variable.get(name, 0) + 1
    Variable.set(name, value, overwrite=True)
    return value


@flow
def counting() -> list[int]:
    Variable.set("by-flow", 1)
    return [counts("by-task"), counts.submit("by-thread").result()]


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def counting_elsewhere() -> int:
    return counts.submit("by-child").result()


def test_the_history_names_the_run_whose_code_changed_it() -> None:
    assert counting() == [1, 1]
    assert counting_elsewhere() == 1
    client = get_client()
    tasks = {run.id: run.name for run in client.task_runs().results}
    flows = {run.id for run in client.flow_runs().results}
    client.close()
    (by_flow,) = changes("by-flow")
    assert (by_flow.run_id in flows, by_flow.run_type) == (True, "flow-run")
    for name in ("by-task", "by-thread", "by-child"):
        (change,) = changes(name)
        assert (tasks[change.run_id or ""], change.run_type) == (change.run_name, "task-run")
    Variable.set("by-nobody", 1)
    (change,) = changes("by-nobody")
    assert (change.run_id, "@" in change.changed_by) == (None, True)


def test_in_an_event_loop_there_are_awaiting_twins_and_the_others_work_too() -> None:
    @flow
    async def main() -> list[Any]:
        await Variable.aset("a", 1, ["t"])
        with pytest.raises(AlreadyExists):
            await Variable.aset("a", 2)
        await Variable.aset("a", 2, overwrite=True)
        found = [Variable.get("a"), await Variable.aget("a"), await Variable.aget("b", "d")]
        found.append(await arender("{{ surefoot.variables.a }}"))
        return [*found, await Variable.aunset("a"), await Variable.aunset("a")]

    assert asyncio.run(main()) == [2, 2, "d", 2, True, False]
    assert {change.run_type for change in changes("a")} == {"flow-run"}


def test_of_many_who_set_one_at_once_one_does() -> None:
    def attempt(number: int) -> bool:
        try:
            Variable.set("winner", number)
        except AlreadyExists:
            return False
        return bool(Variable.get("winner") == number)

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(attempt, range(8))) == [False] * 7 + [True]


PROGRAM = """
import sys
from surefoot.variables import Variable
name = sys.argv[1]
for n in range(20):
    Variable.set(f"{name}-{n}", n)
    Variable.set("shared", f"{name}-{n}", overwrite=True)
"""


@pytest.mark.usefixtures("each_ledger")
def test_processes_change_variables_at_once_and_no_change_is_lost(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    started = [subprocess.Popen([sys.executable, script, f"p{n}"]) for n in range(3)]
    assert [process.wait(100) for process in started] == [0, 0, 0]
    assert all(Variable.get(f"p{p}-{n}") == n for p in range(3) for n in range(20))
    told = changes("shared")
    assert len(told) == 60
    assert [change.before for change in told[:-1]] == [change.after for change in told[1:]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
def test_a_forked_child_opens_the_ledger_itself() -> None:
    Variable.set("x", 1)
    child = os.fork()
    if child == 0:
        try:
            Variable.set("x", Variable.get("x") + 1, overwrite=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert Variable.get("x") == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: Variable.set("Bad Name", 1),
        lambda: Variable.set("x", (1, 2)),
        lambda: Variable.set("x", "y" * 70_000),
        lambda: Variable.set("x", 1, tags="nightly"),
        lambda: Variable.get("Bad Name", 3),
        lambda: Variable.unset("Bad Name"),
    ],
)
def test_what_cannot_be_is_refused_before_the_ledger_is_opened(home: Path, call: Any) -> None:
    with pytest.raises(BadInput) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert not home.exists()


@pytest.mark.usefixtures("each_ledger")
def test_templates_are_filled_with_what_is_there() -> None:
    Variable.set("region", "eu")
    Variable.set("limits", {"rows": 100})
    assert render({"to": "s3://{{ surefoot.variables.region }}/x", "n": ["{{ surefoot.variables.limits.rows }}"]}) == {
        "to": "s3://eu/x",
        "n": [100],
    }
    with pytest.raises(NotFound, match=r"There is no variable 'region-1'\. Did you mean 'region'\?"):
        render("{{ surefoot.variables.region }} {{ surefoot.variables.region-1 }}")


def test_a_template_without_places_does_not_open_the_ledger(home: Path) -> None:
    assert render({"x": ["{{ y }}", 1]}) == {"x": ["{{ y }}", 1]}
    assert not home.exists()


def test_a_flow_that_is_drawn_changes_nothing() -> None:
    Variable.set("there", 1)

    @flow
    def drawn() -> None:
        assert Variable.set("made", Variable.get("there") + 1).value == 2
        assert Variable.unset("there")

    drawn.visualize()
    assert (Variable.get("there"), Variable.get("made")) == (1, None)


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "file"))
    with pytest.raises(SurefootError, match="file"):
        Variable.get("x")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_a_process_killed_while_it_changes_variables_leaves_each_with_its_history(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import itertools\n"
        "from surefoot.variables import Variable\n"
        "for n in itertools.count():\n"
        "    Variable.set('x', n, overwrite=True)\n"
        "    print(n, flush=True)\n"
    )
    for enough in ("3", "11", "27"):
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == enough:
                process.kill()
                break
        process.wait()
        process.stdout.close()
        told = changes("x")
        assert told[0].after == Variable.get("x") >= int(enough)  # what was told to be set is
        assert [change.before for change in told[:-1]] == [change.after for change in told[1:]]


def test_a_ledger_that_another_process_holds_can_be_read_and_names_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Variable.set("x", 1)
    monkeypatch.setenv("SUREFOOT_LEDGER_BUSY_TIMEOUT_SECONDS", "0.2")
    script = tmp_path / "holds.py"
    script.write_text(
        "import sys\n"
        "from surefoot.client.ledgers import ledger_of\n"
        "from surefoot.core import settings\n"
        "from surefoot.journal.home import Home\n"
        "with ledger_of(Home(settings.refresh().home), None).decide():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    client = get_client()
    with pytest.raises(LedgerBusy, match=str(holder.pid)):
        client.set_variable("x", 2, overwrite=True)
    assert Variable.get("x") == client.find_variable("x").value == 1
    holder.communicate()
    client.set_variable("x", 2, overwrite=True)
    client.close()
    holder.stdout.close()
    assert Variable.get("x") == 2
