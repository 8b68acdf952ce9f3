"""A process that runs flows of every kind, one after another, until something ends it. Run by tests, not imported.

`works.py SIDE ROUNDS` keeps a link of each segment that it makes in the folder SIDE, where no reader removes it: what
was appended can be compared with the ledger when all is over. ROUNDS 0: for ever. `_exit` as third argument: the
process ends itself by `os._exit`, whenever it likes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from surefoot import flow, task
from surefoot.journal import writer
from surefoot.journal.segments import Segment, open_segment
from surefoot.logging import get_run_logger


@task
def add(number: int) -> int:
    get_run_logger().info("adding to %s", number)
    return number + 1


@task(retries=1, retry_delay_seconds=0.001)
def fails() -> None:
    raise ValueError("no")


@task
async def awaited(number: int) -> int:
    await asyncio.sleep(0)
    return number


@flow
def inner(number: int) -> int:
    value: int = add(number)
    return value


@flow(log_prints=True)
def direct() -> None:
    print("direct")  # noqa: T201  # a line of the run
    for number in range(3):
        add(number)
    inner(7)
    try:
        fails()
    except ValueError:
        pass


@flow
def submitted() -> list[int]:
    futures = add.map([add.submit(number) for number in range(4)])
    fails.submit().wait()
    values: list[int] = futures.result()
    return values


@flow
async def gathered() -> None:
    await asyncio.gather(*[awaited(number) for number in range(3)])
    await awaited.submit(2)
    inner(3)


@flow
def generated() -> Iterator[int]:
    for number in range(2):
        yield add(number)


def a_round() -> None:
    direct()
    submitted()
    asyncio.run(gathered())
    list(generated())


def keep_links(side: Path) -> None:
    """Have every segment linked in `side` before anything is appended to it."""
    make = open_segment

    def linked(path: str, size: int, *, may_map: bool) -> Segment:
        segment = make(path, size, may_map=may_map)
        os.link(path, side / f"{os.path.basename(os.path.dirname(path))}-{os.path.basename(path)}")
        return segment

    setattr(writer, open_segment.__name__, linked)


def main(side: str, rounds: str, how: str = "") -> None:
    keep_links(Path(side))
    if how == "_exit":
        threading.Timer(random.uniform(0.0, 0.6), os._exit, [5]).start()
    os.write(1, b"on\n")
    count = 0
    while not int(rounds) or count < int(rounds):
        a_round()
        count += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
