"""Other processes in tests of limits, and how limits look from here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update

from surefoot.client import get_client
from surefoot.client.ledgers import ledger_of
from surefoot.client.protocol import Client
from surefoot.core import settings
from surefoot.core.wire import Limit, LimitPlace
from surefoot.journal.home import Home
from surefoot.ledger.tables import limit_places
from tests.locking.watching import until

__all__ = ["age_leases", "child", "ended", "holders", "said", "set_limit", "shown", "until_waiting", "waiters"]


@contextmanager
def _client() -> Iterator[Client]:
    client = get_client()
    try:
        yield client
    finally:
        client.close()


def set_limit(name: str, slots: int, **options: object) -> None:
    with _client() as client:
        client.set_limit(name, slots, **options)  # type: ignore[arg-type]


def shown(name: str) -> Limit:
    with _client() as client:
        return client.find_limit(name)


def holders(name: str) -> list[LimitPlace]:
    with _client() as client:
        return client.limit_places(name).results


def waiters(name: str) -> list[LimitPlace]:
    with _client() as client:
        return client.limit_places(name, waiting=True).results


def until_waiting(name: str, count: int) -> None:
    """Return when so many wait."""
    with _client() as client:
        until(lambda: client.find_limit(name).waiters == count)


def child(*words: object, home: Path | None = None) -> subprocess.Popen[str]:
    code = Path(__file__).with_name("children.py")
    more = {} if home is None else {"SUREFOOT_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, str(code), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(code.parent.parent.parent), **more},
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=100)
    return process.returncode


def age_leases(state: int) -> None:
    """Let the leases run out of all who wait (0), or of all who hold (1)."""
    current = settings.refresh()
    with ledger_of(Home(current.home), current.ledger.url) as ledger, ledger.decide() as tx:
        aged = update(limit_places).where(limit_places.c.state == state)
        tx.execute(aged.values(lease_us=limit_places.c.lease_us - 3_600_000_000))
