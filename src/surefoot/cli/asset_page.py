"""What `asset inspect` shows of an asset: what it is, why it is as it is, checks, metadata, history, neighbours.

May import: click, msgspec, core, the parts of cli.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click
import msgspec

from surefoot.cli.table import Cell, cut, dim, heading, hint, one_line, screen_width, table
from surefoot.cli.times import clock_time, full_time
from surefoot.core.colours import STATE_COLOURS
from surefoot.core.states import StateType
from surefoot.core.wire import Asset, AssetCheck, Lineage, Materialization

__all__ = ["asset_page", "outcome_cell", "why_of"]

_TYPES: Final = {
    "completed": StateType.COMPLETED,
    "failed": StateType.FAILED,
    "crashed": StateType.CRASHED,
    "cancelled": StateType.CANCELLED,
    "running": StateType.RUNNING,
}
_VALUE_MAX: Final = 500  # of metadata; `-o json` has it all
_METADATA_MAX: Final = 50


def outcome_cell(outcome: str) -> Cell:
    """What became of an attempt, in the colour of the state that it is like."""
    text = outcome.replace("-", " ").capitalize()
    return Cell(text, STATE_COLOURS[_TYPES.get(outcome, StateType.PENDING)].terminal)


def why_of(made: Materialization) -> str:
    """Why it is not completed; of what is, which checks warn."""
    if made.outcome != "completed":
        return made.message or ""
    warning = [check for check in made.checks if not check.passed]
    return "; ".join(f"warning of {check.name}{f': {check.message}' if check.message else ''}" for check in warning)


def asset_page(asset: Asset, history: Sequence[Materialization], around: Lineage, now: datetime) -> list[str]:
    """The page of an asset."""
    last = asset.last
    outcome = Cell("not made here", "bright_black") if last is None else outcome_cell(last.outcome)
    lines = [f"{heading(one_line(asset.key))}   {click.style(outcome.text, fg=outcome.colour, bold=True)}"]
    if last is not None and (why := why_of(last)):
        lines.append(one_line(why))
    facts = {
        "Name": asset.name or "",
        "About": asset.description or "",
        "Owners": ", ".join(asset.owners),
        "See": asset.url or "",
        "Made": full_time(asset.completed, now) or "never",
        "By": "" if last is None else f"task {last.task_name}{f' ({last.by})' if last.by else ''}",
        "Rests on": ", ".join(edge.upstream for edge in around.edges if edge.asset == asset.key),
        "Below it": ", ".join(edge.asset for edge in around.edges if edge.upstream == asset.key),
    }
    width = max(map(len, facts))
    lines += ["", *(f"{dim(f'{name:<{width}}')}   {one_line(value)}" for name, value in facts.items() if value)]
    if last is not None:
        lines += [*_checks(last.checks), *_metadata(last)]
    lines += _history(history)
    if last is None:
        return [*lines, "", hint(f"Next: surefoot asset lineage {one_line(asset.key)}")]
    return [
        *lines,
        "",
        hint(f"Next: surefoot why {last.task_run_id} | surefoot asset lineage {one_line(asset.key)}"),
    ]


def _checks(checks: Sequence[AssetCheck]) -> list[str]:
    rows: list[list[str | Cell]] = []
    for check in checks:
        colour = "green" if check.passed else "yellow" if check.severity == "warn" else "red"
        said = Cell("passed" if check.passed else "warns" if check.severity == "warn" else "failed", colour)
        rows.append([check.name, said, check.message or "", _json(check.metadata)])
    return ["", heading("Checks"), *table(["CHECK", "SAID", "WHY", "MEASURED"], rows, width=screen_width())] * bool(
        rows
    )


def _metadata(last: Materialization) -> list[str]:
    rows: list[list[str | Cell]] = [
        [name, value if isinstance(value, str) else _json(value)] for name, value in last.metadata.items()
    ]
    shown = [
        [cell if isinstance(cell, Cell) else cut(cell, _VALUE_MAX) for cell in row] for row in rows[:_METADATA_MAX]
    ]
    more = [dim(f"... and {len(rows) - _METADATA_MAX:,} more")] * (len(rows) > _METADATA_MAX)
    return ["", heading("Metadata"), *table(["NAME", "VALUE"], shown, width=screen_width()), *more] * bool(rows)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode() if value not in ({}, None) else ""


def _history(history: Sequence[Materialization]) -> list[str]:
    rows: list[list[str | Cell]] = [
        [clock_time(made.timestamp), outcome_cell(made.outcome), made.task_run_name, why_of(made)] for made in history
    ]
    return ["", heading("History"), *table(["WHEN", "OUTCOME", "RUN", "WHY"], rows, width=screen_width())] * bool(rows)
