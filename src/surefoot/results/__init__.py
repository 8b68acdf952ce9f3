"""Results: where the values that runs returned live, and how they come back. Keeps promise 5 for values.

    from surefoot.results import ResultStore, load_result

Packs (`packs`, `keeping`) hold what is kept for resuming; objects (`objects`, `persistence`), what a user asked to
store. Nothing is loaded until it is named: the engine takes the parts it needs. May import: journal, core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surefoot.results.objects import Record
    from surefoot.results.serializing import resolve_serializer
    from surefoot.results.stores import (
        ResultRecord,
        ResultStore,
        get_result_store,
        load_result,
        should_persist_result,
    )

__all__ = [
    "Record",
    "ResultRecord",
    "ResultStore",
    "get_result_store",
    "load_result",
    "resolve_serializer",
    "should_persist_result",
]

_DOOR = {
    "Record": "objects",
    "ResultRecord": "stores",
    "ResultStore": "stores",
    "get_result_store": "stores",
    "load_result": "stores",
    "resolve_serializer": "serializing",
    "should_persist_result": "stores",
}


def __getattr__(name: str) -> object:
    if name not in _DOOR:
        raise AttributeError(f"module 'surefoot.results' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"surefoot.results.{_DOOR[name]}"), name)
    return value
