"""The bootstrap does its work when something changed, and tells which command failed."""

import sys
from pathlib import Path

import pytest

from tools import bootstrap


def test_a_stamp_holds_until_a_source_changes(tmp_path: Path) -> None:
    bootstrap.Stamp(tmp_path / "stamp", b"lock", b"python").set()
    assert bootstrap.Stamp(tmp_path / "stamp", b"lock", b"python").holds()
    assert not bootstrap.Stamp(tmp_path / "stamp", b"another lock", b"python").holds()


def test_a_stamp_that_was_never_set_does_not_hold(tmp_path: Path) -> None:
    assert not bootstrap.Stamp(tmp_path / "stamp", b"lock").holds()


def test_sources_are_not_mixed_up(tmp_path: Path) -> None:
    bootstrap.Stamp(tmp_path / "stamp", b"ab", b"c").set()
    assert not bootstrap.Stamp(tmp_path / "stamp", b"a", b"bc").holds()


def test_a_command_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bootstrap, "bring_up_environment", lambda: bootstrap.run(sys.executable, "-c", "exit(7)"))
    assert bootstrap.main([]) == 1
    assert f"exit code 7, see above, from this command:\n  {sys.executable} -c exit(7)" in capsys.readouterr().err
