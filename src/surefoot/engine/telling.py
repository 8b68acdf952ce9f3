"""What is said about runs while they happen: lines for the console and the journal.

A flow's start and end, warnings and failures are told; each task's steps only at DEBUG. May import: core, losses,
tracebacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import CancelledRun, TerminationSignal
from surefoot.core.os.signals import GATE
from surefoot.core.os.threads import OutOfTime
from surefoot.core.states import (
    AWAITING_SLOTS,
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    HAD_COMPLETED,
    PENDING,
    RUNNING,
    SCHEDULED,
    SKIPPED,
)
from surefoot.engine import losses
from surefoot.engine.effects import Raised, Stopped
from surefoot.engine.tracebacks import traceback_text

if TYPE_CHECKING:
    from surefoot.engine.effects import Enter, Outcome
    from surefoot.engine.execution import Execution
    from surefoot.engine.progress import MapProgress
    from surefoot.states import State

__all__ = [
    "cache_unusable",
    "condition_failed",
    "entered",
    "hook_ended",
    "key_failed",
    "limit_unknown",
    "map_ended",
    "not_stopped",
    "not_stored",
    "runner_broke",
    "spans_failed",
    "stop_of",
    "stop_on_the_way_out",
    "took",
    "why_stopped",
]

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


def entered(execution: Execution, effect: Enter) -> None:
    """Say that a run entered a state, if that is worth a line, and note what is lost by it."""
    losses.note(execution, effect)
    level = _level(execution, effect)
    if level >= execution.session.voice(execution.is_task).threshold:
        _say(execution, level, _line(execution, effect))


def _level(execution: Execution, effect: Enter) -> int:
    kind, is_task = effect.state_type, execution.is_task
    if effect.state_name == AWAITING_SLOTS:
        return INFO if getattr(execution, "map_id", None) is None else DEBUG
    level = DEBUG if is_task or kind is PENDING else INFO
    is_loss = not is_task or execution.attempt > 0  # what is cancelled before it started is none
    if kind is CRASHED or kind is FAILED:
        level = WARNING if effect.state_name == "NotReady" else ERROR
    elif (
        kind in (SCHEDULED, CANCELLING)
        or (kind is RUNNING and effect.state_name == "Retrying" and effect.message)
        or (kind is CANCELLED and is_loss)
    ):
        level = WARNING
    if level > DEBUG and kind in (RUNNING, CANCELLED) and execution.flow is not None:
        resuming = execution.flow.resuming
        if resuming is not None and resuming.replay is not None:
            return DEBUG  # the runs around a task that is replayed begin and end for that alone
    return DEBUG if level > INFO and is_task and _is_told_enough(execution) else level


TOLD_MAX: Final = 10  # of a map of 200,000 runs that all fail, so many failures are told one by one
_told: dict[bytes, int] = {}


def _is_told_enough(execution: Execution) -> bool:
    """Whether so many failures of this task run's map were told that its last line, with their number, is enough."""
    map_id = getattr(execution, "map_id", None)
    if map_id is None:
        return False
    if len(_told) > 1000:
        _told.clear()
    _told[map_id] = told = _told.get(map_id, 0) + 1
    return told > TOLD_MAX


def _line(execution: Execution, effect: Enter) -> str:
    kind, message = effect.state_type, effect.message
    because = f": {message}" if message else ""
    if kind is RUNNING:
        if effect.state_name == "Rerunning":
            return f"started again{because}"
        if message and effect.state_name == "Retrying":
            rules = execution.definition.rules(execution.session.settings)
            return f"failed{because.removesuffix('.')}; retry {execution.attempt - 1} of {rules.attempts - 1}"
        if execution.attempt == 1:
            return f"{'started again' if execution.runs_before else 'started'}{because}"
        return f"started again (attempt {execution.attempt})"
    if effect.state_name == AWAITING_SLOTS:
        return message or "waits"
    if kind is SCHEDULED:
        rules = execution.definition.rules(execution.session.settings)
        which = f"retry {execution.attempt} of {rules.attempts - 1}"
        return f"failed{because.removesuffix('.')}; {which} in {took(effect.wait_s or 0)}"
    if kind is COMPLETED and effect.state_name == "Cached":
        if message and message.startswith(HAD_COMPLETED):
            return message.removeprefix("it ")
        return f"took its result from the cache{because}"
    if kind is COMPLETED and effect.state_name == SKIPPED:
        return f"was skipped{because}"
    if kind is COMPLETED:
        name = "" if effect.state_name == "Completed" else f" ({effect.state_name})"
        return f"completed{name} in {took(execution.ran_us / 1e6)}{because}"
    if kind is FAILED and effect.state_name == "NotReady":
        return f"did not run{because}"
    if kind is FAILED:
        word = "timed out" if effect.state_name == "TimedOut" else "failed"
        retries = execution.attempt - 1
        tries = f" (after {retries} {'retry' if retries == 1 else 'retries'})" if retries > 0 else ""
        return f"{word}{because.removesuffix('.') if tries else because}{tries}"
    word = {CRASHED: "crashed", CANCELLED: "was cancelled", CANCELLING: "does not stop"}.get(
        kind, f"is {effect.state_name}"
    )
    return f"{word}{because}"


