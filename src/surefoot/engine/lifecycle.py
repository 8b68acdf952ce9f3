"""The life of a task run and of a flow run, told once, as generators that yield effects and receive outcomes.

No I/O, clock, thread or event loop: every rule (retries, backoff, hooks and their order, what a failure or a stop means
as a state) stands here and nowhere else. Executed by: blocking.py, awaiting.py, pool.py. May import: core, effects.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

from surefoot.core.delays import Delays
from surefoot.core.errors import CancelledRun, Skip, SurefootError
from surefoot.core.states import (
    AWAITING_SLOTS,
    CANCELLED,
    COMPLETED,
    CRASHED,
    FAILED,
    NOT_CACHED,
    PENDING,
    RUNNING,
    SCHEDULED,
    SKIPPED,
)
from surefoot.engine.effects import (
    AskRetry,
    AwaitSlots,
    Call,
    CallApart,
    Closed,
    Conclude,
    Effect,
    Enter,
    FindCached,
    Finish,
    GiveSlotsBack,
    Held,
    Hook,
    Keep,
    LetGo,
    LookUp,
    Next,
    NotReady,
    Prepare,
    Queued,
    Raised,
    Resolve,
    Returned,
    Settle,
    Skipped,
    Sleep,
    Stopped,
    TakeSlots,
    Undo,
    Verdict,
    Yielded,
)

__all__ = ["Asked", "Life", "Rules", "flow_life", "task_life"]

Life = Generator[Effect, Any, Stopped | None]


class Rules:
    """What one task or flow asks of its runs' lives. Made once, when the first run is."""

    __slots__ = ("attempts", "call", "conditional", "delays", "draw", "hooks", "transacts")

    def __init__(
        self,
        *,
        retries: int,
        delays: Delays,
        draw: Callable[[], float],
        timeout_s: float | None,
        hooks: frozenset[str],
        conditional: bool,
        is_apart: bool = False,
        memory_bytes: int | None = None,
    ) -> None:
        self.attempts = 1 + max(retries, 0)
        self.delays = delays
        self.draw = draw  # a number in [0, 1), for jitter
        self.call = CallApart(timeout_s or None, memory_bytes) if is_apart else Call(timeout_s or None)
        self.hooks = hooks  # the kinds of hooks that there are
        self.transacts = not hooks.isdisjoint(
            ("commit", "rollback")
        )  # every run is a transaction from its beginning on
        self.conditional = conditional  # there is a retry_condition_fn to ask


# Effects without a field of their own are made once.
_PENDING = Enter(PENDING, "Pending")
_RUNNING = Enter(RUNNING, "Running")
_RESOLVE = Resolve()
_PREPARE = Prepare()
_NEXT = Next()
_LOOK_UP = LookUp()
_FIND_CACHED = FindCached()
_LET_GO = LetGo()
_FINISH = Finish()
_CANCEL = Finish(True)
_TAKE_SLOTS = TakeSlots()
_AWAIT_SLOTS = AwaitSlots()
_GIVE_SLOTS_BACK = GiveSlotsBack()


class Asked(Protocol):
    """The run, as far as its life asks it."""

    @property
    def transaction(self) -> object | None:
        """Its transaction, if it has one: from its beginning on, or from when its code asks for one."""

    def keeps_at_once(self, value: object) -> bool:
        """Whether keeping this value takes no time to speak of, and changes nothing of the run's end."""


def task_life(
    rules: Rules,
    keeps: bool = False,
    resumes: bool = False,
    caches: bool = False,
    run: Asked | None = None,
    limited: bool = False,
) -> Life:
    """The life of one task run. Returns the stop that is to be raised again, if one ended it.

    Args:
        rules: what its task asks.
        keeps: its value is to be kept.
        resumes: its flow run was started again, so it may have completed already.
        caches: its task asks for a cache, where its value may be.
        run: asked whether it has a transaction: then that decides what is kept, and when; else how it is kept.
        limited: its tags may have limits, of which it needs slots whenever it is called.
    """
    yield _PENDING
    not_ready = yield _RESOLVE
    if not_ready is not None:
        return (yield from _never_ran(not_ready))
    first = _RUNNING
    if resumes:
        found = yield _LOOK_UP
        if type(found) is Verdict:
            return (yield from _had_completed(found))
        first = _again(found)
    if caches:
        found = yield from _found_in_cache()
        if type(found) is Verdict:
            return (yield from _end(rules, None, found))
        if type(found) is not str:
            return (yield from _never_ran(found))
        first = _not_cached(first, found)
    stop, verdict = yield from _attempts(rules, first, run, limited)
    if run is not None and run.transaction is not None:
        concluded = yield Conclude(stop, verdict)
        if type(concluded) is Stopped:
            stop = stop or concluded
        else:
            verdict = concluded
        keeps = False
    elif keeps:
        keeps = stop is None and verdict.state_type is COMPLETED and verdict.state_name != SKIPPED
        if keeps and (run is None or not run.keeps_at_once(verdict.data)):
            keeps = False
            verdict = yield Keep(verdict)
    if caches:
        yield _LET_GO
    if stop is None and not rules.hooks:  # as most end: without one more generator
        yield _last(stop, verdict, keeps)
        return None
    return (yield from _end(rules, stop, verdict, keeps))


