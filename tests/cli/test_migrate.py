"""`surefoot migrate prefect`: shown first, written when asked, and what it wrote runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Surefoot = Callable[..., Result]

FLOW = '''\
import prefect
from prefect import flow, get_run_logger, task, unmapped
from prefect.cache_policies import INPUTS
from prefect.exceptions import PrefectException
from prefect.task_runners import ThreadPoolTaskRunner


@task(retries=2, cache_policy=INPUTS)
def times(x, by):
    return x * by


@flow(name="prefect-nightly", task_runner=ThreadPoolTaskRunner(max_workers=2))
def nightly(numbers: list[int]):
    """Was written for prefect."""
    get_run_logger().info("this is %s", prefect.runtime.flow_run.name)
    total = sum(future.result() for future in times.map(numbers, by=unmapped(2)))
    return prefect.states.Completed(message="done", data=total)


if __name__ == "__main__":
    try:
        print("total", nightly([1, 2, 3]))
    except PrefectException as error:
        raise SystemExit(1) from error
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that was written for Prefect."""
    folder = tmp_path / "project"
    for inner in (".git", ".venv", "node_modules", "own", "sub"):
        (folder / inner).mkdir(parents=True)
        (folder / inner / "flow.py").write_bytes(FLOW.encode())
    (folder / "own" / "pyvenv.cfg").touch()
    (folder / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nfrom prefect import flow  # é\n".encode("latin-1"))
    (folder / "signed.py").write_bytes(b"\xef\xbb\xbfimport prefect\r\n")
    (folder / "other.py").write_text("x = 1\n")
    (folder / ".env").write_text("PREFECT_TASKS_DEFAULT_RETRIES=2\nPREFECT_SERVER_API_PORT=1\n")
    (folder / "prefect.toml").write_text('[logging]\nlevel = "DEBUG"\n[server.api]\nport = 1\n')
    (folder / "note.ipynb").write_text('{"cells": [{"source": ["import prefect"]}]}')
    (folder / "sub" / "flow.py").chmod(0o755)
    return folder


def texts(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_shows_first_and_writes_nothing(surefoot: Surefoot, project: Path) -> None:
    before = texts(project)
    shown = surefoot("migrate", "prefect", str(project))
    assert (shown.exit_code, texts(project)) == (0, before)
    lines = shown.stdout.splitlines()
    assert "-from prefect.cache_policies import INPUTS" in lines
    assert "+from surefoot.cache_policies import INPUTS" in lines
    assert "5 files would change." in lines
    assert f"{project / '.env'}:2: PREFECT_SERVER_API_PORT is not needed here:" in shown.stdout
    assert f"{project / 'note.ipynb'}:1: This notebook imports Prefect" in shown.stdout
    assert shown.stderr == "Nothing was written. Write it with --write.\n"


def test_what_it_writes_runs_and_a_second_time_changes_nothing(surefoot: Surefoot, project: Path, home: Path) -> None:
    before = texts(project)
    mode = (project / "sub" / "flow.py").stat().st_mode
    done = surefoot("migrate", "prefect", str(project), "--write")
    assert done.exit_code == 0
    assert "5 files changed." in done.stdout
    after = texts(project)
    skipped = [name for name in before if name.split(os.sep)[0] in (".git", ".venv", "node_modules", "own")]
    assert all(after[name] == before[name] for name in [*skipped, "other.py", "note.ipynb"])
    assert after["latin.py"] == before["latin.py"].replace(b"prefect", b"surefoot")
    assert after["signed.py"] == before["signed.py"].replace(b"prefect", b"surefoot")
    assert "prefect.toml" not in after
    assert after["surefoot.toml"].decode().splitlines() == [
        "[logging]", 'level = "DEBUG"', "# [server.api]", "# port = 1"
    ]  # fmt: skip
    assert (project / "sub" / "flow.py").stat().st_mode == mode

    ran = subprocess.run(
        [sys.executable, str(project / "sub" / "flow.py")],
        cwd=project,
        env={**os.environ, "SUREFOOT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "total 12\n"), ran.stderr

    again = surefoot("migrate", "prefect", str(project), "--write")
    assert "No file has to be changed." in again.stdout
    assert texts(project) == after


def test_one_file_as_json(surefoot: Surefoot, project: Path) -> None:
    path = str(project / "sub" / "flow.py")
    out = json.loads(surefoot("migrate", "prefect", path, "-o", "json").stdout)
    assert (out["path"], out["written"], out["looks"]) == (path, False, [])
    assert [file["path"] for file in out["files"]] == [path]
    assert out["files"][0]["diff"].startswith(f"--- {path}\n+++ {path}\n@@ ")


def test_a_path_that_is_not_there_is_refused(surefoot: Surefoot, tmp_path: Path) -> None:
    refused = surefoot("migrate", "prefect", str(tmp_path / "nowhere"))
    assert refused.exit_code == 4
    assert "There is no file or folder" in refused.stderr


def test_nothing_is_written_where_a_file_would_go_over_another(surefoot: Surefoot, project: Path) -> None:
    (project / "surefoot.toml").touch()
    before = texts(project)
    refused = surefoot("migrate", "prefect", str(project), "--write")
    assert refused.exit_code == 3
    assert "surefoot.toml is there already, beside" in refused.stderr
    assert texts(project) == before


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(surefoot: Surefoot, project: Path) -> None:
    for name, raw in {
        "null.py": b"from prefect import flow\x00",
        "bad.py": b"import prefect\n\xff\xfe",
        "strange.py": b"# coding: nowhere\nimport prefect",
        "prefect.toml": b"a = [",
    }.items():
        (project / "sub" / name).write_bytes(raw)
    before = texts(project / "sub")
    out = json.loads(surefoot("migrate", "prefect", str(project / "sub"), "--write", "-o", "json").stdout)
    told = {os.path.basename(look["path"]): look["what"] for look in out["looks"]}
    assert set(told) == {"null.py", "bad.py", "strange.py", "prefect.toml"}
    assert all("left alone" in what for what in told.values())
    after = texts(project / "sub")
    assert {name: after[name] for name in told} == {name: before[name] for name in told}
    assert b"from surefoot import flow" in after["flow.py"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("requirements/base.txt", "prefect>=3\n", 1),
        ("requirements.in", "\nprefect\n", 2),
        ("dev-requirements.txt", "prefect\n", 1),
        ("constraints.txt", "prefect==3.1\n", 1),
        ("Pipfile", '[packages]\nprefect = "*"\n', 2),
        ("setup.py", "from setuptools import setup\nsetup(install_requires=[\n    'prefect>=3',\n])\n", 3),
        ("pyproject.toml", '[project]\ndependencies = [\n    "prefect>=3",\n]\n', 3),
    ],
)
def test_wherever_dependencies_are_listed_the_package_is_found(
    surefoot: Surefoot, tmp_path: Path, name: str, text: str, line: int
) -> None:
    file = tmp_path / "project" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    out = json.loads(surefoot("migrate", "prefect", str(tmp_path / "project"), "-o", "json").stdout)
    assert [(look["line"], look["what"]) for look in out["looks"]] == [(line, "The package is called `surefoot` here.")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_pipes_and_links_are_passed_over(surefoot: Surefoot, project: Path) -> None:
    getattr(os, "mkfifo")(project / "pipe.py")  # noqa: B009  # not every system has it
    (project / "link.py").symlink_to(project / "own" / "flow.py")
    out = json.loads(surefoot("migrate", "prefect", str(project), "-o", "json").stdout)
    assert not {"pipe.py", "link.py"} & {os.path.basename(file["path"]) for file in out["files"]}
