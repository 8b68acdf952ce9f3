"""Cache policies: which calls of a task are the same, so that the second takes the first one's result.

    from surefoot.cache_policies import INPUTS, TASK_SOURCE

    @task(cache_policy=INPUTS + TASK_SOURCE)

Keys of the policies here are a task's own; those that a function or class of the user's makes are one for all tasks.
May import: core, engine.contents, engine.keys.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import BadInput, HashError
from surefoot.engine.contents import content_hash
from surefoot.engine.hashing import NoHash
from surefoot.engine.keys import carried_by

if TYPE_CHECKING:
    from surefoot.context import TaskRunContext

__all__ = ["DEFAULT", "FLOW_PARAMETERS", "INPUTS", "NONE", "NO_CACHE", "RUN_ID", "TASK_SOURCE", "CachePolicy"]

KeyFunction = Callable[..., str | None]
_LEVELS: Final = ("READ_COMMITTED", "SERIALIZABLE")


class CachePolicy:
    """Makes the key by which a task run's result is stored and found. A subclass writes `compute_key`; it may be a
    dataclass.

    >>> class Daily(CachePolicy):
    ...     def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
    ...         return f"daily-{inputs['day']}"
    >>> Daily().compute_key(None, {"day": "monday"}, {})
    'daily-monday'
    """

    key_storage: Any = None
    isolation_level: Any = None
    lock_manager: Any = None

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key of a task run; None if its result is neither to be looked for nor to be found.

        Args:
            task_ctx: the task run: `.task`, `.task_run`, `.parameters`.
            inputs: its arguments by name, defaults included.
            flow_parameters: those of the flow run around it; empty outside of flows.
            kwargs: for what later versions may add.
        """
        raise BadInput(
            f"The cache policy {type(self).__name__} has no compute_key.",
            do="Write compute_key(self, task_ctx, inputs, flow_parameters, **kwargs).",
        )

    @classmethod
    def from_cache_key_fn(cls, cache_key_fn: KeyFunction) -> CachePolicy:
        """A policy whose keys are what `cache_key_fn(context, parameters)` returns: texts, or None for no caching."""
        return CacheKeyFn(cache_key_fn)

    def configure(self, key_storage: Any = None, isolation_level: Any = None, lock_manager: Any = None) -> CachePolicy:
        """A copy with a place of its own for the records of keys, or with locks. What is left out stays as it is.

        Args:
            key_storage: a folder for the records; the values stay where the task stores its results.
            isolation_level: `IsolationLevel.SERIALIZABLE` lets one run at a time compute a key's value, the others wait
                and take it; READ_COMMITTED, the default, lets all compute that find none.
            lock_manager: what holds the locks, for example `FileSystemLockManager(folder)`.
        """
        new = copy(self)
        new._set(
            key_storage if key_storage is not None else self.key_storage,
            _level(isolation_level) if isolation_level is not None else self.isolation_level,
            lock_manager if lock_manager is not None else self.lock_manager,
        )
        return new

    def _set(self, key_storage: Any, isolation_level: Any, lock_manager: Any) -> None:
        for name, value in (
            ("key_storage", key_storage),
            ("isolation_level", isolation_level),
            ("lock_manager", lock_manager),
        ):
            object.__setattr__(self, name, value)  # a subclass may be a frozen dataclass

    @property
    def is_serializable(self) -> bool:
        """Whether one run at a time may compute a key's value."""
        return self.isolation_level is not None and _name_of(self.isolation_level) == "SERIALIZABLE"

    def __add__(self, other: CachePolicy) -> CachePolicy:
        if not isinstance(other, CachePolicy):
            return NotImplemented
        if isinstance(other, NoCache):
            return _configured_as(self, self, other)
        if isinstance(self, NoCache):
            return _configured_as(other, self, other)
        return _configured_as(Sum([*_parts(self), *_parts(other)]), self, other)

    def __sub__(self, name: str) -> CachePolicy:
        if not isinstance(name, str):
            raise PolicyTypeError(
                f"{name!r} was subtracted from a cache policy.",
                do='Subtract the name of an argument: INPUTS - "debug".',
            )
        return self._without(name)

    def _without(self, name: str) -> CachePolicy:
        """The policy without that argument; itself where arguments do not count."""
        return self


class PolicyTypeError(BadInput, TypeError):
    """What is done with a cache policy is of the wrong type."""


class PolicyConflict(BadInput, ValueError):
    """Two cache policies that contradict each other."""


class Inputs(CachePolicy):
    """The arguments of the call, by content, and the object that a method is called on."""

    def __init__(self, exclude: tuple[str, ...] = ()) -> None:
        self.exclude = exclude

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key. Raises HashError that names the argument which has no hash."""
        bound = task_ctx.task._bound if task_ctx is not None else ()
        named = {**({"self": bound[0]} if bound else {}), **(inputs or {})}
        hashes = {name: _hash_of_input(name, named[name]) for name in sorted(named) if name not in self.exclude}
        return _key("inputs", task_ctx, hashes)

    def _without(self, name: str) -> CachePolicy:
        return _configured_as(Inputs((*self.exclude, name)), self)

    def __repr__(self) -> str:
        return "INPUTS" + "".join(f" - {name!r}" for name in self.exclude)


class TaskSource(CachePolicy):
    """The task's own code, and what its function carries; not the code of functions that it calls."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any] | None,
        flow_parameters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> str | None:
        """The key. Raises HashError if the function carries a value that has no hash."""
        task = task_ctx.task
        try:
            carried = content_hash(carried_by(task.fn))
        except NoHash as error:
            raise HashError(
                f"A value that the function of task {task.name!r} carries {error}.",
                do="Pass it as an argument, and exclude that: INPUTS - 'name'; or use a policy without TASK_SOURCE.",
            ) from None
        return _key("source", task_ctx, task.source, carried)

    def __repr__(self) -> str:
        return "TASK_SOURCE"


