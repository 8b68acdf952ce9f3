"""Notebooks, in a real kernel: awaiting, time limits, interrupting, redefining, and what stands under which cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from surefoot.core.facts import FlowRunCreated
from surefoot.core.states import COMPLETED, CRASHED, FINAL
from tests.notebooks.kernel import Kernel
from tests.recorded import RecordedRun, record

# Each line in one piece: Python's own `print` writes the end of a line apart, and threads may come in between.
FIRST_CELL = """
import asyncio, threading, time, warnings
warnings.filterwarnings("error", module=r"surefoot\\b")
from surefoot import flow, task
from surefoot.logging import get_run_logger
from surefoot.task_runners import ThreadPoolTaskRunner

@task
def double(x):
    print(f"doubles {x}\\n", end="")
    get_run_logger().info("logs %s", x)
    return x * 2

@task
async def add_one(x):
    print(f"adds to {x}\\n", end="")
    get_run_logger().info("logs %s", x)
    return x + 1

@flow
def works(x=1):
    return double(x), add_one.submit(x).result(), double.map([x, x]).result()
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("notebook")
    kernel = Kernel(folder / "home", folder)
    try:
        assert kernel.run(FIRST_CELL).error is None
        yield kernel
    finally:
        kernel.close()


def flow_runs(kernel: Kernel, flow_name: str) -> list[RecordedRun]:
    """The runs of a flow, the oldest first."""
    return [run for run in record(kernel.home).flow_runs if run.of == flow_name]


def test_an_asynchronous_flow_is_awaited_in_a_cell_and_all_it_says_stands_under_it(kernel: Kernel) -> None:
    cell = kernel.run("""
@flow
async def awaited():
    first = double.submit(20)
    return await add_one(1), await first, await add_one.submit(2)
await awaited()
""")
    assert cell.value == "(2, 40, 3)"
    assert sorted(cell.out.split()) == sorted("adds to 1 adds to 2 doubles 20".split())
    assert all(f"logs {x}" in cell.err for x in (1, 2, 20))
    assert "started" in cell.err
    assert "completed in" in cell.err


def test_a_blocking_flow_runs_asynchronous_tasks_in_the_loop_that_runs_already(kernel: Kernel) -> None:
    cell = kernel.run("""
@flow
def mixes():
    return add_one.submit(1).result(), add_one.map([1, 2]).result(), works(5)
mixes()
""")
    assert cell.value == "(2, [2, 3], (10, 6, [10, 10]))"
    assert sorted(cell.out.split()) == sorted(
        "adds to 1 adds to 1 adds to 2 adds to 5 doubles 5 doubles 5 doubles 5".split()
    )


@pytest.mark.parametrize(
    "code",
    [
        "@flow(timeout_seconds=0.2)\ndef late():\n    time.sleep(60)\nlate()",
        "@flow(timeout_seconds=0.2)\nasync def late():\n    await asyncio.sleep(60)\nawait late()",
    ],
    ids=["blocking", "asynchronous"],
)
def test_a_time_limit_ends_a_flow_and_the_next_cell_runs(kernel: Kernel, code: str) -> None:
    cell = kernel.run(code)
    assert cell.error == "FlowRunTimeoutError"
    assert f"To see why: surefoot why {flow_runs(kernel, 'late')[-1].name}" in cell.err
    assert kernel.run("works()").value == "(2, 2, [2, 2])"


CELLS_TO_INTERRUPT = {
    "blocking flow": "@flow\ndef long():\n    print('begun', flush=True)\n    time.sleep(60)\nlong()",
    "asynchronous flow": """
@flow
async def long():
    print('begun', flush=True)
    await asyncio.sleep(60)
await long()""",
    "blocking tasks": """
@task
def waits(n):
    print('begun', flush=True)
    while True:
        time.sleep(0.01)
@flow
def long():
    waits.map(range(3)).wait()
long()""",
    "asynchronous tasks": """
@task
async def waits(n):
    print('begun', flush=True)
    await asyncio.sleep(60)
@flow
async def long():
    for future in waits.map(range(3)):
        await future
await long()""",
    "blocking flow in a cell that awaits": """
@flow
def long():
    print('begun', flush=True)
    time.sleep(60)
await asyncio.sleep(0)
long()""",
    "flows side by side": """
@flow
async def long():
    print('begun', flush=True)
    await asyncio.sleep(60)
await asyncio.gather(long(), long())""",
}


