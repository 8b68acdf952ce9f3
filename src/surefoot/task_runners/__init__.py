"""Task runners: where submitted tasks run. A runner given to a flow is a template: each run works with a copy of its
own.

May import: engine, core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from surefoot.core.errors import BadInput, CancelledRun, MissingContextError

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.pool import Pool
    from surefoot.futures import Future, FutureList
    from surefoot.tasks import Task

__all__ = ["ConcurrentTaskRunner", "ProcessPoolTaskRunner", "TaskRunner", "ThreadPoolTaskRunner"]

Self = TypeVar("Self", bound="TaskRunner")

# A thread that only waits costs a stack of which little is touched; a thousand of them are no burden, ten thousand are.
THREADS_MAX: Final = 1_000


class WorkersTypeError(BadInput, TypeError):
    """`max_workers` is not a whole number."""


class WorkersValueError(BadInput, ValueError):
    """`max_workers` is below 1."""


class InitializerTypeError(BadInput, TypeError):
    """`initializer` is no function, or `initargs` no tuple."""


class StartMethodError(BadInput, ValueError):
    """`start_method` is none that there is here."""


class RunnerStarted(BadInput, RuntimeError):
    """A task runner that is started already was started again."""


class TaskRunner:
    """What every task runner is: a template that makes a pool for each flow run.

    A runner of your own is a subclass, of this one or of one below. What it defines of `submit`, `map`, `__enter__`
    and `__exit__` is called when the tasks of a flow are submitted, when the first one is, and when the run ends:

        class Counting(ThreadPoolTaskRunner):
            def submit(self, task, parameters, wait_for=None, dependencies=None):
                counts[task.name] += 1
                return super().submit(task, parameters, wait_for, dependencies)

    A runner may also be used without a flow, as a context manager:

    >>> from surefoot import task
    >>> @task
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> with ThreadPoolTaskRunner(max_workers=2) as runner:
    ...     runner.map(double, {"x": [1, 2, 3]}).result()
    [2, 4, 6]
    """

    takes_over: ClassVar[bool] = False  # it has a say in what is submitted
    _pool: Pool | None = None
    _is_alone = False  # used without a flow, so that the pool is its own to end

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        named = ("submit", "map", "__enter__", "__exit__")
        cls.takes_over = any(getattr(cls, name) is not getattr(TaskRunner, name) for name in named)

    @property
    def name(self) -> str:
        """What it is called where people read it."""
        return type(self).__name__.lower().replace("taskrunner", "")

    def duplicate(self: Self) -> Self:
        """A runner with the same options for one flow run. What a subclass holds is shared: it is a shallow copy."""
        other = copy(self)
        for name in ("_pool", "_is_alone"):
            vars(other).pop(name, None)
        return other

    def pool(self, settings: Settings, name: str) -> Pool:
        """A pool for one flow run: of threads, if nothing else is said. `name` is a prefix for theirs."""
        return _threads(None, settings, name)

    def open(self, settings: Settings, name: str) -> Pool:
        """Be the runner of a flow run."""
        self._pool = self.pool(settings, name)
        if self.takes_over:
            self.__enter__()
        return self._pool

    def __enter__(self: Self) -> Self:
        if self._pool is None:
            from surefoot.engine.session import session

            self._pool = self.pool(session().settings, self.name)
            self._is_alone = True
        elif self._is_alone:
            raise RunnerStarted(f"{self!r} is started already.", do="Enter a copy: with runner.duplicate() as other:")
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Wait for what was submitted. If an exception goes through, what has not begun is cancelled first; what is on
        is stopped too where that is no error but the end of the run around it.
        """
        pool, self._pool = self._pool, None
        if pool is None or not self._is_alone:
            return
        from surefoot.engine.telling import stop_on_the_way_out

        self._is_alone = False
        try:
            pool.finish(stop_on_the_way_out(error))
        finally:
            pool.close()

    def submit(
        self,
        task: Task[..., Any],
        parameters: Mapping[str, Any],
        wait_for: Iterable[Any] | None = None,
        dependencies: Mapping[str, Iterable[Any]] | None = None,
    ) -> Future[Any]:
        """Begin a run of a task, and give its future.

        Args:
            task: the task.
            parameters: its arguments by the names of its parameters; futures among them are waited for.
            wait_for: futures that are waited for besides.
            dependencies: futures by the name of a parameter, waited for and recorded likewise.

        Raises MissingContextError, a RuntimeError, if the runner was not started, and ParameterBindError.
        """
        from surefoot.futures import Future
        from surefoot.submitting import begin

        pool = self._started("submit")
        args, kwargs = _spread(task, parameters)
        upstreams = [*(wait_for or ()), *(it for found in (dependencies or {}).values() for it in found)]
        return begin(pool, Future(task.execution_type(task, task.task_key, args, kwargs, upstreams or None)))

    def map(
        self,
        task: Task[..., Any],
        parameters: Mapping[str, Any],
        wait_for: Iterable[Any] | None = None,
    ) -> FutureList[Any]:
        """Submit once for each element of the iterables among the parameters, as `task.map` does."""
        from surefoot.futures import FutureList
        from surefoot.submitting import rows_of

        self._started("map")
        rows = rows_of(task, *_spread(task, parameters))
        bound = [task.bind(args, kwargs) for args, kwargs in rows]  # what does not fit is refused before the first run
        return FutureList(self.submit(task, each, wait_for) for each in bound)

    def cancel_all(self) -> None:
        """Stop all that was submitted, wait for that, and cancel what is submitted from now on."""
        from surefoot.engine.effects import Stopped

        why = "its task runner was told to cancel all"
        self._started("cancel_all").finish(Stopped(CancelledRun(f"It was stopped: {why}."), why, asked=True))

    def _started(self, verb: str) -> Pool:
        if self._pool is None:
            raise MissingContextError(
                f"{verb}() of {self!r} was called, and it is not started.",
                do="Use it as the task_runner of a flow, or in `with runner:`.",
            )
        return self._pool

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ThreadPoolTaskRunner(TaskRunner):
    """Runs submitted tasks on threads; asynchronous ones on an event loop in a thread.

    Args:
        max_workers: how many tasks may be called at once. The default is the setting
            `tasks.runner.thread_pool_max_workers`,
            and 1,000 without it: threads are started as they are needed. Tasks that wait for inputs or for a retry
                count as none,
            nor do tasks that wait for others, so that nested tasks finish even with one worker.

    >>> ThreadPoolTaskRunner(max_workers=4)
    ThreadPoolTaskRunner(max_workers=4)
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = _checked(max_workers)

    def pool(self, settings: Settings, name: str) -> Pool:
        """A pool of threads for one flow run."""
        return _threads(self.max_workers, settings, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


ConcurrentTaskRunner = ThreadPoolTaskRunner  # as some know it


class ProcessPoolTaskRunner(TaskRunner):
    """Runs submitted tasks in child processes; their states, retries, hooks and time limits stay in the flow's process.

    The script that runs the flow is not run again in the children, so it needs no `if __name__ == "__main__":` guard.

    Args:
        max_workers: how many tasks may be called at once. The default is the setting
            `tasks.runner.process_pool_max_workers`, and without it the number of cores that this process may use.
        initializer: a function that each child calls first, with `initargs`.
        start_method: "forkserver" (the default on Linux) or "spawn" (elsewhere the only one).

    >>> ProcessPoolTaskRunner(max_workers=4)
    ProcessPoolTaskRunner(max_workers=4)
    """

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        start_method: str | None = None,
    ) -> None:
        self.max_workers = _checked(max_workers)
        if initializer is not None and not callable(initializer):
            raise InitializerTypeError(f"initializer is {initializer!r}.", do="Pass a function, or None.")
        if isinstance(initargs, (str, bytes)) or not isinstance(initargs, Iterable):
            raise InitializerTypeError(f"initargs is {initargs!r}.", do=f"Pass a tuple: initargs=({initargs!r},).")
        self.initializer = initializer
        self.initargs = tuple(initargs)
        self.start_method = start_method
        if start_method is not None:
            self._method()

    def pool(self, settings: Settings, name: str) -> Pool:
        """A pool of child processes for one flow run."""
        from surefoot.core.os.cores import usable_cores
        from surefoot.engine.processes import ProcessPool  # a door: sockets and cloudpickle, for who uses processes

        workers = self.max_workers or settings.get("tasks.runner.process_pool_max_workers") or usable_cores()
        initializer = None if self.initializer is None else (self.initializer, self.initargs)
        return ProcessPool(workers, name, self._method(), initializer)

    def _method(self) -> str:
        from surefoot.core.os.children import METHODS

        if self.start_method is None:
            return METHODS[0]
        if self.start_method not in METHODS:
            does = "forks a process that has threads, which is not safe" if self.start_method == "fork" else "is none"
            raise StartMethodError(
                f"start_method is {self.start_method!r}, which {does} here.",
                do=f"Use {' or '.join(map(repr, METHODS))}, or leave it out.",
            )
        return self.start_method

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


def _threads(max_workers: int | None, settings: Settings, name: str) -> Pool:
    from surefoot.engine.pool import Pool  # a door: threads and queues are wanted by the first submit only

    return Pool(max_workers or settings.get("tasks.runner.thread_pool_max_workers") or THREADS_MAX, name)


def _spread(task: Task[..., Any], parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by the names of parameters, as positional ones and keywords."""
    from inspect import BoundArguments

    bound = BoundArguments(task.signature, task.bind_named(parameters))
    return bound.args, bound.kwargs


def _checked(max_workers: int | None) -> int | None:
    if max_workers is not None:
        if not isinstance(max_workers, int) or isinstance(max_workers, bool):
            raise WorkersTypeError(f"max_workers is {max_workers!r}.", do="Pass a whole number, or None.")
        if max_workers < 1:
            raise WorkersValueError(f"max_workers is {max_workers}.", do="Pass at least 1, or None for the default.")
    return max_workers
