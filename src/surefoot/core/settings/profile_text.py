"""What the file of profiles should say: its text with as few lines changed as can be.

    active = "dev"

    [profiles.dev]
    SUREFOOT_LOGGING_LEVEL = "DEBUG"

Comments, order and blank lines are people's, and are kept. May import: core.settings, core.os.files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from surefoot.core.errors import HomeUnwritable, SettingsError
from surefoot.core.os import files
from surefoot.core.settings.documents import toml_key, toml_value
from surefoot.core.settings.profiles import STOCK, Profiles, parse_profiles

__all__ = ["save_profiles", "text_of_profiles"]

_HEADER: Final = re.compile(r"""\s*\[\s*profiles\s*\.\s*("?)([^"\]]+?)\1\s*\]""")
_ENTRY: Final = re.compile(r"""\s*("?)([A-Za-z0-9_.-]+)\1\s*=""")


def save_profiles(profiles: Profiles) -> None:
    """Write the file, all at once, readable by its owner alone since keys are kept in it. Raises HomeUnwritable."""
    try:
        files.write_text(profiles.path, text_of_profiles(profiles))
    except OSError as error:
        raise HomeUnwritable(
            f"{profiles.path} cannot be written: {error.strerror or error}.",
            do="Set SUREFOOT_HOME to a folder that you may write.",
        ) from error


def text_of_profiles(profiles: Profiles) -> str:
    """What the file should say: its text with as few lines changed as can be, or else written anew.

    >>> print(text_of_profiles(Profiles("f", "dev", {"default": {}, "dev": {"SUREFOOT_LOGGING_LEVEL": "DEBUG"}})))
    active = "dev"
    <BLANKLINE>
    [profiles.dev]
    SUREFOOT_LOGGING_LEVEL = "DEBUG"
    <BLANKLINE>
    """
    edited = _edited(profiles)
    try:
        again = parse_profiles(profiles.path, edited)
    except SettingsError:
        again = Profiles(profiles.path)
    # The edit knows one entry a line and no more of TOML, so it is believed only if it says what it should.
    if _meaning(again) == _meaning(profiles):
        return edited
    return _edited(msgspec.structs.replace(profiles, text=""))


def _meaning(profiles: Profiles) -> object:
    # By their text, since 1, 1.0 and true are equal to Python and not to a setting.
    return profiles.active, {name: {k: repr(v) for k, v in table.items()} for name, table in profiles.tables.items()}


def _edited(profiles: Profiles) -> str:
    before = parse_profiles(profiles.path, profiles.text)
    head, *blocks = _blocks(profiles.text)
    text = _with_line(head, "active", profiles.active, before.active)
    written = set()
    for block in blocks:
        name = _name_of(block[0])
        if name in profiles.tables and name not in written:
            written.add(name)
            text += _block(block, profiles.tables[name], before.tables.get(name, {}))
    for name, table in profiles.tables.items():
        if name not in written and (table or name != STOCK):
            text += [*([""] if text[-1] else []), *_block([f"[profiles.{toml_key(name)}]"], table, {})]
    return "\n".join(text).rstrip("\n") + "\n"


def _blocks(text: str) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if _HEADER.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _name_of(header: str) -> str:
    found = _HEADER.match(header)
    return found[2] if found else ""


def _block(lines: list[str], table: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    kept = [lines[0], *(line for line in lines[1:] if _key_of(line) in table or not _key_of(line))]
    for key, value in table.items():
        kept = _with_line(kept, key, value, before.get(key))
    return kept


def _key_of(line: str) -> str:
    found = _ENTRY.match(line)
    return found[2] if found else ""


def _with_line(lines: list[str], key: str, value: Any, before: Any) -> list[str]:
    if any(_key_of(line) == key for line in lines):
        if repr(before) == repr(value):
            return lines
        return [f"{toml_key(key)} = {toml_value(value)}" if _key_of(line) == key else line for line in lines]
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return [*lines[:end], f"{toml_key(key)} = {toml_value(value)}", *lines[end:]]
