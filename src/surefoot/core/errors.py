"""Every error that Surefoot raises on purpose, as one tree.

    SurefootError
    ├── BadInput                      the caller's input is wrong: nothing ran
    │   ├── InvalidNameError          a name with a character that names may not have
    │   ├── ReservedArgumentError     a parameter has a name that Surefoot needs itself
    │   ├── ParameterBindError        a call does not fit the function's signature
    │   ├── ParameterTypeError        a value does not fit its parameter's annotation
    │   ├── SettingsError             an unknown or ill-typed setting
    │   ├── TemplateError             a run-name template that cannot be filled in
    │   ├── MappingMissingIterable    `.map` with nothing to map over
    │   ├── MappingLengthMismatch     `.map` over iterables of unequal length
    │   ├── UnpicklableArgument       what a task is called with cannot be sent to another process
    │   ├── HashError                 a value has no hash by which a cache could find it again
    │   ├── MissingContextError       something that needs a run, called outside of one
    │   ├── ConfigurationError        what was asked for needs something that was not given, such as a lock manager
    │   ├── NotFound                  no such run, flow, profile, file ...
    │   ├── Ambiguous                 a name or prefix that fits several
    │   ├── VisualizationError        a flow's body that cannot be followed without its tasks' values
    │   └── EntrypointError           `FILE:FLOW` that cannot be loaded
    │       ├── MissingFlowError      no flow of that name is there
    │       └── UnspecifiedFlowError  several flows are there, and none was named
    ├── Refused                       an authority said no, with its reason
    │   ├── AlreadyExists             (also a ValueError) what was to be made is there
    │   ├── WouldDeadlock             a wait that could never end
    │   ├── TooDeep                   more blocked waits than the runner allows
    │   ├── ConcurrencySlotAcquisitionError  slots of a limit cannot be had
    │   │   └── AcquireConcurrencySlotTimeoutError  (also a TimeoutError) they could not be had in time
    │   ├── ConcurrencySlotLostError  slots were given to others, since nothing was heard of their holder
    │   ├── LockNotHeld               (also a ValueError) a lock was released that is not held on this behalf
    │   └── LockedByOther             (also a RuntimeError) what is locked by somebody else was to be written
    ├── Unavailable                   try again: storage or a server did not answer
    │   ├── LedgerBusy                another process holds the ledger
    │   ├── CacheUnavailable          the place of a cache cannot be read
    │   ├── ArtifactNotStored         an artifact is too large for the journal, and its storage did not take it
    │   ├── HomeUnwritable            the home cannot be written
    │   ├── LedgerDamaged             the ledger's file is no longer whole
    │   └── LedgerTooNew              the ledger was written by a newer version
    ├── RunError                      a run did not complete, and its result was asked for
    │   ├── FailedRun
    │   │   ├── AssetCheckFailed      it ran, and a check of an asset refused what it gave
    │   │   ├── ResultNotStored       it ran, and its result could not be stored as was asked
    │   │   ├── NotReadyRun           it never ran: an upstream did not complete, or parameters were refused
    │   │   ├── TaskRunTimeoutError   (also a TimeoutError)
    │   │   ├── FlowRunTimeoutError   (also a TimeoutError)
    │   │   ├── MemoryLimitExceeded   (also a MemoryError)
    │   │   └── UnpicklableResult     what a task returned cannot be brought back from its process
    │   ├── CrashedRun
    │   │   └── ChildDied             the process in which a task was called ended in the midst of it
    │   ├── CancelledRun
    │   ├── PausedRun
    │   ├── UnfinishedRun
    │   └── MissingResult
    └── Defect                        ours: please report it

    TerminationSignal (BaseException) SIGTERM reached this process while a run was on
    (`Skip`, an Exception, is raised by users and is no error)

Each error says `what` happened, with names and values, and what to `do`: one step that can be typed. `slug` names its
section in docs/errors.md and never changes. May import: nothing.
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "AlreadyExists",
    "Ambiguous",
    "ArtifactNotStored",
    "AssetCheckFailed",
    "BadInput",
    "CacheUnavailable",
    "CancelledRun",
    "ChildDied",
    "ConcurrencySlotAcquisitionError",
    "ConcurrencySlotLostError",
    "ConfigurationError",
    "CrashedRun",
    "Defect",
    "EntrypointError",
    "FailedRun",
    "FlowRunTimeoutError",
    "HashError",
    "HomeUnwritable",
    "InvalidNameError",
    "LedgerBusy",
    "LedgerDamaged",
    "LedgerTooNew",
    "LockNotHeld",
    "LockedByOther",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MemoryLimitExceeded",
    "MissingContextError",
    "MissingFlowError",
    "MissingResult",
    "NotFound",
    "NotReadyRun",
    "ParameterBindError",
    "ParameterTypeError",
    "PausedRun",
    "Refused",
    "ReservedArgumentError",
    "ResultNotStored",
    "RunError",
    "SettingsError",
    "Skip",
    "SurefootError",
    "TaskRunTimeoutError",
    "TemplateError",
    "TerminationSignal",
    "TooDeep",
    "Unavailable",
    "UnfinishedRun",
    "UnpicklableArgument",
    "UnpicklableResult",
    "UnspecifiedFlowError",
    "VisualizationError",
    "WouldDeadlock",
]


class SurefootError(Exception):
    """The root of every error that Surefoot raises on purpose.

    Args:
        what: the fact, with names and values, and no blame.
        do: one step that gets the reader out; empty where there is none.

    >>> str(BadInput("Flow name 'a/b' contains '/'.", do="Leave the character out."))
    "Flow name 'a/b' contains '/'. Leave the character out."
    """

    slug = "error"

    def __init__(self, what: str = "", *, do: str = "") -> None:
        self.what = what
        self.do = do
        super().__init__(f"{what} {do}".strip() if do else what)

    def __reduce__(self) -> tuple[object, ...]:
        # Exception pickles by its positional arguments; ours has a keyword, and a run's error crosses processes.
        return (_rebuild, (type(self), self.what, self.do, self.__dict__.copy()))


def _rebuild(cls: type[SurefootError], what: str, do: str, state: dict[str, object]) -> SurefootError:
    error = cls.__new__(cls)
    SurefootError.__init__(error, what, do=do)
    error.__dict__.update(state)
    return error


class BadInput(SurefootError):
    """What the caller passed cannot be used; nothing ran."""

    slug = "bad-input"


class InvalidNameError(BadInput, ValueError):
    """A flow or task name contains a character that names may not have. Leave it out."""

    slug = "invalid-name"


class ReservedArgumentError(BadInput, ValueError):
    """A flow or task function has a parameter that Surefoot's own calls need (`return_state`, `wait_for`).

    Rename it.
    """

    slug = "reserved-argument"


class ParameterBindError(BadInput, TypeError):
    """A call does not fit the signature: a parameter is missing, unknown or given twice. No run was created."""

    slug = "parameter-bind"


class ParameterTypeError(BadInput, TypeError):
    """A value does not fit its parameter's annotation. The run is recorded as refused; its function was not called."""

    slug = "parameter-type"


