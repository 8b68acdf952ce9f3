"""Drawings of flows: the body runs with stand-ins for what its tasks would give, and the calls become a graph.

Nothing is recorded, and no task runs. Loaded when a drawing is asked for. May import: core, engine, futures, states.
"""

from __future__ import annotations

from surefoot.drawing.drawing import Drawing
from surefoot.drawing.sketch import Sketch
from surefoot.drawing.stand_ins import StandIn

__all__ = ["Drawing", "Sketch", "StandIn"]
