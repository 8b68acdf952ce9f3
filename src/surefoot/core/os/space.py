"""Disk space: given to a file for good, mapped, free, of which kind of file system; and getting bytes to the disk.

May import: nothing of ours.
"""

from __future__ import annotations

import errno
import os
import sys
from mmap import mmap
from typing import Final

if sys.platform == "darwin":
    import fcntl

__all__ = [
    "FSYNC_REACHES_DISK",
    "LOCAL",
    "MAPPABLE",
    "Mapped",
    "allocate",
    "disk_bytes",
    "file_system",
    "flush",
    "map_file",
    "map_longer",
    "start_writing",
    "sync",
]

Mapped = mmap  # a file in memory that the kernel owns

FSYNC_REACHES_DISK: Final = sys.platform != "darwin"  # there fsync(2) leaves bytes in the cache of the disk itself

# Space once given stays given, and no server in between can fail: writing to mapped memory cannot end in SIGBUS. File
# systems that copy on write (btrfs, zfs) may need new space for each change, so a full disk would kill the process
# there.
MAPPABLE: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay"})
# Only one running kernel has such a file system open for writing at a time, so its locks tell the whole truth.
LOCAL: Final = MAPPABLE | {
    "apfs", "bcachefs", "btrfs", "exfat", "f2fs", "hfs", "jfs", "msdos", "ntfs", "ntfs3", "ramfs", "reiserfs", "ufs",
    "vfat", "zfs",
}  # fmt: skip

_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)


def allocate(fd: int, size: int, before: int = 0) -> bool:
    """Make the open file `size` bytes long, with disk space behind each of them. False where the system cannot do that.

    Raises OSError if there is not that much space. `ftruncate` alone would make a file of holes: writing into one,
    mapped, on a full disk is SIGBUS.

    Args:
        fd: the file.
        size: how long it is to be.
        before: how long it is, if there is something in it. That is not touched: where the C library gives the space
            itself, it would read and write back what others may be writing.
    """
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(fd, before, size - before)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def map_file(fd: int, size: int) -> Mapped | None:
    """Make the open, empty file `size` bytes long, with disk space behind each, and map it.

    None, with the file empty, where the system cannot do that. Raises OSError if there is not that much space.
    """
    if not allocate(fd, size):
        return None
    try:
        return mmap(fd, size)
    except (OSError, ValueError):
        os.ftruncate(fd, 0)  # allocated, but not to be mapped
        return None


def map_longer(fd: int, before: int, size: int) -> Mapped | None:
    """Make the open file, `before` bytes long, `size` bytes long, with disk space behind each, and map it.

    Who has it mapped already sees the same bytes. Raises OSError if there is not that much space. Then, and where it
    cannot be mapped, which answers None, the file is as long as it was.
    """
    mapped = None
    try:
        if allocate(fd, size, before):
            try:
                mapped = mmap(fd, size)
            except (OSError, ValueError):
                pass  # there is not the memory, or there are more maps than a process may have
    finally:
        if mapped is None:
            os.ftruncate(fd, before)  # a disk that is full may have given a part
    return mapped


def disk_bytes(path: str) -> tuple[int, int]:
    """Bytes that are free for this user on the disk of `path`, and bytes in all."""
    if sys.platform == "win32":
        import shutil  # only here: elsewhere one system call tells

        usage = shutil.disk_usage(path)
        return usage.free, usage.total
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def file_system(path: str) -> str:
    """The kind of file system that `path` is on, as the system calls it; empty if it does not say.

    >>> file_system("/proc") if sys.platform == "linux" else "proc"
    'proc'
    """
    if sys.platform == "linux":
        return _linux_kind(path)
    if sys.platform == "darwin":
        return _macos_kind(path)
    if sys.platform == "win32":
        return _windows_kind(path)
    return ""


def _linux_kind(path: str) -> str:
    # proc_pid_mountinfo(5): the fifth field is where it is mounted, the first after " - " is the kind.
    above = _with_parents(os.path.realpath(path))
    best, kind = -1, ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ""
    for line in lines:
        place = line.split(" ", 5)[4]
        if "\\" in place:
            place = place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        if place in above and len(place) >= best:  # of two mounts on one place, the later hides the earlier
            best, kind = len(place), line.partition(" - ")[2].split(" ", 1)[0]
    return kind


def _with_parents(path: str) -> set[str]:
    found = {path}
    while path != "/":
        path = os.path.dirname(path)
        found.add(path)
    return found


def _macos_kind(path: str) -> str:
    import ctypes  # only here: it costs milliseconds

    # statfs(2) with 64-bit inodes: f_fstypename is 16 bytes at offset 72 of 2168.
    libc = ctypes.CDLL(None)
    answer = ctypes.create_string_buffer(4096)
    ask = getattr(libc, "statfs$INODE64", None) or libc.statfs
    if ask(os.fsencode(path), answer) != 0:
        return ""
    return answer.raw[72:88].split(b"\0", 1)[0].decode("ascii", "replace")


def _windows_kind(path: str) -> str:
    if sys.platform != "win32":
        return ""
    import ctypes

    drive = os.path.splitdrive(os.path.realpath(path))[0] + "\\"
    remote = 4  # DRIVE_REMOTE of GetDriveTypeW
    return "remote" if ctypes.windll.kernel32.GetDriveTypeW(drive) == remote else "ntfs"


def sync(path: str) -> None:
    """Return when the file's bytes are on the disk. A file that is gone needs no more."""
    try:
        fd = os.open(path, os.O_RDWR)  # Windows flushes only what is open for writing
    except FileNotFoundError:
        return
    try:
        flush(fd)
    finally:
        os.close(fd)


def flush(fd: int) -> None:
    """Return when the bytes of the open file are on the disk, where a power loss leaves them."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError:  # a file system that does not know it
            os.fsync(fd)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def start_writing(path: str) -> None:
    """Have the file's bytes written to the disk from now on, and wait for nothing. Elsewhere than on Linux: nothing."""
    # Linux starts to write what is dirty before it looks which pages to drop (mm/fadvise.c); on ext4 in 40 us.
    if sys.platform == "linux":
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            return
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            pass
        finally:
            os.close(fd)
