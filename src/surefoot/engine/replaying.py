"""Replaying: the task of one recorded run is called again with the inputs that it had, and nothing is recorded.

Its flow's body runs again up to there. Every other run in it gives the value that was kept; one without fails, and so
does what needs it. After the call the flow run is stopped. May import: core, commands, resuming.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from surefoot.core.clock import get_clock
from surefoot.core.delays import delays_of
from surefoot.core.errors import Refused
from surefoot.core.states import CANCELLED, COMPLETED, FAILED, HAD_COMPLETED
from surefoot.engine.calling import guarded
from surefoot.engine.commands import cancel
from surefoot.engine.effects import Outcome, Raised, Verdict
from surefoot.engine.lifecycle import Rules
from surefoot.engine.reaching import within
from surefoot.engine.resuming import Kept, Resuming

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["Replaying"]


class Replaying:
    """What becomes of the runs of a flow run while one task of it is replayed.

    Args:
        target: the task run.
        between: the runs that it is called within.
        runner: what submitted tasks run on: in this process, so that a debugger reaches them.
        call: calls the function with its arguments, in place of a plain call.
        failed: told of what the function raised, while its frames are there.
    """

    def __init__(
        self,
        target: bytes,
        between: frozenset[bytes],
        runner: Any,
        *,
        call: Callable[..., Any] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.rules = Rules(
            retries=0,
            delays=delays_of(0, 0, None),
            draw=lambda: 0.0,
            timeout_s=None,
            hooks=frozenset(),
            conditional=False,
        )
        self.runner = runner
        self.outcome: Outcome | None = None
        self.seconds = 0.0  # how long the call took
        self.missing: dict[bytes, str] = {}  # runs without a kept value, and why
        self._target = target
        self._between = between
        self._call = call
        self._failed = failed
        self._reached: Execution | None = None
        self._lock = Lock()

    def look_up(self, execution: Execution, resuming: Resuming) -> Verdict | str | None:
        """The value of a run that is not to be called; None if it is."""
        reached = self._reached
        if execution.run_id == self._target and execution.earlier is not None:
            return self._replay(execution)
        is_inside = reached is not None and within(execution, reached)
        if reached is not None and not is_inside:
            return Verdict(CANCELLED, "Cancelled", _OVER)
        if execution.run_id in self._between:
            return None
        earlier = execution.earlier
        kept = "the recorded run has no run of it with these inputs" if earlier is None else resuming.recorded(earlier)
        if isinstance(kept, Kept):
            if execution.is_task and execution.flow is not None:
                execution.flow.links.add(kept.value, execution.run_id)
            return Verdict(COMPLETED, "Cached", f"{HAD_COMPLETED} in epoch {kept.at.epoch}", kept.value)
        if is_inside:
            return None
        why = f"{execution.definition.name if earlier is None else earlier.name}: {kept}"
        self.missing[execution.run_id] = why
        return Verdict(FAILED, "Failed", why, Refused(f"There is no kept value of {why}."))

    def _replay(self, execution: Execution) -> Verdict:
        with self._lock:
            if self._reached is not None:
                return Verdict(CANCELLED, "Cancelled", _OVER)
            self._reached = execution
        upstream = {run_id for name, runs in execution.inputs if name != "wait_for" for run_id in runs}
        lost = [why for run_id, why in self.missing.items() if run_id in upstream]
        if lost:
            self.outcome = Raised(Refused(f"An input of the task is not kept: {lost[0]}."))
        else:
            args, kwargs = execution.call_arguments()
            fn = execution.definition.body
            if self._call is not None:
                fn = partial(self._call, fn)
            elif inspect.isasyncgenfunction(fn):
                fn = partial(_values_of, fn)
            clock = get_clock()
            began_us = clock.mono_us()
            self.outcome = guarded(execution, None, fn, *args, **kwargs)
            self.seconds = (clock.mono_us() - began_us) / 1e6
            if type(self.outcome) is Raised and self._failed is not None:
                self._failed(self.outcome.error)
        outer: Execution = execution
        while outer.parent is not None:
            outer = outer.parent
        # From another thread, as whoever stops a run has to.
        stopping = Thread(target=cancel, args=(outer.run_id, _OVER), daemon=True)
        stopping.start()
        stopping.join()
        return Verdict(CANCELLED, "Cancelled", _OVER)


async def _values_of(fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any) -> list[Any]:
    """What an asynchronous generator yields: nobody is there to take its values one by one."""
    return [value async for value in fn(*args, **kwargs)]


_OVER = "the task was replayed"
