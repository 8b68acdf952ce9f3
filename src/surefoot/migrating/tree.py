"""A folder, or a file, that is moved over: which files are looked at, what each becomes, and writing that.

May import: migrating, core.
"""

from __future__ import annotations

import io
import os
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from difflib import unified_diff
from fnmatch import fnmatch
from typing import Final, NamedTuple

from surefoot.core.errors import NotFound, Refused
from surefoot.core.os import files
from surefoot.migrating.edits import Look, Rewritten
from surefoot.migrating.mentions import find_mentions, rewrite_yaml
from surefoot.migrating.python import rewrite_python
from surefoot.migrating.settings_files import rewrite_dotenv, rewrite_toml

__all__ = ["Moved", "diff_of", "move_over", "write"]

_SKIPPED: Final = frozenset(
    ".git .hg .svn .venv venv node_modules __pycache__ .tox .nox .mypy_cache .ruff_cache .pytest_cache "
    "site-packages".split()
)


class Moved(NamedTuple):
    """A file: where it is and shall be, what it is and becomes, and what needs a look in it."""

    path: str
    target: str
    before: bytes
    after: bytes
    looks: list[Look]

    @property
    def changes(self) -> bool:
        """Whether there is something to write."""
        return self.path != self.target or self.before != self.after


def _pyproject(text: str) -> Rewritten:
    new = rewrite_toml(text, "tool.prefect") if "prefect" in text else Rewritten(text, [])
    return Rewritten(new.text, [*new.looks, *find_mentions(text)])


def _setup(text: str) -> Rewritten:
    new = rewrite_python(text)
    return Rewritten(new.text, [*new.looks, *find_mentions(text)])


def _mentions(text: str) -> Rewritten:
    return Rewritten(text, find_mentions(text))


# Pattern of names -> what is done with such files; the first that fits.
_KINDS: Final[dict[str, Callable[[str], Rewritten]]] = {
    "setup.py": _setup,
    "*.py": rewrite_python,
    "*.pyi": rewrite_python,
    ".env": rewrite_dotenv,
    ".env.*": rewrite_dotenv,
    "*.env": rewrite_dotenv,
    "prefect.toml": rewrite_toml,
    "pyproject.toml": _pyproject,
    "prefect.yaml": rewrite_yaml,
    "*.yaml": _mentions,
    "*.yml": _mentions,
    "*requirements*.txt": _mentions,
    "*requirements*.in": _mentions,
    "constraints*.txt": _mentions,
    "Pipfile": _mentions,
    "setup.cfg": _mentions,
    "tox.ini": _mentions,
    "*.sh": _mentions,
    "Makefile": _mentions,
    "*Dockerfile*": _mentions,
}
_TARGETS: Final = {"prefect.toml": "surefoot.toml", "prefect.yaml": "surefoot.yaml"}


def move_over(path: str) -> list[Moved]:
    """What becomes of each file at `path` that has to do with Prefect; nothing is written.

    Raises NotFound if nothing is there.
    """
    if not os.path.exists(path):
        raise NotFound(f"There is no file or folder {path!r}.", do="Name the folder of your project, such as `.`.")
    moved = (_moved(file) for file in ([path] if os.path.isfile(path) else _files(path)))
    return [one for one in moved if one.changes or one.looks]


def write(moved: Iterable[Moved]) -> None:
    """Write what changes. Raises Refused, before anything is written, where a file would go over another."""
    changed = [one for one in moved if one.changes]
    for one in changed:
        if one.target != one.path and os.path.lexists(one.target):
            raise Refused(
                f"{one.target} is there already, beside {one.path}.", do="Put the two together, and remove one."
            )
    for one in changed:
        mode = os.stat(one.path).st_mode & 0o7777
        files.write_bytes(one.target, one.after, mode=mode)
        os.chmod(one.target, mode)  # the mask of this process may have taken some of it
        if one.target != one.path:
            os.remove(one.path)


def diff_of(one: Moved) -> str:
    """What changes in a file, as a unified diff."""
    before, after = (re.split(r"(?<=\n)", raw.decode("utf-8", "replace")) for raw in (one.before, one.after))
    before, after = (lines if lines[-1] else lines[:-1] for lines in (before, after))
    lines = list(unified_diff(before, after, one.path, one.target))
    if not lines and one.path != one.target:
        return f"--- {one.path}\n+++ {one.target}\n"
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _files(folder: str) -> Iterator[str]:
    for place, folders, found in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        for path in (os.path.join(place, name) for name in sorted(found)):
            if os.path.isfile(path) and not os.path.islink(path):  # no pipes, and nothing that stands elsewhere
                yield path


def _moved(path: str) -> Moved:
    name = os.path.basename(path)
    rewrite = next((_KINDS[pattern] for pattern in _KINDS if fnmatch(name, pattern)), None)
    target = os.path.join(os.path.dirname(path), _TARGETS.get(name, name))
    if name.endswith(".ipynb"):
        rewrite = _notebook
    elif os.path.basename(os.path.dirname(path)) == "requirements" and name.endswith((".txt", ".in")):
        rewrite = _mentions
    if rewrite is None:
        return Moved(path, path, b"", b"", [])
    try:
        with open(path, "rb") as file:
            raw = file.read()
        encoding = _encoding(raw) if name.endswith((".py", ".pyi")) else "utf-8"
        text = raw.decode(encoding)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        return Moved(path, path, b"", b"", [Look(1, f"This cannot be read, and was left alone: {error}.")])
    new = rewrite(text)
    after = raw if new.text == text else new.text.encode(encoding)
    return Moved(path, path if new.left_alone else target, raw, after, new.looks)


def _notebook(text: str) -> Rewritten:
    told = "This notebook imports Prefect: write `surefoot` in its cells, by hand."
    imports = "import prefect" in text or "from prefect" in text
    return Rewritten(text, [Look(1, told)] if imports else [])


def _encoding(raw: bytes) -> str:
    """The encoding of a script, as Python would read it. Raises SyntaxError for one that Python does not know."""
    return tokenize.detect_encoding(io.BytesIO(raw).readline)[0]
