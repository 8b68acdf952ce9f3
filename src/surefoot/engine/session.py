"""What all runs of this process share: the settings in force and the recorder.

May import: journal, core.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from surefoot.core import settings as core_settings
from surefoot.core.errors import HomeUnwritable
from surefoot.core.facts import LogWritten, RunFact
from surefoot.core.settings import Settings
from surefoot.journal import recorder as journal

__all__ = ["Session", "session"]


class Voice(Protocol):
    """Says lines about runs."""

    @property
    def threshold(self) -> int: ...
    def say(self, level: int, message: str, execution: Any) -> None: ...


class RunRecorder(Protocol):
    """What the engine needs of a recorder."""

    @property
    def writer_id(self) -> bytes: ...
    def run(self, fact: RunFact) -> None: ...
    def log(self, fact: LogWritten) -> None: ...
    def flow_ended(self) -> None: ...
    def close(self) -> None: ...


class Session:
    """Settings and recorder, as found when the outermost run began."""

    __slots__ = ("_flow_voice", "_task_voice", "capture_prints", "outermost_begins", "recorder", "settings")

    def __init__(self, settings: Settings) -> None:
        from surefoot.logging import (  # a door: the standard `logging` is not wanted by a mere import of ours
            capture_prints,
            note_stdout,
            set_up,
        )

        self.settings = settings
        if settings.get("api.url"):
            # Better said than found out: the runs are not lost, they are here.
            sys.stderr.write(
                f"surefoot: api.url is set, but this version sends nothing; recording in {settings.get('home')}.\n"
            )
        self.recorder: RunRecorder = open_recorder(settings)
        self._flow_voice, self._task_voice = set_up(settings)
        self.capture_prints = capture_prints
        self.outermost_begins = note_stdout

    def voice(self, is_task: bool) -> Voice:
        """Who says the engine's lines about a flow run or a task run."""
        return self._task_voice if is_task else self._flow_voice


class Unrecorded:
    """Stands in for a recorder where the home cannot be written: the user's work goes on, and is told so once."""

    writer_id = bytes(16)

    def run(self, fact: RunFact) -> None:
        """Drop the fact."""

    def log(self, fact: LogWritten) -> None:
        """Drop the line."""

    def flow_ended(self) -> None:
        """Nothing to sync."""

    def close(self) -> None:
        """Nothing to close."""


def open_recorder(settings: Settings, *, told: bool = False) -> RunRecorder:
    """The process's recorder in the home of `settings`. If there can be none, that is said, but if it was `told`."""
    try:
        return journal.get_recorder(
            settings.get("home"),
            journal.Budgets(
                runs_bytes=settings.get("journal.runs_budget_bytes"),
                logs_bytes=settings.get("journal.logs_budget_bytes"),
                segment_bytes=settings.get("journal.segment_bytes"),
                on_full=settings.get("journal.on_full"),
            ),
        )
    except HomeUnwritable as error:
        if settings.get("journal.on_full") == "fail":
            raise
        if not told and sys.stderr is not None:
            sys.stderr.write(f"surefoot: runs go on, but nothing of them is recorded. {error}\n")
        return Unrecorded()


_session: Session | None = None


def session() -> Session:
    """The session for a run that begins now. A new one when the settings changed since the last."""
    global _session
    settings = core_settings.refresh()
    found = _session
    if found is None or found.settings is not settings:
        found = _session = Session(settings)
    elif type(found.recorder) is Unrecorded:  # there may be room again
        found.recorder = open_recorder(settings, told=True)
    return found
