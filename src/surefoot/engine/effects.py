"""Effects: all that a life can ask its driver for, and the outcomes that it gets back.

An effect says what is wanted, never how. Those that say "may be stopped" can come back as `Stopped`: by Ctrl-C,
SIGTERM, `sys.exit` or asyncio's cancellation; the others always run to their end. May import: core.
"""

from __future__ import annotations

from typing import Any

from surefoot.core.states import StateType

__all__ = [
    "AskRetry",
    "Call",
    "Conclude",
    "Effect",
    "Enter",
    "FindCached",
    "Finish",
    "Held",
    "Hook",
    "Keep",
    "LetGo",
    "LookUp",
    "Next",
    "NotReady",
    "Outcome",
    "Prepare",
    "Raised",
    "Resolve",
    "Returned",
    "Settle",
    "Skipped",
    "Sleep",
    "Stopped",
    "Undo",
    "Verdict",
    "Yielded",
]


class Effect:
    """What a life asks for."""

    __slots__ = ()


class Enter(Effect):
    """Put the run into a state, and record it. Answer: None."""

    __slots__ = ("cause_id", "data", "message", "state_name", "state_type", "wait_s")

    def __init__(
        self,
        state_type: StateType,
        state_name: str,
        message: str | None = None,
        data: Any = None,
        cause_id: bytes | None = None,
        wait_s: float | None = None,
    ) -> None:
        self.state_type = state_type
        self.state_name = state_name
        self.message = message
        self.data = data
        self.cause_id = cause_id
        self.wait_s = wait_s


class Resolve(Effect):
    """Wait until all inputs are there, and put values where futures were. May be stopped.

    Answer: None, `NotReady`, `Skipped`, `Raised`, or `Stopped`. In a pool the life is parked: it holds no thread.
    """

    __slots__ = ()


class Prepare(Effect):
    """Check and coerce a flow's parameters, and fill in its run's name. May be stopped.

    Answer: None, `Raised` with what is wrong, or `Stopped`.
    """

    __slots__ = ()


class Call(Effect):
    """Call the user's function once, for at most `timeout_s` seconds. May be stopped.

    Answer: `Returned`, `Raised`, `Stopped`; of a generator's first step also `Yielded`.
    """

    __slots__ = ("timeout_s",)

    def __init__(self, timeout_s: float | None = None) -> None:
        self.timeout_s = timeout_s


class Next(Effect):
    """Hand the value that the user's generator yielded to the consumer, and go on with what the consumer sends.

    May be stopped. Answer: as of `Call`, or `Closed` when the consumer has enough.
    """

    __slots__ = ()


class Settle(Effect):
    """Find out what the function's return value means: wait for futures in it, and let their states decide.

    May be stopped. Answer: `Verdict`, or `Stopped`.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class AskRetry(Effect):
    """Ask the user's `retry_condition_fn` about a failure. May be stopped. Answer: bool, or `Stopped`."""

    __slots__ = ("verdict",)

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


class Sleep(Effect):
    """Let `seconds` pass. May be stopped. Answer: None or `Stopped`.

    In a pool the life is parked: it holds no thread.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Hook(Effect):
    """Call the user's hooks of one kind. What they raise is logged and changes nothing. May be stopped.

    Answer: None or `Stopped`.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Finish(Effect):
    """Let the tasks that a flow submitted come to their ends; cancel those not started if `cancel`.

    Answer: None or `Stopped`.
    """

    __slots__ = ("stop",)

    def __init__(self, stop: Stopped | bool = False) -> None:
        self.stop = stop


class LookUp(Effect):
    """Look whether the run completed in an earlier epoch, with the same code and inputs, and its value is still there.

    Answer: `Verdict` with that value; else why it is to be called again, or None if it is called for the first time.
    """

    __slots__ = ()


