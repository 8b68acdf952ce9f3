"""Task runners: where submitted tasks run. A runner given to a flow is a template: each run works with a copy of its
own.

May import: engine, core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import BadInput

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.pool import Pool

__all__ = ["ProcessPoolTaskRunner", "TaskRunner", "ThreadPoolTaskRunner"]

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


class TaskRunner:
    """What every task runner is: a template that makes a pool for each flow run."""

    def duplicate(self) -> TaskRunner:
        """A runner of the same kind for one flow run."""
        return self

    def pool(self, settings: Settings, name: str) -> Pool:
        """A pool for one flow run. `name` is a prefix for its threads."""
        raise BadInput(
            f"{type(self).__name__} has no way to run tasks.", do="Use ThreadPoolTaskRunner, or override `pool`."
        )


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

    def duplicate(self) -> ThreadPoolTaskRunner:
        """A runner with the same options."""
        return type(self)(self.max_workers)

    def pool(self, settings: Settings, name: str) -> Pool:
        """A pool of threads for one flow run."""
        from surefoot.engine.pool import Pool  # a door: threads and queues are wanted by the first submit only

        workers = self.max_workers or settings.get("tasks.runner.thread_pool_max_workers") or THREADS_MAX
        return Pool(workers, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_workers={self.max_workers})"


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

    def duplicate(self) -> ProcessPoolTaskRunner:
        """A runner with the same options."""
        return type(self)(self.max_workers, self.initializer, self.initargs, start_method=self.start_method)

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


def _checked(max_workers: int | None) -> int | None:
    if max_workers is not None:
        if not isinstance(max_workers, int) or isinstance(max_workers, bool):
            raise WorkersTypeError(f"max_workers is {max_workers!r}.", do="Pass a whole number, or None.")
        if max_workers < 1:
            raise WorkersValueError(f"max_workers is {max_workers}.", do="Pass at least 1, or None for the default.")
    return max_workers
