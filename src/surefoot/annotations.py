"""Marks on arguments that change how they are taken: `unmapped`, `allow_failure`, `quote` ...

May import: core.errors.
"""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar

from surefoot.core.errors import BadInput

__all__ = ["Annotation", "allow_failure", "flatten", "freeze", "opaque", "quote", "unmapped"]

T = TypeVar("T")


class Annotation(Generic[T]):
    """A mark around a value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unwrap(self) -> T:
        """The value inside."""
        return self.value

    def rewrap(self, value: T) -> Self:
        """The same mark around another value."""
        return type(self)(value)

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
    """Run even if this upstream FAILED or was skipped: the parameter then gets its exception, or None.

    An upstream that crashed or was cancelled still stops the run.
    """

    __slots__ = ()


class quote(Annotation[T]):
    """Take this value as it is: nothing in it is looked for, waited for or replaced. For very large containers."""

    __slots__ = ()


class opaque(Annotation[T]):
    """Take a future as its value, and anything else as it is: what is in it is neither looked for nor replaced."""

    __slots__ = ()


class flatten(Annotation[T]):
    """In `.map`: one run for each element of each element. Futures among them are waited for first.

    >>> flatten([[1, 2], [3]]).unwrap()
    [[1, 2], [3]]
    """

    __slots__ = ()


class FreezeError(BadInput, ValueError):
    """A value in `freeze` is none that JSON can hold."""


class freeze(Annotation[T]):
    """A value that JSON can hold, checked here and now. Raises ValueError for any other.

    >>> freeze({"a": [1, 2]}).unfreeze()
    {'a': [1, 2]}
    """

    __slots__ = ()

    def __init__(self, value: T) -> None:
        import json  # a door: 3 ms for what is seldom used

        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise FreezeError(
                f"freeze() got {value!r}, which JSON cannot hold: {error}.", do="Pass plain values."
            ) from None
        super().__init__(value)

    def unfreeze(self) -> T:
        """The value inside."""
        return self.value
