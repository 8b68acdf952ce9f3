"""A trivial task in a process of its own, called one after another."""

from _measure import QUICK, in_turn, process_s, quietly, rate, tell

from surefoot import flow, task

COUNT = 2 if QUICK else 50
FLOOR = "a new interpreter that does nothing (python -I -S)"


@task(isolation="process")
def same(x: int) -> int:
    return x


@flow
def called_ms(count: int) -> float:
    same(0)  # the process from which the others are forked has started
    return 1000 / rate(count, lambda: [same(number) for number in range(count)])


def main() -> None:
    with quietly():
        measured = in_turn(lambda: called_ms(COUNT), lambda: 1000 * process_s("-S", "-c", "")[0], rounds=5)
    tell("a task in a process of its own", measured, "ms", FLOOR)


if __name__ == "__main__":
    main()
