"""A pool whose tasks are called in child processes. Their lives stay here: states, retries, hooks and time limits.

A thread waits for each call that is on, as in any pool; what waits for anything else holds neither thread nor process.
Keeps promise 6: what is stopped is killed when it does not end, with all that it started. May import: core, pool,
messages, pickling.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable
from signal import Signals, strsignal
from typing import Any, Final

import msgspec

from surefoot.core.errors import ChildDied, UnpicklableArgument, UnpicklableResult
from surefoot.core.os.children import Child, Death, start_child
from surefoot.core.os.cores import memory_kills
from surefoot.engine import messages
from surefoot.engine.calling import out_of_time
from surefoot.engine.child import command
from surefoot.engine.definition import Definition
from surefoot.engine.effects import Call, Effect, Outcome, Raised, Returned, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.importable import scripts
from surefoot.engine.inputs import PLAIN
from surefoot.engine.interrupts import Reach
from surefoot.engine.lifecycle import reason
from surefoot.engine.messages import CallTold, FlowTold, Hello, Note, Within
from surefoot.engine.pickling import check_call, dumps, loads, pickled_call, pickled_definition
from surefoot.engine.pool import AWAY, Pool
from surefoot.engine.reaching import Interrupted
from surefoot.engine.sources import main_module
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.timers import Timer, call_later

__all__ = ["ProcessPool"]

STOP_GRACE_S: Final = 3.0  # how long a call that was told to stop has, before it is killed
LATE_GRACE_S: Final = 1.0  # how long one has whose time is up
CLOSE_S: Final = 5.0  # how long idle children have to end
KILLED: Final = 9  # SIGKILL, which not every system has
KEPT_MAX: Final = 1 << 12  # arguments of this size are kept as they were pickled when they were checked
ALL_KEPT_MAX: Final = 1 << 26  # and larger ones, until all are as large as this; then they are pickled once more
DEFINITIONS_MAX: Final = 256  # so many tasks are known to each child; others are sent with each call
PARAMETERS_MAX: Final = 1 << 20  # larger parameters of a flow are not sent along

Initializer = tuple[Callable[..., object], tuple[Any, ...]]


class ProcessPool(Pool):
    """Runs the submitted tasks of one flow run in child processes.

    Args:
        max_workers: how many of them may be called at once.
        name: prefix of the threads' names.
        method: how children are started, one of `core.os.children.METHODS`.
        initializer: called first in each child, with its arguments.
    """

    def __init__(self, max_workers: int, name: str, method: str, initializer: Initializer | None = None) -> None:
        super().__init__(max_workers, name)
        self.slots.for_loops = False  # asynchronous tasks have an event loop in their child
        self.slots.crew.useful = max_workers  # their threads only wait
        self._children = _Children(max_workers, method, initializer)
        self._payloads: dict[Execution, bytes] = {}
        self._kept_bytes = 0

    def check(self, definition: Definition, rows: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
        if definition.kind != "Task":
            return
        for args, kwargs in rows:
            check_call(definition, args, kwargs)

    def submit(self, execution: Execution) -> None:
        if not isinstance(execution, TaskExecution):
            pass  # a flow runs here, and brings a task runner of its own
        elif execution.references is None:
            self._pickle(execution)
        else:
            check_call(execution.definition, execution.args, execution.kwargs)
            self._children.definitions.of(execution)
        super().submit(execution)

    def _pickle(self, execution: TaskExecution) -> bytes:
        """The arguments of a run as they were when it was submitted, or became ready; large ones as they are now."""
        self._children.definitions.of(execution)
        payload = self._payloads.get(execution)
        if payload is None:
            payload = pickled_call(execution.definition, execution.args, execution.kwargs)
            with self._lock:
                if len(payload) <= KEPT_MAX or self._kept_bytes + len(payload) <= ALL_KEPT_MAX:
                    self._payloads[execution] = payload
                    self._kept_bytes += len(payload)
        return payload

    def inputs_of(self, execution: Execution) -> Any:
        outcome = super().inputs_of(execution)
        if outcome is None and isinstance(execution, TaskExecution):
            try:
                self._pickle(execution)
            except Exception as error:
                return Raised(error)
        return outcome

    def _call(self, execution: Execution, effect: Effect) -> Any:
        if type(effect) is not Call or not isinstance(execution, TaskExecution):
            return super()._call(execution, effect)
        call = _RemoteCall(self._children, execution, effect.timeout_s)
        if not self.enters_call(execution, call):
            return execution.stop
        try:
            outcome = call.perform(self._pickle(execution))
        except Exception as error:  # no process could be started, or the arguments changed since they were looked at
            outcome = Raised(error)
        if not self.leaves_call(execution):
            return AWAY
        if type(outcome) is Stopped and type(outcome.error) is Interrupted:
            return execution.stop
        return outcome

    def end(self, execution: Execution) -> None:
        with self._lock:
            self._kept_bytes -= len(self._payloads.pop(execution, b""))
        self._children.counts.forget(execution)
        super().end(execution)

    def close(self) -> None:
        super().close()
        self._children.close()


class _RemoteCall(Reach):
    """One call in a child process, which others may stop."""

    __slots__ = ("_child", "_children", "_execution", "_is_late", "_is_over", "_timeout_s", "_timers")

    def __init__(self, children: _Children, execution: TaskExecution, timeout_s: float | None) -> None:
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._children = children
        self._execution = execution
        self._timeout_s = timeout_s
        self._timers: list[Timer] = []
        self._child: Child | None = None
        self._is_late = False
        self._is_over = False

    def perform(self, payload: bytes) -> Outcome:
        """Have it called, and wait for what comes of it."""
        child = self._children.take(self._execution)
        with self._lock:
            self._child = child
            error = self._error
        if error is not None:  # told to stop before it began
            self._children.give_back(child)
            return self._stopped(error)
        reply = self._ask(child, payload)
        with self._lock:
            self._is_over = True
        for timer in self._timers:
            timer.cancel()
        if reply is None:
            return self._died(child)
        kind, raw = bytes(reply[:1]), memoryview(reply)[1:]
        if self._error is not None or kind in (messages.STOPPED, messages.TIMED_OUT):
            self._children.discard(child)  # with all that it started
        else:
            self._children.give_back(child)
        return self._outcome(kind, raw)

    def _ask(self, child: Child, payload: bytes) -> bytes | bytearray | None:
        definitions, execution = self._children.definitions, self._execution
        number, definition = definitions.of(execution)
        unknown = definitions.unknown_to(child, number, definition)
        told = CallTold.of(execution, self._timeout_s, number, unknown, self._children.counts.within(execution))
        try:
            child.channel.send(*messages.write_call(told), payload)
        except OSError:
            return None
        reply = child.channel.receive()
        if reply == messages.BEGUN:
            assert self._timeout_s is not None
            self._timers.append(call_later(self._timeout_s + LATE_GRACE_S, self._too_late))
            reply = child.channel.receive()
        if reply is not None and reply[:1] == messages.COUNTED:
            self._children.counts.take(execution, bytes(reply[1:]))
            reply = child.channel.receive()
        return reply

    def _outcome(self, kind: bytes, raw: memoryview) -> Outcome:
        if kind == messages.STOPPED:
            why, asked = loads(raw)
            return self._stopped(self._error) if self._error else Stopped(_Elsewhere(why, asked), why, asked)
        try:
            value = loads(raw)
        except Exception as error:
            what = "returned a value" if kind == messages.RETURNED else "raised an exception"
            return Raised(
                UnpicklableResult(
                    f"Task run {self._execution.run_name!r} {what} that cannot be made again here ({reason(error)}).",
                    do="Return plain values, or what both processes can import.",
                )
            )
        if kind == messages.RETURNED:
            return Returned(value)
        return Raised(messages.tied(value), timed_out=kind == messages.TIMED_OUT)

    def _stopped(self, error: BaseException) -> Stopped:
        return Stopped(error, getattr(error, "__surefoot_why__", ""), bool(getattr(error, "asked", False)))

    def _died(self, child: Child) -> Outcome:
        death = child.how_it_died()
        self._children.discard(child)
        if self._error is not None:
            return self._stopped(self._error)
        if self._is_late:
            return out_of_time(self._execution, self._timeout_s)
        kills = memory_kills()
        lacked_memory = kills is not None and self._children.kills is not None and kills > self._children.kills
        self._children.kills = kills
        end, because = _how(death, lacked_memory)
        told = f"Its process (pid {child.pid}) {end} in the midst of the call{because}."
        return Raised(ChildDied(told), died=True)

    # -- from other threads

    def interrupt(self, error: BaseException, *, again: bool = False) -> None:
        with self._lock:  # told once: a process that does not stop is killed
            if self._is_over or self._error is not None:
                return
            self._error = error
            child = self._child
            if child is not None:
                self._stop(child, error)

    def _stop(self, child: Child, error: BaseException) -> None:
        stop = self._stopped(error)
        child.tell(msgspec.msgpack.encode(Note(stop.why, stop.asked)))
        self._timers.append(call_later(STOP_GRACE_S, child.kill))

    def over(self) -> None:
        """Nothing is raised here."""

    def _too_late(self) -> None:
        with self._lock:
            if self._is_over or self._child is None:
                return
            self._is_late = True
        self._child.kill()


class _Elsewhere(BaseException):
    """Stands for what ended a call in another process without being a failure: `sys.exit`, a signal."""

    def __init__(self, why: str, asked: bool) -> None:
        self.__surefoot_why__ = why
        self.asked = asked
        super().__init__(why)


def _how(death: Death | None, lacked_memory: bool) -> tuple[str, str]:
    """How a process ended, and what is known of the reason."""
    if death is None:
        return "ended", ", and nobody saw how"
    number = -death.code
    if number <= 0:
        return f"ended with exit code {death.code}", ""
    if number == KILLED:
        why = "by somebody else or for lack of memory, of which nothing here tells"
        if lacked_memory:
            why = "probably out of memory: meanwhile the kernel has killed for lack of it"
        peak = f"; it had taken up to {death.peak_bytes / 1e6:,.0f} MB" if death.peak_bytes else ""
        return "was killed (SIGKILL)", f", {why}{peak}"
    try:
        name = Signals(number).name
    except ValueError:
        name = f"signal {number}"
    told = strsignal(number)
    return f"was ended by {name}" + (f" ({told})" if told else ""), ""


class _Definitions:
    """The tasks of a pool, each pickled once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[int, tuple[int, bytes, object]] = {}
        self._known: dict[int, set[int]] = {}  # child -> what it has

    def of(self, execution: TaskExecution) -> tuple[int, bytes]:
        """The number of a run's task, 0 if it is not to be kept, and its bytes. Raises UnpicklableArgument."""
        definition = execution.definition
        # What is bound to an instance is made anew each time; what it calls is the same.
        of = definition.fn if definition._bound else definition
        found = self._found.get(id(of))
        if found is not None:
            return found[:2]
        raw = pickled_definition(definition)
        with self._lock:
            number = len(self._found) + 1
            if number > DEFINITIONS_MAX:
                return 0, raw
            return self._found.setdefault(id(of), (number, raw, of))[:2]  # `of` is kept, and so is its id

    def unknown_to(self, child: Child, number: int, definition: bytes) -> bytes | None:
        """The bytes, if the child is to be given them."""
        if not number:
            return definition
        known = self._known.setdefault(child.number, set())
        if number in known:
            return None
        known.add(number)
        return definition

    def forget(self, child: Child) -> None:
        """It is gone."""
        self._known.pop(child.number, None)


