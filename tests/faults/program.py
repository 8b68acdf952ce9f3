"""A program that uses Surefoot, run as a process of its own: started, signalled, ended; and what it recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from surefoot.core.facts import FlowRunCreated, StateEntered, TaskRunCreated, WriterEnded
from surefoot.core.states import FINAL
from tests.recorded import RecordedRun, facts

__all__ = ["End", "Program", "assert_all_ended", "has_closed", "program", "runs_in"]

HANGS_S = 60.0  # a program that takes so long is killed, and its test fails

# What a program says goes straight to the pipe: nothing waits in a buffer when the process dies.
HEAD = """
import asyncio, os, signal, subprocess, sys, threading, time
from surefoot import flow, task
from surefoot.futures import as_completed, wait
def say(text): os.write(1, f"{text}\\n".encode())
def spin():
    while True: time.sleep(0.001)
def doze():  # a signal that comes between Python's look for one and the system call waits for the call to end
    while True: time.sleep(0.1)
"""


class Program:
    """A running program."""

    def __init__(self, text: str, home: Path, *args: str, hangs_s: float = HANGS_S) -> None:
        # A pipe that nobody reads would hold up a program that writes much.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # `close` does
        self._process = subprocess.Popen(
            [sys.executable, "-c", HEAD + dedent(text), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "SUREFOOT_HOME": str(home), "NO_COLOR": "1"},
            text=True,
        )
        self._hung = False
        self._watch = threading.Timer(hangs_s, self._give_up)
        self._watch.daemon = True
        self._watch.start()

    def _give_up(self) -> None:
        self._hung = True
        self._process.kill()

    def wait_for(self, line: str) -> None:
        """Read what the program says, until it says this."""
        self._read_until(lambda said: said == line, line)

    def wait_for_number(self, word: str) -> int:
        """Read what the program says, until it says this word and a number, which is the answer."""
        return int(self._read_until(lambda said: said.startswith(f"{word} "), f"{word} N").split()[1])

    def _read_until(self, is_it: Callable[[str], bool], wanted: str) -> str:
        assert self._process.stdout is not None
        for said in self._process.stdout:
            if is_it(said.strip()):
                return said.strip()
        raise AssertionError(f"The program never said {wanted!r}. {self.end()}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_on(self) -> bool:
        """Whether the program runs still, as far as was waited for."""
        return self._process.returncode is None

    def wait_until_stopped(self) -> None:
        """Return when a signal has stopped the program."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"The program ended. {self.end()}"

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> End:
        """Wait for the program's end."""
        stdout, _ = self._process.communicate()
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        self.close()
        assert not self._hung, f"The program hung.\n{stderr}"
        return End(self._process.returncode, stdout, stderr)

    def close(self) -> None:
        self._watch.cancel()
        self._watch.join()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()


class End(NamedTuple):
    """How a program ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        return self.stderr.rstrip().rpartition("\n")[2]

    @property
    def innermost_file(self) -> str:
        """The file in which the exception was raised that Python told of last; empty without a traceback."""
        frames = [line for line in self.stderr.splitlines() if line.startswith('  File "')]
        return frames[-1].split('"')[1] if frames else ""


@contextmanager
def program(text: str, home: Path, *args: str, hangs_s: float = HANGS_S) -> Iterator[Program]:
    """Start a program; it is not left behind."""
    running = Program(text, home, *args, hangs_s=hangs_s)
    try:
        yield running
    finally:
        running.close()


def runs_in(home: Path) -> list[RecordedRun]:
    """All runs of a home, in the order in which they were made."""
    runs: dict[bytes, RecordedRun] = {}
    states: list[StateEntered] = []
    for fact in facts(home):
        if isinstance(fact, FlowRunCreated | TaskRunCreated):
            runs[fact.run_id] = RecordedRun(fact)
        elif isinstance(fact, StateEntered):
            states.append(fact)
    for state in states:
        runs[state.run_id].entered.append(state)
    return [run for _, run in sorted(runs.items())]


def has_closed(home: Path) -> bool:
    """Whether some writer of the home ended in order."""
    return any(isinstance(fact, WriterEnded) for fact in facts(home))


def assert_all_ended(home: Path) -> None:
    """No run is left open, and no state is missing."""
    for run in runs_in(home):
        assert run.entered, run
        assert run.last.state_type in FINAL, run
        assert [state.n for state in run.entered] == list(range(1, len(run.entered) + 1)), run
