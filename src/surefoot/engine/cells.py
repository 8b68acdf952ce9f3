"""A notebook's cell as a place to show something: one line that is updated in place. Needs no import of IPython.

May import: nothing of ours.
"""

from __future__ import annotations

import os
import sys
from contextvars import copy_context
from typing import Any

__all__ = ["CellLine", "cell_line"]


class CellLine:
    """One line under the cell in which it was made, whichever thread updates it."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._context = copy_context()  # the kernel looks there for the cell that an output belongs to
        self._id = os.urandom(8).hex()
        self.is_shown = False

    def show(self, text: str) -> bool:
        """Put this text there. False if the notebook does not take it."""
        try:
            self._context.copy().run(self._publish, text)
        except Exception:  # a line of progress is never worth a run
            return False
        self.is_shown = True
        return True

    def _publish(self, text: str) -> None:
        self._publisher.publish({"text/plain": text}, transient={"display_id": self._id}, update=self.is_shown)


def cell_line(stream: Any) -> CellLine | None:
    """A line under the cell that runs here; None if `stream` is not what a notebook shows under its cells."""
    if not type(stream).__module__.startswith("ipykernel."):
        return None
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    publisher = getattr(shell, "display_pub", None)
    return None if publisher is None else CellLine(publisher)
