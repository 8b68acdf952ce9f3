"""Commands that people are told to type, as they have to be typed here: with the profile that this command was given.

A profile that the environment names is in force for the next command, too, and needs no word. May import: nothing.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["as_typed", "give_profile", "profile_words"]

_COMMAND: Final = re.compile(r"(?<![\w./-])surefoot (?=[a-z])")
_profile: str | None = None


def give_profile(name: str | None) -> None:
    """This command was given that profile by `--profile`; None: it was given none."""
    global _profile
    _profile = name


def profile_words() -> list[str]:
    """What stands between `surefoot` and a command of it, for this command's profile to be in force there.

    >>> give_profile("dev")
    >>> profile_words()
    ['--profile', 'dev']
    >>> give_profile(None)
    >>> profile_words()
    []
    """
    return [] if _profile is None else ["--profile", _profile]


def as_typed(told: str) -> str:
    """A text of ours, in which each command has the profile that this command was given.

    >>> give_profile("dev")
    >>> as_typed("To see why: surefoot why brave-otter")
    'To see why: surefoot --profile dev why brave-otter'
    >>> give_profile(None)
    """
    if _profile is None:
        return told
    import shlex  # a door: only where a profile was given

    return _COMMAND.sub(lambda _: f"surefoot --profile {shlex.quote(_profile)} ", told)
