"""Trivial tasks in one flow, everything recorded, called in child processes."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from _measure import QUICK, in_turn, quietly, rate, tell

from surefoot import flow, task
from surefoot.task_runners import ProcessPoolTaskRunner

WORKERS = 2
COUNT = 20 if QUICK else 6_000
FLOOR = "a bare process pool's submits and results, with processes that are there"


@task
def same(x: int) -> int:
    return x


def bare(x: int) -> int:
    return x


@flow(task_runner=ProcessPoolTaskRunner(max_workers=WORKERS))
def submitted(count: int) -> float:
    for future in [same.submit(number) for number in range(WORKERS * 2)]:  # the processes have started
        future.result()
    return rate(count, lambda: [future.result() for future in [same.submit(n) for n in range(count)]])


def bare_rate() -> float:
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(bare, range(WORKERS * 2)))
        return rate(COUNT, lambda: [future.result() for future in [pool.submit(bare, n) for n in range(COUNT)]])


def main() -> None:
    with quietly():
        measured = in_turn(lambda: submitted(COUNT), bare_rate, rounds=5)
    is_fast = measured.value >= 3_000 or measured.ratio >= 0.5
    tell("tasks in processes", measured, "1/s", FLOOR, "3,000/s or 0.5 of the floor", is_fast)


if __name__ == "__main__":
    main()
