"""What all runs of this process share: the settings in force and the recorder.

May import: journal, core, losses, tending.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

from surefoot.core import settings as core_settings
from surefoot.core.errors import HomeUnwritable, SurefootError
from surefoot.core.facts import ArtifactWritten, AssetMaterialized, LogWritten, RunFact
from surefoot.core.settings import Settings
from surefoot.core.settings.layers import misread
from surefoot.engine.losses import send_waiting, will_of
from surefoot.engine.tending import tend
from surefoot.journal import recorder as journal
from surefoot.journal.commands import Command
from surefoot.results.keeping import Keeper, Limits

__all__ = ["Session", "adopt", "forget_session", "record_nothing", "refusing_runs", "session"]

_DEBUG: Final = 10  # logging.DEBUG


class Voice(Protocol):
    """Says lines about runs."""

    @property
    def threshold(self) -> int: ...
    def say(self, level: int, message: str, execution: Any) -> None: ...


class RunRecorder(Protocol):
    """What the engine needs of a recorder."""

    @property
    def writer_id(self) -> bytes: ...
    def run(self, fact: RunFact | ArtifactWritten | AssetMaterialized) -> None: ...
    def log(self, fact: LogWritten) -> None: ...
    def flow_ended(self) -> None: ...
    def listen(self, obey: Callable[[Command], None], is_wanted: Callable[[], bool]) -> None: ...
    def close(self) -> None: ...


class Session:
    """Settings and recorder, as found when the outermost run began."""

    __slots__ = (
        "_flow_voice",
        "_task_voice",
        "capture_prints",
        "outermost_begins",
        "persists_tasks",
        "recorder",
        "records",
        "settings",
        "tells_steps",
    )

    def __init__(self, settings: Settings, *, lazily: bool = False, recorded: bool = True) -> None:
        from surefoot.logging import (  # a door: the standard `logging` is not wanted by a mere import of ours
            capture_prints,
            note_stdout,
            set_up,
        )

        self.settings = settings
        if settings.get("api.url") and not lazily:
            # Better said than found out: the runs are not lost, they are here.
            sys.stderr.write(
                f"surefoot: api.url is set, but this version sends nothing; recording in {settings.get('home')}.\n"
            )
        self.recorder: RunRecorder = open_recorder(settings, lazily) if recorded else _Nowhere()
        self.records = recorded  # else nothing of its runs is to be known anywhere
        if recorded and not lazily:
            send_waiting(settings)
        self._flow_voice, self._task_voice = set_up(settings)
        # What each task run asks, looked up once.
        self.tells_steps = self._task_voice.threshold <= _DEBUG  # lines about each task's steps
        self.persists_tasks: bool | None = settings.get("tasks.default_persist_result")
        self.capture_prints = capture_prints
        self.outermost_begins = note_stdout

    @property
    def is_recording(self) -> bool:
        """Whether there is a journal that what happens goes to."""
        return not isinstance(self.recorder, Unrecorded)

    def keeper(self, flow_run_id: bytes) -> Keeper | None:
        """What keeps the values of a flow run's tasks; None where they are not to be kept, or nothing is recorded."""
        if not self.is_recording or not self.settings.get("results.keep_for_resuming"):
            return None
        return Keeper(self.settings.get("home"), flow_run_id, self._writer_id, Limits.of(self.settings))

    def _writer_id(self) -> bytes:
        return self.recorder.writer_id  # asked for with the first value: a child that keeps none opens no journal

    def voice(self, is_task: bool) -> Voice:
        """Who says the engine's lines about a flow run or a task run."""
        return self._task_voice if is_task else self._flow_voice


class Unrecorded:
    """Stands in for a recorder where the home cannot be written: the user's work goes on, and is told so once."""

    writer_id = bytes(16)

    def run(self, fact: RunFact | ArtifactWritten | AssetMaterialized) -> None:
        """Drop the fact."""

    def log(self, fact: LogWritten) -> None:
        """Drop the line."""

    def flow_ended(self) -> None:
        """Nothing to sync."""

    def listen(self, obey: Callable[[Command], None], is_wanted: Callable[[], bool]) -> None:
        """Nobody knows of the run, so nobody asks anything of it."""

    def close(self) -> None:
        """Nothing to close."""


class _Nowhere(Unrecorded):
    """Where nothing is to be recorded, whether there is room or not."""


def open_recorder(settings: Settings, lazily: bool = False, *, told: bool = False) -> RunRecorder:
    """The process's recorder in the home of `settings`. If there can be none, that is said, but if it was `told`."""
    try:
        recorder = journal.get_recorder(
            settings.get("home"),
            journal.Budgets(
                runs_bytes=settings.get("journal.runs_budget_bytes"),
                logs_bytes=settings.get("journal.logs_budget_bytes"),
                segment_bytes=settings.get("journal.segment_bytes"),
                on_full=settings.get("journal.on_full"),
            ),
            at_once=not lazily,
        )
        if not lazily:  # a child leaves that to its owner
            recorder.after_exit = partial(tend, settings)
            recorder.leave(will_of(settings))
            _tell_of_ledger(settings)
        return recorder
    except HomeUnwritable as error:
        if settings.get("journal.on_full") == "fail":
            raise
        if not told and sys.stderr is not None:
            sys.stderr.write(f"surefoot: runs go on, but nothing of them is recorded. {error}\n")
        return Unrecorded()


_untold: Final = iter((True,))


def _tell_of_ledger(settings: Settings) -> None:
    """Say, once, that what is recorded is seen nowhere before the URL of the ledger is mended. The run needs none."""
    wrong = misread(settings, "ledger.url")
    if wrong is not None and next(_untold, False) and sys.stderr is not None:
        sys.stderr.write(
            f"surefoot: {wrong.place}: {wrong.what} {wrong.do} Runs go on; what they record stays in the journal of "
            f"{settings.home} until then, and limits of tags that are set in that ledger are not known.\n"
        )


_session: Session | None = None
_refusal: SurefootError | None = None
_records = True


def session() -> Session:
    """The session for a run that begins now. A new one when the settings changed since the last."""
    global _session
    if _refusal is not None:
        raise _refusal.with_traceback(None)
    settings = core_settings.refresh()
    found = _session
    if found is None or found.settings is not settings:
        found = _session = Session(settings, recorded=_records)
    elif type(found.recorder) is Unrecorded:  # there may be room again
        found.recorder = open_recorder(settings, told=True)
    return found


def forget_session() -> None:
    """Close the recorder of the runs so far. The next run opens one anew, where the settings say then."""
    global _session
    if _session is not None:
        _session.recorder.close()
        _session = None


def adopt(settings: Settings) -> Session:
    """In a process that calls tasks for another: the session of its runs. Nothing is opened before it is needed."""
    global _session
    core_settings.adopt(settings)
    _session = Session(settings, lazily=True)
    return _session


def record_nothing() -> None:
    """Have runs of this process recorded nowhere from now on."""
    global _records
    forget_session()
    _records = False


@contextmanager
def refusing_runs(error: SurefootError) -> Iterator[None]:
    """Have runs that nothing of ours surrounds raise `error` meanwhile."""
    global _refusal
    _refusal = error
    try:
        yield
    finally:
        _refusal = None
