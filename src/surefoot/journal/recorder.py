"""Recorder: takes this process's facts, from any thread, and appends them to its writer's segments. Keeps promise 7.

What was taken is found by the next reader, however this process ends: where segments are mapped all of it, elsewhere
all but the last 50 ms of log lines that are no errors. When not all can be kept, log lines go first, counted and
marked; run facts last, counted and told. May import: journal, core.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from threading import RLock
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.core.errors import HomeUnwritable
from surefoot.core.facts import (
    ArtifactWritten,
    AssetMaterialized,
    LogsCut,
    LogWritten,
    RunFact,
    StateEntered,
    encode,
    encode_plainly,
)
from surefoot.core.os import space
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.states import FINAL
from surefoot.journal.background import Background
from surefoot.journal.budgets import Budgets
from surefoot.journal.commands import Command, Ear
from surefoot.journal.frames import FRAME_MAX
from surefoot.journal.home import Home
from surefoot.journal.wills import leave_will
from surefoot.journal.writer import NoRoom, Stream, Writer

__all__ = ["Budgets", "Recorder", "get_recorder"]

_ERROR: Final = 40  # logging.ERROR
_FLUSH_S: Final = 0.04  # with what a busy machine adds, within the 50 ms that are promised
_SYNC_DELAY_S: Final = 0.02  # a script that ends with its flow does not wait for the disk
_SYNC_REST_S: Final = 1.0
_RETRY_US: Final = 1_000_000  # how long a stream that found no room waits before it looks again
_CUTS_MAX: Final = 1000  # flow runs whose cut lines are counted apart
_HOME: Final = "~/.surefoot"


class Recorder:
    """The journal of this process, for writing.

    Opened by `open` or by its first fact. After `close`, and in a forked child, the next fact opens a new writer.

    Args:
        home: where the journal lies.
        budgets: how much of the disk it may take.
        may_map: False has segments written by system calls, whatever the file system allows.
    """

    def __init__(self, home: Home, budgets: Budgets | None = None, *, may_map: bool = True) -> None:
        self.home = home
        self.budgets = budgets or Budgets()
        self.lost = 0  # run facts that could not be written
        self.after_exit: Callable[[], None] | None = None  # called when the process ended and all is written
        self._may_map = may_map
        self._will: bytes | None = None
        self._has_told = False
        self._runs = Stream("runs")
        self._logs = Stream("logs")
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        # The lock lets its holder in again: a signal's handler, or a finalizer that the garbage collector calls, may
        # interrupt an append with one of its own. What comes while a writer or segment is being made waits its turn.
        self._lock = RLock()
        self._is_busy = False
        self._waiting: list[tuple[Stream, bytes]] = []
        self._writer: Writer | None = None
        self._is_written = False  # some segment is not mapped: its facts wait in memory for the flusher
        self._is_ending = False  # the interpreter is: nothing waits any more
        self._trouble: OSError | None = None
        self._refused = {"runs": (0, 0), "logs": (0, 0)}  # until when, and from how many bytes on, there is no room
        self._lost_told = self.lost  # what an earlier WriterEnded has told
        self._cuts: dict[bytes | None, int] = {}
        self._ear: Ear | None = None
        self._make_background()

    def _make_background(self) -> None:
        self._flusher = Background("surefoot-flush", self._flush, _FLUSH_S)
        self._syncer = Background("surefoot-sync", self._sync, _SYNC_DELAY_S, _SYNC_REST_S)

    # --- what is called for every fact ------------------------------------------------------------------------------

    def run(self, fact: RunFact | ArtifactWritten | AssetMaterialized) -> None:
        """Record what happened to a run, or what it made. Returns when no end of this process can undo it."""
        try:
            payload = encode_plainly(fact)
        except (UnicodeEncodeError, TypeError):
            payload = encode(fact)
        # Without the lock where that does: threads that once waited for it would go on to take turns, at 50 us each.
        segment = self._runs.segment
        if segment.is_mapped and segment.append(payload):
            return
        with self._lock:
            if self._runs.segment.append(payload) or self._append_slowly(self._runs, payload):
                if self._is_written:
                    is_end = type(fact) is StateEntered and fact.state_type in FINAL
                    self._write_soon(at_once=is_end or type(fact) is ArtifactWritten)  # which may be asked for next
                return
            self.lost += 1
        self._tell_lost()

    def log(self, fact: LogWritten) -> None:
        """Record a line. Where there is no room for it, it is counted, and the count stands in its place later."""
        payload = encode(fact)
        with self._lock:
            # Where this line has no room either, no count is written yet: one is enough for all that are missing.
            has_room = not self._cuts or (not self._is_refused(self._logs, len(payload)) and self._mark_cuts())
            if has_room and (self._logs.segment.append(payload) or self._append_slowly(self._logs, payload)):
                if self._is_written:
                    self._write_soon(at_once=fact.level >= _ERROR)
                return
            self._cut(fact.flow_run_id, 1)

    def flow_ended(self) -> None:
        """After a flow's final state: have the segments synced, in the background."""
        with self._lock:
            if self._writer is not None:
                self._writer.flow_ended()
                self._syncer.ask()

    def listen(self, obey: Callable[[Command], None], is_wanted: Callable[[], bool]) -> None:
        """Have the commands for this writer obeyed, in a thread, from a moment later on, while `is_wanted()`."""
        ear = self._ear
        if ear is None:
            ear = self._ear = Ear(self._folder, obey, is_wanted)
        ear.prick_up()

    def _folder(self) -> str | None:
        writer = self._writer
        return None if writer is None else writer.folder

    def leave(self, will: bytes | None) -> None:
        """Have this lie in the writer's folder, for whoever finds this process dead; None: nothing."""
        with self._lock:
            if will != self._will:
                self._will = will
                self._leave_will()

    def _leave_will(self) -> None:
        if self._writer is not None and self._will is not None:
            leave_will(self._writer.folder, self._will)

    # --- opening and closing ----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether there is a writer."""
        return self._writer is not None

    @property
    def writer_id(self) -> bytes:
        """The writer's id; opens one if there is none. Zeros for a signal's handler that comes while it is opened."""
        self.open()
        return self._writer.writer_id if self._writer is not None else bytes(16)

    def open(self) -> None:
        """Open a writer, if none is open.

        Raises HomeUnwritable if the home cannot be written, or if it has no room and `on_full` is "fail".
        """
        with self._lock:
            if self._writer is not None or self._is_busy:
                return
            self._is_busy = True
            try:
                self._open_writer()
                try:
                    self._add_segment(self._runs, 0)
                except OSError as error:
                    self._has_no_room(self._runs, 0, error)
                    if self.budgets.on_full == "fail":
                        raise self._full() from error
            finally:
                self._is_busy = False
                self._append_waiting()

    def close(self) -> None:
        """End the writer in order. Nothing happens if none is open."""
        with self._lock:
            writer = self._writer
            if writer is None or self._is_busy:
                return
            self._is_busy = True
            ear, self._ear = self._ear, None
            if ear is not None:
                ear.close()
            try:
                unwritten = writer.end(self.lost - self._lost_told, self._cuts)
            finally:
                self._lost_told = self.lost
                _open_recorders.discard(self)
                self._writer = None
                self._cuts = {}
                background = self._flusher, self._syncer
                self._make_background()
                self._is_busy = False
                self._append_waiting()
        for each in background:
            each.stop(0.05 if self._is_ending else 1.0)
        if unwritten:
            self.lost += unwritten
            self._tell_lost()

    def close_at_exit(self) -> None:
        """Close, and let nothing that comes still later wait in memory: no thread may be left to write it."""
        self._is_ending = True
        self.close()

    def abandon(self) -> None:
        """In a forked child: the writer is the parent's. The child's next fact opens its own."""
        self._drop_writer()
        if self._ear is not None:
            self._ear.let_go()
        self._begin_afresh()

    def _open_writer(self) -> None:
        self._writer = Writer(self.home, self.budgets, (self._runs, self._logs), may_map=self._may_map)
        _open_recorders.add(self)
        self._leave_will()
        _close_in_child_processes(self)

    # --- when a segment is full, or none is open --------------------------------------------------------------------

    def _append_slowly(self, stream: Stream, payload: bytes) -> bool:
        if self._is_busy:
            self._waiting.append((stream, payload))
            return True
        size = len(payload)
        if size > FRAME_MAX:
            self._trouble = OSError(f"one fact has {size:,} bytes, and {FRAME_MAX:,} is the most")
            return False
        if self._is_refused(stream, size):
            return False
        self._is_busy = True
        try:
            try:
                return self._append_anew(stream, payload)
            except FileNotFoundError:  # somebody removed the home: make it again
                self._drop_writer()
                return self._append_anew(stream, payload)
        except OSError as error:  # HomeUnwritable is one
            self._has_no_room(stream, size, error)
            return False
        finally:
            self._is_busy = False
            self._append_waiting()

    def _is_refused(self, stream: Stream, size: int) -> bool:
        """Whether there was no room for so much just now."""
        until_us, refused_bytes = self._refused[stream.name]
        return size >= refused_bytes and 0 < until_us - get_clock().mono_us() <= _RETRY_US

    def _append_anew(self, stream: Stream, payload: bytes) -> bool:
        if self._writer is None:
            self._open_writer()
        if stream.segment.append(payload):
            return True
        self._add_segment(stream, len(payload))
        return bool(stream.segment.append(payload))

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _add_segment(self, stream: Stream, payload_bytes: int) -> None:
        writer = self._writer
        assert writer is not None
        writer.add_segment(stream, payload_bytes)
        self._is_written = self._is_written or not stream.segment.is_mapped
        if writer.has_sealed:
            self._syncer.ask()

    def _append_waiting(self) -> None:
        """Append what a signal's handler or a finalizer brought while a writer or segment was being made."""
        while self._waiting:
            stream, payload = self._waiting.pop(0)
            if not (stream.segment.append(payload) or self._append_slowly(stream, payload)):
                if stream is self._runs:
                    self.lost += 1
                else:
                    self._cut(None, 1)

    # --- where segments are not mapped ------------------------------------------------------------------------------

    def _write_soon(self, *, at_once: bool) -> None:
        if at_once or self._is_ending or not self._flusher.ask():
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            for stream in (self._logs, self._runs):
                try:
                    stream.segment.flush()
                except OSError as error:
                    self._trouble = error
                    self._flusher.ask()

    def _sync(self) -> None:
        with self._lock:
            paths = self._writer.take_unsynced() if self._writer is not None else []
        for path in paths:
            try:
                space.sync(path)
            except OSError:
                pass  # a disk that fails is told by those who read it; the run goes on

    # --- when not all can be kept -----------------------------------------------------------------------------------

    def _has_no_room(self, stream: Stream, payload_bytes: int, error: OSError) -> None:
        self._trouble = error
        self._refused[stream.name] = get_clock().mono_us() + _RETRY_US, payload_bytes

    def _cut(self, flow_run_id: bytes | None, count: int) -> None:
        if flow_run_id not in self._cuts and len(self._cuts) >= _CUTS_MAX:
            flow_run_id = None
        self._cuts[flow_run_id] = self._cuts.get(flow_run_id, 0) + count

    def _mark_cuts(self) -> bool:
        """Write down how many lines are missing here. False if there is still no room."""
        for flow_run_id, count in list(self._cuts.items()):
            clock = get_clock()
            payload = encode(LogsCut(clock.now_us(), count, flow_run_id, clock.mono_us()))
            if not (self._logs.segment.append(payload) or self._append_slowly(self._logs, payload)):
                return False
            self._cuts[flow_run_id] -= count  # a finalizer may have added to it meanwhile
            if not self._cuts[flow_run_id]:
                del self._cuts[flow_run_id]
        return True

    def _full(self) -> HomeUnwritable:
        why = getattr(self._trouble, "what", "") or getattr(self._trouble, "strerror", "") or str(self._trouble)
        return HomeUnwritable(
            f"The journal in {self.home.path!r} has no room for run facts: {why}.",
            do="Raise SUREFOOT_JOURNAL_RUNS_BUDGET_BYTES." if isinstance(self._trouble, NoRoom) else "Free disk space.",
        )

    def _tell_lost(self) -> None:
        error = self._full()
        if self.budgets.on_full == "fail":
            raise error
        if not self._has_told and sys.stderr is not None:
            self._has_told = True
            try:
                sys.stderr.write(f"surefoot: runs go on, but from here on not all of them is recorded. {error}\n")
            except (OSError, ValueError):
                pass  # nobody listens


