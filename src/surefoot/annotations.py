"""Marks on arguments that change how they are taken: `unmapped`, `allow_failure`, `quote`.

May import: nothing of ours.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

__all__ = ["Annotation", "allow_failure", "quote", "unmapped"]

T = TypeVar("T")


class Annotation(Generic[T]):
    """A mark around a value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unwrap(self) -> T:
        """The value inside."""
        return self.value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(self.value == other.value)

    __hash__: Any = None


class unmapped(Annotation[T]):
    """In `.map`: pass this value to every run, even if it is a list. All runs share the one object.

    >>> unmapped([1, 2]).unwrap()
    [1, 2]
    """

    __slots__ = ()


class allow_failure(Annotation[T]):
    """Run even if this upstream FAILED: the parameter then gets its exception.

    An upstream that crashed or was cancelled still stops the run.
    """

    __slots__ = ()


class quote(Annotation[T]):
    """Take this value as it is: nothing in it is looked for, waited for or replaced. For very large containers."""

    __slots__ = ()
