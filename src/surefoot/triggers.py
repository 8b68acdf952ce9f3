"""Triggers under the names that users of Prefect 1 know, and two that count.

    from surefoot import triggers
    @task(trigger=triggers.any_failed)

What each rule does stands in `core/triggers.py`. May import: core, states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from surefoot.core.errors import BadInput
from surefoot.states import State

__all__ = [
    "all_failed",
    "all_finished",
    "all_successful",
    "always_run",
    "any_failed",
    "any_successful",
    "not_all_skipped",
    "some_failed",
    "some_successful",
]

all_successful: Final = "all_success"
all_failed: Final = "all_failed"
any_successful: Final = "one_success"
any_failed: Final = "one_failed"
all_finished: Final = "all_done"
always_run: Final = "all_done"
not_all_skipped: Final = "none_failed_min_one_success"


class BoundTypeError(BadInput, TypeError):
    """`at_least` or `at_most` is no number."""


class BoundValueError(BadInput, ValueError):
    """`at_least` or `at_most` is out of range."""


class _Some:
    """Runs if so many of the upstreams are as `fits` has it."""

    def __init__(self, name: str, fits: Callable[[State], bool], at_least: float | None, at_most: float | None) -> None:
        self._fits = fits
        self._at_least = _checked(at_least, "at_least", name)
        self._at_most = _checked(at_most, "at_most", name)
        given = [f"at_least={at_least}"] * (at_least is not None) + [f"at_most={at_most}"] * (at_most is not None)
        self.__name__ = f"{name}({', '.join(given)})"

    def __call__(self, states: list[State]) -> bool:
        count = sum(map(self._fits, states))
        least = _of(self._at_least, len(states), 0)
        return least <= count <= _of(self._at_most, len(states), len(states))

    def __repr__(self) -> str:
        return self.__name__


def some_successful(at_least: float | None = None, at_most: float | None = None) -> Callable[[list[State]], bool]:
    """Run if so many upstreams succeeded: a whole number of them, or a share of all between 0 and 1.

    Raises TypeError and ValueError for bounds that are neither.

    >>> some_successful(at_least=2)
    some_successful(at_least=2)
    """
    return _Some("some_successful", _succeeded, at_least, at_most)


def some_failed(at_least: float | None = None, at_most: float | None = None) -> Callable[[list[State]], bool]:
    """Run if so many upstreams failed: a whole number of them, or a share of all between 0 and 1.

    Raises TypeError and ValueError for bounds that are neither.

    >>> some_failed(at_most=0.25)
    some_failed(at_most=0.25)
    """
    return _Some("some_failed", _failed, at_least, at_most)


def _succeeded(state: State) -> bool:
    return state.is_completed() and not state.is_skipped()


def _failed(state: State) -> bool:
    return not state.is_completed()


def _checked(bound: float | None, argument: str, name: str) -> float | None:
    if bound is None:
        return None
    if not isinstance(bound, (int, float)) or isinstance(bound, bool):
        raise BoundTypeError(f"{argument} of {name} is {bound!r}.", do="Pass a whole number, or a share: 0.5.")
    if bound < 0 or bound != bound or (isinstance(bound, float) and bound > 1):
        raise BoundValueError(
            f"{argument} of {name} is {bound!r}.", do="Pass a whole number of at least 0, or a share from 0.0 to 1.0."
        )
    return bound


def _of(bound: float | None, total: int, default: int) -> float:
    if bound is None:
        return default
    return bound * total if isinstance(bound, float) else bound
