"""What comes where Python can raise nothing: in a finalizer, or in a callback of a weak reference or of the garbage
collector. Python prints such an exception and goes on; here it is sent once more when that is over. Keeps promise 6.

May import: core.os.threads.
"""

from __future__ import annotations

import sys
from typing import Any

from surefoot.core.os.threads import SHUT, THIS_THREAD

__all__ = ["watch"]


class _Hook:
    """In place of `sys.unraisablehook`. All else goes on to the hook that was found."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        gate = THIS_THREAD.gate
        if gate is None:
            self._before(unraisable)
            return
        opened, gate.opened = gate.opened, SHUT  # not by `shut`: at a call another one would be let in, and lost
        waited = gate.pending
        try:
            again = gate.take_back(unraisable.exc_value)
            try:
                if again is None:
                    self._before(unraisable)
            finally:
                if gate.pending is not waited:  # also what came while that hook was at work
                    again = gate.pending
                if opened and again is not None:
                    gate.come_again(again)
        finally:
            gate.opened = opened  # last: from here on it would be raised here


def watch() -> None:
    """From now on what is lost so comes again. The hook stays, since others may have put theirs before it."""
    before = sys.unraisablehook
    if not isinstance(before, _Hook):  # nor where one of ours was put back
        sys.unraisablehook = _Hook(before)
