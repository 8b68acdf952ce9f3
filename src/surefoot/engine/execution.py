"""One run that this process executes: its identity, its state, its inputs. Records each state it enters as a fact.

Knows nothing of retries (lifecycle) or of threads and loops (drivers). May import: journal, core, kept, lifecycle,
inputs, links, reaching, tracebacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from sys import modules
from typing import TYPE_CHECKING, Any, ClassVar

from surefoot.core.clock import read_clock
from surefoot.core.errors import Defect
from surefoot.core.facts import ResultAt, RunFact, StateEntered
from surefoot.core.ids import new_id
from surefoot.core.ports import Earlier
from surefoot.core.run_state import state_of_run
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FINAL, HAD_COMPLETED, PENDING, RUNNING
from surefoot.engine import reaching, scope, telling
from surefoot.engine.definition import Definition
from surefoot.engine.effects import Enter, NotReady, Raised, Settle, Skipped, Stopped, Verdict
from surefoot.engine.hashing import fingerprint, short_hash
from surefoot.engine.inputs import PLAIN, Reference, find_references, pending_in, with_values
from surefoot.engine.kept import keep_at_once
from surefoot.engine.lifecycle import Life, reason
from surefoot.engine.resuming import Kept
from surefoot.engine.runs import Run
from surefoot.engine.session import Session
from surefoot.engine.spans import LIBRARY, RunSpan
from surefoot.engine.tracebacks import cause_of, traceback_text
from surefoot.engine.verdicts import judged, verdict_over
from surefoot.results.asking import NOTHING_ASKED, Persistence
from surefoot.states import NO_DATA, State, value_in

if TYPE_CHECKING:
    from surefoot.core.os.threads import Gate
    from surefoot.core.states import StateType
    from surefoot.engine.flow_execution import FlowExecution
    from surefoot.engine.interrupts import Reach
    from surefoot.engine.slots import Slot
    from surefoot.results.persistence import CachedAt

__all__ = ["Execution"]

_OVER = Context()
_NONE_MADE: Mapping[bytes, int] = {}
_QUIET = frozenset({RUNNING, COMPLETED})  # of a task, without a message: told at DEBUG alone
TRACEBACK_CHARS_MAX = 20_000
MESSAGE_CHARS_MAX = 10_000


class Execution:
    """A run in the hands of this process."""

    is_task: ClassVar[bool] = True
    view: ClassVar[type[Run]]

    __slots__ = (
        "__weakref__",
        "_run",
        "_state",
        "args",
        "at_us",
        "awaits",
        "before",
        "cause_id",
        "context",
        "data",
        "definition",
        "depth",
        "earlier",
        "ended",
        "epoch",
        "flow",
        "gate",
        "inputs",
        "is_mutable",
        "kwargs",
        "level",
        "life",
        "log_prints",
        "made_of",
        "message",
        "n",
        "new_name",
        "parent",
        "persistence",
        "place",
        "ran_us",
        "reach",
        "references",
        "result",
        "resume",
        "run_count",
        "run_id",
        "run_key",
        "run_name",
        "running_since",
        "runs_before",
        "sealed",
        "session",
        "slot",
        "span",
        "start_us",
        "state_name",
        "state_type",
        "stop",
        "tags",
        "thread",
        "told",
        "unkept",
        "unkeyed",
    )

    def __init__(
        self,
        definition: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Execution | None,
        session: Session,
    ) -> None:
        self.definition = definition
        self.args = args
        self.kwargs = kwargs
        self.parent = parent
        self.flow: FlowExecution | None = None if parent is None else parent.flow
        self.session = session
        if parent is None:
            session.outermost_begins()
        self.run_id = new_id()
        self.epoch: int = 0 if parent is None else parent.epoch
        self.run_name: str
        self.run_key: bytes | None = None  # what it is found by when its flow run is started again
        self.unkeyed: str | None = None  # why that cannot be relied on
        self.made_of: frozenset[bytes] | None = None  # runs whose results its key found in the inputs, however deep
        self.is_mutable = False  # something that it is called with can be changed in place
        self.before: bytes | None = None  # a fingerprint of the inputs when it was about to be called
        self.earlier: Earlier | None = None  # the same run, as earlier epochs left it
        self.result: ResultAt | None = None  # where its value is kept
        self.unkept: str | None = None  # why it is not
        self.n = -1
        self.state_type = PENDING
        self.state_name = "Pending"
        self.message: str | None = None
        self.data: Any = NO_DATA
        self.cause_id: bytes | None = None
        self.at_us = 0
        self._state: State | None = None
        self._run: Run | None = None
        self.run_count = 0
        self.runs_before = 0  # how many of these were in earlier epochs
        self.start_us: int | None = None
        self.ran_us = 0
        self.running_since: int | None = None
        self.references: list[Reference] | None = None
        self.inputs: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
        self.new_name: str | None = None  # from the template; recorded with the first RUNNING
        self.sealed = False
        self.span: RunSpan | None = RunSpan() if LIBRARY in modules else None
        tags = scope.tags_in_force()
        self.tags = tags | definition.tags if definition.tags else tags
        self.ended: Callable[[Execution], None] | None = None
        self.stop: Stopped | None = None  # asked for from outside; delivered at the next effect that may be stopped
        # Where it is reached then: on the thread of this gate, at this level, or in this event loop, as this task.
        self.gate: Gate | None = None
        self.level = 0
        self.awaits: tuple[Any, Any] | None = None
        # Of a submitted run: where its life is, what makes it go on, how to interrupt it, its right to run, and the
        # thread that it is on.
        self.place = 0
        self.resume: Callable[[], Any] | None = None
        self.reach: Reach | None = None
        self.slot: Slot | None = None
        self.thread: int | None = None
        self.depth: int = parent.depth + 1 if parent is not None and parent.is_task else 0  # tasks of its flow run
        self.told = 0  # how often that task was cancelled for it, and this not taken back yet
        log_prints = definition.log_prints
        if log_prints is None:
            log_prints = parent.log_prints if parent is not None else bool(session.settings.get("logging.log_prints"))
        self.log_prints: bool = log_prints
        # What counts for how results are stored: of this run, and of those in it that do not say.
        self.persistence: Persistence
        if parent is not None and definition.asks is NOTHING_ASKED and session.persists_tasks is None:
            self.persistence = parent.persistence
        else:
            around = None if parent is None else parent.persistence
            self.persistence = definition.asks.in_force(around, session.settings, is_task=self.is_task)
        self.life: Life = self.begin()
        self.context: Context = copy_context()
        self.context.run(scope.enter, self)

    def begin(self) -> Life:
        """The life of this run."""
        raise Defect("An execution is either a task's or a flow's.")

    @property
    def around(self) -> FlowExecution | None:
        """The flow run that it is a part of."""
        return self.flow if self.is_task else None if self.parent is None else self.parent.flow

    @property
    def attempt(self) -> int:
        """How often the function has been called in this epoch."""
        return self.run_count - self.runs_before

    def take_over(self, earlier: Earlier) -> None:
        """Be the same run as in earlier epochs, started again."""
        self.earlier = earlier
        self.run_id = earlier.run_id
        self.run_count = self.runs_before = earlier.run_count
        self.start_us = earlier.start_us
        self.ran_us = earlier.ran_us

    def look_up(self) -> Verdict | str | None:
        """The value that the run completed with in an earlier epoch; else why it is called again, if it is."""
        flow = self.flow
        assert flow is not None
        resuming = flow.resuming
        if resuming is not None and resuming.replay is not None:
            return resuming.replay.look_up(self, resuming)
        if self.earlier is None or resuming is None:
            return None
        if self.is_mutable:
            self._take_fingerprint()
        found = resuming.look_up(self.earlier, self.definition.source, self.made_from(), self.unkeyed)
        if not isinstance(found, Kept):
            return found
        self.result = found.at
        if self.is_task:
            flow.links.add(found.value, self.run_id)
        if flow.lineage is not None:
            flow.lineage.gave(self, found.value)
        return Verdict(COMPLETED, "Cached", f"{HAD_COMPLETED} in epoch {found.at.epoch}", found.value)

    def made_from(self) -> bytes | None:
        """What this run is made from, if results of other runs are in it: a hash of which, of which epochs.

        Behind it, where these can be changed in place, stand a fingerprint of the inputs, and the source of the caller,
        whose own code could have done that: see `resuming.made_alike`.
        """
        flow = self.flow
        ids = {run_id for name, runs in self.inputs if name != "wait_for" for run_id in runs}
        if self.made_of is not None:
            ids |= self.made_of
        if not ids:
            return None
        resuming = flow.resuming if flow is not None else None
        made = resuming.made if resuming is not None else _NONE_MADE
        hashed = short_hash(b"".join([one + made.get(one, self.epoch).to_bytes(4, "big") for one in sorted(ids)]))
        if self.before is None or self.parent is None:
            return hashed
        return hashed + self.before + bytes.fromhex(self.parent.definition.source)

    def fingerprint(self) -> bytes | None:
        """That of the inputs as they are now."""
        bound = self.definition._bound
        return fingerprint((*bound, *self.args) if bound else self.args, self.kwargs)

    def cached_at(self) -> CachedAt | None:
        """Where in a cache its value is stored; None if in none."""
        return None

    def key_fields(self) -> dict[str, Any]:
        """What a `result_storage_key` may name."""
        flow = self.flow
        return {
            "parameters": self.parameters(),
            "task_run": self.run if self.is_task else None,
            "flow_run": None if flow is None else flow.run,
        }

    def created(self, at_us: int, mono_us: int, effect: Enter) -> RunFact:
        """The fact that this run exists, in its state 0."""
        raise Defect("An execution is either a task's or a flow's.")

    # -- states

    def enter(self, effect: Enter) -> None:
        """Put the run into a state, and record it."""
        if self.sealed:
            return  # its end is recorded already: what a call that came back too late amounts to is dropped
        if effect.keeps:
            keep_at_once(self, effect.data)
        reached = None if self.stop is None else reaching.REACHED
        if reached is not None:
            reached.acquire()  # that it does not stop may be recorded by another thread
        try:
            at_us, mono_us = read_clock()
            kind = effect.state_type
            self.state_type = kind
            self.state_name = state_name = effect.state_name
            self.message = message = effect.message
            data = effect.data
            self.data = data if data is not None or kind is COMPLETED else NO_DATA
            self.cause_id = effect.cause_id
            self.at_us = at_us
            self._state = None
            self.n += 1
            if self.n == 0:
                self.session.recorder.run(self.created(at_us, mono_us, effect))
                return
            if self.running_since is not None:
                self.ran_us += mono_us - self.running_since
                self.running_since = None
            run_name = traceback = None
            if kind is RUNNING:
                if self.is_mutable:
                    self._take_fingerprint()
                self.run_count += 1
                self.running_since = mono_us
                self.start_us = self.start_us or at_us
                if self.new_name is not None:
                    run_name = self.run_name = self.new_name
                    self.new_name = None
            elif kind is not COMPLETED and isinstance(data, BaseException):
                traceback = self._told_by(data, kind)
            self.session.recorder.run(
                StateEntered(
                    self.run_id,
                    self.is_task,
                    self.epoch,
                    self.n,
                    at_us,
                    mono_us,
                    kind,
                    state_name,
                    message and _cut(message),
                    self.run_count,
                    self.start_us,
                    self.ran_us,
                    run_name,
                    self.cause_id,
                    traceback,
                    None if effect.wait_s is None else at_us + int(effect.wait_s * 1e6),
                    self.result,
                    self.unkept,
                )
            )
            if kind not in _QUIET or message is not None or not self.is_task or self.session.tells_steps:
                telling.entered(self, effect)
            if traceback is not None:
                self.keep_little_of(data)
        finally:
            if reached is not None:
                reached.release()
            if self.span is not None:
                self.span.entered(self)
        # First the state was set, now this is looked at; whoever tells it to stop does the reverse.
        if self.stop is not None and kind in FINAL:
            reaching.withdraw(self)

    def _told_by(self, error: BaseException, kind: StateType) -> str | None:
        """The traceback of an exception that ended the run, or an attempt; ties it to the run that it ended first."""
        cause_id = cause_of(error, self.run_id, None if self.parent is None else self.parent.run_id)
        if self.cause_id is None:
            self.cause_id = cause_id
        was_told = kind is CANCELLED and error.__traceback__ is None  # by others: nothing was raised here
        if self.start_us is None or was_told:
            return None
        return traceback_text(error)[-TRACEBACK_CHARS_MAX:]

    def keep_little_of(self, error: BaseException) -> None:
        """A run has failed with this exception, and all is told of it."""

    def finished(self) -> None:
        """The life is over, its hooks included: nothing of its inputs may be kept alive by whoever keeps its future."""
        self.args = ()
        self.kwargs = {}
        self.references = None
        self.context = _OVER  # the context refers to the run: apart, both go at once, not with the garbage collector
        ended = self.ended
        if ended is not None:
            ended(self)

    @property
    def state(self) -> State:
        """The state that the run is in."""
        state = self._state
        if state is None:
            state = self._state = state_of_run(
                self.state_type,
                self.state_name,
                self.message,
                self.data,
                self.at_us,
                self.run_id,
                self.is_task,
                self.definition.name,
                self.run_name,
                self.cause_id,
            )
        return state

    @property
    def run(self) -> Run:
        """The run as hooks and user code see it."""
        if self._run is None:
            self._run = self.view(self)
        return self._run

    # -- inputs

    def parameters(self) -> dict[str, Any]:
        """Names and values of the call's arguments."""
        return self.definition.bind(self.args, self.kwargs)

    def call_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the user's function is to be called with, here and now."""
        if self.log_prints:
            self.session.capture_prints()
        args, kwargs = (self.args, self.kwargs) if self.is_task else self.plain_arguments()
        bound = self.definition._bound
        return ((*bound, *args) if bound else args), kwargs

    def plain_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments, without the instance or class that the function is bound to."""
        return self.args, self.kwargs

    def look_for_inputs(self, wait_for: Any) -> None:
        """Find out what this run waits for, and which runs its arguments came from."""
        found: list[Reference] = []
        marked = False  # something is to be unwrapped, or replaced
        inputs: list[tuple[str, tuple[bytes, ...]]] = []
        for position, value in enumerate(self.args):
            if type(value) not in PLAIN:
                marked |= self._look(self.definition.name_at(position), value, found, inputs)
        for name, value in self.kwargs.items():
            if type(value) not in PLAIN:
                marked |= self._look(name, value, found, inputs)
        if wait_for is not None:
            self._look("wait_for", wait_for, found, inputs)
        if found or marked:
            self.references = found
        elif inputs or not PLAIN.issuperset(map(type, [*self.args, *self.kwargs.values()])):
            self.is_mutable = True
        self.inputs = tuple(inputs)
        if self.flow is not None and self.flow.lineage is not None:
            self.flow.lineage.got(self)

    def _look(self, name: str, value: Any, found: list[Reference], inputs: list[tuple[str, tuple[bytes, ...]]]) -> bool:
        start = len(found)
        marked = find_references(value, found)
        ids = {reference.target.run_id for reference in found[start:] if reference.target.run_id is not None}
        if self.flow is not None:
            ids |= self.flow.links.find(value)
        if ids:
            inputs.append((name, tuple(sorted(ids))))
        return marked

    def unfinished(self) -> list[Any]:
        """The futures among the inputs that have not ended."""
        return pending_in(self.references) if self.references is not None else []

    def take_inputs(self) -> NotReady | Skipped | Raised | None:
        """All upstreams have ended: put their values in place, or say what the run's trigger has against it."""
        references = self.references
        if references is None:
            return None
        against = judged(references, self.definition.trigger)
        if against is not None:
            return against
        try:
            self.args, self.kwargs = with_values(self.args, self.kwargs, f"{self.definition.kind} {self.run_name!r}")
        except Exception as error:
            return Raised(error)
        self.references = self.before = None
        self.is_mutable = True
        return self.name_it() if self.is_task else None  # a flow is named when its parameters are checked

    def _take_fingerprint(self) -> None:
        """Once, before the first attempt: later ones see what it has made of its inputs."""
        self.is_mutable = False
        if self.run_key is None or self.before is not None or self.definition.isgenerator:
            return
        if self.definition._bound or not PLAIN.issuperset(map(type, [*self.args, *self.kwargs.values()])):
            self.before = self.fingerprint()

    def name_it(self) -> NotReady | None:
        """Fill in the run's name, or say why that cannot be done."""
        if self.definition.run_name is None:
            return None
        try:
            self.new_name = self.definition.run_name_for(self.parameters())
        except Exception as error:
            return NotReady(reason(error), error, None)
        return None

    # -- what a return value means

    def awaited_in(self, effect: Settle) -> list[Reference]:
        """The futures and states in a return value, whose states decide the run's own."""
        value = effect.value
        if type(value) in PLAIN:
            return []
        found: list[Reference] = []
        find_references(value, found)
        return found

    def settle(self, effect: Settle, found: list[Reference]) -> Verdict:
        """The verdict over a return value, all futures in which have ended."""
        value = effect.value
        if self.flow is not None and self.flow.lineage is not None:
            self.flow.lineage.gave(self, value, found)
        if not found:
            if self.flow is not None and self.is_task and type(value) not in PLAIN:
                self.flow.links.add(value, self.run_id)
            return Verdict(COMPLETED, "Completed", None, value)
        return verdict_over(value, found)

    def verdict_state(self, verdict: Verdict) -> State:
        """A verdict as the state that the run would enter with it."""
        return State(
            verdict.state_type,
            verdict.state_name,
            verdict.message,
            verdict.data,
            run_id=self.run_id,
            run_is_task=self.is_task,
            run_of=self.definition.name,
        )

    # -- the end

    def outcome_value(self, return_state: bool) -> Any:
        """What the caller gets: the value, the state, or the exception raised."""
        __tracebackhide__ = True
        if return_state:
            return self.state
        if self.state_type is COMPLETED:
            return value_in(self.data)
        return self.state.result()

    def abandon(self) -> None:
        """End a run whose life is suspended in a call that does not come back: its later outcome is dropped."""
        if self.state_type not in FINAL:
            stop = self.stop
            if stop is not None and stop.asked:
                why = f"{stop.why}; the call that it is in goes on, since nothing can interrupt it"
                self.enter(Enter(CANCELLED, "Cancelled", why, stop.error))
            else:
                why = stop.why if stop is not None else "its process ended"
                error = None if stop is None else stop.error
                self.enter(Enter(CRASHED, "Crashed", f"{why}, while it was running", error))
            self.sealed = True


def _cut(message: str) -> str:
    return message if len(message) <= MESSAGE_CHARS_MAX else f"{message[:MESSAGE_CHARS_MAX]} [cut]"
