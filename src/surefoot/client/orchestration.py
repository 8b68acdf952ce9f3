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
from itertools import islice
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar, overload
from uuid import UUID

from msgspec.structs import replace

from surefoot.client import get_client as open_client
from surefoot.client.protocol import Client
from surefoot.client.schemas.filters import FlowFilter, FlowRunFilter, LogFilter, TaskRunFilter, checked
from surefoot.core.errors import BadInput, MissingContextError, NotFound
from surefoot.core.wire import Flow, FlowRun, Log, Request, State, TaskRun

__all__ = ["SurefootClient", "SyncSurefootClient", "get_client"]

P = ParamSpec("P")
R = TypeVar("R")
Id = UUID | str
_PAGE: Final = 200  # records read at a time; also what a list gives that is asked for no other number


class LimitError(BadInput, ValueError):
    """`limit` or `offset` is negative."""


class HttpSettingsError(BadInput, ValueError):
    """`httpx_settings` were given, and nothing is asked over HTTP."""


class SyncSurefootClient:
    """Reads runs, flows and lines of the ledger that the settings name, cancels runs and deletes them.

    Use it in a `with`. Each list takes filters (`surefoot.client.schemas.filters`, or dicts of the same shape), an
    order by its name, how many records to give, 200 if not said, and how many to leave out first.
    """

    def __init__(self) -> None:
        self._opened: Client | None = None

    def __enter__(self) -> SyncSurefootClient:
        self._opened = open_client()
        return self

    def __exit__(self, *error: object) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            client.close()

    @property
    def _client(self) -> Client:
        if self._opened is None:
            raise MissingContextError(
                "A client was asked that is not open.", do="Use it in a `with`: with get_client(...) as client:"
            )
        return self._opened

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
        wanted = _id(flow_id)
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
        return _part(found, limit, offset)

    # -- flow runs

    def read_flow_run(self, flow_run_id: Id) -> FlowRun:
        """One flow run. Raises NotFound."""
        return self._client.find_flow_run(_id(flow_run_id))

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
        return _part(found, limit, offset)

    def read_flow_run_states(self, flow_run_id: Id) -> list[State]:
        """All states of a flow run, oldest first. Raises NotFound."""
        return list(self._client.states(self.read_flow_run(flow_run_id).id))

    def cancel_flow_run(self, flow_run_id: Id) -> Request:
        """Ask a flow run to stop, and all that it started. Raises Refused if it has ended, and NotFound."""
        return self._client.cancel_flow_run(_id(flow_run_id))

    def delete_flow_run(self, flow_run_id: Id) -> None:
        """Delete a flow run, with all that is its. Raises NotFound, and Refused if it has not ended."""
        self._client.delete_flow_runs([_id(flow_run_id)])

    # -- task runs

    def read_task_run(self, task_run_id: Id) -> TaskRun:
        """One task run. Raises NotFound."""
        return self._client.find_task_run(_id(task_run_id))

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
        return _part(found, limit, offset)

    def read_task_run_states(self, task_run_id: Id) -> list[State]:
        """All states of a task run, oldest first. Raises NotFound."""
        return list(self._client.states(self.read_task_run(task_run_id).id))

    def cancel_task_run(self, task_run_id: Id) -> Request:
        """Ask one task run to stop. Raises as `cancel_flow_run`."""
        return self._client.cancel_task_run(_id(task_run_id))

    def delete_task_run(self, task_run_id: Id) -> None:
        """Delete a task run. Raises as `delete_flow_run`."""
        self._client.delete_task_runs([_id(task_run_id)])

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
        return _part(_all(self._client.logs, where, sort), limit, offset)

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
    narrowed, after = where.narrowed(), None
    while True:
        page = read(narrowed, sort=sort, limit=_PAGE, after=after)
        yield from filter(where.fits, page.results)
        after = page.after
        if after is None:
            return


def _part(found: Iterator[R], limit: int | None, offset: int) -> list[R]:
    if offset < 0 or (limit is not None and limit < 0):
        raise LimitError(f"limit is {limit}, offset is {offset}.", do="Pass numbers of at least 0.")
    return list(islice(found, offset, offset + (_PAGE if limit is None else limit)))


def _id(given: Id) -> str:
    """An id as text. Raises BadInput for what is none, such as a name."""
    try:
        return str(given if isinstance(given, UUID) else UUID(given))
    except (ValueError, AttributeError, TypeError):
        raise BadInput(
            f"{given!r} is not an id.", do="Pass the id of a run, or find the run by a filter on its name."
        ) from None


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
