"""Trivial flows, one after another and nested, everything recorded and told on the console."""

from concurrent.futures import ThreadPoolExecutor

from _measure import QUICK, in_turn, quietly, rate, tell

from surefoot import flow

COUNT = 10 if QUICK else 2_000
FLOOR = "a bare thread pool's submits and results"
GOAL = "1,000/s"


@flow
def trivial() -> None:
    return None


@flow
def outer(count: int) -> None:
    for _ in range(count):
        trivial()


def main() -> None:
    with quietly():
        alone = in_turn(lambda: rate(COUNT, one_after_another), lambda: rate(COUNT, bare_pool))
        nested = in_turn(lambda: rate(COUNT, lambda: outer(COUNT)), lambda: rate(COUNT, bare_pool))
    tell("flows", alone, "1/s", FLOOR, GOAL, alone.value >= 1000)
    tell("flows within a flow", nested, "1/s", FLOOR, GOAL, nested.value >= 1000)


def one_after_another() -> None:
    for _ in range(COUNT):
        trivial()


def bare_pool() -> None:
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(trivial.fn) for _ in range(COUNT)]:
            future.result()


if __name__ == "__main__":
    main()
