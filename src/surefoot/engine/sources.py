"""Where the code of a function came from, and which version of it that is. A notebook's cell is no file.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["FLOW_FILE", "adopt_main", "main_module", "source_file", "source_version"]


def source_file(fn: Callable[..., Any]) -> str | None:
    """The file that defines `fn`, which a new process could load.

    None for a REPL, a notebook or standard input: not even a kernel's temporary copy of a cell counts.
    """
    name = _filename(fn)
    if name is None or name.startswith("<") or _typed_in(name) is not None:
        return None
    file = os.path.abspath(name)
    return file if os.path.isfile(file) else None


def main_module() -> str | None:
    """The name that `__main__` would have if it was imported: `pkg.job` for `python -m pkg.job`, `job` for a script.

    None for a REPL, a notebook or standard input. In a child process, what it is called in its owner.
    """
    if _owners:
        return _owners[0]
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return None if file is None else file.replace("\\", "/").rpartition("/")[2].removesuffix(".py")


FLOW_FILE: Final = "flow_file_"  # stands before the name of a file that is loaded as a module, if that is taken

_owners: list[str | None] = []


def adopt_main(name: str | None) -> None:
    """In a child process: what is called `__main__` here is the owner's, whose name for it this is."""
    _owners[:] = [name]


_versions: dict[tuple[str, int], str] = {}


def source_version(fn: Callable[..., Any]) -> str | None:
    """A hash of what defines `fn`: its file, as it is now, or the cell of a notebook. None where neither is known."""
    name = _filename(fn)
    if name is None:
        return None
    lines = _typed_in(name)
    if lines is not None:
        return _hash("".join(lines).encode())
    file = source_file(fn)
    if file is None:
        return None
    try:
        key = file, os.stat(file).st_mtime_ns  # a module that is edited and reloaded is another version
        if key not in _versions:
            with open(file, "rb") as source:
                _versions[key] = _hash(source.read())
    except OSError:
        return None
    return _versions[key]


def _filename(fn: Callable[..., Any]) -> str | None:
    name = getattr(getattr(fn, "__code__", None), "co_filename", None)
    return name if isinstance(name, str) else None


def _typed_in(name: str) -> list[str] | None:
    """The lines of a cell or of a REPL's input, if that is what the name of this code stands for.

    IPython and Python itself (3.13 and later) put such text into `linecache`, without the time of a file.
    """
    linecache = sys.modules.get("linecache")
    entry = None if linecache is None else linecache.cache.get(name)
    return entry[2] if entry is not None and len(entry) == 4 and entry[1] is None else None


def _hash(source: bytes) -> str:
    from hashlib import blake2b

    return blake2b(source, digest_size=16).hexdigest()
