"""Effects: all that a life can ask its driver for, and the outcomes that it gets back.

An effect says what is wanted, never how. Those that say "may be stopped" can come back as `Stopped`: by Ctrl-C,
SIGTERM, `sys.exit` or asyncio's cancellation; the others always run to their end. They are structs, which are
made at the speed of C: each life makes a dozen. May import: core.
"""

from __future__ import annotations

from typing import Any

import msgspec

from surefoot.core.states import StateType

__all__ = [
    "AskRetry",
    "AwaitSlots",
    "Call",
    "Conclude",
    "Effect",
    "Enter",
    "FindCached",
    "Finish",
    "GiveSlotsBack",
    "Held",
    "Hook",
    "Keep",
    "LetGo",
    "LookUp",
    "Next",
    "NotReady",
    "Outcome",
    "Prepare",
    "Queued",
    "Raised",
    "Resolve",
    "Returned",
    "Settle",
    "Skipped",
    "Sleep",
    "Stopped",
    "TakeSlots",
    "Undo",
    "Verdict",
    "Yielded",
]


class Effect(msgspec.Struct, eq=False):
    """What a life asks for."""


class Enter(Effect):
    """Put the run into a state, and record it. Answer: None."""

    state_type: StateType
    state_name: str
    message: str | None = None
    data: Any = None
    cause_id: bytes | None = None
    wait_s: float | None = None
    keeps: bool = False  # the value is kept first, as by `Keep`, where that changes nothing of the state


class Resolve(Effect):
    """Wait until all inputs are there, and put values where futures were. May be stopped.

    Answer: None, `NotReady`, `Skipped`, `Raised`, or `Stopped`. In a pool the life is parked: it holds no thread.
    """


class Prepare(Effect):
    """Check and coerce a flow's parameters, and fill in its run's name. May be stopped.

    Answer: None, `Raised` with what is wrong, or `Stopped`.
    """


class Call(Effect):
    """Call the user's function once, for at most `timeout_s` seconds. May be stopped.

    Answer: `Returned`, `Raised`, `Stopped`; of a generator's first step also `Yielded`; `Verdict` where
    the value is plain, so that there is nothing to `Settle`.
    """

    timeout_s: float | None = None


class CallApart(Effect):
    """The same in a process of its own, which ends with the call, and by which no more memory is held than that.

    Answer: as of `Call`.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None


class Next(Effect):
    """Hand the value that the user's generator yielded to the consumer, and go on with what the consumer sends.

    May be stopped. Answer: as of `Call`, or `Closed` when the consumer has enough.
    """


class Settle(Effect):
    """Find out what the function's return value means: wait for futures in it, and let their states decide.

    May be stopped. Answer: `Verdict`, or `Stopped`.
    """

    value: Any


class AskRetry(Effect):
    """Ask the user's `retry_condition_fn` about a failure. May be stopped. Answer: bool, or `Stopped`."""

    verdict: Verdict


class Sleep(Effect):
    """Let `seconds` pass. May be stopped. Answer: None or `Stopped`.

    In a pool the life is parked: it holds no thread.
    """

    seconds: float


class Hook(Effect):
    """Call the user's hooks of one kind. What they raise is logged and changes nothing. May be stopped.

    Answer: None or `Stopped`.
    """

    kind: str


class Finish(Effect):
    """Let the tasks that a flow submitted come to their ends; cancel those not started if `cancel`.

    Answer: None or `Stopped`.
    """

    stop: Stopped | bool = False


class LookUp(Effect):
    """Look whether the run completed in an earlier epoch, with the same code and inputs, and its value is still there.

    Answer: `Verdict` with that value; else why it is to be called again, or None if it is called for the first time.
    """


class FindCached(Effect):
    """Look into the cache that the run's task asks for. Calls what the user wrote to make keys. May be stopped.

    Answer: `Verdict` with the value that is there; a text, why there is none; `Held` if another run is making it, and
    this one is to ask again; `Raised` if the cache cannot be used as it was asked for, or `Stopped`.
    """


class LetGo(Effect):
    """Let others make what the run's cache key stands for, if this run alone might. Answer: None."""


class Keep(Effect):
    """Keep the value of a run that is about to complete, for whoever wants it later. Answer: `Verdict`, as it is then.

    A value that cannot be kept for resuming changes nothing; one that the user asked to persist fails the run.
    """

    verdict: Verdict


class Conclude(Effect):
    """Bring the run's transaction to its end: stage what it completes with, and commit that, or leave it to the
    transaction around it; or roll back.

    Answer: `Verdict`, as it is then, or `Stopped` if that came in between: then it is rolled back.
    """

    stop: Stopped | None
    verdict: Verdict


class Undo(Effect):
    """Roll back what a failed attempt left in the run's transaction: it is called again. Answer: None or `Stopped`."""

    why: str | None


class TakeSlots(Effect):
    """Ask for slots of the limits that the run's tags have, or how it stands.

    Answer: None if it has them, or there are no limits; `Queued`; `Raised` if they can never be had, or `Stopped`.
    """


class AwaitSlots(Effect):
    """Wait until there is something new about the slots. May be stopped. Answer: None or `Stopped`.

    In a pool the life is parked: it holds no thread.
    """


class GiveSlotsBack(Effect):
    """Give back the run's slots, or its place in the line. Answer: None."""


class Queued(msgspec.Struct, eq=False):
    """Others hold the slots: why the run waits."""

    why: str


class Held(msgspec.Struct, eq=False):
    """Another run holds the lock of the run's cache key: why it is waited for, and how long until it is asked again."""

    why: str
    wait_s: float


class Returned(msgspec.Struct, eq=False):
    """The function returned."""

    value: Any


class Raised(msgspec.Struct, eq=False):
    """The function raised an exception, or ran out of time, or its process died under it."""

    error: Exception
    timed_out: bool = False
    died: bool = False


class Stopped(msgspec.Struct, eq=False):
    """The run was stopped from outside or by `sys.exit`.

    The driver raises `error`, the same object, when the life has ended; not if the stop `ends_here`: it was for this
    run alone, whose caller goes on.
    """

    error: BaseException
    why: str
    asked: bool = False  # somebody with the right to asked for it: the run ends CANCELLED instead of CRASHED
    ends_here: bool = False
    late: bool = False  # its time is up: what it started has the shorter grace of those who are late


class Yielded(msgspec.Struct, eq=False):
    """The user's generator yielded a value, which the consumer has not got yet."""

    value: Any


class Closed(msgspec.Struct, eq=False):
    """The consumer of a generator run has enough (`close()`), or let go of it without a word (`abandoned`)."""

    abandoned: bool


class NotReady(msgspec.Struct, eq=False):
    """An upstream did not complete."""

    message: str
    error: BaseException
    cause_id: bytes | None


class Skipped(msgspec.Struct, eq=False):
    """Its trigger has it that the run is skipped."""

    message: str | None
    cause_id: bytes | None = None  # the upstream that was skipped, if that is why


class Verdict(msgspec.Struct, eq=False):
    """The state that an attempt amounts to."""

    state_type: StateType
    state_name: str
    message: str | None = None
    data: Any = None
    cause_id: bytes | None = None
    timed_out: bool = False  # by its own limit, not by a TimeoutError of the user's


Outcome = Returned | Raised | Stopped | Yielded | Closed | NotReady | Skipped | Verdict | Held | Queued | bool | None