@pytest.mark.parametrize("name", CELLS_TO_INTERRUPT)
def test_interrupting_the_kernel_ends_the_run_and_the_next_cell_runs(kernel: Kernel, name: str) -> None:
    before = len(flow_runs(kernel, "long"))
    cell = kernel.begin(CELLS_TO_INTERRUPT[name])
    kernel.until(lambda: "begun" in cell.out)
    kernel.interrupt()
    kernel.until(lambda: cell.is_over)
    assert cell.error in ("KeyboardInterrupt", "CancelledError")
    ended = flow_runs(kernel, "long")[before:]
    assert ended
    for run in ended:
        assert run.last.state_type is CRASHED
        assert run.last.message == "interrupted (Ctrl-C)"
        assert f"To see why: surefoot why {run.name}" in cell.err
    everything = record(kernel.home)
    assert all(run.last.state_type in FINAL for run in (*everything.flow_runs, *everything.task_runs))
    after = kernel.run("import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\nworks()")
    assert after.out.startswith("True\n")
    assert after.value == "(2, 2, [2, 2])"


BACKGROUND = """
is_enough = threading.Event()
@task
def notes(n):
    print(f"note {n}\\n", end="")
    return n
@flow
async def background():
    n = 0
    while not is_enough.is_set():
        await notes.submit(n)
        print(f"noted {n}\\n", end="")
        n += 1
        await asyncio.sleep(0.01)
    return n
going = asyncio.create_task(background())
"""


def test_what_a_run_in_the_background_says_stays_under_the_cell_that_began_it(kernel: Kernel) -> None:
    began = kernel.run(BACKGROUND)
    between = kernel.run("await asyncio.sleep(0.1)\nworks()")
    kernel.until(lambda: "noted 3" in began.out)
    last = kernel.run("is_enough.set()\nawait going > 3")
    kernel.until(lambda: "completed in" in began.err)
    assert last.value == "True"
    assert "not" not in between.out + last.out
    assert "background" not in between.err + last.err
    assert "background" in began.err


@pytest.mark.parametrize("name", ["blocking flow", "asynchronous flow"])
def test_an_interrupt_ends_the_run_of_the_cell_and_not_one_in_the_background(kernel: Kernel, name: str) -> None:
    began = kernel.run(BACKGROUND)
    kernel.run("await asyncio.sleep(0.05)")
    before = len(flow_runs(kernel, "long"))
    cell = kernel.begin(CELLS_TO_INTERRUPT[name])
    kernel.until(lambda: "begun" in cell.out)
    kernel.interrupt()
    kernel.until(lambda: cell.is_over)
    interrupted = flow_runs(kernel, "long")[before:]
    assert [run.last.message for run in interrupted] == ["interrupted (Ctrl-C)"]
    assert kernel.run("is_enough.set()\nawait going >= 0").value == "True"
    assert flow_runs(kernel, "background")[-1].end == (COMPLETED, "Completed")
    kernel.until(lambda: "completed in" in began.err)


def test_the_newest_definition_of_a_cell_counts_and_is_told_from_the_older(kernel: Kernel) -> None:
    for factor in (1, 10):
        cell = kernel.run(f"""
@task
def scales(x):
    return x * {factor}
@flow
def redefined():
    return scales.map([1, 2]).result()
redefined()
""")
        assert cell.value == f"[{factor}, {2 * factor}]"
    assert kernel.run("redefined()").value == "[10, 20]"
    created = [run.created for run in flow_runs(kernel, "redefined")]
    assert all(isinstance(fact, FlowRunCreated) for fact in created)
    versions = [fact.flow_version for fact in created if isinstance(fact, FlowRunCreated)]
    assert None not in versions
    assert versions[0] != versions[1] == versions[2]


def test_a_cell_is_no_file_that_could_be_started_again(kernel: Kernel) -> None:
    # A debugger makes the kernel write its cells to temporary files.
    cell = kernel.run("""
import os
@flow
def in_a_cell():
    return None
name = in_a_cell.fn.__code__.co_filename
os.makedirs(os.path.dirname(name), exist_ok=True)
with open(name, "w") as copy:
    copy.write("x = 1")
in_a_cell()
os.remove(name)
""")
    assert cell.error is None
    created = flow_runs(kernel, "in-a-cell")[-1].created
    assert isinstance(created, FlowRunCreated)
    assert created.start is not None
    assert created.start.file is None
    assert created.start.module is None


