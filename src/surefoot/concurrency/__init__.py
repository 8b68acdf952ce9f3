"""Limits on how much goes on at once, and how often, for all processes that share a ledger.

    from surefoot.concurrency import concurrency

    with concurrency("database"):
        ...

A limit is made by `surefoot limit set database 3`, or in code by `limit("database", 3)`. May import: core, limits.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Iterable
from typing import Any

from surefoot.core.limits import LimitKey
from surefoot.limits.holding import Holding, checked_names, short_key
from surefoot.limits.rating import Rating

__all__ = ["concurrency", "limit", "rate_limit"]


def concurrency(
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    holder: Any = None,
    raise_on_lease_renewal_failure: bool | None = None,
    *,
    priority: int = 0,
    key: str | None = None,
) -> Holding:
    """A block, for `with` or `async with`, in which slots of limits are held: of all of them, or it waits.

    Who waits is served in the order of asking. A limit that is not there does not hold anybody up: that is said once.
    Slots come back at the end of the block, and when the process dies, whatever it died of.

    Args:
        names: the limits.
        occupy: how many slots of each.
        timeout_seconds: how long to wait at most; without it, as long as it takes.
        max_retries: 0 does not wait. Any other number is of no account: nothing is asked again and again.
        lease_duration: how many seconds nothing has to be heard of this process for the slots to be given to others,
            from 60 to 86,400. They are renewed in the background. On one machine a death is seen at once.
        strict: a limit that is not there is an error; and if the slots are lost, the run is stopped.
        holder: who is said to hold them; by default the run.
        raise_on_lease_renewal_failure: whether the run is stopped if the slots are lost; by default what `strict` says.
        priority: the higher, the sooner; among equals, who asked first.
        key: each key has slots of its own.

    Raises:
        ConcurrencySlotAcquisitionError: there are not so many, or, with `strict`, no such limit.
        AcquireConcurrencySlotTimeoutError: a TimeoutError: it took too long.
        WouldDeadlock: a block around this one holds what it would wait for.
        BadInput: what was passed cannot be.

    >>> from surefoot.core.settings import temporary_settings
    >>> import tempfile
    >>> with temporary_settings({"home": tempfile.mkdtemp()}), limit("database", 3):
    ...     "at most three at once"
    'at most three at once'
    """
    own = short_key(key)
    return Holding(
        [LimitKey(name, own) for name in checked_names(names)],
        occupy,
        timeout_seconds,
        max_retries,
        lease_duration,
        strict,
        holder,
        raise_on_lease_renewal_failure,
        priority,
    )


def limit(
    name: str,
    slots: int | None = None,
    *,
    key: str | None = None,
    occupy: int = 1,
    priority: int = 0,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    holder: Any = None,
    raise_on_lease_renewal_failure: bool | None = None,
) -> Holding:
    """One limit, which may be declared here: a block in which a slot of it is held.

    With `key`, each key has that many slots: `limit("api", 2, key=customer)` lets two go on for each customer.
    As long as nobody sets the limit by `surefoot limit set`, the number in the code counts.

    Args:
        name: the limit.
        slots: how many slots it has, of each key. Without it, as many as were set.
        key: which of its keys.
        occupy, priority, timeout_seconds, max_retries, lease_duration, strict, holder, raise_on_lease_renewal_failure:
            as of `concurrency`.
    """
    (only,) = checked_names((name,))
    return Holding(
        [LimitKey(only, short_key(key))],
        occupy,
        timeout_seconds,
        max_retries,
        lease_duration,
        strict,
        holder,
        raise_on_lease_renewal_failure,
        priority,
        slots,
    )


def rate_limit(
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    *,
    rate: str | None = None,
    key: str | None = None,
) -> Awaitable[None] | None:
    """Wait until this may be done once more. In an event loop it is to be awaited; elsewhere it blocks.

    `rate_limit("api")` goes by what was set: `surefoot limit set api 60/minute`. `rate_limit("60/minute")` is a rate of
    the task or flow that calls it, for all of its runs together; `rate_limit("api", rate="60/minute")` has a name too.

    Args:
        names: the limits.
        occupy: how many at once.
        timeout_seconds: if it would take longer, it is an error at once, and nothing was taken.
        strict: a limit that is not there is an error.
        rate: what they give, as long as nobody sets it: "60/minute".
        key: each key has a rate of its own.

    Raises:
        ConcurrencySlotAcquisitionError: the limit is not a rate, or gives fewer at once; with `strict`, is not there.
        AcquireConcurrencySlotTimeoutError: a TimeoutError: it would take too long.
        BadInput: what was passed cannot be.
    """
    rating = Rating(names, occupy, timeout_seconds, strict, rate, key)
    if _is_in_loop():
        return rating.wait()
    rating.block()
    return None


def _is_in_loop() -> bool:
    asyncio: Any = sys.modules.get("asyncio")  # where it is not loaded, nothing is asynchronous
    return asyncio is not None and asyncio._get_running_loop() is not None
