"""What Python cannot raise: an interruption that came while a finalizer or a callback of the garbage collector ran.

Python drops what is raised there, with a word on stderr, and the run that it was for would go on. While runs are on, a
hook takes such an interruption back to the thread's gate, and has it raised again when the finalizer is over. All else
goes to the hook that was there before. Keeps promise 6. May import: core, timers.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.os.threads import HOOKS, SHUT, THIS_THREAD, Gate
from surefoot.engine.timers import call_later

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["taken_back"]

AGAIN_S: Final = 0.001  # by then the finalizer is over, mostly
AGAIN_MAX_S: Final = 0.1

_Hook = Callable[["UnraisableHookArgs"], Any]


class _TakenBack:
    """A context in which the hook is in place. For any thread; it holds no lock, as in `timers`."""

    def __init__(self) -> None:
        self._users: list[None] = []
        self._before: _Hook = sys.__unraisablehook__
        self._handled = threading.local()  # what the hook is at, should the one before come back to it

    def __enter__(self) -> None:
        self._users.append(None)
        self._put_in()

    def __exit__(self, *_: object) -> None:
        self._users.pop()
        if not self._users and sys.unraisablehook == self._hook:
            sys.unraisablehook = self._before
            if self._users:  # somebody came just now, and saw it in place
                self._put_in()

    def _put_in(self) -> None:
        here = sys.unraisablehook
        if here != self._hook:
            self._before = here
            sys.unraisablehook = self._hook

    def _hook(self, told: UnraisableHookArgs) -> None:
        gate, error = THIS_THREAD.gate, told.exc_value
        if gate is None or error is None or gate.opened == SHUT:
            self._pass_on(told)
            return
        # Whatever is raised in here would be lost as well, so it waits too (`cannot_raise`).
        opened, gate.opened = gate.opened, SHUT
        if not gate.take_back(error):
            self._pass_on(told)
        is_sent = False
        while True:
            if not is_sent and (gate.pending is not None or gate.called_for is not None):
                gate.opened = SHUT
                is_sent = True
                _prod_later(gate, AGAIN_S)
            gate.opened = opened
            # After this look nothing comes before the end: there is no call, and no jump backwards.
            if is_sent or (gate.pending is None and gate.called_for is None):
                return

    def _pass_on(self, told: UnraisableHookArgs) -> None:
        if getattr(self._handled, "told", None) is told:
            return
        self._handled.told = told
        try:
            self._before(told)
        finally:
            self._handled.told = None


def _prod_later(gate: Gate, seconds: float) -> None:
    def prod() -> None:
        if gate.prod():
            _prod_later(gate, min(2 * seconds, AGAIN_MAX_S))

    call_later(seconds, prod)


taken_back: Final = _TakenBack()
HOOKS.add(_TakenBack._hook.__code__)
