"""What the benchmarks share: a home of their own, value and floor measured in turn, one JSON line a figure.

Import it before surefoot: the home is removed by whatever was registered first, so after the recorder has closed.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

__all__ = ["HOME", "QUICK", "Medians", "in_turn", "process_s", "quietly", "rate", "tell"]

QUICK = "--quick" in sys.argv[1:]  # tiny counts, one round: shows that a script works, says nothing about speed

for name in [name for name in os.environ if name.startswith("SUREFOOT_")]:
    del os.environ[name]  # everything as by default
_folder = tempfile.TemporaryDirectory(prefix="surefoot-bench-")
atexit.register(_folder.cleanup)
HOME = os.environ["SUREFOOT_HOME"] = os.path.join(_folder.name, "home")


class Medians(NamedTuple):
    """What was measured and its floor, in the same unit."""

    value: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many times the floor the value is."""
        return self.value / self.floor


def in_turn(value: Callable[[], float], floor: Callable[[], float], rounds: int = 7) -> Medians:
    """Measure both once to warm up, then in turn, so that whatever else the machine does meets both alike."""
    values: list[float] = []
    floors: list[float] = []
    for number in range(2 if QUICK else rounds + 1):
        for measure, results in ((floor, floors), (value, values)):
            gc.collect()
            result = measure()
            if number:
                results.append(result)
    return Medians(median(values), median(floors))


def tell(
    figure: str, measured: Medians, unit: str, floor: str, goal: str | None = None, met: bool | None = None
) -> None:
    """Print a figure. Without a goal it is there to be watched."""
    line = {
        "figure": figure,
        "value": _short(measured.value),
        "unit": unit,
        "floor": {"what": floor, "value": _short(measured.floor)},
        "ratio": _short(measured.ratio),
        "goal": goal,
        "met": met,
    }
    print(json.dumps(line), flush=True)


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def rate(count: int, work: Callable[[], object]) -> float:
    """How many a second, if `work` does `count` of them."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


@contextmanager
def quietly() -> Iterator[None]:
    """Let the console's lines be written as ever, but where nobody has to read them."""
    shown = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as unseen:
        sys.stderr = unseen
        try:
            yield
        finally:
            sys.stderr = shown


def process_s(*arguments: str, home: str = HOME) -> tuple[float, str]:
    """Seconds that a new Python process takes from start to end, and what it printed.

    It is isolated (-I): no variable of the environment, such as one that forbids byte code to be kept, slows it down.
    """
    command = [sys.executable, "-I", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "SUREFOOT_HOME": home}, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout
