"""What a test's runs left in its home: runs with their states, and log lines in order, straight from the segments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot.core.facts import Fact, FlowRunCreated, LogWritten, StateEntered, TaskRunCreated
from surefoot.core.states import StateType
from surefoot.journal.home import Home
from surefoot.journal.reading import read_segment, writers
from surefoot.journal.recorder import get_recorder

__all__ = ["Record", "RecordedRun", "record"]


@dataclass
class RecordedRun:
    """One run as it stands in the journal."""

    created: FlowRunCreated | TaskRunCreated
    entered: list[StateEntered] = field(default_factory=list)

    @property
    def of(self) -> str:
        """The name of its flow or task."""
        return self.created.flow_name if isinstance(self.created, FlowRunCreated) else self.created.task_name

    @property
    def name(self) -> str:
        return next((state.run_name for state in reversed(self.entered) if state.run_name), self.created.name)

    @property
    def names(self) -> list[str]:
        """The names of its states, in order."""
        return [self.created.state_name, *(state.state_name for state in self.entered)]

    @property
    def last(self) -> StateEntered:
        return self.entered[-1]

    @property
    def end(self) -> tuple[StateType, str]:
        """Type and name of its last state."""
        return self.last.state_type, self.last.state_name

    @property
    def parameters(self) -> dict[str, Any]:
        assert isinstance(self.created, FlowRunCreated)
        found: dict[str, Any] = json.loads(self.created.parameters)
        return found


@dataclass
class Record:
    """All that a home holds."""

    flow_runs: list[RecordedRun] = field(default_factory=list)
    task_runs: list[RecordedRun] = field(default_factory=list)
    lines: list[LogWritten] = field(default_factory=list)

    def flow_run(self, flow: str | None = None) -> RecordedRun:
        """The one run of that flow."""
        (found,) = [run for run in self.flow_runs if flow is None or run.of == flow]
        return found

    def task_run(self, task: str | None = None) -> RecordedRun:
        """The one run of that task."""
        (found,) = [run for run in self.task_runs if task is None or run.of == task]
        return found

    def messages(self, level: int = 0) -> list[str]:
        """The texts of the lines, in order."""
        return [line.message for line in self.lines if line.level >= level]


def record(home: Path) -> Record:
    """Read a home. What this process has recorded there is closed first, so that all of it is on the disk."""
    get_recorder(str(home)).close()
    found = Record()
    runs: dict[bytes, RecordedRun] = {}
    for fact in facts(home):
        if isinstance(fact, FlowRunCreated | TaskRunCreated):
            run = runs[fact.run_id] = RecordedRun(fact)
            (found.flow_runs if isinstance(fact, FlowRunCreated) else found.task_runs).append(run)
        elif isinstance(fact, StateEntered):
            runs[fact.run_id].entered.append(fact)
        elif isinstance(fact, LogWritten):
            found.lines.append(fact)
    return found


def facts(home: Path) -> Iterator[Fact]:
    for writer in writers(Home(str(home))):
        for segment in writer.segments():
            batch = read_segment(segment.path, limit_bytes=1 << 40)
            assert not batch.torn
            yield from batch.facts  # type: ignore[misc]  # nothing unknown is written here
