"""Survey: what lies where in a home, how large it is, who writes in it; and the removal of all of it.

May import: journal, core, the modules beside it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

import msgspec

from surefoot.client.folding import ASIDE
from surefoot.client.upkeep import alone
from surefoot.core.errors import HomeUnwritable, NotFound, Refused
from surefoot.journal import reading
from surefoot.journal.backlog import UPKEEP
from surefoot.journal.home import Home
from surefoot.results.packs import RESULTS

__all__ = ["HomeSurvey", "Part", "RemovedHome", "remove_home", "survey", "writing"]


class Part(msgspec.Struct, frozen=True):
    """One part of a home."""

    name: str
    path: str
    about: str
    files: int
    bytes: int


class HomeSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a home."""

    path: str
    bytes: int
    parts: list[Part]
    writers_living: int
    writers_dead: int  # whose journal is not folded yet


class RemovedHome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a home that was to be removed."""

    path: str
    bytes: int
    left: list[str] = []  # what is not Surefoot's, and stays


_ABOUT: Final = {
    "journal": "facts and log lines that are not folded yet",
    "ledger": "runs, states and log lines, as commands show them",
    "results": "results kept for resuming",
    "storage": "what flows and tasks store: results, and data of artifacts",
    "aside": "damaged pieces, and copies of the ledger from before upgrades",
    "profiles": "settings",
    "notices": "messages that wait to be sent, and what was told of which flow",
    "locks": "who folds, who cleans up, which home it is",
}
_OTHER: Final = "not Surefoot's"


def survey(home_path: str) -> HomeSurvey:
    """Look at a home. It need not be there."""
    home = Home(home_path)
    sizes: dict[str, list[int]] = {name: [0, 0] for name in _ABOUT}
    where = {"journal": home.writers_path, "ledger": home.ledger_path, "results": os.path.join(home.path, RESULTS)}
    for name, path in _entries(home):
        files, size = _measure(path)
        if name not in sizes:
            sizes[name] = [0, 0]
            where[name] = path
        sizes[name][0] += files
        sizes[name][1] += size
        where.setdefault(name, path)
    parts = [
        Part(name, where[name], _ABOUT.get(name, _OTHER), files, size)
        for name, (files, size) in sizes.items()
        if name in where
    ]
    alive = [folder.is_alive() for folder in reading.writers(home)]
    return HomeSurvey(
        path=home.path,
        bytes=sum(part.bytes for part in parts),
        parts=[part for part in parts if part.files],
        writers_living=sum(alive),
        writers_dead=len(alive) - sum(alive),
    )


def writing(count: int) -> str:
    """How many processes write, as the start of a sentence.

    >>> writing(1), writing(2)
    ('1 process writes', '2 processes write')
    """
    return f"{count:,} process{' writes' if count == 1 else 'es write'}"


def _entries(home: Home) -> Iterator[tuple[str, str]]:
    """What stands in the home, each with the part that it belongs to; its own name if it is none of ours."""
    ledger = os.path.basename(home.ledger_path)
    parts = {
        os.path.basename(home.writers_path): "journal",
        RESULTS: "results",
        "storage": "storage",
        ASIDE: "aside",
        "profiles.toml": "profiles",
        "notices": "notices",
        "folding.lock": "locks",
        "home-id": "locks",
        UPKEEP: "locks",
        **{ledger + ending: "ledger" for ending in ("", "-wal", "-shm", "-journal", ".holder")},
    }
    try:
        names = sorted(os.listdir(home.path))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(home.path, name)
        yield parts.get(name) or ("aside" if name.startswith(f"{ledger}.before-") else name), path


def _measure(path: str) -> tuple[int, int]:
    """How many files there are, and how many bytes of disk they were given."""
    if os.path.islink(path) or not os.path.isdir(path):
        return 1, _size(path)
    files = size = 0
    for folder, _, names in os.walk(path):
        files += len(names)
        size += sum(_size(os.path.join(folder, name)) for name in names)
    return files, size


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0  # folded meanwhile


def remove_home(home_path: str) -> RemovedHome:
    """Remove all that is Surefoot's in a home, and its folder if nothing else is in it.

    Raises NotFound if there is none, and Refused while a process writes there or sees to it.
    """
    home = Home(home_path)
    if not os.path.isdir(home.path):
        raise NotFound(f"There is no Surefoot home in {home.path!r}.", do="Nothing is to be done.")
    before = survey(home_path)
    if before.writers_living:
        raise Refused(f"{writing(before.writers_living)} in {home.path}.", do="Wait until that has ended, or end it.")
    with alone(home, wait=False) as is_alone:
        if not is_alone:
            raise Refused(f"Another process folds and cleans up {home.path}.", do="Try again in a moment.")
        left = []
        lock = os.path.join(home.path, UPKEEP)
        for name, path in _entries(home):
            if name not in _ABOUT:
                left.append(path)
            elif path != lock:  # which is held, and therefore goes last
                _remove(path)
    _remove(lock)
    if not left:
        os.rmdir(home.path)
    return RemovedHome(path=home.path, bytes=sum(part.bytes for part in before.parts if part.name in _ABOUT), left=left)


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as error:
        raise HomeUnwritable(
            f"{path} cannot be removed: {error.strerror}.", do="Give yourself the right to."
        ) from error
