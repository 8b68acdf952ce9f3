"""Futures: tasks and flows that were submitted, and waiting for them.

    from surefoot.futures import as_completed, wait

May import: core, states, engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from surefoot.core.cards import card, state_mark
from surefoot.core.clock import get_clock
from surefoot.core.errors import BadInput
from surefoot.core.ids import to_uuid
from surefoot.core.os.forks import after_fork_in_child
from surefoot.engine.inputs import Reference, find_references, replace_references
from surefoot.engine.interrupts import GateShut
from surefoot.engine.waiting import Needs, ended, wait_for
from surefoot.states import State, StateType

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = [
    "DoneAndNotDone",
    "FlowRunFuture",
    "Future",
    "FutureList",
    "as_completed",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "wait",
]

R = TypeVar("R")

_lock = threading.Lock()  # held for a few instructions at a time: one for all is cheaper than one each


class FutureTimeoutError(BadInput, ValueError):
    """A timeout is negative."""


class WaitTimeoutError(TimeoutError):
    """Not all futures were done in time."""


class Future(Generic[R]):
    """A submitted task. `result()` waits for its value; pass the future itself to another task to make that one wait.

    In async code `await future` gives the value too, without holding the event loop.
    """

    _surefoot_future = True
    _noun: ClassVar[str] = "Task run"

    __slots__ = ("__weakref__", "_callbacks", "_execution", "_state", "run_id", "run_name")

    def __init__(self, execution: Execution) -> None:
        self._execution: Execution | None = execution
        self._state: State[R] | None = None
        self._callbacks: list[Callable[[Future[R]], object]] | None = []
        self.run_id = execution.run_id
        self.run_name = execution.run_name
        execution.ended = self._complete

    def _complete(self, execution: Execution) -> None:
        _ = execution.state  # made here: the lock is one for all, and whoever holds it is not to lose the interpreter
        with _lock:
            self._state = execution.state
            if self._callbacks is None:
                return  # it had ended: what was Staged may have been committed or rolled back since
            callbacks, self._callbacks = self._callbacks, None
            self.run_name = execution.run_name
            self._execution = None  # a list of 100,000 futures must not keep 100,000 finished runs
        for fn in callbacks:
            try:
                fn(self)
            except BaseException as error:  # not even `sys.exit` in it may end the thread that ended the task
                self._tell_of(fn, error)

    def _tell_of(self, fn: Callable[[Future[R]], object], error: BaseException) -> None:
        import logging

        said = "The done callback %r of %s %r raised."
        logging.getLogger("surefoot").error(said, fn, self._noun.lower(), self.run_name, exc_info=error)

    @property
    def execution(self) -> Execution | None:
        """The run behind it; None when it has ended."""
        return self._execution

    @property
    def task_run_id(self) -> UUID:
        """The id of the task run."""
        return to_uuid(self.run_id)

    @property
    def state(self) -> State[R]:
        """The state of the task run now."""
        execution = self._execution  # None once there is a final state
        return execution.state if self._state is None and execution is not None else self._state  # type: ignore[return-value]

    def done(self) -> bool:
        """Whether the task run has ended."""
        return self._state is not None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task run has ended, or `timeout` seconds have passed. Raises nothing either way."""
        if self._state is None:
            wait_for(self, _checked(timeout))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """The task's value, waited for.

        Raises what the task raised (returns it instead with `raise_on_failure=False`), and TimeoutError when it is not
        there after `timeout` seconds.
        """
        __tracebackhide__ = True
        if self._state is None:
            wait_for(self, _checked(timeout))
            if self._state is None:
                raise TimeoutError(f"{self._noun} {self.run_name!r} was not done after {timeout} s; it goes on.")
        value: Any = self._state.result(raise_on_failure)
        return value  # type: ignore[no-any-return]  # an exception only where it was asked for

    def add_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Call `fn(future)` when the task run has ended, in whichever thread ends it; at once if it has."""
        with GateShut(), _lock:
            callbacks = self._callbacks
            if callbacks is not None:
                callbacks.append(fn)
                return
        try:
            fn(self)
        except Exception as error:
            self._tell_of(fn, error)

    def remove_done_callback(self, fn: Callable[[Future[R]], object]) -> None:
        """Do not call `fn` after all. Nothing happens if it was called, or never added."""
        with GateShut(), _lock:
            if self._callbacks is not None and fn in self._callbacks:
                self._callbacks.remove(fn)

    def needs(self) -> Needs:
        """The run that it waits for."""
        execution = self._execution
        return Needs(() if execution is None else (execution,))

    async def ended(self) -> None:
        """Wait in an event loop until the task run has ended."""
        __tracebackhide__ = True
        await ended(self)

    def __await__(self) -> Generator[Any, None, R]:
        __tracebackhide__ = True
        yield from self.ended().__await__()
        assert self._state is not None
        value: R = self._state.result()
        return value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run_name!r} {self.state.name}>"

    def _repr_html_(self) -> str:
        state = self.state
        return card(f"{self._noun} {self.run_name}", [state_mark(state.type, state.name)], {"Message": state.message})


class FlowRunFuture(Future[R]):
    """A submitted flow. All that a `Future` does; its run has a `flow_run_id`, and can be cancelled alone."""

    _noun = "Flow run"

    __slots__ = ()

    @property
    def flow_run_id(self) -> UUID:
        """The id of the flow run."""
        return to_uuid(self.run_id)

    @property
    def task_run_id(self) -> UUID:
        """Of a task's future only: raises AttributeError."""
        raise AttributeError("This is the future of a flow run: it has a flow_run_id.")


