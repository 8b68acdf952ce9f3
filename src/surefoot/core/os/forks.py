"""What a forked child has to put right before it goes on: locks that another thread held, and what is the parent's.

May import: the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["after_fork_in_child"]


def after_fork_in_child(action: Callable[[], None]) -> Callable[[], None]:
    """Have `action` called in each child that is forked from now on, after those that were named before.

    A decorator, too. Where processes are not forked (Windows) it is never called.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)
    return action
