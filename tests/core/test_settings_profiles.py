"""Profiles and the texts that settings stand in: what is written is read back, and what people wrote is kept."""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import HomeUnwritable, InvalidNameError, NotFound, Refused, SettingsError
from surefoot.core.os.files import read_text, write_text
from surefoot.core.settings.documents import parse_dotenv, toml_key, toml_value
from surefoot.core.settings.profile_text import save_profiles, text_of_profiles
from surefoot.core.settings.profiles import (
    Profiles,
    create_profile,
    delete_profile,
    parse_profiles,
    read_profiles,
    rename_profile,
    set_entries,
    unset_entries,
    use_profile,
)

words = st.text(st.characters(exclude_categories=["Cs"]))
dates = st.dates() | (st.times() | st.datetimes()).map(lambda time: time.replace(fold=0))  # TOML has no fold
scalars: st.SearchStrategy[Any] = words | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | dates
values: st.SearchStrategy[Any] = scalars | st.lists(scalars, max_size=4) | st.just({})
# Dots would make one key of two tables; what a profile means is its flat keys.
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1)
tables = st.dictionaries(keys, values, max_size=4)


@given(document=st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=2)))
def test_what_is_written_as_toml_is_read_back(document: dict[str, Any]) -> None:
    text = "\n".join(f"{toml_key(key)} = {toml_value(value)}" for key, value in document.items())
    assert repr(tomllib.loads(text)) == repr(document)


@given(active=words, profiles=st.dictionaries(keys, tables, max_size=4))
def test_profiles_are_read_back_as_written(active: str, profiles: dict[str, Any]) -> None:
    before = Profiles("f", active, {"default": {}} | profiles)
    after = parse_profiles("f", text_of_profiles(before))
    assert after.active == active
    assert meaning(after) == meaning(before)


def meaning(profiles: Profiles) -> dict[str, dict[str, str]]:
    """By their text, since nan is equal to nothing, and true to 1."""
    return {name: {key: repr(value) for key, value in table.items()} for name, table in profiles.tables.items()}


lines = st.sampled_from(
    [
        "",
        "# a comment",
        'a = "x" # why',
        "b = [\n  1,\n  2,\n]",
        'logging.level = "DEBUG"',
        '"cli.colors" = true',
        "c = '''\n[profiles.fake]\na = 1\n'''",
        "[profiles.one]",
        "[ profiles . two ] # spaced",
        '[profiles."three"]',
        "[profiles.one.nested]",
        'active = "one"',
    ]
)


@given(text=st.lists(lines, max_size=12).map("\n".join), new=st.dictionaries(keys, tables, max_size=2), key=keys)
def test_whatever_the_file_looks_like_a_change_says_what_it_should(text: str, new: dict[str, Any], key: str) -> None:
    try:
        before = parse_profiles("f", text)
    except SettingsError:
        return
    changes: list[Mapping[str, Mapping[str, Any]]] = [
        {**before.tables, **new},
        {**before.tables, "one": {key: 1}},
        {"default": {}},
    ]
    for tables_after in changes:
        wanted = Profiles("f", "two", tables_after, text)
        after = parse_profiles("f", text_of_profiles(wanted))
        assert after.active == "two"
        assert meaning(after) == meaning(wanted)


OURS = """\
# profiles of the data team

active = "dev"   # mine

[profiles.dev]
# loud, until the loads are stable
logging.level = "DEBUG"
SUREFOOT_TASKS_DEFAULT_RETRIES = 2

[profiles.night]  # cron
SUREFOOT_LOGGING_LEVEL = "WARNING"
"""


