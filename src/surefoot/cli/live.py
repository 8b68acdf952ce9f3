"""One line on stderr that tells how a flow run is doing, until it ends: done, running, failed, rate, time left.

rich is loaded only on a terminal; elsewhere a line is printed when the state changes.
May import: click, rich (late), core, client (the protocol).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from surefoot.cli.output import note
from surefoot.cli.run_page import took_text
from surefoot.cli.times import duration
from surefoot.client.protocol import Client
from surefoot.core.clock import get_clock
from surefoot.core.states import NAMES, StateType, is_final
from surefoot.core.wire import FlowRun, RunCounts, TaskRunFilter

__all__ = ["Progress", "watch"]

_POLL_S: Final = 0.5
_RATE_OVER: Final = 20  # looks, so about ten seconds
_TYPE_OF: Final = {name: kind for kind, names in NAMES.items() for name in names}


class Progress:
    """Turns what is seen of a flow run, look by look, into one line."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, int]] = deque(maxlen=_RATE_OVER)  # (monotonic microseconds, task runs done)

    def line(self, run: FlowRun, counts: RunCounts, now: datetime) -> str:
        """The line for what is there now."""
        sums = dict.fromkeys(StateType, 0)
        for name, count in counts.by_name.items():
            sums[_TYPE_OF.get(name, StateType.COMPLETED)] += count
        done = sum(count for kind, count in sums.items() if is_final(kind))
        bad = sums[StateType.FAILED] + sums[StateType.CRASHED]
        running = sums[StateType.RUNNING]
        waiting = counts.total - done - running
        self._looks.append((get_clock().mono_us(), done))
        parts = [f"{done:,} done"] if counts.total else []
        parts += [
            f"{count:,} {word}"
            for count, word in ((running, "running"), (waiting, "waiting"), (bad, "failed"))
            if count
        ]
        rate = self._rate()
        parts += [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"] if rate else []
        parts += [f"about {duration((counts.total - done) / rate)} left"] if rate and done < counts.total else []
        return "   ".join([run.name, run.state_name, took_text(run, now), " | ".join(parts)]).rstrip()

    def _rate(self) -> float:
        (first_us, first), (last_us, last) = self._looks[0], self._looks[-1]
        return (last - first) / ((last_us - first_us) / 1e6) if last_us > first_us else 0.0


def watch(client: Client, run: FlowRun, now: Callable[[], datetime], timeout_s: float | None) -> FlowRun:
    """The flow run at its end, or as it was when `timeout_s` had passed."""
    clock = get_clock()
    until_us = None if timeout_s is None else clock.mono_us() + round(timeout_s * 1e6)
    progress = Progress()
    with _shown_line() as show:
        while True:
            counts = client.task_run_counts(TaskRunFilter(flow_run_id=[run.id]))
            show(progress.line(run, counts, now()), f"{run.name}   {run.state_name}")
            if is_final(run.state_type) or (until_us is not None and clock.mono_us() >= until_us):
                return run
            left_s = _POLL_S if until_us is None else min(_POLL_S, max(until_us - clock.mono_us(), 0) / 1e6)
            clock.sleep(left_s)
            run = client.find_flow_run(run.id)


@contextmanager
def _shown_line() -> Iterator[Callable[[str, str], None]]:
    """Shows a line in place of the one before; without a terminal, a shorter one whenever that changes."""
    if not sys.stderr.isatty():
        said: list[str] = [""]

        def say_changes(line: str, short: str) -> None:
            if short != said[0]:
                said[0] = short
                note(short)

        yield say_changes
        return
    from rich.console import Console  # a door: half a tenth of a second, that only a watched terminal pays
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as live:
        yield lambda line, short: live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
