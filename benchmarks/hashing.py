"""Hashing inputs for cache keys: a large array, a frame, and a list of rows."""

import pickle
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from _measure import QUICK, in_turn, tell

from surefoot.engine.contents import content_hash

SIZE = 1_000 if QUICK else 12_500_000  # numbers of 8 bytes
ROWS = 100 if QUICK else 100_000


def main() -> None:
    import numpy as np
    import pandas as pd

    numbers: Any = np.random.default_rng(1).random(SIZE)
    measured = in_turn(lambda: took(lambda: content_hash(numbers)), lambda: took(lambda: blake2b(numbers)), rounds=5)
    goal = "under 3 times the floor"
    tell("a NumPy array of 100 MB hashed", measured, "s", "BLAKE2 of its bytes", goal, measured.ratio < 3)

    frame = pd.DataFrame({"n": range(ROWS), "x": np.arange(ROWS) / 7, "t": [f"row {n}" for n in range(ROWS)]})
    tell("a frame of 100,000 rows hashed", compared(frame), "s", "pickling it, and BLAKE2 of that")
    rows = [{"n": n, "t": f"row {n}", "ok": True} for n in range(ROWS // 5)]
    tell("a list of 20,000 rows hashed", compared(rows), "s", "pickling it, and BLAKE2 of that")


def compared(value: Any) -> Any:
    return in_turn(
        lambda: took(lambda: content_hash(value)), lambda: took(lambda: blake2b(pickle.dumps(value, 5))), rounds=5
    )


def took(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