def test_one_change_touches_one_line() -> None:
    profiles = parse_profiles("f", OURS)
    assert text_of_profiles(profiles) == OURS
    changed = set_entries(profiles, "dev", {"SUREFOOT_LOGGING_LEVEL": "INFO"})
    assert text_of_profiles(changed) == OURS.replace('logging.level = "DEBUG"', '"logging.level" = "INFO"')
    added = set_entries(profiles, "dev", {"cli.colors": "no"})
    assert text_of_profiles(added) == OURS.replace("RETRIES = 2\n", "RETRIES = 2\nSUREFOOT_CLI_COLORS = false\n")
    less = unset_entries(profiles, "night", ["logging.level"])
    assert text_of_profiles(less) == OURS.replace('SUREFOOT_LOGGING_LEVEL = "WARNING"\n', "")
    assert text_of_profiles(use_profile(profiles, "night")) == OURS.replace('"dev"   # mine', '"night"')
    assert text_of_profiles(create_profile(profiles, "x")) == OURS + "\n[profiles.x]\n"
    assert text_of_profiles(delete_profile(profiles, "night")) == OURS[: OURS.index("\n[profiles.night]")]


def test_the_stock_profile_is_there_without_a_file(tmp_path: Path) -> None:
    assert read_profiles(str(tmp_path / "none.toml")) == Profiles(
        str(tmp_path / "none.toml"), "default", {"default": {}}
    )


def test_a_profile_starts_as_a_copy_of_another() -> None:
    profiles = create_profile(parse_profiles("f", OURS), "copy", "night")
    assert profiles.tables["copy"] == profiles.tables["night"]
    assert "copy" not in parse_profiles("f", OURS).tables


def test_the_active_profile_and_the_stock_one_cannot_be_deleted() -> None:
    profiles = parse_profiles("f", OURS)
    with pytest.raises(Refused, match=r"'dev' is the active one. Choose another first"):
        delete_profile(profiles, "dev")
    with pytest.raises(Refused, match="always there"):
        delete_profile(profiles, "default")


def test_a_renamed_profile_stays_active_and_the_stock_one_stays_there() -> None:
    profiles = rename_profile(parse_profiles("f", OURS), "dev", "home")
    assert profiles.active == "home"
    assert profiles.tables["home"] == {"logging.level": "DEBUG", "SUREFOOT_TASKS_DEFAULT_RETRIES": 2}
    assert sorted(rename_profile(Profiles("f"), "default", "x").tables) == ["default", "x"]


def test_names_that_are_not_there_or_cannot_be_are_told() -> None:
    profiles = parse_profiles("f", OURS)
    for operation in (use_profile, delete_profile):
        with pytest.raises(NotFound, match="no profile 'nope' in f; there are: default, dev, night"):
            operation(profiles, "nope")
    with pytest.raises(NotFound):
        create_profile(profiles, "x", "nope")
    with pytest.raises(NotFound):
        rename_profile(profiles, "nope", "x")
    with pytest.raises(Refused, match="There is a profile 'night' already"):
        rename_profile(profiles, "dev", "night")
    for name in ("", "a b", "x" * 101, ".x", "ä", "a/b", "x\n"):
        with pytest.raises(InvalidNameError):
            create_profile(profiles, name)


def test_setting_is_all_or_nothing_and_checked() -> None:
    profiles = Profiles("f")
    with pytest.raises(SettingsError, match=r"config set: logging.level = 'LOUD' cannot be used"):
        set_entries(profiles, "default", {"cli.colors": "no", "logging.level": "LOUD"})
    assert profiles.tables == {"default": {}}
    with pytest.raises(SettingsError, match="set twice"):
        set_entries(profiles, "default", {"strict": "1", "SUREFOOT_STRICT": "1"})
    with pytest.raises(SettingsError, match="cannot be set in a profile"):
        set_entries(profiles, "default", {"profiles_path": "/x"})


def test_an_empty_value_and_a_path_are_written_so_that_they_mean_the_same_everywhere(tmp_path: Path) -> None:
    wanted = {"api.url": "", "home": "here"}
    profiles = set_entries(Profiles("f"), "default", wanted, str(tmp_path))
    assert profiles.tables["default"] == {"SUREFOOT_API_URL": "", "SUREFOOT_HOME": str(tmp_path / "here")}
    assert set_entries(profiles, "default", {"home": "~/x"}).tables["default"]["SUREFOOT_HOME"] == "~/x"


