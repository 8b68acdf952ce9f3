"""Promise 6, in processes of a pool and of a task's own: whatever is done there, a cancel or a timeout ends it all."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot.cli.app import app
from surefoot.client import get_client
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from tests.faults.program import Program, program
from tests.faults.test_children import are_gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs use a POSIX shell")

CANCELLED, FAILED = StateType.CANCELLED, StateType.FAILED

# What a task does, and how many processes tell that they are on before it is stopped.
WORK = {
    "sleep": ("works", "time.sleep(1000)", 1),
    "busy loop": ("works", "while True: pass", 1),
    "C call": ("works", "sum(range(10**15))", 1),
    "swallows": ("works", "swallow()", 1),
    "subprocess with grandchild": ("works", 'subprocess.run(["sh", "-c", "sleep 1000 & echo pid $!; wait"])', 2),
    "nested": ("works", "spins.submit().result()", 1),
    "async": ("works_async", "await asyncio.sleep(1000)", 1),
    "async that holds its loop": ("works_async", "time.sleep(1000)", 1),
}
TEXT = """
from surefoot.engine import remote_calls
from surefoot.task_runners import ProcessPoolTaskRunner
remote_calls.STOP_GRACE_S = 0.5
remote_calls.LATE_GRACE_S = 0.3
def swallow():
    while True:
        try: time.sleep(1000)
        except BaseException: pass
@task
def spins(): spin()
@task(timeout_seconds={task_s}, isolation={isolation!r})
{kind}def works(number):
    say(f"pid {{os.getpid()}}")
    {work}
def hook(flow, run, state): say(f"hook {{state.name}}")
@flow(timeout_seconds={flow_s}, task_runner=ProcessPoolTaskRunner(max_workers=2),
      on_cancellation=[hook], on_failure=[hook])
def f():
    say("on")
    {call}
try: f()
except Exception: say("went on")
spin()
"""
ENDS = {
    "cancel": ((CANCELLED, "Cancelled"), (CANCELLED, "Cancelled")),
    "timeout of the task": ((FAILED, "TimedOut"), (FAILED, "TimedOut")),
    "timeout of the flow": ((FAILED, "TimedOut"), (CANCELLED, "Cancelled")),
}


def text_of(work: str, how: str, call: str, isolation: str | None = None) -> str:
    task_name, line, _ = WORK[work]
    return TEXT.format(
        isolation=isolation,
        task_s=0.3 if how == "timeout of the task" else None,
        flow_s=2.5 if how == "timeout of the flow" else None,
        kind="async " if task_name == "works_async" else "",
        work=line,
        call=call,
    )


def check_ends(running: Program, how: str, pids: list[int], home: Path) -> None:
    """The hook was called, nobody is left of the tree, and all runs are final."""
    of_flow, of_tasks = ENDS[how]
    running.wait_for(f"hook {of_flow[1]}")
    running.wait_for("went on")
    are_gone(pids)
    with closing(get_client()) as client:
        (flow_run,) = client.flow_runs(FlowRunFilter(flow_name=["f"])).results
        assert (flow_run.state_type, flow_run.state_name) == of_flow
        task_runs = client.task_runs(TaskRunFilter()).results
    assert task_runs
    for run in task_runs:
        assert run.state_type in FINAL, run
        if run.task_name == "works" and run.start_time is not None:
            assert (run.state_type, run.state_name) == of_tasks


def cancel(running: Program) -> None:
    with closing(get_client()) as client:
        (run,) = client.flow_runs(FlowRunFilter(flow_name=["f"])).results
        client.cancel_flow_run(run.id)


OWN = [  # in processes of their own: a few always
    pytest.param(work, "process", marks=() if work in ("C call", "nested") else pytest.mark.long) for work in WORK
]


@pytest.mark.parametrize("how", ["cancel", "timeout of the task"])
@pytest.mark.parametrize(("work", "isolation"), [*((work, None) for work in WORK), *OWN])
def test_the_whole_tree_ends_whatever_a_task_does(work: str, isolation: str | None, how: str, home: Path) -> None:
    with program(text_of(work, how, "works.submit(1).result()", isolation), home) as running:
        pids = [running.wait_for_number("pid") for _ in range(WORK[work][2])]
        if how == "cancel":
            cancel(running)
        check_ends(running, how, pids, home)


@pytest.mark.parametrize("work", ["C call", "subprocess with grandchild"])
def test_the_whole_tree_ends_when_the_time_of_the_flow_is_up(work: str, home: Path) -> None:
    with program(text_of(work, "timeout of the flow", "works.submit(1).result()"), home) as running:
        pids = [running.wait_for_number("pid") for _ in range(WORK[work][2])]
        check_ends(running, "timeout of the flow", pids, home)


@pytest.mark.parametrize("work", ["busy loop", "C call"])
def test_a_map_is_cancelled_those_that_run_and_those_that_do_not(work: str, home: Path) -> None:
    with program(text_of(work, "cancel", "works.map(range(20)).wait()"), home) as running:
        pids = [running.wait_for_number("pid") for _ in range(2)]
        done = CliRunner().invoke(app, ["flow-run", "cancel", "--flow", "f", "--yes"])
        assert done.exit_code == 0, done.stderr
        assert " was cancelled after " in done.stdout
        check_ends(running, "cancel", pids, home)
        with closing(get_client()) as client:
            states = [run.state_type for run in client.task_runs(TaskRunFilter(task_name=["works"])).results]
        assert states == [CANCELLED] * 20


def test_a_flow_that_waits_for_a_process_is_cancelled_within_a_tenth_of_a_second(home: Path) -> None:
    """Of three tries, since the machine may be busy with something else."""
    took = []
    for _ in range(3):
        text = text_of("sleep", "cancel", "works.submit(1).result()")
        with program(text, home) as running, closing(get_client()) as client:
            pid = running.wait_for_number("pid")
            run = client.flow_runs(FlowRunFilter(flow_name=["f"])).results[0]
            request = client.cancel_flow_run(run.id)
            running.wait_for("went on")
            are_gone([pid])
            ended = client.find_flow_run(run.id)
            assert ended.state_type is CANCELLED
            assert ended.end_time is not None
            took.append((ended.end_time - request.asked).total_seconds())
        if took[-1] < 0.1:
            break
    assert took[-1] < 0.1, took


NESTED = """
from surefoot.task_runners import ProcessPoolTaskRunner
@task
def inner():
    say("on")
    spin()
@flow
def subflow():
    say("on")
    spin()
@task
def outer(call):
    try: {call}
    except Exception as error: say(type(error).__name__)
    return 5
@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def f(): return outer.submit(1).result()
say(f"f gave {{f()}}")
"""


@pytest.mark.parametrize(
    ("call", "name"),
    [("inner()", "inner"), ("inner.submit().result()", "inner"), ("subflow()", "subflow")],
)
def test_one_run_in_a_process_is_cancelled_and_what_called_it_goes_on(call: str, name: str, home: Path) -> None:
    with program(NESTED.format(call=call), home, hangs_s=12) as running, closing(get_client()) as client:
        running.wait_for("on")
        if name == "subflow":
            (flow_run,) = client.flow_runs(FlowRunFilter(flow_name=[name])).results
            client.cancel_flow_run(flow_run.id)
        else:
            (task_run,) = client.task_runs(TaskRunFilter(task_name=[name])).results
            client.cancel_task_run(task_run.id)
        running.wait_for("CancelledRun")
        running.wait_for("f gave 5")
        assert running.end().status == 0
