"""Chapter 8.1 of the reference: what code may ask about the run that it is in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

import surefoot
from surefoot import flow, tags, task
from surefoot.context import FlowRunContext, SettingsContext, TagsContext, TaskRunContext, get_run_context
from surefoot.exceptions import MissingContextError
from surefoot.runtime import deployment, flow_run, task_run
from surefoot.settings import temporary_settings
from surefoot.task_runners import ProcessPoolTaskRunner
from tests.reference.rows import at, row

FLOW_RUN: dict[str, Any] = {
    "id": None,
    "tags": [],
    "scheduled_start_time": None,
    "name": None,
    "flow_name": None,
    "parameters": {},
    "parent_flow_run_id": None,
    "parent_deployment_id": None,
    "root_flow_run_id": None,
    "run_count": 0,
    "api_url": None,
    "ui_url": None,
    "flow_version": None,
    "job_variables": None,
}
TASK_RUN: dict[str, Any] = {
    "id": None,
    "tags": [],
    "name": None,
    "parameters": {},
    "run_count": 0,
    "task_name": None,
    "api_url": None,
    "ui_url": None,
}
DEPLOYMENT: dict[str, Any] = {"id": None, "flow_run_id": None, "parameters": {}, "name": None, "version": None}


@pytest.mark.parametrize(
    ("module", "outside"),
    [at("8.01", flow_run, FLOW_RUN), at("8.02", task_run, TASK_RUN), at("8.03", deployment, DEPLOYMENT)],
)
def test_outside_of_a_run_each_attribute_is_none_or_empty(module: Any, outside: dict[str, Any]) -> None:
    assert {name: getattr(module, name) for name in outside} == outside
    assert set(outside) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


@row("8.01")
def test_a_flow_asks_about_its_run(row: str) -> None:
    @flow(tags=["inner"])
    def inner() -> tuple[str | None, str | None, list[str]]:
        return flow_run.parent_flow_run_id, flow_run.root_flow_run_id, flow_run.tags

    @flow(name="outer", version="7", flow_run_name="day-{day}", retries=1)
    def outer(day: int) -> dict[str, Any]:
        if flow_run.run_count == 1:
            raise ValueError("once more")
        assert inner() == (flow_run.id, flow_run.id, ["inner", "night"])
        return {name: getattr(flow_run, name) for name in FLOW_RUN}

    with tags("night"):
        told = outer("3")  # type: ignore[call-overload]
    run_id, scheduled = told.pop("id"), told.pop("scheduled_start_time")
    assert len(run_id) == 36
    assert abs((datetime.now(UTC) - scheduled).total_seconds()) < 600
    assert told == {
        "tags": ["night"],
        "name": "day-3",
        "flow_name": "outer",
        "parameters": {"day": 3},
        "parent_flow_run_id": None,
        "parent_deployment_id": None,
        "root_flow_run_id": run_id,
        "run_count": 2,
        "api_url": None,
        "ui_url": None,
        "flow_version": "7",
        "job_variables": None,
    }


@row("8.02")
def test_a_task_asks_about_its_run_and_its_flows(row: str) -> None:
    @task(task_run_name="load-{day}", tags=["load"])
    def load(day: str) -> dict[str, Any]:
        return {"flow": flow_run.name, **{name: getattr(task_run, name) for name in TASK_RUN}}

    @flow(flow_run_name="monday")
    def nightly() -> list[dict[str, Any]]:
        assert task_run.id is None
        return [load("mon"), load.submit("mon").result()]

    for told in nightly():
        assert len(told.pop("id")) == 36
        assert told == {
            "flow": "monday",
            "tags": ["load"],
            "name": "load-mon",
            "parameters": {"day": "mon"},
            "run_count": 1,
            "task_name": "load",
            "api_url": None,
            "ui_url": None,
        }
    assert load("tue")["flow"] is None


@row("8.01")
def test_it_is_there_after_a_mere_import_of_surefoot(row: str) -> None:
    assert surefoot.runtime.flow_run.name is None


@pytest.mark.parametrize(
    ("variable", "text", "module", "name", "value"),
    [
        at("8.04", "FLOW_RUN__NAME", "monday", flow_run, "name", "monday"),
        at("8.04 number", "TASK_RUN__RUN_COUNT", "4", task_run, "run_count", 4),
        at("8.04 list", "FLOW_RUN__TAGS", "a,b", flow_run, "tags", ["a", "b"]),
        at("8.04 json", "FLOW_RUN__PARAMETERS", '{"x": 1}', flow_run, "parameters", {"x": 1}),
        at(
            "8.04 time",
            "FLOW_RUN__SCHEDULED_START_TIME",
            "2026-03-29T01:00:00",
            flow_run,
            "scheduled_start_time",
            datetime(2026, 3, 29, 1, tzinfo=UTC),
        ),
        at("8.04 deployment", "DEPLOYMENT__VERSION", "3", deployment, "version", "3"),
    ],
)
def test_the_environment_answers_in_tests(
    variable: str, text: str, module: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SUREFOOT__RUNTIME__{variable}", text)
    assert getattr(module, name) == value

    @flow
    def inside() -> Any:
        return getattr(module, name)

    assert inside() == value


@pytest.mark.parametrize(
    ("variable", "text", "module", "name", "kind"),
    [
        at("8.04", "TASK_RUN__RUN_COUNT", "four", task_run, "run_count", "int"),
        at("8.04 time", "FLOW_RUN__SCHEDULED_START_TIME", "soon", flow_run, "scheduled_start_time", "datetime"),
        at("8.04 json", "FLOW_RUN__PARAMETERS", "[1]", flow_run, "parameters", "dict"),
    ],
)
def test_what_cannot_be_cast_is_an_error_that_names_the_variable(
    variable: str, text: str, module: Any, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SUREFOOT__RUNTIME__{variable}", text)
    with pytest.raises(ValueError, match=f"SUREFOOT__RUNTIME__{variable} is .* which is no {kind}"):
        getattr(module, name)


@row("8.05")
def test_contexts_are_there_inside_and_none_outside(row: str) -> None:
    assert FlowRunContext.get() is None
    assert TaskRunContext.get() is None
    assert TagsContext.get().current_tags == set()
    with pytest.raises(MissingContextError):
        get_run_context()

    @task
    def inner() -> tuple[str, str]:
        context = get_run_context()
        assert isinstance(context, TaskRunContext)
        around = FlowRunContext.get()
        assert around is not None
        return context.task.name, around.flow.name

    @flow
    def outer() -> Any:
        assert isinstance(get_run_context(), FlowRunContext)
        return inner()

    with tags("a"), temporary_settings({"logging.level": "DEBUG"}):
        assert TagsContext.get().current_tags == {"a"}
        assert SettingsContext.get().settings.logging.level == "DEBUG"
        assert outer() == ("inner", "outer")


@task
def told_there() -> tuple[str | None, list[str], str]:
    return flow_run.name, sorted(TagsContext.get().current_tags), SettingsContext.get().settings.logging.level


@row("8.06")
def test_the_context_goes_into_threads_loops_and_processes(row: str) -> None:
    @task
    async def told_in_a_loop() -> Any:
        return told_there.fn()

    @flow(flow_run_name="monday")
    def threads() -> list[Any]:
        with tags("eu"):
            return [told_there.submit().result(), told_in_a_loop.submit().result()]

    @flow(flow_run_name="monday", task_runner=ProcessPoolTaskRunner(max_workers=1))
    def processes() -> list[Any]:
        with tags("eu"):
            return [told_there.submit().result()]

    with temporary_settings({"logging.level": "ERROR"}):
        expected = ("monday", ["eu"], "ERROR")
        assert threads() == [expected, expected]
        assert processes() == [expected]


@row("8.06")
def test_a_plain_thread_has_none_unless_it_is_given_one(row: str) -> None:
    @flow(flow_run_name="monday")
    def both() -> list[str | None]:
        with ThreadPoolExecutor(1) as threads:
            bare = threads.submit(lambda: flow_run.name)
            given = threads.submit(copy_context().run, lambda: flow_run.name)
            return [bare.result(), given.result()]

    assert both() == [None, "monday"]


@row("8.06")
def test_each_of_many_runs_at_once_has_its_own(row: str) -> None:
    @flow(flow_run_name="run-{number}")
    async def one(number: int) -> str | None:
        await asyncio.sleep(0)
        return flow_run.name

    async def many() -> list[str | None]:
        return list(await asyncio.gather(*(one(number) for number in range(20))))

    assert asyncio.run(many()) == [f"run-{number}" for number in range(20)]
