"""Small results stored as objects, each a file of its own, in a local folder."""

import os
import pickle
import shutil
from typing import Any

from _measure import HOME, QUICK, in_turn, rate, tell

from surefoot.results.objects import write_object
from surefoot.results.serializing import resolve_serializer

COUNT = 50 if QUICK else 5_000
VALUE: dict[str, Any] = {"rows": 12, "name": "a name", "ok": True}
FOLDER = os.path.join(os.path.dirname(HOME), "objects")
PICKLE = resolve_serializer("pickle")


def main() -> None:
    measured = in_turn(stored, written, rounds=5)
    goal = "5,000/s or 0.5 of the floor"
    met = measured.value >= 5_000 or measured.ratio >= 0.5
    tell("small results stored", measured, "1/s", "pickling the same value and writing it to a bare file", goal, met)


def stored() -> float:
    def work() -> None:
        for number in range(COUNT):
            write_object(FOLDER, f"value-{number}", VALUE, PICKLE, run_id="run", name="task")

    return emptied(rate(COUNT, work))


def written() -> float:
    os.makedirs(FOLDER)

    def work() -> None:
        for number in range(COUNT):
            with open(os.path.join(FOLDER, f"value-{number}"), "wb") as file:
                file.write(pickle.dumps(VALUE, 5))

    return emptied(rate(COUNT, work))


def emptied(result: float) -> float:
    shutil.rmtree(FOLDER)
    return result


if __name__ == "__main__":
    main()
