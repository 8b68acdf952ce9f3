"""Which of Prefect's names Surefoot has: asked of Surefoot itself, so that no list of them can grow old.

May import: the standard library; and whatever module of ours a user's script names.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

__all__ = ["awaited", "is_module", "missing", "options_of", "renamed"]

# What is called otherwise here.
_RENAMED: Final = {
    "client.orchestration.PrefectClient": "SurefootClient",
    "client.orchestration.SyncPrefectClient": "SyncSurefootClient",
    "exceptions.ObjectAlreadyExists": "AlreadyExists",
    "exceptions.ObjectNotFound": "NotFound",
    "exceptions.PrefectException": "SurefootError",
    "futures.PrefectConcurrentFuture": "Future",
    "futures.PrefectFlowRunFuture": "FlowRunFuture",
    "futures.PrefectFuture": "Future",
    "futures.PrefectFutureList": "FutureList",
    "futures.PrefectWrappedFuture": "Future",
    "testing.utilities.prefect_test_harness": "surefoot_test_harness",
}
# What there is awaited in asynchronous code, and here only under a name of its own.
_AWAITED: Final = {f"variables.Variable.{name}": f"a{name}" for name in ("get", "set", "unset")}
_NO_DEPLOYMENTS: Final = "deployments, schedules and workers are not in this version"
_NO_BLOCKS: Final = "blocks are not in this version; take secrets from the environment"
_NO_SERVER: Final = "there is no server to ask; `get_client()` asks what was recorded, and sets limits and variables"
# Why a name is not there, by how it begins after `prefect.`; the longest counts.
_WHY: Final = {
    "Parameter": "the parameters of a flow are the arguments of its function",
    "agent": _NO_DEPLOYMENTS,
    "aserve": _NO_DEPLOYMENTS,
    "automations": "automations are not in this version",
    "blocks": _NO_BLOCKS,
    "cache_policies.CacheKeyFnPolicy": "`CachePolicy.from_cache_key_fn(fn)` makes one",
    "cache_policies.CompoundCachePolicy": "`INPUTS + RUN_ID` makes one",
    "case": "write `if` in the flow, on the task's result",
    "client": _NO_SERVER,
    "concurrency": "`surefoot.concurrency.sync` and `surefoot.concurrency.asyncio` have what there is",
    "deploy": _NO_DEPLOYMENTS,
    "deployments": _NO_DEPLOYMENTS,
    "docker": _NO_DEPLOYMENTS,
    "events": "events are not in this version",
    "filesystems": "name a folder or a URL (`s3://...`) in `result_storage` instead",
    "flow.deploy": _NO_DEPLOYMENTS,
    "flow.from_source": _NO_DEPLOYMENTS,
    "flow.serve": _NO_DEPLOYMENTS,
    "flow.to_deployment": _NO_DEPLOYMENTS,
    "get_cloud_client": "Surefoot talks to nobody but what its user configured",
    "infrastructure": _NO_DEPLOYMENTS,
    "input": "runs cannot be paused in this version",
    "logging.configuration": "logging is Python's own: call `logging.config` in your script",
    "logging.handlers": "lines of runs are kept without a handler; Python has handlers for the rest",
    "pause_flow_run": "runs cannot be paused in this version",
    "resume_flow_run": "runs cannot be paused in this version",
    "runner": _NO_DEPLOYMENTS,
    "schedules": _NO_DEPLOYMENTS,
    "serve": _NO_DEPLOYMENTS,
    "server": "there is no server in this version",
    "settings.PREFECT_": "read it with `get_current_settings()`, and name it as a text in `temporary_settings`",
    "suspend_flow_run": "runs cannot be paused in this version",
    "task_runners.PrefectTaskRunner": "background tasks are not in this version",
    "task_runners.SequentialTaskRunner": "`ThreadPoolTaskRunner(max_workers=1)` does the same",
    "task.delay": "background tasks are not in this version",
    "task.serve": "background tasks are not in this version",
    "task_worker": "background tasks are not in this version",
    "states.get_state_result": "call `state.result()`",
    "utilities": "it is a part of Prefect's inside; the standard library most often has it",
    "variables.get": "`Variable.get(name, default)` does the same",
    "workers": _NO_DEPLOYMENTS,
}


def missing(dotted: str) -> str | None:
    """Why Surefoot does not have what Prefect calls so, `prefect.` left out; None if it has.

    >>> missing("states.Completed"), missing("runtime.flow_run.name"), missing("blocks.system.Secret")
    (None, None, 'blocks are not in this version; take secrets from the environment')
    """
    parts = dotted.split(".") if dotted else []
    found: Any = _module("surefoot")
    for n, part in enumerate(parts):
        inner = _module(".".join(["surefoot", *parts[: n + 1]])) if isinstance(found, ModuleType) else None
        if inner is not None and not _exports(found, part):
            found = inner
        elif isinstance(found, ModuleType):
            wanted = _RENAMED.get(dotted, part)
            if not _exports(found, wanted):
                return _why(dotted)
            found = getattr(found, wanted)
        else:
            return _missing_in(found, part)
    return None


def renamed(dotted: str) -> str | None:
    """What the last part of this name is called here, if otherwise."""
    return _RENAMED.get(dotted)


def awaited(dotted: str) -> str | None:
    """What the last part of this name is called here where it is awaited, if otherwise.

    >>> awaited("variables.Variable.get")
    'aget'
    """
    return _AWAITED.get(dotted)


def is_module(dotted: str) -> bool:
    """Whether Surefoot has a module of that name, `prefect.` left out."""
    return _module(f"surefoot.{dotted}") is not None


def options_of(dotted: str) -> Collection[str] | None:
    """The names of the arguments that may be given to this; None where that is not to be known.

    >>> "retries" in options_of("flow"), "on_click" in options_of("flow")
    (True, False)
    """
    if missing(dotted) is not None:
        return None
    found: Any = _module("surefoot")
    for part in dotted.split("."):
        found = getattr(found, part, None) or _module(f"{getattr(found, '__name__', '')}.{part}")
    if found is not None and (kind := _definition(found)):
        return tuple(kind.__init__.__kwdefaults__ or ())
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else [p.name for p in parameters]


def _why(dotted: str) -> str:
    fitting = [start for start in _WHY if dotted == start or dotted.startswith((f"{start}.", f"{start}_"))]
    fitting += [start for start in _WHY if start.endswith("_") and dotted.startswith(start)]
    return _WHY[max(fitting, key=len)] if fitting else "it is not in this version"


def _exports(module: ModuleType, name: str) -> bool:
    public = getattr(module, "__all__", None)
    return hasattr(module, name) and (public is None or name in public or name.startswith("__"))


def _missing_in(found: Any, part: str) -> str | None:
    """Why a class, or what a decorator makes, does not have that attribute. What an object gets later is not known."""
    if kind := _definition(found):
        return None if hasattr(kind, part) else _WHY.get(f"{found.__name__}.{part}")
    return "it is not in this version" if inspect.isclass(found) and not hasattr(found, part) else None


def _definition(found: Any) -> Any:
    """The class of what a decorator makes: `Flow` for `flow`."""
    for name, kind in (("flow", "Flow"), ("task", "Task")):
        if found is getattr(_module("surefoot"), name):
            return getattr(_module("surefoot"), kind)
    return None


@cache
def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name) if find_spec(name) is not None else None
    except ImportError:  # also a module above it that is none, and a module of ours that wants something not installed
        return None