def flow_life(rules: Rules, keeps: bool = False, resumes: bool = False) -> Life:
    """The life of one flow run: as a task's, and its parameters are checked first,
    its own tasks brought to their ends last.
    """
    yield _PENDING
    not_ready = yield _RESOLVE
    first = _RUNNING
    if not_ready is None and resumes:
        found = yield _LOOK_UP
        if type(found) is Verdict:
            return (yield from _had_completed(found))
        first = _again(found)
    if not_ready is None:
        not_ready = yield _PREPARE
        if type(not_ready) is Stopped:  # it was under way, if not yet in the user's function
            return (yield from _end(rules, not_ready, _STOPPED))
    if not_ready is not None:
        return (yield from _never_ran(not_ready))
    stop, verdict = yield from _attempts(rules, first)
    late_stop = yield _finish(stop, verdict)
    stop = stop or late_stop
    if keeps and stop is None and _gives_a_value(verdict):
        verdict = yield Keep(verdict)
    return (yield from _end(rules, stop, verdict))


def _had_completed(found: Verdict) -> Life:
    yield Enter(found.state_type, found.state_name, found.message, found.data)
    return None


def _again(why: str | None) -> Enter:
    return _RUNNING if why is None else Enter(RUNNING, "Rerunning", why)


def _found_in_cache() -> Generator[Effect, Any, Any]:
    """What the cache has, once no other run is making it."""
    found = yield _FIND_CACHED
    if type(found) is Held:
        yield Enter(PENDING, "Pending", found.why)
    while type(found) is Held:
        stop = yield Sleep(found.wait_s)
        found = stop or (yield _FIND_CACHED)
    return found


def _not_cached(first: Enter, why: str) -> Enter:
    before = "" if first.message is None else f"{first.message}; "
    return Enter(RUNNING, first.state_name, f"{before}{NOT_CACHED}{why}")


def _finish(stop: Stopped | None, verdict: Verdict) -> Finish:
    if stop is not None:
        return Finish(stop)
    if verdict.timed_out:  # its time is that of all that it started
        error = CancelledRun(f"It was stopped: {_OUT_OF_TIME}.")
        return Finish(Stopped(error, _OUT_OF_TIME, asked=True, late=True))
    return _FINISH if verdict.state_type is COMPLETED else _CANCEL


def _gives_a_value(verdict: Verdict) -> bool:
    return verdict.state_type is COMPLETED and verdict.state_name != SKIPPED


def _never_ran(why: NotReady | Skipped | Raised | Stopped) -> Life:
    if type(why) is Stopped:
        yield Enter(CANCELLED, "Cancelled", f"{why.why}, before it started", why.error)
        return None if why.ends_here else why
    if type(why) is Skipped:
        yield Enter(COMPLETED, SKIPPED, why.message, None, why.cause_id)
    elif type(why) is Raised and isinstance(why.error, Skip):
        yield Enter(COMPLETED, SKIPPED, str(why.error) or None)
    elif type(why) is Raised:
        yield Enter(FAILED, "NotReady", reason(why.error), why.error)
    else:
        assert type(why) is NotReady
        yield Enter(FAILED, "NotReady", why.message, why.error, why.cause_id)
    return None


def _attempts(
    rules: Rules, first: Enter, run: Asked | None = None, limited: bool = False
) -> Generator[Effect, Any, tuple[Stopped | None, Verdict]]:
    """Call until it completes, fails for good, or is stopped."""
    attempt = 0
    while True:
        attempt += 1
        outcome = (yield from _slots_taken()) if limited else None
        if type(outcome) is Stopped:
            return outcome, _STOPPED
        yield first
        if "running" in rules.hooks:
            stop = yield Hook("running")
            if stop is not None:
                return stop, _STOPPED
        outcome = outcome or (yield rules.call)
        yielded = False
        while type(outcome) is Yielded:
            yielded = True
            outcome = yield _NEXT
        yield from _slots_given_back() if limited else ()
        if type(outcome) is Stopped:
            return outcome, _STOPPED
        if type(outcome) is Verdict:
            verdict = outcome
        elif type(outcome) is Returned:
            verdict = yield Settle(outcome.value)
            if type(verdict) is Stopped:
                return verdict, _STOPPED
        else:
            verdict = _closed(outcome) if type(outcome) is Closed else _raised(outcome)
        # What a consumer has already taken cannot be taken back, so a generator is repeated only before its first
        # value.
        died = type(outcome) is Raised and outcome.died  # no fault of its surroundings ends a task that may try again
        if (verdict.state_type is not FAILED and not died) or attempt >= rules.attempts or yielded:
            return None, verdict
        if rules.conditional:
            again = yield AskRetry(verdict)
            if type(again) is Stopped:
                return again, _STOPPED
            if not again:
                return None, verdict
        stop, why = yield from _pause(rules, attempt, verdict, run)
        if stop is not None:
            return stop, _STOPPED
        first = Enter(RUNNING, "Retrying", why)  # which tells of the failure, if no state before it did


