"""Tending: a process that ends and finds much, or old, unfolded journal has the home seen to, and does not wait for it.

What is started is `surefoot db fold --quietly`: one at a time, of low priority, with this process's home and settings.
Keeps promise 8 where nobody reads. May import: journal, core.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from surefoot.core.os.detached import start_detached
from surefoot.core.settings import Settings
from surefoot.core.settings.kinds import text_of
from surefoot.core.settings.layers import misread
from surefoot.core.settings.table import TABLE
from surefoot.journal.backlog import is_due, note_upkeep
from surefoot.journal.home import Home

__all__ = ["tend"]

_HANDED_ON: Final = ("home", "profiles_path", "ledger.", "retention.", "results.")
_HOUR_US: Final = 3_600_000_000


def tend(settings: Settings) -> None:
    """Start an upkeep of the home of `settings` if one is due, and they do not forbid it. Costs nothing otherwise.

    Where they name no ledger that there can be, it would be refused.
    """
    if not settings.get("ledger.fold_at_exit") or _is_child() or misread(settings, "ledger.url") is not None:
        return
    home = Home(settings.get("home"))
    least_us = round(settings.get("ledger.fold_at_exit_hours") * _HOUR_US)
    if not sys.executable or not is_due(home, settings.get("ledger.fold_at_exit_bytes"), least_us):
        return
    try:
        note_upkeep(home)  # before it is started: of many that end at once, few find it due
        start_detached([sys.executable, "-P", "-m", "surefoot", "db", "fold", "--quietly"], _environ(settings))
    except OSError:
        pass  # no memory, no processes left: the next one that ends will do it


def _is_child() -> bool:
    """Whether this is a child of `multiprocessing`: its parent ends later."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


def _environ(settings: Settings) -> dict[str, str]:
    """This process's environment, in which what files and the program itself say of the ledger stands as well."""
    environ = dict(os.environ)
    for path, setting in TABLE.items():
        if path.startswith(_HANDED_ON) and (settings.source_of(path) is not None or path == "home"):
            environ[setting.variable] = text_of(settings.get(path))
    return environ
