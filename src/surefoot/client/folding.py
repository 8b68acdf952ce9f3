"""Folding: before anybody reads, what the writers of a home have appended is taken into its ledger.

One process folds at a time; another waits for it, as long as a reader waits at all, and then answers from what is
there, and names it. A writer whose pulse is free is read to its end after that was seen, its open runs are ended, its
folder goes when the ledger is safe from a power loss. Nothing that lies in a journal makes a reader fail. Keeps
promises 1 and 4 for a home. May import: ledger, journal, core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from surefoot._version import __version__
from surefoot.client.crashes import Crashes
from surefoot.core.clock import get_clock
from surefoot.core.errors import LedgerBusy
from surefoot.core.facts import FORMAT, Fact, SegmentOpened, Unknown, WriterEnded
from surefoot.core.os.host import host_name
from surefoot.core.os.locks import lock_at_once
from surefoot.core.wire import FlowRun
from surefoot.journal import reading
from surefoot.journal.frames import split
from surefoot.journal.home import Home, unwritable
from surefoot.journal.reading import SegmentFile, WriterFolder
from surefoot.ledger import Batch, Ledger

__all__ = ["ASIDE", "TakenIn", "fold_no_more", "take_in"]

_LOCK: Final = "folding.lock"
ASIDE: Final = "damaged"  # where segments with damage are kept
_READ_BYTES: Final = 256 << 10  # of a segment at once: about 2,500 facts
_LOCK_POLL_S: Final = 0.02
_FOLDER_FACTS: Final = 10  # the same of a folder
_FACT_BYTES: Final = 100  # as good a guess as any, where nothing was counted
_GRACE_US: Final = 1_000_000  # so long the dead are seen to, whatever else there was no time for
_RESERVE: Final = 0.2  # of the time, for what follows on folding: ending the dead, letting go, counting
_LIST_US: Final = 500_000  # how long folders are looked through; those beyond are looked at when these have gone
_MUCH_BYTES: Final = 32 << 20  # unread, of one writer; it may have made room for half of it and not filled that
_COUNT_US: Final = 250_000  # how long what is left over is counted; beyond, it is reckoned from the size of the files
_COUNT_LATE_US: Final = 20_000  # the same where no time is left


class TakenIn(NamedTuple):
    """What came of it."""

    folded: int  # facts that are new in the ledger
    behind: int  # facts, written before it was asked, that are not in
    troubles: tuple[str, ...]  # what could not be read, one sentence each
    crashed: tuple[FlowRun, ...] = ()  # outermost flow runs that were ended because their process died


def take_in(home: Home, ledger: Ledger, wait_s: float, *, may_count: bool = True, is_copy: bool = False) -> TakenIn:
    """Fold what had been written when this was called, for at most about `wait_s` seconds.

    Raises HomeUnwritable where the ledger takes nothing more, LedgerDamaged where it is no longer whole.

    Args:
        home: whose journal it is.
        ledger: what it is folded into.
        wait_s: for how long, in seconds.
        may_count: whether what is left may be counted, which takes time; else it is reckoned from the files' sizes.
        is_copy: the ledger is but this process's copy of the home's own, so nothing in the home is changed.
    """
    return _Taking(home, ledger, wait_s, _COUNT_US if may_count else 0, is_copy).run()


class _Writer:
    """A writer's folder while it is taken in."""

    def __init__(self, folder: WriterFolder) -> None:
        self.folder = folder
        # The pulse is looked at before the segments: what a dead writer left then is all there will ever be.
        self.is_alive = folder.is_alive()
        self.segments = folder.segments()
        self.at: dict[tuple[str, int], int] = {}  # (stream, number) -> offset up to which it was read
        self.finished: list[SegmentFile] = []  # read to an end that will not move
        self.damaged: list[SegmentFile] = []  # of these, the ones that ended in something that is no fact
        self.is_known = False  # to the ledger
        self.has_closed = False
        # Whoever closes its journal seals its last segments, too.
        self.was_killed = not self.is_alive and not all(segment.sealed for segment in self.segments)
        self.is_ended = self.is_alive  # nothing is to be done about open runs of it

    def is_final(self, segment: SegmentFile) -> bool:
        """Whether nothing will be appended to it."""
        return segment.sealed or not self.is_alive

    def was_cut_off_in(self, segment: SegmentFile, end: int) -> bool:
        """Whether behind `end` stands a fact that its writer was killed over: a torn tail, and no damage."""
        if segment.sealed:
            return False
        with open(segment.path, "rb") as file:
            file.seek(end)
            return split(file.read())[2] == "short"

    @property
    def is_read(self) -> bool:
        """Whether all that it will ever have written was read."""
        return not self.is_alive and len(self.finished) == len(self.segments)

    def unread_bytes(self) -> int:
        """How much it has written, or made room for, that is not in the ledger."""
        total = 0
        for segment in self.segments:
            try:
                total += max(os.path.getsize(segment.path) - self.at.get((segment.stream, segment.number), 0), 0)
            except OSError:
                continue
        return total


