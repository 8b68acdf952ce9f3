"""core.settings: the settings, from the table of all there are to the ones in force.

    table         every setting, a line each        kinds     what a value may be
    documents     TOML and `.env` as text           layers    what a place says, merged into settings
    profiles      the named sets                    sources   all places, read
    profile_text  what their file should say        in_force  the process's own, kept

All is pure but `sources`, `in_force`, and the functions that read or save a file. May import: msgspec.
"""

from surefoot.core.settings.in_force import adopt, current, refresh, reload, settings_in_force, temporary_settings
from surefoot.core.settings.layers import ledger_url
from surefoot.core.settings.sources import load_settings
from surefoot.core.settings.table import Settings

__all__ = [
    "Settings",
    "adopt",
    "current",
    "ledger_url",
    "load_settings",
    "refresh",
    "reload",
    "settings_in_force",
    "temporary_settings",
]
