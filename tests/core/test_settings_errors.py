"""What is wrong in a file is told with place, line, value and the way out, and never with a secret."""

import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import SettingsError
from surefoot.core.settings import load_settings
from surefoot.core.settings.layers import Layer, judge
from surefoot.core.settings.sources import find_problems
from surefoot.core.settings.table import TABLE

# file, its text, what the error says after the folder's path
BAD_FILES: list[tuple[str, str, str]] = [
    (
        "surefoot.toml",
        "[logging]\n# loud\nlvel = 3\n",
        "line 3: logging.lvel = 3 is not a setting of Surefoot. The nearest valid name is logging.level.",
    ),
    (
        "surefoot.toml",
        'strict = true\nlogging.level = "LOUD"\n',
        "line 2: logging.level = 'LOUD' cannot be used. Expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL.",
    ),
    (
        "surefoot.toml",
        "server.api.port = 4200",
        "line 1: server.api.port = 4200 is not a setting of Surefoot, and not needed here: there is no server to start",
    ),
    (
        "surefoot.toml",
        "SUREFOOT_CLI_COLORS = 1",
        "line 1: SUREFOOT_CLI_COLORS = 1 cannot be used. Expected true or false.",
    ),
    ("surefoot.toml", "[logg]", "surefoot.toml: logg = {} is not a setting of Surefoot."),
    ("surefoot.toml", 'logging = "DEBUG"', "logging = 'DEBUG' is not a setting of Surefoot."),
    ("surefoot.toml", "[home]\nx = 1", "home.x = 1 is not a setting of Surefoot. The nearest valid name is home."),
    (
        "surefoot.toml",
        "strict = true\nSUREFOOT_STRICT = true",
        "line 2: SUREFOOT_STRICT is set twice, as strict and as SUREFOOT_STRICT. Take one of them out.",
    ),
    ("surefoot.toml", "\na = [1", "surefoot.toml, end of document: is not valid TOML: Unclosed array."),
    ("surefoot.toml", "x\n", "surefoot.toml, line 1, column 2: is not valid TOML: Expected '=' after a key"),
    ("surefoot.toml", "a.b.c = " + "[" * 4000, "surefoot.toml"),
    ("surefoot.toml", 'home = "${HOME}/x"', "home = '${HOME}/x' cannot be used. Expected a path"),
    ("surefoot.toml", 'home = "${SUREFOOT_HOME}/x"', "cannot be used"),
    ("surefoot.toml", 'home = "~no-such-user/x"', "cannot be used"),
    ("surefoot.toml", 'home = ""', "cannot be used"),
    ("surefoot.toml", "tasks.default_retries = -1", "Expected a whole number of at least 0."),
    ("surefoot.toml", "tasks.default_retries = 1.5", "Expected a whole number of at least 0."),
    ("surefoot.toml", "tasks.default_retries = true", "Expected a whole number of at least 0."),
    ("surefoot.toml", "tasks.default_retry_delay_seconds = [1, -2]", "Expected a number of seconds, or a list"),
    ("surefoot.toml", f"tasks.default_retry_delay_seconds = {[1] * 51}", "a list of up to 50"),
    ("surefoot.toml", "tasks.default_retry_delay_seconds = []", "cannot be used"),
    ("surefoot.toml", 'tasks.default_retry_delay_seconds = "1,,2"', "cannot be used"),
    ("surefoot.toml", "ledger.busy_timeout_seconds = nan", "Expected a number of at least 0."),
    ("surefoot.toml", "ledger.busy_timeout_seconds = inf", "Expected a number of at least 0."),
    ("surefoot.toml", "journal.segment_bytes = 1", "Expected a whole number from 65_536 to 1_073_741_824."),
    ("surefoot.toml", 'journal.on_full = "stop"', "Expected one of continue, fail."),
    ("surefoot.toml", 'logging.extra_loggers = "a,,b"', "Expected names, separated by commas."),
    ("surefoot.toml", 'api.url = "surefoot.example"', "Expected http://SERVER or https://SERVER"),
    ("surefoot.toml", "strict = 2020-01-01", "Expected true or false."),
    (
        "pyproject.toml",
        "[tool.surefoot]\ntasks.retries = 1",
        "pyproject.toml, [tool.surefoot], line 2: tasks.retries = 1",
    ),
    ("pyproject.toml", "[tool]\nsurefoot = 1", "tool.surefoot = 1 is no table. Write it as [tool.surefoot]."),
    ("pyproject.toml", "[tool.surefoot", "pyproject.toml, end of document: is not valid TOML"),
    (".env", "\nexport SUREFOOT_LOGING=1\n", ".env, line 2: SUREFOOT_LOGING = '1' is not a setting of Surefoot."),
    (
        ".env",
        "SUREFOOT_STRICT='perhaps'",
        ".env, line 1: SUREFOOT_STRICT = 'perhaps' cannot be used. Expected true or false.",
    ),
]


