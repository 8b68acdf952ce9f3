"""What a forked child has to put right before it goes on: locks that another thread held, and what is the parent's.

May import: the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

__all__ = ["THIS_PROCESS", "after_fork_in_child"]


def after_fork_in_child(action: Callable[[], None]) -> Callable[[], None]:
    """Have `action` called in each child that is forked from now on, after those that were named before.

    A decorator, too. Where processes are not forked (Windows) it is never called.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)
    return action


class _ThisProcess:
    """What tells this process from the one that it was forked from, without a system call: `mark` is another object."""

    __slots__ = ("mark",)

    def __init__(self) -> None:
        self.mark = object()

    def is_another(self) -> None:
        """Here goes on a child."""
        self.mark = object()


THIS_PROCESS: Final = _ThisProcess()
after_fork_in_child(THIS_PROCESS.is_another)
