"""Losses: what failed first in a flow run and what it blocked, noted for the message that tells of it.

Costs something only where a task fails; and at the end of an outermost flow run, if the settings name somebody to tell,
or something waits in the home's outbox. The messages themselves are another room's, behind a door. May import: core.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from surefoot.core.errors import TerminationSignal
from surefoot.core.ids import to_text
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.os.host import host_name
from surefoot.core.settings import Settings
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED, FINAL, RUNNING

if TYPE_CHECKING:
    from surefoot.core.states import StateType
    from surefoot.engine.effects import Enter
    from surefoot.engine.execution import Execution
    from surefoot.engine.flow_execution import FlowExecution
    from surefoot.notify.notices import Event, Notice

__all__ = ["Losses", "foretell", "note", "send_waiting", "wait", "will_of"]

_KEPT_MAX: Final = 100  # failed task runs, of which one is the cause
_BLOCKED_MAX: Final = 1000  # names of tasks
_TOLD_MAX: Final = 10
_TEXT_MAX: Final = 1000
_INTERRUPTED: Final = ("interrupted (Ctrl-C)", "terminated (signal")  # as `telling.why_stopped` says it
_GENERAL: Final = ("on_failure", "on_crash", "on_recovery", "on_success")
_lock = threading.Lock()


class Losses:
    """Of one attempt of an outermost flow run."""

    __slots__ = ("because", "blocked", "failed")

    def __init__(self) -> None:
        self.failed: dict[bytes, tuple[str, str, int]] = {}  # run -> its task, why, after how many retries
        self.blocked: dict[str, int] = {}  # what did not run because of others, and how often
        self.because: dict[bytes, bytes] = {}  # which run did not, because of which other

    def cause(self, run_id: bytes | None) -> tuple[str, str, int] | None:
        """What failed, so that this run ended as it did: itself, or what it waited for, however far up."""
        for _ in range(_BLOCKED_MAX):
            found = self.failed.get(run_id or b"")
            if found is not None or run_id is None:
                return found
            run_id = self.because.get(run_id)
        return None


def note(execution: Execution, effect: Enter) -> None:
    """A run has entered a state that is worth a look."""
    kind = effect.state_type
    flow = execution.flow
    if flow is None:
        return
    if execution.parent is None:
        if kind is RUNNING:
            flow.losses = None  # of an earlier attempt
        elif kind in FINAL:
            _tell_end(execution, flow)
        return
    # What was not started when its flow failed did not run because of that either.
    is_unstarted = kind is CANCELLED and execution.is_task and execution.attempt <= 0
    if kind is not FAILED and kind is not CRASHED and not is_unstarted:
        return
    while flow.parent is not None and flow.parent.flow is not None:
        flow = flow.parent.flow
    name = execution.definition.name
    with _lock:
        losses = flow.losses
        if losses is None:
            losses = flow.losses = Losses()
        if is_unstarted or (effect.state_name == "NotReady" and effect.cause_id is not None):
            if name in losses.blocked or len(losses.blocked) < _BLOCKED_MAX:
                losses.blocked[name] = losses.blocked.get(name, 0) + 1
            if effect.cause_id is not None and len(losses.because) < _BLOCKED_MAX:
                losses.because[execution.run_id] = effect.cause_id
        elif execution.is_task and len(losses.failed) < _KEPT_MAX:
            losses.failed[execution.run_id] = name, (effect.message or "")[:_TEXT_MAX], max(execution.attempt - 1, 0)


@after_fork_in_child
def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent may have held it


def foretell(execution: FlowExecution, effect: Enter) -> None:
    """An outermost flow run is about to end badly: write down that it is to be told, should the process die meanwhile.

    Whoever finds it dead tells what is held then. Raises nothing.
    """
    kind = effect.state_type
    settings = execution.session.settings
    if (kind is not FAILED and kind is not CRASHED) or execution.sealed or not _tells(execution):
        return
    event = _event(kind, effect.data, effect.message)
    if event is None:
        return
    from surefoot.notify.desk import hold
    from surefoot.notify.notices import rules_of

    try:
        notice = _notice(execution, execution, event, effect.message, effect.cause_id)
        notice.writer = execution.session.recorder.writer_id.hex()
        hold(settings.home, rules_of(settings), notice, execution.tags)
    except Exception as error:  # whatever it is: no run may fail because a message could not go
        _say(error)


def _tell_end(execution: Execution, flow: FlowExecution) -> None:
    """An outermost flow run has ended: have those told who are to be told. Raises nothing, and does not wait.

    At once, before its hooks are called: these may take their time, or not come back.
    """
    settings = execution.session.settings
    event = _event(execution.state_type, execution.data, execution.message)
    if event is None or not _tells(flow) or (event == "success" and not _asks_for_success(settings)):
        return
    from surefoot.notify.desk import tell
    from surefoot.notify.notices import rules_of

    try:
        notice = _notice(execution, flow, event, execution.message, execution.cause_id)
        tell(settings.home, rules_of(settings), notice, execution.tags)
    except Exception as error:  # likewise
        _say(error)


def _event(kind: StateType, data: Any, message: str | None) -> Event | None:
    if kind is COMPLETED:
        return "success"
    if kind is FAILED:
        return "failure"
    if kind is CRASHED and not (_is_interruption(data, message) and _is_somebody_there()):
        return "crash"
    return None


def _tells(flow: FlowExecution) -> bool:
    session = flow.session
    if not _names_somebody(session.settings) or not session.records:
        return False
    return flow.resuming is None or flow.resuming.replay is None  # of a replay somebody sits before it


def _names_somebody(settings: Settings) -> bool:
    notify = settings.notify
    return bool(
        notify.on_failure or notify.on_crash or notify.on_recovery or notify.on_success or notify.flows or notify.tags
    )


def _asks_for_success(settings: Settings) -> bool:
    """Whether that a run completed may be news: to somebody who asked for it, or after one that did not."""
    notify = settings.notify
    tables = [*notify.flows.values(), *notify.tags.values()]
    if notify.on_success or any("on_success" in table for table in tables):
        return True
    return os.path.isdir(os.path.join(settings.home, "notices"))


def _is_interruption(data: Any, message: str | None) -> bool:
    # In an event loop it was a cancellation; what it came from is told in words.
    told = (message or "").startswith(_INTERRUPTED)
    return told or isinstance(data, (KeyboardInterrupt, TerminationSignal))


def _is_somebody_there() -> bool:
    """Whether whoever stopped the run sits before it, and knows."""
    try:
        return hasattr(sys, "ps1") or "ipykernel" in sys.modules or sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False  # there is no stdin, or it was closed


def _notice(
    execution: Execution, flow: FlowExecution, event: Event, message: str | None, cause_id: bytes | None
) -> Notice:
    from surefoot.notify.notices import Notice

    settings = execution.session.settings
    notice = Notice(
        id=f"{execution.run_id.hex()}-{execution.epoch}",
        event=event,
        flow=execution.definition.name,
        at_us=execution.at_us,
        run=execution.run_name,
        run_id=to_text(execution.run_id),
        reason=(message or "")[:_TEXT_MAX],
        began_us=execution.start_us or 0,
        took_s=execution.ran_us / 1e6,
        retries=max(execution.attempt - 1, 0),
        host=host_name(),
        home=settings.home if settings.source_of("home") is not None else "",
        can_go_on=event != "success" and flow.can_be_started_again,
    )
    losses = flow.losses
    if losses is None or event == "success":
        return notice
    cause = losses.cause(cause_id)
    if cause is not None:
        notice.task, notice.reason, notice.retries = cause
    ranked = sorted(losses.blocked.items(), key=lambda pair: -pair[1])
    notice.blocked = tuple(ranked[:_TOLD_MAX])
    return notice


def _say(error: Exception) -> None:
    try:
        sys.stderr.write(f"surefoot: a message could not be prepared: {type(error).__name__}: {error}\n")
    except (AttributeError, OSError, ValueError):
        pass  # there is no stderr, or it was closed


def will_of(settings: Settings) -> bytes | None:
    """Who is to be told should this process die, for whoever finds it dead; None if nobody is."""
    if not _names_somebody(settings):
        return None
    notify = settings.notify
    general: dict[str, Any] = {key: getattr(notify, key) for key in _GENERAL}
    rules = {"general": general, "flows": notify.flows, "tags": notify.tags}
    return msgspec.json.encode({**rules, "burst_s": notify.burst_seconds, "timeout_s": notify.timeout_seconds})


def send_waiting(settings: Settings) -> None:
    """Have sent what other processes had to leave in the home."""
    if os.path.isdir(os.path.join(settings.home, "notices")):
        from surefoot.notify.desk import send_waiting as send
        from surefoot.notify.notices import rules_of

        send(settings.home, rules_of(settings))


def wait() -> None:
    """The process ends without `atexit`: wait for its messages, if there are any."""
    desk: Any = sys.modules.get("surefoot.notify.desk")
    if desk is not None:
        desk.wait()