@pytest.mark.parametrize(("name", "text", "told"), BAD_FILES, ids=[f"{n}:{t[:40]!r}" for n, t, _ in BAD_FILES])
def test_a_mistake_in_a_file_is_an_error_that_says_where(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        load_settings({}, str(tmp_path))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert find_problems({"SUREFOOT_HOME": str(tmp_path)}, str(tmp_path)) != []


BAD_PROFILES: list[tuple[str, str]] = [
    (
        '[profiles.default]\nSUREFOOT_LOGGING_LEVL = "DEBUG"',
        "'DEBUG' is not a setting of Surefoot. The nearest valid name is SUREFOOT_LOGGING_LEVEL.",
    ),
    ('[profiles."default"]\n"cli.colors" = 3', "line 2: cli.colors = 3 cannot be used. Expected true or false."),
    (
        '[profiles.default]\nprofiles_path = "x"',
        "profiles_path cannot be set in a profile, since profiles are found by it.",
    ),
    ('actv = "x"', "actv = 'x' has no meaning beside active and profiles. The nearest valid name is active."),
    ("active = 3", "active = 3 is no name."),
    ("profiles = 3", "profiles = 3 is no table."),
    ("profiles.dev = 3", "profiles.dev = 3 is no table. Write it as [profiles.dev]."),
    ("[profiles.dev", "profiles.toml, end of document: is not valid TOML"),
]


@pytest.mark.parametrize(("text", "told"), BAD_PROFILES)
def test_a_mistake_in_the_profiles_is_an_error_that_says_where(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "profiles.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        load_settings({"SUREFOOT_HOME": str(tmp_path)}, str(tmp_path))
    assert str(tmp_path / "profiles.toml") in str(caught.value)


def test_the_first_of_several_mistakes_says_how_many_more_there_are(tmp_path: Path) -> None:
    (tmp_path / "surefoot.toml").write_text("a = 1\nb = 2\nc = 3\n")
    with pytest.raises(SettingsError, match=r"line 1: a = 1 .*\(2 more: `surefoot config validate` lists all.\)"):
        load_settings({}, str(tmp_path))


@pytest.mark.parametrize("name", [".env", "surefoot.toml", "pyproject.toml"])
def test_a_file_that_cannot_be_read_is_an_error_and_a_folder_of_that_name_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'x = "\xff surefoot"\n')
    with pytest.raises(SettingsError, match=r"is not UTF-8: .* Save it as UTF-8"):
        load_settings({}, str(tmp_path))
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    load_settings({"SUREFOOT_HOME": str(tmp_path)}, str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="folders that are in use cannot be removed there")
def test_a_current_folder_that_was_removed_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load_settings({"SUREFOOT_HOME": str(tmp_path)}).home == str(tmp_path)
    os.chdir(tmp_path)


def test_a_broken_pyproject_that_says_nothing_to_surefoot_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other")
    load_settings({"SUREFOOT_HOME": str(tmp_path)}, str(tmp_path))


def test_all_mistakes_of_all_places_are_found(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SUREFOOT_X=1\n")
    (tmp_path / "surefoot.toml").write_text("a = [")
    (tmp_path / "profiles.toml").write_text('active = "gone"\n[profiles.dev]\nb = 1\n[profiles.night]\nstrict = 3\n')
    problems = find_problems({"SUREFOOT_HOME": str(tmp_path), "SUREFOOT_Y": "1"}, str(tmp_path))
    assert len(problems) == 6
    for words in (
        "environment: SUREFOOT_Y",
        ".env, line 1: SUREFOOT_X",
        "surefoot.toml",
        "'gone'",
        "b = 1",
        "strict = 3",
    ):
        assert sum(words in problem for problem in problems) == 1


@given(
    key=st.sampled_from(
        ["api.key", "api.auth_string", "SUREFOOT_API_KEY", "api.kye", "API_TOKEN", "SUREFOOT_DB_PASSWORD"]
    ),
    secret=st.text("abcdefgh", min_size=12),
    wrap=st.sampled_from([str, lambda text: [text], lambda text: {"x": text}, lambda text: text + "\n"]),
)
def test_no_error_shows_a_secret(key: str, secret: str, wrap: object) -> None:
    assert callable(wrap)
    judged = judge(Layer("file", "test", {key: wrap(secret)}))
    assert secret not in "".join(map(str, judged.problems))


def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "surefoot.toml").write_text('api.url = "https://me:hush@surefoot.example"')
    with pytest.raises(SettingsError) as caught:
        load_settings({}, str(tmp_path))
    assert "hush" not in str(caught.value)
    assert "no name or password" in str(caught.value)


@given(raw=st.text(min_size=200))
def test_a_long_value_is_cut(raw: str) -> None:
    (problem,) = judge(Layer("file", "test", {"strict": raw})).problems
    assert len(problem.what) < 150


def test_every_kind_says_what_it_expects() -> None:
    for path, line in TABLE.items():
        wrong = 3 if line.kind.is_table else {"a": "table"}
        (problem,) = judge(Layer("file", "test", {path: wrong})).problems
        assert line.kind.expected in problem.do
