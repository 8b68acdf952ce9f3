"""surefoot: what users import. Nothing is loaded until it is named (PEP 562)."""

import os
from importlib import import_module

from surefoot._version import __version__

# Name -> the module that has it. A test compares this with `__init__.pyi`.
_DOOR = {
    "Flow": "flows",
    "Future": "futures",
    "Skip": "exceptions",
    "State": "states",
    "Task": "tasks",
    "Transaction": "transactions",
    "allow_failure": "annotations",
    "exponential_backoff": "tasks",
    "flatten": "annotations",
    "flow": "flows",
    "get_client": "client.orchestration",
    "get_run_logger": "logging",
    "quote": "annotations",
    "tags": "context",
    "task": "tasks",
    "unmapped": "annotations",
}

# Modules that are there by their names alone.
_ROOMS = frozenset(
    "artifacts assets cache_policies client concurrency context exceptions flows futures locking logging results "
    "runtime serializers settings states task_runners tasks testing transactions types utilities variables".split()
)

__all__ = [
    "Flow",
    "Future",
    "Skip",
    "State",
    "Task",
    "Transaction",
    "__version__",
    "allow_failure",
    "exponential_backoff",
    "flatten",
    "flow",
    "get_client",
    "get_run_logger",
    "quote",
    "tags",
    "task",
    "unmapped",
]


def __getattr__(name: str) -> object:
    if name in _ROOMS:  # scripts say `surefoot.runtime.flow_run.name` after a mere `import surefoot`
        return import_module(f"surefoot.{name}")
    if name not in _DOOR:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"surefoot.{_DOOR[name]}"), name)  # a second access costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})


if os.environ.get("SUREFOOT_TEST_EAGER_IMPORT"):  # a module that cannot be loaded is found at once
    for _name in _DOOR:
        __getattr__(_name)
