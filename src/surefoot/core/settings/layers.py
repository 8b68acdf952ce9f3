"""From layers to settings, purely: each layer is judged (what it sets, what is wrong with it), then the highest wins.

What files, environment and profiles say comes in as dicts; `sources` reads them. Keeps promise 14 for settings: what is
wrong is told with its place, its value and the nearest valid name, and no secret. May import: core.settings, msgspec.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from surefoot.core.errors import SettingsError
from surefoot.core.settings.kinds import PATH, Unusable
from surefoot.core.settings.table import (
    PREFIX,
    TABLE,
    Setting,
    Settings,
    find_setting,
    known_elsewhere,
    masked,
    nearest_setting,
)

__all__ = [
    "Judged",
    "Layer",
    "Problem",
    "flatten",
    "judge",
    "ledger_url",
    "merge",
    "misread",
    "problems_of",
    "raise_first",
    "shown",
    "unknown_setting",
]

_SHOWN_MAX: Final = 80


class Layer(msgspec.Struct, frozen=True):
    """What one place says. Keys are as written there, dotted or as in the environment."""

    kind: Literal["environment", "dotenv", "file", "profile", "call"]
    source: str  # as people are told it
    entries: Mapping[str, Any]
    folder: str = ""  # where its relative paths start; "" is the current folder
    text: str = ""  # what it was read from
    table: str = ""  # where in that text the entries stand


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong in a layer."""

    place: str
    key: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.do}"


class Judged(msgspec.Struct, frozen=True):
    """A layer, the values that can be used of it by path, and what is wrong with the rest."""

    layer: Layer
    values: dict[str, Any]
    problems: list[Problem]