def test_the_progress_of_a_map_is_one_line_that_is_updated(kernel: Kernel) -> None:
    cell = kernel.run("""
from surefoot.core.clock import SystemClock, get_clock, set_clock
class Hasty(SystemClock):
    asked = 0
    def mono_us(self):
        self.asked += 1
        return super().mono_us() + self.asked * 1000
before = get_clock()
set_clock(Hasty())
@task
def odd_fails(n):
    if n % 100 == 1:
        raise ValueError(n)
@flow
def maps():
    odd_fails.map(range(1000)).wait()
try:
    maps()
finally:
    set_clock(before)
""")
    assert cell.error is None
    kinds, ids, texts = zip(*cell.displays, strict=True)
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    assert len(set(ids)) == 1
    assert 3 <= len(texts) <= 100
    assert texts[-1].startswith("odd_fails: 1,000/1,000 done, 10 failed")
    assert "\r" not in cell.err + cell.out
    assert "\x1b[2K" not in cell.err + cell.out


def test_what_a_cell_shows_is_short_and_escaped(kernel: Kernel) -> None:
    kernel.run("""
@task(tags=["<script>"])
def breaks(text):
    raise ValueError("<script>" + text)
futures = []
@flow(description="<b>bold</b>")
def shown():
    futures.append(breaks.map(["x" * 5000, "y"]))
    return futures[0]
state = shown(return_state=True)
""")
    for code, plain in {
        "state": "Failed(type=FAILED, message='2/2 states failed.')",
        "futures[0]": "<FutureList of 2: 2 Failed>",
        "futures[0][1].state": "Failed(type=FAILED, message='ValueError: <script>y')",
        "shown": "<Flow 'shown'>",
        "breaks": "<Task 'breaks'>",
    }.items():
        shown = kernel.run(code).result
        assert shown["text/plain"] == plain
        assert shown["text/html"].startswith("<div>")
        assert "<script" not in shown["text/html"]
        assert "<b>bold" not in shown["text/html"]
    for code in ("futures[0][0]", "futures[0][0].state"):
        shown = kernel.run(code).result
        assert all(len(text) < 1000 for text in shown.values())
        assert "<script" not in shown["text/html"]


def test_a_failure_shows_the_lines_of_the_user_and_not_those_between(kernel: Kernel) -> None:
    cell = kernel.run("""
@task
def breaks(): raise ValueError("here")
@flow
def calls(): return breaks()
@flow
async def awaits(): return breaks()
try:
    calls()
except ValueError:
    await awaits()
""")
    assert cell.error == "ValueError"
    assert "surefoot/" not in cell.traceback
    assert "breaks" in cell.traceback
    assert "To see why: surefoot why" in cell.err


def test_a_notebook_that_runs_as_a_whole_holds_what_it_showed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    code = (FIRST_CELL, "works(3)", "await add_one(4)")
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in code]  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, second, third = notebook.cells
    assert "(6, 4, [6, 6])" in str(second.outputs)
    assert "adds to 3" in str(second.outputs)
    assert "5" in str(third.outputs)
    assert "adds to 4" in str(third.outputs)


def test_a_run_is_retried_after_the_cell_of_its_broken_task_was_mended(kernel: Kernel) -> None:
    kernel.run("""
calls = []
@task
def fetches():
    calls.append("fetches")
    return 1
@task
def stores(x):
    calls.append("breaks")
    raise OSError("full")
@flow
def mended():
    return stores(fetches())
state = mended(return_state=True)
""")
    cell = kernel.run("""
@task
def stores(x):
    calls.append("stores")
    return x + 1
mended.retry(state.state_details["flow_run_id"]), calls
""")
    assert cell.value == "(2, ['fetches', 'breaks', 'stores'])"


def test_a_drawing_is_shown_below_its_cell_and_an_asynchronous_flow_is_drawn_beside_the_loop(kernel: Kernel) -> None:
    shown = kernel.run("works.visualize(3)").result
    assert shown["image/svg+xml"].startswith("<svg")
    assert ">double" in shown["image/svg+xml"]
    cell = kernel.run(
        "@flow\nasync def draws(): return await add_one(await add_one(1))\n"
        "draws.generate_mermaid_graph() == (await draws.avisualize()).mermaid"
    )
    assert (cell.error, cell.value) == (None, "True")