class _Taking:
    """One call of `take_in`."""

    def __init__(self, home: Home, ledger: Ledger, wait_s: float, count_us: int, is_copy: bool) -> None:
        self.home = home
        self.ledger = ledger
        self.count_us = count_us
        self.is_copy = is_copy
        self.asked_us = get_clock().now_us()
        begun_us, wait_us = get_clock().mono_us(), round(wait_s * 1e6)
        self.deadline_us = begun_us + wait_us
        self.fold_until_us = begun_us + round(wait_us * (1 - _RESERVE))
        self.end_until_us = max(self.deadline_us, begun_us + _GRACE_US)
        self.writers: list[_Writer] = []
        self.unlisted: list[WriterFolder] = []
        self.unread: list[tuple[_Writer, SegmentFile]] = []
        self.troubles: list[str] = []
        self.crashes = Crashes(home, ledger)

    def run(self) -> TakenIn:
        with nullcontext(True) if self.is_copy else _alone(self.home, self.deadline_us) as is_alone:
            self._look_around()
            self._look_up_positions()
            if not is_alone:
                return self._result(0, _segments_of(self.writers), _who_folds(self.home))
            try:
                killed, others = self._in_order()
                folded = self.ledger.fold(self._batches(killed, self.end_until_us)).count
                self._end_the_dead(killed)  # at once: a backlog hides no crash
                folded += self.ledger.fold(self._batches(others, self.fold_until_us)).count
                self._end_the_dead(others)
                self._end_the_gone()
                if not self.is_copy:
                    self.crashes.tell(self._may_live)
                    self._let_go()
            except LedgerBusy as error:  # somebody writes into it, at length: what is there can still be read
                self._look_up_positions()
                return self._result(0, _segments_of(self.writers), f"{error} [{error.slug}]")
            return self._result(folded, self.unread)

    def _look_around(self) -> None:
        """List what the writers have written, of as many as there is time for."""
        folders = reading.writers(self.home)
        until_us = get_clock().mono_us() + _LIST_US
        for number, folder in enumerate(folders):
            if get_clock().mono_us() >= until_us:
                self.unlisted = folders[number:]
                return
            self.writers.append(_Writer(folder))

    def _in_order(self) -> tuple[list[_Writer], list[_Writer]]:
        """Those that were killed, but for what is very much, and the others: whoever has least to tell comes first."""
        unread = {writer: writer.unread_bytes() for writer in self.writers}
        ordered = sorted(self.writers, key=unread.__getitem__)
        killed = [writer for writer in ordered if writer.was_killed and unread[writer] < _MUCH_BYTES]
        return killed, [writer for writer in ordered if not (writer.was_killed and unread[writer] < _MUCH_BYTES)]

    def is_over(self) -> bool:
        """Whether even the dead have to wait."""
        return get_clock().mono_us() >= self.end_until_us

    def is_later(self, fact: Fact | Unknown) -> bool:
        """Whether a fact was written after it was asked. One from the future was not: some clock was set back."""
        return _is_later(fact, self.asked_us)

    def _look_up_positions(self) -> None:
        found = self.ledger.positions_of([writer.folder.writer_id for writer in self.writers])
        for writer in self.writers:
            writer.at = found[writer.folder.writer_id]
            writer.is_known = bool(writer.at)

    def _batches(self, writers: list[_Writer], until_us: int) -> Iterator[Batch]:
        """What is new of these writers. What there is no time for is left to the next reader."""
        for writer, segment in _segments_of(writers):
            for found, start in self._read(writer, segment, until_us):
                writer.is_known = True
                writer.has_closed |= isinstance(found.facts[-1], WriterEnded)
                begins = chain([start], found.offsets)  # `offsets` tells where the next fact begins
                facts = list(zip(begins, found.facts, strict=False))
                yield Batch(writer.folder.writer_id, segment.stream, segment.number, start, found.end, facts)
            if segment in writer.damaged and segment.stream == "runs" and writer.is_known:
                end = writer.at.get((segment.stream, segment.number), 0)  # its runs tell of it from now on
                yield Batch(writer.folder.writer_id, segment.stream, segment.number, end, end, (), is_damaged=True)

    def _read(self, writer: _Writer, segment: SegmentFile, until_us: int) -> Iterator[tuple[reading.Batch, int]]:
        """What is new in a segment, piece by piece, each with where it begins."""
        key = segment.stream, segment.number
        while True:
            if get_clock().mono_us() >= until_us:
                self.unread.append((writer, segment))
                return
            start = writer.at.get(key, 0)
            try:
                found = reading.read_segment(segment.path, start, _READ_BYTES)
            except OSError as error:
                self.troubles.append(f"{segment.path} cannot be read: {error.strerror}.")
                return
            if found.header is not None and (found.header.destination or found.header.format > FORMAT):
                self._pass_by(segment, found.header)
                return
            if found.facts:
                writer.at[key] = found.end
                yield found, start
            if writer.is_final(segment):
                if found.torn and not writer.was_cut_off_in(segment, found.end):
                    writer.damaged.append(segment)
                if found.torn or not found.facts:
                    writer.finished.append(segment)
                    return
            elif found.torn or not found.facts or self.is_later(found.facts[-1]):
                return  # the rest was not written yet when it was asked

    def _pass_by(self, segment: SegmentFile, header: SegmentOpened) -> None:
        """Facts that belong to a server are for a shipper to take; what only a newer version can read waits for it."""
        if not header.destination:
            wanted = header.surefoot
            self.troubles.append(f"{segment.path} needs Surefoot {wanted} to be read, and this is {__version__}.")

    def _end_the_dead(self, writers: list[_Writer]) -> None:
        """End the open runs of those writers that are no more, as far as there is time."""
        now_us = get_clock().now_us()
        for writer in writers:
            if writer.is_ended or not writer.is_read:
                continue
            if writer.is_known and not writer.has_closed:
                self._foresee(writer.folder.writer_id, writer.folder.path)
                self.ledger.end_writer(writer.folder.writer_id, now_us, is_late=self.is_over)
            if self.is_over():
                self.troubles.append("Not all runs of processes that died may be ended yet. Ask again in a moment.")
                return
            writer.is_ended = True

    def _end_the_gone(self) -> None:
        """End the open runs of those whose folders were removed."""
        now_us = get_clock().now_us()
        there = {writer.folder.writer_id for writer in self.writers}
        for known in self.ledger.open_writers():
            if self.is_over():
                return
            if known.id not in there and not os.path.isdir(os.path.join(self.home.writers_path, known.id.hex())):
                why = "Its journal is gone: the folder of its process was removed."
                self._foresee(known.id, None)
                self.ledger.end_writer(known.id, now_us, why, is_late=self.is_over)

    def _foresee(self, writer_id: bytes, folder: str | None) -> None:
        if not self.is_copy:
            self.crashes.foresee(writer_id, folder)

    def _may_live(self, writer_id: bytes) -> bool:
        """Whether a writer is alive, or was not looked at."""
        for writer in self.writers:
            if writer.folder.writer_id == writer_id:
                return writer.is_alive or not writer.is_ended
        return os.path.isdir(os.path.join(self.home.writers_path, writer_id.hex()))

    def _let_go(self) -> None:
        """Remove what is in the ledger for good, and keep aside what is damaged."""
        for writer in self.writers:
            for segment in writer.damaged:
                self._keep_aside(writer, segment)
        read = [writer for writer in self.writers if writer.is_read and writer.is_ended]
        sealed = [segment for writer in self.writers if writer.is_alive for segment in writer.finished]
        if self.is_over():
            return
        if read or sealed:
            self.ledger.make_durable()
        for segment in sealed:
            reading.remove_segment(segment)
        for writer in read:
            if self.is_over():
                return
            reading.remove_writer(writer.folder)
        reading.sweep(self.home)  # what others did not bring to an end is removed, too

    def _keep_aside(self, writer: _Writer, segment: SegmentFile) -> None:
        aside = os.path.join(self.home.path, ASIDE)
        kept = os.path.join(aside, f"{writer.folder.writer_id.hex()}-{os.path.basename(segment.path)}")
        try:
            os.makedirs(aside, 0o700, exist_ok=True)
            os.replace(segment.path, kept)
            now_ns = get_clock().now_us() * 1000
            os.utime(kept, ns=(now_ns, now_ns))  # for so long it is kept from now on
        except OSError as error:
            self.troubles.append(f"{segment.path} is damaged, and could not be put aside: {error.strerror}.")
        else:
            self.troubles.append(f"A piece of the journal is damaged: what stood behind it is kept in {kept}.")

    def _result(self, folded: int, unread: list[tuple[_Writer, SegmentFile]], why: str = "") -> TakenIn:
        left_us = max(self.deadline_us - get_clock().mono_us(), _COUNT_LATE_US)
        behind = _count(unread, self.asked_us, min(self.count_us, left_us), len(self.unlisted))
        if behind and why:
            self.troubles.append(why)
        return TakenIn(folded, behind, tuple(self.troubles), tuple(self.crashes.found))


