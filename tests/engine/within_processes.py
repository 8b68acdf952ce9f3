"""Tasks that call others in their own process, for the tests of going on there. They note each call in a file."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot import flow, get_run_logger, task
from surefoot.task_runners import ProcessPoolTaskRunner


def note(folder: str, text: str) -> None:
    with open(Path(folder, "called"), "a") as file:
        file.write(f"{text}\n")


def called(folder: Path) -> list[str]:
    """What was called since this was last asked."""
    file = folder / "called"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def is_mended(folder: str) -> bool:
    return Path(folder, "mended").exists()


@task
def inner(folder: str, number: int) -> int:
    note(folder, f"inner {number}")
    return number * 10


@task
def twice(folder: str, number: int) -> Any:
    note(folder, f"twice {number}")
    return inner(folder, number) * 2


@flow
def part(folder: str, number: int) -> Any:
    note(folder, f"part {number}")
    return twice(folder, number)


@task
def outer(folder: str, dies: bool = False) -> Any:
    total = sum(inner(folder, number) for number in range(5))
    total += sum(future.result() for future in [twice.submit(folder, number) for number in range(5, 8)])
    total += part(folder, 20)
    if not is_mended(folder):
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("broken at the end")
    return total


TOTAL = 10 * sum(range(5)) + 20 * sum(range(5, 8)) + 20 * 20


def _goes_on(folder: str) -> Any:
    """Gets one call further with each attempt, and begins anew with each."""
    total = 0
    for number in range(4):
        total += inner(folder, number)
        steps = Path(folder, "steps")
        with steps.open("a") as file:
            file.write("x")
        if steps.stat().st_size in (2, 5, 9):
            raise OSError("not yet")
    if not is_mended(folder):
        raise ValueError("broken at the end")
    return total


GOES_ON = [task(name="goes_on", retries=retries)(_goes_on) for retries in range(3)]


@task(retries=1)
def dies_once(folder: str) -> Any:
    """When it is gone on with, its process dies under the first attempt."""
    total = sum(inner(folder, number) for number in range(3))
    if not is_mended(folder):
        raise ValueError("broken at the end")
    died = Path(folder, "died")
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return total


@dataclass
class Table:
    """Larger than what is compared."""

    rows: bytes


@task
def made(folder: str) -> Table:
    note(folder, "made")
    return Table(bytes(2 << 20))


@task
def counted(folder: str, table: Table) -> Any:
    note(folder, "counted")
    return len(table.rows)


@task
def takes(folder: str, table: Table) -> Any:
    count = counted(folder, table)
    if not is_mended(folder):
        raise ValueError("broken at the end")
    return count


@task
def deeper(folder: str) -> int:
    @flow(task_runner=ProcessPoolTaskRunner(1))
    def in_processes_again() -> Any:
        note(folder, "in_processes_again")
        return outer.submit(folder)

    return int(in_processes_again())


@task
def lists(folder: str) -> list[int]:
    get_run_logger().info("lists")
    return [inner(folder, number) for number in range(3)]
