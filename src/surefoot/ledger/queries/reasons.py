"""Why a run is as it is, in one line: what lists show. May import: core, causes.

Told when it is asked for, not when facts are folded: the cause may arrive after the run that it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from surefoot.core.clock import get_clock
from surefoot.core.states import StateType
from surefoot.ledger.history import LEFT_OPEN, SILENT
from surefoot.ledger.queries.causes import Node, chains, node_of, pids_of
from surefoot.ledger.queries.rows import instant

__all__ = [
    "Pids",
    "at_clock",
    "ended_badly",
    "plural",
    "reason_of",
    "reasons",
    "retried",
    "short",
    "verb",
    "why_left_open",
]

Pids = dict[bytes, int]

_LENGTH_MAX: Final = 300
_TYPED: Final = re.compile(r"[A-Za-z_][\w.]*: +(\S.*)")


def reasons(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[bytes, str | None]:
    """The reasons of some runs, by id. The number of queries does not depend on how many they are."""
    nodes = [node_of(row) for row in rows]
    found = chains(connection, nodes)
    everyone = {node.id: node for chain in found.values() for node in chain} | {node.id: node for node in nodes}
    pids = pids_of(connection, everyone.values())
    return {node.id: reason_of(node, found[node.id], pids) for node in nodes}


def reason_of(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    """The reason of one run, given the chain of its causes."""
    return _REASONS[node.state_type](node, chain, pids)


def _message(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    return short(node.message) or None


def _completed(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    return None if node.state_name == "Completed" else _message(node, chain, pids)


def _scheduled(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    when = "" if node.until_us is None else f" at {at_clock(instant(node.until_us))}"
    if node.state_name == "AwaitingRetry":
        return f"retry {node.run_count} of {max(node.retries, node.run_count)}{when}"
    if node.message:
        return short(node.message)
    return f"starts{when}" if when else None


def _running(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    if node.run_count > 1:
        return f"retry {node.run_count - 1} of {max(node.retries, node.run_count - 1)}"
    return None


def _ended(node: Node, chain: Sequence[Node], pids: Pids) -> str | None:
    if not chain:
        return ended_badly(node, pids)
    root = chain[-1]
    if node.state_name == "NotReady" and node.run_count == 0:
        return f"`{root.of}` {verb(root)}"
    return f"{root.of}: {ended_badly(root, pids) or verb(root)}"


_REASONS: Final[dict[StateType, Callable[[Node, Sequence[Node], Pids], str | None]]] = {
    StateType.SCHEDULED: _scheduled,
    StateType.PENDING: _message,
    StateType.RUNNING: _running,
    StateType.PAUSED: _message,
    StateType.CANCELLING: _message,
    StateType.COMPLETED: _completed,
    StateType.CANCELLED: _ended,
    StateType.FAILED: _ended,
    StateType.CRASHED: _ended,
}


def ended_badly(node: Node, pids: Pids) -> str | None:
    """Why a run ended other than completed, from itself alone."""
    if node.has_died:
        particular = why_left_open(node)
        if particular is not None:
            return particular
        if node.state_name == "Abandoned":
            return "its process ended without ending it"
        pid = pids.get(node.writer_id)
        return "its process died" if pid is None else f"its process died (pid {pid})"
    text = short(node.message)
    return f"{text}{retried(node)}" if text else retried(node).strip() or None


def why_left_open(node: Node) -> str | None:
    """Of a run that its process left without an end, what is known besides that, in one line."""
    is_plain = node.message is None or node.message == LEFT_OPEN or node.message.startswith(SILENT)
    return None if is_plain or not node.has_died else short(node.message)


_VERBS: Final = {
    StateType.FAILED: "failed",
    StateType.CRASHED: "crashed",
    StateType.CANCELLED: "was cancelled",
    StateType.COMPLETED: "completed",
}
_VERBS_BY_NAME: Final = {"TimedOut": "timed out", "NotReady": "did not run", "Skipped": "was skipped"}


def verb(node: Node) -> str:
    """What became of a run, as the verb of a sentence."""
    return _VERBS_BY_NAME.get(node.state_name) or _VERBS.get(node.state_type) or f"is {node.state_name}"


def retried(node: Node) -> str:
    """In brackets, how often a run was tried again; nothing if it was not."""
    return f" ({plural(node.run_count - 1, 'retry', 'retries')})" if node.run_count > 1 else ""


def plural(count: int, one: str, many: str) -> str:
    """A count with its noun.

    >>> plural(1, "retry", "retries"), plural(3, "retry", "retries")
    ('1 retry', '3 retries')
    """
    return f"{count:,} {one if count == 1 else many}"


def short(message: str | None) -> str:
    """A message in one short line, without the type of its exception where the text speaks for itself.

    >>> short("ConnectionError: connection refused"), short("KeyError: 'a'"), short("ValueError"), short(None)
    ('connection refused', "KeyError: 'a'", 'ValueError', '')
    """
    lines = (message or "").strip().splitlines()
    if not lines:
        return ""
    line = lines[0].strip()
    typed = _TYPED.fullmatch(line)
    if typed and len(typed[1].split()) > 1:
        line = typed[1]
    return line if len(line) <= _LENGTH_MAX else line[: _LENGTH_MAX - 1] + "…"


def at_clock(when: datetime) -> str:
    """When something will be, by the clock of whoever reads; with the date if it is not today."""
    here = when.astimezone()
    today = instant(get_clock().now_us()).astimezone().date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"
