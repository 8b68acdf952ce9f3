"""Rating: how a rate is kept. The ledger reserves an instant, and whoever asked sleeps until then.

May import: core, engine, locking, desk, holding.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from surefoot.core.clock import get_clock
from surefoot.core.errors import AcquireConcurrencySlotTimeoutError, MissingContextError
from surefoot.core.limits import LimitKey, LimitOptionError, Rate, Reserved, checked_count, rate_of
from surefoot.engine.interrupts import GateShut, Shelter
from surefoot.engine.scope import current
from surefoot.engine.sketching import sketcher
from surefoot.limits.desk import desk
from surefoot.limits.holding import checked_names, checked_seconds, short_key, tell_unknown
from surefoot.locking.waiters import elsewhere

__all__ = ["Rating"]


class Rating:
    """One wait until a rate has room.

    Args:
        names, occupy, timeout_seconds, strict, rate, key: as passed to `rate_limit`.
    """

    def __init__(
        self, names: Any, occupy: int, timeout_seconds: float | None, strict: bool, rate: str | None, key: str | None
    ) -> None:
        self._occupy = checked_count(occupy, "occupy")
        self._timeout_s = checked_seconds(timeout_seconds, "timeout_seconds")
        self._strict = strict
        self._rates: dict[str, Rate] = {}
        own = short_key(key)
        told = None if rate is None else _checked_rate(rate)
        self._declares = told is not None
        keys: list[LimitKey] = []
        for name in checked_names(names):
            named = told or rate_of(name)
            if named is not None:
                self._rates[name] = named
            if named is None or told is not None:
                keys.append(LimitKey(name, own))
            else:
                keys.append(LimitKey(name, f"{_caller(name)}{' ' if own else ''}{own}"))
        self._keys = tuple(dict.fromkeys(keys))
        for name, named in self._rates.items():
            if self._occupy > named.slots:
                raise LimitOptionError(
                    f"occupy is {self._occupy}, of {name!r}, which gives {named.slots} at once.",
                    do="Ask for fewer at a time.",
                )

    def block(self) -> None:
        """Wait on this thread."""
        if not self._is_needed():
            return
        with GateShut():
            reserved = self._reserve()
        _pause(self._told(reserved))

    async def wait(self) -> None:
        """Wait in an event loop."""
        import asyncio  # a door: who awaits has loaded it

        if self._is_needed():
            wait_s = self._told(await elsewhere(self._reserve))
            if wait_s > 0:
                await asyncio.sleep(get_clock().pause_s(wait_s))

    def _is_needed(self) -> bool:
        return bool(self._keys) and sketcher() is None

    def _reserve(self) -> Reserved:
        within_us = None if self._timeout_s is None else int(self._timeout_s * 1e6)
        return desk().limits.reserve(self._keys, self._occupy, self._rates, within_us, self._strict, self._declares)

    def _told(self, reserved: Reserved) -> float:
        """How long to wait, in seconds."""
        if reserved.unknown:
            tell_unknown(reserved.unknown, "60/minute")
        wait_s = reserved.wait_us / 1e6
        if not reserved.is_in_time:
            names = ", ".join(key.name for key in self._keys)
            raise AcquireConcurrencySlotTimeoutError(
                f"The limit {names} has room in {wait_s:.3g} s, and timeout_seconds is {self._timeout_s:g}.",
                do="Wait longer, or ask less often.",
            )
        return wait_s


_MAIN: Final = threading.main_thread


def _pause(seconds: float) -> None:
    if seconds <= 0:
        return
    clock = get_clock()
    real_s = clock.pause_s(seconds)
    if threading.get_ident() == _MAIN().ident:
        clock.sleep(real_s)
        return
    with Shelter() as shelter:
        shelter.wait(lambda: False, real_s)


def _checked_rate(rate: Any) -> Rate:
    found = rate_of(rate) if isinstance(rate, str) else None
    if found is None:
        raise LimitOptionError(f"rate is {rate!r}.", do='Pass a text such as "60/minute" or "10/s".')
    return found


def _caller(name: str) -> str:
    """What a rate without a name belongs to: the task or flow whose code asks."""
    execution = current()
    if execution is None:
        raise MissingContextError(
            f"rate_limit({name!r}) was called outside of a task or flow, to which this rate would belong.",
            do=f'Give it a name: rate_limit("api", rate="{name}")',
        )
    own: str | None = getattr(execution, "task_key", None)
    return f"task {own}" if own is not None else f"flow {execution.definition.name}"
