"""A process of its own that keeps results, for the tests of what happens to such processes.

python child.py HOME KIND FLOW_RUN ACTION    KIND is "mapped" or "written"
"""

from __future__ import annotations

import os
import signal
import sys

from surefoot.core.facts import ResultAt
from surefoot.core.ids import new_id
from surefoot.results.keeping import Keeper


def value(number: int) -> str:
    return f"{number}-" * 200


def say(number: int, at: ResultAt | str) -> None:
    told = at if isinstance(at, str) else f"{at.place} {at.offset} {at.length}"
    os.write(1, f"{number} {told}\n".encode())


def keep(keeper: Keeper, count: int) -> None:
    for number in range(count):
        say(number, keeper.keep(value(number)))


def die(keeper: Keeper) -> None:
    """Be killed right after the last result was kept, and in the middle of a large one."""
    keep(keeper, 500)
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """Kills the process while it is pickled, after much of its list was written."""

    def __reduce__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""


def die_within(keeper: Keeper) -> None:
    """Be killed in the middle of a large result."""
    keep(keeper, 3)
    keeper.keep([b"x" * 3_000_000, Deadly()])


def fill(keeper: Keeper) -> None:
    """Keep more than the disk takes, small and large, and close in order."""
    keep(keeper, 20_000)
    say(20_000, keeper.keep(b"x" * 8_000_000))
    keeper.close()


def main(home: str, kind: str, flow_run: str, action: str) -> None:
    keeper = Keeper(home, bytes.fromhex(flow_run), new_id(), may_map=kind == "mapped")
    if action == "keep":
        keep(keeper, 500)
    else:
        {"die": die, "die_within": die_within, "fill": fill}[action](keeper)


if __name__ == "__main__":
    main(*sys.argv[1:])
