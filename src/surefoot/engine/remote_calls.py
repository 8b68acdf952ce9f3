"""Calls in child processes: taken there, told to stop, killed when they do not end, and what came of them told here.

Keeps promise 6: what is stopped is killed when it does not end, with all that it started. May import: core, messages,
pickling, child.
"""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import threading
from collections.abc import Callable
from signal import Signals, strsignal
from typing import Any, Final
from weakref import WeakSet

import msgspec

from surefoot.core.clock import SystemClock
from surefoot.core.errors import ChildDied, MemoryLimitExceeded, UnpicklableArgument, UnpicklableResult
from surefoot.core.os.children import METHODS, Child, Death, start_child
from surefoot.core.os.cores import memory_kills
from surefoot.core.os.forks import after_fork_in_child
from surefoot.core.sizes import told_size
from surefoot.engine import messages
from surefoot.engine.calling import LATE_GRACE_S, out_of_time
from surefoot.engine.child import command
from surefoot.engine.effects import Outcome, Raised, Returned, Stopped
from surefoot.engine.execution import Execution
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.importable import scripts
from surefoot.engine.inputs import PLAIN
from surefoot.engine.interrupts import Reach
from surefoot.engine.lifecycle import reason
from surefoot.engine.messages import CallTold, FlowTold, Hello, Note, Within
from surefoot.engine.pickling import dumps, loads, pickled_definition
from surefoot.engine.sources import main_module
from surefoot.engine.task_execution import TaskExecution
from surefoot.engine.timers import Timer, call_later

__all__ = ["Children", "Initializer", "Own", "RemoteCall"]

STOP_GRACE_S: Final = 3.0  # how long a call that was told to stop has, before it is killed
CLOSE_S: Final = 5.0  # how long idle children have to end
KILLED: Final = 9  # SIGKILL, which not every system has
DEFINITIONS_MAX: Final = 256  # so many tasks are known to each child; others are sent with each call
PARAMETERS_MAX: Final = 1 << 20  # larger parameters of a flow are not sent along

Initializer = tuple[Callable[..., object], tuple[Any, ...]]


