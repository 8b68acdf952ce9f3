"""The client that scripts know: `async with get_client() as client`, and its blocking twin. Reads what is recorded.

    from surefoot.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(limit=5):
            print(run.name, run.state_name)

It asks the ledger that the settings name, straight, without a server. May import: client, core.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from msgspec.structs import replace

from surefoot.client import get_client as open_client
from surefoot.client.asking import PAGE, Id, all_of, id_text, part_of
from surefoot.client.asking_artifacts import ArtifactCalls
from surefoot.client.asking_limits import LimitCalls
from surefoot.client.asking_variables import VariableCalls
from surefoot.client.schemas.filters import FlowFilter, FlowRunFilter, LogFilter, TaskRunFilter, checked
from surefoot.core.errors import BadInput, MissingContextError, NotFound
from surefoot.core.wire import Flow, FlowRun, Log, Request, State, TaskRun

__all__ = ["SurefootClient", "SyncSurefootClient", "get_client"]

P = ParamSpec("P")
R = TypeVar("R")


class HttpSettingsError(BadInput, ValueError):
    """`httpx_settings` were given, and nothing is asked over HTTP."""


class SyncSurefootClient(ArtifactCalls, LimitCalls, VariableCalls):
    """Reads runs, flows, lines and artifacts of the ledger that the settings name, cancels runs and deletes them; sets
    limits and variables.

    Use it in a `with`. Each list takes filters (`surefoot.client.schemas.filters`, or dicts of the same shape), an
    order by its name, how many records to give, 200 if not said, and how many to leave out first.
    """

    def __enter__(self) -> SyncSurefootClient:
        self._opened = open_client()
        return self

    def __exit__(self, *error: object) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def api_healthcheck(self) -> Exception | None:
        """What is wrong with the ledger; None if it answers."""
        try:
            self._client.flows(limit=1)
        except Exception as error:
            return error
        return None

    # -- flows

    def read_flow(self, flow_id: Id) -> Flow:
        """One flow. Raises NotFound."""
        wanted = id_text(flow_id)
        for each in self._flows(FlowFilter(), None):
            if each.id == wanted:
                return each
        raise NotFound(f"There is no flow with the id {wanted}.", do="See them: surefoot flow ls")

    def read_flow_by_name(self, flow_name: str) -> Flow:
        """One flow, by its name. Raises NotFound."""
        for each in self._flows(checked({"name": {"any_": [flow_name]}}, FlowFilter), None):
            return each
        raise NotFound(f"There is no flow {flow_name!r}.", do="See them: surefoot flow ls")

    def read_flows(
        self,
        *,
        flow_filter: FlowFilter | dict[str, Any] | None = None,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Flow]:
        """Flows; with `flow_run_filter` those that have such a run."""
        found = self._flows(checked(flow_filter, FlowFilter), sort)
        if flow_run_filter is not None:
            having = {run.flow_id for run in self._flow_runs(checked(flow_run_filter, FlowRunFilter), None)}
            found = (each for each in found if each.id in having)
        return part_of(found, limit, offset)

    # -- flow runs

    def read_flow_run(self, flow_run_id: Id) -> FlowRun:
        """One flow run. Raises NotFound."""
        return self._client.find_flow_run(id_text(flow_run_id))

    def read_flow_runs(
        self,
        *,
        flow_filter: FlowFilter | dict[str, Any] | None = None,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[FlowRun]:
        """Flow runs; with `flow_filter` those of such flows, with `task_run_filter` those with such a task run."""
        found = self._flow_runs(checked(flow_run_filter, FlowRunFilter), sort, self._names(flow_filter))
        if task_run_filter is not None:
            having = {run.flow_run_id for run in self._task_runs(checked(task_run_filter, TaskRunFilter), None)}
            found = (each for each in found if each.id in having)
        return part_of(found, limit, offset)

    def read_flow_run_states(self, flow_run_id: Id) -> list[State]:
        """All states of a flow run, oldest first. Raises NotFound."""
        return list(self._client.states(self.read_flow_run(flow_run_id).id))

    def cancel_flow_run(self, flow_run_id: Id) -> Request:
        """Ask a flow run to stop, and all that it started. Raises Refused if it has ended, and NotFound."""
        return self._client.cancel_flow_run(id_text(flow_run_id))

    def delete_flow_run(self, flow_run_id: Id) -> None:
        """Delete a flow run, with all that is its. Raises NotFound, and Refused if it has not ended."""
        self._client.delete_flow_runs([id_text(flow_run_id)])

    # -- task runs

    def read_task_run(self, task_run_id: Id) -> TaskRun:
        """One task run. Raises NotFound."""
        return self._client.find_task_run(id_text(task_run_id))

    def read_task_runs(
        self,
        *,
        flow_filter: FlowFilter | dict[str, Any] | None = None,
        flow_run_filter: FlowRunFilter | dict[str, Any] | None = None,
        task_run_filter: TaskRunFilter | dict[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[TaskRun]:
        """Task runs; with the other filters those within such flow runs."""
        found = self._task_runs(checked(task_run_filter, TaskRunFilter), sort)
        if flow_filter is not None or flow_run_filter is not None:
            runs = self._flow_runs(checked(flow_run_filter, FlowRunFilter), None, self._names(flow_filter))
            within = {run.id for run in runs}
            found = (each for each in found if each.flow_run_id in within)
        return part_of(found, limit, offset)

    def read_task_run_states(self, task_run_id: Id) -> list[State]:
        """All states of a task run, oldest first. Raises NotFound."""
        return list(self._client.states(self.read_task_run(task_run_id).id))

    def cancel_task_run(self, task_run_id: Id) -> Request:
        """Ask one task run to stop. Raises as `cancel_flow_run`."""
        return self._client.cancel_task_run(id_text(task_run_id))

    def delete_task_run(self, task_run_id: Id) -> None:
        """Delete a task run. Raises as `delete_flow_run`."""
        self._client.delete_task_runs([id_text(task_run_id)])

    # -- lines

    def read_logs(
        self,
        log_filter: LogFilter | dict[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort: str = "TIMESTAMP_ASC",
    ) -> list[Log]:
        """Lines, oldest first; those of a flow run with those of its tasks, and without those of its subflows."""
        where = checked(log_filter, LogFilter)
        return part_of(_all(self._client.logs, where, sort), limit, offset)

    # -- what the lists are made of

    def _flows(self, where: FlowFilter, sort: str | None) -> Iterator[Flow]:
        return _all(self._client.flows, where, sort or "NAME_ASC")

    def _names(self, flow_filter: FlowFilter | dict[str, Any] | None) -> list[str] | None:
        """Of which flows; None: of all."""
        if flow_filter is None:
            return None
        return [each.name for each in self._flows(checked(flow_filter, FlowFilter), None)]

    def _flow_runs(
        self, where: FlowRunFilter, sort: str | None, flow_names: list[str] | None = None
    ) -> Iterator[FlowRun]:
        read: Any = self._client.flow_runs
        if flow_names is not None:
            read = lambda narrowed, **rest: self._client.flow_runs(replace(narrowed, flow_name=flow_names), **rest)  # noqa: E731
        return _all(read, where, sort or "ID_DESC")

    def _task_runs(self, where: TaskRunFilter, sort: str | None) -> Iterator[TaskRun]:
        return _all(self._client.task_runs, where, sort or "ID_DESC")


def _all(read: Callable[..., Any], where: Any, sort: str) -> Iterator[Any]:
    """The records of a list that fit, page by page."""
    narrowed = where.narrowed()
    return filter(where.fits, all_of(lambda after: read(narrowed, sort=sort, limit=PAGE, after=after)))


def _awaited(
    method: Callable[Concatenate[SyncSurefootClient, P], R],
) -> Callable[Concatenate[SurefootClient, P], Coroutine[Any, Any, R]]:
    """The same, on the client's own thread, awaited."""

    @wraps(method)
    async def call(self: SurefootClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._do(partial(method, self._blocking, *args, **kwargs))

    return call


class SurefootClient:
    """`SyncSurefootClient`, awaited: `async with get_client() as client: await client.read_flow_runs()`.

    The ledger is asked on a thread of the client's own, so the event loop goes on meanwhile.
    """

    def __init__(self) -> None:
        self._blocking = SyncSurefootClient()
        self._thread: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> SurefootClient:
        self._thread = ThreadPoolExecutor(1, "surefoot-client")
        await self._do(self._blocking.__enter__)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._do(self._blocking.__exit__)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _do(self, call: Callable[[], R]) -> R:
        from asyncio import get_running_loop

        if self._thread is None:
            raise MissingContextError(
                "A client was asked that is not open.", do="Use it in `async with get_client() as client:`."
            )
        return await get_running_loop().run_in_executor(self._thread, copy_context().run, call)

    api_healthcheck = _awaited(SyncSurefootClient.api_healthcheck)
    read_flow = _awaited(SyncSurefootClient.read_flow)
    read_flow_by_name = _awaited(SyncSurefootClient.read_flow_by_name)
    read_flows = _awaited(SyncSurefootClient.read_flows)
    read_flow_run = _awaited(SyncSurefootClient.read_flow_run)
    read_flow_runs = _awaited(SyncSurefootClient.read_flow_runs)
    read_flow_run_states = _awaited(SyncSurefootClient.read_flow_run_states)
    cancel_flow_run = _awaited(SyncSurefootClient.cancel_flow_run)
    delete_flow_run = _awaited(SyncSurefootClient.delete_flow_run)
    read_task_run = _awaited(SyncSurefootClient.read_task_run)
    read_task_runs = _awaited(SyncSurefootClient.read_task_runs)
    read_task_run_states = _awaited(SyncSurefootClient.read_task_run_states)
    cancel_task_run = _awaited(SyncSurefootClient.cancel_task_run)
    delete_task_run = _awaited(SyncSurefootClient.delete_task_run)
    create_global_concurrency_limit = _awaited(SyncSurefootClient.create_global_concurrency_limit)
    update_global_concurrency_limit = _awaited(SyncSurefootClient.update_global_concurrency_limit)
    upsert_global_concurrency_limit_by_name = _awaited(SyncSurefootClient.upsert_global_concurrency_limit_by_name)
    delete_global_concurrency_limit_by_name = _awaited(SyncSurefootClient.delete_global_concurrency_limit_by_name)
    read_global_concurrency_limit_by_name = _awaited(SyncSurefootClient.read_global_concurrency_limit_by_name)
    read_global_concurrency_limits = _awaited(SyncSurefootClient.read_global_concurrency_limits)
    create_concurrency_limit = _awaited(SyncSurefootClient.create_concurrency_limit)
    read_concurrency_limit_by_tag = _awaited(SyncSurefootClient.read_concurrency_limit_by_tag)
    read_concurrency_limits = _awaited(SyncSurefootClient.read_concurrency_limits)
    delete_concurrency_limit_by_tag = _awaited(SyncSurefootClient.delete_concurrency_limit_by_tag)
    create_variable = _awaited(SyncSurefootClient.create_variable)
    update_variable = _awaited(SyncSurefootClient.update_variable)
    read_variable_by_name = _awaited(SyncSurefootClient.read_variable_by_name)
    read_variables = _awaited(SyncSurefootClient.read_variables)
    read_variable_changes = _awaited(SyncSurefootClient.read_variable_changes)
    delete_variable_by_name = _awaited(SyncSurefootClient.delete_variable_by_name)
    read_artifact = _awaited(SyncSurefootClient.read_artifact)
    read_artifact_content = _awaited(SyncSurefootClient.read_artifact_content)
    read_artifacts = _awaited(SyncSurefootClient.read_artifacts)
    read_latest_artifacts = _awaited(SyncSurefootClient.read_latest_artifacts)
    delete_artifact = _awaited(SyncSurefootClient.delete_artifact)
    read_logs = _awaited(SyncSurefootClient.read_logs)


@overload
def get_client(
    httpx_settings: Mapping[str, Any] | None = None, sync_client: Literal[False] = False
) -> SurefootClient: ...
@overload
def get_client(
    httpx_settings: Mapping[str, Any] | None = None, *, sync_client: Literal[True]
) -> SyncSurefootClient: ...
def get_client(
    httpx_settings: Mapping[str, Any] | None = None, sync_client: bool = False
) -> SurefootClient | SyncSurefootClient:
    """A client for the ledger that the settings name, to be used in `async with`; with `sync_client=True`, in `with`.

    `httpx_settings` has to be None or empty: nothing is asked over HTTP.

        with get_client(sync_client=True) as client:
            client.read_flow_runs(flow_run_filter={"state": {"type": {"any_": ["FAILED"]}}})
    """
    if httpx_settings:
        raise HttpSettingsError("httpx_settings were given, and nothing is asked over HTTP.", do="Leave them out.")
    return SyncSurefootClient() if sync_client else SurefootClient()
