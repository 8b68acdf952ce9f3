"""The command line: `--help`, the first `flow-run ls` in a home without a ledger, and `flow-run ls` of many runs."""

import os
import tempfile
from itertools import count

from _measure import QUICK, in_turn, process_s, tell

COMMAND = "import sys; from surefoot.cli import main; sys.exit(main())"
RUNS = 5 if QUICK else 500
RECORDED = f"""
from surefoot import flow, task

@task
def step(x):
    return x

@flow
def little():
    step(1), step(2)

for _ in range({RUNS}):
    little()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        homes = count()

        def command_ms(*words: str, home: str = "unused") -> float:
            return process_s("-c", COMMAND, *words, home=os.path.join(folder, home))[0] * 1000

        helped = in_turn(lambda: command_ms("--help"), lambda: import_ms("click"))
        tell("--help", helped, "ms", "process that imports click", "under 150 ms", helped.value < 150)

        first = in_turn(
            lambda: command_ms("flow-run", "ls", home=f"new-{next(homes)}"), lambda: import_ms("sqlalchemy")
        )
        tell(
            "first read of a home", first, "ms", "process that imports sqlalchemy", "under 1,000 ms", first.value < 1000
        )

        process_s("-c", RECORDED, home=os.path.join(folder, "used"))
        read = in_turn(lambda: command_ms("flow-run", "ls", home="used"), lambda: import_ms("sqlalchemy"))
        figure = f"ls in a home of {RUNS} runs"
        tell(figure, read, "ms", "process that imports sqlalchemy", "under 400 ms", read.value < 400)


def import_ms(module: str) -> float:
    return process_s("-c", f"import {module}")[0] * 1000


if __name__ == "__main__":
    main()