class _Counts:
    """What one attempt of a task run has counted of the runs within it, for the next one, in whatever child.

    An attempt whose child died tells nothing: the next counts anew, and takes nothing over, since it cannot know what
    was taken over before.
    """

    def __init__(self) -> None:
        self._told: dict[bytes, bytes] = {}

    def take(self, execution: TaskExecution, counts: bytes) -> None:
        """An attempt has ended."""
        self._told[execution.run_id] = counts

    def forget(self, execution: Execution) -> None:
        """The run has ended."""
        self._told.pop(execution.run_id, None)

    def within(self, execution: TaskExecution) -> Within | None:
        """What the next attempt is to know; None if that is nothing."""
        flow = execution.flow
        if flow is None or flow.keys is None:
            return None
        counts = self._told.pop(execution.run_id, None)
        runs = flow.earlier_within(execution) if counts is not None or execution.attempt == 1 else {}
        linked = _linked(execution, flow)
        if counts is None and not runs and not linked:
            return None
        return Within({} if counts is None else loads(counts), runs, linked)


def _linked(execution: TaskExecution, flow: FlowExecution) -> list[tuple[int | str, bytes, int | None]]:
    """The arguments of a run that are other runs' results."""
    made = {} if flow.resuming is None else flow.resuming.made
    given: list[tuple[int | str, Any]] = [*enumerate(execution.args), *execution.kwargs.items()]
    runs = [(place, flow.links.find_one(value)) for place, value in given if type(value) not in PLAIN]
    return [(place, run_id, made.get(run_id)) for place, run_id in runs if run_id is not None]


