"""Limits: taking and giving back a free slot, handing one over to another process, and among ten or a thousand."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from statistics import median

from _measure import HOME, QUICK, Medians, in_turn, tell

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.concurrency import concurrency
from surefoot.core.limits import Asked, LimitKey
from surefoot.limits.desk import Ticket, desk

COUNT = 20 if QUICK else 300
ROUNDS = 3 if QUICK else 60
MANY = 30 if QUICK else 1000
WAITER = f"""
import os, sys, time
from surefoot.concurrency import concurrency
for _ in range({ROUNDS}):
    sys.stdin.readline()
    os.write(1, b"asks\\n")
    with concurrency("shared"):
        os.write(1, f"{{time.monotonic_ns()}}\\n".encode())
"""
FLOOR = f"""
import os, socket, sys, time
bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
bell.bind(sys.argv[1])
os.write(1, b"on\\n")
for _ in range({ROUNDS}):
    bell.recv(16)
    os.write(1, f"{{time.monotonic_ns()}}\\n".encode())
"""


def set_limits() -> None:
    with closing(get_client()) as client:
        for name in ("free", "shared", "few", "many"):
            client.set_limit(name, 1)


def taken_and_given_back() -> float:
    start = time.perf_counter()
    for _ in range(COUNT):
        with concurrency("free"):
            pass
    return (time.perf_counter() - start) / COUNT * 1e3


def bare_transactions(*pragmas: str) -> float:
    """Two that write one row each, in a file of their own, without any toolkit."""
    path = os.path.join(HOME, f"bare-{len(pragmas)}.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE IF NOT EXISTS places (number INTEGER PRIMARY KEY, name TEXT)")
        start = time.perf_counter()
        for number in range(COUNT):
            for statement, values in (
                ("INSERT INTO places VALUES (?, ?)", (number, "free")),
                ("DELETE FROM places WHERE number = ?", (number,)),
            ):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(statement, values)
                connection.execute("COMMIT")
        return (time.perf_counter() - start) / COUNT * 1e3


def until_waiting(name: str) -> None:
    with closing(get_client()) as client:
        while client.find_limit(name).waiters == 0:
            time.sleep(0.002)


def handed_over_ms() -> list[float]:
    """From just before a slot is given back here until the block in another process begins."""
    found = []
    with subprocess.Popen(
        [sys.executable, "-c", WAITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(ROUNDS):
            with concurrency("shared"):
                process.stdin.write("go\n")
                process.stdin.flush()
                process.stdout.readline()
                until_waiting("shared")
                start_ns = time.monotonic_ns()
            found.append((int(process.stdout.readline()) - start_ns) / 1e6)
    return sorted(found)


def rung_ms() -> list[float]:
    import socket

    path = os.path.join(HOME, "bell")
    found = []
    with subprocess.Popen([sys.executable, "-c", FLOOR, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ringer:
            for _ in range(ROUNDS):
                start_ns = time.monotonic_ns()
                ringer.sendto(b"!", path)
                found.append((int(process.stdout.readline()) - start_ns) / 1e6)
    return sorted(found)


class Wakes:
    """One who waits: told when it has its slot."""

    def __init__(self) -> None:
        self.has_it = threading.Event()

    def wake(self) -> None:
        self.has_it.set()


def handed_over_among(name: str, count: int) -> float:
    """Milliseconds for each of the first few hand-overs, while so many wait in this process."""
    here = desk()
    tickets = []
    for _ in range(count):
        asked = Asked((LimitKey(name),), 1, 0, 300_000_000, "", "", "benchmark")
        tickets.append(Ticket(asked, Wakes()))
        here.ask(tickets[-1])
    few = min(count - 1, 9)
    start = time.perf_counter()
    for ticket, after in pairwise(tickets[: few + 1]):
        here.give_back(ticket)
        assert isinstance(after.waiter, Wakes)
        after.waiter.has_it.wait(10)
    took = (time.perf_counter() - start) / few * 1e3
    for ticket in reversed(tickets):
        here.give_back(ticket)
    return took


@task(tags={"cheap"})
def tagged() -> None:
    pass


@task
def plain() -> None:
    pass


def called(one: object) -> float:
    @flow
    def main() -> None:
        for _ in range(COUNT * 10):
            one()  # type: ignore[operator]

    start = time.perf_counter()
    main()
    return (time.perf_counter() - start) / COUNT / 10 * 1e6


def main() -> None:
    set_limits()
    free = in_turn(taken_and_given_back, bare_transactions)
    tell("slot taken and given back", free, "ms", "two bare SQLite transactions", "under 2 ms", free.value < 2)
    swift = in_turn(taken_and_given_back, lambda: bare_transactions("journal_mode=WAL", "synchronous=NORMAL"))
    tell("slot taken and given back, beside what waits for no disk", swift, "ms", "two bare transactions of that kind")
    handed, rung = handed_over_ms(), rung_ms()
    over = Medians(median(handed), median(rung))
    tell("slot handed to another process, median", over, "ms", "a datagram to it", "under 20 ms", over.value < 20)
    slowest = min(len(handed) - 1, round(len(handed) * 0.95))
    worst = Medians(handed[slowest], rung[slowest])
    tell("slot handed to another process, 95th of 100", worst, "ms", "a datagram to it")
    among = in_turn(lambda: handed_over_among("many", MANY), lambda: handed_over_among("few", 10), rounds=3)
    what = f"hand-over while {MANY:,} wait"
    tell(what, among, "ms", "while 10 wait", "under 1.3 times", among.ratio < 1.3)
    os.environ["SUREFOOT_LOGGING_LEVEL"] = "CRITICAL"
    cheap = in_turn(lambda: called(tagged), lambda: called(plain), rounds=3)
    tell("task with a tag that has no limit", cheap, "µs", "a task without tags")


if __name__ == "__main__":
    main()
