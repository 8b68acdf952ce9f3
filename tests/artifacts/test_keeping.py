"""Data of artifacts in the storage: it goes with them, and none is left behind, whenever a process died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot import flow
from surefoot.artifacts import Artifact, create_markdown_artifact
from surefoot.cli.app import app
from surefoot.client.upkeep import Upkept, upkeep
from surefoot.core import settings
from surefoot.core.clock import SystemClock, set_clock

DAY_US = 86_400_000_000
LARGE = "line\n" * 60_000


class Shifted(SystemClock):
    """A clock that is so far ahead of the machine's."""

    by_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.by_us


@pytest.fixture
def clock() -> Iterator[Shifted]:
    shifted = Shifted()
    before = set_clock(shifted)
    yield shifted
    set_clock(before)


def kept_up() -> Upkept:
    return upkeep(settings.refresh())


def files(home: Path) -> list[Path]:
    return sorted((home / "storage" / "artifacts").iterdir())


@pytest.mark.usefixtures("each_ledger")
def test_data_goes_with_runs_that_are_too_old_but_for_the_newest_of_each_key(home: Path, clock: Shifted) -> None:
    @flow
    def nightly(number: int) -> None:
        create_markdown_artifact(f"{LARGE}{number}", key="report")
        create_markdown_artifact(LARGE)

    for number in range(3):
        nightly(number)
    assert len(files(home)) == 6
    assert kept_up().artifacts_deleted == 0
    clock.by_us = 91 * DAY_US
    done = kept_up()
    assert (done.flow_runs_deleted, done.artifacts_deleted) == (3, 5)
    assert done.bytes_freed > 5 * len(LARGE)
    found = Artifact.get("report")
    assert found is not None
    assert found.data.endswith("2")
    assert found.version == 3
    assert [str(path) for path in files(home)] == [found.place]


PROGRAM = """
import os, signal
from surefoot import flow
from surefoot.artifacts import create_markdown_artifact, writing

written = writing.contents.write
def write(*args):
    written(*args)
    os.kill(os.getpid(), signal.SIGKILL)

@flow
def main():
    create_markdown_artifact('x' * 300_000, key='first')
    writing.contents.write = write
    create_markdown_artifact('x' * 300_000, key='second')

main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_data_of_a_process_that_died_before_it_told_of_it_is_removed_a_day_later(home: Path, clock: Shifted) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(files(home)) == 2
    (home / "storage" / "artifacts" / "mine.txt").write_text("not an artifact")
    half = home / "storage" / "artifacts" / f"{files(home)[0].name}.0123456789ab.tmp"
    half.write_text("half")
    assert kept_up().bytes_freed == 0
    assert len(files(home)) == 4
    assert Artifact.get("second") is None
    clock.by_us = 2 * DAY_US
    assert kept_up().bytes_freed == 300_004
    found = Artifact.get("first")
    assert found is not None
    assert [path.name for path in files(home)] == sorted([Path(str(found.place)).name, "mine.txt"])


def test_what_cannot_be_removed_is_told_and_the_artifact_is_gone_all_the_same(home: Path) -> None:
    @flow
    def main() -> None:
        create_markdown_artifact(LARGE, key="report")

    main()
    (file,) = files(home)
    file.unlink()
    file.mkdir()
    (file / "inner").write_text("")
    result = CliRunner().invoke(app, ["artifact", "delete", "report", "--yes"])
    assert result.exit_code == 0
    assert f"The data of a deleted artifact stays in {file}" in result.stderr
    assert json.loads(CliRunner().invoke(app, ["artifact", "ls", "--all", "-o", "json"]).stdout) == []


def test_files_are_readable_by_their_owner_alone(home: Path) -> None:
    @flow
    def main() -> None:
        create_markdown_artifact(LARGE)

    main()
    (file,) = files(home)
    assert os.name != "posix" or file.stat().st_mode & 0o077 == 0
