"""Entrypoints: finding a flow by `FILE:FLOW` or `module:FLOW`, without running the file as a script.

May import: core, engine, flows.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from surefoot.core.errors import EntrypointError, SurefootError
from surefoot.engine.importable import as_script
from surefoot.engine.sources import FLOW_FILE
from surefoot.flows import Flow, flow

__all__ = ["load_file", "load_flow"]


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """The flow that an entrypoint names.

    Args:
        entrypoint: `path/to/file.py:flow`, `path/to/file.py:Class.flow`, or `package.module:flow`. The name may be the
            function's or the flow's; with one flow in the file it may be left out. A plain function becomes a flow that
            logs its prints.

    Raises EntrypointError that names what is missing, and the flows that there are.
    """
    place, _, name = _split(entrypoint)
    module = load_file(place) if place.endswith(".py") or os.sep in place else _load_module(place)
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


def load_file(path: str) -> ModuleType:
    """The module that a Python file makes, loaded by its own name where that is free, never as `__main__`.

    Raises EntrypointError if it is not there, or cannot be loaded.
    """
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        folder = os.path.dirname(full)
        there = sorted(name for name in _listdir(folder) if name.endswith(".py"))
        near = difflib.get_close_matches(os.path.basename(full), there, n=1)
        hint = f" Did you mean {os.path.join(os.path.dirname(path), near[0])}?" if near else ""
        raise EntrypointError(f"There is no file {path!r} in {os.getcwd()}.{hint}", do="Pass FILE.py:FLOW.")
    name = os.path.splitext(os.path.basename(full))[0]
    folder = os.path.dirname(full)
    # As for a script: what lies beside the file can be imported from it.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name if _is_free(name, full) else FLOW_FILE + name, full)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with as_script(spec.name):
            spec.loader.exec_module(module)
    except SurefootError:
        del sys.modules[spec.name]
        raise
    except Exception as error:
        del sys.modules[spec.name]
        raise EntrypointError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}", do=f"Run `python {path}` to see where."
        ) from error
    return module


def _is_free(name: str, path: str) -> bool:
    """Whether a file may be loaded as a module of that name without being taken for another: `json.py` may not."""
    known = sys.modules.get(name)
    if known is not None:
        return getattr(known, "__file__", None) == path
    if not name.isidentifier() or name in sys.stdlib_module_names:
        return False
    other = importlib.util.find_spec(name)
    return other is None or other.origin == path


def _listdir(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _load_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except SurefootError:
        raise
    except Exception as error:
        raise EntrypointError(
            f"Module {name!r} cannot be imported: {type(error).__name__}: {error}.",
            do="Pass FILE.py:FLOW or module:FLOW.",
        ) from error


def _find(module: ModuleType, name: str, place: str) -> Any:
    flows = {key: value for key, value in vars(module).items() if isinstance(value, Flow)}
    if not name:
        unique = list({id(value): value for value in flows.values()}.values())
        if len(unique) == 1:
            return unique[0]
        told = f"has {len(unique)} flows" if unique else "has no flow"
        raise EntrypointError(f"{place} {told}.", do=f"Name one: {place}:{next(iter(flows), 'FLOW')}")
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
        raise EntrypointError(f"{place} has no flow {name!r}.{hint}", do="Name a function decorated with @flow.")
    return found
