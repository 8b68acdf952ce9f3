"""Hashes of values, the same in every process: what cache keys are made of. May import: engine.contents."""

from __future__ import annotations

from typing import Any

from surefoot.core.errors import HashError
from surefoot.engine.contents import content_hash
from surefoot.engine.hashing import NoHash

__all__ = ["hash_objects"]


def hash_objects(*args: Any, raise_on_failure: bool = False, **kwargs: Any) -> str | None:
    """A hash of all these values, by their contents, as 32 hexadecimal digits; None if one of them has none.

    Args:
        args, kwargs: the values. The order of keywords, and of the keys of dicts, does not count.
        raise_on_failure: raise HashError, which names the value, instead of returning None.

    >>> hash_objects({"a": 1, "b": [2]}) == hash_objects({"b": [2], "a": 1}), hash_objects(1) == hash_objects("1")
    (True, False)
    """
    hashes: list[tuple[str, bytes]] = []
    for name, value in [*((f"argument {number}", value) for number, value in enumerate(args)), *sorted(kwargs.items())]:
        try:
            hashes.append((name, content_hash(value)))
        except NoHash as error:
            if not raise_on_failure:
                return None
            raise HashError(
                f"The {name}, a {type(value).__name__}, {error}.", do="Leave it out, or pass what it is made from."
            ) from None
    return content_hash(hashes).hex()
