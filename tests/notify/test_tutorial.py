"""The tutorials are what happens: their scripts are run, their commands are typed, their mails arrive."""

from __future__ import annotations

from pathlib import Path

from tests.notify.reader import Reader
from tests.notify.servers import Inbox


def test_all_that_the_tutorial_on_cron_shows_happens(home: Path, tmp_path: Path, mail: Inbox) -> None:
    done = Reader(tmp_path / "backup", mail).do("tutorial-cron.md")
    assert (done.count("console"), done.count("mail")) == (6, 2)
    assert [letter["subject"] for letter in mail.wait(4)][-1].startswith("backup crashed: ")


def test_all_that_the_tutorial_on_a_nightly_load_shows_happens(home: Path, tmp_path: Path, mail: Inbox) -> None:
    reader = Reader(tmp_path / "nightly", mail)
    done = reader.do("tutorial-nightly-load.md")
    assert (done.count("console"), done.count("mail"), done.count("diff")) == (6, 1, 1)
    calls = (reader.folder / "calls.txt").read_text().split()
    assert sorted(calls) == ["customers", "orders", "prices", "prices"]
    assert len(mail.wait(1)) == 1
