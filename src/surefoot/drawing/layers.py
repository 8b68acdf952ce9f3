"""A graph in layers: which row each node stands in, in which order, and where; each edge leads downwards. Pure.

Rows by longest path; within a row by the mean place of what a node is tied to, swept down and up while fewer edges
cross; then each row is moved as near to its neighbours as the order and the gaps allow. May import: nothing of ours.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

__all__ = ["Layout", "laid_out"]

GAP_X: Final = 28.0  # between nodes of a row
GAP_Y: Final = 46.0  # between rows
_LANE: Final = 10.0  # the width of an edge on its way through a row
_LANES_MAX: Final = 2000  # in all; an edge without goes straight on, behind whatever stands there
_SWEEPS: Final = 12
_COLUMNS_MAX: Final = 6  # of nodes that are tied to nothing

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Where all stands: the middle of each node, and paths from the lower edge of one to the upper edge of another."""

    width: float
    height: float
    places: list[Point]
    paths: list[list[Point]]


@dataclass
class _Part:
    """A node, or the place where an edge passes through a row."""

    row: int
    width: float
    height: float
    order: float = 0.0
    x: float = 0.0


def laid_out(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """Lay nodes of these sizes out, in the order in which they are given where nothing else decides.

    Args:
        sizes: width and height of each node.
        edges: from which node to which; an edge leads from an earlier to a later one.
    """
    rows_of = _rows(len(sizes), edges)
    parts = [_Part(row, width, height) for row, (width, height) in zip(rows_of, sizes, strict=True)]
    ties: list[tuple[int, int]] = []
    chains: list[list[int]] = []
    lanes = _with_lanes(edges, rows_of)
    for start, end in edges:
        chain = [start]
        if (start, end) in lanes:
            for row in range(rows_of[start] + 1, rows_of[end]):
                parts.append(_Part(row, _LANE, 0.0))
                chain.append(len(parts) - 1)
        chain.append(end)
        chains.append(chain)
        if len(chain) - 2 == rows_of[end] - rows_of[start] - 1:
            ties += pairwise(chain)
    rows = _ordered(parts, ties)
    _moved_together(parts, rows, ties)
    left = min((part.x - part.width / 2 for part in parts), default=0.0)
    for part in parts:
        part.x -= left
    tops: list[float] = []
    heights = [max((parts[it].height for it in row), default=0.0) for row in rows]
    for row in range(len(heights)):
        tops.append(tops[row - 1] + heights[row - 1] + GAP_Y if row else 0.0)
    middles = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
    paths = [_path(chain, parts, middles) for chain in chains]
    return Layout(
        max((part.x + part.width / 2 for part in parts), default=0.0),
        tops[-1] + heights[-1] if tops else 0.0,
        [(part.x, middles[part.row]) for part in parts[: len(sizes)]],
        paths,
    )


def _with_lanes(edges: Sequence[tuple[int, int]], rows_of: list[int]) -> set[tuple[int, int]]:
    """The edges that get a lane of their own through each row in between: the shorter ones, while there is room."""
    left, found = _LANES_MAX, set()
    for start, end in sorted(edges, key=lambda it: rows_of[it[1]] - rows_of[it[0]]):
        left -= rows_of[end] - rows_of[start] - 1
        if left < 0:
            break
        found.add((start, end))
    return found


def _path(chain: list[int], parts: list[_Part], middles: list[float]) -> list[Point]:
    first, last = parts[chain[0]], parts[chain[-1]]
    start = (first.x, middles[first.row] + first.height / 2)
    end = (last.x, middles[last.row] - last.height / 2)
    return [start, *((parts[it].x, middles[parts[it].row]) for it in chain[1:-1]), end]


def _rows(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The row of each node: one below the lowest that it needs; a source just above the first that needs it."""
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        above[end].append(start)
        below[start].append(end)
    rows = [0] * count
    for place in range(count):
        rows[place] = 1 + max((rows[it] for it in above[place]), default=-1)
    for place in reversed(range(count)):
        if below[place] and not above[place]:
            rows[place] = min(rows[it] for it in below[place]) - 1
    alone = [place for place in range(count) if not above[place] and not below[place]]
    lowest = max((rows[place] for place in range(count) if place not in set(alone)), default=-1)
    columns = min(_COLUMNS_MAX, max(1, round(len(alone) ** 0.5)) + 1)
    for number, place in enumerate(alone):
        rows[place] = lowest + 1 + number // columns
    return rows


# --- order ------------------------------------------------------------------------------------------------------------


def _ordered(parts: list[_Part], ties: list[tuple[int, int]]) -> list[list[int]]:
    """The parts of each row from left to right."""
    rows: list[list[int]] = [[] for _ in range(max((part.row for part in parts), default=-1) + 1)]
    for place, part in enumerate(parts):
        rows[part.row].append(place)
    above, below = _neighbours(len(parts), ties)
    # To begin with, a passing edge stands beside what it comes from.
    for row in rows:
        row.sort(key=lambda it: sum(parts[up].order for up in above[it]) / len(above[it]) if above[it] else it)
        _number(row, parts)
    best, fewest = [list(row) for row in rows], _crossings(rows, parts, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            means = {it: _mean([parts[other].order for other in near[it]], parts[it].order) for it in row}
            row.sort(key=means.__getitem__)
            _number(row, parts)
        crossings = _crossings(rows, parts, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row in best:
        _number(row, parts)
    return best


def _neighbours(count: int, ties: list[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for start, end in ties:
        below[start].append(end)
        above[end].append(start)
    return above, below


def _number(row: Iterable[int], parts: list[_Part]) -> None:
    for number, place in enumerate(row):
        parts[place].order = float(number)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: list[list[int]], parts: list[_Part], below: list[list[int]]) -> int:
    crossed = 0
    for row in rows:
        ends: list[float] = []  # of the edges from further left
        for place in row:
            here = [parts[it].order for it in below[place]]
            crossed += sum(len(ends) - bisect_right(ends, end) for end in here)
            for end in here:
                insort(ends, end)
    return crossed


# --- places -----------------------------------------------------------------------------------------------------------


def _moved_together(parts: list[_Part], rows: list[list[int]], ties: list[tuple[int, int]]) -> None:
    """Give each part its x: near to what it is tied to, in its order, not closer than the gap."""
    above, below = _neighbours(len(parts), ties)
    for row in rows:
        offsets = _offsets(row, parts)
        for place, offset in zip(row, offsets, strict=True):
            parts[place].x = offset - (offsets[-1] if offsets else 0) / 2
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            near = above if sweep % 2 == 0 else below
            wanted = []
            for place in row:
                # At last between both.
                others = [*above[place], *below[place]] if sweep >= _SWEEPS - 2 else near[place]
                wanted.append(_mean([parts[it].x for it in others], parts[place].x))
            offsets = _offsets(row, parts)
            free = _never_falling([want - offset for want, offset in zip(wanted, offsets, strict=True)])
            for place, offset, base in zip(row, offsets, free, strict=True):
                parts[place].x = base + offset


def _offsets(row: list[int], parts: list[_Part]) -> list[float]:
    """How far each part of a row stands at least from the first."""
    offsets = [0.0] if row else []
    for left, right in pairwise(row):
        gap = GAP_X if parts[left].height or parts[right].height else _LANE
        offsets.append(offsets[-1] + parts[left].width / 2 + gap + parts[right].width / 2)
    return offsets


def _never_falling(values: list[float]) -> list[float]:
    """The sequence that never falls and is nearest to these values, by the sum of squares.

    >>> _never_falling([3.0, 1.0, 5.0])
    [2.0, 2.0, 5.0]
    """
    blocks: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            more, times = blocks.pop()
            total, count = total + more, count + times
        blocks.append((total, count))
    return [total / count for total, count in blocks for _ in range(count)]
