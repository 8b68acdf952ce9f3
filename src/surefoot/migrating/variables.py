"""Names of settings, as variables and dotted: what they are called here, and what is to be said of them.

May import: core.settings.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from surefoot.core.settings.elsewhere import find_elsewhere
from surefoot.core.settings.table import TABLE, nearest_setting, our_name

__all__ = ["HOME", "Named", "dotted", "is_variable", "variable"]

HOME: Final = ("${PREFECT_HOME}", "${SUREFOOT_HOME}")
_PREFIX: Final = "PREFECT_"
_SERVER: Final = "names a server of Prefect's, which Surefoot does not speak to: take it out"
# Of settings that are here too, but whose value will hardly do.
_CHECKS: Final = {
    "api.url": _SERVER,
    "api.key": _SERVER,
    "api.auth_string": _SERVER,
    "home": "names Surefoot's home now: give it a folder of its own, not Prefect's",
    "profiles_path": "names Surefoot's profiles now: give them a file of their own",
}


class Named(NamedTuple):
    """What a name becomes, and what a person should know of it; both may be None."""

    name: str | None
    look: str | None


def is_variable(text: str) -> bool:
    """Whether the whole text is the name of a variable of Prefect's.

    >>> is_variable("PREFECT_API_URL"), is_variable("see PREFECT_API_URL")
    (True, False)
    """
    return re.fullmatch(r"PREFECT_[A-Z0-9_]*[A-Z0-9]", text) is not None


def variable(name: str) -> Named:
    """What a variable of Prefect's is called here.

    >>> variable("PREFECT_LOGGING_TO_API_MAX_LOG_SIZE").name, variable("PREFECT_SERVER_API_PORT").name
    ('SUREFOOT_LOGGING_MAX_LOG_SIZE', None)
    """
    ours = "SUREFOOT_" + name.removeprefix(_PREFIX)
    if name == "PREFECT_PROFILE" or name.startswith("PREFECT__RUNTIME__"):
        return Named(ours, None)
    path = our_name(ours)
    if path is None:
        return Named(None, f"{name} {_why_not(ours)}")
    look = f"{TABLE[path].variable} {_CHECKS[path]}." if path in _CHECKS else None
    return Named(TABLE[path].variable, look)


def dotted(path: str) -> Named:
    """What a setting with a dotted name is called in a file here."""
    if path.startswith(_PREFIX):
        return variable(path)
    ours = our_name(path)
    if ours is None:
        return Named(None, f"{path} {_why_not(path)}")
    return Named(ours, f"{ours} {_CHECKS[ours]}." if ours in _CHECKS else None)


def _why_not(name: str) -> str:
    if there := find_elsewhere(name):
        return f"is not needed here: {there.why}. {there.do}"
    return f"is not a setting of Surefoot; the nearest is {nearest_setting(name).path}."
