"""Somebody who does what a tutorial says, and sees whether what happens is what it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir
from email.message import EmailMessage
from pathlib import Path

from click.testing import CliRunner

from surefoot.cli.app import app
from tests.notify.servers import Inbox, words

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAME = r"\b[a-z_]+-(?:[a-z]+|[0-9a-f]{3})\b"
BLOCK = re.compile(r"^```(python|toml|console|mail|diff)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

_ONLY_READS = {"ls", "why"}


class Reader:
    """Somebody who does what the page says. Names of runs are others for each."""

    def __init__(self, folder: Path, mail: Inbox) -> None:
        self.folder = folder
        folder.mkdir()
        self.mail = mail
        self.names: dict[str, str] = {}
        self.read = 0

    def do(self, page: str) -> list[str]:
        """All that a page says. Answers the kinds of its blocks, in their order."""
        done = []
        for kind, block in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
            getattr(self, f"do_{kind}")(block)
            done.append(kind)
        return done

    def do_python(self, block: str) -> None:
        file = re.match(r"# (\w+\.py)\n", block)
        assert file is not None, "a script begins with its name"
        (self.folder / file[1]).write_text(block)

    def do_diff(self, block: str) -> None:
        file, gone, come = (line[1:].removeprefix("-- ") for line in block.splitlines())
        script = self.folder / file
        before = script.read_text()
        assert before.count(f"{gone}\n") == 1
        script.write_text(before.replace(f"{gone}\n", f"{come}\n"))

    def do_toml(self, block: str) -> None:
        (self.folder / "surefoot.toml").write_text(self.here(block))

    def here(self, text: str) -> str:
        """The same with the test's mail server, and this time's names."""
        text = text.replace("smtp://mail.example.com", f"smtp://127.0.0.1:{self.mail.port}")
        return re.sub(NAME, lambda found: self.names.get(found[0], found[0]), text)

    def do_console(self, block: str) -> None:
        self.read = max(self.read, 1 if "notify test" in block else 0)  # that one is not shown
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = typed.partition("\n")
            self.compare(shown, self.type(self.here(line)))

    def type(self, line: str) -> str:
        command = shlex.split(line, comments=True)
        if command[0] == "surefoot" and _ONLY_READS & set(command[1:3]):  # these need no process of their own
            with chdir(self.folder):
                shown = CliRunner().invoke(app, command[1:])
            assert shown.exit_code == 0, shown.stderr
            return shown.stdout
        interpreter = {"python": [sys.executable], "surefoot": [sys.executable, "-m", "surefoot"]}
        words = [*interpreter.get(command[0], command[:1]), *command[1:]]
        env = {**os.environ, "COLUMNS": "200"}
        ended = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)
        assert ended.returncode in (0, 1, 9), ended.stderr
        return ended.stdout

    def do_mail(self, block: str) -> None:
        letter: EmailMessage = self.mail.wait(self.read + 1)[self.read]
        self.read += 1
        told = f"Subject: {letter['subject'].strip()}\n\n{words(letter)}"
        self.compare(block, "\n".join(line for line in told.splitlines() if "SUREFOOT_HOME" not in line))

    def compare(self, shown: str, happened: str) -> None:
        expected, found = shown.strip().splitlines(), happened.strip().splitlines()
        if not expected:
            return
        assert len(found) == len(expected), happened
        for ours, theirs in zip(expected, found, strict=True):
            for mine, other in zip(re.findall(NAME, ours), re.findall(NAME, theirs), strict=False):
                self.names.setdefault(mine, other)
            assert flat(theirs) == flat(self.here(ours)), f"{flat(theirs)}\n{flat(self.here(ours))}"


def flat(line: str) -> str:
    """A line without what is another each time."""
    for what, word in (
        (r"\b(?:today|yesterday) \d\d:\d\d\b", "WHEN"),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", "WHEN"),
        (r"<?\b[\d.]+ ?m?s\b", "TOOK"),
        (r"pid \d+", "PID"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "ID"),
        (r'(?<=File ")[^"]*/', ""),
        (r"(?<= on )[\w.-]+(?= at WHEN)", "HOST"),
        (r" {2,}", "  "),
    ):
        line = re.sub(what, word, line)
    return line.strip()
