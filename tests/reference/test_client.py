"""Chapter 8.1 of the reference, the client: what was recorded is read, cancelled and deleted from a script."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import surefoot
from surefoot import flow, get_client, get_run_logger, runtime, tags, task
from surefoot.artifacts import create_markdown_artifact, create_table_artifact
from surefoot.client.orchestration import SurefootClient, SyncSurefootClient
from surefoot.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    VariableCreate,
    VariableUpdate,
)
from surefoot.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    LogFilter,
    LogFilterLevel,
    LogFilterTextSearch,
    TaskRunFilter,
    TaskRunFilterName,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from surefoot.client.schemas.responses import GlobalConcurrencyLimitResponse
from surefoot.client.schemas.sorting import ArtifactSort, FlowRunSort
from surefoot.concurrency.sync import concurrency
from surefoot.core.settings.elsewhere import find_elsewhere
from surefoot.exceptions import AlreadyExists, BadInput, MissingContextError, NotFound, Refused
from surefoot.migrating.names import missing
from surefoot.states import StateType
from tests.reference.rows import at, row

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
EVERY = ["inner", "inner", "outer", "outer", "outer"]
FAILED = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.FAILED]))
NOT_FAILED = FlowRunFilterState(type=FlowRunFilterStateType(not_any_=[StateType.FAILED]))


@task
def step(n: int) -> int:
    get_run_logger().warning("step %d", n)
    if n == 2:
        raise ValueError("no two")
    return n


@flow
def inner() -> None:
    step(7)


@flow
def outer(n: int) -> None:
    get_run_logger().info("outer %d", n)
    step(n)
    inner()


@pytest.fixture
def recorded(home: object) -> None:
    """Three runs of `outer`, the second of which failed, each of the others with one of `inner`."""
    for n, labels in ((1, ("a",)), (2, ("a", "b")), (3, ())):
        with tags(*labels):
            outer.with_options(flow_run_name=f"outer-{n}")(n, return_state=True)


def names(found: list[Any]) -> list[str]:
    return sorted(each.flow_name for each in found)


@row("8.07")
def test_a_client_is_opened_by_with_in_both_ways(row: str, recorded: None) -> None:
    async def ask() -> list[str]:
        async with get_client() as client:
            assert isinstance(client, SurefootClient)
            assert await client.api_healthcheck() is None
            runs, flows = await asyncio.gather(client.read_flow_runs(limit=2), client.read_flows())
            assert len(runs) == 2
            return [each.name for each in flows]

    with get_client(sync_client=True) as client:
        assert isinstance(client, SyncSurefootClient)
        assert [each.name for each in client.read_flows()] == asyncio.run(ask()) == ["inner", "outer"]


@row("8.07")
def test_what_a_client_refuses(row: str, home: object) -> None:
    with pytest.raises(ValueError, match="nothing is asked over HTTP"):
        get_client(httpx_settings={"timeout": 3})
    closed, awaited = get_client(sync_client=True), get_client()
    with pytest.raises(MissingContextError, match="not open"):
        closed.read_flows()
    with pytest.raises(RuntimeError, match="not open"):
        asyncio.run(awaited.read_flows())
    with get_client(sync_client=True) as client:
        for limit, offset in ((-1, 0), (None, -1)):
            with pytest.raises(ValueError, match="Pass numbers of at least 0"):
                client.read_flow_runs(limit=limit, offset=offset)
        with pytest.raises(BadInput, match="'outer-1' is not an id"):
            client.read_flow_run("outer-1")
        with pytest.raises(BadInput, match="sort"):
            client.read_flow_runs(sort="WORST_FIRST")


@row("8.08")
def test_all_that_is_recorded_is_read(row: str, recorded: None) -> None:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=["outer-1"])))
        assert client.read_flow_run(UUID(run.id)) == client.read_flow_run(run.id)
        assert (run.flow_name, run.parameters, run.state.is_completed(), run.state.is_failed()) == (
            "outer",
            {"n": 1},
            True,
            False,
        )
        assert [state.name for state in client.read_flow_run_states(run.id)] == ["Pending", "Running", "Completed"]
        assert client.read_flow(run.flow_id) == client.read_flow_by_name("outer")
        (of_it,) = client.read_task_runs(flow_run_filter={"id": {"any_": [run.id]}})
        assert client.read_task_run(of_it.id).task_name == "step"
        assert client.read_task_run_states(of_it.id)[-1].is_final()
        lines = client.read_logs({"flow_run_id": {"any_": [run.id]}})
        assert [line.message for line in lines if line.level == 30 or "outer" in line.message] == ["outer 1", "step 1"]
        with pytest.raises(NotFound):
            client.read_flow_run(uuid4())
        with pytest.raises(NotFound):
            client.read_flow(uuid4())
        with pytest.raises(NotFound, match="There is no flow 'nobody'"):
            client.read_flow_by_name("nobody")


@row("8.08")
def test_runs_are_cancelled_and_deleted(row: str, recorded: None) -> None:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter={"name": {"any_": ["outer-2"]}})
        with pytest.raises(Refused):
            client.cancel_flow_run(run.id)
        (of_it,) = client.read_task_runs(flow_run_filter={"id": {"any_": [run.id]}})
        with pytest.raises(Refused):
            client.cancel_task_run(of_it.id)
        client.delete_task_run(of_it.id)
        client.delete_flow_run(run.id)
        for gone, read in ((run.id, client.read_flow_run), (of_it.id, client.read_task_run)):
            with pytest.raises(NotFound):
                read(gone)


@row("8.08")
def test_limits_are_made_read_changed_and_deleted(row: str, home: object) -> None:
    with get_client(sync_client=True) as client:
        made = client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="db", limit=3))
        assert isinstance(made, GlobalConcurrencyLimitResponse)
        assert (made.name, made.limit, made.active, made.active_slots) == ("db", 3, True, 0)
        with pytest.raises(AlreadyExists, match="There is a limit 'db' already"):
            client.create_global_concurrency_limit({"name": "db", "limit": 4})
        with concurrency("db", occupy=2):
            assert client.read_global_concurrency_limit_by_name("db").active_slots == 2
        client.update_global_concurrency_limit("db", GlobalConcurrencyLimitUpdate(active=False))
        assert not client.read_global_concurrency_limit_by_name("db").active
        rate = client.create_global_concurrency_limit({"name": "api", "limit": 7, "slot_decay_per_second": 7})
        assert rate.rate == "7/second"
        for slots in (8, 9, 7):  # what it gives in each second does not drift
            rate = client.update_global_concurrency_limit("api", {"limit": slots})
        assert rate.rate == "7/second"
        assert (
            client.update_global_concurrency_limit("api", {"slot_decay_per_second": 0.5}).slot_decay_per_second == 0.5
        )
        assert client.update_global_concurrency_limit("api", {"slot_decay_per_second": 0}).rate is None
        client.upsert_global_concurrency_limit_by_name("db", 5)
        client.upsert_global_concurrency_limit_by_name("mail", 1)
        assert [(it.name, it.limit) for it in client.read_global_concurrency_limits()] == [
            ("api", 7), ("db", 5), ("mail", 1),
        ]  # fmt: skip
        assert [it.name for it in client.read_global_concurrency_limits(limit=1, offset=1)] == ["db"]
        client.delete_global_concurrency_limit_by_name("db")
        for call in (
            lambda: client.read_global_concurrency_limit_by_name("db"),
            lambda: client.delete_global_concurrency_limit_by_name("db"),
            lambda: client.update_global_concurrency_limit("db", {"limit": 3}),
        ):
            with pytest.raises(NotFound, match="There is no limit 'db'"):
                call()


@row("8.08")
def test_limits_of_tags_tell_who_holds_their_slots(row: str, home: object) -> None:
    held: list[list[str]] = []

    @task(tags=["gpu"])
    def uses() -> str | None:
        with get_client(sync_client=True) as client:
            held.append(client.read_concurrency_limit_by_tag("gpu").active_slots)
        return runtime.task_run.id

    with get_client(sync_client=True) as client:
        assert client.create_concurrency_limit("gpu", 1).concurrency_limit == 1
        its_id = flow(lambda: uses())()
        assert held == [[its_id]]
        client.create_concurrency_limit("gpu", 2)
        client.create_global_concurrency_limit({"name": "db", "limit": 3})
        assert [(it.tag, it.concurrency_limit, it.active_slots) for it in client.read_concurrency_limits()] == [
            ("gpu", 2, []),
        ]  # fmt: skip
        client.delete_concurrency_limit_by_tag("gpu")
        with pytest.raises(NotFound):
            client.read_concurrency_limit_by_tag("gpu")


@row("8.08")
def test_artifacts_are_read_by_what_they_are_and_deleted(row: str, home: object) -> None:
    @flow
    def nightly() -> None:
        create_markdown_artifact("# First", key="report")
        create_table_artifact([{"n": 1}], key="rows")
        create_markdown_artifact("# Second", key="report")
        create_markdown_artifact("x" * 300_000)

    async def awaited() -> Any:
        async with get_client() as client:
            return [each.key for each in await client.read_latest_artifacts()]

    nightly()
    assert asyncio.run(awaited()) == ["report", "rows"]
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs()
        assert [each.key for each in client.read_artifacts()] == [None, "report", "rows", "report"]
        assert [each.version for each in client.read_artifacts(artifact_filter={"key": {"any_": ["report"]}})] == [2, 1]
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        assert len(client.read_artifacts(artifact_filter=of_run)) == 4
        for condition, count in (
            ({"key": {"like_": "EPO"}}, 2),
            ({"key": {"exists_": False}}, 1),
            ({"type": {"not_any_": ["markdown"]}}, 1),
            ({"key": {"any_": ["rows"]}, "type": {"any_": ["markdown"]}}, 0),
            ({"operator": "or_", "key": {"any_": ["rows"]}, "type": {"any_": ["markdown"]}}, 4),
            ({"task_run_id": {"is_null_": True}}, 4),
        ):
            assert len(client.read_artifacts(artifact_filter=condition)) == count, condition
        keys = [each.key for each in client.read_artifacts(sort=ArtifactSort.KEY_DESC, limit=2)]
        assert keys == ["rows", "report"]
        assert [each.key for each in client.read_latest_artifacts(sort="UPDATED_DESC")] == ["report", "rows"]
        assert [each.key for each in client.read_latest_artifacts(sort="KEY_ASC", offset=1)] == ["rows"]
        large, report, *_ = client.read_artifacts()
        assert client.read_artifact(report.id).data == "# Second"
        assert len(client.read_artifact_content(large.id)) == 300_000
        client.delete_artifact(UUID(report.id))
        for missing in (report.id, UUID(int=0)):
            with pytest.raises(NotFound, match="No artifact goes by"):
                client.delete_artifact(missing)
        with pytest.raises(BadInput, match="Artifacts cannot be sorted by 'SIZE'"):
            client.read_artifacts(sort="SIZE")
        with pytest.raises(BadInput, match="is not an id"):
            client.read_artifact("report")


@row("8.08")
def test_variables_are_made_read_changed_and_deleted(row: str, home: object) -> None:
    async def awaited() -> Any:
        async with get_client() as client:
            found = await client.read_variable_by_name("region")
            return None if found is None else found.value

    with get_client(sync_client=True) as client:
        assert client.read_variable_by_name("region") is None
        made = client.create_variable(VariableCreate(name="region", value={"name": "eu"}, tags=["a"]))
        assert client.read_variable_by_name("region") == made
        with pytest.raises(AlreadyExists):
            client.create_variable({"name": "region", "value": 1})
        client.update_variable(VariableUpdate(name="region", tags=["b"]))
        assert client.update_variable({"name": "region", "value": None}).tags == ["b"]
        assert asyncio.run(awaited()) is None
        client.create_variable({"name": "n", "value": 3})
        assert [it.name for it in client.read_variables()] == ["n", "region"]
        assert [it.name for it in client.read_variables(limit=1, offset=1)] == ["region"]
        client.delete_variable_by_name("region")
        assert [it.action for it in client.read_variable_changes("region")] == [
            "removed", "changed", "changed", "created",
        ]  # fmt: skip
        for call in (
            lambda: client.delete_variable_by_name("region"),
            lambda: client.update_variable({"name": "region", "value": 1}),
        ):
            with pytest.raises(NotFound, match="There is no variable 'region'"):
                call()


CREATE, UPDATE = "create_global_concurrency_limit", "update_global_concurrency_limit"
ILL_TYPED = GlobalConcurrencyLimitCreate(name="x", limit="3")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        at("8.08", CREATE, [{"name": "x", "limit": 0}], "limit of a limit is 0"),
        at("8.08", CREATE, [{"name": " ", "limit": 1}], "The name of a limit is ' '"),
        at("8.08", CREATE, [{"name": "x"}], "missing required field `limit`"),
        at("8.08", CREATE, [{"name": "x", "slots": 1}], "unknown field `slots`"),
        at("8.08", CREATE, ["x"], "is of type str. Pass a GlobalConcurrencyLimitCreate, or a dict"),
        at("8.08", CREATE, [ILL_TYPED], "Expected `int`, got `str`"),
        at("8.08", CREATE, [{"name": "x", "limit": 1, "slot_decay_per_second": -1}], "slot_decay_per_second is -1"),
        at("8.08", CREATE, [{"name": "x", "limit": 1, "active_slots": 1}], "slots are held by those who take them"),
        at("8.08", UPDATE, ["there", {"name": "x"}], "keeps its name"),
        at("8.08", UPDATE, ["there", {"limit": -1}], "limit of a limit is -1"),
        at("8.08", UPDATE, ["there", {"active_slots": 2}], "slots are held by those who take them"),
        at("8.08", "upsert_global_concurrency_limit_by_name", ["there", 0], "limit of a limit is 0"),
        at("8.08", "create_concurrency_limit", ["", 1], "The tag of a limit is ''"),
        at("8.08", "create_concurrency_limit", ["gpu", 0], "concurrency_limit of a limit is 0"),
        at("8.08", "create_variable", [{"name": "Bad Name", "value": 1}], "Call it 'bad-name'"),
        at("8.08", "create_variable", [{"name": "x", "value": (1,)}], "is of type tuple"),
        at("8.08", "update_variable", [{"name": "there", "value": object()}], "is of type object"),
        at("8.08", "read_variables", [-1], "Pass numbers of at least 0"),
    ],
)
def test_what_can_be_no_limit_and_no_variable_is_refused(method: str, given: Any, told: str, home: object) -> None:
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit({"name": "there", "limit": 3})
        client.create_variable({"name": "there", "value": 3})
        with pytest.raises(BadInput) as caught:
            getattr(client, method)(*given)
        assert told in str(caught.value)
        assert isinstance(caught.value, ValueError)
        assert [it.limit for it in client.read_global_concurrency_limits()] == [3]
        assert [it.value for it in client.read_variables()] == [3]


@row("8.08")
def test_both_clients_have_the_same_methods(row: str) -> None:
    def methods(of: type) -> set[str]:
        return {name for name, it in inspect.getmembers(of) if inspect.isfunction(it) and not name.startswith("_")}

    assert methods(SyncSurefootClient) == methods(SurefootClient)


@pytest.mark.parametrize(
    "name",
    [
        at("8.09", "client.max_retries"),
        at("8.09", "client.retry_extra_codes"),
        at("8.09", "client.retry_jitter_factor"),
        at("8.10", "client.custom_headers"),
        at("8.11", "api.tls_insecure_skip_verify"),
        at("8.11", "api.ssl_cert_file"),
    ],
)
def test_settings_for_http_are_told_not_to_be_needed(name: str) -> None:
    there = find_elsewhere(name)
    assert there is not None
    assert "nothing is asked over HTTP" in there.why


# -- filters -----------------------------------------------------------------------------------------------------------


def flow_runs(**conditions: Any) -> Callable[[SyncSurefootClient], list[Any]]:
    return lambda client: client.read_flow_runs(flow_run_filter=FlowRunFilter(**conditions))


@pytest.mark.parametrize(
    ("ask", "found"),
    [
        at("8.13", flow_runs(), ["inner", "inner", "outer", "outer", "outer"]),
        at("8.13", flow_runs(name=FlowRunFilterName(like_="OUTER-")), ["outer"] * 3),
        at("8.13", flow_runs(name=FlowRunFilterName(any_=["outer-1", "outer-3"])), ["outer"] * 2),
        at("8.13", flow_runs(id=FlowRunFilterId(any_=[])), []),
        at("8.13", flow_runs(id=FlowRunFilterId(not_any_=[str(uuid4())])), ["inner", "inner", *["outer"] * 3]),
        at("8.13", flow_runs(tags=FlowRunFilterTags(all_=["a", "b"])), ["outer"]),
        at("8.13", flow_runs(tags=FlowRunFilterTags(any_=["b", "a"])), ["inner", "outer", "outer"]),
        at("8.13", flow_runs(tags=FlowRunFilterTags(is_null_=True)), ["inner", "outer"]),
        at("8.13", flow_runs(tags=FlowRunFilterTags(is_null_=False)), ["inner", "outer", "outer"]),
        at("8.13", flow_runs(parent_flow_run_id=FlowRunFilterParentFlowRunId(is_null_=True)), ["outer"] * 3),
        at("8.13", flow_runs(parent_flow_run_id=FlowRunFilterParentFlowRunId(is_null_=False)), ["inner"] * 2),
        at("8.13", flow_runs(start_time=FlowRunFilterStartTime(before_=LONG_AGO)), []),
        at("8.13", flow_runs(start_time=FlowRunFilterStartTime(after_=LONG_AGO, is_null_=False)), EVERY),
        at("8.13", flow_runs(start_time=FlowRunFilterStartTime(is_null_=True)), []),
        at("8.13", flow_runs(state=FAILED), ["outer"]),
        at("8.13", flow_runs(state=NOT_FAILED), ["inner", "inner", "outer", "outer"]),
        at("8.13", flow_runs(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Failed"]))), ["outer"]),
        at(
            "8.13",
            flow_runs(
                operator="or_",
                name=FlowRunFilterName(any_=["outer-1"]),
                state=FlowRunFilterState(
                    operator="or_",
                    type=FlowRunFilterStateType(any_=[StateType.FAILED]),
                    name=FlowRunFilterStateName(any_=["Nowhere"]),
                ),
            ),
            ["outer", "outer"],
        ),
        at("8.13", lambda client: client.read_flow_runs(flow_filter={"name": {"any_": ["inner"]}}), ["inner"] * 2),
        at(
            "8.13",
            lambda client: client.read_flow_runs(
                task_run_filter=TaskRunFilter(
                    name=TaskRunFilterName(like_="step"),
                    state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.FAILED])),
                )
            ),
            ["outer"],
        ),
    ],
)  # fmt: skip
def test_filters_find_what_they_say(
    ask: Callable[[SyncSurefootClient], list[Any]], found: list[str], recorded: None
) -> None:
    with get_client(sync_client=True) as client:
        assert names(ask(client)) == found


@row("8.13")
def test_filters_of_flows_task_runs_and_lines(row: str, recorded: None) -> None:
    with get_client(sync_client=True) as client:
        assert [it.name for it in client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(like_="OUT")))] == [
            "outer"
        ]
        failed = {"state": {"type": {"any_": ["FAILED"]}}}
        assert [it.name for it in client.read_flows(flow_run_filter=failed)] == ["outer"]
        assert len(client.read_task_runs(flow_filter={"name": {"any_": ["inner"]}})) == 2
        assert len(client.read_task_runs(task_run_filter=failed)) == 1
        warned = client.read_logs(
            LogFilter(level=LogFilterLevel(ge_=30, le_=30), text=LogFilterTextSearch(query="STEP 7"))
        )
        assert [line.message for line in warned] == ["step 7", "step 7"]
        assert client.read_logs({"timestamp": {"before_": LONG_AGO}}) == []


@row("8.13")
def test_lists_have_an_order_a_limit_and_an_offset(row: str, recorded: None) -> None:
    with get_client(sync_client=True) as client:
        of = {"name": {"like_": "outer-"}}
        by_name = [it.name for it in client.read_flow_runs(flow_run_filter=of, sort=FlowRunSort.NAME_ASC)]
        assert by_name == ["outer-1", "outer-2", "outer-3"]
        latest = client.read_flow_runs(flow_run_filter=of, sort="START_TIME_DESC", limit=2, offset=1)
        assert [it.name for it in latest] == ["outer-2", "outer-1"]
        assert client.read_flow_runs(limit=0) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        at("8.13", {"nme": {"any_": ["x"]}}, "unknown field `nme`"),
        at("8.13", {"name": {"any": ["x"]}}, "unknown field `any`"),
        at("8.13", {"name": {"any_": "x"}}, "Expected `array"),
        at("8.13", {"state": {"type": {"any_": ["BROKEN"]}}}, "BROKEN"),
        at("8.13", {"start_time": {"before_": "yesterday"}}, "datetime"),
        at("8.13", {"operator": "xor_"}, "xor_"),
        at("8.13", FlowFilter(), "A filter is of type FlowFilter"),
        at("8.13", FlowRunFilter(name=FlowRunFilterName(any_=[3])), "Expected `str`"),  # type: ignore[list-item]
    ],
)
def test_a_filter_that_cannot_be_used_says_where(wrong: Any, says: str, home: object) -> None:
    with get_client(sync_client=True) as client, pytest.raises(BadInput, match=says) as caught:
        client.read_flow_runs(flow_run_filter=wrong)
    assert isinstance(caught.value, ValueError)


@row("8.13")
def test_times_without_a_zone_are_local(row: str, recorded: None) -> None:
    local = (datetime.now(UTC) - timedelta(hours=1)).astimezone().replace(tzinfo=None)
    with get_client(sync_client=True) as client:
        assert len(client.read_flow_runs(flow_run_filter={"start_time": {"after_": local}})) == 5


# -- what the package exports ------------------------------------------------------------------------------------------

EXPORTS = (
    "Flow Task State Transaction flow task get_client get_cloud_client get_run_logger allow_failure unmapped tags "
    "serve aserve deploy pause_flow_run suspend_flow_run resume_flow_run"
).split()


@pytest.mark.parametrize("name", [at("8.15", name) for name in EXPORTS])
def test_what_scripts_import_is_there_or_it_is_said_why_not(name: str) -> None:
    why = missing(name)
    assert why != "it is not in this version"
    assert (why is None) == hasattr(surefoot, name)
