"""What the tests of messages share: whom they are sent to, and scripts that fail, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.notify.servers import Inbox, mail_server, webhook

Script = Callable[..., "subprocess.CompletedProcess[str]"]
Begun = Callable[..., "subprocess.Popen[str]"]

PROGRAM = """
import os, signal, sys
from surefoot import flow, task

@task
def upload(how):
    if how == "fail":
        raise ConnectionError("connection refused")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "wait":
        print("ready", flush=True)
        signal.pause()

@task
def report(found):
    pass

@flow(name=os.environ.get("FLOW", "backup"))
def main(how):
    found = upload.submit(how)
    report.submit(found)
    return found

if __name__ == "__main__":
    for how in sys.argv[1:]:
        main(how, return_state=True)
"""


@pytest.fixture
def hook() -> Iterator[Inbox]:
    with webhook() as inbox:
        yield inbox


@pytest.fixture
def mail() -> Iterator[Inbox]:
    with mail_server() as inbox:
        yield inbox


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> Begun:
    """The program, or words of the command line, begun as a process of its own."""
    (tmp_path / "backup.py").write_text(PROGRAM)

    def begin(*words: str, stdin: int | None = None, **env: str) -> subprocess.Popen[str]:
        surefoot = ["-c", "from surefoot.cli import main; main()", *words[1:]]
        return subprocess.Popen(
            [sys.executable, *(surefoot if words[0] == "surefoot" else words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def script(begun: Begun) -> Script:
    """The same, when it has ended."""

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = begun(*words, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run
