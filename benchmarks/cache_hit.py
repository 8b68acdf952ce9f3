"""A task that takes its result from the cache, beside the least that anybody could pay for that."""

import json
import os
from typing import Any

from _measure import HOME, QUICK, in_turn, rate, tell

from surefoot import flow, task
from surefoot.cache_policies import INPUTS

COUNT = 20 if QUICK else 2_000
INPUT: dict[str, Any] = {"day": "2026-11-29", "regions": ["eu", "us", "ap"], "limit": 1_000, "ratio": 0.25}
FILE = os.path.join(os.path.dirname(HOME), "value.json")


@task(cache_policy=INPUTS)
def cached(query: dict[str, Any]) -> dict[str, Any]:
    return query


def main() -> None:
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(INPUT, file)
    measured = in_turn(hits, floor)
    goal = "under 300 µs or at most 30 times the floor"
    met = measured.value < 300 or measured.ratio <= 30
    tell("a cached hit", measured, "µs", "json.dumps of the same inputs, and reading a file", goal, met)


def hits() -> float:
    per_second = 0.0

    @flow
    def many() -> None:
        nonlocal per_second
        cached(INPUT)
        per_second = rate(COUNT, lambda: [cached(INPUT) for _ in range(COUNT)])

    many()
    return 1e6 / per_second


def floor() -> float:
    def read() -> None:
        for _ in range(COUNT):
            json.dumps(INPUT)
            with open(FILE, "rb") as file:
                file.read()

    return 1e6 / rate(COUNT, read)


if __name__ == "__main__":
    main()