class FindCached(Effect):
    """Look into the cache that the run's task asks for. Calls what the user wrote to make keys. May be stopped.

    Answer: `Verdict` with the value that is there; a text, why there is none; `Held` if another run is making it, and
    this one is to ask again; `Raised` if the cache cannot be used as it was asked for, or `Stopped`.
    """

    __slots__ = ()


class LetGo(Effect):
    """Let others make what the run's cache key stands for, if this run alone might. Answer: None."""

    __slots__ = ()


class Keep(Effect):
    """Keep the value of a run that is about to complete, for whoever wants it later. Answer: `Verdict`, as it is then.

    A value that cannot be kept for resuming changes nothing; one that the user asked to persist fails the run.
    """

    __slots__ = ("verdict",)

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


class Conclude(Effect):
    """Bring the run's transaction to its end: stage what it completes with, and commit that, or leave it to the
    transaction around it; or roll back.

    Answer: `Verdict`, as it is then, or `Stopped` if that came in between: then it is rolled back.
    """

    __slots__ = ("stop", "verdict")

    def __init__(self, stop: Stopped | None, verdict: Verdict) -> None:
        self.stop = stop
        self.verdict = verdict


class Undo(Effect):
    """Roll back what a failed attempt left in the run's transaction: it is called again. Answer: None or `Stopped`."""

    __slots__ = ("why",)

    def __init__(self, why: str | None) -> None:
        self.why = why


class Held:
    """Another run holds the lock of the run's cache key: why it is waited for, and how long until it is asked again."""

    __slots__ = ("wait_s", "why")

    def __init__(self, why: str, wait_s: float) -> None:
        self.why = why
        self.wait_s = wait_s


class Returned:
    """The function returned."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Raised:
    """The function raised an exception, or ran out of time, or its process died under it."""

    __slots__ = ("died", "error", "timed_out")

    def __init__(self, error: Exception, timed_out: bool = False, died: bool = False) -> None:
        self.error = error
        self.timed_out = timed_out
        self.died = died


class Stopped:
    """The run was stopped from outside or by `sys.exit`.

    The driver raises `error`, the same object, when the life has ended; not if the stop `ends_here`: it was for this
    run alone, whose caller goes on.
    """

    __slots__ = ("asked", "ends_here", "error", "why")

    def __init__(self, error: BaseException, why: str, asked: bool = False, ends_here: bool = False) -> None:
        self.error = error
        self.why = why
        self.asked = asked  # somebody with the right to asked for it: the run ends CANCELLED instead of CRASHED
        self.ends_here = ends_here


class Yielded:
    """The user's generator yielded a value, which the consumer has not got yet."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Closed:
    """The consumer of a generator run has enough (`close()`), or let go of it without a word (`abandoned`)."""

    __slots__ = ("abandoned",)

    def __init__(self, abandoned: bool) -> None:
        self.abandoned = abandoned


class NotReady:
    """An upstream did not complete."""

    __slots__ = ("cause_id", "error", "message")

    def __init__(self, message: str, error: BaseException, cause_id: bytes | None) -> None:
        self.message = message
        self.error = error
        self.cause_id = cause_id


class Skipped:
    """Its trigger has it that the run is skipped."""

    __slots__ = ("cause_id", "message")

    def __init__(self, message: str | None, cause_id: bytes | None = None) -> None:
        self.message = message
        self.cause_id = cause_id  # the upstream that was skipped, if that is why


class Verdict:
    """The state that an attempt amounts to."""

    __slots__ = ("cause_id", "data", "message", "state_name", "state_type", "timed_out")

    def __init__(
        self,
        state_type: StateType,
        state_name: str,
        message: str | None = None,
        data: Any = None,
        cause_id: bytes | None = None,
        timed_out: bool = False,
    ) -> None:
        self.state_type = state_type
        self.state_name = state_name
        self.message = message
        self.data = data
        self.cause_id = cause_id
        self.timed_out = timed_out  # by its own limit, not by a TimeoutError of the user's


Outcome = Returned | Raised | Stopped | Yielded | Closed | NotReady | Skipped | Verdict | Held | bool | None
