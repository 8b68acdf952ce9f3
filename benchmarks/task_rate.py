"""Trivial tasks in one flow, everything recorded: called one after another, and submitted to threads."""

from concurrent.futures import ThreadPoolExecutor

from _measure import QUICK, in_turn, quietly, rate, tell

from surefoot import flow, task

COUNT = 20 if QUICK else 20_000
FLOOR = "a bare thread pool's submits and results"


@task
def same(x: int) -> int:
    return x


@flow
def called(count: int) -> None:
    for number in range(count):
        same(number)


@flow
def submitted(count: int) -> None:
    futures = [same.submit(number) for number in range(count)]
    for future in futures:
        future.result()


def main() -> None:
    with quietly():
        direct = in_turn(lambda: rate(COUNT, lambda: called(COUNT)), lambda: rate(COUNT, bare_pool))
        pooled = in_turn(lambda: rate(COUNT, lambda: submitted(COUNT)), lambda: rate(COUNT, bare_pool))
    is_fast = direct.value >= 30_000 or direct.ratio >= 0.33
    tell("tasks called", direct, "1/s", FLOOR, "20,000/s or 0.22 of the floor, then 30,000/s or 0.33", is_fast)
    is_fast = pooled.value >= 10_000 or pooled.ratio >= 0.11
    tell("tasks submitted", pooled, "1/s", FLOOR, "10,000/s or 0.11 of the floor", is_fast)


def bare_pool() -> None:
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(same.fn, number) for number in range(COUNT)]:
            future.result()


if __name__ == "__main__":
    main()
