"""What a task asks for with `isolation` and `memory_limit`, and whether it can be had here.

May import: core, definition.
"""

from __future__ import annotations

from surefoot.core.os.trees import MEASURES
from surefoot.core.sizes import parsed_size
from surefoot.engine.definition import BadInputType, BadInputValue, Definition

__all__ = ["check_isolation", "check_memory_limit"]


def check_isolation(isolation: str | None, owner: Definition) -> str | None:
    """Where a task is called. Raises TypeError and ValueError for anything else than None and "process"."""
    if isolation is None:
        return None
    what = f"isolation of task {owner.name!r}"
    if not isinstance(isolation, str):
        raise BadInputType(f"{what} is {isolation!r}.", do='Pass "process", or None.')
    if isolation != "process":
        raise BadInputValue(f"{what} is {isolation!r}, which there is not.", do='Pass "process", or None.')
    if owner.isgenerator:
        raise BadInputType(
            f"Task {owner.name!r} yields its values one by one, which cannot be done from a process of its own.",
            do="Return a list of them, or leave out isolation.",
        )
    return isolation


def check_memory_limit(limit: str | int | None, owner: Definition) -> int | None:
    """How many bytes a task may hold. Raises TypeError and ValueError for what is no size, or cannot be held to."""
    if limit is None:
        return None
    what = f"memory_limit of task {owner.name!r}"
    count = parsed_size(limit, what)
    if owner.isolation is None:
        raise BadInputValue(
            f"{what} is {limit!r}, but the task has no process of its own, which is what can be limited.",
            do='Write @task(isolation="process", memory_limit=...).',
        )
    if not MEASURES:
        raise BadInputValue(f"{what} cannot be held to on this system.", do="Leave it out here.")
    return count
