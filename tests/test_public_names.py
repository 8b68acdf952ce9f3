"""The public face: what can be imported, that stub and door agree, and that nothing heavy comes along."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import surefoot

# What users of the field know, by the module that has it.
KNOWN: dict[str, set[str]] = {
    "surefoot": {
        "Flow", "Future", "Skip", "State", "Task", "Transaction", "__version__", "allow_failure",
        "exponential_backoff", "flatten", "flow", "get_client", "get_run_logger", "quote", "tags", "task", "unmapped",
    },
    "surefoot.main": {"Flow", "Task", "flow", "task"},
    "surefoot.flows": {"Flow", "flow", "load_flow_from_script", "load_flows_from_script", "select_flow"},
    "surefoot.tasks": {"Task", "exponential_backoff", "task", "task_input_hash"},
    "surefoot.futures": {
        "FlowRunFuture", "Future", "FutureList", "as_completed", "resolve_futures_to_results",
        "resolve_futures_to_states", "wait",
    },
    "surefoot.task_runners": {
        "ConcurrentTaskRunner", "ProcessPoolTaskRunner", "TaskRunner", "ThreadPoolTaskRunner",
    },
    "surefoot.states": {
        "AwaitingConcurrencySlot", "AwaitingRetry", "Cancelled", "Cancelling", "Completed", "Crashed", "Failed",
        "InfrastructurePending", "Late", "Paused", "Pending", "Retrying", "Running", "Scheduled", "Skipped", "State",
        "StateGroup", "StateType", "Submitting", "Suspended", "exception_to_crashed_state", "exception_to_failed_state",
        "get_state_exception", "raise_state_exception", "return_value_to_state",
    },
    "surefoot.logging": {
        "JsonFormatter", "disable_run_logger", "flow_run_logger", "get_logger", "get_run_logger", "task_run_logger",
    },
    "surefoot.logging.formatters": {"JsonFormatter"},
    "surefoot.logging.loggers": {
        "disable_run_logger", "flow_run_logger", "get_logger", "get_run_logger", "task_run_logger",
    },
    "surefoot.context": {
        "FlowRunContext", "SettingsContext", "TagsContext", "TaskRunContext", "get_run_context", "hydrated_context",
        "serialize_context", "tags",
    },
    "surefoot.runtime": {"deployment", "flow_run", "task_run"},
    "surefoot.testing": {"Clock", "Harness", "disable_run_logger", "test_harness"},
    "surefoot.testing.utilities": {"surefoot_test_harness", "test_harness"},
    "surefoot.annotations": {"allow_failure", "flatten", "freeze", "opaque", "quote", "unmapped"},
    "surefoot.utilities.annotations": {"allow_failure", "flatten", "freeze", "opaque", "quote", "unmapped"},
    "surefoot.client.schemas": {"FlowRun", "State", "StateType", "TaskRun"},
    "surefoot.client.schemas.objects": {
        "ConcurrencyLimit", "FlowRun", "GlobalConcurrencyLimit", "State", "StateDetails", "StateType", "TaskRun",
        "Variable",
    },
    "surefoot.client.schemas.actions": {
        "GlobalConcurrencyLimitCreate", "GlobalConcurrencyLimitUpdate", "VariableCreate", "VariableUpdate",
    },
    "surefoot.client.schemas.responses": {"GlobalConcurrencyLimitResponse"},
    "surefoot.client.orchestration": {"SurefootClient", "SyncSurefootClient", "get_client"},
    "surefoot.client.schemas.filters": {
        "ArtifactFilter", "ArtifactFilterKey",
        "FlowFilter", "FlowFilterName", "FlowRunFilter", "FlowRunFilterState", "FlowRunFilterStateType", "LogFilter",
        "TaskRunFilter", "TaskRunFilterState", "TaskRunFilterStateType",
    },
    "surefoot.client.schemas.sorting": {"ArtifactSort", "FlowRunSort", "FlowSort", "LogSort", "TaskRunSort"},
    "surefoot.drawing": {"Drawing"},
    "surefoot.types": {"DateTime", "NonNegativeInteger", "PositiveInteger", "SecretStr"},
    "surefoot.exceptions": {
        "AcquireConcurrencySlotTimeoutError", "AlreadyExists", "ArtifactNotStored", "AssetCheckFailed", "CancelledRun",
        "ConcurrencySlotAcquisitionError", "ConcurrencySlotLostError", "CrashedRun", "FailedRun", "InvalidNameError",
        "MappingLengthMismatch", "MappingMissingIterable", "MissingContextError", "MissingFlowError", "MissingResult",
        "ParameterBindError", "ParameterTypeError", "PausedRun", "ReservedArgumentError", "Skip", "SurefootError",
        "TerminationSignal", "UnfinishedRun", "UnspecifiedFlowError", "VisualizationError",
    },
    "surefoot.entrypoints": {"load_flow"},
    "surefoot.assets": {
        "Asset", "AssetProperties", "Check", "CheckResult", "MaterializingTask", "add_asset_metadata", "check",
        "materialize",
    },
    "surefoot.triggers": {
        "all_failed", "all_finished", "all_successful", "always_run", "any_failed", "any_successful",
        "not_all_skipped", "some_failed", "some_successful",
    },
    "surefoot.locking": {"FileSystemLockManager", "LedgerLockManager", "LockManager", "MemoryLockManager"},
    "surefoot.locking.filesystem": {"FileSystemLockManager"},
    "surefoot.locking.ledger": {"LedgerLockManager"},
    "surefoot.locking.memory": {"MemoryLockManager"},
    "surefoot.locking.protocol": {"LockManager"},
    "surefoot.artifacts": {
        "Artifact", "ImageArtifact", "LinkArtifact", "MarkdownArtifact", "ProgressArtifact", "TableArtifact",
        "acreate_image_artifact", "acreate_link_artifact", "acreate_markdown_artifact", "acreate_progress_artifact",
        "acreate_table_artifact", "aupdate_progress_artifact", "create_image_artifact", "create_link_artifact",
        "create_markdown_artifact", "create_plot_artifact", "create_progress_artifact", "create_table_artifact",
        "update_progress_artifact",
    },
    "surefoot.concurrency": {"concurrency", "limit", "rate_limit"},
    "surefoot.concurrency.asyncio": {
        "AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "limit", "rate_limit",
    },
    "surefoot.concurrency.sync": {
        "AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "limit", "rate_limit",
    },
    "surefoot.transactions": {
        "AsyncTransaction", "CommitMode", "IsolationLevel", "Transaction", "TransactionState", "atransaction",
        "get_transaction", "transaction",
    },
    "surefoot.results": {
        "Record", "ResultRecord", "ResultStore", "get_result_store", "load_result", "resolve_serializer",
        "should_persist_result",
    },
    "surefoot.cache_policies": {
        "DEFAULT", "FLOW_PARAMETERS", "INPUTS", "NONE", "NO_CACHE", "RUN_ID", "TASK_SOURCE", "CachePolicy",
    },
    "surefoot.variables": {"Variable", "arender", "render"},
    "surefoot.utilities.hashing": {"hash_objects"},
    "surefoot.serializers": {
        "CompressedJSONSerializer", "CompressedPickleSerializer", "CompressedSerializer", "JSONSerializer",
        "PickleSerializer", "Serializer",
    },
}  # fmt: skip
DOOR: dict[str, str] = vars(surefoot)["_DOOR"]
STUB = Path(surefoot.__file__).with_suffix(".pyi")


@pytest.mark.parametrize("module", KNOWN)
def test_every_known_name_is_there_and_exported(module: str) -> None:
    found = importlib.import_module(module)
    for name in KNOWN[module]:
        assert getattr(found, name) is not None
    assert KNOWN[module] <= set(found.__all__), sorted(KNOWN[module] - set(found.__all__))
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("module", KNOWN)
def test_every_public_name_says_what_it_is(module: str) -> None:
    found = importlib.import_module(module)
    assert inspect.getdoc(found)
    for name in found.__all__:
        value = getattr(found, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
        if inspect.isclass(value) and value.__module__.startswith("surefoot"):
            for member, function in vars(value).items():
                if not member.startswith("_") and inspect.isfunction(function):
                    assert inspect.getdoc(function), f"{name}.{member}"


def test_the_stub_and_the_door_agree() -> None:
    in_stub: dict[str, str] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names), "only `x as x` is exported by a stub"
            in_stub |= {alias.name: (node.module or "") for alias in node.names}
    in_door = {name: f"surefoot.{module}" for name, module in DOOR.items()}
    assert in_stub == {**in_door, "__version__": "surefoot._version", "runtime": "surefoot"}
    assert sorted({*in_stub} - {"runtime"}) == surefoot.__all__ == sorted(KNOWN["surefoot"])  # that one is a module


def test_a_name_that_is_not_there_is_the_usual_error() -> None:
    with pytest.raises(AttributeError, match="module 'surefoot' has no attribute 'flwo'"):
        getattr(surefoot, "flwo")  # noqa: B009
    assert set(dir(surefoot)) >= set(surefoot.__all__)


def test_a_name_is_the_same_object_by_every_way() -> None:
    for name, module in DOOR.items():
        assert getattr(surefoot, name) is getattr(importlib.import_module(f"surefoot.{module}"), name)


def loaded_by(code: str, **variables: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`, and had not before."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment, cwd=Path.cwd().root
    )
    return set(done.stdout.split())


# Of the standard library, what costs milliseconds or is not needed to define a flow.
HEAVY = set(
    "asyncio concurrent ctypes difflib email importlib.metadata inspect json logging multiprocessing random "
    "socket sqlite3 ssl subprocess tempfile tomllib traceback".split()
)


def test_importing_flow_and_task_loads_nothing_heavy() -> None:
    by_msgspec = loaded_by("import msgspec")
    loaded = loaded_by("from surefoot import flow, task") - by_msgspec
    tops = {name.partition(".")[0] for name in loaded}
    foreign = {top for top in tops if top not in sys.stdlib_module_names and top != "surefoot"}
    assert not foreign
    assert not HEAVY & loaded


def test_importing_the_package_alone_loads_nothing_at_all() -> None:
    assert {name for name in loaded_by("import surefoot") if name.startswith("surefoot")} == {
        "surefoot",
        "surefoot._version",
    }


def test_running_a_plain_flow_loads_neither_pydantic_nor_the_ledger(home: Path) -> None:
    loaded = loaded_by(
        "from surefoot import flow, task\n"
        "@task\n"
        "def add(a: int, b: int) -> int: return a + b\n"
        "@flow\n"
        "def main(x: int) -> int: return add(x, 1) + add.submit(x, 2).result()\n"
        "assert main(1) == 5",
        SUREFOOT_HOME=str(home),
    )
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"pydantic", "sqlalchemy", "alembic", "rich", "click", "asyncio", "cloudpickle", "sqlite3"}


def test_all_names_can_be_loaded_at_once_to_find_a_broken_one() -> None:
    loaded = loaded_by("import surefoot", SUREFOOT_TEST_EAGER_IMPORT="1")
    assert {f"surefoot.{module}" for module in DOOR.values()} <= loaded


def test_modules_that_users_name_are_modules() -> None:
    for module in KNOWN:
        assert isinstance(importlib.import_module(module), ModuleType)
