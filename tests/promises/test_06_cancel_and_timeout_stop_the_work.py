"""Promise 6: cancel and timeout really stop the work, whatever it is doing; what cannot be stopped is told as such.

What runs in processes of their own is tested with the process pool; here, what threads allow.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from surefoot.client import get_client
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRunFilter, TaskRunFilter
from tests.faults.program import program

# What a run does, and whether a thread can be stopped in it.
WORK = {
    "sleep": ("time.sleep(1000)", True),
    "busy loop": ("while True: pass", True),
    "C call": ("os.read(os.pipe()[0], 1)", True),
    # The grandchild is left: only a process of the runner's own could end it. It has to end soon by itself.
    "subprocess with grandchild": ('subprocess.run(["sh", "-c", "sleep 9 & wait"], **QUIET)', True),
    "nested flow": ("inner()", True),
    "submitted flow": ("spinning.submit().result()", True),
    "in a transaction": ("with transaction(): kept(); time.sleep(1000)", True),
    "a runner that is left": (
        "with ThreadPoolTaskRunner(1) as runner: runner.submit(spins, {'number': 1}).result()",
        True,
    ),
    "map": ("spins.map(range(20)).wait()", True),
    "C call in a submitted task": ("stuck.submit().result()", False),
}
TEXT = """
from surefoot.engine import pool
from surefoot.task_runners import ThreadPoolTaskRunner
from surefoot.transactions import transaction
pool.STOP_GRACE_S = 0.2
QUIET = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
@task
def spins(number): spin()
@task
def stuck(): os.read(os.pipe()[0], 1)
@task(on_rollback=[lambda _: say("undone")])
def kept(): pass
@flow
def spinning(): spin()
@flow
def inner():
    spins.submit(1)
    time.sleep(1000)
def hook(*_): say("hook")
@flow({options}, on_cancellation=[hook], on_failure=[hook])
{kind}def f():
    say("on")
    {work}
try: {call}
except Exception: say("went on")
"""


def stopped(work: str, how: str, home: Path, *, is_async: bool = False) -> str:
    """Have it stopped, and look at what is left. What was written on stderr."""
    text = TEXT.format(
        options="timeout_seconds=0.3" if how == "timeout" else "timeout_seconds=None",
        kind="async " if is_async else "",
        work=work,
        call="asyncio.run(f())" if is_async else "f()",
    )
    with closing(get_client()) as client:
        with program(text, home) as running:
            running.wait_for("on")
            if how == "cancel":
                (run,) = client.flow_runs(FlowRunFilter(flow_name=["f"])).results
                client.cancel_flow_run(run.id)
            running.wait_for("hook")
            running.wait_for("went on")
            end = running.end()
        assert end.status == 0, end.stderr
        runs = {run.flow_name: run for run in client.flow_runs().results}
        wanted = (StateType.CANCELLED, "Cancelled") if how == "cancel" else (StateType.FAILED, "TimedOut")
        assert (runs["f"].state_type, runs["f"].state_name) == wanted
        assert all(run.state_type in FINAL for run in runs.values())
        assert all(run.state_type in FINAL for run in client.task_runs(TaskRunFilter()).results)
    return end.stderr


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("work", WORK)
def test_the_work_is_stopped_and_all_runs_are_final(work: str, how: str, home: Path) -> None:
    text, can_be_stopped = WORK[work]
    told = stopped(text, how, home)
    assert ("nothing can interrupt it" in told) is not can_be_stopped


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_asynchronous_work_is_stopped(how: str, home: Path) -> None:
    stopped("await asyncio.sleep(1000)", how, home, is_async=True)
