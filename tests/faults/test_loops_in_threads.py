"""A task on a thread that runs an event loop of its own is stopped in time, and what lives in the loop ends with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from surefoot.core.states import StateType
from tests.faults.program import assert_all_ended, program, runs_in

LOOPS = """
import random
sys.setswitchinterval(1e-5)
@task
async def awaited(number):
    await asyncio.sleep(0)
@task
def called(number): pass
@flow
def f():
    @task(timeout_seconds=random.uniform(0.02, 0.06))
    def limited():
        async def main():
            while True:
                await asyncio.gather(*[awaited(number) for number in range(3)])
                called(1)
        asyncio.run(main())
    wait([limited.submit() for _ in range(4)])
    return "all are over"
for _ in range(int(sys.argv[1])): f()
"""


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.long)])
def test_time_limits_end_loops_in_threads_at_any_instant(
    count: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "CRITICAL")
    with program(LOOPS, home, str(count)) as running:
        end = running.end()
    assert end.status == 0, end.stderr
    assert_all_ended(home)
    ends = [run.last for run in runs_in(home) if run.of == "limited"]
    assert [(last.state_type, last.state_name) for last in ends] == [(StateType.FAILED, "TimedOut")] * 4 * count