class _Children:
    """The child processes of one pool, started when they are needed."""

    def __init__(self, count_max: int, method: str, initializer: Initializer | None) -> None:
        self.definitions = _Definitions()
        self.counts = _Counts()
        self.kills = memory_kills()
        self._count_max = count_max
        self._method = method
        self._initializer = None if initializer is None else _pickled_initializer(initializer)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._hello: bytes | None = None

    def take(self, execution: TaskExecution) -> Child:
        """A child for one call. Raises Unavailable if none can be started."""
        with self._lock:
            while self._idle:
                child = self._idle.pop()  # the last that worked: its memory is warm
                if not child.ended.is_set():
                    return child
                self._all.discard(child)
                self.definitions.forget(child)
                child.channel.close()
            hello = self._hello
        if hello is None:
            assert execution.flow is not None
            hello = self._hello = _hello(execution.flow, self._initializer)
        child = start_child(self._method, command())
        try:
            child.channel.send(hello)
        except OSError:
            pass  # it is dead; its first call tells how
        with self._lock:
            self._all.add(child)
        return child

    def give_back(self, child: Child) -> None:
        """Its call is over."""
        with self._lock:
            if len(self._idle) < self._count_max:
                self._idle.append(child)
                return
        self._end([child])

    def discard(self, child: Child) -> None:
        """Kill it, with all that it started."""
        child.kill()
        with self._lock:
            self._all.discard(child)
        self.definitions.forget(child)
        child.channel.close()

    def close(self) -> None:
        """Let them end. No call is on."""
        with self._lock:
            children, self._all, self._idle = list(self._all), set(), []
        self._end(children)

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.channel.no_more()
        for child in children:
            if not child.ended.wait(CLOSE_S):  # something that a task left behind keeps it
                child.kill()
                child.ended.wait(CLOSE_S)
            child.channel.close()


def _pickled_initializer(initializer: Initializer) -> bytes:
    try:
        return dumps(initializer)
    except Exception as error:
        raise UnpicklableArgument(
            f"The initializer of the task runner, or what it is called with, cannot be sent to another process "
            f"({reason(error)}).",
            do="Pass a function of a module, and plain values.",
        ) from error


def _hello(flow: FlowExecution, initializer: bytes | None) -> bytes:
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = ""
    told = FlowTold.of(flow, _if_it_can_be_sent(flow.kwargs), _if_it_can_be_sent(flow.persistence))
    settings = pickle.dumps(flow.session.settings)
    surroundings = list(sys.path), list(sys.argv), cwd, dict(os.environ), main_module(), scripts()
    return msgspec.msgpack.encode(Hello(*surroundings, settings, told, initializer))


def _if_it_can_be_sent(value: object) -> bytes | None:
    try:
        raw = dumps(value)
    except Exception:  # whoever asks for it there is told
        return None
    return raw if len(raw) <= PARAMETERS_MAX else None
