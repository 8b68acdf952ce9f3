"""`surefoot profile`: making, choosing, renaming and deleting named sets of settings."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from surefoot.cli.command import Command
from surefoot.cli.commands.profile import profile

Surefoot = Callable[..., Result]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with nothing in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_new_home_has_the_stock_profile(surefoot: Surefoot, home: Path) -> None:
    assert surefoot("profile", "ls").stdout == "* default\n"
    assert surefoot("profile", "inspect").stderr == (
        "Profile 'default' sets nothing. Type: surefoot --profile default config set KEY=VALUE\n"
    )
    assert not home.exists()


def test_profiles_are_made_chosen_renamed_and_deleted(surefoot: Surefoot) -> None:
    assert surefoot("profile", "create", "dev").stdout == "Made profile 'dev'. Use it: `surefoot profile use dev`.\n"
    assert surefoot("profile", "use", "dev").stdout == "Profile 'dev' is active.\n"
    assert surefoot("profile", "ls").stdout == "  default\n* dev\n"
    assert surefoot("profile", "rename", "dev", "night").stdout == "Profile 'dev' is now 'night'.\n"
    assert surefoot("profile", "ls").stdout == "  default\n* night\n"
    assert surefoot("profile", "use", "default").exit_code == 0
    assert surefoot("profile", "delete", "night").stdout == "Deleted profile 'night'.\n"
    assert surefoot("profile", "ls").stdout == "* default\n"


def test_a_profile_starts_as_a_copy(surefoot: Surefoot, home: Path) -> None:
    home.mkdir()
    (home / "profiles.toml").write_text('[profiles.dev]\nlogging.level = "DEBUG"\napi.key = "hush"\n')
    assert surefoot("profile", "create", "night", "--from", "dev").exit_code == 0
    assert surefoot("profile", "inspect", "night").stdout == "logging.level=DEBUG\napi.key=********\n"


def test_lists_and_pages_are_json(surefoot: Surefoot, home: Path) -> None:
    home.mkdir()
    (home / "profiles.toml").write_text(
        'active = "dev"\n[profiles.dev]\nSUREFOOT_TASKS_DEFAULT_RETRIES = 2\nkey = "hush"\n'
    )
    names = [{"name": "default", "active": False}, {"name": "dev", "active": True}]
    assert json.loads(surefoot("profile", "ls", "-o", "json").stdout) == names
    assert [json.loads(line) for line in surefoot("profile", "ls", "-o", "jsonl").stdout.splitlines()] == names
    assert json.loads(surefoot("profile", "inspect", "-o", "json").stdout) == {
        "name": "dev",
        "active": True,
        "path": str(home / "profiles.toml"),
        "settings": {"SUREFOOT_TASKS_DEFAULT_RETRIES": 2, "key": "********"},
    }


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["use", "nope"], 4, "There is no profile 'nope'"),
        (["delete", "nope"], 4, "There is no profile 'nope'"),
        (["rename", "nope", "x"], 4, "There is no profile 'nope'"),
        (["inspect", "nope"], 4, "There is no profile 'nope'"),
        (["create", "x", "--from", "nope"], 4, "There is no profile 'nope'"),
        (["create", "a b"], 2, "'a b' cannot be the name of a profile."),
        (["create", "default"], 3, "There is a profile 'default' already."),
        (["rename", "default", "dev"], 3, "There is a profile 'dev' already."),
        (["delete", "dev"], 3, "Profile 'dev' is the active one."),
        (["delete", "default"], 3, "Profile 'default' is always there."),
        (["create"], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    surefoot: Surefoot, home: Path, words: list[str], code: int, told: str
) -> None:
    home.mkdir()
    text = 'active = "dev"\n[profiles.dev]\n'
    (home / "profiles.toml").write_text(text)
    ended = surefoot("profile", *words)
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
    assert told in ended.stderr
    assert (home / "profiles.toml").read_text() == text


def test_the_profile_that_the_environment_says_is_active_and_kept(
    surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dev", "night"):
        surefoot("profile", "create", name)
    monkeypatch.setenv("SUREFOOT_PROFILE", "dev")
    assert surefoot("profile", "ls").stdout == "  default\n* dev\n  night\n"
    assert surefoot("profile", "use", "night").stderr == "Here SUREFOOT_PROFILE says 'dev', which wins.\n"
    ended = surefoot("profile", "delete", "dev")
    assert ended.exit_code == 3
    assert "SUREFOOT_PROFILE" in ended.stderr
    assert surefoot("profile", "rename", "dev", "day").stderr == "SUREFOOT_PROFILE still says 'dev': set it to 'day'.\n"


def test_a_wrong_key_in_a_profile_does_not_stop_one_from_leaving_it(surefoot: Surefoot, home: Path) -> None:
    home.mkdir()
    (home / "profiles.toml").write_text('active = "dev"\n[profiles.dev]\nnonsense = 1\n')
    assert (
        surefoot("profile", "ls").exit_code
        == surefoot("profile", "use", "default").exit_code
        == surefoot("profile", "delete", "dev").exit_code
        == 0
    )


def test_an_active_profile_that_is_gone_can_be_mended(surefoot: Surefoot, home: Path) -> None:
    home.mkdir()
    (home / "profiles.toml").write_text('active = "gone"\n')
    assert surefoot("profile", "inspect").exit_code == 4
    assert surefoot("profile", "use", "default").exit_code == 0
    assert surefoot("profile", "inspect").exit_code == 0


def test_a_file_that_is_no_profiles_is_told_with_its_line(surefoot: Surefoot, home: Path) -> None:
    home.mkdir()
    (home / "profiles.toml").write_text("active = \n")
    ended = surefoot("profile", "ls")
    assert ended.exit_code == 2
    assert f"{home / 'profiles.toml'}, line 1, column 10: is not valid TOML" in ended.stderr


@pytest.mark.parametrize("command", profile.commands.values(), ids=list(profile.commands))
def test_each_example_does_what_it_says(surefoot: Surefoot, home: Path, command: Command) -> None:
    for example in command.examples:
        home.mkdir(exist_ok=True)
        there = "" if command.name in ("create", "rename") else "[profiles.night]\n"
        there += "" if example == "surefoot profile create dev" else "[profiles.dev]\n"
        (home / "profiles.toml").write_text(there)
        done = surefoot(*shlex.split(example)[1:])
        assert done.exit_code == 0, done.stderr
        assert done.stdout or "sets nothing" in done.stderr


def test_what_is_to_be_typed_next_has_the_profile_that_was_given(
    surefoot: Surefoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a run says at its end, and one that is gone on with; a profile of the environment needs no word."""
    Path("flows.py").write_text("from surefoot import flow\n@flow\ndef bad(): raise ValueError('no such table')\n")
    surefoot("profile", "create", "dev")
    process = [sys.executable, "-m", "surefoot", "--profile", "dev"]
    ended = subprocess.run([*process, "run", "flows.py:bad"], capture_output=True, text=True, check=False)
    again = subprocess.run([*process, "flow-run", "retry", "--last"], capture_output=True, text=True, check=False)
    for told in (ended, again):
        assert "To see why: surefoot --profile dev why " in told.stderr, told.stderr
        assert "To go on: surefoot --profile dev flow-run retry " in told.stderr
    (run,) = json.loads(surefoot("--profile", "dev", "flow-run", "ls", "-o", "json").stdout)
    for words in (["why", run["name"]], ["flow-run", "inspect", run["name"]], ["flow-run", "retry", "nothing"]):
        told_here = surefoot("--profile", "dev", *words).output
        assert "surefoot --profile dev " in told_here
        assert "surefoot flow-run" not in told_here
    monkeypatch.setenv("SUREFOOT_PROFILE", "dev")
    assert "--profile" not in surefoot("why", run["name"]).output
