"""The colours of states: one table, for the terminal and for pages. A state's name always stands beside its colour.

May import: core.states.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from surefoot.core.states import StateType

__all__ = ["STATE_COLOURS", "Colour"]


class Colour(NamedTuple):
    """One role in three places."""

    terminal: str  # one of the sixteen names of ANSI, so that it follows the terminal's own theme
    light: str  # on a light page
    dark: str  # on a dark page


STATE_COLOURS: Final[dict[StateType, Colour]] = {
    StateType.SCHEDULED: Colour("yellow", "#8a6100", "#e8b93c"),
    StateType.PENDING: Colour("bright_black", "#5b6470", "#a3adba"),
    StateType.RUNNING: Colour("blue", "#0b62c4", "#6cb0ff"),
    StateType.PAUSED: Colour("magenta", "#7a3fb0", "#c79bf2"),
    StateType.CANCELLING: Colour("bright_black", "#5b6470", "#a3adba"),
    StateType.CANCELLED: Colour("bright_black", "#5b6470", "#a3adba"),
    StateType.COMPLETED: Colour("green", "#1a7a3c", "#5fd38a"),
    StateType.FAILED: Colour("red", "#c0271a", "#ff8a7d"),
    StateType.CRASHED: Colour("bright_red", "#b34700", "#ffa566"),
}
