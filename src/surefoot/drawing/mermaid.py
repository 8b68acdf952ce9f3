"""A sketch as mermaid text: to paste into Markdown, where GitHub and others draw it. May import: sketch."""

from __future__ import annotations

from surefoot.drawing.sketch import Sketch

__all__ = ["mermaid_of"]


def mermaid_of(sketch: Sketch) -> str:
    """The text, from "flowchart TD" on. Flows have double sides; an edge that is only waited for is dotted."""
    lines = ["flowchart TD"]
    for number, node in enumerate(sketch.nodes):
        label = _escaped(node.label)
        if node.tags:
            label += f"<br/><small>{_escaped(', '.join(sorted(node.tags)))}</small>"
        lines.append(f'    n{number}[["{label}"]]' if node.is_flow else f'    n{number}["{label}"]')
    for edge in sketch.edges:
        arrow = "-->" if edge.is_data else "-. waits .->"
        lines.append(f"    n{edge.start} {arrow} n{edge.end}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    # In mermaid's own way to write signs, which begins with the first of these.
    for sign, written in (("#", "#35;"), ("&", "#amp;"), ("<", "#lt;"), (">", "#gt;"), ('"', "#quot;"), ("`", "#96;")):
        text = text.replace(sign, written)
    return " ".join(text.split())