class FutureList(list[Future[R]]):
    """The futures of one `.map`, in the order of its inputs."""

    _surefoot_futures = True

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, or `timeout` seconds have passed."""
        wait(self, timeout=timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """All values, in the order of the inputs.

        Raises the failure of the first that ends so; with `raise_on_failure=False` exceptions stand in the list
        instead.
        """
        __tracebackhide__ = True
        if raise_on_failure:
            try:
                for future in as_completed(self, timeout=timeout):
                    future.result()
            except WaitTimeoutError as error:
                raise TimeoutError(str(error)) from None
        else:
            pending = wait(self, timeout=timeout).not_done
            if pending:
                raise TimeoutError(f"{len(pending)} of {len(self)} runs were not done after {timeout} s; they go on.")
        return [future.result(raise_on_failure=raise_on_failure) for future in self]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for (_, name), count in self._counts())
        return f"<{type(self).__name__} of {len(self):,}{': ' * bool(counts)}{counts}>"

    def _repr_html_(self) -> str:
        marks = [state_mark(kind, f"{count:,} {name}") for (kind, name), count in self._counts()]
        return card(f"{len(self):,} task runs", marks)

    def _counts(self) -> list[tuple[tuple[StateType, str], int]]:
        """How many are in each state, most first."""
        counts: dict[tuple[StateType, str], int] = {}
        for future in self:
            state = future.state
            counts[state.type, state.name] = counts.get((state.type, state.name), 0) + 1
        return sorted(counts.items(), key=lambda counted: -counted[1])


class DoneAndNotDone(NamedTuple):
    """What `wait` found."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]

    def __repr__(self) -> str:
        return f"<{len(self.done):,} done, {len(self.not_done):,} not done>"


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all futures are done, or `timeout` seconds have passed. Raises ValueError for a negative timeout."""
    unique = list(dict.fromkeys(futures))
    left_s = _countdown(_checked(timeout))
    for future in unique:
        if not future.done():
            future.wait(left_s())
    done = {future for future in unique if future.done()}
    return DoneAndNotDone(done, set(unique) - done)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Yield futures as they end, each once.

    Raises ValueError for a negative timeout, and TimeoutError when not all are done `timeout` seconds after the first
    was asked for.
    """
    return _as_completed(list(dict.fromkeys(futures)), _checked(timeout))


