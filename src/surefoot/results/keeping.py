"""Keeping results for resuming: a run's value goes to a pack before its end is recorded. Keeps promise 5.

A result that is not kept never fails its task: `Keeper.keep` answers why not. A small plain value costs one to two
microseconds. What was kept when `keep` returned is found again, however this process ends (power loss aside).

    keeper = Keeper(home_path, flow_run_id, writer_id, limits)     one for each outermost flow run in a process
    at = keeper.keep(value, source)                                `ResultAt`, or a text: why it is not kept
    keeper.close()                                                 when that flow run has ended

May import: journal, core.
"""

from __future__ import annotations

import errno
import os
import sys
from _pickle import dumps
from collections.abc import Callable
from threading import RLock
from typing import Any, Final

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.facts import ResultAt
from surefoot.core.os import space
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.settings import Settings
from surefoot.journal.frames import frame_bytes
from surefoot.journal.segments import NO_SEGMENT, TAIL, Segment, open_segment
from surefoot.results.budget import BudgetUsedUp, take
from surefoot.results.packs import RESULTS, HeadedFile, header, header_bytes, make_read_only, new_pack
from surefoot.results.pickling import LARGE, PLAIN, PROTOCOL, TooLarge, pickled, why_not

__all__ = ["Keeper", "Limits"]

_FIRST: Final = 4 << 10  # bytes of a writer's first pack: one block, which a small flow run never leaves, costs least
_STEP_MAX: Final = 8 << 20
_REST_US: Final = 1_000_000  # how long a disk that had no room is left alone
_MIB: Final = 1 << 20
_NONE: Final = dumps(None, PROTOCOL)  # what most tasks return that are called for what they do


