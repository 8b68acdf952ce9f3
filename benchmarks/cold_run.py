"""A new process that runs a flow of one task and exits: the first time in an empty home, and again."""

import os
import tempfile
from itertools import count
from pathlib import Path

from _measure import in_turn, process_s, tell

SCRIPT = """
from surefoot import flow, task

@task
def add_one(x):
    return x + 1

@flow
def little():
    return add_one(1)

if __name__ == "__main__":
    little()
"""
GOAL = "under 250 ms, or 5 times the floor"
FLOOR = "process that imports msgspec"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "little.py")
        script.write_text(SCRIPT, encoding="utf-8")
        homes = count()

        def run_ms(home: str) -> float:
            return process_s(str(script), home=os.path.join(folder, home))[0] * 1000

        first = in_turn(lambda: run_ms(f"new-{next(homes)}"), empty_ms, rounds=11)
        tell("cold run in an empty home", first, "ms", FLOOR, GOAL, first.value < 250 or first.ratio <= 5)
        again = in_turn(lambda: run_ms("known"), empty_ms, rounds=11)
        tell("cold run", again, "ms", FLOOR, GOAL, again.value < 250 or again.ratio <= 5)


def empty_ms() -> float:
    return process_s("-c", "import msgspec")[0] * 1000


if __name__ == "__main__":
    main()
