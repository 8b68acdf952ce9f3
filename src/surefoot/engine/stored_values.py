"""Stored values: what stands in memory for a result that was stored and is read again where it is used.

May import: core, results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.core.run_state import Elsewhere
from surefoot.core.states import COMPLETED
from surefoot.results.loading import load

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["StoredValue", "let_go_of_value"]


class StoredValue(Elsewhere):
    """A result on the disk."""

    __slots__ = ("at", "home", "run_id")

    def __init__(self, home: str, at: ResultAt, run_id: str) -> None:
        self.home = home
        self.at = at
        self.run_id = run_id

    def value(self) -> Any:
        return load(self.home, self.at, run_id=self.run_id)

    def __repr__(self) -> str:
        return f"<stored in {self.at.place}>"


def let_go_of_value(execution: Execution) -> None:
    """Let a run that has ended keep only where its value is stored; if that is nowhere, the value itself."""
    if execution.state_type is COMPLETED and execution.result is not None:
        home = execution.session.settings.get("home")
        execution.data = StoredValue(home, execution.result, to_text(execution.run_id))
        execution._state = None