def _as_completed(unique: list[Future[R]], timeout: float | None) -> Iterator[Future[R]]:
    left_s = _countdown(timeout)
    ended = _NextEnded(unique)
    try:
        for number in range(len(unique)):
            future = ended.take(left_s())
            if future is None:
                raise WaitTimeoutError(
                    f"{len(unique) - number} of {len(unique)} runs were not done after {timeout} s; they go on."
                )
            yield future
    finally:
        ended.close()


def resolve_futures_to_results(expression: Any) -> Any:
    """`expression` with the value of each future and state in it in place of that, waited for.

    Containers are searched as arguments of tasks are. Raises what the first run raised that did not complete.
    """
    __tracebackhide__ = True
    return _resolved(expression, lambda state: state.result())


def resolve_futures_to_states(expression: Any) -> Any:
    """`expression` with the final state of each future in it in place of that, waited for. Failures do not raise."""
    return _resolved(expression, lambda state: state)


def _resolved(expression: Any, of: Callable[[State], Any]) -> Any:
    found: list[Reference] = []
    find_references(expression, found)
    for future in {id(reference.target): reference.pending for reference in found}.values():
        if future is not None:
            future.wait()
    return replace_references(expression, lambda target, _: of(target if type(target) is State else target.state))


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """What is left of a timeout that starts now, whenever it is asked for."""
    if timeout is None:
        return lambda: None
    clock = get_clock()
    end_us = clock.mono_us() + int(timeout * 1e6)
    return lambda: max((end_us - clock.mono_us()) / 1e6, 0.0)


class _NextEnded:
    """The next of some futures to end, to be waited for as one future is, so that this wait lends its slot too."""

    execution = None

    def __init__(self, futures: list[Future[Any]]) -> None:
        self._futures = futures
        self._ended: list[Future[Any]] = []
        self._taken = 0
        self._done_before = 0  # so many of the first are done, as far as was looked
        self._callbacks: list[Callable[[Any], None]] = []
        for future in futures:
            future.add_done_callback(self._add)

    def _add(self, future: Future[Any]) -> None:
        with GateShut(), _lock:
            self._ended.append(future)
            callbacks, self._callbacks = self._callbacks, []
        for fn in callbacks:
            fn(self)

    def take(self, timeout: float | None) -> Future[Any] | None:
        """The next one that ended; None if there is none in time."""
        if not self.done():
            wait_for(self, timeout)
            if not self.done():
                return None
        self._taken += 1
        return self._ended[self._taken - 1]

    def close(self) -> None:
        """No more are wanted."""
        for future in self._futures:
            if not future.done():
                future.remove_done_callback(self._add)

    def done(self) -> bool:
        return len(self._ended) > self._taken

    def needs(self) -> Needs:
        """Any one of those that have not ended."""
        return Needs(self._not_ended(), any_one=True)

    def _not_ended(self) -> Iterator[Execution]:
        futures = self._futures
        while self._done_before < len(futures) and futures[self._done_before].done():
            self._done_before += 1
        for index in range(self._done_before, len(futures)):
            execution = futures[index].execution
            if execution is not None:
                yield execution

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call `fn` when one has ended that was not taken yet."""
        with GateShut(), _lock:
            if not self.done():
                self._callbacks.append(fn)
                return
        fn(self)

    def remove_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Do not call `fn` after all."""
        with GateShut(), _lock:
            if fn in self._callbacks:
                self._callbacks.remove(fn)


def _checked(timeout: float | None) -> float | None:
    if timeout is not None and timeout < 0:
        raise FutureTimeoutError(f"timeout is {timeout}.", do="Pass a number of seconds of at least 0, or None.")
    return timeout


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


after_fork_in_child(_after_fork_in_child)
