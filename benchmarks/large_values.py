"""A large value handed through ten tasks, which look at one byte in 256: a copy or a hash would show."""

import time
from array import array
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from _measure import QUICK, in_turn, quietly, tell

from surefoot import flow, task

BYTES = 1_000_000 if QUICK else 100_000_000
TASKS = 10
STEP = 256
GOAL = "at most 1.3 times the floor"


@task
def look(value: Any) -> Any:
    view = memoryview(value)
    sum(view[:: STEP // view.itemsize])
    return value


@flow(validate_parameters=False)
def called(value: Any) -> None:
    for _ in range(TASKS):
        value = look(value)


@flow(validate_parameters=False)
def submitted(value: Any) -> None:
    future = look.submit(value)
    for _ in range(TASKS - 1):
        future = look.submit(future)
    future.result()


def plain(value: Any) -> None:
    for _ in range(TASKS):
        value = look.fn(value)


def main() -> None:
    measure("bytearray", bytearray(BYTES))
    measure("array of doubles", array("d", bytes(BYTES)))
    if find_spec("numpy"):
        measure("numpy array", import_module("numpy").zeros(BYTES // 8))


def measure(kind: str, value: Any) -> None:
    for how, way in {"called": called, "submitted": submitted}.items():
        with quietly():
            measured = in_turn(partial(ms, way, value), partial(ms, plain, value), rounds=11)
        figure = f"{BYTES / 1e6:g} MB {kind} through {TASKS} tasks {how}"
        tell(figure, measured, "ms", "plain calls", GOAL, measured.ratio <= 1.3)


def ms(way: Callable[[Any], None], value: Any) -> float:
    start = time.perf_counter()
    way(value)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
