"""The child: a process that calls the tasks of another process's flow run. Its owner lives their lives.

It writes with a journal writer of its own: what the tasks log, and the runs that they call, as parts of the owner's.
What tasks submit here runs on threads here. May import: core, session, pool, messages.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import subprocess
import sys
import time
from contextvars import Context
from copy import copy
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, Final

import msgspec

from surefoot.core.errors import BadInput, MissingContextError
from surefoot.core.os.children import inherited, watch_lifeline
from surefoot.core.os.nursery import Birth, die_with, tend
from surefoot.core.os.signals import GATE
from surefoot.core.os.threads import LOOP, OPEN, SHUT
from surefoot.core.os.trees import limit_allocations
from surefoot.core.states import RUNNING
from surefoot.engine import messages, scope, spans
from surefoot.engine.blocking import called, perform
from surefoot.engine.calling import guarded
from surefoot.engine.commands import obey
from surefoot.engine.definition import Definition
from surefoot.engine.effects import Call, Finish, Outcome, Raised, Returned, Stopped
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.importable import adopt_scripts, is_script
from surefoot.engine.inputs import PLAIN, Reference, find_references, pending_in, replace_references
from surefoot.engine.keys import Keys
from surefoot.engine.lifecycle import Life, reason
from surefoot.engine.links import Links
from surefoot.engine.messages import CallTold, Hello, Note, Within
from surefoot.engine.pickling import loads, pickled_error, pickled_value
from surefoot.engine.pool import Pool
from surefoot.engine.progress import share_terminal
from surefoot.engine.reaching import ON, is_any_on
from surefoot.engine.resuming import Resuming, Told
from surefoot.engine.session import Session, adopt, refusing_runs
from surefoot.engine.sources import adopt_main
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.telling import stop_of
from surefoot.engine.tracebacks import traceback_text
from surefoot.results.asking import Persistence
from surefoot.results.loading import Loader
from surefoot.states import NO_DATA, State

__all__ = ["blank", "born", "borrowed_flow", "command", "nurse"]

_REFUSAL: Final = MissingContextError(
    "A flow or task was called while its module was imported by a process that only wants a task from it.",
    do='Call it under `if __name__ == "__main__":`.',
)

_PRELOADED: Final = ("cloudpickle", "surefoot.logging", "surefoot.tasks")  # here once, not in each child
NESTED_THREADS_MAX: Final = 1_000  # as of a flow without a runner of its own


# house: skip system: one entrance for each of the two ways in core.os.children, and both stand here
def command(entrance: str = "born" if sys.platform == "win32" else "nurse") -> list[str]:
    """What starts an interpreter that goes in by `nurse` or `born`, with the flags and the path of this one."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    code = f"import sys; sys.path[:] = {sys.path!r}; from surefoot.engine.child import {entrance}; {entrance}()"
    return [sys.executable, *flags, "-c", code]


def nurse() -> None:
    """Be the nursery; or, in a child that it has forked, that child."""
    server, owner = map(int, sys.argv[1:])
    for name in _PRELOADED:
        import_module(name)
    gc.freeze()  # what is here is shared with the children as long as nobody touches it
    birth = tend(server, owner, command("born"))
    if birth is not None:
        _Child(birth).live()


def born() -> None:
    """Be a child in an interpreter of its own."""
    if len(sys.argv) == 1:
        _Child(None).live()
        return
    parent, channel, lifeline = map(int, sys.argv[1:])
    die_with(parent)
    _Child(Birth(channel, lifeline)).live()


