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


def test_what_renews_the_environment_takes_the_project_out_so_it_is_installed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bin/python", "bin/uv", "requirements/dev.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "pyvenv.cfg").write_text(f"command = python -m venv {tmp_path}")
    told: list[str] = []
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "bin/python")
    monkeypatch.setattr(bootstrap, "UV", tmp_path / "bin/uv")
    monkeypatch.setattr(bootstrap, "LOCK", tmp_path / "requirements/dev.txt")
    monkeypatch.setattr(bootstrap, "run", lambda *command: told.append(command[-2]))
    monkeypatch.setattr(bootstrap, "succeeds", lambda *command: not told.append(command[2]))  # type: ignore[func-returns-value]
    bootstrap.bring_up_environment()
    assert told == ["sync", "-qq", "--editable"]
    bootstrap.bring_up_environment()
    assert len(told) == 3
    (tmp_path / "requirements/dev.txt").write_text("another lock")
    bootstrap.bring_up_environment()
    assert told[3:] == ["sync", "-qq", "--editable"]
