"""The tutorial on cron is what happens: its script is run, its commands are typed, its mails arrive."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

from tests.notify.servers import Inbox, words

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial-cron.md"
NAME = r"\b[a-z]+-(?:[a-z]+|[0-9a-f]{3})\b"
BLOCK = re.compile(r"^```(python|toml|console|mail)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who does what the page says. Names of runs are others for each."""

    def __init__(self, folder: Path, mail: Inbox) -> None:
        self.folder = folder
        self.mail = mail
        self.names: dict[str, str] = {}
        self.read = 0

    def python(self, block: str) -> None:
        (self.folder / "backup.py").write_text(block)

    def toml(self, block: str) -> None:
        (self.folder / "surefoot.toml").write_text(self.here(block))

    def here(self, text: str) -> str:
        """The same with the test's mail server, and this time's names."""
        text = text.replace("smtp://mail.example.com", f"smtp://127.0.0.1:{self.mail.port}")
        return re.sub(NAME, lambda found: self.names.get(found[0], found[0]), text)

    def console(self, block: str) -> None:
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = typed.partition("\n")
            self.compare(shown, self.type(self.here(line)))

    def type(self, line: str) -> str:
        command = shlex.split(line, comments=True)
        interpreter = {"python": [sys.executable], "surefoot": [sys.executable, "-m", "surefoot"]}
        words = [*interpreter.get(command[0], command[:1]), *command[1:]]
        env = {**os.environ, "COLUMNS": "200"}
        ended = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)
        assert ended.returncode in (0, 1, 9), ended.stderr
        return ended.stdout

    def mail_(self, block: str) -> None:
        letter: EmailMessage = self.mail.wait(self.read + 1)[self.read]
        told = f"Subject: {letter['subject']}\n\n{words(letter)}"
        self.compare(block, "\n".join(line for line in told.splitlines() if "SUREFOOT_HOME" not in line))

    def compare(self, shown: str, happened: str) -> None:
        expected, found = shown.strip().splitlines(), happened.strip().splitlines()
        if not expected:
            return
        assert len(found) == len(expected), happened
        for ours, theirs in zip(expected, found, strict=True):
            for mine, other in zip(re.findall(NAME, ours), re.findall(NAME, theirs), strict=False):
                self.names.setdefault(mine, other)
            assert flat(theirs) == flat(self.here(ours))


def flat(line: str) -> str:
    """A line without what is another each time."""
    for what, word in (
        (r"\b(?:today|yesterday) \d\d:\d\d\b", "WHEN"),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", "WHEN"),
        (r"\b[\d.]+ ?m?s\b", "TOOK"),
        (r"pid \d+", "PID"),
        (r"(?<= on )[\w.-]+(?= at WHEN)", "HOST"),
        (r" {2,}", "  "),
    ):
        line = re.sub(what, word, line)
    return line.strip()


def test_all_that_the_tutorial_shows_happens(home: Path, tmp_path: Path, mail: Inbox) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    reader = Reader(folder, mail)
    done = []
    for kind, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "mail":
            reader.mail_(block)
            reader.read += 1
        else:
            getattr(reader, kind)(block)
            reader.read = max(reader.read, 1 if "notify test" in block else 0)  # that one is not shown
        done.append(kind)
    assert (done.count("console"), done.count("mail")) == (6, 2)
    assert [letter["subject"] for letter in mail.wait(4)][-1].startswith("backup crashed: ")
