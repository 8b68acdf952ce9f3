"""Taking slots, told once, in steps that a thread or an event loop takes. May import: core, engine.interrupts, desk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from surefoot.core.clock import get_clock
from surefoot.core.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    WouldDeadlock,
)
from surefoot.core.limits import Answer, LimitKey
from surefoot.engine.interrupts import GateShut
from surefoot.limits.desk import Desk, Ticket
from surefoot.locking.waiters import Steps, Waiter

__all__ = ["FIRST", "Mine", "taking"]

FIRST: Final = -(2**62)  # the rank of whoever holds slots of the same limit already: others wait for those

Mine = Callable[[LimitKey], int]  # how many slots are held by whoever cannot give them back before it gets more


def taking(
    desk: Desk,
    make: Callable[[Waiter], Ticket],
    timeout_s: float | None,
    may_wait: bool,
    mine: Mine,
    got: Callable[[Ticket, Answer], None],
) -> Callable[[Waiter], Steps[None]]:
    """How to get slots. Whoever gives up, or is interrupted, leaves the line.

    Args:
        desk: where.
        make: makes the ticket, given who is to be woken.
        timeout_s: how long to wait at most; None for as long as it takes.
        may_wait: False fails at once if they are not free.
        mine: how many slots of a limit are held further out, so that waiting for them would never end.
        got: called with what was got. From then on it is for others to give that back.
    """
    return partial(_taking, desk, make, timeout_s, may_wait, mine, got)


def _taking(
    desk: Desk,
    make: Callable[[Waiter], Ticket],
    timeout_s: float | None,
    may_wait: bool,
    mine: Mine,
    got: Callable[[Ticket, Answer], None],
    waiter: Waiter,
) -> Steps[None]:
    clock = get_clock()
    end_us = None if timeout_s is None else clock.mono_us() + int(timeout_s * 1e6)
    ticket = make(waiter)
    is_done = False
    try:
        with GateShut():
            answer = desk.ask(ticket)
        while not ticket.is_granted:
            if ticket.is_out:
                with GateShut():
                    answer = desk.ask(ticket)
                continue
            _refuse_circle(ticket, answer, mine)
            if not may_wait:
                what, do = _none_free(desk, ticket)
                raise ConcurrencySlotAcquisitionError(what, do=do)
            left_s = None if end_us is None else (end_us - clock.mono_us()) / 1e6
            if left_s is not None and left_s <= 0:
                what, do = _none_free(desk, ticket)
                raise AcquireConcurrencySlotTimeoutError(f"{what} That was so for {timeout_s:g} s.", do=do)
            yield left_s
        with GateShut():
            got(ticket, answer)
            is_done = True
    finally:
        if not is_done:
            with GateShut():
                desk.give_back(ticket)


def _none_free(desk: Desk, ticket: Ticket) -> tuple[str, str]:
    name = ticket.keys[0].name
    with GateShut():
        told = None if ticket.number is None else desk.limits.waits_for(ticket.number)
    return f"No slot is free: {told or f'limit {name}'}.", f"See who holds it: surefoot limit holders {name}"


def _refuse_circle(ticket: Ticket, answer: Answer, mine: Mine) -> None:
    for key, slots in answer.slots:
        held = mine(key)
        if held and held + ticket.asked.weight > slots:
            raise WouldDeadlock(
                f"{ticket.asked.weight} of the {slots} slots of the limit {key.name!r} are asked for within a block "
                f"that holds {held} of them, and cannot give them back before.",
                do="Take all that is needed at once, with occupy=, in the outer block.",
            )
