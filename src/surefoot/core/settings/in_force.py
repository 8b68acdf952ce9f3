"""The settings in force in this process: read once, again when the environment changes, covered for a while by a test.

May import: core.settings, msgspec.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from surefoot.core.settings.layers import Judged, Layer, judge, merge, raise_first
from surefoot.core.settings.sources import load_settings
from surefoot.core.settings.table import PREFIX, Settings

__all__ = ["adopt", "current", "refresh", "reload", "settings_in_force", "temporary_settings"]


class _Loaded(msgspec.Struct, frozen=True):
    settings: Settings
    environment: dict[Any, Any]  # all of it, as it was
    variables: list[tuple[str, str]]  # the part that settings depend on


_loaded: _Loaded | None = None
_temporary: Final[ContextVar[Settings | None]] = ContextVar("surefoot_temporary_settings", default=None)


def current() -> Settings:
    """The settings in force, as they were last read."""
    return _temporary.get() or (_loaded.settings if _loaded is not None else reload())


def refresh() -> Settings:
    """The settings in force; the same object as before unless the environment says something else now.

    Files and the current folder are looked at when settings are read, not again: a program that changes its folder
    keeps its home. Costs less than a microsecond when nothing changed.
    """
    temporary = _temporary.get()
    if temporary is not None:
        return temporary
    if _loaded is None:
        return reload()
    if _environment() != _loaded.environment:
        if _variables() != _loaded.variables:
            return reload()
        _keep(_loaded.settings)
    return _loaded.settings


def reload() -> Settings:
    """Read all settings again, files included."""
    settings = load_settings()
    _keep(settings)
    return settings


def adopt(settings: Settings) -> None:
    """Take these from another process, whose environment this one has too."""
    _keep(settings)


@contextmanager
def settings_in_force(settings: Settings) -> Iterator[Settings]:
    """These settings, which may be from another process, for the length of a `with`; those that are, if they are the
    same.
    """
    here = refresh()
    token = _temporary.set(here if here == settings else settings)
    try:
        yield current()
    finally:
        _temporary.reset(token)


@contextmanager
def temporary_settings(updates: Mapping[str, Any]) -> Iterator[Settings]:
    """Settings for the length of a `with`, above all others; names are dotted or as in the environment.

    They hold in this context (PEP 567), so in runs that are started there, and not in threads of your own.

    >>> with temporary_settings({"logging.level": "DEBUG", "SUREFOOT_TASKS_DEFAULT_RETRIES": 2}) as settings:
    ...     settings.logging.level, settings.tasks.default_retries
    ('DEBUG', 2)
    """
    top = judge(Layer("call", "temporary_settings", updates))
    raise_first(top.problems)
    base = refresh()
    below: tuple[Judged, ...] = base._origin
    token = _temporary.set(merge([top, *below], profile=base.profile, profiles_path=base.profiles_path))
    try:
        yield current()
    finally:
        _temporary.reset(token)


def _keep(settings: Settings) -> None:
    global _loaded
    _loaded = _Loaded(settings, dict(_environment()), _variables())


def _environment() -> Any:
    # os.environ decodes what is looked at, 40 microseconds for all of it; the dict that it keeps takes half of one.
    return getattr(os.environ, "_data", os.environ)


def _variables() -> list[tuple[str, str]]:
    return sorted((k, v) for k, v in os.environ.items() if k.startswith(PREFIX) or k in ("HOME", "USERPROFILE"))
