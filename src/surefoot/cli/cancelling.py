"""What `flow-run cancel` and `task-run cancel` have in common: which runs, the question, and what came of it.

May import: click, core, client (the protocol), the parts of cli.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import click

from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, note, output_option, say, walk, write_array
from surefoot.cli.run_page import typed
from surefoot.cli.table import Cell, screen_width, state_of, table
from surefoot.cli.times import duration
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput, Refused
from surefoot.core.states import FINAL, StateType
from surefoot.core.wire import FlowRun, Page, Request, TaskRun

__all__ = ["OPEN", "Cancelling", "cancel_options", "cancel_runs"]

OPEN: Final = [kind for kind in StateType if kind not in FINAL]
PREVIEWED: Final = 20
LOOK_S: Final = 0.02  # how soon it is looked what came of it; then less and less often
LOOK_S_MAX: Final = 0.25
_AT_ONCE: Final = 200

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", FlowRun, TaskRun)


class Cancelling(NamedTuple, Generic[R]):
    """How runs of one kind are found and asked to stop."""

    noun: str  # "flow run"
    find: Callable[[str], R]
    fitting: Callable[[int, str | None], Page[R]] | None  # a page of those that a filter fits; None without a filter
    by_ids: Callable[[list[str]], list[R]]
    ask: Callable[[str], Request]

    @property
    def command(self) -> str:
        """The command for runs of this kind."""
        return self.noun.replace(" ", "-")


class _Ask(NamedTuple):
    """One run that was asked to stop."""

    run_id: str
    name: str
    request: Request | None  # None: it had ended already


def cancel_options(function: F) -> F:
    """The options that both commands have."""
    function = output_option(function)
    function = click.option(
        "--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Seconds to wait for the end."
    )(function)
    function = click.option("--no-wait", is_flag=True, help="Ask, and do not wait until they have ended.")(function)
    return click.option("--yes", is_flag=True, help="Do not ask whether the runs that fit are meant.")(function)


def cancel_runs(
    kind: Cancelling[R], references: Sequence[str], *, yes: bool, no_wait: bool, timeout: float, output: Output
) -> Exit:
    """Cancel the runs that were named, or those that fit."""
    runs = _wanted(kind, references)
    if not runs:
        note(f"No {kind.noun} that has not ended fits. All: `surefoot {kind.command} ls`.")
        if output != "table":
            write_array([], output)
        return Exit.DONE
    if not references and not yes:
        _confirm(kind, runs)
    # Those that called others come first; with them the others end.
    asks = [_ask(kind, run, is_only=len(references) == 1) for run in sorted(runs, key=lambda run: run.id)]
    ended = _seen(kind, asks) if no_wait else _awaited(kind, asks, timeout)
    if output == "table":
        say([_told(kind, ask, ended.get(ask.run_id), None if no_wait else timeout) for ask in asks])
    else:
        write_array([[ended[ask.run_id] for ask in asks if ask.run_id in ended]], output)
    if no_wait or all(run.state_type is StateType.CANCELLED for run in ended.values()):
        return Exit.DONE
    return Exit.NOT_COMPLETED


def _wanted(kind: Cancelling[R], references: Sequence[str]) -> list[R]:
    if bool(references) == (kind.fitting is not None):
        has = "both names and a filter" if references else f"neither the name of a {kind.noun} nor a filter"
        raise BadInput(
            f"`surefoot {kind.command} cancel` got {has}.",
            do=f"Type one: surefoot {kind.command} cancel NAME, or surefoot {kind.command} cancel --state Running",
        )
    if kind.fitting is None:
        found = [kind.find(reference) for reference in references]
    else:
        found = [run for page in walk(kind.fitting) for run in page.results]
    return list({run.id: run for run in found}.values())


def _confirm(kind: Cancelling[R], runs: Sequence[R]) -> None:
    rows: list[list[str | Cell]] = [
        [run.name, run.flow_name if isinstance(run, FlowRun) else run.task_name, state_of(run)]
        for run in runs[:PREVIEWED]
    ]
    head = ["NAME", kind.noun.partition(" ")[0].upper(), "STATE"]
    for line in table(head, rows, width=screen_width()):
        click.echo(line, err=True)
    if len(runs) > PREVIEWED:
        note(f"... and {len(runs) - PREVIEWED:,} more")
    these = f"this {kind.noun}" if len(runs) == 1 else f"these {len(runs):,} {kind.noun}s"
    click.confirm(f"Cancel {these}?", abort=True, err=True)


def _ask(kind: Cancelling[R], run: R, *, is_only: bool) -> _Ask:
    try:
        return _Ask(run.id, run.name, kind.ask(run.id))
    except Refused:
        if is_only:
            raise
        return _Ask(run.id, run.name, None)


def _seen(kind: Cancelling[R], asks: Sequence[_Ask]) -> dict[str, R]:
    ids = [ask.run_id for ask in asks]
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    return {run.id: run for part in parts for run in kind.by_ids(part)}


def _awaited(kind: Cancelling[R], asks: Sequence[_Ask], timeout: float) -> dict[str, R]:
    """The runs as they are when all have ended, or `timeout` seconds have passed."""
    clock = get_clock()
    until_us = clock.mono_us() + round(timeout * 1e6)
    pause_s = LOOK_S
    seen: dict[str, R] = {}
    left = list(asks)
    while True:
        seen |= _seen(kind, left)
        left = [ask for ask in left if ask.run_id in seen and seen[ask.run_id].state_type not in FINAL]
        left_us = until_us - clock.mono_us()
        if not left or left_us <= 0:
            return seen
        clock.sleep(min(pause_s, left_us / 1e6))
        pause_s = min(pause_s * 1.5, LOOK_S_MAX)


def _told(kind: Cancelling[R], ask: _Ask, run: R | None, timeout: float | None) -> str:
    if run is None:
        return f"{ask.name} was deleted meanwhile."
    name = typed(run.name)
    if ask.request is None:
        return f"{run.name} had ended already: it is {run.state_name}."
    if run.state_type not in FINAL:
        waited = "was asked to stop" if timeout is None else f"has not stopped after {duration(timeout)}"
        return f"{run.name} {waited}. To see it: surefoot why {name}"
    after = duration(max(((run.end_time or run.state.timestamp) - ask.request.asked).total_seconds(), 0))
    if run.state_type is StateType.CANCELLED:
        return f"{run.name} was cancelled after {after}."
    return f"{run.name} ended {run.state_name} after {after}, before it could be cancelled. Why: surefoot why {name}"
