"""A sketch as SVG: one text without script, font or picture from elsewhere, for browsers and notebooks, light and dark.

May import: core, layers, sketch.
"""

from __future__ import annotations

from typing import Final
from unicodedata import east_asian_width

from surefoot.core.cards import cut
from surefoot.drawing.layers import Point, laid_out
from surefoot.drawing.sketch import Node, Sketch

__all__ = ["svg_of"]

_MARGIN: Final = 24.0
_HEAD: Final = 40.0  # room for the title
_SIDE: Final = 14.0  # between a box and its text
_LABEL_MAX: Final = 40  # signs; the rest is in the tooltip
_TAGS_MAX: Final = 46

# Fonts differ from machine to machine: too wide a box is better than too small.
_NARROW: Final = frozenset("iljtfrI.,:;'|!()[] ")
_WIDE: Final = frozenset("mwMW@%&")

# A class name that no page has: a notebook shows many things on one page.
_STYLE: Final = """
.sf-d{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.sf-d .page{fill:#ffffff}.sf-d text{fill:#1c2430}.sf-d .quiet{fill:#5b6470;font-size:11px}
.sf-d .title{font-weight:600;font-size:15px}.sf-d .box{fill:#eef4fc;stroke:#0b62c4;stroke-width:1.2}
.sf-d .flow{fill:#f4eefb;stroke:#7a3fb0}.sf-d .back{fill:#e0ebf9}.sf-d .edge{fill:none;stroke:#5b6470;stroke-width:1.3}
.sf-d .waits{stroke-dasharray:5 4}.sf-d .tip{fill:#5b6470}
@media (prefers-color-scheme:dark){.sf-d .page{fill:#14181f}.sf-d text{fill:#e6eaf0}.sf-d .quiet{fill:#a3adba}
.sf-d .box{fill:#182a40;stroke:#6cb0ff}.sf-d .flow{fill:#2a1f3b;stroke:#c79bf2}.sf-d .back{fill:#122033}
.sf-d .edge{stroke:#a3adba}.sf-d .tip{fill:#a3adba}}
"""


def svg_of(sketch: Sketch) -> str:
    """The picture. Flows have double sides, maps stand on a second box, edges that are only waited for are dashed."""
    layout = laid_out([_size(node) for node in sketch.nodes], [(edge.start, edge.end) for edge in sketch.edges])
    title = cut(sketch.flow.name, 80)
    width = max(layout.width, _width(title, 15), 160.0) + 2 * _MARGIN
    height = layout.height + _HEAD + 2 * _MARGIN
    shift = (width - layout.width) / 2
    told = f"{len(sketch.nodes)} nodes" if sketch.nodes else "It calls no task and no flow."
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sf-d" role="img" {size}>',
        f"<title>Flow {_escaped(sketch.flow.name)}: {told}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width:.1f}" height="{height:.1f}" rx="8"/>',
        f'<text class="title" x="{width / 2:.1f}" y="{_MARGIN + 10:.1f}" text-anchor="middle">{_escaped(title)}</text>',
    ]
    if not sketch.nodes:
        at = f'x="{width / 2:.1f}" y="{height - _MARGIN:.1f}"'
        parts.append(f'<text class="quiet" {at} text-anchor="middle">{told}</text>')
    parts.append(f'<g transform="translate({shift:.1f} {_HEAD + _MARGIN:.1f})">')
    parts += [_edge(path, edge.is_data) for path, edge in zip(layout.paths, sketch.edges, strict=True)]
    parts += [_node(node, place) for node, place in zip(sketch.nodes, layout.places, strict=True)]
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _edge(path: list[Point], is_data: bool) -> str:
    (x, y), *rest = path
    end_x, end_y = rest.pop()
    points = [*rest, (end_x, end_y - 7)]  # the rest is the arrow's tip
    drawn = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in points:
        half = (to_y - y) / 2
        drawn.append(f"C{x:.1f} {y + half:.1f} {to_x:.1f} {to_y - half:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    kind = "edge" if is_data else "edge waits"
    tip = f"M{end_x:.1f} {end_y:.1f}l-4 -8h8z"
    return f'<path class="{kind}" d="{"".join(drawn)}"/><path class="tip" d="{tip}"/>'


def _node(node: Node, place: Point) -> str:
    width, height = _size(node)
    left, top = place[0] - width / 2, place[1] - height / 2
    kind = "box flow" if node.is_flow else "box"
    corner = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    parts = []
    if node.count != 1:
        behind = f'x="{left + 4:.1f}" y="{top + 4:.1f}" width="{width:.1f}" height="{height:.1f}"'
        parts.append(f'<rect class="{kind} back" {behind} rx="6"/>')
    parts.append(f'<rect class="{kind}" {corner} rx="6"/>')
    if node.is_flow:
        inner = f'x="{left + 3:.1f}" y="{top + 3:.1f}" width="{width - 6:.1f}" height="{height - 6:.1f}"'
        parts.append(f'<rect class="{kind}" {inner} rx="4"/>')
    middle, text_y = place[0], place[1] + 4.5
    if node.tags:
        tags = _escaped(cut(", ".join(sorted(node.tags)), _TAGS_MAX))
        parts.append(f'<text class="quiet" x="{middle:.1f}" y="{place[1] + 13:.1f}" text-anchor="middle">{tags}</text>')
        text_y = place[1] - 3
    parts.append(f'<text x="{middle:.1f}" y="{text_y:.1f}" text-anchor="middle">{_escaped(_label(node))}</text>')
    return f"<g><title>{_escaped(_told(node))}</title>{''.join(parts)}</g>"


def _told(node: Node) -> str:
    about = (node.definition.description or "").strip().partition("\n")[0]
    tags = f"tags: {', '.join(sorted(node.tags))}" if node.tags else ""
    return " \N{MIDDLE DOT} ".join(filter(None, [f"{node.definition.kind} {node.label}", about, tags]))


def _label(node: Node) -> str:
    name, more = node.name, node.label[len(node.name) :]
    return cut(name, _LABEL_MAX) + more


def _size(node: Node) -> Point:
    width = _width(_label(node), 13)
    if node.tags:
        width = max(width, _width(cut(", ".join(sorted(node.tags)), _TAGS_MAX), 11))
    return max(width + 2 * _SIDE, 60.0), 46.0 if node.tags else 34.0


def _width(text: str, size: float) -> float:
    """About how wide a text is, in pixels."""
    ems = 0.0
    for sign in text:
        if east_asian_width(sign) in "WF":
            ems += 1.05
        elif sign in _NARROW:
            ems += 0.36
        elif sign in _WIDE or sign.isupper():
            ems += 0.78
        else:
            ems += 0.58
    return ems * size


def _escaped(text: str) -> str:
    text = "".join(sign if sign.isprintable() else " " for sign in text)  # XML knows no control characters
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, entity)
    return text