def flatten(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested tables, by dotted key.

    >>> dict(flatten({"logging": {"level": "DEBUG"}, "api.url": ""}))
    {'logging.level': 'DEBUG', 'api.url': ''}
    """
    for key, value in table.items():
        if isinstance(value, Mapping) and value and not _is_table(above + key):
            yield from flatten(value, f"{above}{key}.")
        else:
            yield above + key, value


def _is_table(key: str) -> bool:
    setting = find_setting(key)
    return setting is not None and setting.kind.is_table


def judge(layer: Layer) -> Judged:
    """Find the setting of each entry, and read its value."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, raw in layer.entries.items():
        setting = find_setting(key)
        if setting is None:
            if not _is_beside_the_point(layer, key, raw):
                problems.append(unknown_setting(_place(layer, key), key, raw))
        elif layer.kind == "profile" and setting.path == "profiles_path":
            problems.append(_misplaced(layer, key))
        elif setting.path in values:
            problems.append(_doubled(layer, key, setting))
        else:
            try:
                value = setting.kind.read(raw)
                values[setting.path] = _located(value, setting, layer) if setting.kind is PATH else value
            except Unusable as error:
                problems.append(
                    Problem(_place(layer, key + error.where), key, key + error.where + error.what, error.do)
                )
            except (ValueError, OverflowError):
                # A variable that is set to nothing is how shells and compose files say "not set".
                if raw != "" or layer.kind not in ("environment", "dotenv"):
                    problems.append(_ill_typed(layer, key, raw, setting))
    return Judged(layer, values, problems)


def merge(judged: Sequence[Judged], *, profile: str = "default", profiles_path: str | None = None) -> Settings:
    """The settings that layers make, the highest first. `profiles_path` is where the profile was found.

    >>> test = judge(Layer("call", "test", {"home": "/srv/surefoot"}))
    >>> settings = merge([test, judge(Layer("profile", "dev", {"logging.level": "DEBUG"}))])
    >>> settings.logging.level, settings.source_of("logging.level"), settings.profiles_path.replace(os.sep, "/")
    ('DEBUG', 'dev', '/srv/surefoot/profiles.toml')
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for one in reversed(judged):
        values |= one.values
        sources |= dict.fromkeys(one.values, one.layer.source)
    filled = {path: values[path] if path in values else _default(line) for path, line in TABLE.items()}
    if profiles_path is not None and "profiles_path" not in values:
        filled["profiles_path"] = profiles_path  # a profile may name another home, and is not in that one's file
    home = filled["home"] = _expanded(filled["home"], "")
    for path, line in TABLE.items():
        if line.kind is PATH and path != "home":
            filled[path] = _expanded(filled[path], home)
    if filled["debug_mode"] and filled["logging.level"] != "DEBUG":
        filled["logging.level"], sources["logging.level"] = "DEBUG", f"debug_mode, {sources['debug_mode']}"
    return Settings(filled, sources, profile, tuple(judged))


def problems_of(judged: Iterable[Judged]) -> list[Problem]:
    """All that is wrong in some layers."""
    return [problem for one in judged for problem in one.problems]


def raise_first(problems: Sequence[Problem]) -> None:
    """Raise the first of the problems, if there is one, as a SettingsError that says how many more there are."""
    if problems:
        first = problems[0]
        more = f" ({len(problems) - 1} more: `surefoot config validate` lists all.)" if len(problems) > 1 else ""
        raise SettingsError(f"{first.place}: {first.what}", do=first.do + more)


def misread(settings: Settings, path: str) -> Problem | None:
    """What is wrong with what the environment says of a setting, if that is why another value is in force."""
    judged: Sequence[Judged] = settings._origin
    for one in judged:
        if path in one.values:
            return None
        for problem in one.problems:
            setting = find_setting(problem.key)
            if setting is not None and setting.path == path:
                return problem
    return None


def ledger_url(settings: Settings) -> str | None:
    """The setting `ledger.url`, for whoever opens the ledger.

    Raises SettingsError where the environment names one that cannot be used: what went into another meanwhile would
    never get into that one.
    """
    wrong = misread(settings, "ledger.url")
    if wrong is not None:
        raise_first([wrong])
    return settings.ledger.url


def unknown_setting(place: str, key: str, raw: Any = None) -> Problem:
    """The problem that a name is no setting's: why it is not needed if others have it, else the nearest that is one."""
    value = f" = {shown(key, raw)}" if raw is not None else ""
    if there := known_elsewhere(key):
        what = f"{key}{value} is not a setting of Surefoot, and not needed here: {there.why}."
        return Problem(place, key, what, there.do)
    nearest = nearest_setting(key)
    name = nearest.variable if key.startswith(PREFIX) else nearest.path
    return Problem(place, key, f"{key}{value} is not a setting of Surefoot.", f"The nearest valid name is {name}.")


def shown(key: str, raw: Any) -> str:
    """A value as an error tells it: masked if it is secret, cut if it is long."""
    text = repr(masked(key, raw))
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


def _is_beside_the_point(layer: Layer, key: str, raw: Any) -> bool:
    if layer.kind in ("environment", "dotenv"):
        return not key.startswith(PREFIX) or _is_read_elsewhere(key)
    # An empty table, such as `[logging]` with all its lines commented out.
    return isinstance(raw, Mapping) and any(path.startswith(key + ".") for path in TABLE)


def _is_read_elsewhere(variable: str) -> bool:
    """Whether a variable that is no setting has a meaning for some part of Surefoot."""
    return variable == "SUREFOOT_PROFILE" or variable.startswith(("SUREFOOT_TEST_", "SUREFOOT__RUNTIME__"))


def _ill_typed(layer: Layer, key: str, raw: Any, setting: Setting[Any]) -> Problem:
    return Problem(
        _place(layer, key), key, f"{key} = {shown(key, raw)} cannot be used.", f"Expected {setting.kind.expected}."
    )


def _doubled(layer: Layer, key: str, setting: Setting[Any]) -> Problem:
    return Problem(
        _place(layer, key),
        key,
        f"{key} is set twice, as {setting.path} and as {setting.variable}.",
        "Take one of them out.",
    )


def _misplaced(layer: Layer, key: str) -> Problem:
    return Problem(
        _place(layer, key),
        key,
        f"{key} cannot be set in a profile, since profiles are found by it.",
        "Set it in the environment, or in surefoot.toml.",
    )


def _place(layer: Layer, key: str) -> str:
    line = _line_of(layer, key)
    return f"{layer.source}, line {line}" if line else layer.source


def _line_of(layer: Layer, key: str) -> int:
    """The line on which a key stands; 0 if that is not plain to see."""
    wanted = f"{layer.table}.{key}" if layer.table else key
    found, table = 0, ""
    for number, line in enumerate(layer.text.splitlines(), 1):
        name, equals, _ = line.partition("=")
        name = name.strip().removeprefix("export ").replace(" ", "").replace('"', "").replace("'", "")
        if line.lstrip().startswith("["):
            table = name.strip("[]").partition("]")[0] + "."
        elif equals and table + name == wanted:
            found = number  # the last one, which is the one that counts in `.env`
    return found


def _default(setting: Setting[Any]) -> Any:
    return setting.default.copy() if isinstance(setting.default, list | dict) else setting.default


def _located(path: str, setting: Setting[Any], layer: Layer) -> str:
    """The path, from where the layer stands. Raises ValueError if it leads nowhere."""
    rest = path.replace("${SUREFOOT_HOME}", "") if setting.path != "home" else path
    if "${" in rest or os.path.expanduser(path).startswith("~"):
        raise ValueError
    starts_elsewhere = path.startswith(("~", "${SUREFOOT_HOME}")) or os.path.isabs(path)
    return path if starts_elsewhere else os.path.join(layer.folder or os.getcwd(), path)


def _expanded(path: str, home: str) -> str:
    expanded = os.path.expanduser(path.replace("${SUREFOOT_HOME}", home))
    if expanded.startswith("~"):
        raise SettingsError(
            "This user has no home directory, which is where Surefoot's folder would be.",
            do="Set SUREFOOT_HOME to a folder that you may write.",
        )
    return os.path.normpath(expanded)
