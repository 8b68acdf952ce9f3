"""Testing flows: `test_harness`, a clock that jumps, and fixtures for pytest.

    from surefoot.testing import Clock, test_harness

Where pytest and Surefoot are installed together, the fixtures `surefoot_harness` and `surefoot_clock` are there by
themselves (plugin.py). Nothing is loaded until it is named. May import: client, engine, core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surefoot.logging import disable_run_logger
    from surefoot.testing.clock import Clock
    from surefoot.testing.harness import Harness, test_harness

__all__ = ["Clock", "Harness", "disable_run_logger", "test_harness"]

_DOOR = {
    "Clock": "surefoot.testing.clock",
    "Harness": "surefoot.testing.harness",
    "disable_run_logger": "surefoot.logging",
    "test_harness": "surefoot.testing.harness",
}


def __getattr__(name: str) -> object:
    if name not in _DOOR:
        raise AttributeError(f"module 'surefoot.testing' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_DOOR[name]), name)
    return value
