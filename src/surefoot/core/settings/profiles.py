"""Profiles: named sets of settings in one file, of which one is active. Each operation goes from profiles to profiles.

The profile `default` is always there, if only empty. May import: core.settings, msgspec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from surefoot.core.errors import InvalidNameError, NotFound, Refused, SettingsError
from surefoot.core.settings.documents import parse_toml, read_file
from surefoot.core.settings.layers import Layer, flatten, judge, raise_first, shown, unknown_setting
from surefoot.core.settings.table import TABLE, find_setting

__all__ = [
    "STOCK",
    "Profiles",
    "create_profile",
    "delete_profile",
    "entries_of",
    "parse_profiles",
    "read_profiles",
    "rename_profile",
    "set_entries",
    "unset_entries",
    "use_profile",
]

STOCK: Final = "default"

_NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"


class Profiles(msgspec.Struct, frozen=True):
    """What the file of profiles says: entries as written there, by profile."""

    path: str
    active: str = STOCK
    tables: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=lambda: {STOCK: {}})
    text: str = ""  # what it was read from


def read_profiles(path: str) -> Profiles:
    """The profiles of that file; the stock ones if there is none. Raises SettingsError if it is something else."""
    text = read_file(path)
    return Profiles(path) if text is None else parse_profiles(path, text)


def parse_profiles(path: str, text: str) -> Profiles:
    """The profiles that `text`, read from `path`, describes. Whether their entries are settings is not looked at."""
    document = parse_toml(path, text)
    active = document.pop("active", STOCK)
    tables = document.pop("profiles", {})
    for key, value in document.items():
        near = "active" if key.startswith("a") else "profiles"
        raise SettingsError(
            f"{path}: {key} = {shown(key, value)} has no meaning beside active and profiles.",
            do=f"The nearest valid name is {near}.",
        )
    if not isinstance(active, str):
        raise SettingsError(f"{path}: active = {active!r} is no name.", do='Write one, such as active = "default".')
    if not isinstance(tables, dict):
        raise SettingsError(f"{path}: profiles = {tables!r} is no table.", do="Write each profile as [profiles.NAME].")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path}: profiles.{name} = {shown(name, table)} is no table.", do=f"Write it as [profiles.{name}]."
            )
    return Profiles(path, active, {STOCK: {}} | {name: dict(flatten(table)) for name, table in tables.items()}, text)


def entries_of(profiles: Profiles, name: str) -> Mapping[str, Any]:
    """What a profile says. Raises NotFound if there is none of that name."""
    try:
        return profiles.tables[name]
    except KeyError:
        raise NotFound(
            f"There is no profile {name!r} in {profiles.path}; there are: {', '.join(sorted(profiles.tables))}.",
            do=f"Make it with `surefoot profile create {name}`, or choose one with `surefoot profile use NAME`.",
        ) from None


def create_profile(profiles: Profiles, name: str, source: str | None = None) -> Profiles:
    """One profile more, with what `source` says. Raises Refused if the name is taken."""
    if not re.fullmatch(_NAME, name):
        raise InvalidNameError(
            f"{name!r} cannot be the name of a profile.", do="Use letters, digits, '-', '_' and '.', up to 100 of them."
        )
    if name in profiles.tables:
        raise Refused(f"There is a profile {name!r} already.", do=f"See it with `surefoot profile inspect {name}`.")
    return _with_entries(profiles, name, {} if source is None else entries_of(profiles, source))


def use_profile(profiles: Profiles, name: str) -> Profiles:
    """The profile of that name as the active one."""
    entries_of(profiles, name)
    return msgspec.structs.replace(profiles, active=name)


def delete_profile(profiles: Profiles, name: str) -> Profiles:
    """One profile less. Raises Refused for the active one, and for the stock one."""
    entries_of(profiles, name)
    if name == profiles.active:
        raise Refused(f"Profile {name!r} is the active one.", do="Choose another first: `surefoot profile use NAME`.")
    if name == STOCK:
        raise Refused(
            f"Profile {name!r} is always there.", do=f"Empty it: `surefoot --profile {name} config unset KEY ...`."
        )
    return msgspec.structs.replace(profiles, tables={k: v for k, v in profiles.tables.items() if k != name})


def rename_profile(profiles: Profiles, name: str, to: str) -> Profiles:
    """The same profile under another name, active if it was. Where the stock one was, an empty one stays."""
    renamed = create_profile(profiles, to, name)
    tables = {k: v for k, v in renamed.tables.items() if k != name}
    active = to if profiles.active == name else profiles.active
    return msgspec.structs.replace(renamed, tables={STOCK: {}} | tables, active=active)


def set_entries(profiles: Profiles, name: str, entries: Mapping[str, Any], folder: str = "") -> Profiles:
    """The profile of that name with these settings set. Raises SettingsError for what is no setting, or no value of it.

    >>> dev = create_profile(Profiles("f"), "dev")
    >>> set_entries(dev, "dev", {"logging.level": "debug", "tasks.default_retries": "3"}).tables["dev"]
    {'SUREFOOT_LOGGING_LEVEL': 'DEBUG', 'SUREFOOT_TASKS_DEFAULT_RETRIES': 3}
    """
    judged = judge(Layer("profile", "config set", entries, folder))
    raise_first(judged.problems)
    before = entries_of(profiles, name)
    keys = {setting.path: key for key in before if (setting := find_setting(key))}  # as people have spelled them there
    new = {
        keys.get(path, TABLE[path].variable): "" if value is None else value for path, value in judged.values.items()
    }
    return _with_entries(profiles, name, {**before, **new})


def unset_entries(profiles: Profiles, name: str, keys: Iterable[str]) -> Profiles:
    """The profile of that name without these settings, or mistaken keys. Raises NotFound for what it does not set."""
    entries = dict(entries_of(profiles, name))
    for key in keys:
        setting = find_setting(key)
        named = [other for other in entries if other == key or (setting and find_setting(other) is setting)]
        if not named and setting is None:
            raise_first([unknown_setting("config unset", key)])
        if not named:
            raise NotFound(
                f"{key} is not set in profile {name!r}.", do="`surefoot config view --show-sources` says where it is."
            )
        for other in named:
            del entries[other]
    return _with_entries(profiles, name, entries)


def _with_entries(profiles: Profiles, name: str, entries: Mapping[str, Any]) -> Profiles:
    return msgspec.structs.replace(profiles, tables={**profiles.tables, name: dict(entries)})