class RunId(CachePolicy):
    """The flow run; outside of flows the task run."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any] | None,
        flow_parameters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> str | None:
        """The key."""
        run: Any = task_ctx.task_run
        return _key("run", task_ctx, str(run.flow_run_id or run.id))

    def __repr__(self) -> str:
        return "RUN_ID"


class FlowParameters(CachePolicy):
    """The parameters of the flow run around the task, by content; none outside of flows."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any] | None,
        flow_parameters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> str | None:
        """The key. Raises HashError that names the parameter which has no hash."""
        if not flow_parameters:
            return None
        hashes = {name: _hash_of_input(name, flow_parameters[name]) for name in sorted(flow_parameters)}
        return _key("parameters", task_ctx, hashes)

    def __repr__(self) -> str:
        return "FLOW_PARAMETERS"


class NoCache(CachePolicy):
    """No caching."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any] | None,
        flow_parameters: dict[str, Any] | None,
        **kwargs: Any,
    ) -> str | None:
        """None."""
        return None

    def __repr__(self) -> str:
        return "NO_CACHE"


class Sum(CachePolicy):
    """Several policies: two runs are the same if all of these say so."""

    def __init__(self, policies: list[CachePolicy]) -> None:
        self.policies = policies

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """The key, of the keys of all that have one; None if none has."""
        keys = [policy.compute_key(task_ctx, inputs, flow_parameters, **kwargs) for policy in self.policies]
        for policy, key in zip(self.policies, keys, strict=True):
            checked_key(key, repr(policy))
        found = [key for key in keys if key is not None]
        return content_hash(found).hex() if found else None

    def _without(self, name: str) -> CachePolicy:
        return _configured_as(Sum([policy._without(name) for policy in self.policies]), self)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.policies))


class CacheKeyFn(CachePolicy):
    """A function of the user's that makes the key."""

    def __init__(self, cache_key_fn: KeyFunction) -> None:
        if not callable(cache_key_fn):
            raise PolicyTypeError(
                f"cache_key_fn is {cache_key_fn!r}, not a function.",
                do="Pass a function (context, parameters) -> str.",
            )
        self.cache_key_fn = cache_key_fn

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """What the function returns."""
        return self.cache_key_fn(task_ctx, inputs)

    def __repr__(self) -> str:
        name = getattr(self.cache_key_fn, "__qualname__", repr(self.cache_key_fn))
        return f"CachePolicy.from_cache_key_fn({name})"


def checked_key(key: object, made_by: str) -> None:
    """Raise PolicyTypeError if a key that was made is neither a text nor None."""
    if key is not None and not isinstance(key, str):
        raise PolicyTypeError(
            f"{made_by} made the cache key {key!r:.200}, which is of type {type(key).__name__}.",
            do="Return a text, or None for no caching.",
        )


def _parts(policy: CachePolicy) -> list[CachePolicy]:
    return policy.policies if isinstance(policy, Sum) else [policy]


def _configured_as(policy: CachePolicy, *others: CachePolicy) -> CachePolicy:
    """A copy of a policy, with what these are configured with. Raises PolicyConflict if they differ in that."""
    settled: dict[str, Any] = {}
    for name in ("key_storage", "isolation_level", "lock_manager"):
        given = [value for value in (getattr(other, name) for other in others) if value is not None]
        if any(value != given[0] for value in given):
            raise PolicyConflict(
                f"Two cache policies that are added have different {name}: {given[0]!r} and {given[1]!r}.",
                do="Configure the sum: (A + B).configure(...).",
            )
        settled[name] = given[0] if given else None
    new = copy(policy)
    new._set(**settled)
    return new


def _level(level: object) -> Any:
    if _name_of(level) not in _LEVELS:
        raise PolicyTypeError(
            f"isolation_level is {level!r}.", do="Pass IsolationLevel.READ_COMMITTED or IsolationLevel.SERIALIZABLE."
        )
    return level


def _name_of(level: object) -> str:
    return str(getattr(level, "name", level)).upper()


def _hash_of_input(name: str, value: Any) -> bytes:
    try:
        return content_hash(value)
    except NoHash as error:
        raise HashError(
            f"Its input {name!r}, a {type(value).__name__}, {error}, and a cache was asked for.",
            do=f"Leave it out of the key, cache_policy=INPUTS - {name!r}, or pass cache_policy=NO_CACHE.",
        ) from None


def _key(what: str, task_ctx: TaskRunContext | None, *parts: Any) -> str:
    identity = b"" if task_ctx is None else task_ctx.task.identity
    return content_hash([what, identity, *parts]).hex()


INPUTS: Final = Inputs()
TASK_SOURCE: Final = TaskSource()
RUN_ID: Final = RunId()
FLOW_PARAMETERS: Final = FlowParameters()
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
NO_CACHE: Final = NoCache()
NONE: Final = NO_CACHE
