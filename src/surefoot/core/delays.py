"""How long to wait before a failed attempt is repeated: a number, a list, or exponential backoff, with jitter.

May import: core.errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeGuard

from surefoot.core.errors import BadInput

__all__ = ["DELAYS_MAX", "DelaySpec", "Delays", "delays_of", "exponential_backoff"]

DELAYS_MAX: Final = 50  # a longer list is a mistake rather than a plan

DelaySpec = float | int | Sequence[float] | Callable[[int], Sequence[float]] | None


class DelayTypeError(BadInput, TypeError):
    """`retry_delay_seconds` is not a number, a list of numbers, or a function of the number of retries."""


class DelayValueError(BadInput, ValueError):
    """A delay, a jitter factor or the length of a list of delays is out of range."""


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double: `backoff_factor` seconds, then twice that, and so on, for `retry_delay_seconds`.

    >>> exponential_backoff(10)(4)
    [10.0, 20.0, 40.0, 80.0]
    """
    if not _is_number(backoff_factor) or not 0 <= backoff_factor < math.inf:
        raise DelayValueError(
            f"exponential_backoff got {backoff_factor!r}, which is not a number of seconds.",
            do="Pass a number of at least 0, for example exponential_backoff(10).",
        )

    def delays(retries: int) -> list[float]:
        return [float(backoff_factor) * 2**i for i in range(min(retries, DELAYS_MAX))]

    return delays


class Delays:
    """The delays of one task or flow, ready to be asked: `delay_s(attempt, draw)`.

    `jitter_factor` spreads a delay d over [d, d * (1 + factor)]: never earlier than asked for, so that a server's
    "come back in 10 s" is kept, and many callers do not come back at once.
    """

    __slots__ = ("jitter_factor", "seconds")

    def __init__(self, seconds: tuple[float, ...], jitter_factor: float | None) -> None:
        self.seconds = seconds
        self.jitter_factor = jitter_factor

    def delay_s(self, attempt: int, draw: Callable[[], float]) -> float:
        """Seconds to wait after failed attempt number `attempt` (1, 2, ...). `draw` gives a number in [0, 1).

        >>> Delays((1.0, 5.0), None).delay_s(3, lambda: 0.0)
        5.0
        >>> Delays((10.0,), 0.5).delay_s(1, lambda: 0.5)
        12.5
        """
        if not self.seconds:
            return 0.0
        base = self.seconds[min(attempt, len(self.seconds)) - 1]
        return base * (1.0 + self.jitter_factor * draw()) if self.jitter_factor else base


def delays_of(
    spec: DelaySpec, retries: int, jitter_factor: float | None = None, *, owner: str = "retry_delay_seconds"
) -> Delays:
    """Check `spec` and make it ready. `owner` names the argument or setting in errors.

    Raises DelayTypeError (a TypeError) for another type, DelayValueError (a ValueError) for a negative or non-finite
    number, a negative jitter factor, or more than 50 delays.

    >>> delays_of([1, 10], retries=3).seconds
    (1.0, 10.0)
    """
    if jitter_factor is not None and (not _is_number(jitter_factor) or not 0 <= jitter_factor < math.inf):
        raise DelayValueError(
            f"retry_jitter_factor is {jitter_factor!r}.", do="Pass a number of at least 0, for example 0.5."
        )
    if callable(spec):
        spec = spec(max(retries, 0))
    if spec is None:
        return Delays((), jitter_factor)
    values: object = [spec] if _is_number(spec) else spec
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not all(map(_is_number, values)):
        raise DelayTypeError(
            f"{owner} is {spec!r}.",
            do="Pass a number of seconds, a list of them, or a function of the number of retries that gives one.",
        )
    if len(values) > DELAYS_MAX:
        raise DelayValueError(
            f"{owner} has {len(values)} delays; {DELAYS_MAX} are the most.",
            do="Shorten the list: its last delay is used for all further retries.",
        )
    for value in values:
        if not 0 <= value < math.inf:
            raise DelayValueError(f"{owner} contains {value!r}.", do="Use numbers of seconds of at least 0.")
    return Delays(tuple(float(value) for value in values), jitter_factor)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
