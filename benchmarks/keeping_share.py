"""What keeping results for resuming takes of the task rate: trivial tasks, with and without."""

from collections.abc import Callable

from _measure import QUICK, Medians, in_turn, quietly, rate, tell

from surefoot import flow, task
from surefoot.core.settings import temporary_settings

COUNT = 20 if QUICK else 5_000
ROUNDS = 15
FLOOR = "the same with results.keep_for_resuming = false"


@task
def same(x: object) -> object:
    return x


@flow
def called(count: int) -> None:
    for number in range(count):
        same(number)


@flow
def mapped(count: int) -> None:
    same.map(range(count)).result()


@flow
def rows_called(count: int) -> None:
    for number in range(count):
        same({"id": number, "name": "a name", "amounts": [1, 2, 3]})


def main() -> None:
    with quietly():
        one, other, rows = (
            in_turn(rate_of(each), rate_without(each), ROUNDS) for each in (called, mapped, rows_called)
        )
    goal = "0.8 of the floor"
    tell("tasks called, results kept", one, "1/s", FLOOR, goal, is_met(one))
    tell("tasks mapped, results kept", other, "1/s", FLOOR, goal, is_met(other))
    tell("tasks called with rows, results kept", rows, "1/s", FLOOR)


def rate_of(program: Callable[[int], object]) -> Callable[[], float]:
    return lambda: rate(COUNT, lambda: program(COUNT))


def rate_without(program: Callable[[int], object]) -> Callable[[], float]:
    def without() -> float:
        with temporary_settings({"results.keep_for_resuming": False}):
            return rate(COUNT, lambda: program(COUNT))

    return without


def is_met(measured: Medians) -> bool:
    return measured.ratio >= 0.8


if __name__ == "__main__":
    main()
