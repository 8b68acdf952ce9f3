"""Entrypoints: finding a flow by `FILE:FLOW` or `module:FLOW`, without running the file as a script.

May import: core, engine, flows.
"""

from __future__ import annotations

import difflib
import os
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from surefoot.core.errors import EntrypointError, MissingFlowError, UnspecifiedFlowError
from surefoot.engine.loading import load_file, load_module
from surefoot.flows import Flow, flow, flows_in

__all__ = ["load_flow"]


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """The flow that an entrypoint names.

    Args:
        entrypoint: `path/to/file.py:flow`, `path/to/file.py:Class.flow`, or `package.module:flow`. The name may be the
            function's or the flow's; with one flow in the file it may be left out. A plain function becomes a flow that
            logs its prints.

    Raises EntrypointError that names what is missing, and the flows that there are: MissingFlowError if it is the flow,
    UnspecifiedFlowError if there are several and none is named.
    """
    place, _, name = _split(entrypoint)
    module = load_file(place) if place.endswith(".py") or os.sep in place else load_module(place)
    found = _find(module, name, place)
    if isinstance(found, Flow):
        return found
    if isinstance(found, FunctionType | MethodType | partial):
        return flow(log_prints=True)(found)
    raise EntrypointError(f"{entrypoint} is {found!r}, which is no flow.", do="Name a function decorated with @flow.")


def _split(entrypoint: str) -> tuple[str, str, str]:
    place, colon, name = entrypoint.rpartition(":")
    # `C:\jobs\etl.py` has a colon that is not ours.
    if not colon or name.startswith(("\\", "/")):
        return entrypoint, "", ""
    return place, colon, name


def _find(module: ModuleType, name: str, place: str) -> Any:
    flows = {key: value for key, value in vars(module).items() if isinstance(value, Flow)}
    if not name:
        unique = flows_in(module)
        if len(unique) == 1:
            return unique[0]
        kind = UnspecifiedFlowError if unique else MissingFlowError
        told = f"has {len(unique)} flows" if unique else "has no flow"
        raise kind(f"{place} {told}.", do=f"Name one: {place}:{next(iter(flows), 'FLOW')}")
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            break
    if found is None:
        found = next((value for value in flows.values() if value.name == name), None)
    if found is None:
        near = difflib.get_close_matches(name, [*flows, *(value.name for value in flows.values())], n=1, cutoff=0.5)
        hint = f" Did you mean {place}:{near[0]}?" if near else f" Its flows: {', '.join(flows) or 'none'}."
        raise MissingFlowError(f"{place} has no flow {name!r}.{hint}", do="Name a function decorated with @flow.")
    return found