def test_unsetting_takes_mistaken_keys_out_too() -> None:
    profiles = parse_profiles("f", "[profiles.default]\nlogging.lvel = 3\nstrict = true\nSUREFOOT_STRICT = true\n")
    assert unset_entries(profiles, "default", ["logging.lvel", "strict"]).tables["default"] == {}
    with pytest.raises(NotFound, match=r"cli.colors is not set in profile 'default'"):
        unset_entries(profiles, "default", ["cli.colors"])
    with pytest.raises(
        SettingsError, match=r"cli.color is not a setting of Surefoot. The nearest valid name is cli.colors"
    ):
        unset_entries(profiles, "default", ["cli.color"])


def test_the_file_is_made_for_its_owner_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "home" / "profiles.toml"
    save_profiles(set_entries(Profiles(str(path)), "default", {"api.key": "k"}))
    assert read_profiles(str(path)).tables == {"default": {"SUREFOOT_API_KEY": "k"}}
    assert os.listdir(path.parent) == ["profiles.toml"]
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnwritable, match=r"profiles.toml cannot be written: .* Set SUREFOOT_HOME"):
        save_profiles(Profiles(str(tmp_path / "file" / "profiles.toml")))


# --- small files


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "profiles.toml"
    write_text(str(real), "old")
    try:
        os.symlink(real, tmp_path / "link")
    except OSError:
        pytest.skip("no links here")
    write_text(str(tmp_path / "link"), "new")
    assert (tmp_path / "link").is_symlink()
    assert read_text(str(real)) == "new"


def test_a_write_that_fails_leaves_the_old_text_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_text(str(path), "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(str(path), "\udcff")
    assert read_text(str(path)) == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("\ufeffstrict = true".encode())
    assert read_text(str(tmp_path / "x")) == "strict = true"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nobody refuses this user anything")
def test_a_file_in_a_folder_that_may_not_be_searched_is_not_there_but_a_closed_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "x").write_text("x")
    (folder / "x").chmod(0)
    with pytest.raises(PermissionError):
        read_text(str(folder / "x"))
    folder.chmod(0)
    try:
        assert read_text(str(folder / "x")) is None
    finally:
        folder.chmod(0o700)


# --- .env


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("export A=1", {"A": "1"}),
        ("# A=1\n  # B=2\n", {}),
        ("A='x # y' # z", {"A": "x # y"}),
        ('A="line\\n\\"q\\" \\\\"', {"A": 'line\n"q" \\'}),
        ("A=a#b # c", {"A": "a#b"}),
        ("A=\nB=# none\nC=''\n", {"A": "", "B": "", "C": ""}),
        ('KEY="-----BEGIN\nA=not this\n-----END"\nB=1', {"KEY": "-----BEGIN\nA=not this\n-----END", "B": "1"}),
        ("A=it's\nB='ok'", {"A": "it's", "B": "ok"}),
        ("A='unclosed\nB=1", {"A": "'unclosed", "B": "1"}),
        ("A=1\r\nB='2'\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        ("not a line\n=x\n1A=2\n", {}),
        ("A=b=c", {"A": "b=c"}),
    ],
)
def test_a_dotenv_is_read_as_shells_would(text: str, found: dict[str, str]) -> None:
    assert parse_dotenv(text) == found


@given(text=st.text())
def test_no_dotenv_is_an_error(text: str) -> None:
    parse_dotenv(text)


@given(value=st.text(st.characters(exclude_categories=["C"], exclude_characters="'")))
def test_single_quotes_keep_everything(value: str) -> None:
    assert parse_dotenv(f"A='{value}'") == {"A": value}
