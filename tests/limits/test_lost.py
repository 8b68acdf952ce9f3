"""Slots that are lost while their holder lives: with `strict` its run is stopped, wherever it is at work."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from surefoot import flow, task
from surefoot.client import get_client
from surefoot.client.ledgers import ledger_of
from surefoot.concurrency import concurrency
from surefoot.core import settings
from surefoot.core.errors import ConcurrencySlotLostError
from surefoot.journal.home import Home
from surefoot.ledger.decisions.slots import LOST
from surefoot.ledger.tables import limit_places
from surefoot.limits import desk
from surefoot.states import State
from tests.limits.processes import set_limit, shown
from tests.locking.watching import until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed so often that no test has to wait for it."""
    monkeypatch.setattr(desk, "_RENEW_S", 0.05)


def lose() -> None:
    """Take the slots from whoever holds them, as if nothing had been heard of it in time."""
    until(lambda: shown("db").active_slots == 1)
    current = settings.refresh()
    with ledger_of(Home(current.home), None) as ledger, ledger.decide() as tx:
        tx.execute(update(limit_places).values(state=LOST))


@task
def holds() -> None:
    with concurrency("db", strict=True):
        pause = threading.Event()
        while True:
            pause.wait(0.01)


@task(name="holds")
async def holds_async() -> None:
    async with concurrency("db", strict=True):
        await asyncio.Event().wait()


@flow
def calls() -> State:
    return holds(return_state=True)


@flow
def submits() -> State:
    future = holds.submit()
    future.wait()
    return future.state


@flow
async def awaits() -> State:
    return await holds_async(return_state=True)


@pytest.mark.parametrize("one", [calls, submits, awaits], ids=lambda one: str(one.fn.__name__))
def test_the_run_that_lost_its_slots_is_stopped_and_says_why(one: Any) -> None:
    set_limit("db", 1)
    thief = threading.Thread(target=lose)
    thief.start()
    if one is awaits:
        outer: State = asyncio.run(one(return_state=True))
    else:
        outer = one(return_state=True)
    thief.join(60)
    assert outer.name == "Failed"  # as any flow that returns the state of a task that did not complete
    with closing(get_client()) as client:
        assert [run.state_name for run in client.task_runs().results] == ["Crashed"]
    assert outer.message is not None
    assert "its slots of the limit db were lost" in outer.message
    assert shown("db").active_slots == 0


def test_outside_of_runs_the_block_raises_at_its_end() -> None:
    set_limit("db", 1)
    block = concurrency("db", raise_on_lease_renewal_failure=True)
    block.__enter__()
    lose()
    until(lambda: not [each for each in desk.desk()._held.values() if each.lost is not None])
    with pytest.raises(ConcurrencySlotLostError, match="its slots of the limit db were lost"):
        block.__exit__(None, None, None)
    assert shown("db").active_slots == 0


def test_without_strict_the_slots_are_held_again_over_the_limit() -> None:
    set_limit("db", 1)
    with concurrency("db"):
        lose()
        until(lambda: shown("db").active_slots == 1)