class RemoteCall(Reach):
    """One call in a child process, which others may stop."""

    __slots__ = ("_child", "_children", "_execution", "_is_late", "_is_over", "_memory_bytes", "_timeout_s", "_timers")

    def __init__(
        self,
        children: Children,
        execution: TaskExecution,
        timeout_s: float | None,
        memory_bytes: int | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._children = children
        self._execution = execution
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
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
        told.memory_bytes = self._memory_bytes
        try:
            child.channel.send(*messages.write_call(told), payload)
        except OSError:
            return None
        reply = child.channel.receive()
        if reply == messages.READY:
            self._children.initializing.discard(child)
            reply = child.channel.receive()
        if reply == messages.BEGUN:
            assert self._timeout_s is not None
            self._timers.append(call_later(self._timeout_s + LATE_GRACE_S, self._too_late))
            reply = child.channel.receive()
        if reply is not None and reply[:1] == messages.COUNTED:
            self._children.counts.take(execution, bytes(reply[1:]))
            reply = child.channel.receive()
        if reply is not None and reply[:1] == messages.NOTED:
            execution.take_notes(bytes(reply[1:]))
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
        if self._memory_bytes is not None and isinstance(value, MemoryError) and kind == messages.RAISED:
            return self._had_too_much(messages.tied(value))
        return Raised(messages.tied(value), timed_out=kind == messages.TIMED_OUT)

    def _had_too_much(self, refused: Exception | None) -> Raised:
        """It came to its limit of memory: killed, or refused more."""
        assert self._memory_bytes is not None
        assert self._child is not None
        used, how = self._child.held_bytes, "used"
        if refused is not None:
            self._child.kill()
            death = self._child.how_it_died()
            used, how = 0 if death is None else death.peak_bytes, "had used up to"
        name = self._execution.run_name
        given, limit = getattr(self._execution.definition, "memory_limit", None), told_size(self._memory_bytes)
        if isinstance(given, str) and given.replace(" ", "").lower() != limit.replace(" ", "").lower():
            limit = f"{given.strip()} ({limit})"  # as it was written, and in the unit of what follows
        told = f"Task run {name!r}: memory limit of {limit} exceeded"
        told += f" (it {how} {told_size(used)}" if used else " ("
        told += f"{', and ' if used else ''}was refused more)" if refused is not None else ")"
        error = MemoryLimitExceeded(f"{told}.", do="Give it more (memory_limit=), or less to do at once.")
        error.__cause__ = refused
        return Raised(error)

    def _stopped(self, error: BaseException) -> Stopped:
        return Stopped(error, getattr(error, "__surefoot_why__", ""), bool(getattr(error, "asked", False)))

    def _died(self, child: Child) -> Outcome:
        death = child.how_it_died()
        is_initializing = child in self._children.initializing
        self._children.discard(child)
        if self._error is not None:
            return self._stopped(self._error)
        if self._is_late:
            return out_of_time(self._execution, self._timeout_s)
        if child.held_bytes:
            return self._had_too_much(None)
        kills = memory_kills()
        lacked_memory = kills is not None and self._children.kills is not None and kills > self._children.kills
        self._children.kills = kills
        end, because = _how(death, lacked_memory)
        where = "the initializer of its task runner" if is_initializing else "the midst of the call"
        told = f"Its process (pid {child.pid}) {end} in {where}{because}."
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


class Definitions:
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


class Counts:
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


class Children:
    """The child processes of one pool, started when they are needed."""

    def __init__(self, count_max: int, method: str, initializer: Initializer | None) -> None:
        self.definitions = Definitions()
        self.counts = Counts()
        self.kills = memory_kills()
        self.initializing: set[Child] = set()  # those that may not have called their initializer yet
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
            hello = self._hello = _hello(execution, self._initializer)
        child = start_child(self._method, command())
        try:
            child.channel.send(hello)
        except OSError:
            pass  # it is dead; its first call tells how
        if self._initializer is not None:
            self.initializing.add(child)
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
        self.initializing.discard(child)
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


class Own(Children):
    """Child processes each of which is there for one call. What one leaves behind when it ends is killed."""

    def __init__(self) -> None:
        super().__init__(0, METHODS[0], None)

    def take(self, execution: TaskExecution) -> Child:
        child = super().take(execution)
        child.be_alone(execution.definition.memory_bytes)
        return child

    def give_back(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        self.definitions.forget(child)
        child.channel.no_more()  # it ends in order, which nobody waits for but the end of this process
        child.channel.close()
        call_later(CLOSE_S, child.kill)
        _ending.add(child)


_ending: WeakSet[Child] = WeakSet()


@atexit.register
def _wait_for_all() -> None:
    clock = SystemClock()
    until_us = clock.mono_us() + int(CLOSE_S * 1e6)
    for child in list(_ending):
        child.ended.wait(max(until_us - clock.mono_us(), 0) / 1e6)


@after_fork_in_child
def _leave_to_parent() -> None:
    _ending.clear()


def _pickled_initializer(initializer: Initializer) -> bytes:
    try:
        return dumps(initializer)
    except Exception as error:
        raise UnpicklableArgument(
            f"The initializer of the task runner, or what it is called with, cannot be sent to another process "
            f"({reason(error)}).",
            do="Pass a function of a module, and plain values.",
        ) from error


def _hello(execution: TaskExecution, initializer: bytes | None) -> bytes:
    flow, told = execution.flow, None
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = ""
    if flow is not None:
        told = FlowTold.of(flow, _if_it_can_be_sent(flow.kwargs), _if_it_can_be_sent(flow.persistence))
    settings = pickle.dumps(execution.session.settings)
    surroundings = list(sys.path), list(sys.argv), cwd, dict(os.environ), main_module(), scripts()
    return msgspec.msgpack.encode(Hello(*surroundings, settings, told, initializer))


def _if_it_can_be_sent(value: object) -> bytes | None:
    try:
        raw = dumps(value)
    except Exception:  # whoever asks for it there is told
        return None
    return raw if len(raw) <= PARAMETERS_MAX else None
