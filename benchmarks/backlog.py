"""A backlog of a million facts that nobody took in: what a command waits for it, and when a crash beside it is seen."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import median

from _measure import QUICK, Medians, process_s, tell

from surefoot.core.clock import get_clock
from surefoot.core.facts import FlowRunCreated, LogWritten, RunFact, StateEntered, TaskRunCreated
from surefoot.core.ids import new_id
from surefoot.core.states import StateType
from surefoot.journal.home import Home
from surefoot.journal.recorder import Budgets, Recorder

FACTS = 1000 if QUICK else 1_000_000
WRITERS = 4
ROUNDS = 1 if QUICK else 3
COMMAND = "import sys; from surefoot.cli import main; sys.exit(main())"
LS = ("-c", COMMAND, "flow-run", "ls", "-o", "json")
WAITS = """
import os, time
from surefoot import flow
@flow
def waits():
    os.write(1, b"on\\n")
    time.sleep(1000)
waits()
"""


def main() -> None:
    floors, seen_floors = [], []
    firsts, laters, seen = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            home = os.path.join(folder, "empty")
            process_s(*LS, home=home)
            floors.append(process_s(*LS, home=home)[0])
            seen_floors.append(seen_s(home))
            home = os.path.join(folder, "full")
            fill(home)
            firsts.append(process_s(*LS, home=home)[0])
            laters.append(process_s(*LS, home=home)[0])
            seen.append(seen_s(home))
    floor, least = median(floors), "the floor, and 2 s"
    for figure, values in (("first ls", firsts), ("a later ls", laters)):
        measured = Medians(median(values), floor)
        tell(
            f"{figure} on a backlog of {FACTS:,} facts",
            measured,
            "s",
            "ls in an empty home",
            least,
            max(values) < floor + 2,
        )
    crash = Medians(median(seen), median(seen_floors))
    tell(
        "a kill until ls shows Crashed beside it", crash, "s", "the same in an empty home", least, max(seen) < floor + 2
    )


def fill(home: str) -> None:
    """Leave there what writers recorded that ended since: flow runs of a thousand tasks, a line each."""
    for _ in range(WRITERS):
        recorder = Recorder(Home(home), Budgets(runs_bytes=1 << 40, logs_bytes=1 << 40))
        for number, fact in enumerate(recorded()):
            if number >= FACTS // WRITERS:
                break
            if isinstance(fact, LogWritten):
                recorder.log(fact)
            else:
                recorder.run(fact)
        recorder.close()


def recorded() -> Iterator[RunFact | LogWritten]:
    clock = get_clock()

    def state(run_id: bytes, is_task: bool, n: int, state_type: StateType) -> StateEntered:
        return StateEntered(run_id, is_task, 0, n, clock.now_us(), clock.mono_us(), state_type, state_type.name.title())

    while True:
        flow_run_id = new_id()
        yield FlowRunCreated(
            flow_run_id, "many", "many-1", clock.now_us(), clock.mono_us(), StateType.PENDING, "Pending"
        )
        yield state(flow_run_id, False, 1, StateType.RUNNING)
        for index in range(1000):
            run_id, name = new_id(), f"step-{index}"
            at = clock.now_us(), clock.mono_us()
            yield TaskRunCreated(
                run_id, flow_run_id, "mod:step", "step", name, *at, StateType.PENDING, "Pending", index=index
            )
            yield state(run_id, True, 1, StateType.RUNNING)
            yield LogWritten(clock.now_us(), 20, "surefoot.task_runs", "a line of it", flow_run_id, run_id)
            yield state(run_id, True, 2, StateType.COMPLETED)
        yield state(flow_run_id, False, 2, StateType.COMPLETED)


def seen_s(home: str) -> float:
    """Seconds from the kill of a process that runs a flow until a command shows the run Crashed."""
    command = [sys.executable, "-c", WAITS]
    environment = {**os.environ, "SUREFOOT_HOME": home}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    killed = time.perf_counter()
    while True:
        runs = json.loads(process_s(*LS, home=home)[1])
        if any(run["flow_name"] == "waits" and run["state_name"] == "Crashed" for run in runs):
            return time.perf_counter() - killed


if __name__ == "__main__":
    main()
