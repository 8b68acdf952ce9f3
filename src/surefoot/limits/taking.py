"""Taking slots, told once, in steps that a thread or an event loop takes. May import: core, engine.interrupts, desk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from surefoot.core.clock import get_clock
from surefoot.core.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    WouldDeadlock,
)
from surefoot.core.limits import Answer, LimitKey
from surefoot.engine.interrupts import GateShut, GivingBack
from surefoot.limits.desk import Desk, Ticket
from surefoot.locking.waiters import Steps, Waiter

__all__ = ["FIRST", "Around", "taking"]

FIRST: Final = -(2**62)  # the rank of whoever holds slots of the same limit already: others wait for those

_CIRCLE_S: Final = 0.5  # how soon it is looked again whether a run around has begun to wait for this one


class Around(Protocol):
    """The blocks around, in this run and in those around it."""

    def have(self, keys: tuple[LimitKey, ...]) -> bool:
        """Whether one of them has slots of these limits."""
        ...

    def keep(self, key: LimitKey) -> int:
        """How many slots of a limit are in the hands of those that do not give them back before this block is over."""
        ...


def taking(
    desk: Desk,
    make: Callable[[Waiter], Ticket],
    timeout_s: float | None,
    may_wait: bool,
    around: Around,
    got: Callable[[Ticket, Answer], None],
) -> Callable[[Waiter], Steps[None]]:
    """How to get slots. Whoever gives up, or is interrupted, leaves the line.

    Args:
        desk: where.
        make: makes the ticket, given who is to be woken.
        timeout_s: how long to wait at most; None for as long as it takes.
        may_wait: False fails at once if they are not free.
        around: the blocks around.
        got: called with what was got. From then on it is for others to give that back.
    """
    return partial(_taking, desk, make, timeout_s, may_wait, around, got)


def _taking(
    desk: Desk,
    make: Callable[[Waiter], Ticket],
    timeout_s: float | None,
    may_wait: bool,
    around: Around,
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
            if around.have(ticket.keys):
                _refuse_circle(ticket, answer, around)
            if not may_wait:
                what, do = _none_free(desk, ticket)
                raise ConcurrencySlotAcquisitionError(what, do=do)
            left_s = None if end_us is None else (end_us - clock.mono_us()) / 1e6
            if left_s is not None and left_s <= 0:
                what, do = _none_free(desk, ticket)
                raise AcquireConcurrencySlotTimeoutError(f"{what} That was so for {timeout_s:g} s.", do=do)
            if around.have(ticket.keys):
                left_s = _CIRCLE_S if left_s is None else min(left_s, _CIRCLE_S)
            yield left_s
        with GateShut():
            got(ticket, answer)
            is_done = True
    finally:
        if not is_done:
            with GivingBack():
                desk.give_back(ticket)


def _none_free(desk: Desk, ticket: Ticket) -> tuple[str, str]:
    name = ticket.keys[0].name
    with GateShut():
        told = None if ticket.number is None else desk.limits.waits_for(ticket.number)
    return f"No slot is free: {told or f'limit {name}'}.", f"See who holds it: surefoot limit holders {name}"


def _refuse_circle(ticket: Ticket, answer: Answer, around: Around) -> None:
    for key, slots in answer.slots:
        held = around.keep(key)
        if held and held + ticket.asked.weight > slots:
            raise WouldDeadlock(
                f"{ticket.asked.weight} of the {slots} slots of the limit {key.name!r} are asked for within a block "
                f"that holds {held} of them, and cannot give them back before.",
                do="Take all that is needed at once, with occupy=, in the outer block.",
            )
