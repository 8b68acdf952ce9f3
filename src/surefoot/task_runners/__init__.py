"""Task runners: where submitted tasks run. A runner given to a flow is a template: each run works with a copy of its
own.

May import: engine, core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from surefoot.core.errors import BadInput

if TYPE_CHECKING:
    from surefoot.core.settings import Settings
    from surefoot.engine.pool import Pool

__all__ = ["TaskRunner", "ThreadPoolTaskRunner"]

# A thread that only waits costs a stack of which little is touched; a thousand of them are no burden, ten thousand are.
THREADS_MAX: Final = 1_000


class WorkersTypeError(BadInput, TypeError):
    """`max_workers` is not a whole number."""


class WorkersValueError(BadInput, ValueError):
    """`max_workers` is below 1."""


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
        if max_workers is not None:
            if not isinstance(max_workers, int) or isinstance(max_workers, bool):
                raise WorkersTypeError(f"max_workers is {max_workers!r}.", do="Pass a whole number, or None.")
            if max_workers < 1:
                raise WorkersValueError(
                    f"max_workers is {max_workers}.", do="Pass at least 1, or None for the default."
                )
        self.max_workers = max_workers

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
