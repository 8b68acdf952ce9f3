"""Settings: which place wins, what values may be, and which are in force."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core import settings
from surefoot.core.errors import NotFound, SettingsError
from surefoot.core.settings import Settings, load_settings
from surefoot.core.settings.kinds import text_of
from surefoot.core.settings.layers import Layer, judge, merge
from surefoot.core.settings.table import TABLE, find_setting, nearest_setting
from surefoot.settings import get_current_settings, temporary_settings

PLACES = ("environment", ".env", "surefoot.toml", "pyproject.toml", "profile")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with nothing in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- which place wins


@given(levels=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(LEVELS)))
def test_the_highest_place_that_says_something_wins(levels: dict[str, str]) -> None:
    layers = [Layer("file", place, {"logging.level": levels[place]}) for place in PLACES if place in levels]
    found = merge([judge(layer) for layer in layers])
    first = next((place for place in PLACES if place in levels), None)
    assert found.source_of("logging.level") == first
    assert found.logging.level == (levels[first] if first else "INFO")


@given(
    said=st.lists(st.dictionaries(st.sampled_from(["cli.colors", "strict", "cli.prompt"]), st.booleans()), max_size=5)
)
def test_each_setting_is_decided_alone(said: list[dict[str, bool]]) -> None:
    found = merge([judge(Layer("file", str(n), entries)) for n, entries in enumerate(said)])
    for path in ("cli.colors", "strict", "cli.prompt"):
        expected = [entries[path] for entries in said if path in entries] or [TABLE[path].default]
        assert found.get(path) == expected[0]


@pytest.mark.parametrize("missing", range(len(PLACES) + 1))
def test_real_places_have_the_documented_rank(place: Path, home: Path, missing: int) -> None:
    environ = {"SUREFOOT_HOME": str(home)}
    if missing < 1:
        environ["SUREFOOT_TASKS_DEFAULT_RETRIES"] = "0"
    if missing < 2:
        write(place / ".env", "export SUREFOOT_TASKS_DEFAULT_RETRIES=1 # once\nOTHER=x\n")
    if missing < 3:
        write(place / "surefoot.toml", "[tasks]\ndefault_retries = 2\n")
    if missing < 4:
        write(place / "pyproject.toml", '[project]\nname = "x"\n[tool.surefoot]\ntasks.default_retries = 3\n')
    if missing < 5:
        write(home / "profiles.toml", 'active = "dev"\n[profiles.dev]\nSUREFOOT_TASKS_DEFAULT_RETRIES = 4\n')
    found = load_settings(environ, str(place))
    assert found.tasks.default_retries == (missing if missing < 5 else 0)
    source = found.source_of("tasks.default_retries")
    assert source == {
        0: "the environment",
        1: str(place / ".env"),
        2: str(place / "surefoot.toml"),
        3: f"{place / 'pyproject.toml'}, [tool.surefoot]",
        4: f"{home / 'profiles.toml'}, profile 'dev'",
    }.get(missing)


def test_a_profile_is_chosen_by_environment_then_dotenv_then_file(place: Path, home: Path) -> None:
    write(home / "profiles.toml", 'active = "a"\n[profiles.a]\n[profiles.b]\nlogging.level="ERROR"\n[profiles.c]\n')
    environ = {"SUREFOOT_HOME": str(home)}
    assert load_settings(environ, str(place)).profile == "a"
    write(place / ".env", "SUREFOOT_PROFILE=b")
    assert load_settings(environ, str(place)).profile == "b"
    assert load_settings(environ, str(place)).logging.level == "ERROR"
    assert load_settings(environ | {"SUREFOOT_PROFILE": "c"}, str(place)).profile == "c"
    with pytest.raises(NotFound, match=r"no profile 'd' in .*profiles.toml; there are: a, b, c, default"):
        load_settings(environ | {"SUREFOOT_PROFILE": "d"}, str(place))


def test_a_profile_may_name_another_home_and_stays_where_it_was_found(place: Path, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(place / "surefoot.toml", f"profiles_path = '{home / 'profiles.toml'}'\n")
    write(home / "profiles.toml", f"[profiles.default]\nhome = '{other}'\n")
    found = load_settings({}, str(place))
    assert found.home == str(other)
    assert found.profiles_path == str(home / "profiles.toml")


# --- names


def test_paths_and_variables_name_the_same_settings() -> None:
    for path, line in TABLE.items():
        assert find_setting(path) is find_setting(line.variable) is line
        assert line.variable == "SUREFOOT_" + path.upper().replace(".", "_")
        assert line.path == path
    assert len({line.variable for line in TABLE.values()}) == len(TABLE)


@given(path=st.sampled_from(sorted(TABLE)), at=st.integers(0, 60), letter=st.sampled_from("xqz"))
def test_a_name_with_one_letter_wrong_is_nearest_to_itself(path: str, at: int, letter: str) -> None:
    at %= len(path)
    wrong = path[:at] + letter + path[at + 1 :]
    near = nearest_setting(wrong).path
    # `flows.default_retries` and `tasks.default_retries` are alike enough to be taken for one another at one letter.
    assert near == path or near.split(".")[1:] == path.split(".")[1:]


def test_every_setting_says_what_it_is_for_and_has_a_default_of_its_kind() -> None:
    for line in TABLE.values():
        assert line.about.endswith(".")
        assert line.kind.read(line.default) == line.default
        assert line.kind.read(text_of(line.default)) == line.default


# --- values


GOOD: list[tuple[str, Any, Any]] = [
    ("debug_mode", "TRUE", True),
    ("cli.colors", "off", False),
    ("cli.colors", False, False),
    ("cli.prompt", "", None),
    ("cli.prompt", "yes", True),
    ("tasks.default_retries", " 3 ", 3),
    ("journal.segment_bytes", "1_000_000", 1_000_000),
    ("tasks.default_retry_delay_seconds", "1,10,100", [1, 10, 100]),
    ("tasks.default_retry_delay_seconds", "0.5", 0.5),
    ("tasks.default_retry_delay_seconds", [1, 2.5], [1, 2.5]),
    ("flows.default_retry_delay_seconds", 7, 7),
    ("ledger.busy_timeout_seconds", "2.5", 2.5),
    ("ledger.busy_timeout_seconds", 1, 1),
    ("logging.level", "warning", "WARNING"),
    ("logging.extra_loggers", "botocore, urllib3", ["botocore", "urllib3"]),
    ("logging.extra_loggers", ["a"], ["a"]),
    ("logging.extra_loggers", "", []),
    ("journal.on_full", "Fail", "fail"),
    ("api.url", "https://surefoot.example:4200/api", "https://surefoot.example:4200/api"),
    ("api.url", "", None),
    ("tasks.runner.thread_pool_max_workers", "8", 8),
]


@pytest.mark.parametrize(("path", "raw", "value"), GOOD, ids=[f"{path}={raw!r}" for path, raw, _ in GOOD])
def test_a_value_is_read_as_its_kind(path: str, raw: object, value: object) -> None:
    judged = judge(Layer("file", "test", {path: raw}))
    assert judged.problems == []
    assert judged.values == {path: value}
    assert type(judged.values[path]) is type(value)


@given(path=st.sampled_from(sorted(TABLE)), raw=st.text() | st.integers() | st.floats() | st.lists(st.text()))
def test_whatever_a_value_is_it_is_read_or_told_and_what_is_read_can_be_written(path: str, raw: object) -> None:
    judged = judge(Layer("file", "test", {path: raw}, folder="/x"))
    assert len(judged.values) + len(judged.problems) == 1
    for value in judged.values.values():
        assert TABLE[path].kind.read(text_of(value)) == value


def test_a_variable_set_to_nothing_is_not_set() -> None:
    judged = judge(Layer("environment", "test", {"SUREFOOT_LOGGING_LEVEL": "", "SUREFOOT_API_URL": ""}))
    assert judged.problems == []
    assert judged.values == {"api.url": None}  # for what may be empty, nothing is a value, and hides a profile's


def test_values_are_attributes_of_their_groups_and_cannot_be_changed() -> None:
    found = merge([judge(Layer("file", "test", {"tasks.runner.thread_pool_max_workers": 3, "api.key": "hush"}))])
    assert found.tasks.runner.thread_pool_max_workers == found.get("tasks.runner.thread_pool_max_workers") == 3
    with pytest.raises(AttributeError, match="temporary_settings"):
        found.logging.level = "DEBUG"
    with pytest.raises(SettingsError, match=r"'logging.lvel' is not a setting of Surefoot. .* logging.level"):
        found.get("logging.lvel")
    assert "hush" not in repr(found)


def test_debug_mode_logs_everything() -> None:
    found = merge([judge(Layer("file", "here", {"debug_mode": True, "logging.level": "ERROR"}))])
    assert found.logging.level == "DEBUG"
    assert found.source_of("logging.level") == "debug_mode, here"


def test_a_list_of_one_settings_object_is_not_the_default_of_the_next() -> None:
    merge([]).logging.extra_loggers.append("x")
    assert merge([]).logging.extra_loggers == []


# --- paths


def test_the_default_home_is_in_the_users_own(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    found = load_settings({}, str(place))
    assert found.home == str(tmp_path / ".surefoot")
    assert found.profiles_path == str(tmp_path / ".surefoot" / "profiles.toml")


def test_paths_follow_the_home_and_start_where_they_are_written(place: Path, home: Path, tmp_path: Path) -> None:
    write(place / "surefoot.toml", 'home = "state/../here"\nprofiles_path = "${SUREFOOT_HOME}/p.toml"\n')
    found = load_settings({}, str(place))
    assert found.home == str(place / "here")
    assert found.profiles_path == str(place / "here" / "p.toml")
    (place / "surefoot.toml").unlink()
    write(home / "profiles.toml", '[profiles.default]\nhome = "beside"\n')
    assert load_settings({"SUREFOOT_HOME": str(home)} | {}, str(place)).home == str(home)
    assert load_settings({"SUREFOOT_PROFILES_PATH": str(home / "profiles.toml")}, str(place)).home == str(
        home / "beside"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there the system is asked")
def test_a_user_without_a_home_directory_is_told_what_to_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it answers for a user id that no file knows
    with pytest.raises(SettingsError, match=r"no home directory.* Set SUREFOOT_HOME"):
        load_settings({}, str(place))


# --- in force


def test_settings_are_read_again_when_a_variable_changes_and_else_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings.refresh()
    assert settings.refresh() is before is settings.current() is get_current_settings()
    monkeypatch.setenv("UNRELATED", "1")
    assert settings.refresh() is before
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "ERROR")
    assert settings.current() is before
    assert settings.refresh().logging.level == "ERROR"
    assert settings.current().logging.level == "ERROR"
    monkeypatch.delenv("SUREFOOT_LOGGING_LEVEL")
    assert settings.refresh().logging.level == "INFO"


def test_a_changed_file_is_seen_by_reload(place: Path) -> None:
    assert settings.refresh().strict is False
    write(place / "surefoot.toml", "strict = true")
    assert settings.refresh().strict is False
    assert settings.reload().strict is True
    (place / "surefoot.toml").unlink()
    settings.reload()


def test_temporary_settings_cover_all_places_and_go_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_LOGGING_LEVEL", "ERROR")
    with temporary_settings({"logging.level": "DEBUG", "SUREFOOT_TASKS_DEFAULT_RETRIES": 2}) as found:
        assert settings.refresh() is settings.current() is found
        assert (found.logging.level, found.tasks.default_retries) == ("DEBUG", 2)
        assert found.source_of("logging.level") == "temporary_settings"
        with temporary_settings({"tasks.default_retries": 5}):
            assert settings.current().tasks.default_retries == 5
            assert settings.current().logging.level == "DEBUG"
        assert settings.current() is found
    assert settings.current().logging.level == "ERROR"
    with (
        pytest.raises(SettingsError, match=r"temporary_settings: logging.lvel = 'X' is not a setting"),
        temporary_settings({"logging.lvel": "X"}),
    ):
        pass


def test_settings_can_be_sent_to_another_process(place: Path) -> None:
    with temporary_settings({"logging.level": "DEBUG"}) as found:
        again: Settings = pickle.loads(pickle.dumps(found))
    assert again.logging.level == "DEBUG"
    assert again.home == found.home


# --- mistakes in the environment


def run(place: Path, environ: dict[str, str], code: str = "load_settings(); load_settings()") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", f"from surefoot.core.settings import load_settings\n{code}"],
        env={**os.environ, **environ},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_mistakes_in_the_environment_are_one_line_a_process(place: Path) -> None:
    code, told = run(place, {"SUREFOOT_LOGING_LEVEL": "x", "SUREFOOT_CLI_COLORS": "maybe", "SUREFOOT_API_KYE": "hush"})
    assert code == 0
    assert told.count("\n") == 1
    assert told.startswith("surefoot: ignored in the environment: ")
    assert "SUREFOOT_LOGING_LEVEL = 'x' is not a setting of Surefoot." in told
    assert "The nearest valid name is SUREFOOT_LOGGING_LEVEL." in told
    assert "SUREFOOT_CLI_COLORS = 'maybe' cannot be used. Expected true or false." in told
    assert "hush" not in told


def test_known_families_of_variables_are_no_mistakes(place: Path) -> None:
    known = {"SUREFOOT_TEST_EAGER_IMPORT": "1", "SUREFOOT__RUNTIME__FLOW_RUN__ID": "x", "SUREFOOT_PROFILE": "default"}
    assert run(place, known | {"SUREFOOT_STRICT": "1"}) == (0, "")


def test_strict_makes_a_mistake_in_the_environment_an_error(place: Path) -> None:
    with pytest.raises(SettingsError, match="the environment: SUREFOOT_LOGING = '1' is not a setting"):
        load_settings({"SUREFOOT_LOGING": "1", "SUREFOOT_STRICT": "1"}, str(place))


def test_reading_settings_loads_no_parser_where_there_is_no_file(place: Path) -> None:
    heavy = (
        "import sys; print([m for m in ('tomllib', 'difflib', 'logging', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"from surefoot.core.settings import load_settings\nload_settings()\n{heavy}"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
