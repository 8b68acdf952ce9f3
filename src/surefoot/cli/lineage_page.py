"""What `asset lineage` shows: two trees, what an asset rests on and what rests on it; or the same as mermaid text.

May import: core, the parts of cli.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from surefoot.cli.asset_page import outcome_cell
from surefoot.cli.table import dim, heading, one_line, padded, paint, width_of
from surefoot.cli.times import day_and_time
from surefoot.core.wire import Asset, AssetEdge, Lineage

__all__ = ["lineage_page", "mermaid_of"]


class _Line(NamedTuple):
    text: str
    asset: Asset
    remark: str


def lineage_page(lineage: Lineage, now: datetime, *, shows_up: bool = True, shows_down: bool = True) -> list[str]:
    """The trees."""
    lines: list[str] = []
    for wanted, title, nothing, is_up in (
        (shows_up, "Rests on", "It rests on no asset that is known.", True),
        (shows_down, "Below it", "No asset that is known rests on it.", False),
    ):
        if not wanted:
            continue
        tree = _Tree(lineage, is_up=is_up).lines(now)
        lines += [*([""] if lines else []), heading(title), *_columns(tree, now)]
        if len(tree) == 1:
            lines.append(dim(nothing))
    return lines or [one_line(lineage.key)]


class _Tree:
    def __init__(self, lineage: Lineage, *, is_up: bool) -> None:
        self._is_up = is_up
        self._start = lineage.key
        self._assets = {asset.key: asset for asset in lineage.assets}
        self._edges: dict[str, list[AssetEdge]] = {}
        for edge in lineage.edges:
            self._edges.setdefault(edge.asset if is_up else edge.upstream, []).append(edge)
        self._seen: set[str] = set()
        self._marks = _marks()

    def lines(self, now: datetime) -> list[_Line]:
        """The start, and below it, one to a line, what is connected with it."""
        found = [_Line(one_line(self._start), self._assets[self._start], "")]
        self._seen.add(self._start)
        # A list of what is left rather than calls within calls: a chain may be a thousand assets long.
        left = [*self._below(self._start, "")]
        while left:
            edge, begin, further = left.pop(0)
            other = edge.upstream if self._is_up else edge.asset
            remarks = [self._age(edge)] if edge.current else [f"not since {day_and_time(edge.told, now)}"]
            if edge.how == "declared":
                remarks.append("declared")
            more = self._edges.get(other, ())
            if other in self._seen and more:
                remarks.append("see above")
            else:
                self._seen.add(other)
                left[:0] = self._below(other, further)
            remark = ", ".join(remark for remark in remarks if remark)
            found.append(_Line(f"{begin}{one_line(other)}", self._assets[other], remark))
        return found

    def _below(self, key: str, begin: str) -> Iterable[tuple[AssetEdge, str, str]]:
        branch, last, on, gap = self._marks
        edges = self._edges.get(key, [])
        for number, edge in enumerate(edges, 1):
            is_last = number == len(edges)
            yield edge, begin + (last if is_last else branch), begin + (gap if is_last else on)

    def _age(self, edge: AssetEdge) -> str:
        """Whether what rests on the other was made before that."""
        asset, upstream = self._assets[edge.asset], self._assets[edge.upstream]
        if asset.completed is None or upstream.completed is None or upstream.completed <= asset.completed:
            return ""
        return "newer than what rests on it" if self._is_up else "older than what it rests on"


def _marks() -> tuple[str, str, str, str]:
    try:
        "├└│─".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "|- ", "`- ", "|  ", "   "
    return "├─ ", "└─ ", "│  ", "   "


def _columns(tree: list[_Line], now: datetime) -> list[str]:
    width = max(width_of(line.text) for line in tree)
    lines = []
    for line in tree:
        last = line.asset.last
        if last is None:
            told = dim("not made here")
        else:
            outcome = outcome_cell(last.outcome)
            told = f"{paint(outcome.text, outcome.colour)} {day_and_time(last.timestamp, now)}"
        remark = f"   {dim(f'({line.remark})')}" if line.remark else ""
        lines.append(f"  {padded(line.text, width)}   {told}{remark}")
    return lines


def mermaid_of(lineage: Lineage) -> str:
    """The text, from "flowchart LR" on: data flows along the arrows. What is declared is dotted."""
    numbers = {asset.key: number for number, asset in enumerate(lineage.assets)}
    lines = ["flowchart LR"]
    for asset in lineage.assets:
        name = f"<br/><small>{_escaped(asset.name)}</small>" if asset.name else ""
        label = f'"{_escaped(asset.key)}{name}"'
        lines.append(f"    n{numbers[asset.key]}{f'([{label}])' if asset.last is None else f'[{label}]'}")
    for edge in lineage.edges:
        arrow = "-->" if edge.how == "data" else "-.->"
        lines.append(f"    n{numbers[edge.upstream]} {arrow} n{numbers[edge.asset]}")
    lines.append(f"    style n{numbers[lineage.key]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    # In mermaid's own way to write signs, which begins with the first of these.
    text = one_line(text)
    for sign, written in (("#", "#35;"), ("&", "#amp;"), ("<", "#lt;"), (">", "#gt;"), ('"', "#quot;"), ("`", "#96;")):
        text = text.replace(sign, written)
    return text