class SettingsError(BadInput, ValueError):
    """A setting is unknown or has a value of the wrong type. The message names the place and the nearest valid name."""

    slug = "settings"


class TemplateError(BadInput, ValueError):
    """A run-name template names something that is not there. Use only names of parameters."""

    slug = "template"


class MappingMissingIterable(BadInput, ValueError):
    """`.map` got no iterable argument. Pass at least one list, range, generator ..., or call `.submit`."""

    slug = "mapping-missing-iterable"


class MappingLengthMismatch(BadInput, ValueError):
    """`.map` got iterables of unequal length. Make them equal, or wrap what is to be repeated in `unmapped`."""

    slug = "mapping-length-mismatch"


class UnpicklableArgument(BadInput, TypeError):
    """What a task is called with cannot be sent to another process.

    Pass what it is made from, and make it in the task; or use ThreadPoolTaskRunner.
    """

    slug = "unpicklable-argument"


class HashError(BadInput, TypeError):
    """A value, most often an argument of a task that has a cache, has no hash. The message names it."""

    slug = "hash"


class MissingContextError(BadInput, RuntimeError):
    """Something that belongs to a run was asked for outside of one. Call it inside a flow or task."""

    slug = "missing-context"


class ConfigurationError(BadInput, RuntimeError):
    """What was asked for needs something that was not given, such as a lock manager. Nothing ran."""

    slug = "configuration"


class NotFound(BadInput, LookupError):
    """Nothing goes by that id, name or prefix."""

    slug = "not-found"


class Ambiguous(BadInput, LookupError):
    """A name or prefix fits more than one thing. Use more of the id."""

    slug = "ambiguous"


class EntrypointError(BadInput, ValueError):
    """`FILE:FLOW` cannot be loaded: no such file, no such flow, or an error while the file ran."""

    slug = "entrypoint"


class MissingFlowError(EntrypointError):
    """No flow of that name is where it was looked for. The message names those that are there."""

    slug = "missing-flow"


class UnspecifiedFlowError(EntrypointError):
    """Several flows are where one was looked for, and none was named."""

    slug = "unspecified-flow"


class VisualizationError(BadInput, ValueError):
    """A flow cannot be drawn: its body does something with a task's value for which the real value is needed.

    Give that task `@task(viz_return_value=...)`.
    """

    slug = "visualization"


class Refused(SurefootError):
    """An authority said no, and says why."""

    slug = "refused"


class AlreadyExists(Refused, ValueError):
    """What was to be made is there already, and was not to be overwritten."""

    slug = "already-exists"


class WouldDeadlock(Refused, RuntimeError):
    """A wait that could never end was refused. Use `await future` inside async code."""

    slug = "would-deadlock"


class TooDeep(Refused, RuntimeError):
    """More threads wait for other tasks than the runner allows.

    Nest less deeply, or return futures instead of waiting.
    """

    slug = "too-deep"


