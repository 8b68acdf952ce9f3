"""Processes that run flows, and readers, are killed at random instants: the ledger is what the journal was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.kept import assert_ledger_equals, kept_facts

WORKS = Path(__file__).with_name("works.py")
READS = """
import os
from surefoot.client import get_client
client = get_client()
os.write(1, b"on\\n")
while True:
    client.flow_runs(limit=20)
"""
DEATHS = ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGINT", "SIGSTOP", "_exit"]


@contextmanager
def started(*command: str | Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is on; it is not left behind."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "SUREFOOT_LOGGING_LEVEL": "INFO", **env},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def die(process: subprocess.Popen[bytes], how: str, after_s: float) -> None:
    """Have a process die in that way, when it has worked for so long."""
    never = threading.Event()
    never.wait(after_s)
    if how == "_exit":
        process.wait()
        return
    process.send_signal(signal.Signals[how])
    if how == "SIGSTOP":  # for a while it only seems to be dead
        never.wait(after_s)
        process.kill()
    process.wait()


def kill_readers(home: Path, is_over: threading.Event) -> None:
    """Have readers fold, one after another, each killed or stopped for a while at a random instant."""
    while not is_over.is_set():
        with started("-c", READS) as reader:
            is_over.wait(random.uniform(0.0, 0.3))
            reader.send_signal(signal.SIGSTOP)
            is_over.wait(random.uniform(0.0, 0.1))
            if random.random() < 0.5:
                reader.send_signal(signal.SIGCONT)
                is_over.wait(random.uniform(0.0, 0.2))
            reader.kill()
            reader.wait()


@pytest.mark.parametrize("count", [12, pytest.param(2_000, marks=pytest.mark.long)])
def test_writers_and_readers_die_at_random_and_every_fact_is_in_the_ledger_once(
    count: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_JOURNAL_SEGMENT_BYTES", str(1 << 16))
    side = tmp_path / "side"
    side.mkdir()
    home.mkdir()
    left = iter([DEATHS[number % len(DEATHS)] for number in range(count)])
    lock = threading.Lock()
    errors: list[BaseException] = []

    def next_death() -> str | None:
        with lock:
            return next(left, None)

    def work() -> None:
        try:
            while (how := next_death()) is not None:
                with started(WORKS, side, "0", how) as process:
                    die(process, how, random.uniform(0.0, 0.5))
        except BaseException as error:
            errors.append(error)

    is_over = threading.Event()
    reader = threading.Thread(target=kill_readers, args=(home, is_over))
    workers = [threading.Thread(target=work) for _ in range(3)]
    for thread in [reader, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    is_over.set()
    reader.join()
    assert not errors
    assert 0 < len({name.partition("-")[0] for name in kept_facts(side)}) <= count  # some died before their first flow
    assert_ledger_equals(side, home)
