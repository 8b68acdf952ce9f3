"""Limits for code that blocks, where users know them. May import: core, limits, the package."""

from __future__ import annotations

from collections.abc import Iterable

from surefoot.concurrency import concurrency, limit
from surefoot.core.errors import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError
from surefoot.limits.rating import Rating

__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "ConcurrencySlotAcquisitionError",
    "concurrency",
    "limit",
    "rate_limit",
]


def rate_limit(
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    *,
    rate: str | None = None,
    key: str | None = None,
) -> None:
    """`surefoot.concurrency.rate_limit`, which blocks in any case."""
    Rating(names, occupy, timeout_seconds, strict, rate, key).block()
