"""Cleaning up: packs that are too old, then the oldest of those that are too many; never those of a run that goes on.

A pack may still grow as long as it is not read-only and its writer's pulse beats. One that a dead writer left open is
trimmed to what is in it. Whoever deletes a flow run removes its packs with it. May import: journal, core, packs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from surefoot.core.clock import get_clock
from surefoot.core.os import space
from surefoot.core.os.files import FOLDERS_MOVE_IN_USE, write_bytes
from surefoot.journal.frames import split
from surefoot.journal.home import Home
from surefoot.journal.pulse import is_beating
from surefoot.results.packs import ENDING, RESULTS, run_folder

__all__ = ["Cleaned", "KeptRun", "gc", "kept_runs", "remove"]

_RUN: Final = re.compile(r"[0-9a-f]{32}")
_DAY_US: Final = 86_400_000_000
_TRIMMED_MAX: Final = 64 << 20


class KeptRun(msgspec.Struct, frozen=True):
    """What is kept of one flow run for resuming."""

    flow_run_id: bytes
    bytes: int
    packs: int
    used_us: int  # when something was last added
    is_open: bool  # a living process may add to it
    left_open: tuple[str, ...] = ()  # packs that nobody will add to, and that nobody has trimmed


class Cleaned(msgspec.Struct, frozen=True):
    """What was removed, or, where it was only asked, would be; and what stays."""

    removed: tuple[KeptRun, ...]
    left_bytes: int
    left_runs: int

    @property
    def freed_bytes(self) -> int:
        """How much disk that is."""
        return sum(run.bytes for run in self.removed)


def kept_runs(home_path: str) -> list[KeptRun]:
    """The flow runs of which results are kept for resuming, the oldest first. Empty if there is no such folder."""
    home = Home(home_path)
    beats = _Beats(home)
    return sorted(_kept_runs(home, beats), key=lambda run: (run.used_us, run.flow_run_id))


def gc(
    home_path: str,
    *,
    max_age_days: float,
    budget_bytes: int,
    spare: Collection[bytes] = (),
    dry: bool = False,
) -> Cleaned:
    """Remove what is kept of flow runs for longer than `max_age_days`, then the oldest until the budget holds.

    Runs that a living process may add to stay, and those of `spare` (ids). With `dry` nothing is removed: the answer
    says what would be. Raises OSError if a file that should go cannot be removed.
    """
    runs = kept_runs(home_path)
    oldest_us = get_clock().now_us() - int(max_age_days * _DAY_US)
    left = sum(run.bytes for run in runs)
    removed: list[KeptRun] = []
    for run in runs:
        if run.is_open or run.flow_run_id in spare:
            continue
        if run.used_us >= oldest_us and left <= budget_bytes:
            if not dry:
                left -= sum(map(_trim, run.left_open))
            continue
        if not dry:
            remove(home_path, run.flow_run_id)
        removed.append(run)
        left -= run.bytes
    return Cleaned(tuple(removed), left, len(runs) - len(removed))


def remove(home_path: str, flow_run_id: bytes) -> int:
    """Remove all that is kept of a flow run for resuming. How many bytes that were; 0 if there was nothing.

    Raises OSError if a file cannot be removed.
    """
    folder = os.path.join(Home(home_path).path, *run_folder(flow_run_id).split("/"))
    freed = 0
    for entry in _packs_in(folder):
        try:
            size = entry.stat(follow_symlinks=False).st_size
            if not FOLDERS_MOVE_IN_USE:
                os.chmod(entry.path, 0o600)  # on Windows a read-only file cannot be removed
            os.unlink(entry.path)
        except FileNotFoundError:
            continue
        freed += size
    try:
        os.rmdir(folder)
    except OSError:
        pass  # gone already; or somebody put something there that is not ours
    return freed


def _trim(path: str) -> int:
    """Put what was written to a pack in place of all that was given to it. How many bytes that frees.

    Not by cutting the file: should its writer live all the same, writing to mapped memory that is gone would kill it.
    """
    try:
        used = os.stat(path)
        with open(path, "rb") as file:
            block = file.read(_TRIMMED_MAX)
        _, end, stop, _ = split(block)
        if stop != "end" or len(block) == _TRIMMED_MAX:
            return 0  # damaged, or larger than a pack that grows: what is in it stays as it is
        write_bytes(path, block[:end], mode=0o400, sync=False)
        os.utime(path, ns=(used.st_atime_ns, used.st_mtime_ns))
    except OSError:
        return 0  # removed meanwhile, or not ours to change: it is only larger than it had to be
    return len(block) - end


def _kept_runs(home: Home, beats: _Beats) -> Iterator[KeptRun]:
    try:
        with os.scandir(os.path.join(home.path, RESULTS)) as entries:
            folders = [entry for entry in entries if _RUN.fullmatch(entry.name)]
    except OSError:
        return
    for folder in folders:
        size = packs = used_us = 0
        is_open = False
        left_open: list[str] = []
        for entry in _packs_in(folder.path):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # removed meanwhile
            size += found.st_size
            packs += 1
            used_us = max(used_us, found.st_mtime_ns // 1000)
            if found.st_mode & 0o200:
                if beats.of(entry.name[:32]):
                    is_open = True
                else:
                    left_open.append(entry.path)
        try:
            used_us = max(used_us, os.stat(folder.path).st_mtime_ns // 1000)
        except OSError:
            continue
        yield KeptRun(bytes.fromhex(folder.name), size, packs, used_us, is_open, tuple(left_open))


def _packs_in(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name.endswith(ENDING)]
    except OSError:
        return []


class _Beats:
    """Which writers of a home live, each asked once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._is_local: bool | None = None
        self._known: dict[str, bool] = {}

    def of(self, writer: str) -> bool:
        known = self._known.get(writer)
        if known is None:
            if self._is_local is None:
                self._is_local = space.file_system(self._home.writers_path) in space.LOCAL
            folder = os.path.join(self._home.writers_path, writer)
            known = self._known[writer] = is_beating(folder, is_local=self._is_local)
        return known
