"""Results kept for resuming: small values, nested ones, and a large array."""

import os
from array import array
from collections.abc import Callable
from functools import partial
from pickle import dumps
from typing import Any

from _measure import HOME, QUICK, in_turn, rate, tell

from surefoot.core.ids import new_id
from surefoot.results.keeping import Keeper

COUNT = 100 if QUICK else 100_000
FLOOR = "pickling the same value and appending it to a bytearray"


def main() -> None:
    measure("small results kept", 12_345, COUNT)
    measure("nested results kept", {"rows": [1, 2, 3], "name": "a name", "ok": True}, COUNT)
    measure("results of 8 MB kept", array("d", bytes(8_000_000)), 2 if QUICK else 20)


def measure(figure: str, value: Any, count: int) -> None:
    def kept() -> float:
        keeper = Keeper(HOME, new_id(), new_id())
        try:
            return rate(count, repeat(count, partial(keeper.keep, value)))
        finally:
            keeper.close()
            for path in os.listdir(folder := os.path.join(HOME, "results", keeper.flow_run_id.hex())):
                os.unlink(os.path.join(folder, path))

    def pickled() -> float:
        taken = bytearray()
        return rate(count, repeat(count, lambda: taken.extend(dumps(value, 5))))

    tell(figure, in_turn(kept, pickled, rounds=5), "1/s", FLOOR)


def repeat(count: int, work: Callable[[], object]) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


if __name__ == "__main__":
    main()