def _segments_of(writers: list[_Writer]) -> list[tuple[_Writer, SegmentFile]]:
    """Every segment of these writers, run facts before log lines."""
    both = [(writer, segment) for writer in writers for segment in writer.segments]
    return sorted(both, key=lambda pair: pair[1].stream == "logs")


def _count(unread: list[tuple[_Writer, SegmentFile]], asked_us: int, count_us: int, unlisted: int) -> int:
    """How many facts stand unread in these segments. Where counting takes too long, the rest is reckoned from sizes.

    Of the `unlisted` folders nothing is known but that each holds some.
    """
    until_us = get_clock().mono_us() + count_us
    facts, bytes_read, bytes_left = unlisted * _FOLDER_FACTS, 0, 0
    for writer, segment in unread:
        at = writer.at.get((segment.stream, segment.number), 0)
        try:
            while get_clock().mono_us() < until_us:
                found = reading.read_segment(segment.path, at, _READ_BYTES)
                if found.header is not None and found.header.destination:
                    break
                facts += sum(not _is_later(fact, asked_us) for fact in found.facts)
                bytes_read += found.end - at
                at = found.end
                if not found.facts or found.torn:
                    break
            else:
                bytes_left += max(os.path.getsize(segment.path) - at, 0)
        except OSError:
            continue
    return facts + round(bytes_left * (facts / bytes_read if bytes_read else 1 / _FACT_BYTES))


