"""What other processes do in tests of limits: `python children.py VERB ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from surefoot.concurrency import concurrency


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def hold(name: str, occupy: str = "1") -> None:
    """Take slots, say so, and keep them until the input ends."""
    with concurrency(name, int(occupy), holder=f"child {os.getpid()}"):
        say("held")
        sys.stdin.read()
    say("given back")


def hold_strictly(name: str) -> None:
    """The same, to be stopped once the slot is lost."""
    hold_in = concurrency(name, strict=True)
    try:
        with hold_in:
            say("held")
            sys.stdin.read()
        say("given back")
    except RuntimeError as error:
        say(f"{type(error).__name__}: {error}")


def hold_many(name: str, times: str, file: str, most: str) -> None:
    """Take a slot and give it back, again and again; each time note in a file how many hold one then."""
    folder = Path(file)
    for number in range(int(times)):
        with concurrency(name):
            mine = folder / f"{os.getpid()}-{number}"
            mine.touch()
            held = [each for each in folder.iterdir() if is_alive(each)]
            assert len(held) <= int(most), held
            mine.unlink()
    say("done")


def is_alive(mark: Path) -> bool:
    """Whether the process that left this mark is there: one that was killed left it behind."""
    try:
        with open(f"/proc/{mark.name.partition('-')[0]}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait(name: str, mark: str, file: str, *options: str) -> None:
    """Wait for a slot, write a mark into a file, and give the slot back."""
    priority = int(options[0]) if options else 0
    say("waiting")
    with concurrency(name, holder=mark, priority=priority), open(file, "a") as out:
        out.write(f"{mark}\n")


VERBS: dict[str, Callable[..., None]] = {
    "hold": hold,
    "hold_strictly": hold_strictly,
    "hold_many": hold_many,
    "wait": wait,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
