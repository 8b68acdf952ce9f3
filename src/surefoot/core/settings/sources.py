"""Where settings come from: the environment, `.env`, `surefoot.toml`, `pyproject.toml`, a profile. The first wins.

A plain script pays for this when it starts: what is not there costs one failed open each, and the TOML parser is loaded
only for a file that exists. May import: core.settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from surefoot.core.errors import NotFound, SettingsError
from surefoot.core.settings.documents import parse_dotenv, parse_toml, read_file
from surefoot.core.settings.layers import Judged, Layer, Problem, flatten, judge, merge, problems_of, raise_first
from surefoot.core.settings.profiles import Profiles, entries_of, read_profiles
from surefoot.core.settings.table import PREFIX, TABLE, Settings

__all__ = ["find_problems", "find_profiles", "load_settings", "profile_layer"]

_PROFILE: Final = "SUREFOOT_PROFILE"
_LEDGER_URL: Final = TABLE["ledger.url"].variable


def load_settings(environ: Mapping[str, str] | None = None, folder: str | None = None) -> Settings:
    """Read and merge all layers: of this process's environment and current folder, or of those given.

    Raises SettingsError for a mistake in a file, and NotFound for a profile that does not exist. A mistake in the
    environment is a warning, once per process, and an error if the setting `strict` says so. One in the URL of the
    ledger is told by whoever needs that: nothing is to go into another ledger (`layers.ledger_url`).
    """
    outer = _outer(environ, folder)
    raise_first(problems_of(outer[1:]))
    base, profiles, name = _chosen_profile(outer)
    inner = judge(profile_layer(profiles, name))
    raise_first(inner.problems)
    # Most homes have no profile that says anything.
    judged = [*outer, inner] if inner.values else outer
    settings = merge(judged, profile=name, profiles_path=base.profiles_path)
    mistakes = outer[0].problems
    if settings.strict:
        raise_first(mistakes)
    elif ignored := [one for one in mistakes if one.key != _LEDGER_URL]:
        _warn_once(ignored)
    return settings


def find_profiles(environ: Mapping[str, str] | None = None, folder: str | None = None) -> tuple[Profiles, str]:
    """The profiles, and the name of the one in force, whether or not it is there and its entries are settings."""
    _, profiles, name = _chosen_profile(_outer(environ, folder))
    return profiles, name


def find_problems(environ: Mapping[str, str] | None = None, folder: str | None = None) -> list[str]:
    """All that is wrong, a line each: the environment taken strictly, files, and every profile."""
    problems: list[str] = []
    outer = _outer(environ, folder, problems)
    problems += map(str, problems_of(outer))
    try:
        _, profiles, name = _chosen_profile(outer)
    except SettingsError as error:
        return [*problems, str(error)]
    try:
        entries_of(profiles, name)
    except NotFound as error:
        problems.append(str(error))
    for each in profiles.tables:
        problems += map(str, judge(profile_layer(profiles, each)).problems)
    return problems


def profile_layer(profiles: Profiles, name: str) -> Layer:
    """What a profile says, as a layer. Raises NotFound if there is none of that name."""
    return Layer(
        "profile",
        f"{profiles.path}, profile {name!r}",
        entries_of(profiles, name),
        folder=os.path.dirname(profiles.path),
        text=profiles.text,
        table=f"profiles.{name}",
    )


def _outer(environ: Mapping[str, str] | None, folder: str | None, wrong: list[str] | None = None) -> list[Judged]:
    """The layers above the profile, first the environment, which is always there. Broken files go to `wrong`."""
    environ = os.environ if environ is None else environ
    variables = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    folder = _current_folder() if folder is None else folder
    outer = [judge(Layer("environment", "the environment", variables, folder))]
    for name, read in _FILES.items() if folder else ():
        try:
            layer = read(os.path.join(folder, name), folder)
        except SettingsError as error:
            if wrong is None:
                raise
            wrong.append(str(error))
        else:
            if layer is not None:
                outer.append(judge(layer))
    return outer


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed, so no file stands in it
        return ""


def _dotenv(path: str, folder: str) -> Layer | None:
    text = read_file(path)
    return None if text is None else Layer("dotenv", path, parse_dotenv(text), folder, text)


def _surefoot_toml(path: str, folder: str) -> Layer | None:
    text = read_file(path)
    return None if text is None else Layer("file", path, dict(flatten(parse_toml(path, text))), folder, text)


def _pyproject(path: str, folder: str) -> Layer | None:
    text = read_file(path)
    if text is None or "surefoot" not in text:  # a project that says nothing to us is not parsed
        return None
    tool = parse_toml(path, text).get("tool")
    table = tool.get("surefoot", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: tool.surefoot = {table!r} is no table.", do="Write it as [tool.surefoot].")
    return Layer("file", f"{path}, [tool.surefoot]", dict(flatten(table)), folder, text, "tool.surefoot")


_FILES: Final[dict[str, Callable[[str, str], Layer | None]]] = {
    ".env": _dotenv,
    "surefoot.toml": _surefoot_toml,
    "pyproject.toml": _pyproject,
}


def _chosen_profile(outer: Sequence[Judged]) -> tuple[Settings, Profiles, str]:
    """What the layers above say alone, the profiles found by that, and the name of the one in force."""
    base = merge(outer)
    profiles = read_profiles(base.profiles_path)
    named = (one.layer.entries.get(_PROFILE) for one in outer if one.layer.kind in ("environment", "dotenv"))
    return base, profiles, next(filter(None, named), profiles.active)


_unwarned: Final = iter((True,))


def _warn_once(mistakes: Sequence[Problem]) -> None:
    # next() hands True to one caller, whatever threads there are.
    if next(_unwarned, False) and sys.stderr is not None:
        told = " ".join(f"{problem.what} {problem.do}" for problem in mistakes)
        sys.stderr.write(f"surefoot: ignored in the environment: {told}\n")