class ConcurrencySlotAcquisitionError(Refused):
    """Slots of a limit cannot be had: it is not there, has fewer, or is one on how often."""

    slug = "slots"


class AcquireConcurrencySlotTimeoutError(ConcurrencySlotAcquisitionError, TimeoutError):
    """Slots of a limit could not be had in the time that was given."""

    slug = "slots-timeout"


class ConcurrencySlotLostError(Refused, RuntimeError):
    """Slots were given to others, since nothing was heard of their holder for as long as its lease lasted."""

    slug = "slots-lost"


class LockNotHeld(Refused, ValueError):
    """A lock was given back on behalf of somebody who does not hold it."""

    slug = "lock-not-held"


class LockedByOther(Refused, RuntimeError):
    """Something was to be written under a key that somebody else has locked."""

    slug = "locked-by-other"


class Unavailable(SurefootError):
    """Storage or a server did not answer; the same call may succeed later."""

    slug = "unavailable"


class LedgerBusy(Unavailable, TimeoutError):
    """Another process holds the ledger for writing. The message names it."""

    slug = "ledger-busy"


class CacheUnavailable(Unavailable, OSError):
    """A task's cache cannot be read: the place where results are stored did not answer, or may not be read."""

    slug = "cache-unavailable"


class ArtifactNotStored(Unavailable, OSError):
    """An artifact is too large for the journal, or is an image, and the storage of results did not take it."""

    slug = "artifact-not-stored"


class HomeUnwritable(Unavailable, OSError):
    """The Surefoot home cannot be written. Set SUREFOOT_HOME to a folder that can."""

    slug = "home-unwritable"


class LedgerDamaged(Unavailable, OSError):
    """The ledger's file is no longer whole. Move it away: a new one is made of the journals that are left."""

    slug = "ledger-damaged"


class LedgerTooNew(Unavailable, RuntimeError):
    """The ledger was written by a newer Surefoot. Recording goes on; reading needs that version."""

    slug = "ledger-too-new"


class RunError(SurefootError):
    """A run did not complete, and its result was asked for."""

    slug = "run-error"


class FailedRun(RunError):
    """The run ended FAILED and left no exception of its own."""

    slug = "failed-run"


class NotReadyRun(FailedRun):
    """The run never started: an upstream did not complete. The message names it."""

    slug = "not-ready"


class ResultNotStored(FailedRun):
    """The run's function returned, but its result could not be stored where, and as, the decorator asks.

    Also what is staged in a transaction of your own: then it is a TypeError or an OSError too.
    """

    slug = "result-not-stored"


class AssetCheckFailed(FailedRun):
    """The run's function returned, but a check of an asset that it makes refused the value: what waits does not run.

    The message names the check, the asset and what the check said.
    """

    slug = "asset-check"


class TaskRunTimeoutError(FailedRun, TimeoutError):
    """A task took longer than its `timeout_seconds`."""

    slug = "task-run-timeout"


class FlowRunTimeoutError(FailedRun, TimeoutError):
    """A flow took longer than its `timeout_seconds`."""

    slug = "flow-run-timeout"


class MemoryLimitExceeded(FailedRun, MemoryError):
    """A task in a process of its own took more memory than its `memory_limit`."""

    slug = "memory-limit"

    def __new__(cls, *args: object, **_: object) -> Self:
        """Made as every other: that of MemoryError, which would be found first, refuses to make one of these."""
        return FailedRun.__new__(cls, *args)


class UnpicklableResult(FailedRun, TypeError):
    """What a task returned cannot be brought back from the process that it was called in."""

    slug = "unpicklable-result"


class CrashedRun(RunError):
    """The run ended CRASHED: interrupted, terminated, or its process died."""

    slug = "crashed-run"


class ChildDied(CrashedRun):
    """The process in which a task was called ended in the midst of the call. The message says how."""

    slug = "child-died"


class CancelledRun(RunError):
    """The run ended CANCELLED."""

    slug = "cancelled-run"


class PausedRun(RunError):
    """The run is PAUSED, so it has no result yet."""

    slug = "paused-run"


class UnfinishedRun(RunError):
    """The run has not ended, so it has no result yet."""

    slug = "unfinished-run"


class MissingResult(RunError):
    """The run completed, but its result is not in this process and was not stored, or what was stored is damaged."""

    slug = "missing-result"


class Defect(SurefootError):
    """A mistake of Surefoot's own. Please report it, with the output of `surefoot version -o json`."""

    slug = "defect"


class Skip(Exception):
    """Raise it in a task or flow to end the run there, on purpose: COMPLETED, with the name Skipped.

    The message says why. What waits for the run is skipped too, unless its trigger says otherwise.

    >>> raise Skip("nothing new")
    Traceback (most recent call last):
    surefoot.core.errors.Skip: nothing new
    """


class TerminationSignal(BaseException):
    """SIGTERM arrived while a run was on. Derives from BaseException so that `except Exception` does not swallow it."""

    why = ""  # told by whoever sent it
    asked = False  # whether somebody with the right to asked for the end

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(signal)

    def __str__(self) -> str:
        return f"terminated by signal {self.signal}"
