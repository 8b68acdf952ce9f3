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


def test_when_the_lock_alone_changed_the_project_is_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "dev.txt"
    done: list[bool] = []
    (tmp_path / "pyproject.toml").touch()
    for name, value in {"ROOT": tmp_path, "VENV": tmp_path, "LOCK": lock, "PYTHON": tmp_path, "UV": tmp_path}.items():
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr(bootstrap, "is_of_here", lambda: True)
    monkeypatch.setattr(bootstrap, "succeeds", lambda *_: True)  # it takes out whatever the lock does not name
    monkeypatch.setattr(bootstrap, "run", lambda *command: done.append("--editable" in command))
    for text, installs in [("a==1", 1), ("a==1", 0), ("a==2", 1)]:
        lock.write_text(text)
        done.clear()
        bootstrap.bring_up_environment()
        assert done.count(True) == installs


def test_a_command_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bootstrap, "bring_up_environment", lambda: bootstrap.run(sys.executable, "-c", "exit(7)"))
    assert bootstrap.main([]) == 1
    assert f"exit code 7, see above, from this command:\n  {sys.executable} -c exit(7)" in capsys.readouterr().err
