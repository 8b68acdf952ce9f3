"""Tasks: functions whose calls are recorded, retried and timed; called directly, submitted, or mapped over many inputs.

    from surefoot import task

May import: core, engine, futures, results.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, Literal, Never, ParamSpec, TypeVar, overload

from msgspec import UNSET, UnsetType

from surefoot.core.delays import DelaySpec, exponential_backoff
from surefoot.engine import running
from surefoot.engine.definition import Definition, Hooks, RunName, check_trigger
from surefoot.engine.sketching import sketcher
from surefoot.engine.task_execution import TaskExecution
from surefoot.futures import Future, FutureList
from surefoot.results.asking import asked
from surefoot.states import State
from surefoot.submitting import flow_here, submit, submit_each, submit_over_runner

if TYPE_CHECKING:
    from datetime import timedelta

    from surefoot.assets import Asset
    from surefoot.cache_policies import CachePolicy, KeyFunction
    from surefoot.context import TaskRunContext
    from surefoot.engine.verdicts import Trigger
    from surefoot.results.serializing import Serializer

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)  # a coroutine of any kind is one
T = TypeVar("T")


class Task(Definition, Generic[P, R]):
    """A function decorated with `@task`. The arguments are those of `task`."""

    fn: Callable[P, R]
    kind: ClassVar[str] = "Task"
    hook_kinds: ClassVar[tuple[str, ...]] = ("completion", "failure", "running", "commit", "rollback")
    execution_type: type[TaskExecution] = TaskExecution  # what its runs are

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        task_run_name: RunName = None,
        retries: int | None = None,
        retry_delay_seconds: DelaySpec = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[..., Any] | None = None,
        timeout_seconds: float | None = None,
        isolation: Literal["process"] | None = None,
        memory_limit: str | int | None = None,
        trigger: Trigger = "all_success",
        log_prints: bool | None = None,
        persist_result: bool | None = None,
        result_storage: Any = None,
        result_serializer: Serializer | type[Serializer] | str | None = None,
        result_ttl: timedelta | float | None = None,
        result_storage_key: str | None = None,
        cache_policy: CachePolicy | UnsetType | None = UNSET,
        cache_key_fn: KeyFunction | None = None,
        cache_expiration: timedelta | None = None,
        refresh_cache: bool | None = None,
        cache_result_in_memory: bool = True,
        on_completion: Hooks = None,
        on_failure: Hooks = None,
        on_running: Hooks = None,
        on_commit: Hooks = None,
        on_rollback: Hooks = None,
        viz_return_value: Any = None,
        asset_deps: Iterable[str | Asset] | None = None,
    ) -> None:
        hooks: dict[str, Hooks] = {"completion": on_completion, "failure": on_failure, "running": on_running}
        hooks |= {"commit": on_commit, "rollback": on_rollback}
        super().__init__(
            fn,
            name=name,
            version=version,
            description=description,
            run_name=task_run_name,
            tags=tags,
            retries=retries,
            retry_delay_seconds=retry_delay_seconds,
            retry_jitter_factor=retry_jitter_factor,
            retry_condition_fn=retry_condition_fn,
            timeout_seconds=timeout_seconds,
            log_prints=log_prints,
            hooks=hooks,
        )
        asks = (persist_result, cache_key_fn, cache_expiration, refresh_cache, result_storage_key)
        if cache_policy is not UNSET or any(option is not None for option in asks):
            self._cache(cache_policy, *asks)
        self.asks = asked(
            persist_result if self.caching is None else True,
            result_storage,
            result_serializer,
            result_storage_key,
            result_ttl,
            parameters=None if self.open_ended else self.parameter_names,
            owner=f"task {self.name!r}",
        )
        self.cache_result_in_memory = cache_result_in_memory
        self.trigger = check_trigger(trigger, self)
        self._isolate(isolation, memory_limit)
        self.viz_return_value = viz_return_value
        self._depend(asset_deps)
        self.task_key = f"{getattr(self.fn, '__module__', '?')}:{getattr(self.fn, '__qualname__', self.name)}"

    def _isolate(self, isolation: str | None, memory_limit: str | int | None) -> None:
        self.memory_limit = memory_limit
        if isolation is None and memory_limit is None:
            return
        from surefoot.engine.isolation import check_isolation, check_memory_limit

        self.isolation = check_isolation(isolation, self)
        self.memory_bytes = check_memory_limit(memory_limit, self)

    def _cache(self, policy: Any, persist: Any, key_fn: Any, expiration: Any, refresh: Any, storage_key: Any) -> None:
        from surefoot.engine.caching import caching_of

        self.caching = caching_of(
            persist_result=persist,
            cache_policy=policy,
            cache_key_fn=key_fn,
            cache_expiration=expiration,
            refresh_cache=refresh,
            has_storage_key=storage_key is not None,
            isgenerator=self.isgenerator,
            owner=f"task {self.name!r}",
        )

    def _depend(self, assets: Iterable[str | Asset] | None) -> None:
        if assets is None:
            return
        from surefoot.engine.materializing import DependentExecution, Recipe, keys_of

        self.recipe = Recipe(deps=keys_of(assets, f"asset_deps of task {self.name!r}"))
        self._options["asset_deps"] = self.recipe.deps  # what came may be exhausted now
        self.execution_type = DependentExecution

    @property
    def task_run_name(self) -> RunName:
        """The template for the names of its runs."""
        return self.run_name

    # -- hooks as decorators

    def on_completion(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(task, task_run, state)` when a run has completed. To be used as a decorator."""
        return self._add_hook("completion", fn)

    def on_failure(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(task, task_run, state)` when a run has failed for good. To be used as a decorator."""
        return self._add_hook("failure", fn)

    def on_running(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(task, task_run, state)` before each attempt. To be used as a decorator."""
        return self._add_hook("running", fn)

    def on_commit(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(transaction)` when a run that completed is committed. To be used as a decorator."""
        return self._add_hook("commit", fn)

    def on_rollback(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(transaction)` when a run that completed is rolled back. To be used as a decorator."""
        return self._add_hook("rollback", fn)

    if TYPE_CHECKING:  # a method, bound to its object or class

        @overload
        def __get__(self, instance: None, owner: type) -> Task[P, R]: ...
        @overload
        def __get__(self: Task[Concatenate[Any, Q], R], instance: object, owner: type | None = None) -> Task[Q, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    # -- calling

    # A call with the function's own arguments is exact. What is ours besides cannot be told of together with those
    # (PEP 612), so a call with it takes any; so does `.submit`, where a future may stand for any value.
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload  # of a function whose return type is not known
    def __call__(
        self: Task[P, Never], *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> State: ...
    @overload
    def __call__(
        self: Task[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Any, return_state: Literal[False] = False, **kwargs: Any) -> R: ...
    def __call__(  # type: ignore[misc]  # a function's own parameters are never called like ours: that is refused
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> Any:
        """Run the task here and now, and give its value; for an asynchronous one a coroutine.

        With `return_state=True` the final `State` comes back instead, and failures do not raise. `wait_for` takes
        futures whose ends are waited for although their values are not used.
        """
        __tracebackhide__ = True  # notebooks and pytest show the user's frames, not this one
        if (sketch := sketcher()) is not None:
            return sketch.called(self, args, kwargs, wait_for, return_state)
        if self.isgenerator:
            return running.stream(self._execution(args, kwargs, wait_for))
        if self.isasync:
            if not self.fits(args, kwargs):
                self.bind(args, kwargs)  # a call that does not fit is refused where it stands, not where it is awaited
            return running.coroutine(lambda: self._execution(args, kwargs, wait_for), return_state)
        return running.run(self.execution_type(self, self.task_key, args, kwargs, wait_for), return_state)

    def _execution(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, map_id: bytes | None = None
    ) -> TaskExecution:
        return self.execution_type(self, self.task_key, args, kwargs, wait_for, map_id)

    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Future[T]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[False] = False, wait_for: Any = None, **kwargs: Any
    ) -> Future[R]: ...
    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Any = None,
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def submit(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[R]: ...
    def submit(self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Run the task on the flow's task runner, and go on at once with a future.

        Futures among the arguments are waited for without holding a thread. Raises MissingContextError outside of a
        flow.
        """
        if (sketch := sketcher()) is not None:
            return sketch.submitted(self, args, kwargs, wait_for, return_state)
        flow = flow_here(self, "submit")
        if flow.runner is not None and flow.runner.takes_over:
            return submit_over_runner(flow, self, args, kwargs, wait_for, return_state)
        future: Future[R] = Future(self._execution(args, kwargs, wait_for))
        return submit(flow, future, return_state)

    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> FutureList[T]: ...
    @overload
    def map(
        self, *args: Any, return_state: Literal[False] = False, wait_for: Any = None, **kwargs: Any
    ) -> FutureList[R]: ...
    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Any = None,
        **kwargs: Any,
    ) -> list[State[T]]: ...
    @overload
    def map(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> list[State[R]]: ...
    def map(self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Submit the task once for each element of its iterable arguments, and give the list of futures.

        Iterables must be of equal length; texts, bytes and what stands in `unmapped` are passed to every run as they
        are; of a dict the keys are taken; a future stands for the iterable that it gives. Raises MappingMissingIterable
        and MappingLengthMismatch before anything runs.
        """
        begin: Callable[..., Future[R]] = lambda row_args, row_kwargs, map_id: Future(  # noqa: E731
            self._execution(row_args, row_kwargs, wait_for, map_id)
        )
        return submit_each(self, args, kwargs, wait_for, begin, return_state)


def task_input_hash(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """A `cache_key_fn`: the task, its code, and its arguments by content. Raises HashError that names an argument.

    >>> @task(cache_key_fn=task_input_hash)
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    """
    from surefoot.cache_policies import INPUTS, TASK_SOURCE

    return (INPUTS + TASK_SOURCE).compute_key(context, arguments, {})


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    task_run_name: RunName = None,
    retries: int | None = None,
    retry_delay_seconds: DelaySpec = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Callable[..., Any] | None = None,
    timeout_seconds: float | None = None,
    isolation: Literal["process"] | None = None,
    memory_limit: str | int | None = None,
    trigger: Trigger = "all_success",
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    result_storage: Any = None,
    result_serializer: Serializer | type[Serializer] | str | None = None,
    result_ttl: timedelta | float | None = None,
    result_storage_key: str | None = None,
    cache_policy: CachePolicy | UnsetType | None = UNSET,
    cache_key_fn: KeyFunction | None = None,
    cache_expiration: timedelta | None = None,
    refresh_cache: bool | None = None,
    cache_result_in_memory: bool = True,
    on_completion: Hooks = None,
    on_failure: Hooks = None,
    on_running: Hooks = None,
    on_commit: Hooks = None,
    on_rollback: Hooks = None,
    viz_return_value: Any = None,
    asset_deps: Iterable[str | Asset] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a task.

    Args:
        name: what the task is called; the function's name if left out.
        description: what it is for; the function's docstring if left out.
        tags: labels of its runs, besides those of `tags(...)` around the call.
        version: any text.
        task_run_name: a template over the parameters ("load-{day}"), or a function, for the names of its runs.
        retries: how often a failed call is repeated. The default is the setting `tasks.default_retries`.
        retry_delay_seconds: seconds before each repetition: a number, a list (its last repeats), or
            `exponential_backoff(...)`.
        retry_jitter_factor: spreads a delay d over [d, d * (1 + factor)].
        retry_condition_fn: `(task, task_run, state) -> bool`, asked before each repetition.
        timeout_seconds: how long one call may take; then the run fails as TimedOut, and is retried if there are
            retries. On a thread a call into C code is not interrupted, in a process of its own it is killed.
        isolation: "process" has each call made in a process of its own, which is killed with all that it started when
            its time is up or the run is cancelled. None: it is called where it is submitted to.
        memory_limit: how much memory that process may hold, with all that it starts: "2GiB", "500MB", or a number of
            bytes. Beyond it the run fails. It needs isolation="process".
        trigger: when it runs, judged by how its upstreams ended: the futures and states among its arguments and in
            `wait_for`. The name of a rule ("all_success", "all_done", "one_failed" ...), or a function of the list of
            their states. See docs/dependencies.md.
        log_prints: whether `print` writes log lines of the run. None: as the flow does.
        persist_result: whether the result is stored as a file of its own. None: True if one of the next three is given,
            else as the flow does, or the settings `tasks.default_persist_result` and `results.persist_by_default`.
        result_storage: where it goes: the path of a folder, a URL (`s3://bucket/prefix`, `gs://`, `az://`,
            `memory://name`), or a storage object with `read_path` and `write_path`. The default is that of the flow, or
            `results.default_storage`, or `results.local_storage_path`.
        result_serializer: "pickle", "json", "compressed/json" ..., or an instance. The default is that of the flow, or
            `results.default_serializer`.
        result_ttl: how long the stored result counts, a timedelta or seconds. The default is that of the flow, or the
            setting `results.stored_max_age_days`, or for good.
        result_storage_key: the file's name, a template ("report-{parameters[day]}"); the run's id if left out. A file
            of that name that a run has stored is the result, and the task is not called.
        cache_policy: which calls are the same, so that a later one takes the result of the first: INPUTS, TASK_SOURCE
            ..., of `surefoot.cache_policies`. The default is no cache; with persist_result=True it is DEFAULT.
        cache_key_fn: `(context, parameters) -> str | None`, which makes the key instead of a policy.
        cache_expiration: a timedelta, after which a stored result is no longer taken.
        refresh_cache: True has the result made anew and stored. The default is the setting `tasks.refresh_cache`.
        cache_result_in_memory: False takes a result that is stored, or kept for resuming, out of memory when the run
            has completed; it is read again each time that it is used.
        on_completion, on_failure, on_running: lists of hooks `(task, task_run, state)`.
        on_commit, on_rollback: lists of hooks `(transaction)`: see docs/transactions.md.
        viz_return_value: what the body of a flow gets for it while the flow is drawn (`flow.visualize()`).
        asset_deps: assets that it reads, as keys ("s3://bucket/orders") or `Asset`: what is made of its result rests on
            them. See docs/assets.md.

    >>> @task(retries=3, retry_delay_seconds=exponential_backoff(10))
    ... def upload(path: str) -> None: ...
    >>> upload
    <Task 'upload'>
    """
    return Task.decorate(fn, options)
