"""A run's history, and how the run stands because of it: pure functions of the facts, in whatever order they came.

All of folding's commutativity rests on this page. A history is the set of a run's states, sorted by (epoch, n); a
run's row is computed from the whole of it, so it does not matter what arrived first or twice. May import: core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from surefoot.core.facts import FlowRunCreated, ResultAt, StateEntered, TaskRunCreated
from surefoot.core.states import CRASHED, FINAL, PAUSED, RUNNING, SCHEDULED, StateType, is_legal

__all__ = [
    "DAMAGED",
    "LEFT_OPEN",
    "SILENT",
    "End",
    "Entry",
    "entry_of",
    "illegal_steps",
    "merge",
    "pack",
    "presumed_end",
    "settle",
    "unpack",
]


# What is said of a run that its writer left open.
LEFT_OPEN: Final = "its process closed its journal and left this run without an end"
SILENT: Final = "its process ended without a word"
DAMAGED: Final = "a piece of the journal of its process is damaged, and how it ended may have stood there"


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One state of a history, as its writer told it. Fields are only appended, with a default: ledgers hold them."""

    epoch: int
    n: int
    writer_id: bytes
    at_us: int
    mono_us: int
    state_type: StateType
    state_name: str
    message: str | None = None
    run_count: int = 0
    start_us: int | None = None
    ran_us: int = 0
    run_name: str | None = None
    cause_id: bytes | None = None
    traceback: str | None = None
    until_us: int | None = None
    result: ResultAt | None = None
    unkept: str | None = None


class End(NamedTuple):
    """How a writer ended, for the runs that it left open."""

    closed: bool  # it closed its journal in order, and dropped the run all the same
    heard_us: int  # the last instant heard from it, by its own clock
    pid: int | None = None
    host: str | None = None
    why: str | None = None
    lost: int = 0  # facts about runs that it had no room for
    mono_us: int | None = None  # its monotonic time at that instant


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(list[Entry]).decode


def entry_of(fact: FlowRunCreated | TaskRunCreated | StateEntered, writer_id: bytes) -> Entry:
    """The state that a fact tells of. A creation is its epoch's state 0."""
    if type(fact) is StateEntered:
        return Entry(
            fact.epoch,
            fact.n,
            writer_id,
            fact.at_us,
            fact.mono_us,
            fact.state_type,
            fact.state_name,
            fact.message,
            fact.run_count,
            fact.start_us,
            fact.ran_us,
            fact.run_name,
            fact.cause_id,
            fact.traceback,
            fact.until_us,
            fact.result,
            fact.unkept,
        )
    return Entry(fact.epoch, 0, writer_id, fact.at_us, fact.mono_us, fact.state_type, fact.state_name, fact.message)


def merge(old: Sequence[Entry], new: Iterable[Entry]) -> list[Entry]:
    """Both histories in one, sorted.

    One life has one writer, so two different states with the same number are a writer's mistake; the same one of them
    is kept whichever came first.
    """
    kept = {(entry.epoch, entry.n): entry for entry in old}
    for entry in new:
        key = entry.epoch, entry.n
        other = kept.get(key)
        kept[key] = entry if other is None or other == entry else min(entry, other, key=pack)
    return [kept[key] for key in sorted(kept)]


def presumed_end(last: Entry, end: End | None) -> Entry | None:
    """The state of a run whose writer ended and left it in state `last`; None if that does not concern it.

    It is no fact, so it is never stored in a history: should its writer be heard again, what it says stands.
    """
    if end is None or last.state_type in FINAL or last.state_type is PAUSED:
        return None
    passed_us = max((end.heard_us - last.at_us) if end.mono_us is None else (end.mono_us - last.mono_us), 0)
    # A clock that was set back meanwhile tells an instant before that of the state.
    at_us = end.heard_us if end.heard_us >= last.at_us else last.at_us + passed_us
    ran_us = last.ran_us + (passed_us if last.state_type is RUNNING else 0)
    if end.closed and end.lost:
        why = f"how it ended is not recorded: the journal had no room for {end.lost:,} facts about runs of its process"
        name, message = "Abandoned", end.why or why
    elif end.closed:
        name, message = "Abandoned", end.why or LEFT_OPEN
    else:
        who = f"pid {end.pid} on {end.host}" if end.pid is not None else "its pid is not recorded"
        name, message = (
            "Crashed",
            end.why or f"{SILENT} ({who}): killed, out of memory, or power loss",
        )
    return Entry(
        last.epoch,
        last.n + 1,
        last.writer_id,
        at_us,
        last.mono_us + passed_us,
        CRASHED,
        name,
        message,
        last.run_count,
        last.start_us,
        ran_us,
    )


def illegal_steps(history: Sequence[Entry]) -> set[tuple[int, int]]:
    """The (epoch, n) of each state that may not follow the one before it; where that is missing, nothing is said."""
    found = set()
    before: Entry | None = None
    for entry in history:
        if entry.n == 0:
            legal = is_legal(None, None, entry.state_type, entry.state_name)
        elif before is not None and before.epoch == entry.epoch and before.n == entry.n - 1:
            legal = is_legal(before.state_type, before.state_name, entry.state_type, entry.state_name)
        else:
            legal = True
        if not legal:
            found.add((entry.epoch, entry.n))
        before = entry
    return found


_UNSTARTED: Final = frozenset({SCHEDULED, StateType.PENDING})


def settle(history: Sequence[Entry], end: End | None = None) -> dict[str, Any]:
    """How a run stands, as columns of its row: as its newest (epoch, n) says, or as its writer's end left it."""
    last = history[-1]
    now = presumed_end(last, end) or last
    expected_us, name = None, None
    started = False
    for entry in history:
        if entry.run_name is not None:
            name = entry.run_name
        if not started:
            started = entry.state_type not in _UNSTARTED
            if entry.until_us is not None:
                expected_us = entry.until_us
    return {
        "run_name": name,
        "writer_id": now.writer_id,
        "epoch": now.epoch,
        "n": now.n,
        "state_type": now.state_type.value,
        "state_name": now.state_name,
        "state_us": now.at_us,
        "message": now.message,
        "cause_id": now.cause_id,
        "until_us": now.until_us if now.state_type is SCHEDULED else None,
        "run_count": now.run_count,
        "expected_us": history[0].at_us if expected_us is None else expected_us,
        "start_us": now.start_us,
        "end_us": now.at_us if now.state_type in FINAL else None,
        "ran_us": now.ran_us,
        "result": None if now.result is None else pack(now.result),
        "unkept": now.unkept,
        "unended": 0 if last.state_type in FINAL else 1,
        "illegal": len(illegal_steps(history)),
    }
