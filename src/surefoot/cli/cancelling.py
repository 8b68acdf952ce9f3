"""What `flow-run cancel` and `task-run cancel` have in common: which runs, the question, and what came of it.

May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import click

from surefoot.cli.consent import agree
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, write_array
from surefoot.cli.run_page import typed
from surefoot.cli.runs import Asked, Chosen, Runs, choose, preview, yes_option
from surefoot.cli.times import duration
from surefoot.core.clock import get_clock
from surefoot.core.errors import Refused
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRun, FlowRunFilter, Request, TaskRun, TaskRunFilter

__all__ = ["cancel_options", "cancel_runs"]

OPEN: Final = [kind for kind in StateType if kind not in FINAL]
LOOK_S: Final = 0.02  # how soon it is looked what came of it; then less and less often
LOOK_S_MAX: Final = 0.25
_AT_ONCE: Final = 200

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", FlowRun, TaskRun)
W = TypeVar("W", FlowRunFilter, TaskRunFilter)


class _Ask(NamedTuple):
    """One run that was asked to stop."""

    run_id: str
    name: str
    request: Request | None  # None: it had ended already, or could not be asked
    why: str = ""  # it could not be


def cancel_options(function: F) -> F:
    """The options that both commands have."""
    function = output_option(function)
    function = click.option(
        "--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to wait for the end."
    )(function)
    function = click.option("--no-wait", is_flag=True, help="Ask, and do not wait until they have ended.")(function)
    return yes_option(function)


def cancel_runs(runs: Runs[R, W], asked: Asked, *, yes: bool, no_wait: bool, timeout: float, output: Output) -> Exit:
    """Cancel the runs that were named, or those that fit."""
    chosen = choose(runs, asked, "cancel", OPEN)
    if not chosen:
        note(f"No {runs.noun} that has not ended fits. All: `surefoot {runs.command} ls`.")
        if output != "table":
            write_array([], output)
        return Exit.DONE
    if not asked.runs:
        preview(chosen, runs.noun)
        these = f"this {runs.noun}" if len(chosen) == 1 else f"these {len(chosen):,} {runs.noun}s"
        agree(f"Cancel {these}?", yes)
    # Those that called others come first; with them the others end.
    asks = [_ask(runs, run, is_only=len(asked.runs) == 1) for run in sorted(chosen)]
    ended = _seen(runs, asks) if no_wait else _awaited(runs, asks, timeout)
    if output == "table":
        say([_told(ask, ended.get(ask.run_id), None if no_wait else timeout) for ask in asks])
    else:
        write_array([[ended[ask.run_id] for ask in asks if ask.run_id in ended]], output)
    if no_wait or all(run.state_type is StateType.CANCELLED for run in ended.values()):
        return Exit.DONE
    return Exit.NOT_COMPLETED


def _ask(runs: Runs[R, W], run: Chosen, *, is_only: bool) -> _Ask:
    try:
        return _Ask(run.id, run.name, runs.cancel(run.id))
    except Refused as error:
        if is_only:
            raise
        return _Ask(run.id, run.name, None, str(error))


def _seen(runs: Runs[R, W], asks: Sequence[_Ask]) -> dict[str, R]:
    ids = [ask.run_id for ask in asks]
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    return {run.id: run for part in parts for run in runs.by_ids(part)}


def _awaited(runs: Runs[R, W], asks: Sequence[_Ask], timeout: float) -> dict[str, R]:
    """The runs as they are when all have ended, or `timeout` seconds have passed."""
    clock = get_clock()
    until_us = clock.mono_us() + round(timeout * 1e6)
    pause_s = LOOK_S
    seen: dict[str, R] = {}
    left = list(asks)
    while True:
        seen |= _seen(runs, left)
        left = [
            ask
            for ask in left
            if ask.request is not None and ask.run_id in seen and seen[ask.run_id].state_type not in FINAL
        ]
        left_us = until_us - clock.mono_us()
        if not left or left_us <= 0:
            return seen
        clock.sleep(min(pause_s, left_us / 1e6))
        pause_s = min(pause_s * 1.5, LOOK_S_MAX)


def _told(ask: _Ask, run: FlowRun | TaskRun | None, timeout: float | None) -> str:
    if run is None:
        return f"{ask.name} was deleted meanwhile."
    name = typed(run.name)
    if ask.request is None and run.state_type not in FINAL:
        return f"{run.name} was not asked to stop. {ask.why}"
    if ask.request is None:
        return f"{run.name} had ended already: it is {run.state_name}."
    if run.state_type not in FINAL:
        waited = "was asked to stop" if timeout is None else f"has not stopped after {duration(timeout)}"
        return f"{run.name} {waited}. To see it: surefoot why {name}"
    after = duration(max(((run.end_time or run.state.timestamp) - ask.request.asked).total_seconds(), 0))
    if run.state_type is StateType.CANCELLED:
        return f"{run.name} was cancelled after {after}."
    return f"{run.name} ended {run.state_name} after {after}, before it could be cancelled. Why: surefoot why {name}"
