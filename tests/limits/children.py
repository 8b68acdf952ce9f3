"""What other processes do in tests of limits: `python children.py VERB ...`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from surefoot import flow
from surefoot.concurrency import concurrency, limit
from surefoot.ledger import Ledger


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def hold(name: str, occupy: str = "1") -> None:
    """Take slots, say so, and keep them until the input ends."""
    with concurrency(name, int(occupy), holder=f"child {os.getpid()}"):
        say("held")
        sys.stdin.read()
    say("given back")


def hold_key(name: str, key: str) -> None:
    """Take a slot of one key of a limit, say so, and keep it until the input ends."""
    with limit(name, 1, key=key):
        say("held")
        sys.stdin.read()


def run_strictly(name: str) -> None:
    """Hold a slot in a run that is to be stopped once it is lost."""

    @flow(flow_run_name="strict")
    def holds() -> None:
        with concurrency(name, strict=True):
            say("held")
            while True:
                time.sleep(0.01)  # house: skip sleep: the code that is to be stopped

    state = holds(return_state=True)
    say(f"{state.name}: {state.message}")


def hold_many(name: str, most: str, folder: str) -> None:
    """Take a slot and give it back, again and again; each time look how many hold one then, the killed apart."""
    held, killed, done = (Path(folder) / part for part in ("held", "killed", "done"))
    number = 0
    while not (Path(folder) / "stop").exists():
        number += 1
        with concurrency(name):
            mine = held / f"{os.getpid()}-{number}"
            mine.touch()
            living = {mark.name for mark in held.iterdir()}
            dead = {mark.name for mark in killed.iterdir()}
            living = {mark for mark in living if mark.partition("-")[0] not in dead}
            if len(living) > int(most):
                (Path(folder) / f"too-many-{os.getpid()}").write_text(f"{sorted(living)}")
            mine.unlink()
        with done.open("ab", buffering=0) as out:
            out.write(b".")


def hold_ledger() -> None:
    """Be the one that writes into the ledger, until the input ends."""
    with Ledger.open(os.environ["SUREFOOT_HOME"] + "/ledger.db") as ledger, ledger.decide():
        say("held")
        sys.stdin.read()


def wait(name: str, mark: str, file: str, *options: str) -> None:
    """Wait for a slot, write a mark into a file, and give the slot back."""
    priority = int(options[0]) if options else 0
    say("waiting")
    with concurrency(name, holder=mark, priority=priority), open(file, "a") as out:
        out.write(f"{mark}\n")


VERBS: dict[str, Callable[..., None]] = {
    "hold": hold,
    "hold_key": hold_key,
    "hold_ledger": hold_ledger,
    "hold_many": hold_many,
    "run_strictly": run_strictly,
    "wait": wait,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