class _Child:
    def __init__(self, birth: Birth | None) -> None:
        self._channel, lifeline = inherited(birth)
        watch_lifeline(lifeline, _told_to_stop)
        self._definitions: dict[int, Definition] = {}
        self._broken: Exception | None = None
        self._flow: FlowExecution | None = None  # the owner's
        self._is_resumed = self._has_keys = False
        self._made: dict[bytes, int] = {}

    def live(self) -> None:
        """Answer calls until there are no more."""
        message = self._channel.receive()
        if message is None:
            return
        hello = msgspec.msgpack.decode(message, type=Hello)
        if not faulthandler.is_enabled() and sys.stderr is not None:
            faulthandler.enable()
        session = self._be_as_owner(hello)
        self._session = session
        if hello.flow is not None:
            self._flow = borrowed_flow(hello.flow, session)
            self._is_resumed, self._has_keys = hello.flow.is_resumed, hello.flow.has_keys
        try:
            self._answer_all(hello)
        finally:
            if self._flow is not None and self._flow.keeper is not None:
                self._flow.keeper.close()

    def _answer_all(self, hello: Hello) -> None:
        if hello.initializer is not None:
            try:
                initializer, arguments = loads(hello.initializer)
                initializer(*arguments)
            except Exception as error:
                self._broken = error
            self._channel.send(messages.READY)
        while (message := self._channel.receive()) is not None:
            try:
                self._answer(*messages.read_call(message))
            except OSError:
                return  # the owner has gone
            del message
            if GATE.terminated is not None:
                return  # told to stop

    def _be_as_owner(self, hello: Hello) -> Session:
        sys.path[:] = hello.path
        sys.argv[:] = hello.argv
        os.environ.clear()
        os.environ.update(hello.environment)
        if hasattr(time, "tzset"):
            time.tzset()
        try:
            os.chdir(hello.cwd)
        except OSError:
            pass  # it was removed
        adopt_main(hello.main)
        adopt_scripts(hello.scripts)
        session = adopt(loads(hello.settings))
        session.outermost_begins()
        share_terminal()
        return session

    # -- one call

    def _answer(self, told: CallTold, arguments: memoryview) -> None:
        flow = self._flow
        if flow is not None:
            flow.keys = None
        if told.memory_bytes is not None:
            limit_allocations(told.memory_bytes)
        notes = None
        try:
            execution = self._load(told, arguments)
        except BaseException as error:
            kind, reply = messages.RAISED, self._pickled(error)
        else:
            outcome = self._called(execution, told.timeout_s)
            notes = execution.notes(outcome)
            kind, reply = self._reply(execution, outcome)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass  # there is none, or it was closed
        if flow is not None and flow.resuming is not None:
            flow.resuming.end()
        if told.may_repeat and flow is not None and flow.keys is not None and flow.keys.counts:
            self._channel.send(messages.COUNTED, pickle.dumps(flow.keys.counts))
        if notes is not None:
            self._channel.send(messages.NOTED, notes)
        self._channel.send(kind, reply)

    def _load(self, told: CallTold, arguments: memoryview) -> TaskExecution:
        if self._broken is not None:
            raise BadInput(
                f"The initializer of the task runner raised {reason(self._broken)}.", do="Mend it, or leave it out."
            ) from self._broken
        definition = self._definitions.get(told.number)
        try:
            with refusing_runs(_REFUSAL):
                if definition is None:
                    assert told.definition is not None
                    definition = loads(told.definition)
                    _stand_in_for_module(definition)
                    if told.number:
                        self._definitions[told.number] = definition
                bound, args, kwargs = loads(arguments)
        except BaseException as error:
            raise BadInput(
                f"Task run {told.run_name!r} could not be set up in its process: {reason(error)}.",
                do="See that what it needs can be imported there.",
            ) from error
        if bound:
            definition = copy(definition)
            definition._bound = bound
        if self._flow is not None:
            self._flow.follow(told.run_id, told.behind)
        if self._flow is not None:
            self._flow.run_count = told.flow_run_count
            if self._has_keys:
                self._go_on_counting(self._flow, told, definition, args, kwargs)
        return _borrowed_task(told, definition, args, kwargs, self._flow, self._session)

    def _go_on_counting(
        self,
        flow: FlowExecution,
        told: CallTold,
        definition: Definition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Have runs within the call found by their keys, and found done, as they would be in the owner's process."""
        within = _NOTHING if told.resumes is None else Within(*loads(told.resumes))
        flow.keys = Keys(flow.links, {**within.counts})
        for place, run_id, made in within.linked:
            flow.links.add(args[place] if isinstance(place, int) else kwargs[place], run_id)
            if made is not None:
                self._made[run_id] = made
        if self._is_resumed:
            module = sys.modules.get(getattr(definition.fn, "__module__", None) or "")
            values = Loader(flow.session.settings.get("home"), module)
            flow.resuming = Resuming(flow.epoch, Told(within.runs), values, self._made, keeps=flow.keeper is not None)
            flow._earlier_runs = within.runs.get(flow.run_id, {})

    def _called(self, execution: TaskExecution, timeout_s: float | None) -> Outcome:
        """Call the function, and bring what it has submitted here to its end."""
        if timeout_s is not None:
            self._channel.send(messages.BEGUN)
        GATE.install(LOOP if execution.definition.isasync else OPEN)
        flow = self._flow
        around = flow or execution
        ON[around.run_id] = around  # so that what is submitted here is found, and commands are listened for
        self._session.recorder.listen(obey, is_any_on)
        try:
            outcome = _awaited(execution, timeout_s) if execution.definition.isasync else called(execution, timeout_s)
            if type(outcome) is Returned and type(outcome.value) not in PLAIN:
                outcome = _settled(execution, outcome)
            if flow is not None and flow.pool is not None:
                stop = outcome if type(outcome) is Stopped else type(outcome) is Raised
                outcome = perform[Finish](flow, Finish(stop)) or outcome
        except BaseException as error:  # it came in between
            outcome = stop_of(error)
        ON.pop(around.run_id, None)
        late = GATE.uninstall()
        return outcome if late is None else stop_of(late)

    def _reply(self, execution: TaskExecution, outcome: Outcome) -> tuple[bytes, bytes]:
        if type(outcome) is Returned:
            try:
                return messages.RETURNED, pickled_value(outcome.value, f"Task run {execution.run_name!r}")
            except Exception as error:
                return messages.RAISED, pickled_error(error)
        if type(outcome) is Stopped:
            return messages.STOPPED, pickled_value((outcome.why, outcome.asked), "")
        assert type(outcome) is Raised
        return messages.TIMED_OUT if outcome.timed_out else messages.RAISED, self._pickled(outcome.error)

    def _pickled(self, error: BaseException) -> bytes:
        try:
            error.__surefoot_traceback__ = traceback_text(error)  # type: ignore[attr-defined]
        except Exception:
            pass  # a type of exception that takes no attributes: it comes without
        return pickled_error(error)


def _told_to_stop(note: bytes) -> None:
    told = msgspec.msgpack.decode(note, type=Note)
    GATE.reason = told.why, told.asked


def _awaited(execution: TaskExecution, timeout_s: float | None) -> Outcome:
    import asyncio

    from surefoot.engine.awaiting import perform as perform_awaiting  # a door: asyncio takes 30 ms to import

    async def called() -> Outcome:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> bool:
            loop.call_soon_threadsafe(task.cancel)
            return True

        GATE.cancels.append(cancel)
        outcome: Outcome = await perform_awaiting[Call](execution, Call(timeout_s))
        return outcome

    try:
        GATE.open(LOOP)
        return asyncio.run(called())
    except BaseException as error:
        return stop_of(error)
    finally:
        GATE.opened = SHUT


def _settled(execution: TaskExecution, outcome: Returned) -> Outcome:
    """With the states of futures in place of these, which mean nothing elsewhere."""
    found: list[Reference] = []
    find_references(outcome.value, found)
    if all(type(reference.target) is State for reference in found):
        return outcome
    for future in pending_in(found):
        stopped = guarded(execution, None, future.wait)
        if type(stopped) is Stopped:
            return stopped
    return Returned(replace_references(outcome.value, _state_of))


def _state_of(target: Any, allows_failure: bool) -> State:
    return target if type(target) is State else target.state


# -- runs that are the owner's


class _BorrowedFlow(FlowExecution):
    """Stands for the owner's flow run in this process."""

    __slots__ = ("_parameters", "_told")

    _parameters: bytes | None
    _told: messages.FlowTold

    @property
    def version(self) -> str | None:
        return self._told.version

    @property
    def parent_id(self) -> bytes | None:
        return self._told.parent_id

    @property
    def root_id(self) -> bytes:
        return self._told.root_id

    def parameters(self) -> dict[str, Any]:
        if self._parameters is None:
            raise MissingContextError(
                f"The parameters of flow run {self.run_name!r} cannot be sent to the process of this task.",
                do="Pass the task what it needs as an argument.",
            )
        found: dict[str, Any] = loads(self._parameters)
        return found

    def open_pool(self) -> Pool:
        if self.pool is None:
            self.pool = Pool(NESTED_THREADS_MAX, self.run_name)
        return self.pool


def blank(kind: type[Any]) -> Any:
    """A run without a life: its owner lives that."""
    execution = object.__new__(kind)
    names = _slots.get(kind)
    if names is None:
        found = [name for part in kind.__mro__ for name in getattr(part, "__slots__", ())]
        names = _slots[kind] = [name for name in found if not name.startswith("__")]
    for name in names:
        setattr(execution, name, None)
    execution.epoch = execution.n = execution.ran_us = execution.runs_before = 0
    execution.run_count = 1
    execution.state_type, execution.state_name, execution.data = RUNNING, "Running", NO_DATA
    execution.args, execution.kwargs, execution.inputs = (), {}, ()
    execution.life = _no_life()
    execution.sealed = True
    return execution


def _no_life() -> Life:
    yield from ()
    return None


_slots: dict[type[Any], list[str]] = {}
_NOTHING: Final = Within({}, {}, [])


def _stand_in_for_module(definition: Definition) -> None:
    """Have classes and functions found by their names that came as they are, of a script or file that is not here.

    So a value of such a class is kept by the name of that, and is one of today's class when it is taken over.
    """
    name, names = getattr(definition.fn, "__module__", None), getattr(definition.fn, "__globals__", {})
    if not name or not is_script(name):
        return
    module = sys.modules.setdefault(name, ModuleType(name))
    for part, value in list(names.items()):
        if isinstance(value, type | FunctionType) and value.__module__ == name:
            setattr(module, part, value)


def borrowed_flow(told: messages.FlowTold, session: Session) -> FlowExecution:
    """Another process's flow run, in this one."""
    definition = Definition.__new__(Definition)
    definition.__dict__.update(
        name=told.flow_name, version=told.flow_version, log_prints=told.log_prints, fn=None, _bound=(), hooks={}
    )
    flow: _BorrowedFlow = blank(_BorrowedFlow)
    flow.definition, flow.session = definition, session
    flow.run_id, flow.run_name, flow.epoch = told.run_id, told.run_name, told.epoch
    flow.tags, flow.log_prints, flow.start_us = frozenset(told.tags), told.log_prints, told.start_us
    flow.flow, flow.links, flow._indexes, flow._earlier_runs = flow, Links(), {}, {}
    flow._parameters, flow._told, flow.run_count = told.parameters, told, told.run_count
    flow.persistence = loads(told.persistence) if told.persistence else Persistence.by_default(session.settings)
    flow.context = Context()
    flow.context.run(scope.adopt, flow, flow.tags)
    flow.keeper = None if told.kept_for is None else session.keeper(told.kept_for)
    return flow


def _borrowed_task(
    told: CallTold,
    definition: Definition,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    flow: FlowExecution | None,
    session: Session,
) -> TaskExecution:
    task: TaskExecution = blank(getattr(definition, "execution_type", TaskExecution))
    task.definition, task.args, task.kwargs = definition, args, kwargs
    task.parent = task.flow = flow
    task.session = session
    task.run_id, task.run_name, task.epoch = told.run_id, told.run_name, told.epoch
    task.task_key, task.index = told.task_key, told.index
    task.depth, task.run_count, task.start_us = told.depth, told.run_count, told.start_us
    task.tags, task.log_prints = frozenset(told.tags), told.log_prints
    task.persistence = definition.asks.in_force(
        None if flow is None else flow.persistence, session.settings, is_task=True
    )
    task.place = 0
    task.context = Context()
    task.context.run(scope.adopt, task, frozenset(told.tags_in_force))
    if told.trace is not None:
        task.context.run(spans.adopt, task, told.trace)
    return task
