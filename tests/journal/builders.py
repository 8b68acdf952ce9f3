"""What the journal's tests are made of: facts, recorders, children that write, and all that can be read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from surefoot.core.facts import Fact, LogsCut, LogWritten, SegmentOpened, StateEntered, Unknown, WriterEnded
from surefoot.core.states import StateType
from surefoot.journal.home import Home
from surefoot.journal.reading import WriterFolder, read_segment, writers

CHILD = str(Path(__file__).with_name("child.py"))
SOURCES = str(Path(__file__).parents[2] / "src")


def a_state(n: int, run_id: bytes = bytes(16), state: StateType = StateType.RUNNING, message: str = "") -> StateEntered:
    """A run's nth state."""
    return StateEntered(run_id, False, 0, n, n, n, state, "Running", message=message)


def a_line(n: int, level: int = 20, flow_run_id: bytes | None = None, message: str = "line") -> LogWritten:
    """The nth line."""
    return LogWritten(n, level, "test", message, flow_run_id)


def all_facts(folder: WriterFolder, stream: str) -> list[Fact | Unknown]:
    """Every fact that is now to be read from a writer's stream, headers included."""
    found: list[Fact | Unknown] = []
    for segment in folder.segments():
        if segment.stream == stream:
            offset = 0
            while (batch := read_segment(segment.path, offset)).facts:
                found += batch.facts
                offset = batch.end
    return found


def states(folder: WriterFolder) -> list[int]:
    """The numbers of the states that are to be read from a writer."""
    return [fact.n for fact in all_facts(folder, "runs") if isinstance(fact, StateEntered)]


def lines(folder: WriterFolder) -> list[int]:
    """The numbers of the lines that are to be read from a writer."""
    return [fact.at_us for fact in all_facts(folder, "logs") if isinstance(fact, LogWritten)]


def cuts(folder: WriterFolder, stream: str = "logs") -> dict[bytes | None, int]:
    """How many lines a writer says are missing, by flow run."""
    told: dict[bytes | None, int] = {}
    for fact in all_facts(folder, stream):
        if isinstance(fact, LogsCut):
            told[fact.flow_run_id] = told.get(fact.flow_run_id, 0) + fact.count
    return told


def kinds(folder: WriterFolder, stream: str) -> list[str]:
    """The kinds of a stream's facts, in order, each as often as it changes."""
    names = [type(fact).__name__ for fact in all_facts(folder, stream)]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def headers(folder: WriterFolder, stream: str) -> list[SegmentOpened]:
    """The first facts of a stream's segments."""
    return [fact for fact in all_facts(folder, stream) if isinstance(fact, SegmentOpened)]


def ends(folder: WriterFolder, stream: str) -> list[WriterEnded]:
    """What a writer says at its end in a stream."""
    return [fact for fact in all_facts(folder, stream) if isinstance(fact, WriterEnded)]


def only_writer(home: Home) -> WriterFolder:
    """The one writer of a home."""
    (folder,) = writers(home)
    return folder


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return as soon as `holds()`; fail if it does not in time."""
    pause = Event()
    for _ in range(int(within_s * 500)):
        if holds():
            return
        pause.wait(0.002)
    raise AssertionError(f"it did not come about within {within_s} s")


def a_child(home: Home, what: str, *args: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process that does `what` of child.py in `home`; it prints what it has done, and may be told to go on."""
    return subprocess.Popen(
        [*prefix, sys.executable, CHILD, what, home.path, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
    )


def killed(child: subprocess.Popen[str]) -> list[str]:
    """Kill a child of which some lines were read; returns the others."""
    assert child.stdout is not None
    child.kill()
    rest = child.stdout.read().split()
    child.communicate(timeout=60)
    return rest


def outcome(child: subprocess.Popen[str]) -> tuple[list[str], str]:
    """The lines that a child printed, once it has ended, and what it said on stderr."""
    out, err = child.communicate(timeout=60)
    return out.split(), err
