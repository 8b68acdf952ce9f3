"""Why a run is as it is (promise 14): a sentence, the chain of its causes, what it blocked, and what to type next.

The sentence is that of the first row of `situations.SITUATIONS` that fits; the rest follows from the evidence.
May import: core, tables, situations, evidence, reasons.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

from sqlalchemy import Connection, select

from surefoot.core.ids import to_text
from surefoot.core.states import COMPLETED, FINAL, NOT_CACHED, SCHEDULED, SKIPPED
from surefoot.core.wire import Explanation, FailureGroup, FlowRun, TaskRun
from surefoot.ledger.history import Entry
from surefoot.ledger.queries.causes import Node
from surefoot.ledger.queries.evidence import Evidence, gather
from surefoot.ledger.queries.limits import Standing, told_holder, told_standing
from surefoot.ledger.queries.reasons import at_clock, plural, short, verb
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.queries.situations import SITUATIONS, Situation, lasted, other, text
from surefoot.ledger.tables import WORKSPACE, flow_runs

__all__ = ["explain"]

_SHOWN: Final = 10


def explain(connection: Connection, reference: str) -> Explanation:
    """Why the run that goes by `reference` is as it is. Raises NotFound or Ambiguous."""
    found = gather(connection, reference)
    situation = next(row for row in SITUATIONS if row.fits(found))
    return Explanation(
        run=found.run,
        summary=_sentence(situation.tell(found)),
        causes=list(_causes(found)),
        blocked=list(_blocked(found)),
        do=_commands(connection, found, situation),
        traceback=found.traceback if found.node.state_type in FINAL else None,
        failures=found.failures,
    )


def _sentence(told: str) -> str:
    return told if told.endswith((".", "!", "?", "…")) else f"{told}."


def _causes(found: Evidence) -> Iterator[str]:
    for node in found.chain:
        yield other(node, found)
    yield from _waits(found)
    yield from _again(found)
    yield from _not_cached(found)
    yield from _attempts(found)
    blamed = {node.of for node in found.chain if node.is_task}
    yield from _failures(found, blamed)
    for node in found.active[:_SHOWN]:
        yield _active(node)
        for each in found.active_waits.get(node.id, ()):
            yield f"{node.name} waits for {told_standing(each)}"
            yield from _holders(each)
    if len(found.active) > _SHOWN:
        yield "... and more that run or wait"
    for node in found.recovered[:_SHOWN]:
        yield f"{node.name} completed after {plural(node.run_count - 1, 'retry', 'retries')}"
    if len(found.recovered) > _SHOWN:
        yield "... and more that completed after retries"
    if found.longest is not None and found.longest[1] and found.node.state_type is COMPLETED:
        node, ran_us = found.longest
        yield f"the task run that took longest is {node.name}: {lasted(ran_us)}"


def _waits(found: Evidence) -> Iterator[str]:
    """Limits of which it waits for slots, and who holds them."""
    for each in found.waits:
        if found.node.state_type is not SCHEDULED:
            yield f"it waits for {told_standing(each)}"
        yield from _holders(each)


def _holders(each: Standing) -> Iterator[str]:
    for place in each.holders:
        if place.granted is not None:
            yield f"{told_holder(place)} holds {each.name} since {at_clock(place.granted)}"
    if each.more_holders:
        yield f"... and {each.more_holders:,} more that hold {each.name}"


def _again(found: Evidence) -> Iterator[str]:
    """What an epoch after the first took over, and what it called again."""
    epoch = found.run.epoch
    if not epoch:
        return
    for entry in found.states:
        if entry.epoch == epoch and entry.state_name == "Rerunning":
            yield f"it was called again in epoch {epoch}{text(entry.message)}"
    if found.taken_over:
        taken = plural(found.taken_over, "task run", "task runs")
        yield f"in epoch {epoch} {taken} had completed already and {_were(found.taken_over)} not called again"


def _not_cached(found: Evidence) -> Iterator[str]:
    """Why the cache of a task had nothing for its run."""
    for entry in found.states:
        if entry.epoch == found.run.epoch and entry.state_name == "Running":
            if entry.message is not None and entry.message.startswith(NOT_CACHED):
                yield f"it was {short(entry.message)}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _failures(found: Evidence, blamed: set[str]) -> Iterator[str]:
    """All groups of failures, unless the chain has told the only one."""
    groups = found.failures.groups
    if len(groups) == 1 and groups[0].count == 1 and groups[0].task_name in blamed:
        return
    for group in groups[:_SHOWN]:
        runs = plural(group.count, "task run", "task runs")
        yield f"{runs} of {group.task_name} failed: {short(group.message)}{_examples(group)}"
    rest = found.failures.rest + sum(group.count for group in groups[_SHOWN:])
    if rest:
        yield f"... and {plural(rest, 'task run', 'task runs')} more that failed otherwise"


def _examples(group: FailureGroup) -> str:
    """Which ones, or the first few of them."""
    items = [f"{run.item:,}" for run in group.examples if run.item is not None]
    if len(items) == len(group.examples):
        told = f"item{'s' * (len(items) > 1)} {', '.join(items)}"
    elif group.count > 1:
        told = ", ".join(run.name for run in group.examples)
    else:
        return ""
    return f" ({told})" if group.count == len(group.examples) else f", for example {told}"


def _attempts(found: Evidence) -> Iterator[str]:
    """What earlier attempts, and epochs, of the run itself ended with."""
    newest = found.states[-1]
    for entry in [entry for entry in found.states if _is_attempt(entry, newest)][-_SHOWN:]:
        epoch = f"epoch {entry.epoch}, " if newest.epoch else ""
        told = text(entry.message) or f": {entry.state_name}"
        yield f"{epoch}attempt {_attempt_of(entry)}{told}"


def _is_attempt(entry: Entry, newest: Entry) -> bool:
    if entry.epoch < newest.epoch and entry.state_type in FINAL:
        return True
    if entry.state_name == "AwaitingRetry":
        return entry is not newest and entry.message is not None
    return entry.state_name == "Retrying" and entry.message is not None


def _attempt_of(entry: Entry) -> int:
    return entry.run_count - 1 if entry.state_name == "Retrying" else entry.run_count


def _active(node: Node) -> str:
    if node.state_type is SCHEDULED:
        at = "" if node.until_us is None else f" at {at_clock(instant(node.until_us))}"
        return f"{node.name} is {node.state_name}{at}{text(node.message)}"
    return f"{node.name} is {node.state_name}"


def _blocked(found: Evidence) -> Iterator[str]:
    if len(found.blocked) <= _SHOWN:
        for node in found.blocked:
            yield f"{node.name} {verb(node)}"
    else:
        for task_name, count in Counter(node.of for node in found.blocked).most_common(_SHOWN):
            were = (
                ("was skipped" if count == 1 else "were skipped") if found.node.state_name == SKIPPED else "did not run"
            )
            yield f"{plural(count, 'task run', 'task runs')} of {task_name} {were}"
    if found.skipped and found.node.state_type is COMPLETED:  # of a run that failed it is no consequence
        yield f"{plural(found.skipped, 'task run was', 'task runs were')} skipped"
    if found.unstarted:
        yield f"{plural(found.unstarted, 'task run was', 'task runs were')} cancelled"


def _commands(connection: Connection, found: Evidence, situation: Situation) -> list[str]:
    """What to type next, the most telling first."""
    node, root = found.node, found.root
    waits = [*found.waits, *chain.from_iterable(found.active_waits.values())]
    do = [f"surefoot limit holders {shlex.quote(each.name)}" for each in waits[:1]]
    if situation.watch and not node.is_task:
        do.append(f"surefoot flow-run watch {_handle(connection, node)}")
    if root is node and found.failures.groups:
        do.append(f"surefoot why {found.failures.groups[0].examples[0].id}")
    if root is not node:
        do.append(f"surefoot {_noun(root)} logs {_handle(connection, root)}")
    do.append(f"surefoot {_noun(node)} logs {_handle(connection, node)}")
    if node.state_type in FINAL and node.state_type is not COMPLETED:
        if isinstance(found.run, FlowRun) and found.run.parent_flow_run_id is None:
            do.append(f"surefoot flow-run retry {_handle(connection, node)}")
    if isinstance(found.run, TaskRun) and found.blocked and found.run.flow_run_id is not None:
        do.append(f"surefoot flow-run inspect {found.run.flow_run_id}")
    else:
        do.append(f"surefoot {_noun(node)} inspect {_handle(connection, node)}")
    return do


def _noun(node: Node) -> str:
    return "task-run" if node.is_task else "flow-run"


def _handle(connection: Connection, node: Node) -> str:
    """What a run can be called by: a flow run by its name, unless a newer one bears it too."""
    if not node.is_task:
        c = flow_runs.c
        newest = select(c.id).where(c.workspace_id == WORKSPACE, c.name == node.name).order_by(c.id.desc()).limit(1)
        if connection.execute(newest).scalar() == node.id:
            return shlex.quote(node.name)
    return to_text(node.id)
