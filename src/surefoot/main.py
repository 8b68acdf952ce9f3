"""All that `surefoot` exports, by the name of a module that some scripts import it from. A door."""

from __future__ import annotations

import surefoot

__all__ = list(surefoot.__all__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'surefoot.main' has no attribute {name!r}")
    return getattr(surefoot, name)