class Limits(msgspec.Struct, frozen=True):
    """The numbers of the settings `results.*`."""

    item_bytes: int = 64 * _MIB
    budget_bytes: int = 4096 * _MIB

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of the settings in force."""
        return cls(settings.get("results.item_max_bytes"), settings.get("results.budget_bytes"))


class _Pack:
    """An open pack: its segment, and the place that facts name."""

    __slots__ = ("append", "place", "segment")

    def __init__(self, place: str, segment: Segment) -> None:
        self.place = place
        self.segment = segment
        self.append = segment.append if segment.is_mapped else _only_with_the_lock


def _only_with_the_lock(_: bytes) -> int:
    return 0


_NO_PACK: Final = _Pack("", NO_SEGMENT)


class Keeper:
    """Keeps the results of one flow run, its subflows' and tasks' included, for one process. For any thread.

    Args:
        home_path: the Surefoot home.
        flow_run_id: of the outermost flow run.
        writer_id: of this process's recorder, or what asks for it; while its pulse beats, an open pack counts as in
            use.
        limits: how much is kept.
        may_map: False has packs written by system calls, whatever the file system allows.
    """

    def __init__(
        self,
        home_path: str,
        flow_run_id: bytes,
        writer_id: bytes | Callable[[], bytes],
        limits: Limits | None = None,
        *,
        may_map: bool = True,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.limits = limits or Limits()
        self._most = self.limits.item_bytes
        self._home_path = os.path.abspath(os.path.expanduser(home_path))
        self._writer = writer_id
        self._may_map = may_map
        self._number = 0
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        # Lets its holder in again: a finalizer that the garbage collector calls may call a task itself.
        self._lock = RLock()
        self._pack = _NO_PACK
        self._size = 0
        self._is_growing = False
        self._refused: tuple[int, int, str] = (0, 0, "")  # until when, from how many bytes on, and why

    def keep(
        self, value: Any, source: str | None = None, epoch: int = 0, inputs: bytes | None = None
    ) -> ResultAt | str:
        """Write the value down as it is now. Where it lies, or, in one line, why it is not kept.

        Args:
            value: what a run returned.
            source: the hash of the source of the task or flow that made it.
            epoch: of the run, when it made the value.
            inputs: a hash of the results of other runs that it was made from.
        """
        try:
            if value is None:
                raw: Any = _NONE
            elif type(value) in PLAIN:
                raw = dumps(value, PROTOCOL)
            else:
                raw = pickled(value, self.limits.item_bytes, self._open_large)
                if type(raw) is not bytes:
                    return self._kept_large(raw, source, epoch, inputs)
        except TooLarge:
            return self._too_large(value)
        except BudgetUsedUp as full:
            return str(full)
        except BaseException as error:
            return self._failed(error)
        size = len(raw)
        if size > self._most:
            return self._too_large(value)
        # Without the lock, or a thousand threads that once waited for it would go on to take turns, at 50 us each.
        pack = self._pack
        end = pack.append(raw)
        if not end:
            _open.add(self)  # before the lock is held: a child that is forked meanwhile is to have one of its own
            with self._lock:
                pack = self._pack
                end = pack.segment.append(raw)
                if not end or not pack.segment.is_mapped:
                    return self._keep_slowly(raw, source, epoch, inputs, end)
        at = end - (size + 11 & -4)  # frames.frame_bytes, without the call
        return ResultAt(pack.place, at, size, "pickle", source, epoch, inputs)

    def close(self) -> None:
        """Trim the pack and mark it as complete. What is kept after it goes to another pack."""
        with self._lock:
            pack, self._pack = self._pack, _NO_PACK
            _open.discard(self)
        _seal(pack)

    # --- when the pack is full, none is open, or it is not mapped -----------------------------------------------------

    def _keep_slowly(
        self, raw: bytes, source: str | None, epoch: int, inputs: bytes | None, end: int
    ) -> ResultAt | str:
        size = len(raw)
        until_us, refused_bytes, why = self._refused
        if not end and size >= refused_bytes and 0 < until_us - get_clock().mono_us() <= _REST_US:
            return why
        if self._is_growing:
            return "it came while room was being made for another one"
        self._is_growing = True
        try:
            if not end:
                self._grow(frame_bytes(size))
                end = self._pack.segment.append(raw)
            pack = self._pack
            pack.segment.flush()
        except OSError as error:
            pack, self._pack = self._pack, _NO_PACK
            _seal(pack)
            return self._refuse(size, error)
        finally:
            self._is_growing = False
        return ResultAt(pack.place, end - frame_bytes(size), size, "pickle", source, epoch, inputs)

    def _grow(self, need: int) -> None:
        """Make room in the open pack, or, where it is as large as packs get, open the next. Raises OSError if none is.

        A run of some hundred results has one file so, and few take more than they need: growing costs less than a
        second file, and a first one of more than a block costs each run.
        """
        need = need + header_bytes + TAIL + 4095 & -4096
        size = self._size
        if size < _STEP_MAX and self._pack is not _NO_PACK and self._longer(size, need):
            return
        planned = max(min(size * 16, _STEP_MAX) or _FIRST, need)
        take(self._results_path, planned, self.limits.budget_bytes)
        pack = self._open_pack(planned, need)
        _seal(self._pack)
        self._pack = pack
        _open.add(self)

    def _longer(self, size: int, need: int) -> bool:
        planned = max(min(size * 16, _STEP_MAX), size + need)
        take(self._results_path, planned - size, self.limits.budget_bytes)
        while True:
            try:
                has_grown = self._pack.segment.grow(planned)
            except OSError:
                planned = size + (planned - size) // 2 & -4096
                if planned < size + need:
                    raise
                continue
            if has_grown:
                self._size = planned
            return has_grown

    def _open_pack(self, planned: int, need: int) -> _Pack:
        may_map = self._may_map and _is_mappable(self._home_path)
        while True:
            place, path = self._next_place()
            try:
                segment = open_segment(path, planned, may_map=may_map)
            except FileExistsError:
                continue  # an earlier part of the same run in this process, or the process this one was forked from
            except FileNotFoundError:
                continue  # somebody removed the folder just now: it is made again
            except OSError:
                planned = planned // 2 & -4096
                if planned < max(need, _FIRST):
                    raise
                continue
            segment.append(header(self.flow_run_id, self._writer_id))
            self._size = planned
            return _Pack(place, segment)

    @property
    def _writer_id(self) -> bytes:
        return self._writer if isinstance(self._writer, bytes) else self._writer()

    def _next_place(self) -> tuple[str, str]:
        with self._lock:
            number = self._number
            self._number += 1
        if number >= _PACKS_MAX:
            raise OSError(errno.EMFILE, f"{_PACKS_MAX:,} packs are the most that a writer makes for a flow run")
        return new_pack(self._home_path, self.flow_run_id, self._writer_id, number)

    # --- large values: each a pack of its own, written by system calls, without a copy in memory ----------------------

    def _open_large(self) -> HeadedFile:
        take(self._results_path, LARGE, self.limits.budget_bytes)
        while True:
            _, path = self._next_place()
            try:
                return HeadedFile(path, self.flow_run_id, self._writer_id)
            except (FileExistsError, FileNotFoundError):
                continue

    def _kept_large(self, file: HeadedFile, source: str | None, epoch: int, inputs: bytes | None) -> ResultAt | str:
        try:
            size = file.end()
        except OSError as error:
            file.drop()
            return self._refuse(size=0, error=error)
        take(self._results_path, size - LARGE, sys.maxsize)
        place = "/".join(file.path.split(os.sep)[-3:])
        return ResultAt(place, header_bytes, size, "pickle", source, epoch, inputs)

    # --- why not ------------------------------------------------------------------------------------------------------

    @property
    def _results_path(self) -> str:
        return os.path.join(self._home_path, RESULTS)

    def _too_large(self, value: Any) -> str:
        return f"its result, a {type(value).__name__}, takes more than the {_told(self.limits.item_bytes)} that is kept"

    def _failed(self, error: BaseException) -> str:
        if isinstance(error, OSError) and error.errno in _DISK:
            return f"its result cannot be written: {error.strerror}"
        return f"its result cannot be pickled: {why_not(error)}"

    def _refuse(self, size: int, error: OSError) -> str:
        why = str(error) if isinstance(error, BudgetUsedUp) else f"its result cannot be written: {error.strerror}"
        if size:
            self._refused = get_clock().mono_us() + _REST_US, size, why
        return why

    # --- forks --------------------------------------------------------------------------------------------------------

    def _leave_to_parent(self) -> None:
        self._pack.segment.abandon()
        self._begin_afresh()


_PACKS_MAX: Final = 1_000_000
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE})
_mappable: dict[str, bool] = {}
_open: set[Keeper] = set()


def _is_mappable(home_path: str) -> bool:
    found = _mappable.get(home_path)
    if found is None:
        # Memory is filled word by word, in the machine's own order of bytes; in a pack that is little-endian.
        found = sys.byteorder == "little" and space.file_system(home_path) in space.MAPPABLE
        _mappable[home_path] = found
    return found


def _seal(pack: _Pack) -> None:
    if pack.segment is not NO_SEGMENT:
        pack.segment.seal()
        make_read_only(pack.segment.path)


def _told(count: int) -> str:
    return f"{count // _MIB:,} MiB" if count >= _MIB else f"{count:,} bytes"


def _after_fork_in_child() -> None:
    for keeper in list(_open):
        keeper._leave_to_parent()
    _open.clear()


after_fork_in_child(_after_fork_in_child)
