"""Locks in the ledger: for all processes that share one, on one machine or, with PostgreSQL, on many.

May import: core, lined, presence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from surefoot.core import ports
from surefoot.core.errors import SurefootError
from surefoot.core.lines import Line, Place
from surefoot.core.per_ledger import PerLedger
from surefoot.locking.lined import LinedLockManager
from surefoot.locking.presence import Presence, presence_in
from surefoot.locking.waiters import Waiter

__all__ = ["LedgerLockManager"]

T = TypeVar("T")
_KEY_CHARS: Final = 400  # an index of PostgreSQL takes 2,700 bytes


class LedgerLockManager(LinedLockManager):
    """Locks in the ledger that the settings name: in the home, or at `ledger.url`.

    On the machine of the holder its death frees a lock within a second; on others when its lease has run out, which is
    renewed every 10 seconds and lasts 30.

    >>> from surefoot.core.settings import temporary_settings
    >>> import tempfile
    >>> with temporary_settings({"home": tempfile.mkdtemp()}):
    ...     locks = LedgerLockManager()
    ...     locks.acquire_lock("report", "ann"), locks.acquire_lock("report", "ben", acquire_timeout=0)
    (True, False)
    """

    is_slow: ClassVar[bool] = True
    look_s: ClassVar[float | None] = 0.5

    def __reduce__(self) -> tuple[Any, ...]:
        return LedgerLockManager, ()

    def __repr__(self) -> str:
        return "LedgerLockManager()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LedgerLockManager)

    def __hash__(self) -> int:
        return hash(LedgerLockManager)

    def _change(self, key: str, step: Callable[[Line, int], T]) -> T:
        here = _opened.here()
        value, called = here.lines.change(_short(key), step, here.proof)
        for place in called:
            if place.origin == here.lines.origin:
                here.presence.call(place.owner, place.ticket)
        return value

    def _place(self, ticket: str, holder: str, hold_us: int | None) -> Place:
        here = _opened.here()
        here.begin_renewing()
        return Place(ticket, holder, here.presence.name, hold_us, origin=here.lines.origin)

    def _begin_waiting(self, ticket: str, waiter: Waiter) -> None:
        _opened.here().presence.begin_waiting(ticket, waiter)

    def _end_waiting(self, ticket: str) -> None:
        _opened.here().presence.end_waiting(ticket)


class _Here:
    """One ledger, opened by this process, and its presence in the home."""

    def __init__(self, lines: ports.Lines) -> None:
        self.lines = lines
        self._lock = threading.Lock()
        self._renews = False
        self._is_over = threading.Event()

    @property
    def presence(self) -> Presence:
        return presence_in(self.lines.processes)

    def proof(self, place: Place) -> bool | None:
        """Whether the process of a place lives: looked at in the home that both share, if they do."""
        return self.presence.proof(place.owner) if place.origin == self.lines.origin else None

    def close(self) -> None:
        """The home is about to go."""
        self._is_over.set()
        self.lines.close()

    def begin_renewing(self) -> None:
        """A place may come that others cannot see the life of."""
        with self._lock:
            starts, self._renews = not self._renews, True
        if starts:
            threading.Thread(target=self._renew, name="surefoot-lock-leases", daemon=True).start()

    def _renew(self) -> None:
        idle = 0
        while idle < 2:  # the first place may not be there yet
            if self._is_over.wait(self.lines.lease_s / 3):
                return
            try:
                idle = 0 if self.lines.renew(self.presence.name) else idle + 1
            except (SurefootError, OSError):
                continue  # the ledger may be back before the lease has run out
        with self._lock:
            self._renews = False


_opened: Final = PerLedger(lambda: _Here(ports.lines()), _Here.close)


def _short(key: str) -> str:
    if len(key) <= _KEY_CHARS:
        return key
    from hashlib import blake2b  # a door: loading OpenSSL takes 3 ms

    return f"{key[:_KEY_CHARS]}-{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"
