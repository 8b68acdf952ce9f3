"""Doors: the one module outside the floors. It fills the ports of core with what higher floors offer.

Each door opens late: nothing is imported here until somebody goes through. May import: everything.
"""

from __future__ import annotations

from surefoot.core import ports

__all__: list[str] = []


def _earlier_runs() -> ports.EarlierRuns:
    from surefoot.client.resuming import EmbeddedEarlierRuns

    return EmbeddedEarlierRuns.open()


def _lines() -> ports.Lines:
    from surefoot.client.locks import EmbeddedLines

    return EmbeddedLines.open()


def _limits() -> ports.Limits:
    from surefoot.client.limits import EmbeddedLimits

    return EmbeddedLimits.open()


def _artifacts() -> ports.Artifacts:
    from surefoot.client.artifacts import EmbeddedArtifacts

    return EmbeddedArtifacts()


def _variables() -> ports.Variables:
    from surefoot.client.variables import EmbeddedVariables

    return EmbeddedVariables.open()


ports.fill(_earlier_runs, _lines, _limits, _artifacts, _variables)