def _slots_taken() -> Generator[Effect, Any, Any]:
    """Slots of the limits that its tags have, waited for without a thread. Answers why it has none, if so."""
    outcome = yield _TAKE_SLOTS
    if type(outcome) is Queued:
        yield Enter(SCHEDULED, AWAITING_SLOTS, outcome.why)
    while type(outcome) is Queued:
        outcome = (yield _AWAIT_SLOTS) or (yield _TAKE_SLOTS)
    if type(outcome) is Stopped:
        yield _GIVE_SLOTS_BACK
    return outcome


def _slots_given_back() -> Life:
    yield _GIVE_SLOTS_BACK
    return None


def _pause(
    rules: Rules, attempt: int, verdict: Verdict, run: Asked | None
) -> Generator[Effect, Any, tuple[Stopped | None, str | None]]:
    """Between an attempt that failed and the next. Answers what is still to be told of the failure."""
    if run is not None and run.transaction is not None:
        stop = yield Undo(verdict.message)
        if stop is not None:
            return stop, None
    delay_s = rules.delays.delay_s(attempt, rules.draw)
    if delay_s <= 0:
        return None, verdict.message
    yield Enter(SCHEDULED, "AwaitingRetry", verdict.message, verdict.data, verdict.cause_id, delay_s)
    return (yield Sleep(delay_s)), None


_STOPPED = Verdict(CRASHED, "Crashed")
_OUT_OF_TIME = "its flow run ran out of time"

_HOOKS = {COMPLETED: "completion", FAILED: "failure", CANCELLED: "cancellation", CRASHED: "crashed"}


def _end(rules: Rules, stop: Stopped | None, verdict: Verdict, keeps: bool = False) -> Life:
    last = _last(stop, verdict, keeps)
    yield last
    if stop is None and last.state_type is COMPLETED and last.state_name == SKIPPED:
        return None  # nothing was done that a hook could be told of
    if stop is not None and stop.ends_here:
        stop = None
    hook = _HOOKS.get(last.state_type)
    if hook in rules.hooks:
        assert hook is not None
        late_stop = yield Hook(hook)
        return stop or late_stop
    return stop


def _last(stop: Stopped | None, verdict: Verdict, keeps: bool = False) -> Enter:
    if stop is None:
        name, message, data = verdict.state_name, verdict.message, verdict.data
        return Enter(verdict.state_type, name, message, data, verdict.cause_id, None, keeps)
    if stop.asked:
        return Enter(CANCELLED, "Cancelled", stop.why, stop.error)
    return Enter(CRASHED, "Crashed", stop.why, stop.error)


def _closed(outcome: Closed) -> Verdict:
    if outcome.abandoned:
        return Verdict(CRASHED, "Abandoned", "its generator was dropped before it was exhausted or closed")
    return Verdict(COMPLETED, "Completed")


def _raised(outcome: Raised) -> Verdict:
    if isinstance(outcome.error, Skip):
        return Verdict(COMPLETED, SKIPPED, str(outcome.error) or None)
    if outcome.died:
        return Verdict(CRASHED, "Crashed", reason(outcome.error), outcome.error)
    # A TimeoutError of the user's own reads the same to whoever looks at the list: something took too long.
    timed_out = outcome.timed_out or isinstance(outcome.error, TimeoutError)
    name = "TimedOut" if timed_out else "Failed"
    return Verdict(FAILED, name, reason(outcome.error), outcome.error, None, outcome.timed_out)


def reason(error: BaseException) -> str:
    """An exception in one line: its type and what it says; of our own only what happened.

    >>> reason(ConnectionError("connection refused"))
    'ConnectionError: connection refused'
    """
    if isinstance(error, SurefootError):
        return error.what
    try:
        text = str(error)
    except Exception as broken:  # an exception whose __str__ raises must not change what is reported
        text = f"<no text: its __str__ raised {type(broken).__name__}>"
    name = type(error).__name__
    told = f"{name}: {text}" if text else name
    if isinstance(error, BaseExceptionGroup):  # its own text says only how many there are
        told = f"{told}: {reason(error.exceptions[0])}"
    return told