def hook_ended(execution: Execution, kind: str, fn: Callable[..., Any], outcome: Outcome) -> None:
    """A hook that raised changes nothing, but is not passed over in silence."""
    if isinstance(outcome, Raised):
        name = getattr(fn, "__name__", repr(fn))
        _say(execution, ERROR, f"its on_{kind} hook {name!r} raised:\n{traceback_text(outcome.error)}")


def condition_failed(execution: Execution, outcome: Outcome) -> None:
    """A retry_condition_fn that raised counts as no."""
    if isinstance(outcome, Raised):
        _say(execution, ERROR, f"its retry_condition_fn raised, so it is not retried:\n{traceback_text(outcome.error)}")


def key_failed(execution: Execution, made_by: str, error: Exception) -> None:
    """What the user wrote to make cache keys raised: the run goes on without a cache."""
    _say(execution, WARNING, f"its {made_by} raised, so it is not cached:\n{traceback_text(error)}")


def cache_unusable(execution: Execution, why: str) -> None:
    """What the cache has cannot be used: the run goes on as if it had nothing."""
    _say(execution, WARNING, f"its cache cannot be used, so it is called: {why}")


def not_stored(execution: Execution, why: str) -> None:
    """Its result could not be stored, and it goes on all the same, as the settings say."""
    _say(execution, WARNING, f"goes on, but {why}")


def limit_unknown(execution: Execution, line: str) -> None:
    """A limit that its code names is not there: it goes on without."""
    _say(execution, WARNING, line)


def runner_broke(execution: Execution, error: Exception) -> None:
    """Say that the `__exit__` of the flow's own task runner raised: what it was to end may be on still."""
    _say(execution, WARNING, f"its task runner raised when it ended: {type(error).__name__}: {error}")


_span_errors: set[type[Exception]] = set()


def spans_failed(execution: Execution, error: Exception) -> None:
    """A span of the run could not be made or ended, for a reason that is the user's provider's: told once of a kind."""
    level = DEBUG if type(error) in _span_errors else WARNING
    _span_errors.add(type(error))
    _say(execution, level, f"goes on, but its OpenTelemetry span is not as it should be:\n{traceback_text(error)}")


def not_stopped(execution: Execution, seconds: float, is_left: bool) -> None:
    """A call whose time is up does not end."""
    then = "the run goes on without its thread, which works on" if is_left else "the run ends when that returns"
    way = '; isolation="process" would have stopped it' if execution.is_task else ""
    why = f"its time ({took(seconds)}) is up, but the call that it is in goes on, and nothing here can stop it"
    _say(execution, WARNING, f"{why}: {then}{way}")


def map_ended(flow: Execution, progress: MapProgress, state: State) -> None:
    """One run of a map has ended; after the last, the map is told in one line."""
    if progress.ended(state.is_completed(), state.is_skipped(), state.is_cancelled()) and progress.total > 1:
        failed = f", {progress.failed:,} of them failed" if progress.failed else ""
        rest = f"{failed}{progress.not_done()}"
        _say(flow, INFO, f"map {progress.name}: {progress.total:,} runs{rest}, in {took(progress.seconds())}")


def _say(execution: Execution, level: int, line: str) -> None:
    voice = execution.session.voice(execution.is_task)
    if level >= voice.threshold:
        voice.say(level, line, execution)


def took(seconds: float) -> str:
    """A duration as people read it.

    >>> took(0.0213), took(4.2), took(252), took(7500)
    ('21 ms', '4.2 s', '4m 12s', '2h 05m')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"


def why_stopped(error: BaseException) -> str:
    """In words, what a BaseException that ended a run was."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (Ctrl-C)"
    if isinstance(error, TerminationSignal):
        return error.why or f"terminated (signal {error.signal})"
    if isinstance(error, SystemExit):
        return f"sys.exit({'' if error.code is None else repr(error.code)}) was called"
    if isinstance(why := getattr(error, "__surefoot_why__", None), str):
        return why
    if isinstance(error, OutOfTime):
        return "the flow or task that called it ran out of time"
    if type(error).__name__ == "CancelledError":
        return "cancelled by the event loop" if GATE.arrived is None else why_stopped(GATE.arrived)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def stop_of(error: BaseException) -> Stopped:
    """What a BaseException that left the user's function means."""
    return Stopped(
        error,
        why_stopped(error),
        bool(getattr(error, "asked", False)),
        late=isinstance(error, OutOfTime) or getattr(error, "late", False),
    )


def stop_on_the_way_out(error: BaseException | None) -> Stopped | bool:
    """What the end of a `with` has to do with what was submitted in it, by what goes through it: nothing with False,
    cancel what has not begun with True, else stop all.
    """
    if error is None or isinstance(error, Exception):
        return error is not None
    stop = stop_of(error)
    return Stopped(CancelledRun(f"It was stopped: {stop.why}."), stop.why, stop.asked, late=stop.late)
