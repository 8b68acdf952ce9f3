"""The situations that a run can be in, as one table: from its state to the sentence that explains it.

May import: core, evidence, reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from surefoot.core.states import (
    AWAITING_SLOTS,
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    FINAL,
    HAD_COMPLETED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    StateType,
)
from surefoot.ledger.queries.causes import Node
from surefoot.ledger.queries.evidence import Evidence
from surefoot.ledger.queries.limits import told_standing
from surefoot.ledger.queries.reasons import at_clock, ended_badly, plural, short, verb, why_left_open
from surefoot.ledger.queries.rows import instant

__all__ = ["SITUATIONS", "Situation", "lasted", "other", "text"]


class Situation(NamedTuple):
    """One row: when it fits, and what it tells."""

    state_type: StateType
    state_name: str | None  # None: any
    blames: bool | None  # whether another run is to blame; None: either
    tell: Callable[[Evidence], str]
    watch: bool = False  # it goes on: looking again may tell more

    def fits(self, found: Evidence) -> bool:
        """Whether it is this one."""
        node = found.node
        is_asked = found.asked is not None and node.state_type not in FINAL
        return (
            (CANCELLING if is_asked else node.state_type) is self.state_type
            and self.state_name in (None, node.state_name)
            and self.blames in (None, bool(found.chain))
        )


def _who(found: Evidence) -> str:
    return f"{'Task' if found.node.is_task else 'Flow'} run {found.node.name}"


def text(message: str | None) -> str:
    """A message behind a colon; nothing if there is none."""
    return f": {short(message)}" if message else ""


def other(node: Node, found: Evidence) -> str:
    """Another run, and what became of it."""
    is_told_next = node.state_name == "NotReady" and node.cause_id is not None  # by the run that it is because of
    why = None if node.state_type is COMPLETED or is_told_next else ended_badly(node, found.pids)
    return f"{'' if node.is_task else 'flow run '}{node.name} {verb(node)}" + (f": {why}" if why else "")


def _when(found: Evidence) -> str:
    return at_clock(instant(found.states[-1].at_us))


def _tries(found: Evidence) -> str:
    count = found.node.run_count
    return f" after {plural(count - 1, 'retry', 'retries')}" if count > 1 else ""


def _took(found: Evidence) -> str:
    return f" in {lasted(round(found.run.total_run_time * 1e6))}"


def _not_run(found: Evidence) -> str:
    return "failed" if found.node.run_count else "did not run"  # a flow may return the state of a task that did not run


def _cached(found: Evidence) -> str:
    # A result from an earlier epoch is the run's own; one from the cache is another run's.
    is_own = (found.node.message or "").startswith(HAD_COMPLETED)
    how = "was not called again" if is_own else "took its result from the cache"
    return f"{_who(found)} {how}{text(found.node.message)}"


def _completed(found: Evidence) -> str:
    return f"{_who(found)} completed{_tries(found)}{_took(found)}{text(found.node.message)}"


def _was_running(found: Evidence) -> str:
    return found.states[-2].state_name if len(found.states) > 1 else "unknown"


def _crashed(found: Evidence) -> str:
    node = found.node
    if not node.has_died:
        return f"{_who(found)} was ended from outside{text(node.message)}"
    pid = found.pids.get(node.writer_id)
    who = f" (pid {pid} on {found.host})" if pid is not None else ""
    particular = why_left_open(node)
    if particular is not None:
        return f"{_who(found)} has no end on record{who}: {particular[0].lower()}{particular[1:]}"
    return f"{_who(found)} crashed: its process died{who} while it was {_was_running(found)}{_likely(node)}"


def _likely(node: Node) -> str:
    return (
        ", without a word: killed, out of memory, or power loss"
        if node.message and "without a word" in node.message
        else ""
    )


def _abandoned(found: Evidence) -> str:
    why = short(found.node.message)
    if found.node.has_died:
        why = why_left_open(found.node) or "its process ended and left it without an end"
    return f"{_who(found)} was abandoned: {why}"


def _awaiting_retry(found: Evidence) -> str:
    node = found.node
    at = "" if node.until_us is None else f" at {at_clock(instant(node.until_us))}"
    tries = f"retry {node.run_count} of {max(node.retries, node.run_count)}"
    return f"{_who(found)} failed{text(node.message)}; {tries} follows{at}"


def _awaiting_slots(found: Evidence) -> str:
    now = "; ".join(told_standing(each) for each in found.waits)
    why = f" for {now}" if now else text((found.node.message or "").removeprefix("waits for "))
    return f"{_who(found)} waits since {_when(found)}{why}"


def _scheduled(found: Evidence) -> str:
    node = found.node
    at = "" if node.until_us is None else f" at {at_clock(instant(node.until_us))}"
    return f"{_who(found)} is {node.state_name}: it is to start{at}{text(node.message)}"


def _running(found: Evidence) -> str:
    node = found.node
    retry = f", retry {node.run_count - 1} of {max(node.retries, node.run_count - 1)}" if node.run_count > 1 else ""
    return f"{_who(found)} is running since {_when(found)}{retry}"


def _waits(found: Evidence) -> str:
    return (
        f"{_who(found)} is {found.node.state_name} since {_when(found)}{text(found.node.message)}: it has not started"
    )


def _cancelled(found: Evidence) -> str:
    return f"{_who(found)} was cancelled{text(_with_the_instant(found))}"


def _cancelling(found: Evidence) -> str:
    asked, message = found.asked, found.node.message
    by = "" if asked is None else f" by {asked.asked_by} at {at_clock(asked.asked)}"
    how = message.partition("; ")[2] or None if asked is not None and message is not None else message
    return f"{_who(found)} was asked to stop{by}, and has not yet{text(how)}"


def _with_the_instant(found: Evidence) -> str | None:
    message, asked_by = found.node.message, _asked_by(found)
    if message is None or found.asked is None or not message.startswith(asked_by):
        return message
    return f"{asked_by} at {at_clock(found.asked.asked)}{message[len(asked_by) :]}"


def _asked_by(found: Evidence) -> str:
    return f"asked by {found.asked.asked_by}" if found.asked is not None else "asked"


# From the state of a run to what is said of it. The first row that fits is the one.
SITUATIONS: Final[tuple[Situation, ...]] = (
    Situation(COMPLETED, "Cached", None, _cached),
    Situation(COMPLETED, "Skipped", None, lambda f: f"{_who(f)} was skipped{text(f.node.message)}"),
    Situation(
        COMPLETED, "RolledBack", None, lambda f: f"{_who(f)} completed, and was rolled back{text(f.node.message)}"
    ),
    Situation(COMPLETED, None, None, _completed),
    Situation(FAILED, "NotReady", True, lambda f: f"{_who(f)} {_not_run(f)}, because {other(f.root, f)}"),
    Situation(FAILED, "NotReady", False, lambda f: f"{_who(f)} did not run{text(f.node.message)}"),
    Situation(FAILED, None, True, lambda f: f"{_who(f)} failed, because {other(f.root, f)}"),
    Situation(FAILED, "TimedOut", False, lambda f: f"{_who(f)} ran out of time{_tries(f)}{text(f.node.message)}"),
    Situation(FAILED, None, False, lambda f: f"{_who(f)} failed{_tries(f)}{text(f.node.message)}"),
    Situation(CRASHED, "Abandoned", None, _abandoned),
    Situation(
        CRASHED, "Lost", None, lambda f: f"{_who(f)} is lost: nothing was heard from it in time{text(f.node.message)}"
    ),
    Situation(CRASHED, None, True, lambda f: f"{_who(f)} crashed, because {other(f.root, f)}"),
    Situation(CRASHED, None, False, _crashed),
    Situation(CANCELLED, None, True, lambda f: f"{_who(f)} was cancelled, because {other(f.root, f)}"),
    Situation(CANCELLED, None, False, _cancelled),
    Situation(CANCELLING, None, None, _cancelling, True),
    Situation(PAUSED, None, None, lambda f: f"{_who(f)} is {f.node.state_name} since {_when(f)}{text(f.node.message)}"),
    Situation(SCHEDULED, "AwaitingRetry", None, _awaiting_retry, True),
    Situation(SCHEDULED, AWAITING_SLOTS, None, _awaiting_slots, True),
    Situation(SCHEDULED, None, None, _scheduled, True),
    Situation(PENDING, None, None, _waits, True),
    Situation(RUNNING, None, None, _running, True),
)


def lasted(us: int) -> str:
    """A duration as people say it.

    >>> lasted(21_300), lasted(4_200_000), lasted(252_000_000), lasted(7_500_000_000)
    ('21 ms', '4.2 s', '4m 12s', '2h 05m')
    """
    if us < 1_000_000:
        return f"{us / 1000:.0f} ms"
    if us < 60_000_000:
        return f"{us / 1e6:.3g} s"
    minutes, seconds = divmod(us // 1_000_000, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
