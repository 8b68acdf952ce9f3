"""Other builds of Surefoot, made from this one: the same sources, some of them changed as a later version might."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import surefoot

__all__ = ["NEWER", "Build", "newer_build", "this_build"]

NEWER = "99.0.0"

# A kind of fact that only the newer build knows: a remark about a run, which it folds like a line of its log.
REMARK = '''

class Remark(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=99):
    """Something to be said about a flow run."""

    at_us: int
    text: str
    flow_run_id: bytes | None = None
    mono_us: int = 0


Fact = Fact | Remark
_KNOWN = _KNOWN | {99}
'''
FOLD_REMARK = """

from surefoot.core.facts import Remark

_take = _News.take


def _take_remarks(self, batch):
    told = [(at, LogWritten(fact.at_us, 20, "remark", fact.text, fact.flow_run_id) if type(fact) is Remark else fact)
            for at, fact in batch.facts]
    _take(self, Batch(batch.writer_id, batch.stream, batch.segment, batch.start, batch.end, told))


_News.take = _take_remarks
"""
MIGRATION = '''"""A later revision."""

import sqlalchemy as sa
from alembic import op

revision = "{head}"
down_revision = "{before}"


def upgrade() -> None:
    """Make a table that only later versions know, and a column."""
    op.create_table("novelties", sa.Column("name", sa.Text(), nullable=False))
    op.add_column("flow_runs", sa.Column("mood", sa.Text(), nullable=True))
'''


class Build:
    """A build in a folder, to be run."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.version = version

    def environment(self, home: Path) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "SUREFOOT_HOME": str(home),
            "NO_COLOR": "1",
            "SUREFOOT_LEDGER_FOLD_WAIT_SECONDS": "60",  # all is compared, however slow the machine
        }

    def python(self, home: Path, code: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end with this build."""
        return self._run(home, "-c", code, *args)

    def script(self, home: Path, path: Path) -> subprocess.CompletedProcess[str]:
        """Run a file to its end with this build, in the folder where it lies."""
        return self._run(home, str(path), cwd=path.parent)

    def command(self, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a `surefoot` command of this build."""
        return self._run(home, "-m", "surefoot", *words)

    def flow_runs(self, home: Path) -> list[dict[str, Any]]:
        """What this build's `flow-run ls` knows, the oldest first."""
        done = self.command(home, "flow-run", "ls", "-o", "json", "--limit", "0")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return sorted(found, key=lambda run: str(run["id"]))

    def _run(self, home: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=self.environment(home),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


def this_build() -> Build:
    """The build under test."""
    return Build(Path(surefoot.__file__).parents[1], surefoot.__version__)


def newer_build(
    folder: Path, *, with_format: bool = False, with_pack_format: bool = False, with_tables: bool = False
) -> Build:
    """A later version, which knows one kind of fact more, and one field more of each state.

    Args:
        folder: where it is to lie.
        with_format: whether it writes segments, packs and objects in formats that this build does not know.
        with_pack_format: whether it writes packs so, and segments as this build does.
        with_tables: whether it has another revision of the tables.
    """
    package = folder / "surefoot"
    shutil.copytree(Path(surefoot.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    change(package / "_version.py", r'(__version__ = ")[^"]+', rf"\g<1>{NEWER}")
    change(package / "core" / "facts.py", r"(class StateEntered\(.*?)(\n\n\nclass )", r'\1\n    mood: str = "sunny"\2')
    extend(package / "core" / "facts.py", REMARK)
    extend(package / "ledger" / "projector.py", FOLD_REMARK)
    if with_format:
        rooms = [package / "core" / "facts.py", *sorted((package / "results").glob("*.py"))]
        for room in rooms:
            if "\nFORMAT: Final = " in room.read_text(encoding="utf-8"):
                change(room, r"(\nFORMAT: Final = )(\d+)", r"\g<1>9\2")
    if with_pack_format:
        change(package / "results" / "packs.py", r"(\nFORMAT: Final = )(\d+)", r"\g<1>9\2")
    if with_tables:
        found = change(package / "ledger" / "tables.py", r'(\nHEAD: Final = ")\d+', r"\g<1>9999")
        before = re.findall(r"\d+", found)[-1]
        migration = package / "ledger" / "migrations" / "versions" / "r9999_novelties.py"
        migration.write_text(MIGRATION.format(head="9999", before=before), encoding="utf-8")
    return Build(folder, NEWER)


def change(path: Path, pattern: str, replacement: str) -> str:
    """Replace the one place in a file that matches. Returns what stood there."""
    text = path.read_text(encoding="utf-8")
    matches = list(re.finditer(pattern, text, re.DOTALL))
    assert matches, f"{path.name} has nothing like {pattern}"
    path.write_text(re.sub(pattern, replacement, text, count=1, flags=re.DOTALL), encoding="utf-8")
    return matches[0][0]


def extend(path: Path, text: str) -> None:
    """Write more at the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
