"""1,000 asynchronous tasks that sleep 50 ms at once: gathered, and submitted."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from _measure import QUICK, in_turn, quietly, tell

from surefoot import flow, task

COUNT = 10 if QUICK else 1_000
FLOOR = "bare asyncio.gather"
GOAL = "under 0.3 s"


@task
async def nap() -> None:
    await asyncio.sleep(0.05)


@flow
async def gathered() -> None:
    await asyncio.gather(*[nap() for _ in range(COUNT)])


@flow
async def submitted() -> None:
    futures = [nap.submit() for _ in range(COUNT)]
    for future in futures:
        await future


async def bare() -> None:
    await asyncio.gather(*[nap.fn() for _ in range(COUNT)])


def main() -> None:
    with quietly():
        direct = in_turn(lambda: seconds(gathered), lambda: seconds(bare))
        pooled = in_turn(lambda: seconds(submitted), lambda: seconds(bare))
    tell(f"{COUNT:,} async tasks gathered", direct, "s", FLOOR, GOAL, direct.value < 0.3)
    tell(f"{COUNT:,} async tasks submitted", pooled, "s", FLOOR, GOAL, pooled.value < 0.3)


def seconds(work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    start = time.perf_counter()
    asyncio.run(work())
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
