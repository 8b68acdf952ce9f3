"""Pulse: how anybody sees whether a writer lives. A file in its folder, locked before the folder has its name.

The folder is made under a temporary name, the pulse is locked in it, then it is renamed: a reader that sees the folder
sees a held pulse. (Made first and locked then, 3,222 of 20,000 living writers were found with a free one, and so taken
for dead.) A writer that ends in order takes its pulse away. One that is killed leaves it free.
Windows renames no folder in which a file is open: there a pulse is locked after that, and says so long that it is not.
May import: core.ids, core.os.
"""

from __future__ import annotations

import errno
import os

import msgspec

from surefoot.core.ids import new_id
from surefoot.core.os.files import FOLDERS_MOVE_IN_USE, make_new, move
from surefoot.core.os.host import NAMELESS, boot_id, host_name, is_gone, process_mark
from surefoot.core.os.locks import identity, is_locked, lock_for_life

__all__ = ["BORN", "PULSE", "Holder", "Pulse", "is_beating", "proof_of_life"]

PULSE = "pulse"
BORN = ".born-"  # prefix of a folder that has no pulse yet; readers pass it by


class Holder(msgspec.Struct, frozen=True):
    """What a pulse says about its writer, as JSON, for people too."""

    host: str
    boot_id: str
    pid: int
    is_locked: bool  # False where the file system knows no locks: then a free pulse tells nothing
    mark: str = ""  # of the process: where there are no locks, that tells


class Pulse:
    """One writer's pulse, held from `begin` until `end` or the end of the process."""

    __slots__ = ("_fd", "_file", "folder", "writer_id")

    def __init__(self, writer_id: bytes, folder: str, fd: int) -> None:
        self.writer_id = writer_id
        self.folder = folder
        self._fd = fd
        self._file = identity(fd)

    @classmethod
    def begin(cls, writers_path: str) -> Pulse:
        """A new writer with its folder. Raises OSError where none can be made."""
        writer_id = new_id()
        folder = os.path.join(writers_path, writer_id.hex())
        born = os.path.join(writers_path, BORN + writer_id.hex())
        os.mkdir(born, 0o700)
        fd = -1
        try:
            fd = make_new(os.path.join(born, PULSE))
            if FOLDERS_MOVE_IN_USE:
                _tell(fd, lock_for_life(fd))
                os.rename(born, folder)
            else:
                # Until it is locked in its place, this pulse says that being free proves nothing.
                _tell(fd, is_locked=False)
                os.close(fd)
                fd = -1
                if not move(born, folder):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), born)
                fd = os.open(os.path.join(folder, PULSE), os.O_RDWR)
                _tell(fd, lock_for_life(fd))
        except BaseException:
            _unmake(born, folder, fd)
            raise
        return cls(writer_id, folder, fd)

    def end(self) -> None:
        """The writer ended in order: take the pulse away."""
        self.let_go()
        try:
            os.unlink(os.path.join(self.folder, PULSE))
        except OSError:
            pass  # it is free now, and that says the same

    def let_go(self) -> None:
        """Close this process's copy. In a forked child: the parent's pulse beats on."""
        if identity(self._fd) == self._file:
            os.close(self._fd)


def _tell(fd: int, is_locked: bool) -> None:
    told = msgspec.json.encode(Holder(host_name(), boot_id(), os.getpid(), is_locked, process_mark(os.getpid())))
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, told.ljust(len(told) + is_locked))  # as long as when it says false: written over, it stays whole


def _unmake(born: str, folder: str, fd: int) -> None:
    if fd != -1:
        os.close(fd)
    for place in (born, folder):
        try:
            os.unlink(os.path.join(place, PULSE))
            os.rmdir(place)
        except OSError:
            pass  # it has the other name; or what is left of it is swept later


def is_beating(folder: str, *, is_local: bool) -> bool:
    """Whether the writer of `folder` may still append. False is certain; where death cannot be proved, it is True.

    `is_local`: the folder is on a file system that one running kernel has for itself, so its locks tell all.
    """
    return proof_of_life(folder, is_local=is_local) is not False


def proof_of_life(folder: str, *, is_local: bool) -> bool | None:
    """True where the writer of `folder` certainly lives, False where it is no more, None where neither is certain."""
    try:
        fd = os.open(os.path.join(folder, PULSE), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    try:
        if is_locked(fd):
            return True
        holder = _holder(fd)
        if holder is None:
            return False if is_local else None
    finally:
        os.close(fd)
    if is_local and holder.is_locked:
        return False
    # Elsewhere a free pulse may be a lock that the network forgot. But no process outlives a start of its own machine.
    if holder.host != host_name() or holder.host in NAMELESS or not (holder.boot_id and boot_id()):
        return None
    return None if holder.boot_id == boot_id() and not is_gone(holder.pid, holder.mark) else False


def _holder(fd: int) -> Holder | None:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        return msgspec.json.decode(os.read(fd, 4096), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None  # a loss of power may leave a file without its content
