"""Flows: functions whose runs are recorded as a whole, with the tasks and flows that they call.

    from surefoot import flow

May import: core, engine, parameters, results, task_runners.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, Literal, Never, ParamSpec, TypeVar, overload

from surefoot.core import ports, settings
from surefoot.core.delays import DelaySpec
from surefoot.core.errors import BadInput, MissingFlowError, UnspecifiedFlowError
from surefoot.engine import running
from surefoot.engine.definition import Definition, Hooks, RunName
from surefoot.engine.flow_execution import FlowExecution
from surefoot.engine.recorded_parameters import json_values
from surefoot.engine.resuming import Restart, restart_of
from surefoot.engine.sketching import sketcher
from surefoot.futures import FlowRunFuture, Future, FutureList
from surefoot.parameters import ParameterSchema, Validate, hidden_in, schema_of, validator_of
from surefoot.results.asking import asked
from surefoot.submitting import flow_here, submit, submit_each
from surefoot.task_runners import TaskRunner, ThreadPoolTaskRunner

if TYPE_CHECKING:
    from datetime import timedelta
    from types import ModuleType
    from uuid import UUID

    from surefoot.core.ports import Retryable
    from surefoot.drawing import Drawing
    from surefoot.results.serializing import Serializer
    from surefoot.states import State

__all__ = ["Flow", "flow", "load_flow_from_script", "load_flows_from_script", "select_flow"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)  # a coroutine of any kind is one
T = TypeVar("T")


class TaskRunnerTypeError(BadInput, TypeError):
    """`task_runner` is not a task runner."""


class GeneratorRefused(BadInput, TypeError):
    """A flow that yields was submitted."""


class Flow(Definition, Generic[P, R]):
    """A function decorated with `@flow`. The arguments are those of `flow`."""

    fn: Callable[P, R]
    kind: ClassVar[str] = "Flow"
    hook_kinds: ClassVar[tuple[str, ...]] = ("completion", "failure", "cancellation", "crashed", "running")

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        version: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        flow_run_name: RunName = None,
        retries: int | None = None,
        retry_delay_seconds: DelaySpec = None,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[..., Any] | None = None,
        timeout_seconds: float | None = None,
        task_runner: TaskRunner | type[TaskRunner] | None = None,
        validate_parameters: bool = True,
        log_prints: bool | None = None,
        persist_result: bool | None = None,
        result_storage: Any = None,
        result_serializer: Serializer | type[Serializer] | str | None = None,
        cache_result_in_memory: bool = True,
        result_ttl: timedelta | float | None = None,
        on_completion: Hooks = None,
        on_failure: Hooks = None,
        on_cancellation: Hooks = None,
        on_crashed: Hooks = None,
        on_running: Hooks = None,
    ) -> None:
        super().__init__(
            fn,
            name=name,
            version=version,
            description=description,
            run_name=flow_run_name,
            tags=tags,
            retries=retries,
            retry_delay_seconds=retry_delay_seconds,
            retry_jitter_factor=retry_jitter_factor,
            retry_condition_fn=retry_condition_fn,
            timeout_seconds=timeout_seconds,
            log_prints=log_prints,
            hooks={
                "completion": on_completion,
                "failure": on_failure,
                "cancellation": on_cancellation,
                "crashed": on_crashed,
                "running": on_running,
            },
        )
        self.asks = asked(
            persist_result,
            result_storage,
            result_serializer,
            None,
            result_ttl,
            parameters=None if self.open_ended else self.parameter_names,
            owner=f"flow {self.name!r}",
        )
        self.cache_result_in_memory = cache_result_in_memory
        runner = task_runner() if isinstance(task_runner, type) else task_runner
        if runner is not None and not isinstance(runner, TaskRunner):
            raise TaskRunnerTypeError(
                f"task_runner of flow {self.name!r} is {task_runner!r}.",
                do="Pass ThreadPoolTaskRunner(max_workers=...).",
            )
        self.task_runner: TaskRunner = ThreadPoolTaskRunner() if runner is None else runner
        self.should_validate_parameters = bool(validate_parameters)
        self._checks: dict[bool, tuple[Validate, frozenset[str]]] = {}  # shared by all that are bound to instances

    def _default_name(self) -> str:
        return super()._default_name().replace("_", "-")

    @property
    def flow_run_name(self) -> RunName:
        """The template for the names of its runs."""
        return self.run_name

    # -- hooks as decorators

    def on_completion(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(flow, flow_run, state)` when a run has completed. To be used as a decorator."""
        return self._add_hook("completion", fn)

    def on_failure(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(flow, flow_run, state)` when a run has failed for good. To be used as a decorator."""
        return self._add_hook("failure", fn)

    def on_cancellation(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(flow, flow_run, state)` when a run was cancelled. To be used as a decorator."""
        return self._add_hook("cancellation", fn)

    def on_crashed(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(flow, flow_run, state)` when a run was ended by a signal or `sys.exit`.

        To be used as a decorator.
        """
        return self._add_hook("crashed", fn)

    def on_running(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Call `fn(flow, flow_run, state)` before each attempt. To be used as a decorator."""
        return self._add_hook("running", fn)

    # -- parameters

    @property
    def parameters(self) -> ParameterSchema:
        """The parameters as JSON schema: types, defaults, positions, and what the docstring says of each."""
        return schema_of(self.fn, self.name, self.signature, self.description)

    def validate_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Check and coerce values by name, as a call would, without calling; those that are given come back.

        Raises ParameterBindError if one is missing or unknown, ParameterTypeError with a line for each that does not
        fit.

        >>> @flow
        ... def load(day: str, pages: int = 1) -> None: ...
        >>> load.validate_parameters({"day": "monday", "pages": "3"})
        {'day': 'monday', 'pages': 3}
        """
        whole = self.bind_named(parameters)
        checked = self._checked_by()[0](whole)
        return {name: checked[name] for name in parameters}

    def serialize_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as plain JSON values, as they are recorded. Never raises.

        What JSON cannot say, futures and states included, is named by its class: "<Lock>". Secrets are masked. What the
        flow is bound to (`self`) is left out.
        """
        bound = self._positional[: len(self._bound)]
        given = {str(name): value for name, value in parameters.items() if name not in bound}
        found: dict[str, Any] = json_values(given, self._checked_by()[1])
        return found

    if TYPE_CHECKING:  # a method, bound to its object or class

        @overload
        def __get__(self, instance: None, owner: type) -> Flow[P, R]: ...
        @overload
        def __get__(self: Flow[Concatenate[Any, Q], R], instance: object, owner: type | None = None) -> Flow[Q, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    # -- calling

    # A call with the function's own arguments is exact. What is ours besides cannot be told of together with those
    # (PEP 612), so a call with it takes any; so does `.submit`, where a future may stand for any value.
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload  # of a function whose return type is not known
    def __call__(
        self: Flow[P, Never], *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> State: ...
    @overload
    def __call__(
        self: Flow[P, Coroutine[Any, Any, T]],
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
        """Run the flow here and now, and give its value; for an asynchronous one a coroutine.

        Raises ParameterBindError before a run exists if the call does not fit the signature, ParameterTypeError if a
        value does not fit its annotation, and what the function raised. With `return_state=True` the final `State`
        comes back instead, and failures do not raise; Ctrl-C and `sys.exit` still do.
        """
        __tracebackhide__ = True  # notebooks and pytest show the user's frames, not this one
        if (sketch := sketcher()) is not None:
            return sketch.called(self, args, kwargs, wait_for, return_state)
        if self.isgenerator:
            return running.stream(self._execution(args, kwargs, wait_for))
        if self.isasync:
            self.bind(args, kwargs)  # a call that does not fit is refused where it stands, not where it is awaited
            return running.coroutine(lambda: self._execution(args, kwargs, wait_for), return_state)
        return running.run(self._execution(args, kwargs, wait_for), return_state)

    @overload
    def submit(
        self: Flow[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[False] = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> FlowRunFuture[T]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[False] = False, wait_for: Any = None, **kwargs: Any
    ) -> FlowRunFuture[R]: ...
    @overload
    def submit(
        self: Flow[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Any = None,
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def submit(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[R]: ...
    def submit(self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Run the flow as a part of the flow run around it, beside it, and go on at once with a future.

        It runs in this process, on a thread or an event loop of the task runner around it, and brings a task runner of
        its own. Futures among the arguments are waited for without holding a thread. Raises MissingContextError outside
        of a flow, and GeneratorRefused for a flow whose function yields.
        """
        if (sketch := sketcher()) is not None:
            return sketch.submitted(self, args, kwargs, wait_for, return_state)
        self._refuse_generators("submit")
        flow = flow_here(self, "submit")
        future: FlowRunFuture[R] = FlowRunFuture(self._execution(args, kwargs, wait_for))
        return submit(flow, future, return_state)

    @overload
    def map(
        self: Flow[P, Coroutine[Any, Any, T]],
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
        self: Flow[P, Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        wait_for: Any = None,
        **kwargs: Any,
    ) -> list[State[T]]: ...
    @overload
    def map(self, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> list[State[R]]: ...
    def map(self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        """Submit the flow once for each element of its iterable arguments, and give the list of futures.

        The arguments are taken as by the `map` of a task.
        """
        self._refuse_generators("map")
        begin: Callable[..., Future[R]] = lambda row_args, row_kwargs, _: FlowRunFuture(  # noqa: E731
            self._execution(row_args, row_kwargs, wait_for)
        )
        return submit_each(self, args, kwargs, wait_for, begin, return_state)

    def _refuse_generators(self, verb: str) -> None:
        if self.isgenerator:
            raise GeneratorRefused(
                f"Flow {self.name!r} yields its values one by one, which .{verb}() cannot hand on.",
                do=f"Call it, `for value in {getattr(self.fn, '__name__', 'my_flow')}(...)`, or have it return a list.",
            )

    # -- drawing

    def visualize(self, *args: Any, **kwargs: Any) -> Drawing:
        """Draw the flow as it would run with these arguments: its body runs, its tasks and flows do not.

        A notebook shows the drawing; `.save("etl.svg")` writes it; a script in a terminal opens it in a browser.
        Nothing is recorded. Raises ParameterBindError and ParameterTypeError as a call does, and VisualizationError
        where the body needs what a task gives: such a task wants `viz_return_value`.

        >>> from surefoot import task
        >>> @task
        ... def load(page: int) -> list[str]: ...
        >>> @flow
        ... def etl(pages: int) -> None:
        ...     load.map(range(pages)).wait()
        >>> etl.visualize(3)
        <Drawing of 'etl': 1 nodes, 0 edges>
        """
        from surefoot.drawing.drawing import draw

        return draw(self, args, kwargs).shown_in_a_terminal()

    async def avisualize(self, *args: Any, **kwargs: Any) -> Drawing:
        """As `visualize`, where it is awaited: the body of an asynchronous flow runs in the event loop that is here."""
        from surefoot.drawing.drawing import draw_async

        return (await draw_async(self, args, kwargs)).shown_in_a_terminal()

    def generate_mermaid_graph(self, *args: Any, **kwargs: Any) -> str:
        """The same drawing as mermaid text, for Markdown: "flowchart TD" ... Arguments and errors as of `visualize`."""
        from surefoot.drawing.drawing import draw

        return draw(self, args, kwargs).mermaid

    def retry(
        self,
        run: str | UUID,
        *,
        parameters: Mapping[str, Any] | None = None,
        from_task: str | None = None,
        anew: bool = False,
        return_state: bool = False,
    ) -> Any:
        """Go on with a run of this flow that failed, crashed or was cancelled: what completed in it is not done again.

        The run keeps its id, name and parameters. A task that completed with the same inputs gives the value that was
        kept; one whose code was changed since, or whose inputs are others, runs again. `surefoot why` says which.
        From a terminal `surefoot flow-run retry RUN` does the same, and loads the file itself.

        Args:
            run: id or name of the run.
            parameters: values to take in place of the recorded ones.
            from_task: a task's name, or a task run's name or id: that and whatever rests on its result is called again
                although it completed. Then the run itself may have completed too.
            anew: whether what completed is called again where its result lies in another home that shares the ledger.
            return_state: whether the final `State` comes back, and failures do not raise.

        Gives what a call gives: for an asynchronous flow a coroutine. Raises NotFound, Ambiguous, and Refused before
        anything runs: if the run completed, has not ended, is another flow's, its parameters could not be kept, or
        results of it lie in another home.
        """
        __tracebackhide__ = True
        runs = ports.earlier_runs()
        try:
            retryable = runs.retryable(str(run), from_task, anew=anew)
        finally:
            runs.close()
        home = settings.refresh().get("home")
        return self.start_again(self.restart_of(retryable, home, parameters or {}), return_state)

    def restart_of(
        self, retryable: Retryable, home: str, given: Mapping[str, Any], module: ModuleType | None = None
    ) -> Restart:
        """The restart of a run by this flow, with its parameters as they were, but for those `given`.

        Raises Refused, ParameterBindError and ParameterTypeError, while the run is as it was.
        """
        restart = restart_of(self, retryable, home, given, module)
        if given and self.should_validate_parameters:
            self.validate_parameters(restart.parameters)
        return restart

    def start_again(self, restart: Restart, return_state: bool = False) -> Any:
        """Go on with a run that is known to be one of this flow's."""
        __tracebackhide__ = True
        if self.isgenerator:
            return running.stream(self._execution((), {}, None, restart))
        if self.isasync:
            return running.coroutine(lambda: self._execution((), {}, None, restart), return_state)
        return running.run(self._execution((), {}, None, restart), return_state)

    def _execution(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, restart: Restart | None = None
    ) -> FlowExecution:
        validate, hidden = self._checked_by()
        return FlowExecution(
            self,
            args,
            kwargs,
            validate=validate if self.should_validate_parameters else None,
            hidden=hidden,
            runner=self.task_runner,
            wait_for=wait_for,
            restart=restart,
        )

    def _checked_by(self) -> tuple[Validate, frozenset[str]]:
        """What checks the parameters, and those whose values are told to nobody."""
        found = self._checks.get(bool(self._bound))
        if found is None:
            signature = self.signature
            found = validator_of(self.fn, self.name, signature), hidden_in(self.fn, signature)
            self._checks[bool(self._bound)] = found
        return found


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    flow_run_name: RunName = None,
    retries: int | None = None,
    retry_delay_seconds: DelaySpec = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Callable[..., Any] | None = None,
    timeout_seconds: float | None = None,
    task_runner: TaskRunner | type[TaskRunner] | None = None,
    validate_parameters: bool = True,
    log_prints: bool | None = None,
    persist_result: bool | None = None,
    result_storage: Any = None,
    result_serializer: Serializer | type[Serializer] | str | None = None,
    cache_result_in_memory: bool = True,
    result_ttl: timedelta | float | None = None,
    on_completion: Hooks = None,
    on_failure: Hooks = None,
    on_cancellation: Hooks = None,
    on_crashed: Hooks = None,
    on_running: Hooks = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a function a flow.

    Args:
        name: what the flow is called, one record a name; the function's name with dashes if left out.
        version: any text; a hash of the file if left out.
        description: what it is for; the function's docstring if left out.
        tags: labels of its runs, besides those of `tags(...)` around the call.
        flow_run_name: a template over the parameters ("load-{day}"), or a function, for the names of its runs.
        retries: how often a failed run is repeated as a whole. The default is the setting `flows.default_retries`.
        retry_delay_seconds: seconds before each repetition: a number, a list (its last repeats), or
            `exponential_backoff(...)`.
        retry_jitter_factor: spreads a delay d over [d, d * (1 + factor)].
        retry_condition_fn: `(flow, flow_run, state) -> bool`, asked before each repetition.
        timeout_seconds: how long one attempt may take; then the run fails as TimedOut.
        task_runner: where submitted tasks run; `ThreadPoolTaskRunner()` if left out.
        validate_parameters: whether values are checked and coerced by their annotations.
        log_prints: whether `print` writes log lines of the run. None: as the flow around it does, or the setting.
        persist_result: whether the result is stored as a file of its own, and so those of its tasks that do not say.
            None: True if one of the next two is given, else as the flow around it does, or the setting
            `results.persist_by_default`.
        result_storage: where it goes: the path of a folder, a URL (`s3://bucket/prefix`, `gs://`, `az://`,
            `memory://name`), or a storage object with `read_path` and `write_path`. The default is the setting
            `results.default_storage`, or else `results.local_storage_path`.
        result_serializer: "pickle", "json", "compressed/json" ..., or an instance. The default is the setting
            `results.default_serializer`.
        cache_result_in_memory: False takes a result that is stored, or kept for resuming, out of memory when the run
            has completed; it is read again each time that it is used.
        result_ttl: how long the stored result counts, a timedelta or seconds. The default is the setting
            `results.stored_max_age_days`, or for good.
        on_completion, on_failure, on_cancellation, on_crashed, on_running: lists of hooks `(flow, flow_run, state)`.

    >>> @flow(flow_run_name="load-{day}")
    ... def nightly_load(day: str) -> None: ...
    >>> nightly_load
    <Flow 'nightly-load'>
    """
    return Flow.decorate(fn, options)


# --- flows by name ----------------------------------------------------------------------------------------------------


def select_flow(
    flows: Iterable[Flow[..., Any]], flow_name: str | None = None, from_message: str = ""
) -> Flow[..., Any]:
    """The one flow of that name among several; with one flow alone its name may be left out.

    Args:
        flows: those to choose from.
        flow_name: the flow's name, or its function's.
        from_message: where they are from, for the message of an error: "in etl.py".

    Raises MissingFlowError if there is none, UnspecifiedFlowError if there are several and none is named.

    >>> @flow
    ... def load(): ...
    >>> select_flow([load])
    <Flow 'load'>
    """
    there = list({id(one): one for one in flows}.values())
    where = f" {from_message}" if from_message else ""
    names = ", ".join(repr(one.name) for one in there)
    if not there:
        raise MissingFlowError(f"There is no flow{where}.", do="Decorate a function with @flow.")
    if flow_name is None:
        if len(there) > 1:
            raise UnspecifiedFlowError(f"There are {len(there)} flows{where}: {names}.", do="Name one of them.")
        return there[0]
    by_function = [one for one in there if getattr(one.fn, "__name__", None) == flow_name]
    found = [one for one in there if one.name == flow_name] or by_function
    if not found:
        raise MissingFlowError(f"There is no flow {flow_name!r}{where}.", do=f"Those that there are: {names}.")
    return found[0]


def load_flows_from_script(path: str | os.PathLike[str]) -> list[Flow[..., Any]]:
    """The flows that a Python file makes, in the order in which they stand there. The file is not run as a script.

    Raises EntrypointError if it is not there, or cannot be loaded.
    """
    from surefoot.engine.loading import load_file

    return flows_in(load_file(os.fspath(path)))


def load_flow_from_script(path: str | os.PathLike[str], flow_name: str | None = None) -> Flow[..., Any]:
    """One flow of a Python file. Raises as `load_flows_from_script` and `select_flow`."""
    return select_flow(load_flows_from_script(path), flow_name, f"in {os.fspath(path)}")


def flows_in(module: ModuleType) -> list[Flow[..., Any]]:
    """The flows that stand in a module."""
    return list({id(value): value for value in vars(module).values() if isinstance(value, Flow)}.values())