# --- the one of this process ------------------------------------------------------------------------------------------

_lock = RLock()
_current: Recorder | None = None
_open_recorders: set[Recorder] = set()


def get_recorder(home: str | None = None, budgets: Budgets | None = None, *, at_once: bool = True) -> Recorder:
    """The recorder of this process, open. Another home than before closes the one that was, and opens a new one.

    Args:
        home: the Surefoot home; None: that of the environment, SUREFOOT_HOME or else ~/.surefoot.
        budgets: how much disk the journal may take; None: the defaults. Counts when a recorder is opened.
        at_once: False leaves the opening to the first fact.

    Raises HomeUnwritable if the home cannot be written.
    """
    global _current
    place = Home(home or os.environ.get("SUREFOOT_HOME") or _HOME)
    with _lock:
        recorder = _current
        if recorder is None or recorder.home.path != place.path or (budgets and recorder.budgets != budgets):
            if recorder is not None:
                recorder.close()
            recorder = _current = Recorder(place, budgets)
        if at_once:
            recorder.open()
    return recorder


def _close_at_exit() -> None:
    recorders = list(_open_recorders)
    for recorder in recorders:
        recorder.close_at_exit()
    for recorder in recorders:
        if recorder.after_exit is not None:
            recorder.after_exit()


def _close_in_child_processes(recorder: Recorder) -> None:
    """Children of `multiprocessing` end without `atexit`, and have finalizers of their own instead."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        finalizers = sys.modules.get("multiprocessing.util")
        if finalizers is not None:
            finalizers.Finalize(None, recorder.close_at_exit, exitpriority=-100)


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()
    for recorder in list(_open_recorders):
        recorder.abandon()
    _open_recorders.clear()


# Registered as early as this room is loaded, so that it runs after the user's own: what these still log is kept.
atexit.register(_close_at_exit)
after_fork_in_child(_after_fork_in_child)
