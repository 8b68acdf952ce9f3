"""Transactions whose process is interrupted, cancelled or killed in the midst of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from surefoot import flow, task
from surefoot.client import Client, get_client
from surefoot.core.states import StateType
from surefoot.results import ResultStore
from surefoot.transactions import transaction
from tests.faults.program import program

HERE = """
from pathlib import Path
from surefoot.transactions import transaction, atransaction
files = Path(sys.argv[1])

def undo(txn): say("undone " + txn.get("name")); (files / txn.get("name")).unlink()

@task(on_rollback=[undo], result_storage=files, result_storage_key="stored-{parameters[name]}")
def write(name):
    from surefoot.transactions import get_transaction
    get_transaction().set("name", name)
    (files / name).write_text("written")
    return name
"""
ON_THE_MAIN_THREAD = """
@flow
def main():
    with transaction():
        write("one")
        write("two")
        say("on")
        spin()
main()
"""
IN_A_TASK_THAT_WAS_SUBMITTED = """
@task
def all_of_it():
    with transaction():
        write("one")
        write("two")
        say("on")
        spin()
@flow
def main(): all_of_it.submit().result()
main()
"""
AWAITED = """
@flow
async def main():
    async with atransaction():
        write("one")
        write("two")
        say("on")
        await asyncio.Event().wait()
asyncio.run(main())
"""
IN_TASKS = """
@task
def goes_on(): say("on"); spin()
@flow
def main():
    with transaction():
        write("one")
        write("two")
        goes_on.submit().result()
main()
"""
PLACES = {
    "on the main thread": ON_THE_MAIN_THREAD,
    "in a task that was submitted": IN_A_TASK_THAT_WAS_SUBMITTED,
    "awaited": AWAITED,
    "while it waits for a task": IN_TASKS,
}


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    with closing(get_client()) as found:
        yield found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def ends_of(client: Client, name: str = "write") -> set[str]:
    return {run.state.name for run in client.task_runs().results if run.task_name == name}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_interrupted_is_rolled_back(
    place: str, number: signal.Signals, home: Path, files: Path, client: Client
) -> None:
    with program(HERE + PLACES[place], home, str(files)) as running:
        running.wait_for("on")
        running.send(number)
        end = running.end()
    assert end.status != 0
    assert list(files.iterdir()) == [], end.stderr
    assert ends_of(client) == {"RolledBack"}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_cancelled_is_rolled_back(place: str, home: Path, files: Path, client: Client) -> None:
    with program(HERE + PLACES[place], home, str(files)) as running:
        running.wait_for("on")
        (run,) = client.flow_runs().results
        client.cancel_flow_run(run.id)
        end = running.end()
    assert "CancelledRun" in end.stderr
    assert list(files.iterdir()) == [], end.stderr
    assert ends_of(client) == {"RolledBack"}


def test_what_was_staged_when_the_process_was_killed_is_written_nowhere(
    home: Path, files: Path, client: Client
) -> None:
    with program(HERE + ON_THE_MAIN_THREAD, home, str(files)) as running:
        running.wait_for("on")
        running.send(signal.SIGKILL)
        running.end()
    assert sorted(file.name for file in files.iterdir()) == ["one", "two"], "no hook was called, no result was stored"
    assert ends_of(client) == {"Staged"}


broken = True
called: list[str] = []


@task
def load(name: str) -> str:
    called.append(name)
    return name


@flow
def several() -> None:
    load("before")
    with transaction():
        load("within")
        if broken:
            raise RuntimeError("broken")


def test_a_retry_calls_again_what_was_rolled_back_and_nothing_else(home: Path, client: Client) -> None:
    global broken
    broken = True
    assert several(return_state=True).type is StateType.FAILED
    (run,) = client.flow_runs().results
    called.clear()
    broken = False
    assert several.retry(run.name, return_state=True).type is StateType.COMPLETED
    assert called == ["within"]
    assert ends_of(client, "load") == {"Completed", "Cached"}


KEYED = """
from surefoot.results import ResultStore
from surefoot.locking.filesystem import FileSystemLockManager
from surefoot.transactions import transaction
folder = sys.argv[1]
store = ResultStore(folder, "json", lock_manager=FileSystemLockManager(folder + "-locks"))
say("begins")
with transaction("once", store=store, isolation_level="SERIALIZABLE") as txn:
    if not txn.is_committed():
        say("works")
        if sys.argv[2] == "hangs": spin()
        txn.stage(os.getpid())
say("over")
"""


def test_a_key_is_worked_on_by_one_process_and_by_the_next_if_that_dies(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with program(KEYED, home, str(folder), "hangs") as first:
        first.wait_for("works")
        with program(KEYED, home, str(folder), "") as second:
            second.wait_for("begins")
            first.send(signal.SIGKILL)
            first.end()
            second.wait_for("works")
            second.wait_for("over")
            assert second.end().status == 0
    assert isinstance(ResultStore(folder).read("once").result, int)
    with program(KEYED, home, str(folder), "") as third:
        end = third.end()
    assert end.stdout.split() == ["begins", "over"]


def test_processes_that_start_at_once_work_once(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    with (
        program(KEYED, home, str(folder), "") as one,
        program(KEYED, home, str(folder), "") as two,
        program(KEYED, home, str(folder), "") as three,
    ):
        said = [word for each in (one, two, three) for word in each.end().stdout.split()]
    assert sorted(said) == ["begins"] * 3 + ["over"] * 3 + ["works"]