def _is_later(fact: Fact | Unknown, asked_us: int) -> bool:
    return not isinstance(fact, Unknown) and asked_us <= fact.at_us <= get_clock().now_us()


@contextmanager
def _alone(home: Home, deadline_us: int) -> Iterator[bool]:
    """Whether this process is the one that folds now. Waits for another until the deadline, even if that is stopped."""
    clock = get_clock()
    try:
        fd = os.open(os.path.join(home.path, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unwritable(home.path, error) from error
    try:
        while not lock_at_once(fd):
            if clock.mono_us() >= deadline_us:
                yield False
                return
            clock.sleep(_LOCK_POLL_S)
        _sign(fd)
        yield True
    finally:
        os.close(fd)


class _Folder(msgspec.Struct):
    """Who folds: the lock of a file does not tell who has it."""

    pid: int
    host: str


def _sign(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
        os.write(fd, msgspec.json.encode(_Folder(os.getpid(), host_name())))
    except OSError:  # a courtesy to others: a full disk must not stop what the lock was taken for
        pass


def _who_folds(home: Home) -> str:
    try:
        with open(os.path.join(home.path, _LOCK), "rb") as file:
            folder = msgspec.json.decode(file.read(), type=_Folder)
    except (OSError, msgspec.MsgspecError):
        who = "another process"
    else:
        who = f"process {folder.pid} on {folder.host}"
    return f"What is in {home.path} is just taken in by {who}. If that never ends, end that process. [ledger-busy]"


@contextmanager
def fold_no_more(home: Home, wait_s: float) -> Iterator[bool]:
    """Whether nobody folds while this is entered. Waits so long for another that does."""
    with _alone(home, get_clock().mono_us() + round(wait_s * 1e6)) as is_alone:
        yield is_alone
