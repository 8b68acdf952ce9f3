"""Small files, whole: read if they are there, written so that whoever looks sees the old text or the new, whole.

May import: the standard library.
"""

from __future__ import annotations

import errno
import os

__all__ = ["read_text", "write_bytes", "write_text"]


def read_text(path: str) -> str | None:
    """The text of a file in UTF-8, or None if there is no such file.

    Raises OSError if it is there and cannot be read, UnicodeDecodeError (a ValueError) if it is not UTF-8.

    >>> read_text("/no/such/file") is None
    True
    """
    try:
        # Bytes and one decode: most often there is no such file, and this is the cheapest way to find out.
        with open(path, "rb", buffering=0) as file:
            raw = file.readall()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):  # `.env` is a folder in many a checkout
        return None
    except PermissionError:
        # In a folder that may not be searched, each name is refused, whether a file has it or not. On Windows this is
        # also what opening a folder answers.
        if not os.path.exists(path) or os.path.isdir(path):
            return None
        raise
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    return raw.decode("utf-8-sig")


def write_text(path: str, text: str, *, mode: int = 0o600) -> None:
    """Put `text` where `path` is, or points to, on the disk and all at once.

    Folders that are missing are made, for their owner alone. Raises OSError if that cannot be done, and
    then what was there before is untouched.
    """
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_bytes(path: str, *parts: bytes, mode: int = 0o600, sync: bool = True) -> None:
    """Put the parts, one after another, where `path` is, or points to, all at once, as `write_text`.

    Without `sync` they reach the disk when the system writes them; only a loss of power before that takes them.
    """
    path = os.path.realpath(path)  # a link is kept: people keep such files in a folder under version control
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(fd, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    if sync:
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    # The name is only sure once its folder is on the disk. Windows cannot open folders, and needs none of this.
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network file systems refuse; the file itself is written
    finally:
        os.close(fd)
