"""`surefoot config`: what is typed, what is seen, and what the file says after."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from surefoot.cli.command import Command
from surefoot.cli.commands.config import config
from surefoot.core import settings

Surefoot = Callable[..., Result]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with nothing in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SUREFOOT_LEDGER_FOLD_AT_EXIT")  # which all tests have set, and here it would be seen
    return folder


def test_view_shows_what_is_set_and_by_which_profile(surefoot: Surefoot, home: Path) -> None:
    seen = surefoot("config", "view")
    assert (seen.exit_code, seen.stderr) == (0, "")
    assert seen.stdout == f"SUREFOOT_PROFILE=default\nSUREFOOT_HOME={home}\n"


def test_view_shows_defaults_and_sources_when_asked(surefoot: Surefoot, home: Path) -> None:
    surefoot("config", "set", "logging.level=debug")
    lines = surefoot("config", "view", "--show-defaults", "--show-sources").stdout.splitlines()
    assert f"SUREFOOT_LOGGING_LEVEL=DEBUG   # {home / 'profiles.toml'}, profile 'default'" in lines
    assert f"SUREFOOT_HOME={home}   # the environment" in lines
    assert "SUREFOOT_API_URL=''   # the default" in lines


def test_view_is_one_json_document(surefoot: Surefoot, home: Path) -> None:
    surefoot("config", "set", "tasks.default_retry_delay_seconds=1,10", "cli.colors=no", "api.url=")
    out = surefoot("config", "view", "-o", "json").stdout
    assert json.loads(out) == {
        "profile": "default",
        "settings": {
            "SUREFOOT_HOME": str(home),
            "SUREFOOT_API_URL": None,
            "SUREFOOT_CLI_COLORS": False,
            "SUREFOOT_TASKS_DEFAULT_RETRY_DELAY_SECONDS": [1, 10],
        },
    }
    with_sources = json.loads(surefoot("config", "view", "--show-sources", "-o", "jsonl").stdout)
    assert with_sources["sources"]["SUREFOOT_HOME"] == "the environment"


def test_secrets_are_masked_unless_asked_for(surefoot: Surefoot) -> None:
    surefoot("config", "set", "api.key=hush", "api.auth_string=me:hush")
    for words in (["view"], ["view", "-o", "json"], ["view", "--show-defaults", "--show-sources"]):
        seen = surefoot("config", *words)
        assert "hush" not in seen.stdout + seen.stderr
        assert "********" in seen.stdout
    assert "SUREFOOT_API_KEY=hush" in surefoot("config", "view", "--show-secrets").stdout


def test_set_writes_the_active_profile_and_unset_takes_it_out(surefoot: Surefoot, home: Path) -> None:
    done = surefoot("config", "set", "logging.level=debug", "SUREFOOT_TASKS_DEFAULT_RETRIES=2")
    assert done.exit_code == 0
    assert done.stdout == (
        "Set SUREFOOT_LOGGING_LEVEL in profile 'default'.\nSet SUREFOOT_TASKS_DEFAULT_RETRIES in profile 'default'.\n"
    )
    head = 'active = "default"\n\n[profiles.default]\n'
    written = (home / "profiles.toml").read_text()
    assert written == head + 'SUREFOOT_LOGGING_LEVEL = "DEBUG"\nSUREFOOT_TASKS_DEFAULT_RETRIES = 2\n'
    assert settings.reload().logging.level == "DEBUG"
    assert surefoot("config", "unset", "SUREFOOT_LOGGING_LEVEL", "tasks.default_retries").exit_code == 0
    assert (home / "profiles.toml").read_text() == head


def test_the_option_profile_says_which_profile_is_written(surefoot: Surefoot, home: Path) -> None:
    surefoot("profile", "create", "dev")
    assert surefoot("--profile", "dev", "config", "set", "strict=yes").exit_code == 0
    assert "[profiles.dev]\nSUREFOOT_STRICT = true\n" in (home / "profiles.toml").read_text()
    assert "SUREFOOT_STRICT" not in surefoot("config", "view").stdout
    assert "SUREFOOT_STRICT=true" in surefoot("--profile", "dev", "config", "view").stdout


def test_set_tells_what_wins_over_it(surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "ERROR")
    done = surefoot("config", "set", "logging.level=INFO")
    assert done.exit_code == 0
    assert done.stderr == "SUREFOOT_LOGGING_LEVEL is also set in the environment, which wins.\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["set", "logging.lvel=x"], 2, "'x' is not a setting of Surefoot. The nearest valid name is logging.level."),
        (["set", "SUREFOOT_LOGING_LEVEL=x"], 2, "The nearest valid name is SUREFOOT_LOGGING_LEVEL."),
        (["set", "logging.level=LOUD"], 2, "Expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
        (["set", "cli.colors=no", "tasks.default_retries=many"], 2, "tasks.default_retries = 'many' cannot be used."),
        (["set", "logging.level"], 2, "'logging.level' is not of the form KEY=VALUE."),
        (["set", "=1"], 2, "is not a setting of Surefoot"),
        (["set"], 2, "Missing argument"),
        (["set", "api.kye=hush"], 2, "api.kye = '********' is not a setting"),
        (["unset", "logging.lvel"], 2, "logging.lvel is not a setting of Surefoot."),
        (["unset", "logging.level"], 4, "logging.level is not set in profile 'default'."),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    surefoot: Surefoot, home: Path, words: list[str], code: int, told: str
) -> None:
    ended = surefoot("config", *words)
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
    assert told in ended.stderr
    assert not home.exists()


def test_a_profile_that_is_not_there_is_not_found(surefoot: Surefoot) -> None:
    for words in (["view"], ["set", "strict=1"], ["unset", "strict"]):
        ended = surefoot("--profile", "nope", "config", *words)
        assert ended.exit_code == 4
        assert "There is no profile 'nope'" in ended.stderr


def test_a_home_that_cannot_be_written_is_told(
    surefoot: Surefoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "file"))
    ended = surefoot("config", "set", "strict=1")
    assert ended.exit_code == 5
    assert "profiles.toml cannot be written" in ended.stderr


def test_validate_says_that_all_is_well(surefoot: Surefoot) -> None:
    ended = surefoot("config", "validate")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "All settings are valid.\n", "")


def test_validate_lists_every_mistake_and_mistaken_keys_can_be_taken_out(
    surefoot: Surefoot, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surefoot("profile", "create", "dev")
    with (home / "profiles.toml").open("a") as file:
        file.write("logging.lvel = 3\nstrict = 7\n")
    Path("surefoot.toml").write_text("a = [1")
    ended = surefoot("config", "validate")
    assert ended.exit_code == 2
    assert ended.stdout == ""
    profiles = f"{home / 'profiles.toml'}, profile 'dev'"
    assert ended.stderr.splitlines() == [
        f"{Path.cwd() / 'surefoot.toml'}, end of document: is not valid TOML: Unclosed array. Correct that line.",
        f"{profiles}, line 4: logging.lvel = 3 is not a setting of Surefoot. The nearest valid name is logging.level.",
        f"{profiles}, line 5: strict = 7 cannot be used. Expected true or false.",
    ]
    Path("surefoot.toml").unlink()
    assert surefoot("--profile", "dev", "config", "unset", "logging.lvel", "strict").exit_code == 0
    assert surefoot("config", "validate").exit_code == 0


def test_validate_takes_the_environment_strictly(surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGING_LEVEL", "x")
    monkeypatch.setenv("SUREFOOT_TEST_ANYTHING", "x")
    ended = surefoot("config", "validate")
    assert ended.exit_code == 2
    assert "the environment: SUREFOOT_LOGING_LEVEL = 'x' is not a setting of Surefoot." in ended.stderr
    assert "SUREFOOT_TEST_ANYTHING" not in ended.stderr


def test_a_secret_in_the_address_of_a_storage_is_refused_and_not_shown(
    surefoot: Surefoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "s3://AKIA:hunter2@bucket/x"
    told = "is 's3://***@bucket/x': a URL holds no credentials. Take what stands before the @ out of it"
    ended = surefoot("config", "set", f"results.default_storage={url}")
    assert (ended.exit_code, "hunter2" in ended.stderr) == (2, False)
    assert f"results.default_storage {told}" in ended.stderr
    monkeypatch.setenv("SUREFOOT_RESULTS_DEFAULT_STORAGE", url)
    ended = surefoot("config", "validate")
    assert (ended.exit_code, "hunter2" in ended.stderr) == (2, False)
    assert f"SUREFOOT_RESULTS_DEFAULT_STORAGE {told}" in ended.stderr


@pytest.mark.parametrize("command", config.commands.values(), ids=list(config.commands))
def test_each_example_does_what_it_says(surefoot: Surefoot, command: Command) -> None:
    surefoot("config", "set", "logging.level=INFO", "logging.colors=no", "logging.log_prints=yes")
    for example in command.examples:
        done = surefoot(*shlex.split(example.partition(" && ")[0])[1:])
        assert done.exit_code == 0, done.stderr
        assert done.stdout
